//! Every manifest is valid by the schema that its project publishes, with unknown fields refused.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use super::{RECIPES, files, objects, only, run};
use crate::harness::repository;

/// `CustomResourceDefinition`s of Istio, Envoy Gateway and the Gateway API; they are no part of the repository.
fn definitions() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("PORTCULLIS_CRDS").map(PathBuf::from) {
        assert!(folder.exists(), "PORTCULLIS_CRDS names {}, which does not exist", folder.display());
        return Some(folder);
    }
    let folder = repository().join("../shared/vectors/schemas");
    folder.exists().then_some(folder)
}

fn faults(definitions: &Path, files: &[PathBuf]) -> String {
    let arguments: Vec<&Path> =
        [Path::new("check"), definitions].into_iter().chain(files.iter().map(PathBuf::as_path)).collect();
    String::from_utf8(run(&arguments).stdout).unwrap()
}

#[test]
fn every_manifest_follows_its_schema() {
    let Some(definitions) = definitions() else {
        let others = RECIPES.iter().filter(|recipe| **recipe != "kubernetes");
        let count: usize = others.map(|recipe| files(recipe).len()).sum();
        eprintln!(
            "every_manifest_follows_its_schema: no CustomResourceDefinitions, {count} files not checked"
        );
        // Kubernetes' own schemas are installed with what checks.
        let none = tempfile::tempdir().unwrap();
        assert_eq!(faults(none.path(), &files("kubernetes")), "");
        return;
    };
    for recipe in RECIPES {
        assert_eq!(faults(&definitions, &files(recipe)), "", "{recipe}");
    }
}

/// The part of `docs/kubernetes.md` that takes the place of the image volume.
#[test]
fn the_pod_without_image_volumes_follows_its_schema() {
    let page = fs::read_to_string(repository().join("docs/kubernetes.md")).unwrap();
    let part = page.split("```yaml\n").nth(1).unwrap().split("```").next().unwrap();
    let (dir, none) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = dir.path().join("part.yaml");
    fs::write(&file, part).unwrap();
    let part: Value = serde_json::from_slice(&run(&[Path::new("read"), &file]).stdout).unwrap();
    let mut deployment = only(&objects("kubernetes"), "Deployment").clone();
    let pod = &mut deployment["spec"]["template"]["spec"];
    pod["initContainers"] = part[0]["initContainers"].clone();
    let volumes = pod["volumes"].as_array_mut().unwrap();
    let module = volumes.iter_mut().find(|volume| volume["name"] == "module").unwrap();
    *module = part[0]["volumes"][0].clone();
    fs::write(&file, deployment.to_string()).unwrap();
    assert_eq!(faults(none.path(), &[file]), "");
}

/// The check itself finds what it is for.
#[test]
fn faults_of_manifests_are_found() {
    let Some(definitions) = definitions() else {
        eprintln!("faults_of_manifests_are_found: no CustomResourceDefinitions");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let good = only(&objects("istio"), "WasmPlugin").clone();
    for (pointer, value, told) in [
        ("/spec/failStrategy", json!("FAIL_RELOADS"), "'FAIL_RELOADS' is not one of"),
        ("/spec/fase", json!("AUTHN"), "'fase' was unexpected"),
        ("/spec/targetRefs/0/section", json!("https"), "'section' was unexpected"),
        ("/spec/sha256", json!("latest"), "does not match"),
        ("/apiVersion", json!("extensions.istio.io/v1"), "there is no schema of extensions.istio.io/v1"),
    ] {
        let mut bad = good.clone();
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        bad.pointer_mut(parent).unwrap()[name] = value;
        let file = dir.path().join("bad.yaml");
        fs::write(&file, bad.to_string()).unwrap();
        let faults = faults(&definitions, &[file]);
        assert!(faults.contains(told), "{pointer}: {faults}");
    }
}
