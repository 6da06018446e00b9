//! Connections that become WebSockets.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

use crate::harness::{
    client::http1_bytes,
    gateway::gateway,
    policy::{anyone, rule},
    request::get,
};

/// Takes every upgrade, and keeps the head of each request as it came over the wire.
struct WebSockets {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl WebSockets {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let kept = heads.clone();
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n")
                    && stream.read_buf(&mut head).await.is_ok_and(|read| read > 0)
                {}
                kept.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
                let answer =
                    b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
                let _ = stream.write_all(answer).await;
            }
        });
        Self { address, heads, task }
    }

    /// The values of a header in the last request.
    fn last(&self, name: &str) -> Vec<String> {
        let heads = self.heads.lock().unwrap();
        let lines = heads.last().unwrap().split("\r\n").filter_map(|line| line.split_once(": "));
        lines.filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).collect()
    }
}

impl Drop for WebSockets {
    fn drop(&mut self) {
        self.task.abort();
    }
}

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
