//! What outlives a request: the policy, the key sets and the secret behind the rate-limit table.

use std::{cell::RefCell, time::Duration};

use hashbrown::HashMap;

use super::{
    bearer::Verified,
    record::Trace,
    token_cache::{Limits, TokenCache},
};
use crate::{
    answer::Reason,
    calls::{Call, Client, Outcome, Unsent},
    crypto::HostCrypto,
    dpop::DpopSecret,
    identity::Principal,
    introspection::{Introspector, Ticket, Verdict},
    jose::KeySet,
    jwt::{Provider, RemoteKeys},
    policy::Policy,
    rate_limit::{Leases, SlotSecret, Terms},
    request::RequestHead,
    revocation::{Revocations, Revoked},
    sampling::{Repeated, Sampler},
    store::{SharedSecret, SharedStore, StoreError, random_bytes},
    time::{Clock, Timestamp},
};

/// How much of verified tokens one thread remembers: 1,000 in steady use with some room for others.
const TOKENS: Limits = Limits { entries: 2048, bytes: 4 << 20 };

/// How many unusable keys of one set are reported each.
const REPORTED_KEYS: usize = 10;

/// What the engine asks of its host, for the length of one call.
pub struct HostServices<'a> {
    /// The time of the call.
    pub clock: Clock,
    /// State that all workers share.
    pub store: &'a dyn SharedStore,
    /// The host's crypto library.
    pub crypto: &'a dyn HostCrypto,
    /// Who sent the request. Asked about those alone that are about to take up what others share.
    pub client: &'a dyn Fn() -> Client,
    /// Whether the request may be told to wait; false when too many do, or too many of the same client.
    pub may_wait: &'a dyn Fn() -> bool,
    /// Which decision records the host's log takes.
    pub log_enabled: LogEnabled,
    /// Unpredictable bytes; `None` when there are none to be had.
    pub random: &'a dyn Fn() -> Option<[u8; 16]>,
}

impl HostServices<'_> {
    /// The time of the call.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Which decision records the log takes at its level; others are not even written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEnabled {
    /// Of requests that were refused.
    pub refused: bool,
    /// Of requests that were allowed.
    pub allowed: bool,
}

impl LogEnabled {
    /// The log takes every record.
    pub const ALL: Self = Self { refused: true, allowed: true };
}

/// What a call is for: whoever sent it hands its outcome back with this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The key set of a provider.
    KeySet {
        /// Its index.
        provider: usize,
    },
    /// What the issuer says of a token.
    Introspection {
        /// The index of the provider.
        provider: usize,
        /// Which token.
        ticket: Ticket,
    },
    /// The list of what is revoked.
    Revocations,
}

/// One configuration of the filter on one thread.
pub struct WorkerState {
    policy: Policy,
    namespace: String,
    /// One place for each provider; `None` for those whose keys are in the policy.
    pub(super) remote: Vec<Option<RefCell<RemoteKeys>>>,
    slot_secret: SharedSecret<SlotSecret>,
    /// What this thread has charged ahead to large limits.
    pub(super) leases: RefCell<Leases>,
    /// What it knows of windows that are in force.
    pub(super) terms: RefCell<Terms>,
    /// One place for each provider; `None` for those that are never asked about tokens.
    pub(super) introspectors: Vec<Option<RefCell<Introspector<Verified>>>>,
    /// What issuers answered just now, for the requests that wait for it; by provider too, because each numbers its
    /// tickets itself.
    pub(super) answers: RefCell<HashMap<(usize, Ticket), Verdict<Verified>>>,
    /// `None`: nothing is revoked.
    pub(super) revocations: Option<RefCell<Revocations>>,
    /// Calls that requests asked for.
    pub(super) outbox: RefCell<Vec<(Purpose, Call)>>,
    /// `None` while there was no randomness to make it with; then nothing is remembered.
    tokens: RefCell<Option<TokenCache<Verified>>>,
    dpop_secret: SharedSecret<DpopSecret>,
    /// Records of refusals, by reason and rule.
    refusals: RefCell<Sampler<(Reason, Option<usize>)>>,
    /// What else the operator should know and clients can cause.
    warnings: RefCell<Sampler<String>>,
}

