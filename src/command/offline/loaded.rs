//! The policy of a file, as a value that can be changed before it is compiled.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::Value;

use super::filled;
use crate::command::{
    documents::{self, Content},
    policies::{Found, Search, is_policy_alone},
    refusal::Refusal,
    source::Source,
};

/// Which policy of a file is meant, and what stands in it where it is a template.
#[derive(Clone, Debug, Default, Args)]
pub(in crate::command) struct Which {
    /// Which plugin's policy, where a file has several
    #[arg(long, value_name = "NAME")]
    pub(in crate::command) plugin: Option<String>,
    /// What stands for ${NAME} in the policy's file, where it is a template; NAME=@FILE takes it out of a file, which keeps
    /// keys out of the shell's history
    #[arg(long, value_name = "NAME=VALUE")]
    pub(in crate::command) fill: Vec<String>,
}

/// Errors never show a value, which may be a key.
fn assignment(given: &str) -> Result<(String, String), Refusal> {
    let unnamed = || Refusal::usage("--fill is NAME=VALUE, or NAME=@FILE".to_owned());
    let (name, value) = given.split_once('=').ok_or_else(unnamed)?;
    let value = match value.strip_prefix('@') {
        None => value.to_owned(),
        Some(file) => {
            let read = Source::read(file)
                .map_err(|why| Refusal::unusable(format!("{file} cannot be read: {why}")))?;
            read.text.trim_end().to_owned()
        }
    };
    Ok((name.to_owned(), value))
}

/// The one policy in a file.
///
/// # Errors
/// The file cannot be read, or it is not clear which policy is meant.
pub(in crate::command) fn load(file: &str, which: &Which) -> Result<Value, Refusal> {
    load_filled(file, which, &BTreeMap::new())
}

/// As [`load`], where more stands for names of a template than is asked for.
///
/// # Errors
/// As there.
pub(in crate::command) fn load_filled(
    file: &str,
    which: &Which,
    or: &BTreeMap<String, String>,
) -> Result<Value, Refusal> {
    let mut all = or.clone();
    for given in &which.fill {
        let (name, value) = assignment(given)?;
        all.insert(name, value);
    }
    let unusable = |why: String| Refusal::unusable(format!("{file}: {why}"));
    let source = Source::read(file).map_err(|why| unusable(format!("cannot be read: {why}")))?;
    let source = Source::new(file, filled(&source.text, &|name| all.get(name).cloned()));
    let plugin = which.plugin.as_deref();
    let content = documents::read(&source).map_err(|broken| unusable(broken.message))?;
    let found: Vec<Found> = match content {
        Content::Json(node, _) if is_policy_alone(&node) => vec![Found::alone(node, &source)],
        Content::Json(node, _) => Search::through(&node, &source).found,
        Content::Yaml(yaml) => {
            yaml.documents.iter().flat_map(|node| Search::through(node, &source).found).collect()
        }
    };
    let named = |found: &&Found| plugin.is_none_or(|plugin| found.name.as_deref() == Some(plugin));
    let all: Vec<_> = found.iter().filter(named).collect();
    match all.as_slice() {
        [one] => Ok(one.node.to_json(one.dialect)),
        [] if found.is_empty() => Err(unusable("there is no policy in it".to_owned())),
        [] => Err(unusable(format!("no policy of it is called {:?}", plugin.unwrap_or_default()))),
        several => {
            let names: Vec<_> = several.iter().filter_map(|found| found.name.as_deref()).collect();
            let message =
                format!("holds {} policies ({}); say which by --plugin", several.len(), names.join(", "));
            Err(unusable(message))
        }
    }
}
