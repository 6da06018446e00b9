//! Portcullis: an API security filter for Envoy, as one proxy-wasm module.
//!
//! For each request it answers one question from one policy document: may this caller do this, now?
//!
//! ```text
//! transport -> throttle before authentication -> authenticate -> authorize -> rate limit -> forward
//! ```
//!
//! One request, decided natively:
//!
//! ```
//! use portcullis::{
//!     answer::Reason,
//!     engine::{Exchange, HostServices, WorkerState},
//!     policy::Policy,
//!     request::RequestHead,
//!     store::MemoryStore,
//!     time::{Clock, Timestamp},
//! };
//!
//! let document = br#"{"rules": [{
//!     "name": "health",
//!     "matches": [{"path": {"type": "Exact", "value": "/healthz"}}],
//!     "authenticate": {"anonymous": true}
//! }]}"#;
//! let policy = Policy::compile(document, "example").expect("a policy without faults");
//! let worker = WorkerState::new(policy, "example");
//! let store = MemoryStore::default();
//! let services =
//!     HostServices::new(Clock::at(Timestamp::from_secs(1_800_000_000)), &store, &|| Some([7; 16]));
//! let reason = |path: &[u8]| {
//!     let headers: [(&[u8], &[u8]); 4] =
//!         [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"api.example"), (b":path", path)];
//!     let head = RequestHead { headers: headers.into(), tls: true, ..RequestHead::default() };
//!     Exchange::default().on_request(&worker, &head, &services).reason
//! };
//! assert_eq!(reason(b"/healthz"), None, "allowed");
//! assert_eq!(reason(b"/orders"), Some(Reason::NoRule));
//! ```
//!
//! Imports point one way: `host` -> `engine` -> `policy` -> `config` -> features -> leaves.
//! Only `host` knows the proxy-wasm ABI; everything else takes bytes, time and stored state as arguments, so
//! the same code runs in the module, in the native command and in tests.

pub mod answer;
mod api_key;
pub mod calls;
mod certificate;
#[cfg(all(feature = "cli", not(target_family = "wasm")))]
pub mod command;
pub mod config;
mod confirmation;
mod cross_site;
pub mod crypto;
mod dpop;
pub mod engine;
pub mod etcd;
mod expression;
pub mod fault;
mod fetched;
mod hmac;
pub mod host;
mod identity;
mod interned;
mod introspection;
pub mod jose;
mod json;
mod jwt;
mod message_signature;
mod network;
pub mod origin;
pub mod passkeys;
pub mod policy;
mod protobuf;

pub mod rate_limit;
mod rbac;

mod replay;
mod replica;
pub mod request;
mod resource_metadata;
pub mod revocation;
pub mod route;
mod sampling;
pub mod session;
mod statement;
pub mod store;
mod text;
pub mod time;
mod transport;
pub mod url;
mod usage;
pub mod versions;
pub mod webauthn;
