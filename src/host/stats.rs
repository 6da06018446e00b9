//! Counters in Envoy's stats. A fixed set, which the policy bounds, defined at configure: Envoy never forgets a metric.
//!
//! Counting is a host call, so it is done here first and handed on with every tick.

use std::cell::{Cell, RefCell};

use super::{
    counter::{Counter, LateCounter, Share},
    host_calls::{Host, Metric},
    policy_stats::shown_name,
    rule_stats::RuleStats,
};
use crate::{
    answer::Reason,
    calls::Counts,
    engine::{Decision, Purpose, ShadowOutcome, Source, Subject, WorkerState},
    rate_limit::LimitId,
    time::Timestamp,
};

/// Counters by decision and reason.
///
/// `portcullis_requests._decision=deny_._reason=token_expired_` becomes a counter with two labels under the tag
/// rules that the configurations in `envoy/` carry.
pub(super) struct Stats {
    allowed: Counter,
    /// In the order of [`Reason::ALL`].
    denied: Vec<Counter>,
    /// `None`: the policy does not want decisions counted by rule.
    by_rule: Option<RuleStats>,
    evicted: Counter,
    /// Requests that each limit refused, in the order of the policy's limits.
    limit_hits: RefCell<Vec<LateCounter>>,
    /// Tokens that were remembered, and those that had to be verified.
    tokens: [Counter; 2],
    waiting: Share,
    /// Streams that were ended, by reason.
    ended: Vec<(Reason, Counter)>,
    /// What a shadow would have decided otherwise.
    shadow: RefCell<Vec<((ShadowOutcome, Reason), LateCounter)>>,
    /// Fetches of key sets, of all providers together.
    fetches: Results,
    /// In the order of [`WorkerState::take_sources`].
    sources: Vec<SourceStats>,
    /// The time of the first tick; the epoch: there was none yet.
    began_at: Cell<Timestamp>,
    /// Calls that Envoy did not take: for key sets, about tokens, for revocation lists, for API keys, for passkeys, for single
    /// revocations.
    unsent: [Counter; 6],
    memory: Option<u32>,
    /// What was last seen of the memory, in pages.
    pages: Cell<usize>,
}

/// What is counted of a decision.
#[derive(Clone, Copy, Default)]
pub(super) struct Counted {
    pub(super) reason: Option<Reason>,
    /// The place of the rule that decided.
    pub(super) rule: Option<usize>,
    /// The limit that refused.
    pub(super) limit: Option<LimitId>,
    /// Rate-limit entries that had to make room.
    pub(super) evicted: u32,
}

impl Counted {
    pub(super) const fn of(decision: &Decision<'_>) -> Self {
        let Decision { reason, rule, limit, evicted, .. } = *decision;
        Self { reason, rule, limit, evicted }
    }
}

/// What was begun, and how it ended.
struct Results([Counter; 3]);

impl Results {
    /// `what` is counted, by the labels `of` beside the result.
    fn define(host: &impl Host, what: &str, of: &str) -> Self {
        let define = |result| Counter::define(host, &format!("portcullis_{what}._result={result}_{of}"));
        Self(["started", "succeeded", "failed"].map(define))
    }

    fn add(&self, counts: Counts) {
        for (counter, count) in self.0.iter().zip([counts.started, counts.succeeded, counts.failed]) {
            counter.add(count);
        }
    }
}

/// What became of one document, or of the questions to one issuer.
struct SourceStats {
    results: Results,
    /// `None`: it is no document.
    age: Option<Age>,
}

impl SourceStats {
    /// A provider's name is any of `a-zA-Z0-9._-:/@`, so its label comes last: whatever follows the `=` is the name.
    fn define(host: &impl Host, subject: Subject<'_>) -> Self {
        let label = |provider: &str| format!("._provider={provider}_");
        let (what, age, of) = match subject {
            Subject::KeySet(provider) => {
                ("provider_key_set_fetches", Some("key_set_age_seconds"), label(provider))
            }
            Subject::Introspection(provider) => ("introspection_calls", None, label(provider)),
            Subject::RevocationList => {
                ("revocation_list_fetches", Some("revocation_list_age_seconds"), String::new())
            }
            Subject::KeyStore => ("key_store_reads", Some("key_store_age_seconds"), String::new()),
            Subject::PasskeyStore => ("passkey_store_calls", None, String::new()),
            Subject::RevocationStore => {
                ("revocation_store_reads", Some("revocation_store_age_seconds"), String::new())
            }
        };
        Self {
            results: Results::define(host, what, &of),
            age: age.map(|what| Age::define(host, &format!("portcullis_{what}{of}"))),
        }
    }
}

