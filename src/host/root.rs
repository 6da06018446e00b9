//! One configuration of the filter on one thread: compiles the policy, fetches keys, makes a context per request.

use std::{rc::Rc, time::Duration};

use hashbrown::HashMap;
use log::{error, info, warn};
use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::ContextType,
};

use super::{abi, http::Stream, services, stats::Stats, wire};
use crate::{
    call::Outcome,
    engine::{Gate, Purpose},
    policy::Policy,
};

/// How often key sets are looked after. Fetches are decided there, so this bounds how late they start.
const TICK: Duration = Duration::from_millis(250);

/// Everything that streams share.
pub(super) struct Serving {
    pub(super) gate: Gate,
    pub(super) stats: Stats,
}

/// A call under way.
#[derive(Clone, Copy)]
struct Pending {
    purpose: Purpose,
    max_answer: usize,
}

#[derive(Default)]
pub(super) struct Root {
    serving: Option<Rc<Serving>>,
    /// Calls under way, by token.
    calls: HashMap<u32, Pending>,
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, size: usize, _: usize) {
        let (Some(call), Some(serving)) = (self.calls.remove(&token), &self.serving) else { return };
        // A reset within the body leaves no headers.
        let answer = if headers == 0 { Err(abi::Failed) } else { Answer::read(size, call.max_answer) };
        let parsed = answer.as_ref().ok().and_then(|answer| answer.outcome());
        let outcome = parsed.as_ref().map_or(Outcome::Failed, |(status, headers, body)| Outcome::Answer {
            status: *status,
            headers,
            body,
        });
        for message in serving.gate.on_answer(call.purpose, outcome, &services::around()) {
            warn!("{message}");
        }
    }
}

/// The answer to a call, as bytes.
struct Answer {
    headers: Vec<u8>,
    body: Vec<u8>,
}

type Parts<'a> = (u16, Vec<(&'a [u8], &'a [u8])>, &'a [u8]);

impl Answer {
    /// Envoy buffers whatever arrives; of what is too large, just enough is copied to be refused as such.
    fn read(size: usize, max: usize) -> Result<Self, abi::Failed> {
        let size = size.min(max.saturating_add(1));
        let body = if size == 0 { Vec::new() } else { abi::call_response_body(size)? };
        Ok(Self { headers: abi::call_response_headers()?, body })
    }

    fn outcome(&self) -> Option<Parts<'_>> {
        let headers = wire::parse_pairs(&self.headers)?;
        let status = headers.iter().find(|(name, _)| *name == b":status")?.1;
        Some((str::from_utf8(status).ok()?.parse().ok()?, headers, &self.body))
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
        for (purpose, call) in serving.gate.on_tick(&services::around()) {
            let endpoint = &call.endpoint;
            let mut headers = vec![
                (":method", call.method),
                (":scheme", endpoint.scheme),
                (":authority", &endpoint.authority),
                (":path", &endpoint.path),
            ];
            headers.extend(call.headers.iter().map(|(name, value)| (*name, value.as_str())));
            let body = (!call.body.is_empty()).then_some(call.body.as_slice());
            match self.dispatch_http_call(&call.cluster, headers, body, vec![], call.timeout) {
                Ok(token) => {
                    self.calls.insert(token, Pending { purpose, max_answer: call.max_answer });
                }
                Err(status) => {
                    warn!("cluster \"{}\" took no request: {status:?}", call.cluster);
                    for message in serving.gate.on_answer(purpose, Outcome::Failed, &services::around()) {
                        warn!("{message}");
                    }
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
