//! Browsers open WebSockets without `Authorization`: a token comes among the protocols that they offer. A browser ends
//! the connection where the answer names none of them.

use serde_json::json;

use crate::harness::{
    client::http1_bytes,
    gateway::gateway,
    issuer::token,
    policy::{provider, rule, with_token},
    request::get,
    web_sockets::WebSockets,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_among_the_protocols_is_taken_and_the_others_stay() {
    let mut provider = provider();
    provider["extractFrom"] =
        json!({"headers": [{"name": "sec-websocket-protocol", "valuePrefix": "bearer, "}]});
    let policy = json!({
        "transport": {"requireTls": false},
        "jwt": {"providers": [provider]},
        "rules": [rule("a", "PathPrefix", "/a", with_token())],
        "defaultAction": "Deny",
    });
    let sockets = WebSockets::start().await;
    let gateway = gateway(&policy).upgrades().host("ws.test", sockets.address).start().await;
    let (good, forged) = (token("alice").sign(), token("alice").forged().sign());
    let open = async |protocols: &str| {
        let asked = get("/a")
            .authority("ws.test")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-protocol", protocols);
        let answer = gateway.send_raw_plain(&http1_bytes(&asked, false)).await;
        String::from_utf8_lossy(&answer).to_ascii_lowercase()
    };
    for (offered, arrives, chosen) in [
        ("bearer, TOKEN", "bearer", "bearer"),
        ("chat, bearer, TOKEN", "chat, bearer", "chat"),
        ("bearer, TOKEN, chat", "chat, bearer", "chat"),
        ("bearer,TOKEN", "bearer", "bearer"),
    ] {
        let reached = sockets.count();
        let refused = open(&offered.replace("TOKEN", &forged)).await;
        assert!(refused.starts_with("http/1.1 401 ") && sockets.count() == reached, "{offered}: {refused}");
        let opened = open(&offered.replace("TOKEN", &good)).await;
        assert!(opened.starts_with("http/1.1 101 "), "{offered}: {opened}");
        assert!(opened.contains(&format!("\r\nsec-websocket-protocol: {chosen}\r\n")), "{offered}: {opened}");
        assert_eq!(sockets.last("sec-websocket-protocol"), [arrives], "{offered}");
        assert_eq!(sockets.last("x-portcullis-subject"), ["alice"], "{offered}");
    }
}
