//! Decision records as they stand in Envoy's log, and their schema, asked of a validator that is not ours (Python's
//! `jsonschema`).

use std::fs;

use serde_json::{Value, json};

use crate::{
    harness::{
        gateway::gateway,
        issuer::token,
        policy::{anyone, api_key, api_key_entry, provider, rule, with_api_key, with_token, with_token_and},
        repository,
        request::{get, post},
    },
    policy_schema::{VALIDATE, python},
};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[tokio::test(flavor = "multi_thread")]
async fn records_are_as_their_schema_says() {
    let mut keys = rule("keys", "PathPrefix", "/keys", with_api_key());
    keys["rateLimits"] = json!(["one"]);
    let policy = json!({
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
    let gateway = gateway(&policy).start().await;
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
    let records: Vec<Value> = gateway
        .log()
        .lines()
        .filter_map(|line| Some(line.split_at(line.find("{\"decision\":")?).1))
        .map(|record| serde_json::from_str(record).expect("one line of JSON"))
        .collect();
    assert_eq!(records.len(), asked.len(), "{records:?}");
    let (allowed, refused) = (&records[0], &records[2]);
    assert_eq!(allowed["traceId"], "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!((&allowed["decision"], &refused["reason"]), (&json!("allow"), &json!("token_expired")));

    let mut documents = records.clone();
    let with = |record: &Value, name: &str, value: Value| {
        let mut record = record.clone();
        record[name] = value;
        record
    };
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
    let folder = tempfile::tempdir().unwrap();
    let list = folder.path().join("records.json");
    fs::write(&list, Value::from(documents.clone()).to_string()).unwrap();
    let schema = repository().join("docs/decision-record.schema.json");
    let valid: Vec<bool> = serde_json::from_value(python(VALIDATE, &[&schema, &list])).unwrap();
    for (at, (document, valid)) in documents.iter().zip(valid).enumerate() {
        assert_eq!(valid, at < records.len(), "{document}");
    }
}
