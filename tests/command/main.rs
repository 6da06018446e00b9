//! The native command, as a user runs it.
#![expect(clippy::unwrap_used, clippy::string_slice, reason = "test code may panic")]

use std::{
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

mod diff;
mod files;
mod imports;
mod keys;
mod manual;
mod pages;
mod recipes;
mod records;
mod rollout;
#[path = "../../examples/demo/signing.rs"]
#[expect(dead_code, reason = "the demo uses more of it")]
mod signing;
mod signing_keys;
mod tools;

/// Runs the command in `directory` of the repository.
fn run_in(directory: &str, arguments: &[&str], input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(directory))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It may end without reading.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

fn run(arguments: &[&str], input: &str) -> Output {
    run_in(".", arguments, input)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

const SCHEMA: &str = "docs/policy.schema.json";
const RULE: &str = r#"{"name": "health", "matches": [{"path": {"type": "Exact", "value": "/health"}}],
                       "authenticate": {"anonymous": true}"#;
/// What is said of a policy of this rule alone.
const GOOD: &str = "good: 1 rules, 0 token providers, hash 160523898333949\n";

#[test]
fn a_policy_is_checked_as_the_module_would() {
    let good = run(&["check", "-"], &format!("{{\"rules\": [{RULE}}}]}}"));
    assert!(good.status.success() && good.stderr.is_empty(), "{good:?}");
    assert_eq!(text(good.stdout), format!("-: {GOOD}"));

    let bad =
        run(&["check", "-"], &format!("{{\"rules\": [{RULE}, \"rateLimits\": [\"reads\"], \"nam\": 1}}]}}"));
    assert_eq!(bad.status.code(), Some(1));
    let said = text(bad.stderr);
    for expected in [
        "error: unknown limit \"reads\"; rateLimits defines none\n",
        "^^^^^^^ rules[0].rateLimits[0]\n",
        "error: unknown field; did you mean \"name\"?\n",
        "^^^^^ rules[0].nam\n",
        "-: 2 faults\n",
    ] {
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn warnings_are_told_and_may_be_denied() {
    let odd = format!("{{\"roles\": [{{\"name\": \"idle\"}}], \"rules\": [{RULE}}}]}}");
    for (arguments, code) in [(&["check", "-"][..], 0), (&["check", "--deny-warnings", "-"], 1)] {
        let told = run(arguments, &odd);
        assert_eq!(told.status.code(), Some(code));
        let said = text(told.stderr);
        assert!(said.starts_with("warning: gives nothing that a rule asks for\n"), "{said}");
        assert!(said.ends_with("^^^^^^^^^^^^^^^^ roles[0]\n\n-: 1 warning\n"), "{said}");
    }
    let good = format!("{{\"rules\": [{RULE}}}]}}");
    assert!(run(&["check", "--deny-warnings", "-"], &good).status.success());
}

/// Made anew with `PORTCULLIS_RENEW=1`, as what the command says of broken files is.
#[test]
fn the_schema_that_editors_read_is_the_one_that_is_printed() {
    let printed = run(&["schema"], "");
    assert!(printed.status.success() && printed.stderr.is_empty(), "{printed:?}");
    let (file, schema) = (Path::new(env!("CARGO_MANIFEST_DIR")).join(SCHEMA), text(printed.stdout));
    if std::env::var_os("PORTCULLIS_RENEW").is_some() {
        std::fs::write(&file, &schema).unwrap();
    }
    assert!(
        std::fs::read_to_string(file).unwrap() == schema,
        "{SCHEMA} is not what `portcullis schema` prints"
    );
    let demo = include_str!("../../envoy/demo/policy.yaml");
    assert!(demo.starts_with(&format!("# yaml-language-server: $schema=../../{SCHEMA}\n")));
}

#[test]
fn anything_else_is_told_how() {
    for arguments in [
        &[][..],
        &["check"],
        &["check", "/nowhere/policy.json"],
        &["check", "tests"],
        &["check", "--output", "xml", "-"],
        &["keys"],
        &["key"],
        &["key", "list"],
        &["completions", "cmd"],
    ] {
        let refused = run(arguments, "");
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert!(!refused.stderr.is_empty(), "{arguments:?}");
    }
    // What can be read is checked all the same.
    let both = run(&["check", "/nowhere/policy.json", "-"], &format!("{{\"rules\": [{RULE}}}]}}"));
    assert_eq!((both.status.code(), text(both.stdout)), (Some(2), format!("-: {GOOD}")));
}

#[test]
fn it_says_what_it_can() {
    for (arguments, expected) in [
        (&["-V"][..], concat!("portcullis ", env!("CARGO_PKG_VERSION"), "\n")),
        (&["--version"], concat!("portcullis ", env!("CARGO_PKG_VERSION"), "\npolicy document 1\n")),
        (&["--help"], "Usage: portcullis <COMMAND>"),
        (&["check", "--help"], "--deny-warnings"),
        (&["completions", "bash"], "_portcullis"),
        (&["completions", "zsh"], "#compdef portcullis"),
        (&["completions", "fish"], "complete -c portcullis"),
    ] {
        let told = run(arguments, "");
        assert!(told.status.success(), "{arguments:?}");
        let said = text(told.stdout);
        assert!(said.contains(expected), "{arguments:?}: {said}");
    }
}

const FAULTY_POLICY: &str =
    "rules:\n- name: \"é\"\n  authenticate: {anonymous: on}\n  rateLimits: [reads]\nroles:\n- {name: idle}\n";

#[test]
fn programs_are_told_in_json() {
    let told = run(&["check", "--output", "json", "-"], FAULTY_POLICY);
    assert_eq!((told.status.code(), told.stderr.len()), (Some(1), 0));
    let report: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    assert_eq!((&report["faults"], &report["warnings"]), (&2.into(), &0.into()));
    assert_eq!(report["policies"][0]["good"], false);
    let finding = serde_json::json!({
        "level": "fault", "file": "-", "line": 4, "column": 16, "endLine": 4, "endColumn": 21, "policy": null,
        "path": "rules[0].rateLimits[0]", "message": "unknown limit \"reads\"; rateLimits defines none", "note": null,
    });
    assert_eq!(report["findings"][1], finding);
    assert_eq!(report["findings"][0]["endColumn"], 12, "in characters");
}

/// What SARIF 2.1.0 asks of a log, section by section.
#[test]
fn code_hosts_are_told_in_sarif() {
    let told =
        run_in("tests/command/faulty", &["check", "--output", "sarif", "yaml-octal.yaml", "policy.yaml"], "");
    assert_eq!((told.status.code(), told.stderr.len()), (Some(1), 0));
    let log: serde_json::Value = serde_json::from_slice(&told.stdout).unwrap();
    // Sections 3.13.2, 3.14.6, 3.18 and 3.19.
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    assert_eq!(run["tool"]["driver"]["name"], "portcullis");
    let rules = run["tool"]["driver"]["rules"].as_array().unwrap();
    let results = run["results"].as_array().unwrap();
    assert_eq!(results.len(), 5);
    for result in results {
        // Section 3.27.
        assert!(rules.iter().any(|rule| rule["id"] == result["ruleId"]), "{result}");
        assert_eq!(result["level"], "error");
        assert!(!result["message"]["text"].as_str().unwrap().is_empty());
        let place = &result["locations"][0]["physicalLocation"];
        assert!(place["artifactLocation"]["uri"].as_str().unwrap().ends_with(".yaml"));
        let region = |name: &str| place["region"][name].as_u64().unwrap();
        assert!(region("startLine") >= 1 && region("startColumn") >= 1);
        assert!(region("endLine") == region("startLine") && region("endColumn") > region("startColumn"));
    }
    let said = results[0]["message"]["text"].as_str().unwrap();
    let expected = "jwt.providers[0].audiences[0]: expected a string, found a number; put it in quotes \
                    (Envoy reads 010 without quotes as the number 8)";
    assert_eq!(said, expected);
}
