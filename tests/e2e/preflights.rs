//! CORS preflights: they pass without a credential, and nothing else does under their name.

use serde_json::{Value, json};

use crate::harness::{
    client::http1_bytes,
    gateway::{Wire, gateway},
    policy::{anyone, api_key_entry, merge, rule, with_api_key},
    request::{Request, post, request},
    table::{hold, pair},
    web_sockets::WebSockets,
};

pub(crate) fn policy() -> Value {
    let mut asked = with_api_key();
    merge(&mut asked, json!({"corsPreflight": "Allow"}));
    json!({
        "transport": {"requireTls": false},
        "apiKeys": {"keys": [api_key_entry("plain", json!({}))]},
        "rules": [rule("asked", "Exact", "/asked", asked), rule("open", "Exact", "/open", anyone())],
    })
}

fn preflight() -> Request {
    request("OPTIONS", "/asked")
        .header("origin", "https://app.example.com")
        .header("access-control-request-method", "PUT")
}

const MISSING: (u16, &str) = (401, "credentials_missing");

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_ends_with_its_headers() {
    let gateway = gateway(&policy()).start().await;
    let row = |name, refused| pair(name, preflight(), refused, MISSING).lacks("x-portcullis-rule");
    let table = [
        row("a body", preflight().body("{}")),
        row("another method in another way", preflight().header("x_http.method", "DELETE")),
        row("no origin", request("OPTIONS", "/asked").header("access-control-request-method", "PUT")),
    ];
    hold(&gateway, &[Wire::Http1, Wire::Http2, Wire::Plain], &table).await;
    let chunked = b"OPTIONS /asked HTTP/1.1\r\nhost: localhost\r\norigin: https://app.example.com\r\n\
        access-control-request-method: PUT\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n0\r\n\r\n";
    let answer = gateway.send_raw(chunked).await;
    assert!(answer.starts_with(b"HTTP/1.1 401 "), "{}", answer.escape_ascii());
    // With a body of a length that nobody says, and with trailers alone.
    let unsaid = |asked: Request| asked.body("{}").trailer("x-end", "1");
    let seen = gateway.send_over(Wire::Http2, &unsaid(post("/open"))).await.seen();
    assert_eq!((seen.body(), seen.header("content-length").len()), ("{}", 0));
    let table =
        [row("an unsaid length", unsaid(preflight())), row("trailers", preflight().trailer("x-end", "1"))];
    hold(&gateway, &[Wire::Http2], &table).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_becomes_no_web_socket() {
    let sockets = WebSockets::start().await;
    let gateway = gateway(&policy()).upgrades().host("ws.test", sockets.address).start().await;
    let upgrade = |asked: Request| {
        let asked = asked.authority("ws.test").header("connection", "Upgrade").header("upgrade", "websocket");
        http1_bytes(&asked, false)
    };
    let answer = gateway.send_raw_plain(&upgrade(preflight())).await;
    assert!(answer.starts_with(b"HTTP/1.1 401 "), "{}", answer.escape_ascii());
    assert_eq!(sockets.count(), 0);
    let answer = gateway.send_raw_plain(&upgrade(request("OPTIONS", "/open"))).await;
    assert!(answer.starts_with(b"HTTP/1.1 101 "), "{}", answer.escape_ascii());
    assert_eq!(sockets.count(), 1);
}
