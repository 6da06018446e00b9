//! A file as the documents in it.

use super::{
    findings::Broken,
    json,
    source::Source,
    tree::Node,
    yaml::{self, Documents},
};

/// What a file is written in.
pub(super) enum Content {
    /// One value of JSON.
    Json(Node, Vec<Broken>),
    Yaml(Documents),
}

/// By the name's ending; where that says nothing, JSON if it begins as an object of JSON does and is one.
pub(super) fn read(source: &Source) -> Result<Content, Broken> {
    let ending = source.name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
    let is_object = source.text.trim_start().starts_with('{');
    match ending.as_deref() {
        Some("json") => as_json(source),
        Some("yaml" | "yml") => as_yaml(source),
        // JSON is what the other reader would find less to say of.
        _ if is_object => as_json(source).or_else(|broken| as_yaml(source).map_err(|_| broken)),
        _ => as_yaml(source),
    }
}

fn as_json(source: &Source) -> Result<Content, Broken> {
    json::read(&source.text).map(|(node, repeated)| Content::Json(node, repeated))
}

fn as_yaml(source: &Source) -> Result<Content, Broken> {
    yaml::read(&source.text).map(Content::Yaml)
}
