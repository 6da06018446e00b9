//! Messages of Envoy as YAML or JSON have them: fields by either of their names, and which of them are known here.

use std::ops::Range;

use serde_json::Value as Json;

use crate::command::{
    import::told::Told,
    scalar::Dialect,
    tree::{Member, Node, Value},
};

const DIALECT: Dialect = Dialect::Envoy;

/// A field by its name in protobuf, or by that in JSON (`httpFilters`).
pub(super) fn get<'a>(node: &'a Node, name: &str) -> Option<&'a Node> {
    node.get(DIALECT, name).or_else(|| node.get(DIALECT, &in_json(name)))
}

/// Its text.
pub(super) fn text<'a>(node: &'a Node, name: &str) -> Option<&'a str> {
    get(node, name).and_then(Node::text)
}

pub(super) fn items<'a>(node: &'a Node, name: &str) -> &'a [Node] {
    get(node, name).map(Node::items).unwrap_or_default()
}

pub(super) fn members(node: &Node) -> Vec<&Member> {
    node.members(DIALECT)
}

pub(super) fn json(node: &Node) -> Json {
    node.to_json(DIALECT)
}

pub(super) fn is_true(node: &Node, name: &str) -> bool {
    get(node, name).is_some_and(|node| json(node) == Json::Bool(true))
}

pub(super) fn number(node: &Node, name: &str) -> Option<u64> {
    let node = get(node, name)?;
    node.text()?.parse().ok()
}

/// The only member of a message in which one of several is given, by its name in protobuf.
pub(super) fn only(node: &Node) -> Option<(String, &Node)> {
    match members(node).as_slice() {
        [member] => Some((in_protobuf(&member.name.text), &member.value)),
        _ => None,
    }
}

/// A field that is not known, and what it says.
pub(super) fn unknown<'a>(node: &'a Node, known: &[&str]) -> Vec<&'a Member> {
    let is_known = |member: &&Member| known.contains(&in_protobuf(&member.name.text).as_str());
    members(node).into_iter().filter(|member| !is_known(member) && !is_empty(&member.value)).collect()
}

/// Says of every field that is not known what becomes of it; whether there was one.
pub(super) fn tell_unknown(node: &Node, known: &[&str], about: &str, so: &str, told: &mut Told) -> bool {
    let unknown = unknown(node, known);
    for member in &unknown {
        told.left(
            &member.name_span,
            about,
            format!("{} has no counterpart; {so}", in_protobuf(&member.name.text)),
        );
    }
    !unknown.is_empty()
}

/// What a message that is not given says, too.
fn is_empty(node: &Node) -> bool {
    match &node.value {
        Value::List(items) => items.is_empty(),
        Value::Object(_) => false,
        Value::Scalar(_) => matches!(json(node), Json::Null | Json::Bool(false)),
    }
}

/// The last part of what a typed configuration says that it is.
pub(super) fn kind(node: &Node) -> &str {
    let url = node.get(DIALECT, "@type").and_then(Node::text).unwrap_or_default();
    url.rsplit('.').next().unwrap_or_default()
}

pub(super) fn place(node: &Node) -> Range<usize> {
    node.span.clone()
}

/// Where it begins.
pub(super) fn beginning(node: &Node) -> Range<usize> {
    node.span.start..node.span.start
}

/// `3600s`, `0.25s` in milliseconds.
pub(super) fn milliseconds(text: &str) -> Option<u64> {
    let number = text.strip_suffix('s')?;
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let part: String = part.chars().chain("000".chars()).take(3).collect();
    whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(part.parse().ok()?)
}

/// As policies write a duration.
pub(super) fn duration(milliseconds: u64) -> String {
    match milliseconds.checked_rem(1000) {
        Some(0) => {
            let seconds = milliseconds.checked_div(1000).unwrap_or_default();
            match (seconds.checked_rem(3600), seconds.checked_div(3600)) {
                (Some(0), Some(hours)) if hours > 0 => format!("{hours}h"),
                _ if seconds <= 99_999 => format!("{seconds}s"),
                _ => format!("{}h", seconds.div_ceil(3600)),
            }
        }
        _ => format!("{milliseconds}ms"),
    }
}

/// Seconds of what [`duration`] writes.
pub(super) fn of_duration(text: &str) -> Option<u64> {
    match (text.strip_suffix('h'), text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(hours), _, _) => hours.parse::<u64>().ok()?.checked_mul(3600),
        (_, Some(_), _) => None,
        (_, _, seconds) => seconds?.parse().ok(),
    }
}

fn in_json(name: &str) -> String {
    let mut is_behind = false;
    name.chars().fold(String::new(), |mut made, c| {
        match c {
            '_' => is_behind = true,
            c if is_behind => {
                made.push(c.to_ascii_uppercase());
                is_behind = false;
            }
            c => made.push(c),
        }
        made
    })
}

fn in_protobuf(name: &str) -> String {
    name.chars().fold(String::new(), |mut made, c| {
        if c.is_ascii_uppercase() {
            made.push('_');
        }
        made.push(c.to_ascii_lowercase());
        made
    })
}
