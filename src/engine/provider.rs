//! A provider as one worker has it.

use std::{
    cell::{Ref, RefCell, RefMut},
    rc::Rc,
    time::Duration,
};

use hashbrown::HashMap;

use super::{HostServices, Purpose, verified::Verified};
use crate::{
    calls::{Call, Outcome},
    introspection::{Introspector, Ticket, Verdict},
    jose::KeySet,
    jwt::RemoteKeys,
    policy::Provider,
    rbac::Vocabulary,
    time::Timestamp,
};

/// How many unusable keys of one set are reported each.
const REPORTED_KEYS: usize = 10;

/// A provider with what one worker keeps of it from request to request.
pub(super) struct ProviderState {
    /// As the policy has it.
    pub(super) provider: Rc<Provider>,
    /// Its place in the policy, by which calls are told apart.
    place: usize,
    /// `None`: its keys are in the policy, or it has none.
    remote: Option<RefCell<RemoteKeys>>,
    /// `None`: it is never asked about tokens.
    introspector: Option<RefCell<Introspector<Verified>>>,
    /// What it answered just now, for the requests that wait for it.
    answers: RefCell<HashMap<Ticket, Verdict<Verified>>>,
}

/// A token whose signature was verified, with the provider whose keys it was.
#[derive(Clone)]
pub(super) struct Remembered {
    pub(super) token: Verified,
    pub(super) provider: Rc<ProviderState>,
}

impl ProviderState {
    /// `place` is that of `provider` in its policy.
    pub(super) fn new(place: usize, provider: &Rc<Provider>, namespace: &str) -> Self {
        let remote = provider.jwt.remote();
        let remote = remote
            .map(|remote| RemoteKeys::new(remote, provider.issuer().as_str(), provider.name(), namespace));
        let introspection = provider.introspection.as_ref();
        let introspector = introspection.map(|spec| Introspector::new(spec, &provider.jwt));
        Self {
            provider: Rc::clone(provider),
            place,
            remote: remote.map(RefCell::new),
            introspector: introspector.map(RefCell::new),
            answers: RefCell::default(),
        }
    }

    /// What a call for its keys is for.
    pub(super) fn key_set(&self) -> Purpose {
        Purpose::KeySet { provider: self.place }
    }

    /// What a call about the token of `ticket` is for.
    pub(super) fn introspection(&self, ticket: Ticket) -> Purpose {
        Purpose::Introspection { provider: self.place, ticket }
    }

