//! A key set that is fetched: denied until it is there, kept while fetching fails, renewed for an unknown key.

use std::time::{Duration, Instant};

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::harness::{
    gateway::{Gateway, gateway},
    issuer::{AUDIENCE, ISSUER, ISSUER_KEYS, token},
    key_server::KeyServer,
    policy::{anyone, rule, with_token},
    request::{Request, get},
};

fn policy() -> Value {
    json!({
        "jwt": {"providers": [{
            "name": "test",
            "issuer": ISSUER,
            "audiences": [AUDIENCE],
            "algorithms": ["ES256", "ES384"],
            "jwks": {
                "uri": "http://keys.test/keys?v=1",
                "cluster": "jwks",
                "cacheDuration": "2s",
                "timeout": "1s",
                "minRefetchInterval": "1s",
            },
        }]},
        "rules": [rule("open", "Exact", "/open", anyone()), rule("closed", "Exact", "/closed", with_token())],
        "defaultAction": "Deny",
    })
}

async fn until(gateway: &Gateway, request: &Request, status: u16) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let answer = gateway.send(request).await;
        if answer.status == status {
            return;
        }
        assert!(Instant::now() < deadline, "not {status}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_fetched_kept_and_renewed() {
    let keys = KeyServer::start().await;
    let gateway = gateway(&policy()).jwks(keys.address).workers(2).start().await;
    let (p256, p384) = (token("alice"), token("bob").algorithm(Algorithm::ES384));
    let (p256, p384) = (get("/closed").bearer(&p256.sign()), get("/closed").bearer(&p384.sign()));
    let forged = get("/closed").bearer(&token("alice").forged().sign());

    // Without keys nothing that needs them passes; what does not need them does.
    let answer = gateway.send(&p256).await;
    assert_eq!((answer.status, answer.reason().as_deref()), (503, Some("keys_unavailable")), "{answer:?}");
    assert_eq!(gateway.send(&get("/open")).await.status, 200);
    assert_eq!(gateway.upstream.count(), 1);

    keys.publish(&json!({"keys": [ISSUER_KEYS.jwk(Algorithm::ES256)]}));
    until(&gateway, &p256, 200).await;
    for _ in 0..4 {
        assert_eq!(gateway.send(&forged).await.reason().as_deref(), Some("token_signature"));
    }

    // A key that the set does not have yet.
    assert_eq!(gateway.send(&p384).await.reason().as_deref(), Some("token_key"));
    keys.publish(&ISSUER_KEYS.jwks());
    until(&gateway, &p384, 200).await;

    // One fetch serves all workers, however many tokens ask for keys that nobody has.
    let before = keys.fetches();
    let unknown = get("/closed").bearer(&token("alice").header("kid", "nobody").sign());
    let started = Instant::now();
    for _ in 0..50 {
        assert_eq!(gateway.send(&unknown).await.reason().as_deref(), Some("token_key"));
    }
    let most = usize::try_from(started.elapsed().as_secs()).unwrap() + 2;
    assert!(keys.fetches() - before <= most, "{} fetches for unknown keys", keys.fetches() - before);

    // The last good set outlives a failing server.
    keys.fail();
    tokio::time::sleep(Duration::from_millis(3500)).await;
    for _ in 0..4 {
        assert_eq!(gateway.send(&p256).await.status, 200);
        assert_eq!(gateway.send(&forged).await.status, 401);
    }
    // As does one that answers nonsense.
    keys.publish(&json!({"keys": "none"}));
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(gateway.send(&p256).await.status, 200);
}
