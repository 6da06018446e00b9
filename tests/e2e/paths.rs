//! One reading of a path: what the filter decides on is what the upstream gets, whether Envoy normalizes or not.

use serde_json::{Value, json};

use crate::harness::{
    gateway::{Wire, gateway},
    policy::{anyone, provider, rule, with_token},
    request::get,
    table::{Pair, hold, pair},
};

pub(crate) fn policy() -> Value {
    json!({
        "jwt": {"providers": [provider()]},
        "rules": [
            rule("open", "PathPrefix", "/open", anyone()),
            rule("closed", "PathPrefix", "/closed", with_token()),
            rule("utf8", "Exact", "/caf%C3%A9", anyone()),
        ],
        "defaultAction": "Deny",
    })
}

const CLOSED: (u16, &str) = (401, "credentials_missing");
const AMBIGUOUS: (u16, &str) = (400, "ambiguous_path");

pub(crate) fn table() -> Vec<Pair> {
    vec![
        pair(
            "a dot segment that leads elsewhere",
            get("/closed/../open/x"),
            get("/open/../closed/x"),
            CLOSED,
        )
        .path("/open/x"),
        pair("an escaped dot segment", get("/closed/%2e%2e/open/x"), get("/open/%2e%2e/closed"), CLOSED)
            .path("/open/x"),
        pair("a half escaped dot segment", get("/closed/.%2E/open/x"), get("/open/%2E./closed"), CLOSED)
            .path("/open/x"),
        pair("a dot segment that stays", get("/open/./x"), get("/closed/./x"), CLOSED).path("/open/x"),
        pair("a dot segment at the end", get("/open/a/.."), get("/open/.."), (403, "no_rule")).path("/open/"),
        pair("a dot segment at the start", get("/./open"), get("/./closed"), CLOSED).path("/open"),
        pair("dots that are no segment", get("/open/..x"), get("/open../x"), (403, "no_rule"))
            .path("/open/..x"),
        pair("repeated slashes", get("//open///x"), get("//closed///x"), CLOSED).path("/open/x"),
        pair("an escaped letter", get("/%6fpen/x"), get("/%63losed/x"), CLOSED).path("/open/x"),
        pair("an escaped letter within", get("/open/%7Ex"), get("/clo%73ed"), CLOSED).path("/open/~x"),
        pair("escaped once only", get("/open/%2541"), get("/%2563losed"), (403, "no_rule"))
            .path("/open/%2541"),
        pair("text that is not ASCII", get("/caf%c3%a9"), get("/caf%c3"), AMBIGUOUS).path("/caf%C3%A9"),
        pair("an escaped slash", get("/open/a/b"), get("/open%2Fa"), AMBIGUOUS),
        pair("an escaped slash within", get("/open/a/b"), get("/open/..%2fclosed"), AMBIGUOUS),
        pair("an escaped backslash", get("/open/a"), get("/open/a%5Cb"), AMBIGUOUS),
        pair("an invalid escape", get("/open/%25"), get("/open/%zz"), AMBIGUOUS),
        pair("half an escape", get("/open/%25"), get("/open/%2"), AMBIGUOUS),
        pair("not UTF-8", get("/open/%c3%bf"), get("/open/%ff"), AMBIGUOUS),
        pair("an overlong dot", get("/open/%2E"), get("/open/%c0%ae%c0%ae/closed"), AMBIGUOUS),
        pair("a control character", get("/open/%20"), get("/open/%0a"), AMBIGUOUS),
        pair("path parameters", get("/open/a%3Bb"), get("/open/a;b"), AMBIGUOUS),
        pair(
            "a query with dots and slashes",
            get("/open/x?y=/../closed//z"),
            get("/closed?y=/../open"),
            CLOSED,
        )
        .path("/open/x?y=/../closed//z"),
        pair("an empty query", get("/open/x?"), get("/closed/x?"), CLOSED),
    ]
}