impl WorkerState {
    /// Touches nothing outside: state is read when the first request or tick needs it.
    pub fn new(policy: Policy, namespace: &str) -> Self {
        let remote = policy.providers.iter().map(|provider| {
            let keys = RemoteKeys::new(provider.remote()?, provider.issuer(), provider.name(), namespace);
            // A bad URI is a fault of the policy and was refused; without keys its tokens are refused too.
            keys.ok().map(RefCell::new)
        });
        let introspectors =
            policy.providers.iter().map(|provider| Introspector::new(provider).map(RefCell::new));
        let revocations = policy.revocation().map(|spec| RefCell::new(Revocations::new(spec, namespace)));
        Self {
            remote: remote.collect(),
            introspectors: introspectors.collect(),
            answers: RefCell::default(),
            revocations,
            outbox: RefCell::default(),
            policy,
            namespace: namespace.to_owned(),
            slot_secret: SharedSecret::default(),
            leases: RefCell::default(),
            terms: RefCell::default(),
            tokens: RefCell::new(None),
            dpop_secret: SharedSecret::default(),
            refusals: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Says in the shared state which limits are in force, and looks which others are. To be called as soon as this
    /// policy is configured, or that of another filter of the same name: the order of what happens counts.
    pub fn confirm_limits(&self, services: &HostServices<'_>) {
        self.terms.borrow_mut().confirm(&self.policy.limiter, &services.clock, services.store);
    }

    /// To be called a few times a second; answers what to send now.
    pub fn on_tick(&self, services: &HostServices<'_>) -> Vec<(Purpose, Call)> {
        self.terms.borrow_mut().on_tick(&self.policy.limiter, &services.clock, services.store);
        // Randomness only spreads fetches over time: without it they are not spread.
        let jitter = (services.random)()
            .map_or(0, |bytes| bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)));
        let key_sets = self.remote.iter().enumerate().filter_map(|(provider, keys)| {
            let call = keys.as_ref()?.borrow_mut().tick(services.now(), services.store, jitter)?;
            Some((Purpose::KeySet { provider }, call))
        });
        let revocations = self.revocations.iter().filter_map(|revocations| {
            let call = revocations.borrow_mut().tick(services.now(), services.store, jitter)?;
            Some((Purpose::Revocations, call))
        });
        key_sets.chain(revocations).collect()
    }

    /// The calls that requests asked for since the last time.
    pub fn take_calls(&self) -> Vec<(Purpose, Call)> {
        self.outbox.take()
    }

    /// To be called when a call has ended. Answers what the operator should know of it. Where a further call
    /// follows from it, the next [`WorkerState::on_tick`] has it, so a tick right behind saves time.
    pub fn on_answer(
        &self,
        purpose: Purpose,
        outcome: Outcome<'_>,
        services: &HostServices<'_>,
    ) -> Vec<String> {
        match purpose {
            Purpose::KeySet { provider } => self.on_key_set(provider, outcome, services),
            Purpose::Introspection { provider, ticket } => {
                self.on_introspected(provider, ticket, outcome, services)
            }
            Purpose::Revocations => {
                let Some(revocations) = &self.revocations else { return Vec::new() };
                let taken = revocations.borrow_mut().on_answer(outcome, services.now(), services.store);
                taken.err().map(|error| format!("revocation list: {error}")).into_iter().collect()
            }
        }
    }

    /// To be called when a call to `cluster` could not be sent. Answers what the operator should know of it: what it was
    /// for, and why.
    pub fn on_unsent(
        &self,
        purpose: Purpose,
        cluster: &str,
        why: Unsent,
        services: &HostServices<'_>,
    ) -> String {
        // That there is no answer is all there is to say of the outcome.
        let _ = self.on_answer(purpose, Outcome::Failed, services);
        format!("{}: {}", self.subject(purpose), why.of(cluster))
    }

    /// What a call is about, for operators.
    fn subject(&self, purpose: Purpose) -> String {
        let (what, provider) = match purpose {
            Purpose::KeySet { provider } => ("key set", provider),
            Purpose::Introspection { provider, .. } => ("introspection", provider),
            Purpose::Revocations => return "revocation list".to_owned(),
        };
        let name = self.policy.providers.get(provider).map(Provider::name);
        format!("{what} of \"{}\"", name.map(|name| &**name).unwrap_or_default())
    }

