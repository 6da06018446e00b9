//! What the tests stand on: Envoy, an upstream, an issuer, a client that sends what it is told to.

pub(crate) mod admin;
pub(crate) mod authenticator;
pub(crate) mod capabilities;
pub(crate) mod client;
pub(crate) mod endless;
pub(crate) mod envoy_config;
pub(crate) mod envoy_parts;
pub(crate) mod envoy_version;
pub(crate) mod etcd;
pub(crate) mod etcd_members;
pub(crate) mod faulty_etcd;
pub(crate) mod gateway;
pub(crate) mod http3;
pub(crate) mod idp;
pub(crate) mod issuer;
pub(crate) mod key_server;
pub(crate) mod loose;
pub(crate) mod message_signatures;
pub(crate) mod policy;
pub(crate) mod process;
pub(crate) mod proof;
pub(crate) mod request;
pub(crate) mod revocations;
pub(crate) mod serving;
#[path = "../../../examples/demo/signing.rs"]
#[expect(dead_code, reason = "the demo uses more of it")]
pub(crate) mod signing;
pub(crate) mod table;
pub(crate) mod tls;
pub(crate) mod upstream;
pub(crate) mod web_sockets;
pub(crate) mod webhooks;

use std::{
    net::TcpListener,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU16, Ordering},
};

/// A file that `make test` names in the environment.
pub(crate) fn artifact(variable: &str) -> PathBuf {
    let Some(path) = std::env::var_os(variable) else {
        panic!("{variable} is not set: run `make test`, which builds and gets what these tests need");
    };
    let path = PathBuf::from(path);
    assert!(path.exists(), "{variable} names {}, which does not exist: run `make test`", path.display());
    path
}

/// The repository.
pub(crate) fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// SHA-256 of an API key, as a policy stores it.
pub(crate) fn api_key_hash(key: &str) -> String {
    use sha2::{Digest as _, Sha256};
    let hex: String = Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

/// Seconds since 1970.
pub(crate) fn now() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

/// Of this machine, and below the range that the system hands out by itself.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % 8000).unwrap();
    loop {
        let port = 20_000 + (offset + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
