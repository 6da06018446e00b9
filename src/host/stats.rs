//! Counters in Envoy's stats. A fixed set, defined at configure: Envoy never forgets a metric.

use std::cell::Cell;

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
    memory: Option<u32>,
    /// What was last seen of the memory, in pages.
    pages: Cell<usize>,
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
            memory: hostcalls::define_metric(MetricType::Gauge, "portcullis_memory_bytes").ok(),
            pages: Cell::new(0),
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

    /// Keeps `portcullis_memory_bytes` at the linear memory of the largest of all threads; it never shrinks. Costs
    /// nothing unless the memory has grown.
    pub(super) fn measure_memory(&self) {
        const PAGE: u64 = 64 * 1024;
        let pages = core::arch::wasm32::memory_size(0);
        if self.pages.replace(pages) == pages {
            return;
        }
        let bytes = u64::try_from(pages).unwrap_or(u64::MAX).saturating_mul(PAGE);
        if let Some(id) = self.memory
            && hostcalls::get_metric(id).is_ok_and(|largest| largest < bytes)
        {
            let _ = hostcalls::record_metric(id, bytes);
        }
    }

    /// Counts a decision.
    pub(super) fn count(&self, reason: Option<Reason>, evicted: u32) {
        self.measure_memory();
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
