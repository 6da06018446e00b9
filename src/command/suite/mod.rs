//! `portcullis test`: suites of requests with what is expected of them, decided by the module's engine without Envoy.

mod arguments;
mod claims;
mod coverage;
mod expectation;
mod init;
mod members;
mod model;
mod report;
mod runner;
mod sample;
mod variables;

use std::{
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime},
};

pub(super) use self::arguments::TestOptions;
use self::{arguments::Output, coverage::Coverage, model::Suite, report::Report, runner::Stage};
use super::{
    FAULTY, GOOD, complain,
    documents::{self, Content},
    offline,
    refusal::Refusal,
    say,
    scalar::Dialect,
    source::Source,
};
use crate::time::Timestamp;

/// How often files are looked at that are watched.
const WATCH_EVERY: Duration = Duration::from_millis(300);

/// Carries out what is asked for.
pub(super) fn run(options: &TestOptions) -> u8 {
    if let Some(policy) = &options.init {
        let suite = init::suite(policy, &options.which);
        return Refusal::told(suite.map(|suite| say(&suite)));
    }
    if options.watch {
        return watch(options);
    }
    match once(options, &mut Vec::new()) {
        Ok(true) => GOOD,
        Ok(false) => FAULTY,
        Err(refusal) => Refusal::told(Err(refusal)),
    }
}

/// Runs the suites, and tells of them. Whether all is well. `files` gets the names of all that was read.
fn once(options: &TestOptions, files: &mut Vec<String>) -> Result<bool, Refusal> {
    let mut reports = Vec::new();
    for file in &options.suites {
        files.push(file.clone());
        reports.push(one(file, options, files)?);
    }
    say(&match options.output {
        Output::Text => report::text(&reports),
        Output::Tap => report::tap(&reports),
        Output::Junit => report::junit(&reports),
        Output::Json => report::json(&reports),
    });
    Ok(reports.iter().all(Report::is_good))
}

fn one(file: &str, options: &TestOptions, files: &mut Vec<String>) -> Result<Report, Refusal> {
    let suite = read(file)?;
    let beside = |name: &str| {
        let folder = Path::new(file).parent().unwrap_or(Path::new(""));
        folder.join(name).to_string_lossy().into_owned()
    };
    let policy = options.policy.clone().or_else(|| suite.policy.as_deref().map(beside));
    let policy = policy.ok_or_else(|| Refusal::usage(format!("{file}: names no policy; give --policy")))?;
    files.push(policy.clone());
    let mut which = options.which.clone();
    which.plugin = which.plugin.or_else(|| suite.plugin.clone());
    let document = offline::load_filled(&policy, &which, &suite.fill)?;
    let now = match suite.at {
        Some(at) => at,
        None => now()?,
    };
    let stage = Stage { suite: &suite, document: &document, now };
    let begun = Instant::now();
    let faulty = |faults: Vec<String>| Refusal::refused(format!("{policy}: {}", faults.join("\n       ")));
    let ran = stage.run().map_err(faulty)?;
    let coverage = match options.coverage {
        true => Some(Coverage::of(&stage, &stage.prepared().map_err(faulty)?)),
        false => None,
    };
    let names = suite.cases.iter().map(|case| case.name.clone());
    Ok(Report { file: file.to_owned(), cases: names.zip(ran).collect(), took: begun.elapsed(), coverage })
}

fn now() -> Result<Timestamp, Refusal> {
    let elapsed = SystemTime::UNIX_EPOCH.elapsed().map_err(|error| Refusal::unusable(error.to_string()))?;
    Ok(Timestamp::from_secs(elapsed.as_secs()))
}

/// A suite from its file, YAML or JSON.
fn read(file: &str) -> Result<Suite, Refusal> {
    let unusable = |why: String| Refusal::unusable(format!("{file}: {why}"));
    let source = Source::read(file).map_err(|why| unusable(format!("cannot be read: {why}")))?;
    let (nodes, repeated) = match documents::read(&source) {
        Ok(Content::Json(node, repeated)) => (vec![node], repeated),
        Ok(Content::Yaml(yaml)) => (yaml.documents, yaml.repeated),
        Err(broken) => {
            let line = source.position(broken.span.start).line;
            return Err(unusable(format!("line {line}: {}", broken.message)));
        }
    };
    if let Some(repeated) = repeated.first() {
        let line = source.position(repeated.span.start).line;
        return Err(unusable(format!("line {line}: {}", repeated.message)));
    }
    let [node] = nodes.as_slice() else {
        return Err(unusable("a suite is one document".to_owned()));
    };
    let suite = Suite::read(&node.to_json(Dialect::Kubernetes));
    suite.map_err(|faults| unusable(faults.join(&format!("\n       {file}: "))))
}

/// Runs whenever a file is saved. Ends when the process is ended.
fn watch(options: &TestOptions) -> u8 {
    let modified = |files: &[String]| -> Vec<Option<SystemTime>> {
        files.iter().map(|file| std::fs::metadata(file).and_then(|data| data.modified()).ok()).collect()
    };
    loop {
        let mut files = Vec::new();
        if let Err(refusal) = once(options, &mut files) {
            complain(&format!("error: {}\n", refusal.message));
        }
        if files.is_empty() {
            return FAULTY;
        }
        let before = modified(&files);
        while modified(&files) == before {
            thread::sleep(WATCH_EVERY);
        }
    }
}
