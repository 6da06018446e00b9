//! WebSockets whose token stands among the protocols that the client offers, as scripts of web pages have it.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::harness::{
    client::http1_bytes,
    gateway::{Gateway, gateway},
    issuer::token,
    policy::{provider, rule, with_token},
    request::get,
    web_sockets::WebSockets,
};

fn policy(forward: bool) -> Value {
    let mut provider = provider();
    provider["forward"] = forward.into();
    provider["extractFrom"] = json!({"headers": [
        {"name": "authorization", "valuePrefix": "Bearer "},
        {"name": "sec-websocket-protocol", "valuePrefix": "bearer, "},
        {"name": "sec-websocket-protocol", "valuePrefix": "base64url.bearer.authorization.k8s.io."},
    ]});
    json!({
        "transport": {"requireTls": false},
        "jwt": {"providers": [provider]},
        "rules": [rule("token", "Exact", "/token", with_token())],
    })
}

/// The answer to an upgrade with these protocols, as far as it is told: the status, and the protocol that was chosen.
async fn open(gateway: &Gateway, lines: &[String]) -> String {
    let asked = get("/token").authority("ws.test");
    let asked = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ]
    .into_iter()
    .fold(asked, |asked, (name, value)| asked.header(name, value));
    let asked = lines.iter().fold(asked, |asked, line| asked.header("Sec-WebSocket-Protocol", line));
    let answer = gateway.send_raw_plain(&http1_bytes(&asked, false)).await;
    let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    let status = answer.split(' ').nth(1).unwrap_or_default().to_owned();
    let chosen = answer.split("\r\n").find_map(|line| line.strip_prefix("sec-websocket-protocol: "));
    format!("{status} {}", chosen.unwrap_or("-"))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_taken_and_the_protocols_stay() {
    let jwt = token("alice").sign();
    let encoded = format!("base64url.bearer.authorization.k8s.io.{}", URL_SAFE_NO_PAD.encode(&jwt));
    let written = |lines: &[&str]| {
        lines.iter().map(|line| line.replace("JWT", &jwt).replace("ENC", &encoded)).collect::<Vec<_>>()
    };
    let sockets = WebSockets::start().await;
    // What is offered, what the upstream sees of it, and what the client is answered.
    let passing: &[(&[&str], &[&str], &str)] = &[
        (&["bearer, JWT"], &["bearer"], "101 bearer"),
        (&["bearer,JWT"], &["bearer"], "101 bearer"),
        (&["chat, bearer, JWT"], &["chat, bearer"], "101 chat"),
        (&["bearer, JWT, chat"], &["chat, bearer"], "101 chat"),
        (&["chat", "bearer, JWT"], &["chat, bearer"], "101 chat"),
        (&["chat", "ENC"], &["chat"], "101 chat"),
        (&["ENC"], &[], "101 -"),
    ];
    // Where the token goes on.
    let forwarding: &[(&[&str], &[&str], &str)] = &[
        (&["chat, bearer,JWT"], &["chat, bearer,JWT"], "101 chat"),
        (&["chat", "ENC"], &["chat", "ENC"], "101 chat"),
    ];
    let refused: &[(&[&str], &str)] = &[
        (&["chat"], "401"),
        (&["bearer"], "401"),
        (&["chat, JWT"], "401"),
        (&["bearer, JWTx"], "401"),
        (&["bearer, JWT, bearer, x"], "400"),
        (&["bearer, JWT", "bearer, x"], "400"),
        (&["bearer, JWT, base64url.bearer.authorization.k8s.io.eA"], "400"),
    ];
    for (forward, passing) in [(false, passing), (true, forwarding)] {
        let gateway = gateway(&policy(forward)).upgrades().host("ws.test", sockets.address).start().await;
        for (lines, arrives, expected) in passing {
            let answer = open(&gateway, &written(lines)).await;
            assert_eq!(answer, *expected, "{lines:?}");
            assert_eq!(sockets.last("sec-websocket-protocol"), written(arrives), "{lines:?}");
            assert_eq!(sockets.last("x-portcullis-subject"), ["alice"], "{lines:?}");
        }
        if forward {
            continue;
        }
        let count = sockets.count();
        for (lines, expected) in refused {
            let answer = open(&gateway, &written(lines)).await;
            assert!(answer.starts_with(expected), "{lines:?}: {answer}");
        }
        assert_eq!(sockets.count(), count);
    }
}
