//! `portcullis report`, on lines as Envoy's log has them.

use serde_json::{Value, json};

use crate::{
    pages::{commands, shell},
    run, text,
};

const POLICY: &str = r#"
rules:
- {name: read, matches: [{path: {type: PathPrefix, value: /orders}, methods: [GET]}], authenticate: {anyOf: [apiKey]}, authorize: {permissions: ["orders:read"]}}
- {name: write, matches: [{path: {type: PathPrefix, value: /orders}}], authenticate: {anyOf: [apiKey]}, authorize: {permissions: ["orders:write"]}}
roles: [{name: viewer, permissions: ["orders:read"]}, {name: editor, permissions: ["orders:write"]}]
apiKeys:
  keys:
  - {id: k1, roles: [viewer], hash: "sha256:9c56cc51b374c3ba189210d5b6d4bf57790d351c96c47c02190ecf1e430635ab"}
  - {id: k2, roles: [editor], hash: "sha256:60303ae22b998861bce3b28f33eec1be758a213c86c93c076dbe9f558c11c752"}
"#;

const LOG: &str = r#"[2027-01-14 23:59:59.999][12][warning][wasm] wasm log: {"decision":"deny","reason":"no_rule","method":"GET","path":"/x"}
[2027-01-15 08:00:00.000][12][info][wasm] wasm log portcullis: {"decision":"allow","rule":"read","method":"GET","path":"/orders","principal":"it","kind":"api-key","credential":"k1"}
[2027-01-15 08:00:01.000][12][info][main] starting main dispatch loop
{"decision":"deny","reason":"insufficient_permission","missing":["orders:write"],"rule":"write","method":"PUT","path":"/orders","principal":"it","kind":"api-key","credential":"k1","repeated":41}
{"decision":"deny","reason":"rate_limited","rule":"read","principal":"bob\u001b[2J","kind":"jwt","limit":"reads"}
not {"decision":"a record
"#;

fn told(arguments: &[&str]) -> Value {
    let all = [&["report", "--output", "json"], arguments, &["-"]].concat();
    let done = run(&all, LOG);
    assert!(done.status.success(), "{}", text(done.stderr));
    serde_json::from_slice(&done.stdout).unwrap()
}

#[test]
fn records_are_counted_wherever_they_stand_in_a_log() {
    let tally =
        |allowed: u64, denied: u64| json!({"allowed": allowed, "denied": denied, "ended": 0, "wouldDeny": 0});
    let all = told(&[]);
    assert_eq!(all["requests"], tally(1, 43));
    assert_eq!(all["by"]["rule"], json!({"write": tally(0, 41), "read": tally(1, 1)}));
    assert_eq!(all["by"]["principal"]["it (api-key)"], tally(1, 41));
    for (arguments, expected) in [
        (&["--where", "credential=k1"][..], tally(1, 41)),
        (&["--where", "credential=k1", "--where", "decision=allow"], tally(1, 0)),
        (&["--where", "missing=orders:write"], tally(0, 41)),
        (&["--where", "credential=k2"], tally(0, 0)),
        (&["--since", "2027-01-15"], tally(1, 42)),
        (&["--since", "2027-01-15 08:00:00.001"], tally(0, 42)),
    ] {
        assert_eq!(told(arguments)["requests"], expected, "{arguments:?}");
    }
}

#[test]
fn people_are_told_the_most_frequent_first_and_no_terminal_obeys() {
    let done = run(&["report", "--by", "principal", "--top", "1", "-"], LOG);
    let expected = "44 requests: 1 allowed, 43 denied

  allowed    denied  principal
        1        41  it (api-key)
                      and 1 more (--top)
";
    assert_eq!(text(done.stdout), expected);
    let said = text(run(&["report", "-"], LOG).stdout);
    assert!(said.contains("bob\\u{1b}[2J") && !said.contains('\u{1b}'), "{said}");
}

#[test]
fn what_nobody_used_is_told_of_a_policy() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.yaml");
    std::fs::write(&policy, POLICY).unwrap();
    let unused = told(&["-p", policy.to_str().unwrap()])["unused"].clone();
    let expected = json!({
        "rules": ["write"], "permissions": ["orders:write"], "roles": ["editor"], "apiKeys": ["k2"],
        "rulesByApiKey": {"k1": ["read"]},
    });
    assert_eq!(unused, expected);
}

#[test]
fn what_cannot_be_read_is_said() {
    for (arguments, expected) in [
        (&["report", "nowhere.log"][..], "error: nowhere.log cannot be read: "),
        (&["report", "--where", "decision", "-"], "error: --where is MEMBER=VALUE"),
    ] {
        let done = run(arguments, "");
        assert_eq!(done.status.code(), Some(2));
        let said = text(done.stderr);
        assert!(said.starts_with(expected), "{said}");
    }
}

/// Every command of the page for whoever is on call, in one folder with a policy, later ones and a log.
#[test]
fn the_page_for_whoever_is_on_call_is_done_as_written() {
    let folder = tempfile::tempdir().unwrap();
    let page = include_str!("../../docs/on-call.md");
    let testing = include_str!("../../docs/testing.md");
    let policy = testing.split("```yaml\n").find(|block| block.starts_with("jwt:")).unwrap();
    let policy = policy.split("\n```").next().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("policy.yaml", policy);
    write("yesterday.yaml", &policy.replace("methods: [PUT]", "methods: [PUT, DELETE]"));
    write("new.yaml", &policy.replace("requests: 3", "requests: 4"));
    let log = LOG.replace("\"limit\":\"reads\"", "\"limit\":\"reads\",\"requestId\":\"x\"");
    let denied = r#"{"decision":"deny","reason":"insufficient_permission","rule":"write","method":"PUT","path":"/orders/7","principal":"vera","kind":"jwt","authority":"corp","requestId":"0c2f1a7e"}"#;
    let used = r#"[2027-01-15 09:00:00.000][1][info][wasm] wasm log: {"decision":"allow","rule":"read","method":"GET","path":"/orders","principal":"reader","kind":"api-key","credential":"reader","address":"10.0.0.1"}"#;
    write("envoy.log", &format!("{log}{denied}\n{used}\n"));
    let answers: Vec<_> =
        commands(page).into_iter().map(|command| (command, shell(folder.path(), command))).collect();
    for (begins, expected) in [
        ("grep", "DENY 403 insufficient_permission  by rule write"),
        ("portcullis report --by principal --top", "  it (api-key)\n"),
        ("portcullis report --by limit", "  reads\n"),
        ("portcullis diff policy.yaml new.yaml", "changed: "),
        ("portcullis check policy.yaml", "hash "),
        ("portcullis report --where credential=reader", "  10.0.0.1\n"),
        ("portcullis can role:viewer", "read: GET /orders/..\n"),
        ("portcullis report --by principal --where rule=read", "  reader (api-key)\n"),
        ("portcullis diff yesterday.yaml", "closed: "),
        ("portcullis report -p policy.yaml", "  rules: health, write\n"),
    ] {
        let answer = answers.iter().find(|(command, _)| command.starts_with(begins));
        let (command, said) = answer.unwrap_or_else(|| panic!("{begins} is not on the page"));
        assert!(said.contains(expected), "{command}:\n{said}");
    }
    assert_eq!(answers.len(), 10);
}
