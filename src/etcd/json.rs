//! Values as ProtoJSON has them.

use ct_codecs::{Base64, Decoder as _, Encoder as _};
use serde_json::{Map, Value};

pub(super) fn base64(bytes: &[u8]) -> String {
    Base64::encode_to_string(bytes).unwrap_or_default()
}

/// Empty where it is left out.
pub(super) fn bytes(members: &Map<String, Value>, name: &str) -> Option<Vec<u8>> {
    match members.get(name) {
        None | Some(Value::Null) => Some(Vec::new()),
        Some(value) => Base64::decode_to_vec(value.as_str()?, None).ok(),
    }
}

/// 0 where it is left out.
pub(super) fn number(members: &Map<String, Value>, name: &str) -> Option<u64> {
    match members.get(name) {
        None | Some(Value::Null) => Some(0),
        Some(Value::String(text)) => text.parse().ok(),
        Some(other) => other.as_u64(),
    }
}

/// False where it is left out.
pub(super) fn flag(members: &Map<String, Value>, name: &str) -> Option<bool> {
    match members.get(name) {
        None | Some(Value::Null) => Some(false),
        Some(value) => value.as_bool(),
    }
}

/// Empty where it is left out.
pub(super) fn list<'a>(members: &'a Map<String, Value>, name: &str) -> Option<&'a [Value]> {
    match members.get(name) {
        None | Some(Value::Null) => Some(&[]),
        Some(value) => value.as_array().map(Vec::as_slice),
    }
}

/// The revision that stands in the header of an answer. A store has one from its first moment on: whatever has none is no
/// answer of etcd.
pub(super) fn revision(header: &Map<String, Value>) -> Option<u64> {
    number(header, "revision").filter(|revision| *revision > 0)
}
