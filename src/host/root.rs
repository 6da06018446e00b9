//! One configuration of the filter on one thread: compiles the policy, fetches keys, makes a context per request.

use std::{rc::Rc, time::Duration};

use log::{error, info};
use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::ContextType,
};

use super::{abi, http::Stream, services, serving::Serving, stats::Stats};
use crate::{crypto, engine::Gate, policy::Policy};

/// How often key sets are looked after. Fetches are decided there, so this bounds how late they start.
const TICK: Duration = Duration::from_millis(250);

#[derive(Default)]
pub(super) struct Root {
    serving: Option<Rc<Serving>>,
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, size: usize, _: usize) {
        if let Some(serving) = &self.serving {
            serving.on_call_response(token, headers, size, None);
        }
    }
}

impl RootContext for Root {
    // A pure function of the configuration's bytes: if it passed on Envoy's main thread and failed on a worker,
    // Envoy would run that worker without the filter.
    fn on_configure(&mut self, _: usize) -> bool {
        #[cfg(feature = "faults")]
        if !super::faults::on_configure() {
            return false;
        }
        let began = services::now();
        let bytes = self.get_plugin_configuration().unwrap_or_default();
        // The plugin's name is part of its configuration. Its digest is always a short key, whatever the name.
        let name = crypto::short_digest(&abi::property("plugin_name").unwrap_or_default());
        let namespace = format!("portcullis/{name}");
        match Policy::compile(&bytes, &namespace) {
            Ok(policy) => {
                let gate = Gate::new(policy, &namespace);
                if gate.needs_ticks() {
                    self.set_tick_period(TICK);
                }
                let summary = gate.policy().summary();
                let serving = Serving::new(gate, Stats::define());
                serving.stats.measure_memory();
                info!("policy loaded in {} ms: {summary}", services::now().since(began).as_millis());
                self.serving = Some(Rc::new(serving));
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
        let Some(serving) = &self.serving else { return };
        serving.stats.count_fetches(serving.gate.take_fetch_events());
        serving.send(serving.gate.on_tick(&serving.around(false)), None);
        serving.wake_all();
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Stream::new(id, self.serving.clone())))
    }
}
