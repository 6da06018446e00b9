//! The proxy-wasm adapter: turns Envoy's bytes into a request head, carries out what the engine decides, and
//! decides nothing itself. The only code that knows the ABI.
//!
//! The module speaks the ABI itself instead of through its SDK for Rust: that one exports every callback there is, each
//! of which Envoy calls, keeps an object for every stream, and panics where a host answers what it does not expect.

pub mod wire;

#[cfg(target_family = "wasm")]
mod abi;
#[cfg(target_family = "wasm")]
mod answering;
#[cfg(target_family = "wasm")]
mod callbacks;
#[cfg(target_family = "wasm")]
mod calls;
#[cfg(all(target_family = "wasm", feature = "faults"))]
mod faults;
#[cfg(target_family = "wasm")]
mod logging;
#[cfg(target_family = "wasm")]
mod memory;
#[cfg(target_family = "wasm")]
mod root;
#[cfg(target_family = "wasm")]
mod services;
#[cfg(target_family = "wasm")]
mod serving;
#[cfg(target_family = "wasm")]
mod stats;
#[cfg(target_family = "wasm")]
mod trailers;
