//! Policies that change while connections last.

use serde_json::{Value, json};

use super::SOON;
use crate::harness::{
    envoy_version,
    gateway::gateway,
    idp::until,
    policy::{api_key, api_key_entry, rule, with_api_key},
    request::{Answer, get},
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

/// By ECDS on connections that are open as on new ones; within a listener, Envoy lets those that are open end under the
/// policy with which they began, older ones with the next answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_withdrawn_is_refused_as_the_documentation_says() {
    let ask = |key: &str| get("/a").api_key(&api_key(key));
    let refused = (401, Some("api_key_invalid".to_owned()));
    let taken = (200, None);
    let told_to_leave = !envoy_version::keeps_clients_of_changed_listeners();
    for (builder, on_open, ends) in [
        (gateway(&policy(false)).watched().https_only(), refused.clone(), false),
        (gateway(&policy(false)).by_lds(), taken.clone(), told_to_leave),
    ] {
        let gateway = builder.start().await;
        let mut open = gateway.http2().await;
        assert_eq!(open.send(&ask("withdrawn")).await.unwrap().status, 200);
        assert!(gateway.change_policy(&policy(true).to_string()).await);
        let outcome = |answer: Answer| (answer.status, answer.reason());
        // A listener that is changed takes over when it is warm.
        until(SOON, async || outcome(gateway.send(&ask("withdrawn")).await) == refused).await;
        assert_eq!(outcome(open.send(&ask("withdrawn")).await.unwrap()), on_open);
        if ends {
            until(SOON, async || open.send(&ask("other")).await.is_err()).await;
        } else {
            assert_eq!(outcome(open.send(&ask("other")).await.unwrap()), taken);
        }
        assert_eq!(outcome(gateway.send(&ask("other")).await), taken);
    }
}
