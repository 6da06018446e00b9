//! A key set that is fetched: denied until it is there, kept while fetching fails, renewed for an unknown key.

use std::time::{Duration, Instant};

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::harness::{
    gateway::{Gateway, gateway},
    issuer::{AUDIENCE, FORGER_KEYS, ISSUER, ISSUER_KEYS, token},
    key_server::KeyServer,
    policy::{anyone, rule, with_token},
    request::{Request, get},
};

pub(crate) fn policy() -> Value {
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
    assert_eq!(gateway.send_eight(&p256).await.map(|answer| answer.status), [200; 8]);
    assert_eq!(gateway.send_eight(&forged).await.map(|answer| answer.status), [401; 8]);
    // As does one that answers nonsense.
    keys.publish(&json!({"keys": "none"}));
    tokio::time::sleep(Duration::from_millis(2500)).await;
    assert_eq!(gateway.send_eight(&p256).await.map(|answer| answer.status), [200; 8]);
}

/// A key that is replaced under its own name: the first token of the new one finds it, with one fetch for all workers.
/// Forged tokens of that name cause hardly any more, and wait for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_replaced_under_its_name_is_found_by_its_first_token() {
    let keys = KeyServer::start().await;
    let mut policy = policy();
    // No other fetch comes in between.
    policy["jwt"]["providers"][0]["jwks"]["cacheDuration"] = "10m".into();
    let gateway = gateway(&policy).jwks(keys.address).https_only().workers(2).start().await;
    let sets = [&ISSUER_KEYS, &FORGER_KEYS].map(|keys| json!({"keys": [keys.jwk(Algorithm::ES256)]}));
    for kid in [json!("p256"), Value::Null] {
        let token = token("alice").header("kid", kid.clone());
        let tokens = [token.clone().sign(), token.forged().sign()].map(|token| get("/closed").bearer(&token));
        keys.publish(&sets[0]);
        until(&gateway, &tokens[0], 200).await;
        for (turn, now) in [(1, 1), (2, 0), (3, 1)] {
            // A worker looks for other keys once a second, and all of them together once in `minRefetchInterval`.
            tokio::time::sleep(Duration::from_millis(1500)).await;
            keys.publish(&sets[now]);
            let before = keys.fetches();
            let answer = gateway.send(&tokens[now]).await;
            assert_eq!(answer.status, 200, "{kid} {turn}: {answer:?}");
            assert_eq!(keys.fetches() - before, 1, "{kid} {turn}");
            tokio::time::sleep(Duration::from_millis(600)).await;
            let statuses = gateway.send_eight(&tokens[now]).await.map(|answer| answer.status);
            assert_eq!(statuses, [200; 8], "{kid} {turn}");
        }
        // For ten seconds, after 1, 2 and 4: with two workers that hear of it one after the other.
        let (before, started) = (keys.fetches(), Instant::now());
        let (mut connection, mut quick) = (gateway.http1(), 0);
        while started.elapsed() < Duration::from_secs(10) {
            let asked = Instant::now();
            let answer = connection.send(&tokens[0]).await.unwrap();
            assert_eq!(answer.reason().as_deref(), Some("token_signature"), "{answer:?}");
            quick += usize::from(asked.elapsed() < Duration::from_millis(100));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let fetches = keys.fetches() - before;
        assert!((1..=8).contains(&fetches), "{fetches} fetches in ten seconds of forged tokens");
        assert!(quick > 200, "{quick} were refused at once");
        keys.fail();
    }
}

/// The operator learns of it before any request, and of one that is needed for some tokens only with the first of them:
/// a host tells a module of no cluster but by a call to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_envoy_does_not_have_is_said_at_once() {
    let mut policy = policy();
    policy["jwt"]["providers"][0]["jwks"]["cluster"] = json!("nowhere");
    policy["jwt"]["providers"].as_array_mut().unwrap().push(json!({
        "name": "opaque", "issuer": "https://as.test", "anyAudience": true,
        "introspection": {"endpoint": "https://as.test/introspect", "cluster": "nobody", "clientId": "a", "clientSecret": "b"},
    }));
    policy["revocation"] = json!({"remote": {"uri": "http://lists.test/", "cluster": "nothing"}});
    policy["rules"].as_array_mut().unwrap().push(rule(
        "opaque",
        "Exact",
        "/opaque",
        json!({"authenticate": {"anyOf": [{"jwt": "opaque"}]}}),
    ));
    let gateway = gateway(&policy).workers(2).start().await;
    let said = |text: &str| gateway.log().matches(text).count();
    let key_set = "key set of \"test\": Envoy has no cluster \"nowhere\"";
    let list = "revocation list: Envoy has no cluster \"nothing\"";
    let deadline = Instant::now() + Duration::from_secs(5);
    while said(key_set) == 0 || said(list) == 0 {
        assert!(Instant::now() < deadline, "{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(said("introspection"), 0, "{}", gateway.log());
    let answer = gateway.send(&get("/opaque").bearer("abc")).await;
    assert_eq!((answer.status, answer.reason().as_deref()), (503, Some("introspection_unavailable")));
    assert_eq!(said("introspection of \"opaque\": Envoy has no cluster \"nobody\""), 1, "{}", gateway.log());
    assert_eq!(said(": no answer"), 0, "{}", gateway.log());
    tokio::time::sleep(Duration::from_secs(1)).await;
    for purpose in ["key_set", "revocations", "introspection"] {
        let count =
            gateway.admin().stat(&format!("wasmcustom.portcullis_calls_not_sent._purpose={purpose}_")).await;
        assert!(count >= 1, "{purpose}: {count}");
    }
}
