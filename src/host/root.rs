//! One configuration of the filter on one thread: compiles the policy, fetches keys, makes a context per request.

use std::{rc::Rc, time::Duration};

use hashbrown::HashMap;
use log::{error, info, warn};
use proxy_wasm::{
    hostcalls,
    traits::{Context, HttpContext, RootContext},
    types::{BufferType, ContextType, MapType},
};

use super::{abi, http::Stream, services, stats::Stats};
use crate::{
    engine::Gate,
    jwt::{Fetch, FetchOutcome, MAX_JWKS_SIZE},
    policy::Policy,
};

/// How often key sets are looked after. Fetches are decided there, so this bounds how late they start.
const TICK: Duration = Duration::from_millis(250);

/// Everything that streams share.
pub(super) struct Serving {
    pub(super) gate: Gate,
    pub(super) stats: Stats,
}

#[derive(Default)]
pub(super) struct Root {
    serving: Option<Rc<Serving>>,
    /// Calls under way, by token.
    fetches: HashMap<u32, Fetch>,
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, size: usize, _: usize) {
        let (Some(fetch), Some(serving)) = (self.fetches.remove(&token), &self.serving) else { return };
        let answer = answer(headers, size);
        let outcome = match &answer {
            Some((status, body)) => FetchOutcome::Response { status: *status, body },
            None => FetchOutcome::Failed,
        };
        for message in serving.gate.on_fetched(&fetch, outcome, &services::around()) {
            warn!("{message}");
        }
    }
}

/// The answer to a call; `None` when there was none to speak of.
fn answer(headers: usize, size: usize) -> Option<(u16, Vec<u8>)> {
    // A reset within the body leaves no headers.
    if headers == 0 {
        return None;
    }
    let status = hostcalls::get_map_value_bytes(MapType::HttpCallResponseHeaders, ":status").ok()??;
    let status = str::from_utf8(&status).ok()?.parse().ok()?;
    // Envoy buffers whatever arrives; of what is too large, just enough is copied to be refused as such.
    let body = match size.min(MAX_JWKS_SIZE.saturating_add(1)) {
        0 => Vec::new(),
        size => hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, size).ok()??,
    };
    Some((status, body))
}

impl RootContext for Root {
    // A pure function of the configuration's bytes: if it passed on Envoy's main thread and failed on a worker,
    // Envoy would run that worker without the filter.
    fn on_configure(&mut self, _: usize) -> bool {
        #[cfg(feature = "faults")]
        if !super::faults::on_configure() {
            return false;
        }
        let bytes = self.get_plugin_configuration().unwrap_or_default();
        // The plugin's name is part of its configuration.
        let name = abi::property("plugin_name").and_then(|name| String::from_utf8(name).ok());
        let namespace = format!("portcullis/{}", name.unwrap_or_default());
        match Policy::compile(&bytes, &namespace) {
            Ok(policy) => {
                let gate = Gate::new(policy, &namespace);
                if gate.needs_ticks() {
                    self.set_tick_period(TICK);
                }
                info!("policy loaded: {}", gate.policy().summary());
                self.serving = Some(Rc::new(Serving { gate, stats: Stats::define() }));
                true
            }
            Err(faults) => {
                error!(
                    "policy refused: {} {}",
                    faults.len(),
                    if faults.len() == 1 { "fault" } else { "faults" }
                );
                for fault in faults {
                    error!("policy refused: {fault}");
                }
                false
            }
        }
    }

    fn on_tick(&mut self) {
        let Some(serving) = self.serving.clone() else { return };
        for fetch in serving.gate.on_tick(&services::around()) {
            let headers = vec![
                (":method", "GET"),
                (":scheme", fetch.scheme),
                (":authority", &fetch.authority),
                (":path", &fetch.path),
                ("accept", "application/jwk-set+json, application/json"),
            ];
            match self.dispatch_http_call(&fetch.cluster, headers, None, vec![], fetch.timeout) {
                Ok(token) => _ = self.fetches.insert(token, fetch),
                Err(status) => {
                    warn!("cluster \"{}\" took no request: {status:?}", fetch.cluster);
                    let _ = serving.gate.on_fetched(&fetch, FetchOutcome::Failed, &services::around());
                }
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(self.serving.clone())))
    }
}
