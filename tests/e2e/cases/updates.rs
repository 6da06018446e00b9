//! Policies that change while connections last.

use serde_json::{Value, json};

use crate::harness::{
    gateway::gateway,
    policy::{api_key, api_key_entry, rule, with_api_key},
    request::get,
};

fn policy(disabled: bool) -> Value {
    json!({
        "apiKeys": {"keys": [
            api_key_entry("withdrawn", json!({"disabled": disabled})),
            api_key_entry("other", json!({})),
        ]},
        "rules": [rule("r", "PathPrefix", "/a", with_api_key())],
        "defaultAction": "Deny",
    })
}

/// Where the filter comes by ECDS. By LDS old connections go on with the old policy until they are drained: SECURITY.md.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_withdrawn_is_refused_on_connections_that_last() {
    let gateway = gateway(&policy(false)).watched().https_only().start().await;
    let mut connection = gateway.http2().await;
    let ask = |key: &str| get("/a").api_key(&api_key(key));
    assert_eq!(connection.send(&ask("withdrawn")).await.unwrap().status, 200);
    assert!(gateway.change_policy(&policy(true).to_string()).await);
    let answer = connection.send(&ask("withdrawn")).await.unwrap();
    assert_eq!((answer.status, answer.reason().as_deref()), (401, Some("api_key_invalid")), "{answer:?}");
    assert_eq!(connection.send(&ask("other")).await.unwrap().status, 200);
}