    /// Its keys as they are fetched, to be changed; `None`: they are in the policy, or it has none.
    pub(super) fn remote_mut(&self) -> Option<RefMut<'_, RemoteKeys>> {
        self.remote.as_ref().map(RefCell::borrow_mut)
    }

    fn remote(&self) -> Option<Ref<'_, RemoteKeys>> {
        self.remote.as_ref().map(RefCell::borrow)
    }

    /// What it says of tokens; `None`: it is never asked.
    pub(super) fn introspector(&self) -> Option<RefMut<'_, Introspector<Verified>>> {
        self.introspector.as_ref().map(RefCell::borrow_mut)
    }

    /// What it answered just now to the call that `purpose` is of; `None` also where it was another provider's.
    pub(super) fn answer_to(&self, purpose: Purpose) -> Option<Verdict<Verified>> {
        match purpose {
            Purpose::Introspection { provider, ticket } if provider == self.place => {
                self.answers.borrow().get(&ticket).cloned()
            }
            _ => None,
        }
    }

    /// Whether a call of this `purpose` asks it about a token.
    pub(super) fn is_asked_by(&self, purpose: Purpose) -> bool {
        matches!(purpose, Purpose::Introspection { provider, .. } if provider == self.place)
    }

    /// Forgets all answers: every request that waited was decided again.
    pub(super) fn forget_answers(&self) {
        self.answers.borrow_mut().clear();
    }

    /// The call to send now for its keys.
    pub(super) fn on_tick(&self, services: &HostServices<'_>, jitter: u64) -> Option<(Purpose, Call)> {
        let call = self.remote_mut()?.tick(services.now(), services.store, jitter)?;
        Some((self.key_set(), call))
    }

    /// Takes the answer to a call for its keys, and answers what the operator should know of it.
    pub(super) fn on_key_set(&self, outcome: Outcome<'_>, services: &HostServices<'_>) -> Vec<String> {
        let Some(mut keys) = self.remote_mut() else { return Vec::new() };
        let (mut messages, unusable) = match keys.on_fetched(outcome, services.now(), services.store) {
            Ok(unusable) => (Vec::new(), unusable),
            Err(error) => (vec![error.to_string()], error.into_unusable()),
        };
        messages.extend(unusable.iter().take(REPORTED_KEYS).map(|key| format!("not used: {key}")));
        let more = unusable.len().saturating_sub(REPORTED_KEYS);
        if more > 0 {
            messages.push(format!("not used: {more} more"));
        }
        let name = self.provider.name();
        messages.into_iter().map(|message| format!("key set of \"{name}\": {message}")).collect()
    }

    /// Takes what its issuer answered, for the requests that wait for `ticket`. Answers what the operator should know of it,
    /// which clients may cause any number of times.
    pub(super) fn on_introspected(
        &self,
        ticket: Ticket,
        outcome: Outcome<'_>,
        vocabulary: &Vocabulary,
        services: &HostServices<'_>,
    ) -> Option<String> {
        let make = |token| Verified::new(token, vocabulary, &self.provider);
        let mut introspector = self.introspector()?;
        let verdict = introspector.on_answer(ticket, outcome, services.now(), &self.provider.jwt, make)?;
        let message = match &verdict {
            Verdict::Unavailable(error) => {
                Some(format!("introspection of \"{}\": {error}", self.provider.name()))
            }
            Verdict::Active(_) | Verdict::Refused(_) => None,
        };
        self.answers.borrow_mut().insert(ticket, verdict);
        message
    }

    /// Counts its key sets; `None` while it has none that may be used, whatever was verified before.
    pub(super) fn key_generation(&self, now: Timestamp) -> Option<u64> {
        match self.remote() {
            None => Some(0),
            Some(remote) => remote.keys(now).map(|_| remote.generation()),
        }
    }

    /// Which key set it is that is in use, of whatever provider.
    pub(super) fn key_set_in_use(&self, now: Timestamp) -> Option<(usize, u64)> {
        Some((self.place, self.key_generation(now)?))
    }

    /// Runs `with` on its key set; `None` while there is no usable one.
    pub(super) fn with_keys<T>(&self, now: Timestamp, with: impl FnOnce(&KeySet) -> T) -> Option<T> {
        match self.remote() {
            None => self.provider.jwt.keys().map(with),
            Some(remote) => remote.keys(now).map(|keys| with(keys)),
        }
    }

    /// A token named a key that its set does not have: worth a fetch, within bounds.
    ///
    /// Whether another set is in use now than before, picked up over it.
    pub(super) fn note_unknown_key(&self, kid: &str, services: &HostServices<'_>) -> bool {
        let keys = self.remote_mut();
        keys.is_some_and(|mut keys| keys.note_unknown_kid(kid, services.now(), services.store))
    }

    /// No key of its set made a token that names `kid`: worth a fetch, within bounds, for its key may have been replaced.
    ///
    /// Whether another set is in use now than before, picked up over it.
    pub(super) fn note_wrong_signature(&self, kid: Option<&str>, services: &HostServices<'_>) -> bool {
        let keys = self.remote_mut();
        keys.is_some_and(|mut keys| keys.note_wrong_signature(kid, services.now(), services.store))
    }

    /// Until when a request with such a token may wait; `None` where another key will not come now.
    pub(super) fn key_may_be_replaced(&self, kid: Option<&str>, now: Timestamp) -> Option<Timestamp> {
        self.remote()?.may_be_replaced(kid, now)
    }

    /// When the keys that are in use were fetched; `None` where there are none, or none are fetched.
    pub(super) fn keys_fetched_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.remote()?.fetched_at(now)
    }

    /// Until when a request may wait for its keys; `None` where they will not come any sooner.
    pub(super) fn keys_may_come(&self, now: Timestamp) -> Option<Timestamp> {
        self.remote()?.may_come(now)
    }

    /// When a client may come back that was refused for want of its keys.
    pub(super) fn keys_retry_after(&self, now: Timestamp) -> Option<Duration> {
        Some(self.remote()?.retry_after(now))
    }
}
