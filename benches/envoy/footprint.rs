//! Size of the module, time to configure it, and memory of a worker.

use std::{fmt::Write as _, fs, thread::sleep, time::Duration};

use serde_json::{Value, json};

use crate::{
    credentials::Credentials,
    gateway::{Gateway, send},
    listeners, policies,
    settings::Settings,
};

/// Tokens that are remembered when memory is read.
const TOKENS: usize = 1000;

pub(crate) struct Footprint {
    module_bytes: u64,
    /// For each policy: its name, milliseconds of each configuration, bytes of memory.
    policies: Vec<(&'static str, Vec<f64>, Option<u64>)>,
}

/// In an Envoy for each policy, because all of its VMs share the gauge.
pub(crate) fn measure(settings: &Settings, credentials: &Credentials) -> Result<Footprint, String> {
    let module_bytes = fs::metadata(&settings.wasm).map_err(|error| error.to_string())?.len();
    let mut policies = Vec::new();
    for (name, listener) in [("chain", "portcullis"), ("large", "portcullis-large")] {
        let gateway = Gateway::start(settings, &listeners::bootstrap(settings, credentials, &[listener]))?;
        for token in credentials.fresh_rs256.iter().take(TOKENS) {
            let path = if name == "chain" { "/orders/1".to_owned() } else { policies::path(0) };
            for _ in 0..2 {
                let answer = send(
                    gateway.address(listener),
                    "GET",
                    &path,
                    &[("authorization", &format!("Bearer {token}"))],
                )?;
                if answer.status != 200 {
                    return Err(format!("{listener}: {}", answer.status));
                }
            }
        }
        // The gauge is set every 250 ms.
        sleep(Duration::from_secs(1));
        let log = gateway.log();
        let configured = log.lines().filter_map(|line| {
            let (_, after) = line.split_once("policy loaded in ")?;
            after.split(' ').next()?.parse().ok()
        });
        policies.push((name, configured.collect(), gateway.stat("wasmcustom.portcullis_memory_bytes")?));
    }
    Ok(Footprint { module_bytes, policies })
}

impl Footprint {
    pub(crate) fn text(&self) -> String {
        let mut text = format!("\nmodule {} kB\n", self.module_bytes / 1000);
        for (name, configured, memory) in &self.policies {
            let most = configured.iter().copied().fold(0.0, f64::max);
            let memory = memory.map_or("unknown".to_owned(), |bytes| format!("{:.1} MB", bytes as f64 / 1e6));
            let _ = writeln!(
                text,
                "policy {name}: configured in {most:.1} ms at most, memory of a worker with {TOKENS} tokens {memory}"
            );
        }
        text
    }

    pub(crate) fn to_json(&self) -> Value {
        let policies = self.policies.iter().map(|(name, configured, memory)| {
            json!({"policy": name, "configureMs": configured, "memoryBytes": memory})
        });
        json!({"moduleBytes": self.module_bytes, "policies": policies.collect::<Value>()})
    }
}
