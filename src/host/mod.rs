//! The proxy-wasm adapter: turns Envoy's bytes into a request head, carries out what the engine decides, and
//! decides nothing itself. The only code that names `proxy_wasm`.

pub mod wire;

#[cfg(target_family = "wasm")]
mod abi;
#[cfg(all(target_family = "wasm", feature = "faults"))]
mod faults;
#[cfg(target_family = "wasm")]
mod http;
#[cfg(target_family = "wasm")]
mod root;
#[cfg(target_family = "wasm")]
mod services;
#[cfg(target_family = "wasm")]
mod serving;
#[cfg(target_family = "wasm")]
mod stats;

#[cfg(target_family = "wasm")]
mod start {
    proxy_wasm::main! {{
        proxy_wasm::set_log_level(proxy_wasm::types::LogLevel::Info);
        proxy_wasm::set_root_context(|_| Box::new(super::root::Root::default()));
    }}
}
