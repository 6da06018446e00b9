//! Requests that are decided by their bodies: nothing of them reaches the upstream before.

use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::{Response, body::Bytes};
use serde_json::{Value, json};
use tokio::{sync::mpsc, time::sleep};

use crate::harness::{
    gateway::{Builder, Gateway, Wire, gateway},
    issuer::{ISSUER_KEYS, token},
    policy::{anyone, provider, rule},
    request::{Answer, Request, get, post, request},
    serving::Serving,
    webhooks::{HUB_HEADER, hub, hub_signature},
};

const LIMIT: usize = 100_000;

fn policy() -> Value {
    json!({
        "jwt": {"providers": [provider()]},
        "hmac": {"sources": [hub(json!({"maxBodyBytes": LIMIT}))]},
        "rules": [
            rule("hooks", "Exact", "/hooks", json!({"authenticate": {"anyOf": [{"hmac": "hub"}]}})),
            rule("both", "Exact", "/both", json!({"authenticate": {"allOf": [{"jwt": "test"}, {"hmac": "hub"}]}})),
            rule("open", "Exact", "/open", anyone()),
        ],
    })
}

fn builder() -> Builder {
    gateway(&policy()).bodies_while_waiting().https_only()
}

/// Text of so many bytes, in which no part is like another one.
fn text(size: usize) -> String {
    (0..)
        .map(|n: usize| format!("{n}\r\n"))
        .flat_map(|line| line.into_bytes())
        .take(size)
        .map(char::from)
        .collect()
}

fn hook(body: &str) -> Request {
    post("/hooks").body(body).signed_by_hub()
}

