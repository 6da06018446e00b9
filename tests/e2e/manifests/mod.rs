//! The manifests in `envoy/` for Istio, Envoy Gateway and Kubernetes: valid by their published schemas, safe by our
//! own rules, and decided with by a real Envoy that has what the control planes would make of them.

mod envoy_gateway;
mod istio;
mod kubernetes;
mod rules;
mod schemas;
mod site;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

use crate::harness::{api_key_hash, artifact, repository};

/// The hash of no key, which stands in every recipe.
const NO_KEY: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";
/// The key that the tests put in its place.
const KEY: &str = "pk_test_reports_0123456789abcdefghijklmnopqrstuvwxyz";

/// The folders below `envoy` that hold manifests.
const RECIPES: [&str; 3] = ["envoy-gateway", "istio", "kubernetes"];

/// The manifests of a recipe, in the order of their names; what kustomize reads is none.
fn files(recipe: &str) -> Vec<PathBuf> {
    let folder = repository().join("envoy").join(recipe);
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|ending| ending == "yaml")).collect();
    files.retain(|path| !path.ends_with("kustomization.yaml"));
    files.sort();
    assert!(!files.is_empty(), "{recipe}");
    files
}

/// Runs `manifests.py`.
fn run(arguments: &[&Path]) -> Output {
    let script = repository().join("tests/e2e/manifests/manifests.py");
    let output = Command::new(artifact("PORTCULLIS_PYTHON")).arg(script).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The documents in a text.
pub(crate) fn documents(yaml: &str) -> Vec<Value> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("documents.yaml");
    fs::write(&file, yaml).unwrap();
    serde_json::from_slice(&run(&[Path::new("read"), &file]).stdout).unwrap()
}

/// All objects of a recipe.
fn objects(recipe: &str) -> Vec<Value> {
    let files = files(recipe);
    let arguments: Vec<&Path> =
        [Path::new("read")].into_iter().chain(files.iter().map(PathBuf::as_path)).collect();
    serde_json::from_slice(&run(&arguments).stdout).unwrap()
}

/// The object of a kind and a name.
fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let mut found = objects.iter().filter(|object| object["kind"] == kind);
    let named = found.find(|object| object["metadata"]["name"] == name);
    named.unwrap_or_else(|| panic!("no {kind} {name}"))
}

/// The only object of a kind.
fn only<'a>(objects: &'a [Value], kind: &str) -> &'a Value {
    let mut found = objects.iter().filter(|object| object["kind"] == kind);
    let only = found.next().unwrap_or_else(|| panic!("no {kind}"));
    assert!(found.next().is_none(), "more than one {kind}");
    only
}

/// The policy with an API key that the tests know.
fn with_key(policy: &Value) -> Value {
    let mut policy = policy.clone();
    let hash = &mut policy["apiKeys"]["keys"][0]["hash"];
    assert_eq!(*hash, NO_KEY);
    *hash = api_key_hash(KEY).into();
    policy
}
