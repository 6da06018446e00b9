//! The schema of the policy and its reader agree, asked of a validator that is not ours (Python's `jsonschema`).

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use jsonwebtoken::Algorithm;
use portcullis::config;
use serde_json::{Value, json};

use crate::{
    api_keys, authorization, bad_policies, both_credentials, conditions, defaults, failures, forwarding,
    harness::{artifact, issuer::ISSUER_KEYS, repository},
    kept_paths, limit_clients, load, paths, preflights, rate_limits, remote_keys, secrets, shared_places,
    spellings, tokens, trailers,
};

#[path = "../decisions/document.rs"]
mod decisions;

/// Says of each document in a file whether the schema in another takes it.
pub(crate) const VALIDATE: &str = "
import json, sys
from jsonschema import Draft202012Validator
schema, documents = (json.load(open(path)) for path in sys.argv[1:])
Draft202012Validator.check_schema(schema)
validator = Draft202012Validator(schema)
print(json.dumps([validator.is_valid(document) for document in documents]))
";

/// Every policy in texts of YAML and JSON: objects with rules, also within text, as Envoy's `StringValue` has them.
const COLLECT: &str = "
import json, sys
from ruamel.yaml import YAML
def read(text):
    # As Kubernetes and Envoy do: on is true.
    yaml = YAML(typ='safe')
    yaml.version = (1, 1)
    return list(yaml.load_all(text))
def policies(node):
    if isinstance(node, dict):
        rules = node.get('rules')
        if isinstance(rules, list) and all(isinstance(rule, dict) and 'name' in rule for rule in rules):
            yield node
        else:
            for value in node.values():
                yield from policies(value)
    elif isinstance(node, list):
        for value in node:
            yield from policies(value)
    elif isinstance(node, str) and 'rules' in node and (node.lstrip().startswith('{') or '- name:' in node):
        yield from policies(read(node))
texts = json.load(open(sys.argv[1]))
print(json.dumps([list(policies(read(text))) for text in texts]))
";

/// What no schema can say: how messages go on that are about something elsewhere in the document, or about what a value
/// means. One of them is in every fault list of a document that the schema takes.
const BEYOND_A_SCHEMA: [&str; 15] = [
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
    // What JWKs hold, which are objects to the schema.
    "` is missing",
    "` has a wrong form",
    // How long a secret is.
    "and could be guessed",
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

/// What `script` prints of the files.
pub(crate) fn python(script: &str, files: &[&Path]) -> Value {
    let said = Command::new(artifact("PORTCULLIS_PYTHON")).args(["-c", script]).args(files).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    serde_json::from_slice(&said.stdout).unwrap()
}

/// The files below `folder` with one of the `endings`.
fn files(folder: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(repository().join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(path.to_str().unwrap(), endings));
        } else if path.extension().is_some_and(|extension| endings.iter().any(|ending| extension == *ending))
        {
            found.push(path);
        }
    }
    found
}

/// `text` with something in the place of each `${NAME}` that set-up fills in.
fn filled(text: &str) -> String {
    let mut parts = text.split("${");
    let mut filled = parts.next().unwrap().to_owned();
    for (n, part) in parts.enumerate() {
        let (name, rest) = part.split_once('}').unwrap();
        match name {
            "JWKS" => filled.push_str(&ISSUER_KEYS.jwks().to_string()),
            "GATEWAY_KEY" => filled.push_str(&ISSUER_KEYS.private_jwk(Algorithm::EdDSA).to_string()),
            "ORIGIN" => filled.push_str("https://localhost:8443"),
            name if name.starts_with("HASH_") => filled.push_str(&format!("sha256:{n:064x}")),
            _ => filled.push_str("filled-in"),
        }
        filled.push_str(rest);
    }
    filled
}