#[track_caller]
fn check(answer: &Answer, status: u16, reason: Option<&str>) {
    assert_eq!((answer.status, answer.reason().as_deref()), (status, reason), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_passes_as_it_came_up_to_its_limit() {
    let gateway = builder().start().await;
    let mut passed = 0;
    for wire in [Wire::Http1, Wire::Http2] {
        for size in [1, 2, 1000, 16_384, 65_536, LIMIT - 1, LIMIT] {
            let body = text(size);
            let answer = gateway.send_over(wire, &hook(&body)).await;
            check(&answer, 200, None);
            passed += 1;
            assert_eq!(answer.seen().body(), body, "{wire:?} {size}");
            assert_eq!(answer.seen().header("x-portcullis-subject"), ["hub"]);
            // One byte that is another one, and another number of them.
            let wrong = hook(&body).body(format!("{}x", &body[1..]));
            check(&gateway.send_over(wire, &wrong).await, 403, Some("signature_invalid"));
            let shorter = hook(&body).body(&body[1..]);
            check(&gateway.send_over(wire, &shorter).await, 403, Some("signature_invalid"));
        }
        for size in [LIMIT + 1, 2 * LIMIT] {
            check(&gateway.send_over(wire, &hook(&text(size))).await, 413, Some("body_too_large"));
        }
        // Nor does a head that says nothing of the length help.
        if wire == Wire::Http2 {
            let long = hook(&text(LIMIT + 1)).trailer("x-sum", "1");
            check(&gateway.send_over(wire, &long).await, 413, Some("body_too_large"));
        }
    }
    sleep(Duration::from_millis(300)).await;
    assert_eq!(gateway.upstream.count(), passed);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_a_body_are_decided_by_an_empty_one() {
    let gateway = builder().start().await;
    let empty = hub_signature(b"");
    for wire in [Wire::Http1, Wire::Http2] {
        for asked in [get("/hooks"), request("HEAD", "/hooks"), request("POST", "/hooks")] {
            check(&gateway.send_over(wire, &asked.clone().header(HUB_HEADER, &empty)).await, 200, None);
            let wrong = gateway.send_over(wire, &asked.header(HUB_HEADER, hub_signature(b" "))).await;
            assert_eq!(wrong.status, 403, "{wrong:?}");
        }
        // Methods that seldom have a body may have one.
        for method in ["GET", "DELETE", "OPTIONS"] {
            let asked = request(method, "/hooks").body("a body").signed_by_hub();
            check(&gateway.send_over(wire, &asked).await, 200, None);
            check(&gateway.send_over(wire, &asked.body("a bodi")).await, 403, Some("signature_invalid"));
        }
    }
}

/// Whether the upstream has heard of no more than `known` requests, a moment later.
async fn is_untouched(gateway: &Gateway, known: usize) -> bool {
    sleep(Duration::from_millis(100)).await;
    gateway.upstream.count() == known
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_reaches_the_upstream_before_the_last_byte() {
    let gateway = builder().start().await;
    let mut passed = 0;
    for (body, status, reason) in [("good", 200, None), ("evil", 403, Some("signature_invalid"))] {
        // With its length, and in chunks.
        let signature = hub_signature(b"goodgoodgood");
        let head = format!("POST /hooks HTTP/1.1\r\nhost: localhost\r\n{HUB_HEADER}: {signature}\r\n");
        let mut upload = gateway.upload(&format!("{head}content-length: 12\r\n\r\n")).await;
        for part in ["good", "good", body] {
            assert!(is_untouched(&gateway, passed).await);
            upload.write(part.as_bytes()).await;
        }
        check(&upload.answer().await, status, reason);
        passed += usize::from(status == 200);
        let mut upload = gateway.upload(&format!("{head}transfer-encoding: chunked\r\n\r\n")).await;
        for part in ["good", "good", body] {
            assert!(is_untouched(&gateway, passed).await);
            upload.write(format!("4\r\n{part}\r\n").as_bytes()).await;
        }
        // All of it, and not its end.
        assert!(is_untouched(&gateway, passed).await);
        upload.write(b"0\r\n\r\n").await;
        check(&upload.answer().await, status, reason);
        passed += usize::from(status == 200);

        // In frames, the last of which is empty.
        let (parts, body_parts) = mpsc::channel(1);
        let asked = request("POST", "/hooks").header(HUB_HEADER, &signature);
        let answer = tokio::spawn(gateway.http2().await.send_parts(asked, body_parts));
        for part in ["good", "good", body] {
            assert!(is_untouched(&gateway, passed).await);
            parts.send(Bytes::from(part)).await.unwrap();
        }
        assert!(is_untouched(&gateway, passed).await);
        drop(parts);
        check(&answer.await.unwrap().unwrap(), status, reason);
        passed += usize::from(status == 200);
    }
    assert!(is_untouched(&gateway, passed).await);
}

/// Of trailers behind it, too, nothing reaches the upstream that is removed.
#[tokio::test(flavor = "multi_thread")]
async fn trailers_end_a_body() {
    let gateway = builder().http2_upstream().start().await;
    let hook = hook("a body").trailer("x-portcullis-subject", "root").trailer("x-checksum", "1");
    let answer = gateway.send_over(Wire::Http2, &hook).await;
    check(&answer, 200, None);
    assert_eq!((answer.seen().body(), answer.seen().trailer_names()), ("a body", vec!["x-checksum"]));
    let wrong = gateway.send_over(Wire::Http2, &hook.body("a bodi")).await;
    check(&wrong, 403, Some("signature_invalid"));
    sleep(Duration::from_millis(300)).await;
    assert_eq!(gateway.upstream.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_meanwhile_harms_nobody() {
    let mut gateway = builder().start().await;
    let signature = hub_signature(&[b'x'; 10]);
    for sent in ["", "xxxxx"] {
        let head = format!(
            "POST /hooks HTTP/1.1\r\nhost: localhost\r\n{HUB_HEADER}: {signature}\r\ncontent-length: 10\r\n\r\n{sent}"
        );
        let upload = gateway.upload(&head).await;
        sleep(Duration::from_millis(100)).await;
        drop(upload);
    }
    check(&gateway.send(&hook("a body")).await, 200, None);
    sleep(Duration::from_millis(300)).await;
    assert_eq!(gateway.upstream.count(), 1);
    assert!(gateway.is_running());
}

/// Where Envoy keeps bodies to itself that is found out by the next tick; and whoever sends nothing is told at the deadline.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_never_comes_is_not_waited_for_without_end() {
    let gateway = gateway(&policy()).https_only().start().await;
    for (wire, size) in [(Wire::Http1, 1), (Wire::Http2, 1), (Wire::Http1, LIMIT), (Wire::Http2, LIMIT)] {
        let began = Instant::now();
        let answer = gateway.send_over(wire, &hook(&text(size))).await;
        check(&answer, 503, Some("body_unavailable"));
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }
    assert!(gateway.log().contains("allow_on_headers_stop_iteration: true"), "{}", gateway.log());
    // What needs no body goes on without.
    check(&gateway.send(&get("/hooks").header(HUB_HEADER, hub_signature(b""))).await, 200, None);
    check(&gateway.send(&post("/open").body(text(LIMIT))).await, 200, None);
    assert_eq!(gateway.upstream.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_nothing_is_told_at_the_deadline() {
    let gateway = builder().start().await;
    let signature = hub_signature(b"x");
    let head = format!(
        "POST /hooks HTTP/1.1\r\nhost: localhost\r\n{HUB_HEADER}: {signature}\r\ncontent-length: 1\r\n\r\n"
    );
    let began = Instant::now();
    let mut upload = gateway.upload(&head).await;
    check(&upload.answer().await, 408, Some("body_timeout"));
    assert!(began.elapsed() > Duration::from_secs(14), "{:?}", began.elapsed());
    assert!(is_untouched(&gateway, 0).await);
}

/// Keys are on their way when the body has come, or are there before it.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_comes_while_its_request_waits_for_keys() {
    let keys = Serving::start(|_| async {
        sleep(Duration::from_millis(1500)).await;
        Response::new(Full::new(Bytes::from(ISSUER_KEYS.jwks().to_string())))
    })
    .await;
    let mut policy = policy();
    policy["jwt"]["providers"][0]["jwks"] =
        json!({"uri": "http://keys.test/keys", "cluster": "jwks", "waitTimeout": "10s"});
    let gateway = gateway(&policy).bodies_while_waiting().https_only().jwks(keys.address).start().await;
    let body = text(LIMIT);
    let signed = |body: &str| post("/both").body(body).signed_by_hub().bearer(&token("alice").sign());
    let (good, wrong) = (signed(&body), signed(&body).body(&body[1..]));
    let began = Instant::now();
    let (first, second) =
        tokio::join!(gateway.send_over(Wire::Http1, &good), gateway.send_over(Wire::Http2, &wrong));
    check(&first, 200, None);
    assert_eq!(first.seen().body(), body);
    check(&second, 403, Some("signature_invalid"));
    assert!(began.elapsed() > Duration::from_millis(500), "they did not wait");
    // The keys are there now.
    check(&gateway.send_over(Wire::Http2, &good).await, 200, None);
    check(&gateway.send_over(Wire::Http1, &wrong).await, 403, Some("signature_invalid"));
    assert_eq!(gateway.upstream.count(), 2);
}

/// Bodies that nobody asks for pass as ever, whatever Envoy hands over.
#[tokio::test(flavor = "multi_thread")]
async fn no_other_request_waits_for_its_body() {
    let gateway = builder().start().await;
    let (parts, body_parts) = mpsc::channel(1);
    let asked = request("POST", "/open");
    let answer = tokio::spawn(gateway.http2().await.send_parts(asked, body_parts));
    parts.send(Bytes::from("first")).await.unwrap();
    for _ in 0..100 {
        if gateway.upstream.count() == 1 {
            break;
        }
        sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(gateway.upstream.count(), 1, "its head is there before its body");
    drop(parts);
    check(&answer.await.unwrap().unwrap(), 200, None);
    // Longer than Envoy keeps of any.
    let long = "x".repeat(3_000_000);
    let answer = gateway.send(&post("/open").body(&long)).await;
    assert_eq!((answer.status, answer.seen().body().len()), (200, long.len()));
}
