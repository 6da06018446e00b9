//! API keys: found by digest, never stored or compared as text.

pub mod format;
mod restrictions;
mod seen;
mod table;
mod use_records;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code may panic")]
mod use_records_tests;
mod validity;

pub use restrictions::Restrictions;
pub(crate) use seen::SeenKeys;
pub use table::KeyTable;
pub use use_records::{NotWritten, UseRecords};
pub(crate) use validity::Validity;

use std::{cell::RefCell, net::IpAddr, rc::Rc, sync::Arc, time::Duration};

use format::Form;

use crate::{
    answer::Reason,
    cross_site::Origins,
    crypto::sha256,
    identity::{Principal, PrincipalKind},
    json::Members,
    request::Location,
    time::{Clock, Timestamp},
};

/// What stands behind the prefix, before the ids of keys that are kept in etcd.
pub const SCHEMA: &str = "v1/keys/";

/// The same before their ids in entries of uses.
pub const USES_SCHEMA: &str = "v1/used/";

/// How API keys are found and which there are, as configured.
#[derive(Clone, Debug, Default)]
pub struct ApiKeysSpec {
    /// Where a key may stand. Default: header `x-api-key`.
    pub locations: Vec<Location>,
    /// Whose pages may have a key sent in a cookie. `None`: everybody's.
    pub cookie_origins: Option<Origins>,
    /// The prefix of keys that are sent where tokens may stand, too. `None`: whatever stands there and has not the form
    /// of a signed JWT is a key.
    pub prefix: Option<String>,
    /// What keys begin with, before a `_`, that are of the form of [`format`](mod@format). One that is not all of a key is
    /// refused before it is looked up. Default: [`format::DEFAULT_PREFIX`].
    pub checked_prefix: String,
    /// The key itself goes upstream. Default false.
    pub forward: bool,
    /// What the levels grant: `(level, permissions)`.
    pub levels: Vec<(Level, Vec<String>)>,
    /// The keys.
    pub keys: Rc<KeyTable>,
    /// What becomes of what is counted of uses; `None`: nothing is counted.
    pub usage: Option<UsageSpec>,
}

/// How uses of keys are counted.
#[derive(Clone, Copy, Debug)]
pub struct UsageSpec {
    /// Where they are told.
    pub to: UsageTo,
    /// How often.
    pub interval: Duration,
}

/// Where uses of keys are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsageTo {
    /// In etcd, beside the keys.
    Etcd,
    /// In Envoy's log.
    Log,
}

/// The most keys that one worker remembers of each place where they are kept, some 12 MiB of them with what is made of
/// each.
pub(crate) const REMEMBERED: usize = 1 << 14;

/// A coarse grade of what a key may do; the document says which permissions each grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    Read,
    Write,
    Admin,
}

/// One key, as configured.
#[derive(Clone, Debug)]
pub struct ApiKeySpec {
    /// Unique; goes into the decision record.
    pub id: String,
    /// The principal's subject. Keys of the same client are the same principal. Default: `id`.
    pub client: String,
    /// SHA-256 of the key.
    pub digest: [u8; 32],
    /// `None`: no permissions by level.
    pub level: Option<Level>,
    /// May be empty.
    pub scopes: Vec<String>,
    /// May be empty.
    pub roles: Vec<String>,
    /// `None`: no tier.
    pub tier: Option<String>,
    /// How many requests it has of its own, by the names of limits, each once.
    pub own_requests: Vec<(String, u32)>,
    /// Refused before; `None`: valid from the start.
    pub not_before: Option<Timestamp>,
    /// Refused from this instant on; `None`: does not expire.
    pub expires_at: Option<Timestamp>,
    /// Refused while true.
    pub disabled: bool,
    /// Refused for good.
    pub revoked: bool,
    /// Where it may be used.
    pub restrictions: Restrictions,
}

/// Compiled keys: found by digest, whatever their number.
pub struct ApiKeys<C> {
    locations: Vec<Location>,
    cookie_origins: Option<Origins>,
    prefix: Option<Box<str>>,
    checked_prefix: Box<str>,
    forward: bool,
    levels: Vec<(Level, Vec<String>)>,
    keys: Rc<KeyTable>,
    /// Keys that were presented before.
    seen: RefCell<SeenKeys<Rc<KnownKey<C>>>>,
}

/// A key that was presented, with the caller that is made of it then.
#[derive(Debug)]
pub(crate) struct KnownKey<C> {
    pub(crate) validity: Validity,
    pub(crate) caller: Rc<C>,
}

/// A key as it comes with a request.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// The key itself.
    pub key: &'a [u8],
    /// The client's address; `None` where it is not known.
    pub address: Option<IpAddr>,
    /// The host that is asked for, in lower case and without port.
    pub host: &'a str,
}

