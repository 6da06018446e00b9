//! A running Envoy takes a new policy: the old one is forgotten, the new one goes on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    gateway::gateway,
    policy::{anyone, rule},
    request::get,
};

fn policy(path: &str) -> Value {
    json!({
        "transport": {"requireTls": true, "hsts": {"maxAge": "1h"}},
        "rules": [rule("open", "Exact", path, anyone())],
        "defaultAction": "Deny",
    })
}

/// Nobody tells the module that a configuration has gone, nor that a stream has: it finds out by ticks.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_forgotten_takes_nothing_with_it() {
    let gateway = gateway(&policy("/old")).watched().workers(2).start().await;
    assert_eq!(gateway.send(&get("/old")).await.status, 200);
    assert!(gateway.change_policy(&policy("/new").to_string()).await);
    // The old one is forgotten 80 ticks of 250 ms after its last; streams are looked through every two seconds.
    let until = Instant::now() + Duration::from_secs(24);
    while Instant::now() < until {
        let answer = gateway.send(&get("/new")).await;
        assert_eq!((answer.status, answer.header("strict-transport-security")), (200, Some("max-age=3600")));
        let answer = gateway.send(&get("/old")).await;
        assert_eq!((answer.status, answer.header("strict-transport-security")), (403, Some("max-age=3600")));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert!(!gateway.log().contains("panicked"), "{}", gateway.log());
}

/// Each update keeps its predecessor for a while; what they hold does not pile up.
#[tokio::test(flavor = "multi_thread")]
async fn many_updates_of_a_large_policy_hold_little_more_than_a_few() {
    const RULES: usize = 1000;
    const UPDATES: usize = 200;
    let policy = |update: usize| {
        let rules: Vec<Value> = (0..RULES)
            .map(|index| rule(&format!("r{index}"), "Exact", &format!("/{update}/{index}"), anyone()))
            .collect();
        json!({"rules": rules, "defaultAction": "Deny"}).to_string()
    };
    let gateway = gateway(&serde_json::from_str(&policy(0)).unwrap()).watched().https_only().start().await;
    let mut held = Vec::new();
    for update in 1..=UPDATES {
        assert!(gateway.change_policy(&policy(update)).await);
        if update % (UPDATES / 4) == 0 {
            held.push(gateway.resident());
        }
    }
    assert_eq!(gateway.send(&get(&format!("/{UPDATES}/999"))).await.status, 200);
    let growth = held[3].saturating_sub(held[0]);
    assert!(growth < 16 << 20, "{held:?}");
}