    /// The record of a refused request, where it is to be written now. `target` as for [`Trace::record`]. To be asked
    /// where the log takes it.
    #[cold]
    pub(super) fn record_refusal(
        &self,
        trace: &Trace,
        head: &RequestHead<'_>,
        target: Option<&str>,
        reason: Reason,
    ) -> Option<String> {
        let record = || trace.record(&self.policy, head, target, Some(reason));
        match self.policy.log_all_denied {
            true => Some(record()),
            false => self.refusals.borrow_mut().note((reason, trace.rule), record),
        }
    }

    /// Whether a record of one more refusal for `reason`, by the rule at `rule`, is going to be put together.
    pub(super) fn records_refusal(&self, reason: Reason, rule: Option<usize>) -> bool {
        self.policy.log_all_denied || self.refusals.borrow().wants(&(reason, rule))
    }

    /// A message for the operator that clients may cause any number of times, where it is to be written now.
    pub fn warning(&self, message: String) -> Option<String> {
        let mut warnings = self.warnings.borrow_mut();
        warnings.note(message.clone(), || message)
    }

    /// To be called a few times a second: what to write of records and warnings that were only counted.
    pub fn take_repeated(&self, services: &HostServices<'_>) -> Vec<String> {
        let now = services.now();
        told(self.refusals.borrow_mut().flush(now), self.warnings.borrow_mut().flush(now))
    }

    /// The same for all that is left, when the last request was decided.
    pub fn end_repeated(&self) -> Vec<String> {
        told(self.refusals.borrow_mut().end(), self.warnings.borrow_mut().end())
    }

    /// To be called when every request that waited for an answer was decided again: what was answered is over.
    pub fn settled(&self) {
        self.answers.borrow_mut().clear();
    }

    fn on_key_set(&self, provider: usize, outcome: Outcome<'_>, services: &HostServices<'_>) -> Vec<String> {
        let (Some(Some(keys)), Some(provider)) =
            (self.remote.get(provider), self.policy.providers.get(provider))
        else {
            return Vec::new();
        };
        let (mut messages, unusable) =
            match keys.borrow_mut().on_fetched(outcome, services.now(), services.store) {
                Ok(unusable) => (Vec::new(), unusable),
                Err(error) => (vec![error.to_string()], error.into_unusable()),
            };
        messages.extend(unusable.iter().take(REPORTED_KEYS).map(|key| format!("not used: {key}")));
        let more = unusable.len().saturating_sub(REPORTED_KEYS);
        if more > 0 {
            messages.push(format!("not used: {more} more"));
        }
        let name = provider.name();
        messages.into_iter().map(|message| format!("key set of \"{name}\": {message}")).collect()
    }

    /// What came of verifying this very token with the keys that are in force now.
    pub(super) fn remembered(&self, text: &[u8], services: &HostServices<'_>) -> Option<Verified> {
        let is_current = |verified: &Verified, generation| {
            self.key_generation(verified.provider(), services.now()) == Some(generation)
        };
        self.tokens.borrow_mut().as_mut()?.find(text, is_current)
    }

    /// Remembers a token that was verified with the keys in force now.
    pub(super) fn remember(&self, text: &[u8], verified: &Verified, services: &HostServices<'_>) {
        let Some(generation) = self.key_generation(verified.provider(), services.now()) else { return };
        let mut tokens = self.tokens.borrow_mut();
        if tokens.is_none() {
            let Some([a, b, c, d, e, f, g, h, ..]) = (services.random)() else { return };
            *tokens = Some(TokenCache::new(TOKENS, u64::from_le_bytes([a, b, c, d, e, f, g, h])));
        }
        if let Some(tokens) = tokens.as_mut() {
            tokens.insert(text, generation, verified.clone());
        }
    }

    /// Counts the key sets of a provider; `None` while it has none that may be used, whatever was verified before.
    pub(super) fn key_generation(&self, provider: usize, now: Timestamp) -> Option<u64> {
        match self.remote.get(provider)? {
            None => Some(0),
            Some(remote) => {
                let remote = remote.borrow();
                remote.keys(now).map(|_| remote.generation())
            }
        }
    }