impl<C> ApiKeys<C> {
    /// Compiles the keys.
    pub fn compile(spec: &ApiKeysSpec) -> Self {
        Self {
            locations: spec.locations.clone(),
            cookie_origins: spec.cookie_origins.clone(),
            prefix: spec.prefix.as_deref().map(Into::into),
            checked_prefix: spec.checked_prefix.as_str().into(),
            forward: spec.forward,
            levels: spec.levels.clone(),
            seen: RefCell::new(SeenKeys::new(spec.keys.len().saturating_mul(2).min(REMEMBERED))),
            keys: Rc::clone(&spec.keys),
        }
    }

    /// Where keys are looked for.
    pub fn locations(&self) -> &[Location] {
        &self.locations
    }

    /// Whose pages may have a key sent in a cookie. `None`: everybody's.
    pub fn cookie_origins(&self) -> Option<&Origins> {
        self.cookie_origins.as_ref()
    }

    /// What the levels grant.
    pub fn levels(&self) -> &[(Level, Vec<String>)] {
        &self.levels
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// What keys begin with whose form is checked.
    pub fn checked_prefix(&self) -> &str {
        &self.checked_prefix
    }

    /// The prefix by which keys are told from tokens where either may stand; `None`: their form tells them.
    pub fn prefix(&self) -> Option<&str> {
        self.prefix.as_deref()
    }

    /// Whether a verified key goes upstream.
    pub fn is_forwarded(&self) -> bool {
        self.forward
    }

    /// The caller that presents the key, if it is valid now and may be used there. `caller` makes it of the key and its
    /// principal when the key is first presented.
    ///
    /// The digest decides where to look, so the look-up tells an attacker nothing about stored keys; the
    /// digests themselves are compared in constant time. `random` makes the secret by which keys are known again that
    /// were presented before; without it each is looked up by its digest.
    pub fn authenticate(
        &self,
        presented: Presented<'_>,
        clock: &Clock,
        random: &dyn Fn() -> Option<[u8; 16]>,
        caller: &dyn Fn(&ApiKeySpec, Principal) -> C,
    ) -> Result<Rc<C>, Refused<C>> {
        let Some(key) = self.find(presented.key, random, caller) else {
            return Err(Refused { reason: Reason::ApiKeyUnknown, caller: None });
        };
        match key.validity.check(presented, clock) {
            Ok(()) => Ok(Rc::clone(&key.caller)),
            Err(reason) => Err(Refused { reason, caller: Some(Rc::clone(&key.caller)) }),
        }
    }

    fn find(
        &self,
        key: &[u8],
        random: &dyn Fn() -> Option<[u8; 16]>,
        caller: &dyn Fn(&ApiKeySpec, Principal) -> C,
    ) -> Option<Rc<KnownKey<C>>> {
        if self.is_empty() {
            return None;
        }
        let mut seen = self.seen.borrow_mut();
        let tag = seen.tag(key, random);
        if let Some(known) = tag.and_then(|tag| seen.find(tag)) {
            return Some(known);
        }
        let known = Rc::new(self.look_up(key, caller)?);
        // Only keys that exist are remembered. Others would push them out.
        if let Some(tag) = tag {
            seen.insert(tag, Rc::clone(&known));
        }
        Some(known)
    }

    #[inline(never)]
    fn look_up(&self, key: &[u8], caller: &dyn Fn(&ApiKeySpec, Principal) -> C) -> Option<KnownKey<C>> {
        if format::form_of(key, &self.checked_prefix) == Form::Broken {
            return None;
        }
        let spec = self.keys.get(self.keys.place_of(&sha256(key))?)?;
        let caller = Rc::new(caller(&spec, spec.principal(&self.levels)));
        Some(KnownKey { validity: Validity::of(&spec), caller })
    }
}

/// A key that does not authenticate.
pub struct Refused<C> {
    /// Why.
    pub reason: Reason,
    /// Whose key it would be, for the decision record only; `None` when nobody knows it.
    pub caller: Option<Rc<C>>,
}

impl ApiKeySpec {
    /// What `levels` grant to whoever has the key, beside what it grants by itself.
    pub(crate) fn principal(&self, levels: &[(Level, Vec<String>)]) -> Principal {
        let granted = levels.iter().filter(|(level, _)| Some(*level) == self.level);
        Principal {
            subject: self.client.as_str().into(),
            kind: PrincipalKind::ApiKey,
            authority: Arc::from(""),
            credential_id: self.id.as_str().into(),
            scopes: self.scopes.iter().map(|s| s.as_str().into()).collect(),
            roles: self.roles.iter().map(|s| s.as_str().into()).collect(),
            roles_unclear: false,
            permissions: granted.flat_map(|(_, names)| names).map(|s| s.as_str().into()).collect(),
            tier: self.tier.as_deref().map(Into::into),
            own_requests: self
                .own_requests
                .iter()
                .map(|(limit, requests)| (limit.as_str().into(), *requests))
                .collect(),
            claims: Members::default(),
        }
    }
}

#[cfg(test)]
impl ApiKeySpec {
    /// A key of level `Read`, good always and everywhere.
    pub(crate) fn plain(id: &str, digest: [u8; 32]) -> Self {
        Self {
            id: id.to_owned(),
            client: id.to_owned(),
            digest,
            level: Some(Level::Read),
            scopes: vec![],
            roles: vec![],
            tier: None,
            own_requests: vec![],
            not_before: None,
            expires_at: None,
            disabled: false,
            revoked: false,
            restrictions: Restrictions::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Networks;

    fn key(id: &str, text: &str) -> ApiKeySpec {
        ApiKeySpec { client: "acme".to_owned(), ..ApiKeySpec::plain(id, sha256(text.as_bytes())) }
    }

    fn table(keys: impl IntoIterator<Item = ApiKeySpec>) -> Rc<KeyTable> {
        let mut table = KeyTable::default();
        keys.into_iter().for_each(|key| table.add(key).unwrap());
        Rc::new(table)
    }

    #[test]
    fn life_cycle() {
        let at = Timestamp::from_secs;
        let ours = format::assemble("pcl", "ours", "0123456789ABCDEFGHIJKLMNOPQRSTUV");
        let broken = ours.replace("ours", "bros");
        let spec = ApiKeysSpec {
            levels: vec![(Level::Read, vec!["orders:read".to_owned()]), (Level::Write, vec!["*".to_owned()])],
            keys: table([
                key("old", "one"),
                key("new", "two"),
                ApiKeySpec { not_before: Some(at(100)), expires_at: Some(at(200)), ..key("window", "three") },
                ApiKeySpec { disabled: true, ..key("off", "four") },
                ApiKeySpec { revoked: true, disabled: true, expires_at: Some(at(0)), ..key("gone", "five") },
                ApiKeySpec {
                    restrictions: Restrictions {
                        networks: Networks::default(),
                        hosts: vec!["b.test".into()],
                    },
                    expires_at: Some(at(200)),
                    ..key("elsewhere", "six")
                },
                key("ours", &ours),
                key("broken", &broken),
            ]),
            checked_prefix: "pcl".to_owned(),
            ..ApiKeysSpec::default()
        };
        let keys = ApiKeys::compile(&spec);
        let caller = |_: &ApiKeySpec, principal| principal;
        let random = || Some([7; 16]);
        let presented = |text| Presented { key: str::as_bytes(text), address: None, host: "a.test" };
        // Known again or not, what a key is worth is decided by its entry each time.
        for (text, now, expected) in [
            ("one", 0, Ok("old")),
            ("two", 0, Ok("new")),
            ("One", 0, Err(Reason::ApiKeyUnknown)),
            ("", 0, Err(Reason::ApiKeyUnknown)),
            ("three", 99, Err(Reason::ApiKeyNotYetValid)),
            ("three", 100, Ok("window")),
            ("three", 199, Ok("window")),
            ("three", 200, Err(Reason::ApiKeyExpired)),
            ("four", 0, Err(Reason::ApiKeyDisabled)),
            ("five", 0, Err(Reason::ApiKeyRevoked)),
            ("six", 0, Err(Reason::ApiKeyRestricted)),
            // That a key is of no use any more counts first.
            ("six", 200, Err(Reason::ApiKeyExpired)),
            (&*ours, 0, Ok("ours")),
            // Though the policy has it.
            (&*broken, 0, Err(Reason::ApiKeyUnknown)),
        ] {
            let ways: [&dyn Fn() -> Option<[u8; 16]>; 3] = [&random, &|| None, &random];
            for random in ways {
                let got = keys.authenticate(presented(text), &Clock::at(at(now)), random, &caller);
                let got =
                    got.as_deref().map(|caller| &*caller.credential_id).map_err(|refused| refused.reason);
                assert_eq!(got, expected, "{text} at {now}");
            }
        }
        let caller = keys
            .authenticate(presented("one"), &Clock::at(at(0)), &random, &caller)
            .map_err(|refused| refused.reason)
            .unwrap();
        assert_eq!(*caller.subject, *"acme");
        assert_eq!(caller.permissions, [Box::from("orders:read")]);
    }
}
