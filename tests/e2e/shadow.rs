//! What decides beside what is in force, in Envoy: clients and upstreams notice nothing, operators are told.

use std::time::Duration;

use serde_json::{Value, json};

use crate::{
    documentation::stats_tags,
    harness::{
        gateway::{Gateway, gateway},
        policy::{api_key, api_key_entry, merge, rule, with_api_key},
        request::{Request, get},
    },
};

fn policy(members: Value) -> Value {
    let mut keys = rule("keys", "PathPrefix", "/keys", with_api_key());
    keys["rateLimits"] = json!(["now", "next"]);
    let limit = |name: &str, requests: u32| json!({"name": name, "key": ["principal"], "limits": [{"requests": requests, "unit": "Hour"}]});
    let mut next = limit("next", 2);
    next["shadow"] = true.into();
    let mut policy = json!({
        "apiKeys": {"keys": [api_key_entry("reader", json!({}))]},
        "rateLimits": [limit("now", 4), next],
        "rateLimitHeaders": "Always",
        "rules": [keys],
    });
    merge(&mut policy, members);
    policy
}

/// What Prometheus is given, with the tags that README.md shows.
async fn counted(gateway: &Gateway, outcome: &str, reason: &str) -> u64 {
    // Counts are handed on every 250 ms.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stats = gateway.admin().text("/stats/prometheus?filter=portcullis_shadow").await;
    let name = format!("portcullis_shadow_decisions{{outcome=\"{outcome}\",reason=\"{reason}\"}} ");
    let count = stats.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok());
    count.unwrap_or_else(|| panic!("no {name}in {stats}"))
}

/// What the records in the log say of shadows, with how many requests each stands for, and at which level.
fn recorded(gateway: &Gateway) -> Vec<Value> {
    let log = gateway.log();
    let records = log.lines().filter_map(|line| Some(line.split_at(line.find("{\"decision\":")?)));
    let told = records.map(|(before, record)| {
        let mut record: Value = serde_json::from_str(record).unwrap();
        record["level"] = before.contains("[warning]").into();
        record
    });
    told.filter(|record| record.get("shadow").is_some()).collect()
}

fn key(path: &str) -> Request {
    get(path).api_key(&api_key("reader"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_in_the_shadow_is_seen_by_operators_alone() {
    let gateway = gateway(&policy(json!({}))).stats_tags(stats_tags()).start().await;
    for n in 0..6 {
        let answer = gateway.send(&key("/keys")).await;
        assert_eq!(answer.status, if n < 4 { 200 } else { 429 }, "{answer:?}");
        let told = answer.header("ratelimit-policy").unwrap_or_default();
        assert!(told.contains("\"now\"") && !told.contains("next"), "{told}");
    }
    let told = recorded(&gateway);
    assert_eq!(told.len(), 1, "{told:?}");
    for (name, expected) in [
        ("decision", json!("allow")),
        ("shadow", json!("would_deny")),
        ("shadowReason", json!("rate_limited")),
        ("shadowLimit", json!("next")),
        ("principal", json!("reader")),
        ("level", json!(true)),
    ] {
        assert_eq!(told[0][name], expected, "{told:?}");
    }
    assert_eq!(counted(&gateway, "would_deny", "rate_limited").await, 2);
}

/// Where there is none, no counter is defined.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_without_a_shadow_has_no_counter_of_them() {
    let none = policy(json!({"rateLimits": [
        {"name": "now", "key": ["principal"], "limits": [{"requests": 4, "unit": "Hour"}]},
        {"name": "next", "key": ["principal"], "limits": [{"requests": 2, "unit": "Hour"}]},
    ]}));
    let gateway = gateway(&none).start().await;
    assert_eq!(gateway.send(&key("/keys")).await.status, 200);
    let stats = gateway.admin().stats().await;
    assert!(!stats.keys().any(|name| name.contains("portcullis_shadow")));
}
