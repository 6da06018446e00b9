//! `x-portcullis-*`: what a document says to this filter alone. The nearest counts: of the operation, its path, the
//! document.

use serde_json::{Map, Value as Json, json};

use super::document::{get, json, members};
use crate::command::tree::Node;

const PREFIX: &str = "x-portcullis-";
const ROLES: &str = "x-portcullis-roles";
const PERMISSIONS: &str = "x-portcullis-permissions";
const OWNER: &str = "x-portcullis-owner";
const RATE_LIMITS: &str = "x-portcullis-rate-limits";
/// Of the document alone: sections that go over into the policy as they are.
const POLICY: &str = "x-portcullis-policy";

/// Of which `x-portcullis-policy` may consist.
const SECTIONS: [&str; 2] = ["roles", "rateLimits"];

/// What is asked of whoever calls an operation, beside its security.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Extensions {
    /// Members of `authorize`.
    pub(super) needs: Map<String, Json>,
    /// A parameter of the path, and the claim that it is compared with.
    pub(super) owner: Option<(String, Option<Json>)>,
    pub(super) rate_limits: Vec<Json>,
}

/// Of an operation; `around` are what it is in, from within.
///
/// # Errors
/// What is not understood: whoever wrote it asked for something.
pub(super) fn read(operation: &Node, around: [&Node; 2]) -> Result<Extensions, String> {
    for node in [operation].into_iter().chain(around) {
        for member in members(node) {
            let name = member.name.text.as_str();
            let known = [ROLES, PERMISSIONS, OWNER, RATE_LIMITS, POLICY];
            if name.starts_with(PREFIX) && !known.contains(&name) {
                return Err(format!("{name} is not known"));
            }
        }
    }
    let nearest =
        |name: &str| [operation].into_iter().chain(around).find_map(|node| get(node, name)).map(json);
    let mut read = Extensions::default();
    for (name, member) in [(ROLES, "roles"), (PERMISSIONS, "permissions")] {
        match nearest(name) {
            None => {}
            Some(names @ (Json::Array(_) | Json::Object(_))) => {
                _ = read.needs.insert(member.to_owned(), names)
            }
            Some(_) => return Err(format!("{name} is a list, or an object with anyOf or allOf")),
        }
    }
    match nearest(OWNER) {
        None => {}
        Some(Json::String(parameter)) => read.owner = Some((parameter, None)),
        Some(Json::Object(members)) => match members.get("pathVariable").and_then(Json::as_str) {
            Some(parameter) => read.owner = Some((parameter.to_owned(), members.get("claim").cloned())),
            None => return Err(format!("{OWNER} names a parameter of the path")),
        },
        Some(_) => return Err(format!("{OWNER} is the name of a parameter of the path")),
    }
    match nearest(RATE_LIMITS) {
        None => {}
        Some(Json::Array(names)) if names.iter().all(Json::is_string) => read.rate_limits = names,
        Some(_) => return Err(format!("{RATE_LIMITS} is a list of names")),
    }
    Ok(read)
}

/// What the document gives the policy.
///
/// # Errors
/// What it may not give.
pub(super) fn sections(root: &Node) -> Result<Map<String, Json>, String> {
    let Some(policy) = get(root, POLICY) else { return Ok(Map::new()) };
    let Json::Object(sections) = json(policy) else { return Err(format!("{POLICY} is an object")) };
    match sections.keys().find(|name| !SECTIONS.contains(&name.as_str())) {
        Some(other) => Err(format!("{POLICY} has no {other}; it has roles and rateLimits")),
        None => Ok(sections),
    }
}

/// All names in a condition: a list, or one behind `anyOf` or `allOf`.
pub(super) fn names(condition: &Json) -> Vec<&str> {
    match condition {
        Json::Array(items) => items.iter().filter_map(Json::as_str).collect(),
        Json::Object(members) => members.values().flat_map(names).collect(),
        _ => Vec::new(),
    }
}

/// `owner`, with what the policy calls the variable.
pub(super) fn owner(variable: &str, claim: Option<&Json>) -> Json {
    match claim {
        None => json!({"pathVariable": variable}),
        Some(claim) => json!({"pathVariable": variable, "claim": claim}),
    }
}
