//! Trailers of requests: some servers merge them into the headers.

use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::{Response, body::Bytes};
use serde_json::{Value, json};

use crate::harness::{
    gateway::{Wire, gateway},
    issuer::{ISSUER_KEYS, token},
    policy::{anyone, api_key, api_key_entry, provider, rule, with_token},
    request::{Request, post},
    serving::Serving,
};

/// Tokens are forwarded, and one of the headers that override is kept: both only where they were looked at.
pub(crate) fn policy() -> Value {
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
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(gateway.upstream.count(), 0);
    // A request without any passes as before.
    assert_eq!(gateway.send_over(Wire::Http2, &post("/open")).await.status, 200);
    assert_eq!(gateway.send_over(Wire::Http1, &post("/open")).await.status, 200);
}

/// What waits for keys goes on with its trailers cleaned, and is then as it would be without waiting.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_waited_has_its_trailers_cleaned() {
    let keys = Serving::start(|_| async {
        tokio::time::sleep(Duration::from_millis(1500)).await;
        Response::new(Full::new(Bytes::from(ISSUER_KEYS.jwks().to_string())))
    })
    .await;
    let mut policy = policy();
    let provider = &mut policy["jwt"]["providers"][0];
    provider["jwks"] = json!({"uri": "http://keys.test/keys", "cluster": "jwks", "waitTimeout": "10s"});
    provider["extractFrom"] = json!({"params": ["access_token"], "cookies": ["session"]});
    provider["forward"] = false.into();
    let gateway = gateway(&policy).http2_upstream().jwks(keys.address).https_only().start().await;
    let asked = post(&format!("/closed?a=1&access_token={}", token("alice").claim("tenant", "t1").sign()));
    let asked = asked
        .header("x-portcullis-subject", "root")
        .header("x-original-url", "/kept")
        .header("cookie", "a=1");
    let began = Instant::now();
    let answer = gateway.send_over(Wire::Http2, &with_trailers(asked)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(began.elapsed() > Duration::from_millis(500), "it did not wait");
    let seen = answer.seen();
    assert_eq!(seen.trailer_names(), OTHERS, "{answer:?}");
    assert!(seen.path().ends_with("/closed?a=1"), "{answer:?}");
    let told = ["x-portcullis-subject", "x-tenant", "x-original-url", "cookie"]
        .map(|name| seen.header(name).concat());
    assert_eq!(told, ["alice", "t1", "/kept", "a=1"], "{answer:?}");
}
