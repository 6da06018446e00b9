//! Requests that are signed by HTTP message signatures (RFC 9421).

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::harness::{
    gateway::{Builder, Wire, gateway},
    message_signatures::{ALL, Signer, signed_by_another},
    policy::{anyone, rule},
    request::{Answer, Request, get, post},
};

fn builder(signers: Value) -> Builder {
    let names: Vec<_> = signers.as_array().unwrap().iter().map(|signer| signer["name"].clone()).collect();
    let ways: Vec<_> = names.iter().map(|name| json!({"messageSignature": name})).collect();
    gateway(&json!({
        "messageSignatures": {"signers": signers},
        "rules": [
            rule("orders", "PathPrefix", "/orders", json!({"authenticate": {"anyOf": ways}})),
            rule("open", "Exact", "/open", anyone()),
        ],
    }))
    .https_only()
}

#[track_caller]
fn check(answer: &Answer, status: u16, reason: Option<&str>) {
    assert_eq!((answer.status, answer.reason().as_deref()), (status, reason), "{answer:?}");
}

fn target(request: &Request, target: &str) -> Request {
    Request { target: target.to_owned(), ..request.clone() }
}

fn with_digest() -> Vec<&'static str> {
    [&ALL[..], &["content-digest"]].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_passes_as_it_was_signed() {
    let bank = Signer::generate("bank");
    let gateway = builder(json!([bank.entry(json!({}))])).bodies_while_waiting().start().await;
    let mut passed = 0;
    for wire in [Wire::Http1, Wire::Http2] {
        let signed = bank.sign(get("/orders/7?a=1&b=%20"), &ALL, "n");
        let answer = gateway.send_over(wire, &signed).await;
        check(&answer, 200, None);
        let seen = answer.seen();
        assert_eq!(seen.path(), "/orders/7?a=1&b=%20");
        assert_eq!(
            (seen.header("x-portcullis-subject"), seen.header("x-portcullis-kind")),
            (vec!["bank"], vec!["message-signature"])
        );
        assert_eq!((seen.header("signature").len(), seen.header("signature-input").len()), (1, 1));
        let posted = bank.sign(post("/orders").body("a body").digested(), &with_digest(), "n");
        let answer = gateway.send_over(wire, &posted).await;
        check(&answer, 200, None);
        assert_eq!(answer.seen().body(), "a body");
        // Two bodies of which nothing is: one ends with its head, and one behind it.
        let bare = bank.sign(post("/orders").body(""), &ALL, "n");
        check(&gateway.send_over(wire, &bare).await, 200, None);
        passed += 3;

        for (refused, status, reason) in [
            (target(&signed, "/orders/8?a=1&b=%20"), 403, "signature_invalid"),
            (target(&signed, "/orders/7?a=2&b=%20"), 403, "signature_invalid"),
            (target(&signed, "/orders/7"), 403, "signature_invalid"),
            (target(&signed, "/orders/x/../7?a=1&b=%20"), 400, "ambiguous_path"),
            (signed.clone().authority("other.test"), 403, "signature_invalid"),
            (Request { method: "DELETE".into(), ..signed.clone() }, 403, "signature_invalid"),
            (bank.sign(get("/orders?a=1"), &ALL[..3], "n"), 403, "signature_incomplete"),
            (bank.sign(get("/orders"), &ALL[1..], "n"), 403, "signature_incomplete"),
            (bank.sign(post("/orders").digested(), &ALL, "n"), 403, "signature_incomplete"),
            (posted.clone().body("a bodi"), 400, "content_digest_invalid"),
            (posted.clone().body("a bod"), 400, "content_digest_invalid"),
            (posted.clone().body(""), 400, "content_digest_invalid"),
            (get("/orders"), 403, "signature_missing"),
            (get("/orders").header("signature", "sig=:AA==:"), 400, "signature_malformed"),
            (Signer::generate("bank").sign(get("/orders"), &ALL, "n"), 403, "signature_invalid"),
        ] {
            check(&gateway.send_over(wire, &refused).await, status, Some(reason));
        }
    }
    sleep(Duration::from_millis(300)).await;
    assert_eq!(gateway.upstream.count(), passed);
}

