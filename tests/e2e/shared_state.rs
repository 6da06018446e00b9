//! What two filters of one name and VM share, and what they must not: documents that are fetched from the same address
//! over another cluster.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    gateway::{Builder, Gateway, Wire, gateway},
    idp::until,
    issuer::{AUDIENCE, FORGER_KEYS, ISSUER, ISSUER_KEYS, token},
    key_server::KeyServer,
    policy::{rule, with_token},
    request::{Answer, get},
    revocations::RevocationServer,
};

/// Every worker looks after its documents four times a second; with room for a machine that is busy.
const SOON: Duration = Duration::from_secs(10);

/// Production and staging of one issuer: the same URI, the same `kid`s, other keys.
struct Issuers {
    production: KeyServer,
    staging: KeyServer,
}

impl Issuers {
    async fn start() -> Self {
        let (production, staging) = (KeyServer::start().await, KeyServer::start().await);
        production.publish(&ISSUER_KEYS.jwks());
        staging.publish(&FORGER_KEYS.jwks());
        Self { production, staging }
    }

    fn behind(&self, gateway: Builder) -> Builder {
        gateway.cluster("idp-prod", self.production.address).cluster("idp-staging", self.staging.address)
    }
}

fn policy(cluster: &str) -> Value {
    json!({
        "transport": {"requireTls": false},
        "jwt": {"providers": [{
            "name": "test",
            "issuer": ISSUER,
            "audiences": [AUDIENCE],
            "algorithms": ["ES256"],
            "jwks": {"uri": "http://keys.test/keys?v=1", "cluster": cluster},
        }]},
        "rules": [rule("closed", "Exact", "/closed", with_token())],
        "defaultAction": "Deny",
    })
}

/// Over TLS, and so to the first filter, or without, to the second.
async fn ask(gateway: &Gateway, wire: Wire, token: &str) -> Answer {
    gateway.send_over(wire, &get("/closed").bearer(token)).await
}

/// Until the filter has keys, and then with each worker: tokens of `good` pass, those of `bad` do not.
async fn takes(gateway: &Gateway, wire: Wire, good: &str, bad: &str) {
    until(SOON, async || ask(gateway, wire, good).await.status == 200).await;
    let all = async |token: &str| gateway.send_eight_over(wire, &get("/closed").bearer(token)).await;
    assert_eq!(all(good).await.map(|answer| answer.status), [200; 8], "{wire:?}");
    for answer in all(bad).await {
        assert_eq!((answer.status, answer.reason().as_deref()), (401, Some("token_signature")), "{wire:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_filters_of_one_name_each_have_the_keys_of_their_own_cluster() {
    let issuers = Issuers::start().await;
    let gateway = issuers.behind(gateway(&policy("idp-prod")).plain_policy(&policy("idp-staging")));
    let gateway = gateway.workers(2).start().await;
    let (of_production, of_staging) = (token("alice").sign(), token("alice").forged().sign());
    takes(&gateway, Wire::Http1, &of_production, &of_staging).await;
    takes(&gateway, Wire::Plain, &of_staging, &of_production).await;
    takes(&gateway, Wire::Http1, &of_production, &of_staging).await;
    assert_eq!((issuers.production.fetches(), issuers.staging.fetches()), (1, 1));
}

/// The neighbour: nothing but the cluster differs, and what does not differ is fetched once.
#[tokio::test(flavor = "multi_thread")]
async fn two_filters_of_one_name_and_cluster_fetch_once() {
    let issuers = Issuers::start().await;
    let gateway = issuers.behind(gateway(&policy("idp-prod")).plain_policy(&policy("idp-prod")));
    let gateway = gateway.workers(2).start().await;
    let (of_production, of_staging) = (token("alice").sign(), token("alice").forged().sign());
    takes(&gateway, Wire::Http1, &of_production, &of_staging).await;
    takes(&gateway, Wire::Plain, &of_production, &of_staging).await;
    assert_eq!((issuers.production.fetches(), issuers.staging.fetches()), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_of_the_cluster_alone_brings_its_keys() {
    let issuers = Issuers::start().await;
    let gateway = issuers.behind(gateway(&policy("idp-staging")).watched()).workers(2).start().await;
    let (of_production, of_staging) = (token("alice").sign(), token("alice").forged().sign());
    takes(&gateway, Wire::Http1, &of_staging, &of_production).await;
    assert!(gateway.change_policy(&policy("idp-prod").to_string()).await);
    // From the first request on: those that come before the keys wait for them.
    takes(&gateway, Wire::Http1, &of_production, &of_staging).await;
    assert_eq!((issuers.production.fetches(), issuers.staging.fetches()), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn two_filters_of_one_name_each_have_the_revocations_of_their_own_cluster() {
    let (production, staging) = (RevocationServer::start().await, RevocationServer::start().await);
    production.publish(&json!({"jti": ["a"]}));
    staging.publish(&json!({"jti": ["b"]}));
    let policy = |cluster: &str, server: &RevocationServer| {
        let mut policy = policy("unused");
        policy["jwt"]["providers"][0]["jwks"] =
            json!({"inline": {"keys": [ISSUER_KEYS.jwk(jsonwebtoken::Algorithm::ES256)]}});
        policy["revocation"] = server.section("30s");
        policy["revocation"]["remote"]["cluster"] = cluster.into();
        policy
    };
    let gateway = gateway(&policy("lists-prod", &production))
        .plain_policy(&policy("lists-staging", &staging))
        .cluster("lists-prod", production.address)
        .cluster("lists-staging", staging.address)
        .start()
        .await;
    let [a, b] = ["a", "b"].map(|jti| token("alice").claim("jti", jti).sign());
    for (wire, good, revoked) in [(Wire::Http1, &b, &a), (Wire::Plain, &a, &b)] {
        until(SOON, async || ask(&gateway, wire, good).await.status == 200).await;
        let answer = ask(&gateway, wire, revoked).await;
        assert_eq!(answer.reason().as_deref(), Some("token_revoked"), "{wire:?}");
    }
}
