//! The limits of a policy, ready to be asked.

use std::borrow::Cow;

use super::{
    KeyPart,
    admission::LimitId,
    key::{Key, Subject},
    own_requests::OwnRequests,
    quota::Quota,
    section::Head,
};
use crate::network::Networks;

/// The limits of a policy.
#[derive(Clone, Debug)]
pub struct Limiter {
    pub(super) limits: Vec<Limit>,
    pub(super) before: Vec<LimitId>,
    pub(super) shadows_before: Vec<LimitId>,
}

/// One limit, compiled.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    pub(super) name: Box<str>,
    pub(super) key: Key,
    /// Empty: every method.
    pub(super) methods: Vec<Box<str>>,
    pub(super) exempt: Networks,
    pub(super) before_authentication: bool,
    pub(super) shadow: bool,
    pub(super) own: Plan,
    pub(super) tiers: Vec<(Box<str>, Plan)>,
}

/// The windows of a limit, or of one of its tiers. Each counts in a table of its own.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// 1 to `MAX_WINDOWS`. Of one in which callers may have numbers of their own, what it is for those who have none.
    pub(super) quotas: Vec<Quota>,
    /// `None`: nobody has a number of its own.
    pub(super) own_requests: Option<OwnRequests>,
    /// The same windows, in the form that sections of the store begin with.
    pub(super) windows: Head,
    /// The number of the table, among those of the limiter.
    pub(super) table: usize,
    /// What the keys of its slots in the store begin with.
    pub(super) prefix: Box<str>,
    /// Goes into the hash of every key, so that tiers are counted apart, and limits of one name with different keys,
    /// too.
    pub(super) tag: u64,
}

impl Plan {
    /// The windows as what is stored may fill them, whoever owes it.
    pub(super) fn most(&self) -> &[Quota] {
        self.own_requests.as_ref().map_or(&self.quotas, |own| &own.most)
    }

    /// The windows as they are for whoever asks.
    pub(super) fn quotas_of(&self, key: &Key, subject: &Subject<'_>) -> Cow<'_, [Quota]> {
        match &self.own_requests {
            None => Cow::Borrowed(&self.quotas),
            Some(own) => own.quotas(&self.quotas, key, subject),
        }
    }
}

impl Limit {
    /// Whether the request counts. One whose address is not known does.
    pub(super) fn applies_to(&self, subject: &Subject<'_>) -> bool {
        let is_exempt = || subject.remote_address.is_some_and(|address| self.exempt.hold(address));
        (self.methods.is_empty() || self.methods.iter().any(|method| **method == *subject.method))
            && (self.exempt.is_empty() || !is_exempt())
    }

    /// Whether it counts by who is calling alone, and by nothing that another request of theirs may have otherwise.
    pub(super) fn is_of_caller(&self) -> bool {
        self.key.parts.iter().all(|part| {
            use KeyPart::{ApiKey, Claim, ClaimHeader, Principal};
            matches!(part, Principal | ApiKey | Claim(_) | ClaimHeader { .. })
        })
    }
}

impl Limiter {
    /// The limit of this name.
    pub fn id(&self, name: &str) -> Option<LimitId> {
        self.limits.iter().position(|limit| *limit.name == *name).map(LimitId::new)
    }

    /// The limit's name; empty for the id of another limiter.
    pub fn name(&self, id: LimitId) -> &str {
        self.get(id).map_or("", |limit| &limit.name)
    }

    /// The names of all limits, in the order of the document.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.limits.iter().map(|limit| &*limit.name)
    }

    /// What counts in a table of its own: every limit, and every tier of it.
    pub(super) fn plans(&self) -> impl Iterator<Item = &Plan> {
        self.limits
            .iter()
            .flat_map(|limit| [&limit.own].into_iter().chain(limit.tiers.iter().map(|(_, plan)| plan)))
    }

    /// The limits in force that every request is charged to before authentication.
    pub fn before_authentication(&self) -> &[LimitId] {
        &self.before
    }

    /// Those that refuse nothing, likewise.
    pub fn shadows_before_authentication(&self) -> &[LimitId] {
        &self.shadows_before
    }

    /// Whether the limit refuses nothing; false for the id of another limiter.
    pub fn is_shadow(&self, id: LimitId) -> bool {
        self.get(id).is_some_and(|limit| limit.shadow)
    }

    /// Whether any limit counts by address, or not for some.
    pub fn needs_remote_address(&self) -> bool {
        self.limits
            .iter()
            .any(|limit| limit.key.parts.contains(&KeyPart::RemoteAddress) || !limit.exempt.is_empty())
    }

    /// The limit of this id; `None` for the id of another limiter.
    pub(super) fn get(&self, id: LimitId) -> Option<&Limit> {
        self.limits.get(id.index())
    }
}
