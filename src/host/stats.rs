//! Counters in Envoy's stats. A fixed set, defined at configure: Envoy never forgets a metric.
//!
//! Counting is a host call, so it is done here first and handed on with every tick.

use std::cell::Cell;

use super::host_calls::{Host, Metric};
use crate::{answer::Reason, calls::Counts, engine::Purpose};

/// Counters by decision and reason.
///
/// `portcullis_requests._decision=deny_._reason=token_expired_` becomes a counter with two labels under the tag
/// rules that the configurations in `envoy/` carry.
pub(super) struct Stats {
    allowed: Counter,
    /// In the order of [`Reason::ALL`].
    denied: Vec<Counter>,
    evicted: Counter,
    fetches: [Counter; 3],
    /// Calls that Envoy did not take: for key sets, about tokens, for revocation lists.
    unsent: [Counter; 3],
    memory: Option<u32>,
    /// What was last seen of the memory, in pages.
    pages: Cell<usize>,
}

/// One counter. Without an id it could not be defined and is not counted; decisions do not depend on it.
struct Counter {
    id: Option<u32>,
    /// Not handed on yet.
    count: Cell<u32>,
}

impl Counter {
    fn define(host: &impl Host, name: &str) -> Self {
        Self { id: host.define_metric(Metric::Counter, name), count: Cell::new(0) }
    }

    fn add(&self, count: u32) {
        self.count.set(self.count.get().saturating_add(count));
    }

    fn flush(&self, host: &impl Host) {
        if let (Some(id), count @ 1..) = (self.id, self.count.take()) {
            host.increment_metric(id, count);
        }
    }
}

impl Stats {
    /// Defines the counters.
    pub(super) fn define(host: &impl Host) -> Self {
        let define = |name: &str| Counter::define(host, name);
        let denied = Reason::ALL
            .into_iter()
            .map(|reason| define(&format!("portcullis_requests._decision=deny_._reason={}_", reason.code())));
        Self {
            allowed: define("portcullis_requests._decision=allow_._reason=none_"),
            denied: denied.collect(),
            evicted: define("portcullis_rate_limit_evictions"),
            fetches: ["started", "succeeded", "failed"]
                .map(|result| define(&format!("portcullis_key_set_fetches._result={result}_"))),
            unsent: ["key_set", "introspection", "revocations"]
                .map(|purpose| define(&format!("portcullis_calls_not_sent._purpose={purpose}_"))),
            memory: host.define_metric(Metric::Gauge, "portcullis_memory_bytes"),
            pages: Cell::new(0),
        }
    }

    /// Counts a decision. `None`: the request was allowed, or answered with a document that anyone may read.
    pub(super) fn count(&self, reason: Option<Reason>, evicted: u32) {
        let denied = |reason| Reason::ALL.iter().position(|other| *other == reason);
        match reason {
            None => self.allowed.add(1),
            Some(reason) => {
                if let Some(counter) = denied(reason).and_then(|place| self.denied.get(place)) {
                    counter.add(1);
                }
            }
        }
        self.evicted.add(evicted);
    }

    /// Counts a call that Envoy did not take.
    #[cold]
    pub(super) fn count_unsent(&self, purpose: Purpose) {
        let [key_set, introspection, revocations] = &self.unsent;
        match purpose {
            Purpose::KeySet { .. } => key_set,
            Purpose::Introspection { .. } => introspection,
            Purpose::Revocations => revocations,
        }
        .add(1);
    }

    /// Counts fetches of key sets.
    pub(super) fn count_fetches(&self, events: Counts) {
        for (counter, count) in self.fetches.iter().zip([events.started, events.succeeded, events.failed]) {
            counter.add(count);
        }
    }

    /// Hands on what was counted, to be called with every tick and at the end.
    pub(super) fn flush(&self, host: &impl Host) {
        let all = [&self.allowed, &self.evicted].into_iter().chain(&self.denied);
        let all = all.chain(&self.fetches).chain(&self.unsent);
        all.for_each(|counter| counter.flush(host));
        self.measure_memory(host);
    }

    /// Keeps `portcullis_memory_bytes` at the linear memory of the largest of all threads; it never shrinks.
    fn measure_memory(&self, host: &impl Host) {
        const PAGE: u64 = 64 * 1024;
        let pages = host.memory_pages();
        if self.pages.replace(pages) == pages {
            return;
        }
        let bytes = u64::try_from(pages).unwrap_or(u64::MAX).saturating_mul(PAGE);
        if let Some(id) = self.memory
            && host.metric(id).is_some_and(|largest| largest < bytes)
        {
            host.record_metric(id, bytes);
        }
    }
}
