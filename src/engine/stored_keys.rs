//! API keys that are kept elsewhere: looked up when one is first presented, and remembered until the store changes.

use std::rc::Rc;

use super::HostServices;
use crate::{
    answer::Reason,
    api_key::{
        ApiKeySpec, ApiKeys, KnownKey, Presented, REMEMBERED, SeenKeys, Validity,
        format::{self, Form},
    },
    config,
    crypto::{constant_time_eq, sha256},
    etcd::Client,
    fault::Fault,
    identity::Principal,
    policy::{Caller, Policy},
    replica::{Found, Replica, ReplicaSpec, Wanted},
    store::StoreError,
    time::Timestamp,
};

/// The keys of a store, as one worker has them.
pub(super) struct StoredKeys {
    pub(super) replica: Replica,
    /// Keys that were presented since the store last changed.
    seen: SeenKeys<Rc<KnownKey<Caller>>>,
    /// Of the store, when they were looked up.
    generation: u64,
}

/// Why a key of the store does not authenticate.
pub(super) struct NotTaken {
    pub(super) reason: Reason,
    /// Whose it is; `None` where nobody knows it.
    pub(super) caller: Option<Rc<Caller>>,
    /// What is wrong with the store's entry.
    pub(super) detail: Option<String>,
}

impl From<Reason> for NotTaken {
    fn from(reason: Reason) -> Self {
        Self { reason, caller: None, detail: None }
    }
}

impl StoredKeys {
    pub(super) fn new(spec: &ReplicaSpec, etcd: Rc<Client>, namespace: &str) -> Self {
        let replica = Replica::new(spec.clone(), etcd, namespace);
        Self { replica, seen: SeenKeys::new(REMEMBERED), generation: 0 }
    }

    /// When a key that was let in runs out, as the store has it now; an error: why it would not be let in any more.
    pub(super) fn end_of(
        &self,
        principal: &Principal,
        digest: &[u8; 32],
        services: &HostServices<'_>,
    ) -> Result<Timestamp, Reason> {
        if !self.replica.is_usable(services.now()) {
            return Err(Reason::StateUnavailable);
        }
        let found = self.replica.find(Wanted::Id(&principal.credential_id), services.store);
        let found = found.map_err(|_| Reason::StateUnavailable)?.ok_or(Reason::ApiKeyUnknown)?;
        let key = config::stored_key(&found.id, &found.value).map_err(|_| Reason::ApiKeyUnknown)?;
        match key {
            _ if !constant_time_eq(&key.digest, digest) => Err(Reason::ApiKeyUnknown),
            ApiKeySpec { revoked: true, .. } => Err(Reason::ApiKeyRevoked),
            ApiKeySpec { disabled: true, .. } => Err(Reason::ApiKeyDisabled),
            ApiKeySpec { expires_at, .. } => Ok(expires_at.unwrap_or(Timestamp::from_nanos(u64::MAX))),
        }
    }

    /// The caller that presents the key, if the store has it, and it is valid now and may be used there.
    pub(super) fn authenticate(
        &mut self,
        presented: Presented<'_>,
        policy: &Policy,
        services: &HostServices<'_>,
    ) -> Result<Rc<Caller>, NotTaken> {
        let keys = policy.api_keys.as_ref().ok_or(Reason::ApiKeyUnknown)?;
        let form = format::form_of(presented.key, keys.checked_prefix());
        if form == Form::Broken {
            return Err(Reason::ApiKeyUnknown.into());
        }
        self.replica.catch_up(services.now(), services.store);
        if !self.replica.is_usable(services.now()) {
            return Err(NotTaken {
                detail: Some("the keys in etcd are not read yet, or not confirmed any more".to_owned()),
                ..Reason::StateUnavailable.into()
            });
        }
        if self.generation != self.replica.generation() {
            self.seen.clear();
            self.generation = self.replica.generation();
        }
        let tag = self.seen.tag(presented.key, services.random);
        let known = match tag.and_then(|tag| self.seen.find(tag)) {
            Some(known) => known,
            None => {
                let known = self.look_up(presented.key, form, keys, policy, services)?;
                // Only keys that exist are remembered. Others would push them out.
                if let Some(tag) = tag {
                    self.seen.insert(tag, Rc::clone(&known));
                }
                known
            }
        };
        match known.validity.check(presented, &services.clock) {
            Ok(()) => Ok(Rc::clone(&known.caller)),
            Err(reason) => Err(NotTaken { caller: Some(Rc::clone(&known.caller)), ..reason.into() }),
        }
    }

    /// By the id that stands in the key, else by its digest, which a key of somebody else's making is known by.
    #[inline(never)]
    fn look_up(
        &self,
        key: &[u8],
        form: Form<'_>,
        keys: &ApiKeys<Caller>,
        policy: &Policy,
        services: &HostServices<'_>,
    ) -> Result<Rc<KnownKey<Caller>>, NotTaken> {
        let unavailable = |_: StoreError| NotTaken::from(Reason::StateUnavailable);
        let digest = sha256(key);
        let by_id = match form {
            Form::Whole(id) => self.replica.find(Wanted::Id(id), services.store).map_err(unavailable)?,
            Form::Foreign | Form::Broken => None,
        };
        if let Some(found) = &by_id
            && let Some(known) = judged(found, &digest, keys, policy)?
        {
            return Ok(known);
        }
        let by_digest = self.replica.find(Wanted::Digest(&digest), services.store).map_err(unavailable)?;
        let found = by_digest.ok_or(Reason::ApiKeyUnknown)?;
        judged(&found, &digest, keys, policy)?.ok_or_else(|| Reason::ApiKeyUnknown.into())
    }
}

/// The key, if it is the one that was presented.
fn judged(
    found: &Found,
    digest: &[u8; 32],
    keys: &ApiKeys<Caller>,
    policy: &Policy,
) -> Result<Option<Rc<KnownKey<Caller>>>, NotTaken> {
    let spec = config::stored_key(&found.id, &found.value).map_err(|faults| NotTaken {
        detail: Some(told(&found.id, &faults)),
        ..Reason::ApiKeyUnknown.into()
    })?;
    if !constant_time_eq(&spec.digest, digest) {
        return Ok(None);
    }
    let caller = Caller {
        stored_key: Some(Box::new(spec.digest)),
        ..Caller::of_key(spec.principal(keys.levels()), spec.expires_at, &policy.vocabulary)
    };
    Ok(Some(Rc::new(KnownKey { validity: Validity::of(&spec), caller: Rc::new(caller) })))
}

/// The first fault of an entry.
fn told(id: &str, faults: &[Fault]) -> String {
    let fault = faults.first().map(ToString::to_string).unwrap_or_default();
    format!("the entry of key {id:?} in etcd cannot be read: {fault}")
}
