//! Portcullis: an API security filter for Envoy, as one proxy-wasm module.
//!
//! For each request it answers one question from one policy document: may this caller do this, now?
//!
//! ```text
//! transport -> throttle before authentication -> authenticate -> authorize -> rate limit -> forward
//! ```
//!
//! Imports point one way: `host` -> `engine` -> `policy` -> `config` -> features -> leaves.
//! Only `host` knows the proxy-wasm ABI; everything else takes bytes, time and stored state as arguments, so
//! the same code runs in the module, in the native command and in tests.

pub mod answer;
pub mod api_key;
pub mod calls;
pub mod certificate;
#[cfg(all(feature = "cli", not(target_family = "wasm")))]
pub mod command;
pub mod config;
pub mod confirmation;
pub mod crypto;
pub mod dpop;
pub mod engine;
pub mod fault;
pub mod fetched;
pub mod host;
pub mod identity;
mod interned;
pub mod introspection;
pub mod jose;
pub mod json;
pub mod jwt;
pub mod policy;

pub mod rate_limit;
pub mod rbac;

pub mod request;
pub mod resource_metadata;
pub mod revocation;
pub mod route;
pub mod sampling;
pub mod store;
pub mod time;
pub mod transport;
pub mod url;
