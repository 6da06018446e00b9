//! `portcullis explain` and `portcullis test`, on the policy of docs/testing.md.

use std::{fs, path::Path};

use serde_json::Value;

use crate::{
    pages::{commands, shell},
    run, run_in, text,
};

const PAGE: &str = include_str!("../../docs/testing.md");

/// The block of this language that begins so.
fn block(language: &str, begins: &str) -> String {
    let fence = format!("```{language}\n");
    let mut blocks = PAGE.split(&fence).skip(1).map(|rest| rest.split("\n```").next().unwrap());
    format!("{}\n", blocks.find(|block| block.starts_with(begins)).unwrap())
}

/// A folder with the policy and the suite of the page.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("policy.yaml"), block("yaml", "jwt:")).unwrap();
    fs::write(folder.path().join("page.yaml"), block("yaml", "policy:")).unwrap();
    folder
}

fn explain(folder: &Path, arguments: &[&str]) -> Value {
    let policy = folder.join("policy.yaml");
    let all = [&["explain", "-p", policy.to_str().unwrap(), "--output", "json"], arguments].concat();
    let done = run(&all, "");
    assert!(done.status.success(), "{}", text(done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

#[test]
fn the_page_is_done_as_written() {
    let folder = folder();
    let commands = commands(PAGE);
    assert!(commands.len() > 5, "{commands:?}");
    let said: Vec<_> = commands.into_iter().map(|command| shell(folder.path(), command)).collect();
    assert_eq!(said.first(), Some(&block("text", "DENY")));
    let junit = fs::read_to_string(folder.path().join("suite.xml")).unwrap();
    assert!(junit.contains("failures=\"0\"") && junit.contains("<testcase"), "{junit}");
    let page = folder.path().join("page.yaml");
    let done = run(&["test", page.to_str().unwrap()], "");
    assert!(text(done.stdout).contains(": 4 passed, 0 failed"));
}

/// Of a record under either kind of names, and of a policy that has its records written so.
#[test]
fn a_request_is_explained_from_its_record_whatever_its_names_are() {
    let folder = folder();
    let policy = folder.path().join("policy.yaml");
    let text = fs::read_to_string(&policy).unwrap();
    fs::write(&policy, format!("{text}decisionLog: {{names: Ecs, chain: true}}\n")).unwrap();
    let own = r#"[warning] {"decision":"deny","reason":"insufficient_permission","rule":"write","method":"PUT","path":"/orders/7","principal":"vera","kind":"jwt","authority":"corp"}"#;
    let ecs = r#"[warning] {"event.action":"deny","event.outcome":"failure","event.reason":"insufficient_permission","rule.name":"write","http.request.method":"PUT","url.path":"/orders/7","user.id":"vera","portcullis.kind":"jwt","portcullis.authority":"corp"}"#;
    for (line, path) in [(own, "own.log"), (ecs, "ecs.log")] {
        let file = folder.path().join(path);
        fs::write(&file, line).unwrap();
        let told = explain(folder.path(), &["--record", file.to_str().unwrap()]);
        assert_eq!(
            (&told["reason"], &told["record"]["rule"], &told["record"]["principal"]),
            (&"insufficient_permission".into(), &"write".into(), &"vera".into()),
            "{told}"
        );
    }
}

#[test]
fn each_condition_is_told_with_what_is_missing() {
    let folder = folder();
    let viewer = r#"corp={"sub": "vera", "roles": ["viewer"]}"#;
    let editor = r#"corp={"sub": "edda", "roles": ["editor"]}"#;
    for (arguments, decision, reason, rule) in [
        (&["/health"][..], "allow", None, Some("health")),
        (&["http://localhost/health"], "deny", Some("tls_required"), None),
        (&["/nothing"], "deny", Some("no_rule"), None),
        (&["/orders"], "deny", Some("credentials_missing"), Some("read")),
        (&["/orders", "--claims", viewer], "allow", None, Some("read")),
        (&["/orders", "--api-key", "reader"], "allow", None, Some("read")),
        (
            &["/orders", "--api-key", "reader", "--at", "2030-01-01T00:00:00Z"],
            "deny",
            Some("api_key_expired"),
            Some("read"),
        ),
        (
            &["-X", "PUT", "/orders/7", "--claims", viewer],
            "deny",
            Some("insufficient_permission"),
            Some("write"),
        ),
        (&["-X", "PUT", "/orders/7", "--claims", editor], "allow", None, Some("write")),
        (
            &["-X", "PUT", "/orders/7", "--api-key", "reader"],
            "deny",
            Some("credentials_missing"),
            Some("write"),
        ),
        (&["/orders", "-H", "authorization: Bearer x.y.z"], "deny", Some("token_malformed"), Some("read")),
    ] {
        let told = explain(folder.path(), arguments);
        assert_eq!(told["decision"], decision, "{arguments:?} {told}");
        assert_eq!(told["reason"].as_str(), reason, "{arguments:?}");
        assert_eq!(told["record"]["rule"].as_str(), rule, "{arguments:?}");
        assert_eq!(told["upstream"].is_null(), decision == "deny", "{arguments:?}");
        assert_eq!(told["client"].is_null(), decision == "allow", "{arguments:?}");
    }
    let told = explain(folder.path(), &["-X", "PUT", "/orders/7", "--claims", viewer]);
    assert_eq!(told["authorize"][0][0]["missing"], serde_json::json!(["orders:write"]));
    assert_eq!(told["rules"][1]["conditions"][0][1]["holds"], false);
    assert_eq!(told["rules"][2]["matches"], true);
    let told = explain(folder.path(), &["/orders", "--claims", viewer]);
    assert_eq!(told["rateLimits"][0]["counts"], true);
    let added = told["upstream"]["added"].as_array().unwrap();
    assert!(added.contains(&serde_json::json!(["x-portcullis-subject", "vera"])), "{added:?}");
    assert_eq!(told["upstream"]["removed"], serde_json::json!(["authorization"]));
}

/// A real token, verified with keys from a file, and never shown.
#[test]
fn real_tokens_are_verified_and_not_shown() {
    let folder = folder();
    let made =
        explain(folder.path(), &["/orders", "--claims", r#"corp={"sub": "vera", "roles": ["viewer"]}"#]);
    assert_eq!(made["decision"], "allow");
    let header = folder.path().join("header");
    let token = "eyJhbGciOiJSUzI1NiIsImtpZCI6ImsifQ.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlLmNvbSIsInN1YiI6InZlcmEifQ.c2VjcmV0c2VjcmV0";
    fs::write(&header, format!("authorization: Bearer {token}\n")).unwrap();
    let policy = folder.path().join("policy.yaml");
    let given = format!("@{}", header.display());
    for output in ["text", "json"] {
        let arguments =
            ["explain", "-p", policy.to_str().unwrap(), "/orders", "-H", &given, "--output", output];
        let done = run(&arguments, "");
        let said = text(done.stdout);
        assert!(done.status.success() && said.contains("token_"), "{said}");
        assert!(!said.contains("c2VjcmV0"), "{said}");
    }
}

#[test]
fn the_demo_does_what_its_suite_says() {
    let done = run(&["test", "envoy/demo/suite.yaml", "--coverage"], "");
    let said = text(done.stdout);
    assert!(done.status.success(), "{said}{}", text(done.stderr));
    assert!(said.ends_with(": 36 passed, 0 failed\n") || said.contains(": 36 passed, 0 failed ("), "{said}");
}

/// What is wrong is told with its place, all at once; and what is not as expected, with what it is.
#[test]
fn suites_with_faults_and_suites_that_fail() {
    let folder = folder();
    let suite = |cases: &str| {
        let tokens = "tokens: {vera: {provider: corp, claims: {sub: vera, roles: [viewer]}}}";
        fs::write(
            folder.path().join("own.yaml"),
            format!("policy: policy.yaml\n{tokens}\ncases:\n{cases}\n"),
        )
        .unwrap();
        run_in(folder.path().to_str().unwrap(), &["test", "own.yaml"], "")
    };
    for (cases, code, expected) in [
        ("- {name: a, request: GET /health, expect: Allow}", 0, "1 passed, 0 failed"),
        (
            "- {name: a, request: GET /health, expect: Deny}",
            1,
            "FAILED own.yaml: a\n       expected to be denied, but allowed by health\n",
        ),
        (
            "- {name: a, request: GET /orders, expect: {reason: token_expired, rule: read}}",
            1,
            "reason: expected token_expired, found credentials_missing\n",
        ),
        (
            "- {name: a, request: {url: /orders, token: vera}, expect: {upstream: {x-portcullis-subject: edda, x-portcullis-roles: null}}}",
            1,
            "upstream x-portcullis-subject: expected edda, found vera\n       upstream x-portcullis-roles: expected none, but it is there\n",
        ),
        (
            "- {name: a, steps: [{times: 5, request: {url: /orders, token: vera}, expect: Allow}]}",
            1,
            "request 4: expected to be allowed, but denied by read: rate_limited",
        ),
        (
            "- {name: a, request: GET /health, expects: Allow}",
            2,
            "own.yaml: cases[0].expects: unknown member",
        ),
        (
            "- {name: a, request: GET /health, expect: alow}",
            2,
            "cases[0].expect: there is no reason \"alow\"",
        ),
        (
            "- {request: {ulr: /, token: v}, expect: {decison: Allow}}",
            2,
            "cases[0].request.ulr: unknown member",
        ),
        ("- {name: a, request: {url: /, token: edda}, expect: Allow}", 2, "unknown token \"edda\""),
    ] {
        let done = suite(cases);
        assert_eq!(done.status.code(), Some(code), "{cases}");
        let said = [text(done.stdout), text(done.stderr)].concat();
        assert!(said.contains(expected), "{cases}: {said}");
    }
}

#[test]
fn templates_are_filled_and_what_fills_them_is_not_shown() {
    let folder = folder();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let policy = fs::read_to_string(at("policy.yaml")).unwrap();
    fs::write(at("template.yaml"), policy.replacen("{requests: 3, unit", "{requests: ${MOST}, unit", 1))
        .unwrap();
    fs::write(at("most"), "3\n").unwrap();
    let from_file = format!("MOST=@{}", at("most"));
    let (template, policy) = (at("template.yaml"), at("policy.yaml"));
    let url = "https://api.example.com/orders/7";
    for (given, code) in [
        (&["--fill", "MOST=3"][..], 0),
        (&["--fill", &from_file], 0),
        (&["--fill", "LEAST=3"], 2),
        (&["--fill", "MOST=none"], 1),
        (&["--fill", "MOST"], 2),
        (&["--fill", "MOST=@/no/such/file"], 2),
        (&[], 2),
    ] {
        let explained = run(&[&["explain", "-p", &template, url, "--api-key", "reader"], given].concat(), "");
        assert_eq!(explained.status.code(), Some(code), "{given:?} {}", text(explained.stderr));
        let compared = run(&[&["diff", &policy, &template, "--fail-on", "any"], given].concat(), "");
        // A policy with faults is one that cannot be compared.
        assert_eq!(
            compared.status.code(),
            Some(if code == 0 { 0 } else { 2 }),
            "{given:?} {}",
            text(compared.stderr)
        );
        let can = run(&[&["can", "role:viewer", "-p", &template], given].concat(), "");
        assert_eq!(can.status.success(), code == 0, "{given:?}");
    }
    let secret = run(&["explain", "-p", &policy, url, "--fill", "a-secret-without-a-name"], "");
    assert!(!text(secret.stderr).contains("secret"), "a value that may be a key is shown");
}
