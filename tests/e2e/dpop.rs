//! Tokens that a real authorization server bound to a key pass with a proof of that key, once (RFC 9449).

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    gateway::{Builder, gateway},
    idp::Idp,
    now,
    policy::{anyone, merge, rule, with_token},
    proof::Holder,
    request::{Answer, Request, get, post},
};

/// What the gateway goes by in these tests.
const ORDERS: &str = "https://localhost/orders";

fn before(idp: &Idp, dpop: Value) -> Builder {
    let mut provider = idp.provider(json!({}));
    provider["dpop"] = json!({"mode": "Accepted"});
    merge(&mut provider["dpop"], dpop);
    let policy = json!({
        "jwt": {"providers": [provider]},
        "rules": [rule("open", "Exact", "/open", anyone()), rule("orders", "PathPrefix", "/orders", with_token())],
        "defaultAction": "Deny",
    });
    gateway(&policy).jwks(idp.address).https_only().workers(2)
}

async fn bound(idp: &Idp, holder: &Holder, resource: &str) -> String {
    let proof = holder.proof("POST", &format!("{}/token", idp.issuer)).sign();
    idp.token_bound_to_key(resource, &proof).await
}

fn with_proof(request: Request, token: &str, proof: &str) -> Request {
    request.header("authorization", format!("DPoP {token}")).header("dpop", proof)
}

