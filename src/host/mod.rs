//! The proxy-wasm adapter: turns Envoy's bytes into a request head, carries out what the engine decides, and
//! decides nothing itself. The only code that knows the ABI; all but what names it is generic over
//! [`host_calls::Host`], so that tests run it without Envoy.
//!
//! Contexts, their life, who is called for what, and most host calls are those of proxy-wasm's SDK for Rust.

pub mod wire;

#[cfg(target_family = "wasm")]
mod abi;
#[cfg(any(test, target_family = "wasm"))]
mod access_log;
#[cfg(any(test, target_family = "wasm"))]
mod calls;
#[cfg(any(test, target_family = "wasm"))]
mod carry_out;
#[cfg(target_family = "wasm")]
mod contexts;
#[cfg(any(test, target_family = "wasm"))]
mod counter;
#[cfg(any(test, target_family = "wasm"))]
mod etcd_watch;
#[cfg(all(target_family = "wasm", feature = "faults"))]
mod faults;
#[cfg(any(test, target_family = "wasm"))]
mod host_calls;
#[cfg(target_family = "wasm")]
mod memory;
#[cfg(any(test, target_family = "wasm"))]
mod policy_stats;
#[cfg(any(test, target_family = "wasm"))]
mod root;
#[cfg(any(test, target_family = "wasm"))]
mod rule_stats;
#[cfg(any(test, target_family = "wasm"))]
mod services;
#[cfg(any(test, target_family = "wasm"))]
mod serving;
#[cfg(any(test, target_family = "wasm"))]
mod stats;
#[cfg(any(test, target_family = "wasm"))]
mod stream;
#[cfg(test)]
mod tests;
#[cfg(any(test, target_family = "wasm"))]
mod ticks;
#[cfg(any(test, target_family = "wasm"))]
mod trailers;
#[cfg(any(test, target_family = "wasm"))]
mod waiting;
