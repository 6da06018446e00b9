//! A rule that wants a stronger or a more recent login (RFC 9470), with users who log in at a real server.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    gateway::gateway,
    idp::{Idp, text, until},
    policy::{rule, with_token, with_token_and},
    request::{Answer, get},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_does_not_suffice() {
    let idp = Idp::start().await;
    let needs = |step_up: Value| with_token_and(json!({"stepUp": step_up}));
    let policy = json!({
        "jwt": {"providers": [idp.provider(json!({}))]},
        "rules": [
            rule("any", "Exact", "/any", with_token()),
            rule("strong", "Exact", "/strong", needs(json!({"acrValues": ["phr", "phrh"]}))),
            rule("recent", "Exact", "/recent", needs(json!({"maxAge": "3s"}))),
            rule("both", "Exact", "/both", needs(json!({"acrValues": ["phr"], "maxAge": "1h"}))),
        ],
        "defaultAction": "Deny",
    });
    let gateway = gateway(&policy).jwks(idp.address).https_only().start().await;
    let ask = async |token: &str, path: &str| gateway.send(&get(path).bearer(token)).await;
    let steps_up = |answer: &Answer, wanted: &[&str], not: &[&str]| {
        assert_eq!(
            (answer.status, answer.reason().as_deref()),
            (401, Some("insufficient_user_authentication")),
            "{answer:?}"
        );
        let challenge = answer.header("www-authenticate").unwrap();
        assert!(challenge.contains("error=\"insufficient_user_authentication\""), "{challenge}");
        assert!(wanted.iter().all(|parameter| challenge.contains(parameter)), "{challenge}");
        assert!(!not.iter().any(|parameter| challenge.contains(parameter)), "{challenge}");
    };

    let strong = text(&idp.log_in("alice-strong", "urn:api:es256").await, "access_token");
    for path in ["/any", "/recent", "/strong", "/both"] {
        let answer = ask(&strong, path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    let plain = text(&idp.log_in("alice", "urn:api:es256").await, "access_token");
    for path in ["/any", "/recent"] {
        let answer = ask(&plain, path).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    steps_up(&ask(&plain, "/strong").await, &["acr_values=\"phr phrh\""], &["max_age"]);
    steps_up(&ask(&plain, "/both").await, &["acr_values=\"phr\"", "max_age=\"3600\""], &[]);
    // Nobody logged in for this one.
    let service = idp.token("urn:api:es256").await;
    assert_eq!(ask(&service, "/any").await.status, 200);
    steps_up(&ask(&service, "/recent").await, &["max_age=\"3\""], &["acr_values"]);

    until(Duration::from_secs(6), async || ask(&strong, "/recent").await.status != 200).await;
    steps_up(&ask(&strong, "/recent").await, &["max_age=\"3\""], &["acr_values"]);
    assert_eq!(ask(&strong, "/both").await.status, 200);
}