/// Rows on which Envoy acts first when it normalizes: it turns `\` into `/` and refuses NUL.
fn left_to_the_filter() -> Vec<Pair> {
    vec![
        pair("a raw backslash", get("/open/a"), get("/open\\..\\closed"), AMBIGUOUS),
        pair("NUL", get("/open/a"), get("/open/%00"), AMBIGUOUS),
        pair("path parameters over dots", get("/open/a%3Bb"), get("/open;/../closed"), AMBIGUOUS),
        pair("above the root", get("/open/a"), get("/../closed"), AMBIGUOUS),
        pair("dots over an empty segment", get("/open/a"), get("/open//../closed"), AMBIGUOUS),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_have_one_reading_without_envoys_normalization() {
    let gateway = gateway(&policy()).start().await;
    hold(&gateway, &[Wire::Http1, Wire::Http2], &table()).await;
    hold(&gateway, &[Wire::Http1], &left_to_the_filter()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_have_one_reading_with_envoys_normalization() {
    let gateway = gateway(&policy()).normalized_by_envoy().start().await;
    hold(&gateway, &[Wire::Http1, Wire::Http2], &table()).await;
    let by_envoy = [
        pair("NUL", get("/open/a"), get("/open/%00"), AMBIGUOUS).by_envoy(),
        pair("a backslash becomes a slash", get("/closed\\..\\open"), get("/open\\..\\closed"), CLOSED)
            .path("/open"),
    ];
    hold(&gateway, &[Wire::Http1], &by_envoy).await;
}

/// Requests that are hardly HTTP: each is refused, and Envoy and the filter live on.
#[tokio::test(flavor = "multi_thread")]
async fn malformed_requests_are_refused() {
    let gateway = gateway(&policy()).start().await;
    let long =
        format!("GET /open/{} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", "x".repeat(9000));
    let rows: [(&str, &[u8], u16); 7] = [
        ("no host", b"GET /open HTTP/1.1\r\nconnection: close\r\n\r\n", 400),
        ("two hosts", b"GET /open HTTP/1.1\r\nhost: a\r\nhost: b\r\nconnection: close\r\n\r\n", 400),
        ("a host with a blank", b"GET /open HTTP/1.1\r\nhost: a b\r\nconnection: close\r\n\r\n", 400),
        ("a fragment", b"GET /open#x HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", 400),
        ("raw bytes", b"GET /open/\xff HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n", 400),
        (
            "a method of its own",
            b"BREW /closed HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
            401,
        ),
        ("a long target", long.as_bytes(), 414),
    ];
    for (name, bytes, status) in rows {
        let answer = gateway.send_raw(bytes).await;
        let line = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
        // Envoy closes without an answer where it cannot even read the method.
        let refused = line.is_empty() || line.contains(" 400 ") || line.contains(&format!(" {status} "));
        assert!(refused, "{name}: {line}");
    }
    assert_eq!(gateway.upstream.count(), 0);
    assert_eq!(gateway.send(&get("/open/x")).await.status, 200);
}

/// RFC 3986 section 3.2.3: the port may be empty. Rules go by the host.
#[tokio::test(flavor = "multi_thread")]
async fn a_colon_without_a_port_is_the_same_host() {
    let mut here = rule("here", "Exact", "/here", anyone());
    here["hostnames"] = json!(["api.example.com"]);
    let mut there = rule("there", "Exact", "/here", anyone());
    there["hostnames"] = json!(["[::1]"]);
    let gateway = gateway(&json!({"rules": [here, there]})).start().await;
    for (authority, expected) in [
        ("api.example.com", (200, None)),
        ("api.example.com:", (200, None)),
        ("API.example.com.:", (200, None)),
        ("[::1]:", (200, None)),
        ("other.example.com:", (403, Some("no_rule"))),
    ] {
        for wire in [Wire::Http1, Wire::Http2] {
            // The library that writes HTTP/2 takes no such host.
            if wire == Wire::Http2 && authority.ends_with(':') {
                continue;
            }
            let answer = gateway.send_over(wire, &get("/here").authority(authority)).await;
            assert_eq!(
                (answer.status, answer.reason().as_deref()),
                expected,
                "{authority} {wire:?}: {answer:?}"
            );
        }
    }
}