/// How long ago the document in use was confirmed, in seconds.
///
/// All workers write the same gauge. Their documents are kept in step, so they write alike.
struct Age {
    id: Option<u32>,
    /// As it was handed on last; a new gauge says 0.
    seconds: Cell<u64>,
}

impl Age {
    fn define(host: &impl Host, name: &str) -> Self {
        Self { id: host.define_metric(Metric::Gauge, name), seconds: Cell::new(0) }
    }

    fn set(&self, host: &impl Host, seconds: u64) {
        if self.seconds.replace(seconds) != seconds
            && let Some(id) = self.id
        {
            host.record_metric(id, seconds);
        }
    }
}

impl Stats {
    /// Defines the counters.
    pub(super) fn define(host: &impl Host, worker: &WorkerState) -> Self {
        let define = |name: &str| Counter::define(host, name);
        let denied = Reason::ALL
            .into_iter()
            .map(|reason| define(&format!("portcullis_requests._decision=deny_._reason={}_", reason.code())));
        let ended = worker
            .stream_ends()
            .iter()
            .map(|reason| (*reason, define(&format!("portcullis_streams_ended._reason={}_", reason.code()))));
        Self {
            allowed: define("portcullis_requests._decision=allow_._reason=none_"),
            denied: denied.collect(),
            by_rule: worker.policy().counts_by_rule().then(RuleStats::default),
            evicted: define("portcullis_rate_limit_evictions"),
            limit_hits: RefCell::new(
                worker.policy().limiter.names().map(|_| LateCounter::default()).collect(),
            ),
            tokens: ["hit", "miss"]
                .map(|result| define(&format!("portcullis_token_cache._result={result}_"))),
            waiting: Share::define(host, "portcullis_requests_waiting"),
            ended: ended.collect(),
            shadow: RefCell::default(),
            fetches: Results::define(host, "key_set_fetches", ""),
            sources: worker.take_sources().map(|source| SourceStats::define(host, source.subject)).collect(),
            began_at: Cell::default(),
            unsent: ["key_set", "introspection", "revocations", "key_store", "passkeys", "revocation_store"]
                .map(|purpose| define(&format!("portcullis_calls_not_sent._purpose={purpose}_"))),
            memory: host.define_metric(Metric::Gauge, "portcullis_memory_bytes"),
            pages: Cell::new(0),
        }
    }

    /// Counts a decision. Without a reason the request was allowed, or answered with a document that anyone may read.
    #[inline]
    pub(super) fn count(&self, decided: Counted) {
        let Counted { reason, rule, limit, evicted } = decided;
        let denied = |reason| Reason::ALL.iter().position(|other| *other == reason);
        match reason {
            None => self.allowed.add(1),
            Some(reason) => {
                if let Some(counter) = denied(reason).and_then(|place| self.denied.get(place)) {
                    counter.add(1);
                }
            }
        }
        if let Some(by_rule) = &self.by_rule {
            by_rule.count(rule, reason);
        }
        if let Some(limit) = limit
            && let Some(counter) = self.limit_hits.borrow_mut().get_mut(limit.index())
        {
            counter.add_one();
        }
        self.evicted.add(evicted);
    }

    /// Counts what a shadow would have decided otherwise.
    #[cold]
    pub(super) fn count_shadow(&self, outcome: ShadowOutcome, reason: Reason) {
        let (mut counters, own) = (self.shadow.borrow_mut(), (outcome, reason));
        match counters.iter_mut().find(|(other, _)| *other == own) {
            Some((_, counter)) => counter.add_one(),
            None => {
                let mut counter = LateCounter::default();
                counter.add_one();
                counters.push((own, counter));
            }
        }
    }

