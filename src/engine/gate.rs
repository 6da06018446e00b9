//! What outlives a request: the policy, the key sets and the secret behind the rate-limit table.

use std::cell::{OnceCell, RefCell};

use super::{
    bearer::Verified,
    token_cache::{Limits, TokenCache},
};
use crate::{
    call::{Call, Outcome},
    crypto::HostCrypto,
    jwt::{KeySet, RemoteKeys},
    policy::Policy,
    rate_limit::SlotSecret,
    store::{SharedStore, StoreError},
    time::Timestamp,
};

/// How much of verified tokens one thread remembers: 1,000 in steady use with some room for others.
const TOKENS: Limits = Limits { entries: 2048, bytes: 4 << 20 };

/// What the engine asks of its host, for the length of one call.
pub struct Around<'a> {
    /// The time of the call.
    pub now: Timestamp,
    /// State that all workers share.
    pub store: &'a dyn SharedStore,
    /// The host's crypto library.
    pub crypto: &'a dyn HostCrypto,
    /// Whether the request may be told to wait; false when too many do.
    pub may_wait: bool,
    /// Whether anybody reads the decision record of a request that was refused (true) or allowed (false); without
    /// a reader none is written.
    pub reads_record: &'a dyn Fn(bool) -> bool,
    /// Unpredictable bytes; `None` when there are none to be had.
    pub random: &'a dyn Fn() -> Option<[u8; 16]>,
}

/// What a call is for: whoever sent it hands its outcome back with this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// The key set of a provider.
    KeySet {
        /// Its index.
        provider: usize,
    },
}

/// One configuration of the filter on one thread.
pub struct Gate {
    policy: Policy,
    namespace: String,
    /// One place for each provider; `None` for those whose keys are in the policy.
    remote: Vec<Option<RefCell<RemoteKeys>>>,
    slot_secret: OnceCell<SlotSecret>,
    /// `None` while there was no randomness to make it with; then nothing is remembered.
    tokens: RefCell<Option<TokenCache<Verified>>>,
}

impl Gate {
    /// Touches nothing outside: state is read when the first request or tick needs it.
    pub fn new(policy: Policy, namespace: &str) -> Self {
        let remote = policy.providers.iter().map(|provider| {
            let keys = RemoteKeys::new(provider.remote()?, provider.name(), namespace);
            // A bad URI is a fault of the policy and was refused; without keys its tokens are refused too.
            keys.ok().map(RefCell::new)
        });
        Self {
            remote: remote.collect(),
            policy,
            namespace: namespace.to_owned(),
            slot_secret: OnceCell::new(),
            tokens: RefCell::new(None),
        }
    }

    /// The policy.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Whether [`Gate::on_tick`] has anything to do.
    pub fn needs_ticks(&self) -> bool {
        self.remote.iter().any(Option::is_some)
    }

    /// To be called a few times a second; answers what to send now.
    pub fn on_tick(&self, around: &Around<'_>) -> Vec<(Purpose, Call)> {
        // Randomness only spreads fetches over time: without it they are not spread.
        let jitter = (around.random)()
            .map_or(0, |bytes| bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)));
        let remote = self.remote.iter().enumerate();
        remote
            .filter_map(|(provider, keys)| {
                let call = keys.as_ref()?.borrow_mut().tick(around.now, around.store, jitter)?;
                Some((Purpose::KeySet { provider }, call))
            })
            .collect()
    }

    /// To be called when a call has ended. Answers what the operator should know of it.
    pub fn on_answer(&self, purpose: Purpose, outcome: Outcome<'_>, around: &Around<'_>) -> Vec<String> {
        let Purpose::KeySet { provider } = purpose;
        let (Some(Some(keys)), Some(provider)) =
            (self.remote.get(provider), self.policy.providers.get(provider))
        else {
            return Vec::new();
        };
        let name = provider.name();
        match keys.borrow_mut().on_fetched(outcome, around.now, around.store) {
            Ok(unusable) => {
                unusable.iter().map(|key| format!("key set of \"{name}\": not used: {key}")).collect()
            }
            Err(error) => vec![format!("key set of \"{name}\": {error}")],
        }
    }

    /// What came of verifying this very token with the keys that are in force now.
    pub(super) fn remembered(&self, text: &str, around: &Around<'_>) -> Option<Verified> {
        let is_current = |verified: &Verified, generation| {
            self.key_generation(verified.provider(), around.now) == Some(generation)
        };
        self.tokens.borrow_mut().as_mut()?.find(text, is_current)
    }

    /// Remembers a token that was verified with the keys in force now.
    pub(super) fn remember(&self, text: &str, verified: &Verified, around: &Around<'_>) {
        let Some(generation) = self.key_generation(verified.provider(), around.now) else { return };
        let mut tokens = self.tokens.borrow_mut();
        if tokens.is_none() {
            let Some([a, b, c, d, e, f, g, h, ..]) = (around.random)() else { return };
            *tokens = Some(TokenCache::new(TOKENS, u64::from_le_bytes([a, b, c, d, e, f, g, h])));
        }
        if let Some(tokens) = tokens.as_mut() {
            tokens.insert(text, generation, verified.clone());
        }
    }

    /// Counts the key sets of a provider; `None` while it has none that may be used, whatever was verified before.
    fn key_generation(&self, provider: usize, now: Timestamp) -> Option<u64> {
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
    pub(super) fn note_unknown_key(&self, provider: usize, around: &Around<'_>) {
        if let Some(Some(keys)) = self.remote.get(provider) {
            keys.borrow_mut().note_unknown_kid(around.now, around.store);
        }
    }

    /// The secret that keeps clients from aiming at slots; loaded once.
    pub(super) fn slot_secret(&self, around: &Around<'_>) -> Result<&SlotSecret, StoreError> {
        if let Some(secret) = self.slot_secret.get() {
            return Ok(secret);
        }
        let random = (around.random)().ok_or(StoreError::Unavailable)?;
        let secret = SlotSecret::load_or_create(around.store, &self.namespace, random)?;
        Ok(self.slot_secret.get_or_init(|| secret))
    }
}