/// Every algorithm, by a library that makes all of it from the request: what is covered, the digest, both headers.
#[tokio::test(flavor = "multi_thread")]
async fn requests_of_another_implementation_pass() {
    let everything: &[&str] = &[
        "@method",
        "@authority",
        "@scheme",
        "@target-uri",
        "@request-target",
        "@path",
        "@query",
        "\"@query-param\";name=\"a%20b\"",
        "x-tenant",
        "accept",
    ];
    let signed = signed_by_another(&[
        (get("/orders?q=1&a+b=%7e%20x").header("x-tenant", "t1").header("accept", "  */*  "), everything),
        (post("/orders/8").body("{\"amount\": 7}"), &ALL),
        (get("/orders/7"), &["@method", "@target-uri"]),
    ]);
    assert_eq!(signed.len(), 6);
    let keys: Vec<_> = signed.values().map(|(key, _)| key.clone()).collect();
    for without_crypto in [false, true] {
        let builder = builder(json!([{"name": "bank", "keys": keys}])).bodies_while_waiting();
        let gateway = if without_crypto { builder.without_crypto() } else { builder }.start().await;
        for (algorithm, (_, requests)) in &signed {
            for (wire, request) in [Wire::Http1, Wire::Http2]
                .iter()
                .flat_map(|wire| requests.iter().map(move |one| (*wire, one)))
            {
                let answer = gateway.send_over(wire, request).await;
                assert_eq!(answer.status, 200, "{algorithm} {request:?}: {answer:?}");
                let other = target(request, &format!("{}x", request.target));
                check(&gateway.send_over(wire, &other).await, 403, Some("signature_invalid"));
                let other = Request { body: b"{\"amount\": 8}".to_vec(), ..request.clone() };
                let reason = if request.body.is_empty() {
                    (403, "signature_incomplete")
                } else {
                    (400, "content_digest_invalid")
                };
                check(&gateway.send_over(wire, &other).await, reason.0, Some(reason.1));
            }
        }
    }
}

/// The workers share what they know of used signatures.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_at_once_one_passes() {
    let bank = Signer::generate("bank");
    let gateway =
        builder(json!([bank.entry(json!({"once": true}))])).workers(2).bodies_while_waiting().start().await;
    // Envoy gives each new one to the worker that has the fewest.
    let (mut one, mut two) = (gateway.http1(), gateway.http1());
    for connection in [&mut one, &mut two] {
        check(&connection.send(&get("/open")).await.unwrap(), 200, None);
    }
    for round in 0..50 {
        let (body, nonce) = (post("/orders").body(format!("{round}")).digested(), round.to_string());
        let request = if round % 2 == 0 {
            bank.sign(get("/orders"), &ALL, &nonce)
        } else {
            bank.sign(body, &with_digest(), &nonce)
        };
        let (one, two) = tokio::join!(one.send(&request), two.send(&request));
        let (one, two) = (one.unwrap(), two.unwrap());
        let mut statuses = [one.status, two.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 403], "round {round}: {one:?} {two:?}");
        let refused = if one.status == 403 { one } else { two };
        check(&refused, 403, Some("signature_replayed"));
    }
    assert_eq!(gateway.upstream.count(), 52);
}

/// Where Envoy keeps bodies to itself, those with a body are refused, and nobody who signed nothing waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_comes_is_not_waited_for() {
    let bank = Signer::generate("bank");
    let gateway = builder(json!([bank.entry(json!({}))])).start().await;
    let posted = bank.sign(post("/orders").digested(), &with_digest(), "n");
    check(&gateway.send(&posted).await, 503, Some("body_unavailable"));
    check(&gateway.send(&target(&posted, "/orders/x")).await, 403, Some("signature_invalid"));
    check(&gateway.send(&bank.sign(get("/orders"), &ALL, "n")).await, 200, None);
    assert_eq!(gateway.upstream.count(), 1);
}
