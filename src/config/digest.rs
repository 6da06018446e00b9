//! The digest of a document: of what it says, not of how it is written.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// SHA-256 of a value in one form: members sorted by name, every number as a double. So a document has one digest,
/// be it JSON or a `Struct`, whatever the order of its members.
pub(super) fn digest(value: &Value) -> [u8; 32] {
    let mut digest = Sha256::new();
    add(&mut digest, value);
    digest.finalize().into()
}

/// Each value begins with its kind, and what has no fixed length with its length: no two values give the same bytes.
/// The depth is bounded where the tree is read.
fn add(digest: &mut Sha256, value: &Value) {
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
            items.iter().for_each(|item| add(digest, item));
        }
        Value::Object(members) => {
            begin(digest, b"{", members.len());
            let mut members: Vec<_> = members.iter().collect();
            members.sort_unstable_by_key(|(name, _)| name.as_str());
            for (name, value) in members {
                add_text(digest, name);
                add(digest, value);
            }
        }
    }
}

fn add_text(digest: &mut Sha256, text: &str) {
    begin(digest, b"s", text.len());
    digest.update(text);
}

fn begin(digest: &mut Sha256, kind: &[u8], len: usize) {
    digest.update(kind);
    digest.update(u64::try_from(len).unwrap_or(u64::MAX).to_le_bytes());
}
