//! The page about bringing a change into force is done as written, and what commands say of shadows.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::text;

const SHADOW: &str = "\n  shadow:\n    authenticate: {anyOf: [{jwt: corp}]}";

const SUITE: &str = r#"
at: 2027-01-15T08:00:00Z
tokens:
  vera: {provider: corp, claims: {sub: vera, roles: [viewer]}}
cases:
- {name: tokens read, request: {url: "https://api.example.com/orders", token: vera}, expect: Allow}
- {name: keys do not, request: {url: "https://api.example.com/orders", apiKey: reader}, expect: credentials_missing}
"#;

const LOG: &str = r#"[2027-01-15 08:00:00.000][12][warning][wasm] wasm log portcullis: {"decision":"allow","rule":"read","method":"GET","path":"/orders","principal":"reader","kind":"api-key","credential":"reader","shadow":"would_deny","shadowReason":"credentials_missing"}
[2027-01-15 08:00:10.000][12][warning][wasm] wasm log portcullis: {"decision":"allow","rule":"read","method":"GET","path":"/orders","principal":"reader","kind":"api-key","credential":"reader","shadow":"would_deny","shadowReason":"credentials_missing","repeated":6}
[2027-01-15 08:00:11.000][12][warning][wasm] wasm log portcullis: {"decision":"deny","reason":"no_rule","method":"GET","path":"/x"}
"#;

/// A folder with what the page speaks of.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let testing = include_str!("../../docs/testing.md");
    let policy = testing.split("```yaml\n").find(|block| block.starts_with("jwt:")).unwrap();
    let policy = policy.split("\n```").next().unwrap();
    let page = include_str!("../../docs/rollout.md");
    let shadow = page.split("```yaml\n").nth(1).unwrap().split("\n```").next().unwrap();
    let rule = shadow.strip_suffix(SHADOW).unwrap();
    assert!(policy.contains(rule), "{rule}");
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("policy.yaml", policy);
    write("shadow.yaml", &policy.replace(rule, shadow));
    write("next.yaml", &policy.replace("[{jwt: corp}, apiKey]", "[{jwt: corp}]"));
    write("suite.yaml", SUITE);
    write("envoy.log", LOG);
    folder
}

fn shell(folder: &Path, command: &str) -> (bool, String) {
    let own = Path::new(env!("CARGO_BIN_EXE_portcullis")).parent().unwrap().to_owned();
    let path = std::env::var_os("PATH").unwrap();
    let path = std::env::join_paths([own].into_iter().chain(std::env::split_paths(&path))).unwrap();
    let done =
        Command::new("sh").args(["-c", command]).current_dir(folder).env("PATH", path).output().unwrap();
    (done.status.success(), text(done.stdout) + &text(done.stderr))
}

#[test]
fn the_page_about_bringing_a_change_into_force_is_done_as_written() {
    let folder = folder();
    let page = include_str!("../../docs/rollout.md");
    let mut commands: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("$ ")).collect();
    for (begins, expected) in [
        ("portcullis check next.yaml", "hash "),
        ("portcullis test", "2 passed, 0 failed"),
        ("portcullis diff policy.yaml", "closed: "),
        ("portcullis check shadow.yaml", "hash "),
        ("portcullis explain", "\nshadow: would_deny credentials_missing\n"),
        ("portcullis report", "0          7           0  credentials_missing\n"),
        ("portcullis diff shadow.yaml", "closed: "),
    ] {
        let command = commands.remove(0);
        assert!(command.starts_with(begins), "{command} is in the place of {begins}");
        let (is_done, said) = shell(folder.path(), command);
        assert!(is_done && said.contains(expected), "{command}:\n{said}");
    }
    assert!(commands.is_empty(), "{commands:?}");
}

#[test]
fn suites_expect_of_shadows_what_explain_says() {
    let folder = folder();
    let (_, said) = shell(folder.path(), "portcullis explain -p shadow.yaml https://api.example.com/health");
    assert!(!said.contains("shadow:"), "{said}");
    for (who, expect, is_met) in [
        (
            json!({"apiKey": "reader"}),
            json!({"shadow": "would_deny", "shadowReason": "credentials_missing"}),
            true,
        ),
        (json!({"apiKey": "reader"}), json!({"decision": "Allow", "shadow": "would_deny"}), true),
        (
            json!({"apiKey": "reader"}),
            json!({"shadow": "would_deny", "shadowReason": "token_expired"}),
            false,
        ),
        (json!({"apiKey": "reader"}), json!({"shadow": null}), false),
        (json!({"token": "vera"}), json!({"shadow": null}), true),
        (json!({"token": "vera"}), json!({"shadow": "would_allow"}), false),
    ] {
        let mut request = json!({"url": "https://api.example.com/orders"});
        request.as_object_mut().unwrap().extend(who.as_object().unwrap().clone());
        let suite = json!({
            "policy": "shadow.yaml",
            "tokens": {"vera": {"provider": "corp", "claims": {"sub": "vera", "roles": ["viewer"]}}},
            "cases": [{"name": "one", "request": request, "expect": expect}],
        });
        fs::write(folder.path().join("one.json"), suite.to_string()).unwrap();
        let (is_done, said) = shell(folder.path(), "portcullis test one.json");
        assert_eq!(is_done, is_met, "{request} {expect}: {said}");
    }
    let faulty = SUITE.replace("expect: Allow", "expect: {shadow: Deny, shadowReason: none}");
    fs::write(folder.path().join("suite.yaml"), faulty).unwrap();
    let (is_done, said) = shell(folder.path(), "portcullis test suite.yaml --policy next.yaml");
    let told = "cases[0].expect: shadow is would_deny, would_allow, unknown or null";
    assert!(!is_done && said.contains(told) && said.contains("there is no reason \"none\""), "{said}");
}

/// Who agrees is said so, where a shadow decides.
#[test]
fn explain_says_what_shadows_make_of_a_request() {
    let folder = folder();
    let explain = |arguments: &str| -> Value {
        let command = format!("portcullis explain -p shadow.yaml --output json {arguments}");
        serde_json::from_str(&shell(folder.path(), &command).1).unwrap()
    };
    let token = r#"--claims 'corp={"sub": "vera", "roles": ["viewer"]}'"#;
    assert_eq!(explain(&format!("https://api.example.com/orders {token}"))["shadow"], "the same");
    assert_eq!(explain("https://api.example.com/health")["shadow"], Value::Null);
    let with_next = fs::read_to_string(folder.path().join("policy.yaml")).unwrap();
    let next = "shadow:\n  rules:\n  - {name: later, action: Deny}\n";
    fs::write(folder.path().join("shadow.yaml"), format!("{with_next}\n{next}")).unwrap();
    let told = explain("https://api.example.com/orders --api-key reader");
    assert_eq!(told["shadow"], "would_deny rule_denied by rule later");
    assert_eq!(told["record"]["shadowRule"], "later");
}
