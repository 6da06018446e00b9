//! One configuration of the filter on one worker: what outlives a request.

use std::{
    cell::{Cell, RefCell, RefMut},
    rc::Rc,
};

use super::{
    HostServices, Purpose,
    key_uses::KeyUses,
    open_streams::OpenStreams,
    provider::{ProviderState, Remembered},
    record::{RecordKind, Trace},
    record_chain::Chain,
    statements::{KeptStatements, NotSigned},
    stored_keys::StoredKeys,
    stored_revocations,
    token_cache::TokenCache,
};
use crate::{
    answer::Reason,
    calls::{Call, Outcome, Unsent},
    dpop::DpopSecret,
    etcd,
    passkeys::{EtcdEntries, PasskeyStoreSpec},
    policy::{Caller, Callers, Policy, Provider},
    rate_limit::{Prepayments, SlotSecret, Terms},
    replay::ReplaySecret,
    replica::{Replica, ReplicaSpec, WatchEvent, WatchStep},
    revocation::{Revocations, Revoked},
    sampling::Sampler,
    store::{SharedSecret, StoreError, random_bytes},
    time::Timestamp,
};

/// One configuration of the filter on one thread.
pub struct WorkerState {
    pub(super) policy: Policy,
    namespace: String,
    /// In the policy's order.
    pub(super) providers: Vec<Rc<ProviderState>>,
    slot_secret: SharedSecret<SlotSecret>,
    /// What this thread has charged ahead to large limits.
    pub(super) prepayments: RefCell<Prepayments>,
    /// What it knows of windows that are in force.
    pub(super) terms: RefCell<Terms>,
    /// `None`: nothing is revoked.
    pub(super) revocations: Option<RefCell<Revocations>>,
    /// Against which revocations open streams were held last, see [`Revocations::version`].
    streams_held_against: Cell<Option<(u64, bool)>>,
    /// Streams that end with their credential.
    pub(super) open_streams: RefCell<OpenStreams>,
    /// Clients of etcd, each with what its logins are for.
    etcd: Vec<(Purpose, Rc<etcd::Client>)>,
    /// `None`: no revocations are kept one by one.
    pub(super) stored_revocations: Option<RefCell<Replica>>,
    /// `None`: all keys stand in the policy.
    pub(super) stored_keys: Option<RefCell<StoredKeys>>,
    /// `None`: no passkeys are kept in etcd.
    pub(super) passkey_entries: Option<RefCell<EtcdEntries>>,
    /// `None`: uses of keys are not counted.
    key_uses: Option<RefCell<KeyUses>>,
    /// What upstreams were told of callers before.
    statements: RefCell<KeptStatements>,
    /// Calls that requests asked for.
    pub(super) outbox: RefCell<Vec<(Purpose, Call)>>,
    /// `None` while there was no randomness to make it with; then nothing is remembered.
    pub(super) tokens: RefCell<Option<TokenCache<Remembered>>>,
    /// Tokens that were remembered, and those that had to be verified, since they were asked about last.
    pub(super) token_look_ups: [Cell<u32>; 2],
    dpop_secret: SharedSecret<DpopSecret>,
    replay_secret: SharedSecret<ReplaySecret>,
    /// Records of refusals, and of requests that a shadow would refuse.
    pub(super) refusals: RefCell<Sampler<RecordKind>>,
    /// What else the operator should know and clients can cause.
    pub(super) warnings: RefCell<Sampler<String>>,
    /// The records that were written so far; `None`: none was.
    pub(super) chain: RefCell<Option<Chain>>,
}

