//! HTTPS and nothing else, unless the policy says otherwise.

use serde_json::{Value, json};

use crate::harness::{
    gateway::{Wire, gateway},
    issuer::token,
    policy::{anyone, provider, rule, with_token},
    request::{get, post, request},
};

fn policy(transport: Value) -> Value {
    json!({
        "transport": transport,
        "jwt": {"providers": [provider()]},
        "rules": [rule("open", "PathPrefix", "/open", anyone()), rule("closed", "PathPrefix", "/closed", with_token())],
        "defaultAction": "Deny",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_is_refused_whatever_it_carries() {
    let gateway = gateway(&policy(json!({"requireTls": true}))).start().await;
    let alice = token("alice").sign();
    let requests = [
        get("/open"),
        post("/open"),
        get("/closed").bearer(&alice),
        get("/nowhere"),
        // A claim that nobody vouches for.
        get("/open").header("x-forwarded-proto", "https"),
        get("/open").header("X-Forwarded-Proto", "https").header("x-forwarded-proto", "https"),
    ];
    for request in &requests {
        let answer = gateway.send_over(Wire::Plain, request).await;
        assert_eq!(
            (answer.status, answer.reason().as_deref()),
            (403, Some("tls_required")),
            "{request:?} {answer:?}"
        );
        // RFC 6797 section 7.2: not over plain HTTP.
        assert_eq!(answer.header("strict-transport-security"), None);
    }
    assert_eq!(gateway.upstream.count(), 0);
    assert_eq!(gateway.send(&get("/open")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_required_unless_waived() {
    let required = gateway(&policy(json!({}))).start().await;
    assert_eq!(required.send_over(Wire::Plain, &get("/open")).await.status, 403);
    let waived = gateway(&policy(json!({"requireTls": false}))).start().await;
    assert_eq!(waived.send_over(Wire::Plain, &get("/open")).await.status, 200);
    assert_eq!(waived.send_over(Wire::Plain, &get("/closed")).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn safe_methods_can_be_redirected_to_a_configured_host() {
    let transport = json!({"requireTls": true, "redirectTo": "api.example.com:8443"});
    let gateway = gateway(&policy(transport)).start().await;
    for method in ["GET", "HEAD"] {
        let asked = request(method, "/open//x/../y?a=b").authority("evil.test");
        let answer = gateway.send_over(Wire::Plain, &asked).await;
        let location = answer.header("location");
        assert_eq!(
            (answer.status, location),
            (308, Some("https://api.example.com:8443/open/y?a=b")),
            "{answer:?}"
        );
    }
    // What a POST carries has gone over the wire in the clear already.
    let answer = gateway.send_over(Wire::Plain, &post("/open")).await;
    assert_eq!((answer.status, answer.reason().as_deref()), (403, Some("tls_required")), "{answer:?}");
    assert_eq!(gateway.upstream.count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn hsts_is_on_every_https_answer() {
    let transport = json!({"hsts": {"maxAge": "1h", "includeSubDomains": true}});
    let gateway = gateway(&policy(transport)).start().await;
    for (request, status) in [(get("/open"), 200), (get("/closed"), 401), (get("/nowhere"), 403)] {
        for wire in [Wire::Http1, Wire::Http2] {
            let answer = gateway.send_over(wire, &request).await;
            let hsts = answer.header("strict-transport-security");
            assert_eq!(
                (answer.status, hsts),
                (status, Some("max-age=3600; includeSubDomains")),
                "{answer:?}"
            );
        }
    }
}
