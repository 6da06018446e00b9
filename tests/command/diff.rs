//! `portcullis diff`, `who-can` and `can`, on the page that tells of them.

use std::fs;

use serde_json::Value;

use crate::{
    pages::{commands, shell},
    run, text,
};

const PAGE: &str = include_str!("../../docs/diff.md");
const TESTING: &str = include_str!("../../docs/testing.md");

/// The blocks of this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).map(|rest| format!("{}\n", rest.split("\n```").next().unwrap())).collect()
}

/// A folder with the policy of the page.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let policy = blocks(TESTING, "yaml").into_iter().find(|block| block.starts_with("jwt:")).unwrap();
    fs::write(folder.path().join("policy.yaml"), policy).unwrap();
    folder
}

#[test]
fn the_page_is_done_as_written() {
    let folder = folder();
    let commands = commands(PAGE);
    assert!(commands.len() > 10, "{commands:?}");
    let said: Vec<(&str, String)> =
        commands.iter().map(|command| (*command, shell(folder.path(), command))).collect();
    let of = |begins: &str| &said.iter().find(|(command, _)| command.starts_with(begins)).unwrap().1;
    let shown = blocks(PAGE, "text");
    assert_eq!(*of("portcullis diff policy.yaml new.yaml"), shown[0]);
    assert_eq!(*of("portcullis who-can GET"), shown[1]);
    assert_eq!(*of("portcullis can role:editor"), shown[2]);
    assert!(of("portcullis diff policy.yaml new.yaml --fail-on opened").ends_with("review this\n"));
    assert!(of("portcullis who-can DELETE").contains("\"nobody\": true"));
}

#[test]
fn how_it_ends_is_what_was_asked_for() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let policy = fs::read_to_string(at("policy.yaml")).unwrap();
    for (name, from, to) in [
        ("opened", "methods: [PUT]", "methods: [PUT, DELETE]"),
        ("closed", "{type: Exact, value: /health}", "{type: Exact, value: /healthy}"),
        ("changed", "Minute", "Hour"),
        ("beside", "audiences: [\"https://api.example.com\"]", "audiences: [\"https://other.example.com\"]"),
        ("harmless", "roles:\n", "realm: other\nroles:\n"),
        ("faulty", "roles:\n", "role:\n"),
    ] {
        assert!(policy.contains(from), "{from}");
        fs::write(at(name), policy.replacen(from, to, 1)).unwrap();
    }
    for (new, on, expected) in [
        ("policy.yaml", "any", 0),
        ("opened", "none", 0),
        ("opened", "opened", 1),
        ("opened", "closed", 0),
        ("opened", "any", 1),
        // Another path is opened, too.
        ("closed", "closed", 1),
        ("changed", "opened", 0),
        ("changed", "any", 1),
        ("beside", "opened", 1),
        ("harmless", "opened", 0),
        ("harmless", "any", 1),
        ("faulty", "none", 2),
        ("absent", "none", 2),
    ] {
        let done = run(&["diff", &at("policy.yaml"), &at(new), "--fail-on", on, "--output", "json"], "");
        assert_eq!(done.status.code(), Some(expected), "{new} {on} {}", text(done.stderr));
        if expected < 2 {
            let told: Value = serde_json::from_slice(&done.stdout).unwrap();
            assert_eq!(told["equal"], new == "policy.yaml", "{told:#}");
        }
    }
}

#[test]
fn callers_that_are_not_known_are_refused() {
    let folder = folder();
    let policy = folder.path().join("policy.yaml").to_str().unwrap().to_owned();
    for caller in ["role:nobody", "key:nobody", "claims:nobody={}", "claims:corp", "somebody", "user:a"] {
        let done = run(&["can", caller, "--policy", &policy], "");
        assert_eq!(done.status.code(), Some(2), "{caller}");
    }
    assert_eq!(run(&["who-can", "GET", "orders", "--policy", &policy], "").status.code(), Some(2));
}
