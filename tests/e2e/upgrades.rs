//! Connections that become WebSockets.

use serde_json::{Value, json};

use crate::harness::{
    client::http1_bytes,
    gateway::gateway,
    policy::{anyone, rule},
    request::get,
    web_sockets::WebSockets,
};

fn policy() -> Value {
    json!({
        "transport": {"requireTls": false},
        "rules": [rule("open", "PathPrefix", "/open", anyone())],
    })
}

/// A proxy behind would drop what the options name (RFC 9110 section 7.6.1), be it who is calling.
#[tokio::test(flavor = "multi_thread")]
async fn options_of_the_connection_name_no_header() {
    let sockets = WebSockets::start().await;
    let gateway = gateway(&policy()).upgrades().host("ws.test", sockets.address).start().await;
    for (lines, arrives) in [
        (&["Upgrade"][..], "Upgrade"),
        (&["keep-alive, upgrade"], "keep-alive, upgrade"),
        (&["upgrade, X-Portcullis-Rule"], "upgrade"),
        (&["Upgrade", "x_portcullis.rule, te"], "upgrade, te"),
        (&["x-other,upgrade,x-forwarded-for"], "upgrade"),
    ] {
        let asked = get("/open").authority("ws.test").header("upgrade", "websocket").header("x-other", "1");
        let asked = lines.iter().fold(asked, |asked, line| asked.header("connection", line));
        let answer = gateway.send_raw_plain(&http1_bytes(&asked, false)).await;
        assert!(answer.starts_with(b"HTTP/1.1 101 "), "{lines:?}: {}", answer.escape_ascii());
        assert_eq!(sockets.last("connection"), [arrives], "{lines:?}");
        let others = ["upgrade", "x-portcullis-rule", "x-other"].map(|name| sockets.last(name).concat());
        assert_eq!(others, ["websocket", "open", "1"], "{lines:?}");
    }
}
