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