/// The challenge of one scheme.
fn challenge<'a>(answer: &'a Answer, scheme: &str) -> &'a str {
    let mut values =
        answer.headers.iter().filter(|(name, _)| name == "www-authenticate").map(|(_, value)| value.as_str());
    let found = values.find(|value| value.starts_with(scheme));
    found.unwrap_or_else(|| panic!("no {scheme} challenge: {answer:?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bound_token_passes_with_its_proof_alone() {
    let idp = Idp::start().await;
    let gateway = before(&idp, json!({})).start().await;
    let (holder, thief) = (Holder::generate(), Holder::generate());
    let token = bound(&idp, &holder, "urn:api:es256").await;
    let other = bound(&idp, &holder, "urn:api:es256").await;
    let good = || holder.proof("GET", ORDERS).with(&token);

    let first = good().sign();
    let answer = gateway.send(&with_proof(get("/orders"), &token, &first)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = answer.seen();
    assert_eq!(seen.header("x-portcullis-subject"), ["m2m"]);
    assert!(seen.header("authorization").is_empty() && seen.header("dpop").is_empty());
    // Query and method as sent; the proof names the URL without the query.
    let answer = gateway.send(&with_proof(get("/orders?page=2"), &token, &good().sign())).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let posted = holder.proof("POST", ORDERS).with(&token).sign();
    let answer = gateway.send(&with_proof(post("/orders"), &token, &posted)).await;
    assert_eq!(answer.status, 200, "{answer:?}");

    const PROOF: (&str, &str) = ("dpop_proof_invalid", "invalid_dpop_proof");
    const BINDING: (&str, &str) = ("token_binding", "invalid_token");
    let table = [
        ("replayed", first, ("dpop_proof_replayed", "invalid_dpop_proof")),
        ("another method", holder.proof("POST", ORDERS).with(&token).sign(), PROOF),
        ("another path", holder.proof("GET", "https://localhost/orders/7").with(&token).sign(), PROOF),
        ("another host", holder.proof("GET", "https://elsewhere.test/orders").with(&token).sign(), PROOF),
        ("another scheme", holder.proof("GET", "http://localhost/orders").with(&token).sign(), PROOF),
        ("old", good().claim("iat", now() - 120).sign(), PROOF),
        ("of the future", good().claim("iat", now() + 60).sign(), PROOF),
        ("without ath", good().claim("ath", Value::Null).sign(), PROOF),
        ("for another token", holder.proof("GET", ORDERS).with(&other).sign(), PROOF),
        ("without jti", good().claim("jti", Value::Null).sign(), PROOF),
        ("of another type", good().header("typ", "JWT").sign(), PROOF),
        ("symmetric", good().header("alg", "HS256").sign(), PROOF),
        ("not a proof", "a.b.c".to_owned(), PROOF),
        ("by another key", thief.proof("GET", ORDERS).with(&token).sign(), BINDING),
    ];
    for (name, proof, (reason, error)) in table {
        let answer = gateway.send(&with_proof(get("/orders"), &token, &proof)).await;
        assert_eq!((answer.status, answer.reason().as_deref()), (401, Some(reason)), "{name}: {answer:?}");
        let told = challenge(&answer, "DPoP ");
        assert!(told.contains(&format!("error=\"{error}\"")), "{name}: {told}");
        assert!(told.contains("algs=\"ES256 "), "{name}: {told}");
    }

    let answer = gateway.send(&get("/orders").bearer(&token)).await;
    assert_eq!(answer.reason().as_deref(), Some("token_binding"), "as Bearer: {answer:?}");
    assert!(challenge(&answer, "DPoP ").contains("error=\"invalid_token\""), "{answer:?}");
    let answer = gateway.send(&get("/orders").bearer(&token).header("dpop", good().sign())).await;
    assert_eq!(answer.reason().as_deref(), Some("token_binding"), "as Bearer with a proof: {answer:?}");
    let answer = gateway.send(&get("/orders").header("authorization", format!("DPoP {token}"))).await;
    assert_eq!(answer.reason().as_deref(), Some("dpop_proof_invalid"), "without a proof: {answer:?}");
    let two = with_proof(get("/orders"), &token, &good().sign()).header("dpop", good().sign());
    assert_eq!(gateway.send(&two).await.reason().as_deref(), Some("dpop_proof_invalid"), "two proofs");

    // A token that is not bound is a bearer token, and nothing else.
    let unbound = idp.token("urn:api:es256").await;
    assert_eq!(gateway.send(&get("/orders").bearer(&unbound)).await.status, 200);
    let proof = holder.proof("GET", ORDERS).with(&unbound).sign();
    let answer = gateway.send(&with_proof(get("/orders"), &unbound, &proof)).await;
    assert_eq!(answer.reason().as_deref(), Some("token_binding"), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_every_token_must_be_bound() {
    let idp = Idp::start().await;
    let gateway = before(&idp, json!({"mode": "Required"})).start().await;
    let answer = gateway.send(&get("/orders")).await;
    assert!(challenge(&answer, "DPoP ").contains("algs="), "{answer:?}");
    let unbound = idp.token("urn:api:es256").await;
    assert_eq!(
        gateway.send(&get("/orders").bearer(&unbound)).await.reason().as_deref(),
        Some("token_binding")
    );
    let holder = Holder::generate();
    let token = bound(&idp, &holder, "urn:api:rs256").await;
    let proof = holder.proof("GET", ORDERS).with(&token).sign();
    assert_eq!(gateway.send(&with_proof(get("/orders"), &token, &proof)).await.status, 200);
}

/// An opaque token: the issuer's answer says which key it is bound to.
#[tokio::test(flavor = "multi_thread")]
async fn opaque_tokens_are_bound_too() {
    let idp = Idp::start().await;
    let provider = json!({
        "name": "test", "issuer": idp.issuer, "audiences": ["https://api.test"], "clockSkew": "5s",
        "introspection": crate::introspection::introspection(&idp, json!({})),
        "dpop": {"mode": "Accepted"},
    });
    let policy = json!({
        "jwt": {"providers": [provider]},
        "rules": [rule("orders", "PathPrefix", "/orders", with_token())],
        "defaultAction": "Deny",
    });
    let gateway = gateway(&policy).jwks(idp.address).https_only().start().await;
    let (holder, thief) = (Holder::generate(), Holder::generate());
    let token = bound(&idp, &holder, "urn:api:opaque").await;
    let proof = holder.proof("GET", ORDERS).with(&token).sign();
    let answer = gateway.send(&with_proof(get("/orders"), &token, &proof)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = gateway.send(&with_proof(get("/orders"), &token, &proof)).await;
    assert_eq!(answer.reason().as_deref(), Some("dpop_proof_replayed"), "{answer:?}");
    let stolen = thief.proof("GET", ORDERS).with(&token).sign();
    let answer = gateway.send(&with_proof(get("/orders"), &token, &stolen)).await;
    assert_eq!(answer.reason().as_deref(), Some("token_binding"), "{answer:?}");
    assert_eq!(gateway.send(&get("/orders").bearer(&token)).await.reason().as_deref(), Some("token_binding"));
}

/// The workers share what they know of used proofs.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_at_once_one_passes() {
    let idp = Idp::start().await;
    let gateway = before(&idp, json!({})).start().await;
    let holder = Holder::generate();
    let token = bound(&idp, &holder, "urn:api:es256").await;
    // Envoy gives each new one to the worker that has the fewest.
    let (mut one, mut two) = (gateway.http1(), gateway.http1());
    assert_eq!(one.send(&get("/open")).await.unwrap().status, 200);
    assert_eq!(two.send(&get("/open")).await.unwrap().status, 200);
    for round in 0..50 {
        let proof = holder.proof("GET", ORDERS).with(&token).sign();
        let request = with_proof(get("/orders"), &token, &proof);
        let (one, two) = tokio::join!(one.send(&request), two.send(&request));
        let (one, two) = (one.unwrap(), two.unwrap());
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 401], "round {round}: {one:?} {two:?}");
        let refused = if one.status == 401 { one } else { two };
        assert_eq!(refused.reason().as_deref(), Some("dpop_proof_replayed"), "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_with_a_nonce_of_ours() {
    let idp = Idp::start().await;
    let gateway = before(&idp, json!({"nonce": {"lifetime": "10s"}})).start().await;
    let holder = Holder::generate();
    let token = bound(&idp, &holder, "urn:api:es256").await;
    let (mut one, mut two) = (gateway.http1(), gateway.http1());
    let proof = || holder.proof("GET", ORDERS).with(&token);
    let wanted = |answer: &Answer| {
        assert_eq!(
            (answer.status, answer.reason().as_deref()),
            (401, Some("dpop_nonce_required")),
            "{answer:?}"
        );
        assert!(challenge(answer, "DPoP ").contains("error=\"use_dpop_nonce\""), "{answer:?}");
        answer.header("dpop-nonce").expect("a nonce").to_owned()
    };
    let answer = one.send(&with_proof(get("/orders"), &token, &proof().sign())).await.unwrap();
    let nonce = wanted(&answer);
    // It counts with each worker.
    for connection in [&mut one, &mut two] {
        let proof = proof().claim("nonce", nonce.as_str()).sign();
        let answer = connection.send(&with_proof(get("/orders"), &token, &proof)).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    // A nonce is no licence to use a proof twice, nor is one of somebody else's a nonce.
    let used = proof().claim("nonce", nonce.as_str()).sign();
    assert_eq!(one.send(&with_proof(get("/orders"), &token, &used)).await.unwrap().status, 200);
    let answer = two.send(&with_proof(get("/orders"), &token, &used)).await.unwrap();
    assert_eq!(answer.reason().as_deref(), Some("dpop_proof_replayed"), "{answer:?}");
    let foreign = proof().claim("nonce", "eyJ7S_zG.eyJH0-Z.HX4w-7v").sign();
    wanted(&two.send(&with_proof(get("/orders"), &token, &foreign)).await.unwrap());

    // An allowed answer brings the next one in time: after its lifetime a nonce is still good for once more.
    let mut current = nonce.clone();
    let deadline = std::time::Instant::now() + Duration::from_secs(12);
    while current == nonce {
        assert!(std::time::Instant::now() < deadline, "no new nonce");
        tokio::time::sleep(Duration::from_millis(200)).await;
        let proof = proof().claim("nonce", nonce.as_str()).sign();
        let answer = one.send(&with_proof(get("/orders"), &token, &proof)).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        if let Some(next) = answer.header("dpop-nonce") {
            next.clone_into(&mut current);
        }
    }
    let proof = proof().claim("nonce", current.as_str()).sign();
    assert_eq!(two.send(&with_proof(get("/orders"), &token, &proof)).await.unwrap().status, 200);
}
