//! What would be kept in etcd, answered as etcd answers.

use ::base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::{
    calls::Call,
    etcd::{AUTHENTICATE, RANGE},
    text::base64,
};

/// An entry: its whole name, and what it holds.
#[derive(Clone, Debug)]
pub(in crate::command) struct Entry {
    pub(in crate::command) key: String,
    pub(in crate::command) value: String,
}

/// Of the whole store, and of each entry: nothing changes while requests are decided.
const REVISION: &str = "1";

/// What etcd answers to a login, and to a call that reads; `None`: the call is another one, such as those that write.
pub(super) fn answer(call: &Call, entries: &[Entry]) -> Option<Value> {
    let url = call.endpoint.as_str();
    if url.ends_with(AUTHENTICATE) {
        return Some(json!({"token": "offline"}));
    }
    if !url.ends_with(RANGE) {
        return None;
    }
    let question: Value = serde_json::from_slice(&call.body).ok()?;
    let bytes = |name: &str| base64::decode(question.get(name)?.as_str()?);
    let first = bytes("key")?;
    let end = bytes("range_end");
    let is_news =
        question.get("min_mod_revision").and_then(Value::as_str).is_some_and(|since| since != REVISION);
    let is_asked = |entry: &&Entry| match (&end, entry.key.as_bytes()) {
        (None, key) => key == first,
        (Some(end), key) => !is_news && key >= first.as_slice() && key < end.as_slice(),
    };
    let mut found: Vec<_> = entries.iter().filter(is_asked).collect();
    found.sort_by(|one, other| one.key.cmp(&other.key));
    let items = found.iter().map(|entry| {
        let [key, value] = [&entry.key, &entry.value].map(|text| STANDARD.encode(text));
        json!({"key": key, "value": value, "mod_revision": REVISION})
    });
    let items: Vec<_> = items.collect();
    let header = json!({"cluster_id": "1", "revision": REVISION, "raft_term": "1"});
    Some(json!({"header": header, "count": items.len().to_string(), "kvs": items}))
}
