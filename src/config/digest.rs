//! The digest of a document: of what it says, not of how it is written.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::input::{self, Input};

/// SHA-256 of a value in one form: members sorted by name, every number as a double. So a document has one digest,
/// be it JSON or a `Struct`, whatever the order of its members. `None`: an item that stands apart is not good JSON.
pub(super) fn digest(input: &Input<'_>) -> Option<[u8; 32]> {
    let mut digest = Sha256::new();
    let Input { value, apart } = input;
    let Value::Object(members) = value else {
        add(&mut digest, value)?;
        return Some(digest.finalize().into());
    };
    add_members(&mut digest, members, &mut |digest, name, value| match (name, value, &apart.rules) {
        ("rules", _, Some(rules)) => add_items(digest, rules),
        ("apiKeys", Value::Object(members), _) => {
            add_members(digest, members, &mut |digest, name, value| match (name, &apart.keys) {
                ("keys", Some(keys)) => add_items(digest, keys),
                _ => add(digest, value),
            })
        }
        _ => add(digest, value),
    })?;
    Some(digest.finalize().into())
}

/// Each value begins with its kind, and what has no fixed length with its length: no two values give the same bytes.
/// The depth is bounded where the tree is read. `None` is for [`add_items`] alone.
fn add(digest: &mut Sha256, value: &Value) -> Option<()> {
    match value {
        Value::Null => digest.update(b"0"),
        Value::Bool(value) => digest.update(if *value { b"t" } else { b"f" }),
        Value::Number(number) => {
            digest.update(b"n");
            digest.update(number.as_f64().unwrap_or(f64::NAN).to_le_bytes());
        }
        Value::String(text) => add_text(digest, text),
        Value::Array(items) => {
            begin(digest, b"[", items.len());
            items.iter().try_for_each(|item| add(digest, item))?;
        }
        Value::Object(members) => {
            add_members(digest, members, &mut |digest, _, value| add(digest, value))?;
        }
    }
    Some(())
}

/// `add_value` adds the value of each.
fn add_members(
    digest: &mut Sha256,
    members: &Map<String, Value>,
    add_value: &mut dyn FnMut(&mut Sha256, &str, &Value) -> Option<()>,
) -> Option<()> {
    begin(digest, b"{", members.len());
    let mut members: Vec<_> = members.iter().collect();
    members.sort_unstable_by_key(|(name, _)| name.as_str());
    members.into_iter().try_for_each(|(name, value)| {
        add_text(digest, name);
        add_value(digest, name, value)
    })
}

fn add_items(digest: &mut Sha256, texts: &[&str]) -> Option<()> {
    begin(digest, b"[", texts.len());
    texts.iter().try_for_each(|text| add(digest, &input::item(text)?))
}

fn add_text(digest: &mut Sha256, text: &str) {
    begin(digest, b"s", text.len());
    digest.update(text);
}

fn begin(digest: &mut Sha256, kind: &[u8], len: usize) {
    digest.update(kind);
    digest.update(u64::try_from(len).unwrap_or(u64::MAX).to_le_bytes());
}
