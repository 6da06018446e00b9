//! The issuer alone is configured: a real authorization server's document says where its keys are. What it says is
//! believed only where it fits, and a server that misbehaves lets nobody pass.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    gateway::{Builder, Gateway, gateway},
    idp::{Idp, until},
    policy::{anyone, merge, rule, with_token},
    request::{Answer, get},
    tls,
};

fn before(idp: &Idp, discovery: Value) -> Builder {
    let mut provider = idp.provider(json!({}));
    provider.as_object_mut().unwrap().remove("jwks");
    provider["discovery"] = json!({
        "cluster": "jwks", "cacheDuration": "2s", "minRefetchInterval": "1s", "timeout": "500ms", "maxStale": "2s",
        "waitTimeout": "300ms",
    });
    merge(&mut provider["discovery"], discovery);
    let policy = json!({
        "jwt": {"providers": [provider]},
        "rules": [rule("open", "Exact", "/open", anyone()), rule("closed", "Exact", "/closed", with_token())],
        "defaultAction": "Deny",
    });
    gateway(&policy).https_only().workers(2)
}

async fn ask(gateway: &Gateway, token: &str) -> Answer {
    gateway.send(&get("/closed").bearer(token)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_issuer_alone_is_enough() {
    let idp = Idp::start().await;
    let gateway = before(&idp, json!({"waitTimeout": "2s"})).jwks(idp.address).start().await;
    for resource in ["urn:api:rs256", "urn:api:ps256", "urn:api:es256", "urn:api:eddsa"] {
        let answer = ask(&gateway, &idp.token(resource).await).await;
        assert_eq!(answer.status, 200, "{resource}: {answer:?}");
    }
    assert_eq!(
        ask(&gateway, &idp.token("urn:api:other").await).await.reason().as_deref(),
        Some("token_audience")
    );
    // Its keys change.
    idp.rotate("ES256").await;
    let new = idp.token("urn:api:es256").await;
    until(Duration::from_secs(3), async || ask(&gateway, &new).await.status == 200).await;
    assert_eq!(
        idp.count("metadata").await,
        0,
        "the second place is asked only where there is nothing at the first"
    );
}

/// Only the place of RFC 8414 has a document.
#[tokio::test(flavor = "multi_thread")]
async fn an_oauth_server_without_openid_connect() {
    let idp = Idp::start().await;
    idp.turns("discovery", "404").await;
    let gateway = before(&idp, json!({"waitTimeout": "2s"})).jwks(idp.address).start().await;
    let answer = ask(&gateway, &idp.token("urn:api:es256").await).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(idp.count("metadata").await >= 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls() {
    let identity = &tls::IDENTITY;
    let idp = Idp::start_with(json!({"certificate": identity.certificate, "key": identity.key})).await;
    let gateway = before(&idp, json!({"waitTimeout": "2s"})).secure_jwks(idp.address).start().await;
    let answer = ask(&gateway, &idp.token("urn:api:es256").await).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// The server misbehaves from the start, and then does not any more.
async fn refuses_until_it_is_well(mode: &str, said: &str) {
    let idp = Idp::start().await;
    let token = idp.token("urn:api:es256").await;
    idp.turns("discovery", mode).await;
    idp.turns("metadata", mode).await;
    let mut gateway = before(&idp, json!({})).jwks(idp.address).start().await;
    let answer = ask(&gateway, &token).await;
    assert_eq!(
        (answer.status, answer.reason().as_deref()),
        (503, Some("keys_unavailable")),
        "{mode}: {answer:?}"
    );
    assert_eq!(gateway.send(&get("/open")).await.status, 200, "{mode}");
    let said = format!("key set of \"test\": discovery document: {said}");
    until(Duration::from_secs(5), async || gateway.log().contains(&said)).await;

    idp.turns("discovery", "ok").await;
    idp.turns("metadata", "ok").await;
    // Fetches are repeated after up to 1.5 and 3 seconds.
    until(Duration::from_secs(8), async || ask(&gateway, &token).await.status == 200).await;
    let log = gateway.log();
    assert!(!log.contains("Wasm VM failed") && !log.contains("panicked"), "{mode}: {log}");
    assert!(gateway.is_running(), "{mode}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_cannot_be_used() {
    tokio::join!(
        refuses_until_it_is_well("issuer", "its issuer is \"https://evil.test\", not the configured one"),
        refuses_until_it_is_well("slow", "status 504"),
        refuses_until_it_is_well("down", "status 503"),
        refuses_until_it_is_well("garbage", ""),
        refuses_until_it_is_well("redirect", "status 302; redirects are never followed"),
        refuses_until_it_is_well("10mb", "longer than 65536 bytes"),
        refuses_until_it_is_well("404", "status 404"),
    );
}

/// A document that turns bad after a good one: the known keys serve on for `maxStale`.
#[tokio::test(flavor = "multi_thread")]
async fn a_document_that_turns_bad() {
    let idp = Idp::start().await;
    let gateway =
        before(&idp, json!({"waitTimeout": "2s", "maxStale": "3s"})).jwks(idp.address).start().await;
    let token = idp.token("urn:api:es256").await;
    assert_eq!(ask(&gateway, &token).await.status, 200);
    idp.turns("discovery", "issuer").await;
    tokio::time::sleep(Duration::from_millis(800)).await;
    assert_eq!(ask(&gateway, &token).await.status, 200);
    until(Duration::from_secs(5), async || {
        ask(&gateway, &token).await.reason().as_deref() == Some("keys_unavailable")
    })
    .await;
}