/// The policies that stand in files and pages, with where they stand.
fn written() -> Vec<(String, Value)> {
    let mut texts: Vec<(String, String)> = Vec::new();
    let kept =
        ["envoy", "tests/command/good"].into_iter().flat_map(|folder| files(folder, &["yaml", "json"]));
    for path in kept {
        texts.push((path.display().to_string(), filled(&fs::read_to_string(&path).unwrap())));
    }
    for path in files("docs", &["md"]).into_iter().chain([repository().join("README.md")]) {
        let page = fs::read_to_string(&path).unwrap();
        for block in page.split("```").skip(1).step_by(2) {
            let (language, text) = block.split_once('\n').unwrap_or_default();
            // `..` stands for what is left out.
            if ["yaml", "json"].contains(&language) && text.contains("rules") && !text.contains("..\n") {
                let outer = text.len() - text.trim_start_matches(' ').len();
                let lines = text.lines().map(|line| line.get(outer..).unwrap_or_default());
                texts.push((path.display().to_string(), lines.collect::<Vec<_>>().join("\n")));
            }
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("texts.json");
    fs::write(&list, json!(texts.iter().map(|(_, text)| text).collect::<Vec<_>>()).to_string()).unwrap();
    let found: Vec<Vec<Value>> = serde_json::from_value(python(COLLECT, &[&list])).unwrap();
    let places = texts.into_iter().map(|(place, _)| place);
    places
        .zip(found)
        .flat_map(|(place, found)| found.into_iter().map(move |one| (place.clone(), one)))
        .collect()
}

/// Policies with a bit of everything.
fn rich() -> [Value; 3] {
    let reference = include_str!("../../docs/policy.md");
    let example = reference.split("## A full example").nth(1).unwrap().split("```json").nth(1).unwrap();
    let example = example.split("```").next().unwrap();
    let set = ISSUER_KEYS.jwks();
    [
        serde_json::from_str(include_str!("../../src/config/tests/base.json")).unwrap(),
        serde_json::from_str(example).unwrap(),
        decisions::document(&set, &set),
    ]
}

/// Those that other tests begin with.
fn of_other_tests() -> Vec<Value> {
    vec![
        api_keys::policy(),
        authorization::policy(),
        bad_policies::good(),
        both_credentials::policy(),
        conditions::policy(),
        defaults::policy(),
        failures::policy(),
        forwarding::policy(),
        kept_paths::policy(),
        load::policy(),
        paths::policy(),
        preflights::policy(),
        limit_clients::policy(),
        rate_limits::policy(),
        remote_keys::policy(),
        secrets::policy(),
        shared_places::policy(),
        spellings::bases::policy(),
        tokens::policy(),
        trailers::policy(),
    ]
}

#[test]
fn the_schema_and_the_reader_agree() {
    let rich = rich();
    let written = written();
    for file in
        ["demo/policy.yaml", "minimal-filter.yaml", "oauth2-login.yaml", "gateway-policy.yaml", "README.md"]
    {
        assert!(written.iter().any(|(place, _)| place.ends_with(file)), "no policy in {file}");
    }
    assert!(written.len() > 12, "{}", written.len());
    let written = written.into_iter().map(|(_, policy)| policy);
    let good: Vec<Value> = rich.iter().cloned().chain(written).chain(of_other_tests()).collect();
    let mut documents = good.clone();
    // Of the one whose sections are the largest a seventh, with each kind of spoiler in its turn.
    for (document, step) in rich.iter().zip([1, 1, 7]) {
        let mut found = Vec::new();
        places(document, "", &mut found);
        let each = |place: &String| spoilers().map(|value| spoiled(document, place, &value));
        documents.extend(found.iter().flat_map(each).step_by(step));
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
    let valid: Vec<bool> = serde_json::from_value(python(VALIDATE, &[&schema, &list])).unwrap();
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
        if !agrees || (at < good.len() && !(valid && faults.is_empty())) {
            let text = faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
            disagree.push(format!("by the schema {valid}, by the reader {text:?}: {document}"));
        }
    }
    assert!(disagree.is_empty(), "{} documents:\n{}", disagree.len(), disagree.join("\n"));
    assert!(refused > 300, "{refused}");
    // Each row of the list is needed.
    assert_eq!(used.len(), BEYOND_A_SCHEMA.len(), "{used:?}");
}
