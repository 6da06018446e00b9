//! `portcullis check`: what is wrong with the policies in files, and where.

use super::{
    FAULTY, GOOD, UNUSABLE,
    arguments::{CheckOptions, Output},
    complain,
    documents::{self, Content},
    findings::{Broken, Checked, Finding, Findings, Judged, Level},
    place::Root,
    policies::{Found, Search, is_policy_alone},
    report, sarif, say,
    scalar::{Dialect, Form},
    source::Source,
    text,
    tree::Node,
};
use crate::{fault::Fault, policy::Policy};

/// Checks every file and says what was found.
pub(super) fn run(options: &CheckOptions) -> u8 {
    let (mut checked, mut is_readable) = (Vec::new(), true);
    for name in &options.files {
        match Source::read(name) {
            Ok(source) => {
                let findings = check(&source);
                checked.push(Checked { source, findings });
            }
            Err(why) => {
                complain(&format!("error: {name} cannot be read: {why}\n"));
                is_readable = false;
            }
        }
    }
    match options.output {
        Output::Text => text::tell(&checked),
        Output::Json => say(&report::json(&checked)),
        Output::Sarif => say(&sarif::log(&checked)),
    }
    let counts = |level| checked.iter().any(|file| file.findings.count(level) > 0);
    match () {
        () if !is_readable => UNUSABLE,
        () if counts(Level::Fault) => FAULTY,
        () if options.deny_warnings && counts(Level::Warning) => FAULTY,
        () => GOOD,
    }
}

/// All that is to be said of one file.
pub(super) fn check(source: &Source) -> Findings {
    let mut findings = Findings::default();
    match documents::read(source) {
        Ok(content) => check_content(content, source, &mut findings),
        Err(broken) => findings.list.push(Finding::of_file(broken)),
    }
    findings.list.sort_by_key(|finding| finding.span.start);
    findings
}

fn check_content(content: Content, source: &Source, findings: &mut Findings) {
    let (documents, repeated) = match content {
        // As it is, it is what a StringValue holds: the module itself says what it repeats.
        Content::Json(node, _) if is_policy_alone(&node) => {
            judge(&Found::alone(node, source), source, findings);
            return;
        }
        Content::Json(node, repeated) => (vec![node], repeated),
        Content::Yaml(yaml) => (yaml.documents, yaml.repeated),
    };
    findings.list.extend(repeated.into_iter().map(Finding::of_file));
    let mut others = 0_usize;
    for document in &documents {
        let search = Search::through(document, source);
        others = others.saturating_add(search.others);
        for (policy, broken) in search.broken {
            let span = source.first_line_of(&broken.span);
            findings.policies.push(Judged { name: policy.clone(), span: span.clone(), good: None });
            findings.list.push(Finding { policy, span, ..Finding::of_file(broken) });
        }
        for found in &search.found {
            judge(found, source, findings);
        }
    }
    if findings.policies.is_empty() {
        findings.list.push(Finding::of_file(nothing(&documents, others, source)));
    }
}

/// A file in which there is no policy is a fault: whoever had it checked thinks otherwise.
fn nothing(documents: &[Node], others: usize, source: &Source) -> Broken {
    let span = documents.first().map(|node| source.first_line_of(&node.span)).unwrap_or_default();
    let message = match (documents.len(), others) {
        (0, _) => "no policy here: the file says nothing".to_owned(),
        (_, 0) if source.text.contains("config_discovery") => {
            "no policy here: filters are taken from elsewhere (config_discovery); check the files that hold them".to_owned()
        }
        (_, 0) => {
            "no policy here: this has no field of a policy, such as rules, and no wasm filter".to_owned()
        }
        (_, others) => format!(
            "no policy here: of the wasm plugins ({others}) none is called portcullis or has a field of a policy, such as rules"
        ),
    };
    Broken::new(span, message)
}

/// Compiles a policy as the module would.
fn judge(found: &Found, source: &Source, findings: &mut Findings) {
    let root = Root { node: &found.node, name_span: found.name_span.clone(), dialect: found.dialect };
    let mut tell = |level, faults: &[Fault]| {
        for fault in faults {
            let (span, node) = root.locate(fault, source);
            findings.list.push(Finding {
                level,
                policy: found.name.clone(),
                path: fault.path.clone(),
                message: fault.message.clone(),
                note: node
                    .and_then(|node| note(node, found.dialect))
                    .or_else(|| merge_key(fault, found.dialect)),
                span,
            });
        }
    };
    let good = match Policy::compile(&found.bytes, "check") {
        Ok(policy) => {
            tell(Level::Warning, policy.warnings());
            Some((policy.summary(), policy.hash()))
        }
        Err(faults) => {
            tell(Level::Fault, &faults);
            None
        }
    };
    let span = source.first_line_of(&found.node.span);
    findings.policies.push(Judged { name: found.name.clone(), span, good });
}

/// What people expect of `<<` who know other readers of YAML.
fn merge_key(fault: &Fault, dialect: Dialect) -> Option<String> {
    let is_merge = dialect == Dialect::Envoy && fault.path.ends_with("[\"<<\"]");
    is_merge.then(|| "Envoy knows no merge keys: << is a name like any other".to_owned())
}

/// Where a scalar was read as something else than most people would think: what it was read as.
fn note(node: &Node, dialect: Dialect) -> Option<String> {
    let scalar = node.scalar().filter(|scalar| scalar.form == Form::Plain)?;
    let reader = match dialect {
        Dialect::Envoy => "Envoy",
        Dialect::Kubernetes => "Kubernetes",
    };
    let read = scalar.read(dialect);
    let looks_like_a_number = scalar.text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
    let is_odd = match &read {
        serde_json::Value::Bool(value) => !scalar.text.eq_ignore_ascii_case(&value.to_string()),
        serde_json::Value::Number(value) => scalar.text != value.to_string(),
        serde_json::Value::String(_) => looks_like_a_number && scalar.text.parse::<f64>().is_ok(),
        _ => false,
    };
    is_odd.then(|| format!("{reader} reads {} without quotes as {}", scalar.text, shown(&read)))
}

fn shown(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::String(text) => format!("the text {text:?}"),
        serde_json::Value::Number(number) => format!("the number {number}"),
        other => other.to_string(),
    }
}
