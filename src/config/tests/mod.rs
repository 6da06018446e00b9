//! Documents and what is said of them.

mod binding;
mod credentials;
mod etcd;
mod forms;
mod message_signatures;
mod oauth;
mod opaque;
mod passkeys;
mod policy;
mod sessions;
mod whole;

use prost_types::{ListValue, Struct, Value as ProtoValue, value::Kind};
use serde_json::{Map, Value};

use super::decode;

/// A document that has a bit of everything.
fn base() -> Value {
    serde_json::from_str(include_str!("base.json")).expect("base.json is JSON")
}

/// The faults of a document as lines; empty: it is good.
fn faults(document: &Value) -> Vec<String> {
    faults_of(document.to_string().as_bytes())
}

fn faults_of(bytes: &[u8]) -> Vec<String> {
    decode(bytes).err().unwrap_or_default().faults.iter().map(ToString::to_string).collect()
}

/// [`base`] with what stands at a JSON pointer replaced by JSON text, or removed for the text `-`.
fn with(pointer: &str, json: &str) -> Value {
    let mut document = base();
    let (parent, last) = pointer.rsplit_once('/').expect("a pointer begins with /");
    let parent = document.pointer_mut(parent).unwrap_or_else(|| panic!("{pointer} has no parent"));
    let value = (json != "-").then(|| serde_json::from_str(json).unwrap_or_else(|e| panic!("{json}: {e}")));
    match (parent, value) {
        (Value::Object(map), Some(value)) => drop(map.insert(last.to_owned(), value)),
        (Value::Object(map), None) => drop(map.shift_remove(last)),
        (Value::Array(list), value) => {
            let index: usize = last.parse().expect("an index");
            match value {
                Some(value) if index == list.len() => list.push(value),
                Some(value) => list[index] = value,
                None => drop(list.remove(index)),
            }
        }
        _ => panic!("{pointer} leads through a scalar"),
    }
    document
}

/// One place in the document: what may stand there, and what may not with all that is said of it.
struct Row(&'static str, &'static str, &'static str, &'static [&'static str]);

fn check(rows: &[Row]) {
    for Row(pointer, good, bad, expected) in rows {
        let none: [String; 0] = [];
        assert_eq!(faults(&with(pointer, good)), none, "good {pointer} = {good}");
        assert_eq!(faults(&with(pointer, bad)), *expected, "bad {pointer} = {bad}");
    }
}

/// What Envoy makes of YAML.
fn to_struct(map: &Map<String, Value>) -> Struct {
    Struct { fields: map.iter().map(|(name, value)| (name.clone(), to_proto(value))).collect() }
}

fn to_proto(value: &Value) -> ProtoValue {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(v) => Kind::BoolValue(*v),
        Value::Number(v) => Kind::NumberValue(v.as_f64().expect("a number")),
        Value::String(v) => Kind::StringValue(v.clone()),
        Value::Array(v) => Kind::ListValue(ListValue { values: v.iter().map(to_proto).collect() }),
        Value::Object(v) => Kind::StructValue(to_struct(v)),
    };
    ProtoValue { kind: Some(kind) }
}
