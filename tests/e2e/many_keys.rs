//! A policy with a hundred thousand API keys: what a worker needs for it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    gateway::gateway,
    policy::{api_key, api_key_entry, rule},
    request::get,
};

const KEYS: usize = 100_000;

/// The bound that docs/performance.md promises for keys like these.
const MOST_MEMORY: u64 = 40_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_keys_take_little_memory() {
    let key = |n: usize| {
        let level = if n.is_multiple_of(2) { "Read" } else { "Write" };
        let mut members =
            json!({"client": format!("client-{n}"), "level": level, "label": "a label of some length"});
        if n.is_multiple_of(5) {
            members["expiresAt"] = json!("2500-01-01T00:00:00Z");
        }
        api_key_entry(&format!("key-{n}"), members)
    };
    let policy = json!({
        "apiKeys": {
            "levels": {"Read": {"permissions": ["orders:read"]}, "Write": {"permissions": ["orders:write"]}},
            "keys": (0..KEYS).map(key).collect::<Value>(),
        },
        "rules": [rule("read", "Exact", "/read", json!({
            "authenticate": {"anyOf": ["apiKey"]}, "authorize": {"permissions": ["orders:read"]},
        }))],
    });
    let started = Instant::now();
    let gateway = gateway(&policy).https_only().start().await;
    let log = gateway.log();
    let loaded: Vec<&str> = log.lines().filter(|line| line.contains("policy loaded")).collect();
    eprintln!("{} bytes, serving after {:?}: {loaded:?}", policy.to_string().len(), started.elapsed());
    for n in (0..KEYS).step_by(KEYS / 100 - 1) {
        let status = async |key: &str| gateway.send(&get("/read").api_key(key)).await.status;
        let name = format!("key-{n}");
        let expected = if n.is_multiple_of(2) { 200 } else { 403 };
        assert_eq!(status(&api_key(&name)).await, expected, "{name}");
        assert_eq!(status(&api_key(&format!("key-{}", n + KEYS))).await, 401, "no key is called like this");
    }
    // The gauge is set with each tick.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let memory = gateway.admin().stat("wasmcustom.portcullis_memory_bytes").await;
    eprintln!("memory of a worker: {memory}");
    assert!((1_000_000..=MOST_MEMORY).contains(&memory), "{memory}");
}