    /// Runs `with` on the key set of a provider; `None` while there is no usable one.
    pub(super) fn with_keys<T>(
        &self,
        provider: usize,
        now: Timestamp,
        with: impl FnOnce(&KeySet) -> T,
    ) -> Option<T> {
        match self.remote.get(provider)? {
            None => self.policy.providers.get(provider)?.keys().map(with),
            Some(remote) => remote.borrow().keys(now).map(|keys| with(keys)),
        }
    }

    /// A token named a key that its provider's set does not have: worth a fetch, within bounds.
    ///
    /// Whether another set is in use now than before, picked up over it.
    pub(super) fn note_unknown_key(&self, provider: usize, kid: &str, services: &HostServices<'_>) -> bool {
        let Some(Some(keys)) = self.remote.get(provider) else { return false };
        keys.borrow_mut().note_unknown_kid(kid, services.now(), services.store)
    }

    /// No key of its provider's set made a token that names `kid`: worth a fetch, within bounds, for its key may have
    /// been replaced.
    ///
    /// Whether another set is in use now than before, picked up over it.
    pub(super) fn note_wrong_signature(
        &self,
        provider: usize,
        kid: Option<&str>,
        services: &HostServices<'_>,
    ) -> bool {
        let Some(Some(keys)) = self.remote.get(provider) else { return false };
        keys.borrow_mut().note_wrong_signature(kid, services.now(), services.store)
    }

    /// Until when a request with such a token may wait; `None` where another key will not come now.
    pub(super) fn key_may_be_replaced(
        &self,
        provider: usize,
        kid: Option<&str>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        self.remote.get(provider)?.as_ref()?.borrow().may_be_replaced(kid, now)
    }

    /// Whether a verified principal was revoked meanwhile.
    pub(super) fn check_revoked(
        &self,
        principal: &Principal,
        services: &HostServices<'_>,
    ) -> Result<(), Revoked> {
        let Some(revocations) = &self.revocations else { return Ok(()) };
        revocations.borrow().check(principal, services.now())
    }

    /// When the keys of a provider that are in use were fetched; `None` where there are none, or none are fetched.
    pub(super) fn keys_fetched_at(&self, provider: usize, now: Timestamp) -> Option<Timestamp> {
        self.remote.get(provider)?.as_ref()?.borrow().fetched_at(now)
    }

    /// Until when a request may wait for the keys of a provider; `None` where they will not come any sooner.
    pub fn keys_may_come(&self, provider: usize, now: Timestamp) -> Option<Timestamp> {
        self.remote.get(provider)?.as_ref()?.borrow().may_come(now)
    }

    /// When a client may come back that was refused for want of the keys of a provider.
    pub fn keys_retry_after(&self, provider: usize, now: Timestamp) -> Option<Duration> {
        Some(self.remote.get(provider)?.as_ref()?.borrow().retry_after(now))
    }

    /// The secret that keeps clients from aiming at slots; loaded once.
    pub(super) fn slot_secret(&self, services: &HostServices<'_>) -> Result<&SlotSecret, StoreError> {
        self.slot_secret.get(|| {
            SlotSecret::load_or_create(services.store, &self.namespace, random_bytes(services.random)?)
        })
    }

    /// The secret behind nonces and used proofs; loaded once.
    pub(super) fn dpop_secret(&self, services: &HostServices<'_>) -> Result<&DpopSecret, StoreError> {
        self.dpop_secret.get(|| {
            DpopSecret::load_or_create(services.store, &self.namespace, random_bytes(services.random)?)
        })
    }

    /// What keeps this policy's shared state apart from that of others.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }
}

/// Records say by a member of their own how many they stand for, messages by their last words.
fn told(records: Vec<Repeated>, messages: Vec<Repeated>) -> Vec<String> {
    let record = |told: Repeated| match told.text.strip_suffix('}') {
        Some(record) => format!("{record},\"repeated\":{}}}", told.times),
        None => told.text,
    };
    let message = |told: Repeated| format!("{} ({} times more)", told.text, told.times);
    records.into_iter().map(record).chain(messages.into_iter().map(message)).collect()
}
