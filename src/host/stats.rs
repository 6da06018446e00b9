//! Counters in Envoy's stats. A fixed set, defined at configure: Envoy never forgets a metric.

use hashbrown::HashMap;
use proxy_wasm::{hostcalls, types::MetricType};

use super::abi;
use crate::{jwt::FetchEvents, problem::Reason};

/// Counters by decision and reason.
///
/// `portcullis_requests._decision=deny_._reason=token_expired_` becomes a counter with two labels under the tag
/// rules that the configurations in `envoy/` carry.
pub(super) struct Stats {
    allowed: Option<u32>,
    denied: HashMap<Reason, u32>,
    evicted: Option<u32>,
    fetches: [Option<u32>; 3],
}

impl Stats {
    /// Defines the counters. One that cannot be defined is not counted; decisions do not depend on it.
    pub(super) fn define() -> Self {
        let counter = |name: &str| hostcalls::define_metric(MetricType::Counter, name).ok();
        let denied = Reason::ALL.into_iter().filter_map(|reason| {
            let name = format!("portcullis_requests._decision=deny_._reason={}_", reason.code());
            Some((reason, counter(&name)?))
        });
        Self {
            allowed: counter("portcullis_requests._decision=allow_._reason=none_"),
            denied: denied.collect(),
            evicted: counter("portcullis_rate_limit_evictions"),
            fetches: ["started", "succeeded", "failed"]
                .map(|result| counter(&format!("portcullis_key_set_fetches._result={result}_"))),
        }
    }

    /// Counts fetches of key sets.
    pub(super) fn count_fetches(&self, events: FetchEvents) {
        for (id, count) in self.fetches.iter().zip([events.started, events.succeeded, events.failed]) {
            if let (Some(id), 1..) = (id, count) {
                abi::increment_metric(*id, count);
            }
        }
    }

    pub(super) fn count(&self, reason: Option<Reason>, evicted: u32) {
        let id = match reason {
            None => self.allowed,
            Some(reason) => self.denied.get(&reason).copied(),
        };
        if let Some(id) = id {
            abi::increment_metric(id, 1);
        }
        // Adding nothing to a counter is an error to Envoy.
        if let (Some(id), 1..) = (self.evicted, evicted) {
            abi::increment_metric(id, evicted);
        }
    }
}
