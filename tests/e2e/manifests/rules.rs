//! What makes a recipe unsafe and no schema refuses.

use std::{fs, path::Path};

use portcullis::policy::Policy;
use serde_json::Value;

use super::{RECIPES, files, objects, run};
use crate::harness::repository;

/// Every text within a value, with the name of the member that it stands in.
fn texts<'a>(name: &'a str, value: &'a Value, found: &mut Vec<(&'a str, &'a str)>) {
    match value {
        Value::String(text) => found.push((name, text)),
        Value::Array(items) => items.iter().for_each(|item| texts(name, item, found)),
        Value::Object(members) => members.iter().for_each(|(name, value)| texts(name, value, found)),
        _ => {}
    }
}

/// The policies in an object.
fn policies(object: &Value) -> Vec<&Value> {
    match object["kind"].as_str().unwrap() {
        "WasmPlugin" => vec![&object["spec"]["pluginConfig"]],
        "EnvoyExtensionPolicy" => {
            object["spec"]["wasm"].as_array().unwrap().iter().map(|wasm| &wasm["config"]).collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn images_are_pinned_and_nothing_opens_when_it_fails() {
    for recipe in RECIPES {
        let (mut images, mut faults) = (0, Vec::new());
        for object in &objects(recipe) {
            let mut found = Vec::new();
            texts("", object, &mut found);
            for (name, text) in found {
                let is_image = name == "image" || name == "reference" || text.contains("ghcr.io/");
                images += usize::from(is_image);
                if is_image && text.split_once("@sha256:").is_none_or(|(_, digest)| digest.len() != 64) {
                    faults.push(format!("{name}: {text} is not pinned"));
                }
                if text.contains("latest") || text == "FAIL_OPEN" {
                    faults.push(format!("{name}: {text}"));
                }
            }
            let text = object.to_string();
            for open in ["\"failOpen\":true", "\"fail_open\":true", "FAIL_OPEN"] {
                if text.contains(open) {
                    faults.push(open.to_owned());
                }
            }
        }
        assert!(images > 0, "{recipe} has no image");
        assert_eq!(faults, Vec::<String>::new(), "{recipe}");
    }
}

/// The mark has a name of its own where a control plane names the plugin, and the interlock asks for that.
#[test]
fn every_recipe_has_the_interlock_that_its_policy_marks_for() {
    for recipe in ["envoy-gateway", "istio"] {
        let objects = objects(recipe);
        let marks: Vec<&Value> =
            objects.iter().flat_map(policies).map(|policy| &policy["interlock"]["mark"]).collect();
        let text =
            fs::read_to_string(files(recipe).iter().find(|file| file.ends_with("interlock.yaml")).unwrap());
        assert!(!marks.is_empty(), "{recipe}");
        for mark in marks {
            let asked = format!(
                "{{filter_state: {{key: wasm.{}, string_match: {{exact: allowed}}}}}}",
                mark.as_str().unwrap()
            );
            assert!(text.as_ref().unwrap().contains(&asked), "{recipe} lacks {asked}");
        }
    }
}

/// The extension configuration that the pod of `envoy/kubernetes` follows.
fn followed() -> Value {
    let file = repository().join("envoy/kubernetes/config/filter.yaml");
    let found: Value = serde_json::from_slice(&run(&[Path::new("read"), &file]).stdout).unwrap();
    found[0]["resources"][0]["typed_config"]["config"].clone()
}

/// As `portcullis check --deny-warnings` does.
#[test]
fn policies_in_manifests_compile_without_a_warning() {
    let followed = followed();
    assert_eq!(followed["failure_policy"], "FAIL_RELOAD");
    let objects: Vec<Value> = RECIPES.iter().flat_map(|recipe| objects(recipe)).collect();
    let policies: Vec<&Value> =
        objects.iter().flat_map(policies).chain([&followed["configuration"]["value"]]).collect();
    assert_eq!(policies.len(), RECIPES.len());
    for policy in policies {
        let compiled = Policy::compile(policy.to_string().as_bytes(), "test");
        let compiled = compiled.unwrap_or_else(|faults| panic!("{policy}: {faults:?}"));
        assert!(compiled.warnings().is_empty(), "{policy}: {:?}", compiled.warnings());
    }
}
