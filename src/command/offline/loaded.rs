//! The policy of a file, as a value that can be changed before it is compiled.

use serde_json::Value;

use crate::command::{
    documents::{self, Content},
    policies::{Found, Search, is_policy_alone},
    refusal::Refusal,
    source::Source,
};

/// The one policy in a file; where there are several, that of the plugin which is called `plugin`.
///
/// # Errors
/// The file cannot be read, or it is not clear which policy is meant.
pub(in crate::command) fn load(file: &str, plugin: Option<&str>) -> Result<Value, Refusal> {
    load_filled(file, plugin, &|text| text)
}

/// As [`load`], with the file's text as `fill` makes it.
///
/// # Errors
/// As there.
pub(in crate::command) fn load_filled(
    file: &str,
    plugin: Option<&str>,
    fill: &dyn Fn(String) -> String,
) -> Result<Value, Refusal> {
    let unusable = |why: String| Refusal::unusable(format!("{file}: {why}"));
    let source = Source::read(file).map_err(|why| unusable(format!("cannot be read: {why}")))?;
    let source = Source::new(file, fill(source.text));
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
