//! Files as people have them: what the command says of each.
//!
//! Beside each file in `faulty` stands what is said of it, as `<file>.txt`. After a change that is meant to change that,
//! run the tests with `PORTCULLIS_RENEW=1`, which writes it anew, and read the difference.

use std::{fs, path::Path};

use crate::{
    run_in,
    signing::{Kind, SigningKey},
    text,
};

const GOOD: &str = "tests/command/good";
const FAULTY: &str = "tests/command/faulty";

/// The files of `directory` in order, without what is said of them.
fn files(directory: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = entries.filter(|name| !name.ends_with(".txt")).collect();
    names.sort();
    names
}

#[test]
fn every_fault_is_shown_where_it_stands() {
    let names = files(FAULTY);
    let mut differing = Vec::new();
    for name in &names {
        let told = run_in(FAULTY, &["check", name], "");
        assert_eq!(told.status.code(), Some(1), "{name}");
        let said = text(told.stderr);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(FAULTY).join(format!("{name}.txt"));
        if std::env::var_os("PORTCULLIS_RENEW").is_some() {
            fs::write(&path, &said).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if said != expected {
            differing.push(format!("{name} was\n{expected}\nand is\n{said}"));
        }
    }
    assert!(differing.is_empty(), "{}\n(PORTCULLIS_RENEW=1 writes them anew)", differing.join("\n"));
}

#[test]
fn good_files_of_every_kind_are_good() {
    for name in files(GOOD) {
        let told = run_in(GOOD, &["check", "--deny-warnings", &name], "");
        assert!(told.status.success(), "{name}: {}", text(told.stderr));
        assert!(text(told.stdout).contains(": good: "), "{name}");
    }
}

#[test]
fn the_page_shows_what_is_said() {
    let read = |path: &str| fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap();
    let said = read("tests/command/faulty/policy.yaml.txt");
    let example = format!("```console\n$ portcullis check policy.yaml\n{said}```\n");
    assert!(read("docs/check.md").contains(&example), "docs/check.md does not show\n{example}");
}

/// A `configuration` that stands alone, where it stands in a file of Envoy; any other block as it is.
fn in_a_filter(block: &str) -> String {
    let outer = block.bytes().take_while(|byte| *byte == b' ').count();
    if !block.trim_start().starts_with("configuration:") {
        return block.to_owned();
    }
    let wasm = "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm";
    let lines = block.lines().map(|line| format!("    {}\n", line.get(outer..).unwrap_or_default()));
    format!("name: portcullis\ntyped_config:\n  \"@type\": {wasm}\n  config:\n{}", lines.collect::<String>())
}

/// What the pages show of files of Envoy and Istio, the policy in them included. Blocks that leave something out (`..`)
/// are none.
#[test]
fn what_the_pages_show_is_good() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.chain([root.join("README.md"), root.join("SECURITY.md")]);
    let mut checked = 0;
    for page in pages.filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        let shown = fs::read_to_string(&page).unwrap();
        for block in shown.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap()) {
            let has_policy =
                ["google.protobuf.Struct", "google.protobuf.StringValue", "WasmPlugin", "pluginConfig"];
            if !has_policy.iter().any(|sign| block.contains(sign)) || block.contains("..\n") {
                continue;
            }
            let told = run_in(".", &["check", "--deny-warnings", "-"], &in_a_filter(block));
            assert!(told.status.success(), "{}: {}\n{block}", page.display(), text(told.stderr));
            assert!(text(told.stdout).contains(": good: "), "{block}");
            checked += 1;
        }
    }
    assert!(checked >= 3, "{checked}");
}

/// Everything that the repository shows as a policy of its own.
#[test]
fn what_the_repository_shows_is_good() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let shown = ["envoy/minimal-filter.yaml", "envoy/oauth2-login.yaml"];
    for file in shown {
        let told = run_in(".", &["check", "--deny-warnings", file], "");
        assert!(told.status.success(), "{file}: {}", text(told.stderr));
    }
    // Its values are filled in at set-up.
    let jwks = fs::read_to_string(root.join("tests/command/jwks.json")).unwrap();
    let demo = fs::read_to_string(root.join("envoy/demo/policy.yaml")).unwrap();
    let hashes = ["READER", "WRITER", "OPERATOR", "EXPIRED", "DISABLED"].iter().enumerate();
    let own = SigningKey::generate(Kind::P256, "gateway").and_then(|key| key.private_jwk()).unwrap();
    let demo = demo
        .replace("${JWKS}", jwks.trim())
        .replace("${GATEWAY_KEY}", &own.to_string())
        .replace("${ORIGIN}", "https://localhost:8443");
    let filled = hashes.fold(demo, |text, (n, name)| {
        text.replace(&format!("${{HASH_{name}}}"), &format!("sha256:{n:064x}"))
    });
    let told = run_in(".", &["check", "-"], &filled);
    assert!(told.status.success(), "{}", text(told.stderr));
    let page = fs::read_to_string(root.join("docs/policy.md")).unwrap();
    let example = page.split("## A full example").nth(1).unwrap().split("```json\n").nth(1).unwrap();
    let told = run_in(".", &["check", "-"], example.split("```").next().unwrap());
    assert!(told.status.success(), "{}", text(told.stderr));
    // Rules that are shown by themselves.
    let shown = ["encodedSlash: Keep", "matrixParameters: Keep", "caseSensitive: false"].map(|field| {
        let mut blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
        blocks.find(|block| block.contains(field)).unwrap()
    });
    let around = "
jwt:
  providers:
  - {name: corp, issuer: corp, anyAudience: true, algorithms: [ES256], claims: {roles: roles}, jwks: {uri: https://a/b, cluster: idp}}
roles: [{name: admin}]
rules:
";
    let told = run_in(".", &["check", "--deny-warnings", "-"], &format!("{around}{}", shown.concat()));
    assert!(told.status.success(), "{}", text(told.stderr));
    let apis = page.split("### protectedResources").nth(1).unwrap().split("```yaml\n").nth(1).unwrap();
    let told = run_in(".", &["check", "--deny-warnings", "-"], apis.split("```").next().unwrap());
    assert!(told.status.success(), "{}", text(told.stderr));
}
