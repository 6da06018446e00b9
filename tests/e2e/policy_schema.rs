//! The schema of the policy and its reader agree, asked of a validator that is not ours (Python's `jsonschema`).

use std::{collections::BTreeSet, fs, process::Command};

use portcullis::config;
use serde_json::{Value, json};

use crate::harness::artifact;

/// Says of each document in a file whether the schema in another takes it.
const VALIDATE: &str = "
import json, sys
from jsonschema import Draft202012Validator
schema, documents = (json.load(open(path)) for path in sys.argv[1:])
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema)
print(json.dumps([validator.is_valid(document) for document in documents]))
";

/// What no schema can say: how messages go on that are about something elsewhere in the document, or about what a value
/// means. One of them is in every fault list of a document that the schema takes.
const BEYOND_A_SCHEMA: [&str; 12] = [
    // Names that are defined elsewhere, and sections that must be there for a reference.
    "unknown ",
    "duplicate ",
    "the policy has no ",
    "apiKeys.levels does not say ",
    "no role or level grants ",
    // One header for two purposes, or one of those that are removed by default.
    "is set by ",
    "is not removed by default",
    // A duration's range: it is text.
    "must be from ",
    // What another field's value asks for.
    "required for authorization",
    // Lengths that only decoding shows, and the order of two times.
    "is not base64url without padding",
    "is not after notBefore",
    "has no effect without remoteAddress",
];

/// What stands in the place of each value in turn; `null` takes it away.
fn spoilers() -> [Value; 15] {
    [
        Value::Null,
        json!(true),
        json!(7),
        json!(-1),
        json!(1e12),
        json!(1.5),
        json!(""),
        json!("a b"),
        json!("\u{1}"),
        json!("*"),
        json!("9999h"),
        json!([]),
        json!({}),
        json!({"unknown": 1}),
        json!(["a", "a"]),
    ]
}

fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    let mut below = |step: &str, value: &Value| {
        let at = format!("{at}/{step}");
        found.push(at.clone());
        places(value, &at, found);
    };
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| below(name, value)),
        Value::Array(items) => items.iter().enumerate().for_each(|(i, value)| below(&i.to_string(), value)),
        _ => {}
    }
}

/// `document` with something else at `place`, or nothing.
fn spoiled(document: &Value, place: &str, value: &Value) -> Value {
    let mut document = document.clone();
    let (parent, last) = place.rsplit_once('/').unwrap();
    match document.pointer_mut(parent).unwrap() {
        Value::Object(members) if value.is_null() => drop(members.shift_remove(last)),
        Value::Array(items) if value.is_null() => drop(items.remove(last.parse().unwrap())),
        parent => *parent.pointer_mut(&format!("/{last}")).unwrap() = value.clone(),
    }
    document
}

#[test]
fn the_schema_and_the_reader_agree() {
    let reference = include_str!("../../docs/policy.md");
    let example = reference.split("```json").nth(1).unwrap().split("```").next().unwrap();
    let good: Vec<Value> = [include_str!("../../src/config/tests/base.json"), example]
        .map(|text| serde_json::from_str(text).unwrap())
        .into();
    let mut documents = good.clone();
    for document in &good {
        let mut found = Vec::new();
        places(document, "", &mut found);
        let each = |place: &String| spoilers().map(|value| spoiled(document, place, &value));
        documents.extend(found.iter().flat_map(each));
    }
    for (place, value) in [
        ("/roles/1/name", json!("viewer")),
        ("/identityHeaders/kind", json!("X-User")),
        ("/apiKeys/keys/0/expiresAt", json!("2025-01-01T00:00:00Z")),
        ("/rateLimits/0/key/0", json!({"header": "x-a"})),
    ] {
        let mut document = good[0].clone();
        let (parent, last) = place.rsplit_once('/').unwrap();
        match document.pointer_mut(parent).unwrap() {
            Value::Object(members) => drop(members.insert(last.to_owned(), value)),
            parent => parent[last.parse::<usize>().unwrap()] = value,
        }
        documents.push(document);
    }
    let folder = tempfile::tempdir().unwrap();
    let (schema, list) = (folder.path().join("schema.json"), folder.path().join("documents.json"));
    fs::write(&schema, config::schema().to_string()).unwrap();
    fs::write(&list, Value::from(documents.clone()).to_string()).unwrap();
    let python = artifact("PORTCULLIS_PYTHON");
    let said = Command::new(python).args(["-c", VALIDATE]).args([&schema, &list]).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let valid: Vec<bool> = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(valid.len(), documents.len());

    let (mut disagree, mut refused, mut used) = (Vec::new(), 0, BTreeSet::new());
    for (at, (document, valid)) in documents.iter().zip(valid).enumerate() {
        let faults = config::decode(document.to_string().as_bytes()).err().unwrap_or_default().faults;
        refused += usize::from(!faults.is_empty());
        let beyond = faults
            .iter()
            .find_map(|fault| BEYOND_A_SCHEMA.iter().position(|start| fault.message.contains(start)));
        if valid && !faults.is_empty() {
            used.extend(beyond);
        }
        let agrees = match (valid, faults.is_empty()) {
            (true, true) | (false, false) => true,
            (true, false) => beyond.is_some(),
            (false, true) => false,
        };
        if !agrees || (at < good.len() && !valid) {
            let text = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            disagree.push(format!("by the schema {valid}, by the reader {text:?}: {document}"));
        }
    }
    assert!(disagree.is_empty(), "{} documents:\n{}", disagree.len(), disagree.join("\n"));
    assert!(refused > 300, "{refused}");
    // Each row of the list is needed.
    assert_eq!(used.len(), BEYOND_A_SCHEMA.len(), "{used:?}");
}
