//! Decision records as they stand in Envoy's log, and their schema, asked of a validator that is not ours (Python's
//! `jsonschema`).

use std::{
    fs,
    io::Write as _,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    harness::{
        gateway::gateway,
        idp::until,
        issuer::token,
        policy::{
            anyone, api_key, api_key_entry, merge, provider, rule, with_api_key, with_token, with_token_and,
        },
        repository,
        request::{get, post},
    },
    policy_schema::{VALIDATE, python},
};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// With records of all decisions; `log` says more of them.
fn policy(log: Value) -> Value {
    let mut keys = rule("keys", "PathPrefix", "/keys", with_api_key());
    keys["rateLimits"] = json!(["one"]);
    let mut policy = json!({
        "jwt": {"providers": [provider()]},
        "roles": [{"name": "admin"}],
        "apiKeys": {"keys": [api_key_entry("reader", json!({}))]},
        "rateLimits": [{"name": "one", "key": ["principal"], "limits": [{"requests": 1, "unit": "Hour"}]}],
        "rules": [
            rule("open", "PathPrefix", "/open", anyone()),
            rule("closed", "PathPrefix", "/closed", with_token()),
            rule("admins", "PathPrefix", "/admins", with_token_and(json!({"roles": ["admin"]}))),
            keys,
        ],
        "decisionLog": {"allowed": true, "denied": "All"},
    });
    merge(&mut policy["decisionLog"], log);
    policy
}

/// The records in a log, as they are written.
fn records(log: &str) -> Vec<&str> {
    let begins = |line: &str| line.find("{\"decision\":").or_else(|| line.find("{\"event.action\":"));
    log.lines().filter_map(|line| Some(line.split_at(begins(line)?).1)).collect()
}

