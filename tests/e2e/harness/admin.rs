//! Envoy's admin interface.

use std::{collections::BTreeMap, net::SocketAddr};

use serde_json::Value;

use super::{client, request::get};

pub(crate) struct Admin {
    address: SocketAddr,
}

impl Admin {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn is_ready(&self) -> bool {
        client::try_http1_plain(self.address, &get("/ready")).await.is_ok_and(|answer| answer.status == 200)
    }

    pub(crate) async fn text(&self, path: &str) -> String {
        let answer = client::try_http1_plain(self.address, &get(path)).await.unwrap();
        assert_eq!(answer.status, 200, "{path}");
        String::from_utf8_lossy(&answer.body).into_owned()
    }

    /// Listener names and where they listen.
    pub(crate) async fn listeners(&self) -> BTreeMap<String, SocketAddr> {
        let listeners: Value = serde_json::from_str(&self.text("/listeners?format=json").await).unwrap();
        let listeners = listeners["listener_statuses"].as_array().expect("listeners");
        let read = |listener: &Value| {
            let address = &listener["local_address"]["socket_address"];
            let address = format!("{}:{}", address["address"].as_str()?, address["port_value"]);
            Some((listener["name"].as_str()?.to_owned(), address.parse().ok()?))
        };
        listeners.iter().map(|listener| read(listener).expect("a listener's address")).collect()
    }

    /// Counters and gauges; those that Envoy does not have yet are 0.
    pub(crate) async fn stat(&self, name: &str) -> u64 {
        self.stats().await.get(name).copied().unwrap_or(0)
    }

    pub(crate) async fn stats(&self) -> BTreeMap<String, u64> {
        let text = self.text("/stats").await;
        let read = |line: &str| {
            let (name, value) = line.split_once(": ")?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        text.lines().filter_map(read).collect()
    }
}
