//! A service whose connections become WebSockets.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    task::JoinHandle,
};

/// Takes every upgrade, with the first protocol that is offered, and keeps the head of each request as it came over the
/// wire.
pub(crate) struct WebSockets {
    pub(crate) address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl WebSockets {
    pub(crate) async fn start() -> Self {
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
                let head = String::from_utf8_lossy(&head).into_owned();
                let offered = values(&head, "sec-websocket-protocol").join(",");
                let chosen = offered.split(',').map(str::trim).find(|protocol| !protocol.is_empty());
                let chosen = chosen.map(|protocol| format!("sec-websocket-protocol: {protocol}\r\n"));
                let answer = format!(
                    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n{}\r\n",
                    chosen.unwrap_or_default()
                );
                kept.lock().unwrap().push(head);
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { address, heads, task }
    }

    /// Requests that reached it.
    pub(crate) fn count(&self) -> usize {
        self.heads.lock().unwrap().len()
    }

    /// The values of a header in the last request.
    pub(crate) fn last(&self, name: &str) -> Vec<String> {
        values(self.heads.lock().unwrap().last().unwrap(), name)
    }
}

fn values(head: &str, name: &str) -> Vec<String> {
    let lines = head.split("\r\n").filter_map(|line| line.split_once(": "));
    lines.filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.to_owned()).collect()
}

impl Drop for WebSockets {
    fn drop(&mut self) {
        self.task.abort();
    }
}