impl WorkerState {
    /// Touches nothing outside: state is read when the first request or tick needs it.
    pub fn new(policy: Policy, namespace: &str) -> Self {
        let providers = policy
            .providers
            .iter()
            .enumerate()
            .map(|(place, provider)| Rc::new(ProviderState::new(place, provider, namespace)));
        let revocations = policy.revocation().map(|spec| RefCell::new(Revocations::new(spec, namespace)));
        let mut etcd = Vec::new();
        let mut client_of = |spec: &ReplicaSpec, login| {
            let client = Rc::new(etcd::Client::new(spec.server.clone()));
            etcd.push((login, Rc::clone(&client)));
            client
        };
        let key_store = policy.key_store.as_ref().map(|spec| (spec, client_of(spec, Purpose::EtcdLogin)));
        let key_uses = policy.key_usage.as_ref();
        let key_uses = key_uses
            .map(|spec| RefCell::new(KeyUses::new(spec, key_store.as_ref().map(|(_, client)| client))));
        let stored_keys =
            key_store.map(|(spec, client)| RefCell::new(StoredKeys::new(spec, client, namespace)));
        let stored_revocations = policy.revocation_store.as_ref().map(|spec| {
            let client = client_of(spec, Purpose::RevocationLogin);
            RefCell::new(Replica::new(spec.clone(), client, namespace))
        });
        let passkey_entries = policy.passkeys.as_ref().and_then(|passkeys| match &passkeys.spec.store {
            PasskeyStoreSpec::Etcd(server) => Some(RefCell::new(EtcdEntries::new((**server).clone()))),
            PasskeyStoreSpec::SharedData => None,
        });
        Self {
            passkey_entries,
            providers: providers.collect(),
            revocations,
            etcd,
            stored_revocations,
            stored_keys,
            key_uses,
            streams_held_against: Cell::default(),
            open_streams: RefCell::default(),
            statements: RefCell::default(),
            outbox: RefCell::default(),
            policy,
            namespace: namespace.to_owned(),
            slot_secret: SharedSecret::default(),
            prepayments: RefCell::default(),
            terms: RefCell::default(),
            tokens: RefCell::new(None),
            token_look_ups: Default::default(),
            dpop_secret: SharedSecret::default(),
            replay_secret: SharedSecret::default(),
            refusals: RefCell::default(),
            warnings: RefCell::default(),
            chain: RefCell::default(),
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
        let jitter = jitter(services);
        let key_sets = self.providers.iter().filter_map(|provider| provider.on_tick(services, jitter));
        let revocations = self.revocations.iter().filter_map(|revocations| {
            let call = revocations.borrow_mut().tick(services.now(), services.store, jitter)?;
            Some((Purpose::Revocations, call))
        });
        let replicas = self.look_after_replicas(services);
        let key_uses = self.key_uses.iter().filter_map(|uses| {
            let call = uses.borrow_mut().tick(services, jitter)?;
            Some((Purpose::KeyUses, call))
        });
        let mut calls: Vec<_> = key_sets.chain(revocations).chain(replicas).chain(key_uses).collect();
        // Last: what was to be asked there may need a login first.
        let logins = self.etcd.iter();
        calls.extend(
            logins.filter_map(|(purpose, etcd)| Some((*purpose, etcd.tick(services.now(), jitter)?))),
        );
        calls.extend(self.look_after_passkeys(services));
        calls
    }

    /// Questions that waited for a login, and the login.
    fn look_after_passkeys(&self, services: &HostServices<'_>) -> Vec<(Purpose, Call)> {
        let Some(entries) = &self.passkey_entries else { return Vec::new() };
        let mut entries = entries.borrow_mut();
        let asked = entries.tick(services.now()).into_iter();
        let mut calls: Vec<_> = asked.map(|(ticket, call)| (Purpose::Passkeys { ticket }, call)).collect();
        let login = entries.login(services.now(), jitter(services));
        calls.extend(login.map(|call| (Purpose::PasskeysLogin, call)));
        calls
    }

    /// What is kept in etcd, each with what is asked about it.
    pub(super) fn replicas(&self) -> impl Iterator<Item = (Purpose, RefMut<'_, Replica>)> {
        let keys = self.stored_keys.iter();
        let keys = keys.map(|keys| RefMut::map(keys.borrow_mut(), |keys| &mut keys.replica));
        let revocations = self.stored_revocations.iter().map(RefCell::borrow_mut);
        keys.map(|keys| (Purpose::KeyStore, keys))
            .chain(revocations.map(|revocations| (Purpose::RevocationStore, revocations)))
    }

    fn replica(&self, purpose: Purpose) -> Option<RefMut<'_, Replica>> {
        self.replicas().find_map(|(own, replica)| (own == purpose).then_some(replica))
    }

    /// Whether there is to be a watch on something that is kept in etcd.
    pub fn watches(&self) -> bool {
        self.replicas().any(|(_, replica)| replica.is_watched())
    }

