//! `envoy/minimal.yaml` over HTTP/3: the filter decides as over HTTP/1.1 and HTTP/2.

use std::{fs, sync::Arc};

use tokio_rustls::rustls::ClientConfig;

use crate::{
    demo,
    documentation::block,
    harness::{
        gateway::Wire,
        http3::Http3,
        repository,
        request::{get, post},
        table::{Door as _, hold},
        tls::{self, IDENTITY},
    },
    minimal_config::{Minimal, filter},
};

const WIRES: [Wire; 3] = [Wire::Http1, Wire::Http2, Wire::Http3];

/// Tokens, API keys, no credentials, too few rights, paths that nobody may ask for: the policy of the demo in
/// `minimal.yaml`. It requires TLS.
#[tokio::test(flavor = "multi_thread")]
async fn the_demos_table_holds_over_every_protocol() {
    let material = demo::set_up();
    let policy = fs::read_to_string(material.path().join("filter.yaml")).unwrap();
    assert!(policy.contains("requireTls"), "{policy}");
    let minimal = Minimal::start_with(&[], &policy).await;
    hold(&minimal, &WIRES, &demo::table::table(material.path())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_says_where_http3_is_spoken() {
    let minimal = Minimal::start_with(&[], &open_health()).await;
    for wire in WIRES {
        for (request, status) in [(get("/health"), 200), (get("/orders"), 401), (get("/elsewhere"), 403)] {
            let answer = minimal.ask(wire, &request).await;
            assert_eq!(answer.status, status, "{wire:?} {answer:?}");
            assert_eq!(answer.header("alt-svc"), Some("h3=\":8443\"; ma=86400"), "{wire:?} {answer:?}");
            assert_eq!(answer.header("strict-transport-security"), Some("max-age=63072000"), "{answer:?}");
        }
    }
}

/// 20 a minute for each address: what comes by one protocol counts for all of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_limit_counts_an_address_over_all_protocols() {
    let shipped = "limits: [{requests: 50, unit: Second, burst: 100}]";
    assert!(filter().contains(shipped));
    let slow = filter().replace(shipped, "limits: [{requests: 20, unit: Minute}]");
    let minimal = Minimal::start_with(&[], &slow).await;
    let http3 = minimal.http3().await;
    let mut limited = None;
    for _ in 0..30 {
        let answer = http3.send(&get("/orders")).await.unwrap();
        if answer.status == 429 {
            limited = Some(answer);
            break;
        }
        assert_eq!(answer.status, 401, "{answer:?}");
    }
    assert!(limited.is_some_and(|answer| answer.header("retry-after").is_some()));
    for wire in WIRES {
        let answer = minimal.ask(wire, &get("/orders")).await;
        assert_eq!((answer.status, answer.reason().as_deref()), (429, Some("rate_limited")), "{wire:?}");
    }
}

/// A request in early data can be sent again by whoever saw it go by: the file does not let Envoy take any. Envoy does so
/// by default, and says so of such a request (RFC 8470 section 5.1), by which a policy can tell.
#[tokio::test(flavor = "multi_thread")]
async fn requests_in_early_data_are_not_taken() {
    let shipped = Minimal::start_with(&[], &open_health()).await;
    let client = early();
    let first = Http3::connect(shipped.http3_address(), &client).await.unwrap();
    assert_eq!(first.send(&get("/health")).await.unwrap().status, 200);
    assert!(Http3::send_early(shipped.http3_address(), &client, &get("/health")).await.unwrap().is_none());

    let by_default = [("enable_early_data: false", "enable_early_data: true")];
    let lets = Minimal::start_with(&by_default, &without_early_orders()).await;
    let client = early();
    let first = Http3::connect(lets.http3_address(), &client).await.unwrap();
    assert_eq!(first.send(&get("/health")).await.unwrap().status, 200);
    let (answer, taken) = Http3::send_early(lets.http3_address(), &client, &get("/health"))
        .await
        .unwrap()
        .expect("Envoy said it would");
    assert!(taken);
    assert_eq!((answer.status, answer.seen().header("early-data")), (200, vec!["1"]), "{answer:?}");
    let (answer, taken) = Http3::send_early(lets.http3_address(), &client, &post("/orders"))
        .await
        .unwrap()
        .expect("Envoy said it would");
    assert!(taken);
    assert_eq!((answer.status, answer.reason().as_deref()), (403, Some("rule_denied")), "{answer:?}");
    // The same, after the handshake.
    let answer = first.send(&post("/orders")).await.unwrap();
    assert_eq!((answer.status, answer.reason().as_deref()), (401, Some("credentials_missing")), "{answer:?}");
}

/// A client that would send early.
fn early() -> Arc<ClientConfig> {
    let mut config = Arc::unwrap_or_clone(tls::client(&IDENTITY.certificate, "h3"));
    config.enable_early_data = true;
    Arc::new(config)
}

/// With the rule of docs/envoy.md.
fn without_early_orders() -> String {
    let page = fs::read_to_string(repository().join("docs/envoy.md")).unwrap();
    let rule = block(&page, "- name: no-early-orders", 10);
    open_health().replace("          rules:\n", &format!("          rules:\n{rule}"))
}

/// What has arrived of bodies whose requests wait for keys stays within the bounds of the file, as over HTTP/2.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_waiting_requests_stay_with_their_clients() {
    let minimal = Minimal::start_with(&[], &filter()).await;
    let connection = Arc::new(minimal.http3().await);
    let held = minimal
        .held_by_waiting(|request| {
            let connection = connection.clone();
            async move { connection.send(&request).await }
        })
        .await;
    assert!(held < 16 << 20, "{held} bytes were held");
}

fn open_health() -> String {
    let open = "          - name: health\n            matches: [{path: {type: Exact, value: /health}}]\n            \
                authenticate: {anonymous: true}\n";
    filter().replace("          rules:\n", &format!("          rules:\n{open}"))
}