/// `record` with another value of a member.
fn with(record: &Value, name: &str, value: Value) -> Value {
    let mut record = record.clone();
    record[name] = value;
    record
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_as_their_schema_says() {
    let gateway = gateway(&policy(json!({}))).start().await;
    let key = || get("/keys").api_key(&api_key("reader"));
    let odd = token("al\"ice\\\n\u{202e}").sign();
    let asked = [
        get("/open").header("traceparent", TRACE),
        get("/closed").bearer(&odd),
        get("/closed").bearer(&token("alice").claim("exp", 1).sign()),
        get("/closed"),
        get("/admins").bearer(&odd),
        key(),
        key(),
        post("/nowhere?a=b"),
        get(&format!("/{}", "a".repeat(500))),
    ];
    for asked in &asked {
        gateway.send(asked).await;
    }
    let log = gateway.log();
    let records: Vec<Value> =
        records(&log).iter().map(|record| serde_json::from_str(record).expect("one line of JSON")).collect();
    assert_eq!(records.len(), asked.len(), "{records:?}");
    let (allowed, refused) = (&records[0], &records[2]);
    assert_eq!(allowed["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!((&allowed["decision"], &refused["reason"]), (&json!("allow"), &json!("token_expired")));

    let mut documents = records.clone();
    documents.extend([
        with(allowed, "decision", json!("Allow")),
        with(allowed, "reason", json!("no_rule")),
        with(allowed, "traceId", json!("0".repeat(32))),
        with(allowed, "traceId", json!("4BF92F3577B34DA6A3CE929D0E0E4736")),
        with(refused, "reason", json!("expired")),
        with(refused, "kind", json!("key")),
        with(refused, "audience", json!([])),
        with(refused, "path", json!("a".repeat(257))),
        with(refused, "repeated", json!(0)),
        with(refused, "decision", json!("end")),
        json!({"decision": "deny"}),
        json!({"reason": "no_rule"}),
    ]);
    let valid = judged("docs/decision-record.schema.json", &documents);
    for (at, (document, valid)) in documents.iter().zip(valid).enumerate() {
        assert_eq!(valid, at < records.len(), "{document}");
    }
}

/// What a validator says of each.
fn judged(schema: &str, documents: &[Value]) -> Vec<bool> {
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("records.json");
    fs::write(&list, Value::from(documents).to_string()).unwrap();
    serde_json::from_value(python(VALIDATE, &[&repository().join(schema), &list])).unwrap()
}

/// What the command says of a log, and what it ends with.
fn portcullis(arguments: &[&str], log: &str) -> (Option<i32>, Value) {
    let mut child = Command::new(repository().join("target/debug/portcullis"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the command starts: `make test` builds it");
    child.stdin.take().unwrap().write_all(log.as_bytes()).unwrap();
    let done = child.wait_with_output().unwrap();
    (done.status.code(), serde_json::from_slice(&done.stdout).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn records_by_the_elastic_common_schema_are_as_their_schema_says() {
    let gateway = gateway(&policy(json!({"names": "Ecs", "chain": true}))).start().await;
    let key = || get("/keys").api_key(&api_key("reader"));
    let asked = [
        get("/open").header("traceparent", TRACE),
        get("/closed").bearer(&token("alice").sign()),
        get("/closed").bearer(&token("alice").claim("exp", 1).sign()),
        key(),
        key(),
        post("/nowhere?a=b"),
    ];
    for asked in &asked {
        gateway.send(asked).await;
    }
    let log = gateway.log();
    let records: Vec<Value> =
        records(&log).iter().map(|record| serde_json::from_str(record).expect("one line of JSON")).collect();
    assert_eq!(records.len(), asked.len(), "{records:?}");
    let (allowed, refused) = (&records[0], &records[4]);
    for (record, name, value) in [
        (allowed, "event.action", "allow"),
        (allowed, "event.outcome", "success"),
        (allowed, "rule.name", "open"),
        (allowed, "trace.id", "4bf92f3577b34da6a3ce929d0e0e4736"),
        (&records[1], "user.id", "alice"),
        (refused, "event.outcome", "failure"),
        (refused, "event.reason", "rate_limited"),
        (refused, "portcullis.limit", "one"),
        (&records[5], "url.path", "/nowhere"),
        (&records[5], "http.request.method", "POST"),
    ] {
        assert_eq!(record[name], value, "{name}: {record}");
    }
    let mut documents = records.clone();
    documents.extend([
        with(allowed, "event.outcome", json!("allowed")),
        with(allowed, "event.reason", json!("no_rule")),
        with(refused, "event.type", json!("denied")),
        with(refused, "portcullis.chain", json!("1")),
        with(refused, "ecs.version", json!("1.0.0")),
        json!({"event.action": "deny"}),
    ]);
    let valid = judged("docs/decision-record-ecs.schema.json", &documents);
    for (at, (document, valid)) in documents.iter().zip(valid).enumerate() {
        assert_eq!(valid, at < records.len(), "{document}");
    }
    // Readers have them under our own names.
    let (code, told) = portcullis(&["report", "--output", "json", "--where", "decision=deny", "-"], &log);
    assert_eq!((code, &told["by"]["reason"]["rate_limited"]["denied"]), (Some(0), &json!(1)), "{told}");
    let (code, told) = portcullis(&["report", "--verify", "--output", "json", "-"], &log);
    assert_eq!((code, &told["chains"][0]["records"]), (Some(0), &json!(6)), "{told}");
}

/// The log of two workers, with records of all kinds; and what is done to it.
#[tokio::test(flavor = "multi_thread")]
async fn chains_of_all_workers_are_whole_until_somebody_changes_the_log() {
    let gateway = gateway(&policy(json!({"denied": "Sampled", "chain": true}))).workers(2).start().await;
    for _ in 0..3 {
        for asked in [get("/open"), get("/closed").bearer(&token("alice").sign()), post("/nowhere")] {
            gateway.send_eight(&asked).await;
        }
    }
    // Those alike are told ten seconds later.
    until(Duration::from_secs(15), async || {
        gateway.log().lines().filter(|line| line.contains("\"repeated\":")).count() == 2
    })
    .await;
    let log = gateway.log();
    let verify = |log: &str, arguments: &[&str]| {
        portcullis(&[&["report", "--verify", "--output", "json"], arguments, &["-"]].concat(), log)
    };
    let (code, told) = verify(&log, &[]);
    assert_eq!(code, Some(0), "{told}");
    let chains = told["chains"].as_array().unwrap();
    assert_eq!(chains.len(), 2, "{told}");
    let written: u64 = chains.iter().map(|chain| chain["records"].as_u64().unwrap()).sum();
    // 48 that passed, and of each worker's refusals the first and one for all others.
    assert_eq!((written, records(&log).len()), (52, 52), "{told}");
    let digest = chains[0]["lastDigest"].as_str().unwrap();
    assert_eq!(verify(&log, &["--expect", digest]).0, Some(0));

    let lines: Vec<&str> = log.lines().collect();
    // Three that follow each other in one chain, somewhere in the middle.
    let id = chains[0]["chain"].as_str().unwrap();
    let of_chain: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].contains(id)).collect();
    let [one, next] = [of_chain[of_chain.len() / 2], of_chain[of_chain.len() / 2 + 1]];
    let joined = |lines: &[&str]| format!("{}\n", lines.join("\n"));
    let changed = lines[one].replacen("\"path\":\"/", "\"path\":\"_", 1);
    let (mut with_change, mut with_swap, mut without) = (lines.clone(), lines.clone(), lines.clone());
    with_change[one] = &changed;
    with_swap.swap(one, next);
    without.remove(one);
    for (lines, what) in [(with_change, "is changed"), (with_swap, "is missing"), (without, "is missing")] {
        let (code, told) = verify(&joined(&lines), &[]);
        let broken = told["chains"].as_array().unwrap().iter().find(|chain| chain["whole"] == false);
        let why = broken.unwrap_or_else(|| panic!("{what}: {told}"))["broken"]["why"].as_str().unwrap();
        assert!(code == Some(1) && why.contains(what), "{what}: {told}");
    }
    // The last record of a chain is missed by its digest alone.
    let last = *of_chain.last().unwrap();
    let mut cut = lines.clone();
    cut.remove(last);
    assert_eq!(verify(&joined(&cut), &[]).0, Some(0));
    assert_eq!(verify(&joined(&cut), &["--expect", digest]).0, Some(1));
}