    /// The part of [`WorkerState::on_tick`] that is about what is kept in etcd. Where that is watched it is due more often.
    /// A login that is needed for it comes with the next one.
    pub fn look_after_replicas(&self, services: &HostServices<'_>) -> Vec<(Purpose, Call)> {
        let (now, jitter) = (services.now(), jitter(services));
        let calls = self.replicas();
        calls
            .filter_map(|(purpose, mut replica)| Some((purpose, replica.tick(now, services.store, jitter)?)))
            .collect()
    }

    /// To be called a few times a second: what the host is to do for watches, and what of each is watched.
    pub fn watch(&self, services: &HostServices<'_>) -> Vec<(Purpose, WatchStep)> {
        let steps = self.replicas();
        steps
            .filter_map(|(purpose, mut replica)| {
                Some((purpose, replica.watch(services.now(), services.store)?))
            })
            .collect()
    }

    /// To be called with what came of it. Answers what the operator should know of it. What follows from it,
    /// [`WorkerState::look_after_replicas`] has.
    pub fn on_watched(
        &self,
        purpose: Purpose,
        event: WatchEvent<'_>,
        services: &HostServices<'_>,
    ) -> Option<String> {
        let unwatched = self.replica(purpose)?.on_watched(event, services.now(), jitter(services))?;
        Some(format!("{}: {unwatched}", self.subject(purpose)))
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
        match (purpose, self.provider_of(purpose)) {
            (Purpose::KeySet { .. }, Some(provider)) => provider.on_key_set(outcome, services),
            (Purpose::Introspection { ticket, .. }, Some(provider)) => {
                let vocabulary = &self.policy.vocabulary;
                let message = provider.on_introspected(ticket, outcome, vocabulary, services);
                message.and_then(|message| self.warning(message)).into_iter().collect()
            }
            (Purpose::Revocations, _) => {
                let Some(revocations) = &self.revocations else { return Vec::new() };
                let taken = revocations.borrow_mut().on_answer(outcome, services.now(), services.store);
                taken.err().map(|error| format!("revocation list: {error}")).into_iter().collect()
            }
            (Purpose::EtcdLogin | Purpose::RevocationLogin, _) => {
                let Some((_, etcd)) = self.etcd.iter().find(|(own, _)| *own == purpose) else {
                    return Vec::new();
                };
                let taken = etcd.on_answer(outcome);
                let told = |error| format!("{} ({}): {error}", self.subject(purpose), etcd.server().section);
                taken.err().map(told).into_iter().collect()
            }
            (Purpose::KeyStore | Purpose::RevocationStore, _) => {
                let Some(mut replica) = self.replica(purpose) else { return Vec::new() };
                let taken = replica.on_answer(outcome, services.now(), services.store);
                taken.err().map(|error| format!("{}: {error}", self.subject(purpose))).into_iter().collect()
            }
            (Purpose::KeyUses, _) => {
                let Some(uses) = &self.key_uses else { return Vec::new() };
                let taken = uses.borrow_mut().on_answer(outcome, services.now());
                let later = "what was not written is written next time";
                taken.err().map(|error| format!("uses of API keys: {error}; {later}")).into_iter().collect()
            }
            (Purpose::PasskeysLogin, _) => {
                let Some(entries) = &self.passkey_entries else { return Vec::new() };
                let login = entries.borrow_mut().on_login(outcome);
                login.err().map(|error| format!("passkeys in etcd: {error}")).into_iter().collect()
            }
            (Purpose::Passkeys { ticket }, _) => {
                let Some(entries) = &self.passkey_entries else { return Vec::new() };
                let answered = entries.borrow_mut().on_answer(ticket, outcome, services.now());
                let message = answered.err().map(|error| format!("passkeys in etcd: {error}"));
                message.and_then(|message| self.warning(message)).into_iter().collect()
            }
            (Purpose::KeySet { .. } | Purpose::Introspection { .. }, None) => Vec::new(),
        }
    }

