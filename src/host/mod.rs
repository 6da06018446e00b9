//! The proxy-wasm adapter: turns Envoy's bytes into a request head, carries out what the engine decides, and
//! decides nothing itself. The only code that knows the ABI; all but what names it is generic over
//! [`host_calls::Host`], so that tests run it without Envoy.
//!
//! The module speaks the ABI itself instead of through its SDK for Rust: that one hands an answer to whichever request
//! sent the call, and to nobody when that one has gone; takes all memory that the host fills from the allocator; exports
//! every callback there is, each of which Envoy calls; and panics where a host answers what it does not expect. Its
//! callbacks and ours have the same names, so its types cannot be had without its dispatcher.

pub mod wire;

#[cfg(target_family = "wasm")]
mod abi;
#[cfg(target_family = "wasm")]
mod callbacks;
#[cfg(any(test, target_family = "wasm"))]
mod calls;
#[cfg(any(test, target_family = "wasm"))]
mod carry_out;
#[cfg(all(target_family = "wasm", feature = "faults"))]
mod faults;
#[cfg(any(test, target_family = "wasm"))]
mod host_calls;
#[cfg(target_family = "wasm")]
mod logging;
#[cfg(target_family = "wasm")]
mod memory;
#[cfg(any(test, target_family = "wasm"))]
mod root;
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
mod trailers;
