//! What outlives a request: the policy, the key sets and the secret behind the rate-limit table.

use std::{
    cell::{OnceCell, RefCell},
    time::Duration,
};

use crate::{
    call::{Call, Outcome},
    crypto::HostCrypto,
    jwt::{FetchEvents, KeySet, RemoteKeys},
    policy::Policy,
    rate_limit::SlotSecret,
    store::{SharedStore, StoreError},
    time::Timestamp,
};

/// What the engine asks of its host, for the length of one call.
pub struct Around<'a> {
    /// The time of the call.
    pub now: Timestamp,
    /// State that all workers share.
    pub store: &'a dyn SharedStore,
    /// The host's crypto library.
    pub crypto: &'a dyn HostCrypto,
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
}

impl Gate {
    /// Touches nothing outside: state is read when the first request or tick needs it.
    pub fn new(policy: Policy, namespace: &str) -> Self {
        let remote = policy.providers.iter().map(|provider| {
            let keys = RemoteKeys::new(provider.remote()?, provider.issuer(), provider.name(), namespace);
            // A bad URI is a fault of the policy and was refused; without keys its tokens are refused too.
            keys.ok().map(RefCell::new)
        });
        Self {
            remote: remote.collect(),
            policy,
            namespace: namespace.to_owned(),
            slot_secret: OnceCell::new(),
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

    /// To be called when a call has ended. Answers what the operator should know of it. Where a further call
    /// follows from it, the next [`Gate::on_tick`] has it, so a tick right behind saves time.
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
    /// Whether a set that comes soon may have it.
    pub(super) fn note_unknown_key(&self, provider: usize, kid: &str, around: &Around<'_>) -> bool {
        let Some(Some(keys)) = self.remote.get(provider) else { return false };
        keys.borrow_mut().note_unknown_kid(kid, around.now, around.store)
    }

    /// Until when a request may wait for the keys of a provider; `None` where they will not come any sooner.
    pub fn keys_may_come(&self, provider: usize, now: Timestamp) -> Option<Timestamp> {
        self.remote.get(provider)?.as_ref()?.borrow().may_come(now)
    }

    /// When a client may come back that was refused for want of the keys of a provider.
    pub fn keys_retry_after(&self, provider: usize, now: Timestamp) -> Option<Duration> {
        Some(self.remote.get(provider)?.as_ref()?.borrow().retry_after(now))
    }

    /// The fetches of key sets since the last call, over all providers.
    pub fn take_fetch_events(&self) -> FetchEvents {
        self.remote.iter().flatten().fold(FetchEvents::default(), |sum, keys| {
            let events = keys.borrow_mut().take_events();
            FetchEvents {
                started: sum.started.saturating_add(events.started),
                succeeded: sum.succeeded.saturating_add(events.succeeded),
                failed: sum.failed.saturating_add(events.failed),
            }
        })
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