    /// The provider that a call is for; `None`: it is for none.
    fn provider_of(&self, purpose: Purpose) -> Option<&ProviderState> {
        match purpose {
            Purpose::KeySet { provider } | Purpose::Introspection { provider, .. } => {
                self.providers.get(provider).map(|provider| &**provider)
            }
            Purpose::Revocations
            | Purpose::EtcdLogin
            | Purpose::KeyStore
            | Purpose::KeyUses
            | Purpose::PasskeysLogin
            | Purpose::Passkeys { .. }
            | Purpose::RevocationLogin
            | Purpose::RevocationStore => None,
        }
    }

    /// To be called when a call to `cluster` could not be sent. Answers what the operator should know of it: what it
    /// was for, and why.
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
        let what = match purpose {
            Purpose::KeySet { .. } => "key set",
            Purpose::Introspection { .. } => "introspection",
            Purpose::Revocations => return "revocation list".to_owned(),
            Purpose::EtcdLogin | Purpose::RevocationLogin => return "login at etcd".to_owned(),
            Purpose::RevocationStore => return "revocations in etcd".to_owned(),
            Purpose::KeyStore => return "API keys in etcd".to_owned(),
            Purpose::KeyUses => return "uses of API keys".to_owned(),
            Purpose::PasskeysLogin | Purpose::Passkeys { .. } => return "passkeys in etcd".to_owned(),
        };
        let name = self.provider_of(purpose).map(|provider| &**provider.provider.name());
        format!("{what} of \"{}\"", name.unwrap_or_default())
    }

    /// Counts the keys of a request that was decided.
    #[inline]
    pub(super) fn count_keys(&self, trace: &Trace, reason: Option<Reason>) {
        if let Some(uses) = &self.key_uses {
            uses.borrow_mut().count(trace, reason);
        }
    }

    /// What to write of uses of keys: to be called a few times a second, and once when the last request was decided.
    pub fn take_key_uses(&self, is_end: bool) -> Vec<String> {
        let Some(uses) = &self.key_uses else { return Vec::new() };
        let mut uses = uses.borrow_mut();
        if is_end { uses.end() } else { uses.take_told() }
    }

    /// To be called when every request that waited for an answer was decided again: what was answered is over.
    pub fn settled(&self) {
        self.providers.iter().for_each(|provider| provider.forget_answers());
        self.passkey_entries.iter().for_each(|entries| entries.borrow_mut().forget_answers());
    }

    /// What the worker keeps of `provider`; `None` for one of another policy.
    pub(super) fn state_of(&self, provider: &Rc<Provider>) -> Option<&Rc<ProviderState>> {
        self.providers.iter().find(|state| Rc::ptr_eq(&state.provider, provider))
    }

    /// What the upstream is told of `callers`, signed; `None`: nothing is, or there is nobody.
    #[inline]
    pub(super) fn statement_of(
        &self,
        callers: &Callers,
        services: &HostServices<'_>,
    ) -> Result<Option<Rc<str>>, NotSigned> {
        match &self.policy.statements {
            None => Ok(None),
            Some(statements) => self.statements.borrow_mut().of(statements, callers, services.now()),
        }
    }

    /// Whether a verified caller was revoked meanwhile.
    pub(super) fn check_revoked(&self, caller: &Caller, services: &HostServices<'_>) -> Result<(), Revoked> {
        if let Some(revocations) = &self.revocations {
            revocations.borrow().check(&caller.principal, services.now())?;
        }
        if let Some(revocations) = &self.stored_revocations {
            stored_revocations::check(&mut revocations.borrow_mut(), caller, services)?;
        }
        Ok(())
    }

    /// Whether other credentials may be on a list than when this was asked last.
    pub(super) fn have_revocations_changed(&self, now: Timestamp) -> bool {
        let version = self.revocations.as_ref().map(|revocations| revocations.borrow().version(now));
        self.streams_held_against.replace(version) != version
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

    /// The secret behind signatures that are good once; loaded once.
    pub(super) fn replay_secret(&self, services: &HostServices<'_>) -> Result<&ReplaySecret, StoreError> {
        self.replay_secret.get(|| {
            ReplaySecret::load_or_create(services.store, &self.namespace, random_bytes(services.random)?)
        })
    }

    /// What keeps this policy's shared state apart from that of others.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }
}

/// Randomness only spreads calls over time: without it they are not spread.
fn jitter(services: &HostServices<'_>) -> u64 {
    (services.random)().map_or(0, |bytes| bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)))
}
