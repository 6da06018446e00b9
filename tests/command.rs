//! The native command, as a user runs it.
#![expect(clippy::unwrap_used, reason = "test code may panic")]

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

fn run(arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_policy_is_checked_as_the_module_would() {
    let rule = r#"{"name": "health", "matches": [{"path": {"type": "Exact", "value": "/health"}}],
                   "authenticate": {"anonymous": true}"#;
    let good = run(&["check", "-"], &format!("{{\"rules\": [{rule}}}]}}"));
    assert!(good.status.success() && good.stderr.is_empty(), "{good:?}");

    let odd =
        run(&["check", "-"], &format!("{{\"roles\": [{{\"name\": \"idle\"}}], \"rules\": [{rule}}}]}}"));
    assert!(odd.status.success(), "{odd:?}");
    let said = String::from_utf8(odd.stderr).unwrap();
    assert_eq!(said, "-: warning: roles[0]: gives nothing that a rule asks for\n");

    let bad =
        run(&["check", "-"], &format!("{{\"rules\": [{rule}, \"rateLimits\": [\"reads\"], \"nam\": 1}}]}}"));
    let said = String::from_utf8(bad.stderr).unwrap();
    assert!(!bad.status.success());
    for expected in ["-: rules[0].rateLimits[0]: unknown limit \"reads\"", "-: rules[0].nam: unknown field"] {
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn a_new_key_comes_with_the_hash_that_a_policy_takes() {
    let made = run(&["key"], "");
    let text = String::from_utf8(made.stdout).unwrap();
    let hash = text.lines().find_map(|line| line.strip_prefix("hash: ")).unwrap();
    let policy = format!(
        r#"{{"apiKeys": {{"keys": [{{"id": "a", "hash": "{hash}"}}]}},
             "rules": [{{"name": "all", "authenticate": {{"anyOf": ["apiKey"]}}}}]}}"#
    );
    assert!(run(&["check", "-"], &policy).status.success(), "{text}");
    assert_ne!(text, String::from_utf8(run(&["key"], "").stdout).unwrap());
}

#[test]
fn anything_else_is_told_how() {
    for arguments in [&[][..], &["check"], &["check", "/nowhere/policy.json"], &["keys"]] {
        let refused = run(arguments, "");
        assert!(!refused.status.success() && !refused.stderr.is_empty(), "{arguments:?}");
    }
}