    /// Counts a stream that was ended.
    pub(super) fn count_ended(&self, reason: Reason) {
        if let Some((_, counter)) = self.ended.iter().find(|(other, _)| *other == reason) {
            counter.add(1);
        }
    }

    /// Counts a call that Envoy did not take.
    #[cold]
    pub(super) fn count_unsent(&self, purpose: Purpose) {
        let [key_set, introspection, revocations, key_store, passkeys, revocation_store] = &self.unsent;
        match purpose {
            Purpose::KeySet { .. } => key_set,
            Purpose::Introspection { .. } => introspection,
            Purpose::Revocations => revocations,
            Purpose::EtcdLogin | Purpose::KeyStore | Purpose::KeyUses => key_store,
            Purpose::PasskeysLogin | Purpose::Passkeys { .. } => passkeys,
            Purpose::RevocationLogin | Purpose::RevocationStore => revocation_store,
        }
        .add(1);
    }

    /// Counts what `worker` asked other servers for since the last time, says how old its documents are, and how
    /// many requests wait; to be called with every tick.
    ///
    /// While there is no document its age is the time since the first tick. So an alert for old documents goes off for
    /// one that never came, too.
    pub(super) fn observe(&self, host: &impl Host, worker: &WorkerState, waiting: usize, now: Timestamp) {
        self.waiting.set(host, u32::try_from(waiting).unwrap_or(u32::MAX));
        if self.began_at.get() == Timestamp::default() {
            self.began_at.set(now);
        }
        for (stats, source) in self.sources.iter().zip(worker.take_sources()) {
            self.count_source(stats, source);
            if let Some(age) = &stats.age {
                let confirmed_at = source.confirmed_at.unwrap_or(self.began_at.get());
                age.set(host, now.since(confirmed_at).as_secs());
            }
        }
    }

    fn count_source(&self, stats: &SourceStats, source: Source<'_>) {
        stats.results.add(source.counts);
        if let Subject::KeySet(_) = source.subject {
            self.fetches.add(source.counts);
        }
    }

    /// Hands on what is left, when `worker` has served its time.
    pub(super) fn end(&self, host: &impl Host, worker: &WorkerState) {
        for (stats, source) in self.sources.iter().zip(worker.take_sources()) {
            self.count_source(stats, source);
            // Where no later configuration has this document, the gauge would stand for good at what it says.
            if let Some(age) = &stats.age {
                age.set(host, 0);
            }
        }
        self.waiting.set(host, 0);
        self.flush(host, worker);
    }

    /// Hands on what was counted, to be called with every tick.
    pub(super) fn flush(&self, host: &impl Host, worker: &WorkerState) {
        let all = [&self.allowed, &self.evicted].into_iter().chain(&self.denied);
        let of_sources = self.sources.iter().map(|stats| &stats.results);
        let fetches = std::iter::once(&self.fetches).chain(of_sources).flat_map(|results| &results.0);
        let ended = self.ended.iter().map(|(_, counter)| counter);
        let all = all.chain(fetches).chain(&self.unsent).chain(ended);
        all.for_each(|counter| counter.flush(host));
        for (counter, count) in self.tokens.iter().zip(worker.take_token_look_ups()) {
            counter.add(count);
            counter.flush(host);
        }
        let policy = worker.policy();
        for (counter, limit) in self.limit_hits.borrow_mut().iter_mut().zip(policy.limiter.names()) {
            counter.flush(host, || {
                let limit = shown_name(limit.as_bytes());
                format!("portcullis_limit_hits._limit={limit}_")
            });
        }
        for ((outcome, reason), counter) in self.shadow.borrow_mut().iter_mut() {
            counter.flush(host, || {
                let (outcome, reason) = (outcome.as_str(), reason.code());
                format!("portcullis_shadow_decisions._outcome={outcome}_._reason={reason}_")
            });
        }
        if let Some(by_rule) = &self.by_rule {
            by_rule.flush(host, policy);
        }
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
