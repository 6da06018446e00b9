//! Trailers of requests: some servers merge them into the headers.

use serde_json::{Value, json};

use crate::harness::{
    gateway::{Wire, gateway},
    issuer::token,
    policy::{anyone, api_key, api_key_entry, provider, rule, with_token},
    request::{Request, post},
};

/// Tokens are forwarded, and one of the headers that override is kept: both only where they were looked at.
fn policy() -> Value {
    let mut provider = provider();
    provider["forward"] = true.into();
    provider["claimToHeaders"] = json!([{"claim": "tenant", "header": "x-tenant"}]);
    json!({
        "jwt": {"providers": [provider]},
        "apiKeys": {
            "extractFrom": {"headers": [{"name": "x-api-key"}], "cookies": ["key"]},
            "keys": [api_key_entry("plain", json!({}))],
        },
        "rules": [
            rule("open", "PathPrefix", "/open", anyone()),
            rule("closed", "PathPrefix", "/closed", with_token()),
        ],
        "requestHeaders": {"remove": ["x-debug"], "keep": ["x-original-url"]},
    })
}

const GUARDED: [&str; 12] = [
    "x-portcullis-roles",
    "x_portcullis.roles",
    "x-tenant",
    "authorization",
    "x-api-key",
    "x.api_key",
    "cookie",
    "x-http-method-override",
    "script_name",
    "x-original-url",
    "x-debug",
    "x-forwarded-client-cert",
];

const OTHERS: [&str; 3] = ["grpc-status", "x-checksum", "x-portcullis-rolls"];

fn with_trailers(request: Request) -> Request {
    let request =
        GUARDED.iter().fold(request, |request, name| request.trailer(name, "evil").trailer(name, "evil"));
    OTHERS.iter().fold(request, |request, name| request.trailer(name, "1"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_removed_from_headers_is_removed_from_trailers() {
    let gateway = gateway(&policy()).http2_upstream().start().await;
    let token = token("alice").sign();
    for asked in [post("/open"), post("/closed").bearer(&token).header("x-original-url", "/x")] {
        let answer = gateway.send_over(Wire::Http2, &with_trailers(asked.clone())).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let seen = answer.seen();
        assert_eq!(seen.trailer_names(), OTHERS, "{answer:?}");
        assert_eq!(seen.body(), "{}");
        assert!(!format!("{answer:?}").contains("evil"), "{answer:?}");
        // In the headers it is the verified token, and the header that is kept.
        let sent = |name: &str| asked.headers.iter().any(|(own, _)| own == name);
        for name in ["authorization", "x-original-url"] {
            assert_eq!(!seen.header(name).is_empty(), sent(name), "{answer:?}");
        }
    }
    assert_eq!(gateway.upstream.count(), 2);
}

/// Nor do they let go what was refused.
#[tokio::test(flavor = "multi_thread")]
async fn trailers_bring_no_request_past_its_refusal() {
    let gateway = gateway(&policy()).http2_upstream().start().await;
    let refused = with_trailers(post("/closed").api_key(&api_key("plain")).body("x".repeat(100_000)));
    for _ in 0..5 {
        let answer = gateway.send_over(Wire::Http2, &refused).await;
        assert_eq!(
            (answer.status, answer.reason().as_deref()),
            (401, Some("credentials_missing")),
            "{answer:?}"
        );
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    assert_eq!(gateway.upstream.count(), 0);
    // A request without any passes as before.
    assert_eq!(gateway.send_over(Wire::Http2, &post("/open")).await.status, 200);
    assert_eq!(gateway.send_over(Wire::Http1, &post("/open")).await.status, 200);
}
