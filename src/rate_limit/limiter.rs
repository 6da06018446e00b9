//! Decides whether the limits of a request admit it: all are checked, then all are charged or none.
//!
//! Counters are shared by all workers; see [`charging`](super::charging). Of a large limit many requests are charged
//! at once, and the next ones touch nothing shared; see [`Leases`].

use std::time::Duration;

use super::{
    KeyPart,
    charging::{Counted, settle},
    key::{self, Prefixes, Subject},
    leases::Leases,
    place::{Place, SlotSecret},
    quota::Quota,
    section::Head,
    terms::Terms,
};
use crate::{
    store::{SharedStore, StoreError},
    time::Timestamp,
};

/// A limit of one [`Limiter`]; meaningless for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LimitId(usize);

impl LimitId {
    pub(super) const fn new(index: usize) -> Self {
        Self(index)
    }
}

/// The limits of a policy.
#[derive(Clone, Debug)]
pub struct Limiter {
    pub(super) limits: Vec<Limit>,
    pub(super) before: Vec<LimitId>,
}

/// One limit, compiled.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    pub(super) name: Box<str>,
    pub(super) key: Vec<KeyPart>,
    pub(super) prefixes: Prefixes,
    /// Empty: every method.
    pub(super) methods: Vec<Box<str>>,
    pub(super) before_authentication: bool,
    pub(super) own: Plan,
    pub(super) tiers: Vec<(Box<str>, Plan)>,
}

/// The windows of a limit, or of one of its tiers. Each counts in a table of its own.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// 1 to `MAX_WINDOWS`.
    pub(super) quotas: Vec<Quota>,
    /// The same, as sections say it.
    pub(super) windows: Head,
    /// The number of the table, among those of the limiter.
    pub(super) table: usize,
    /// Of the keys of its slots.
    pub(super) prefix: Box<str>,
    /// Tells tiers apart within a key's hash, and limits of one name that count other things.
    pub(super) tag: u64,
}

/// What became of a request.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// `None`: admitted, and charged to every limit. Otherwise charged to none.
    pub denied: Option<Denial>,
    /// Where the client stands after the decision: one for each window of each limit that applied. Empty for an
    /// admitted request where [`Ledger::tells`] is false.
    pub statuses: Vec<Status>,
    /// Counters of other clients that had to go; more than a few say that the table is too small for the
    /// number of clients, and that some may be refused early.
    pub evicted: u32,
}

impl Outcome {
    /// Whether every limit admits the request; also true when no limit applies.
    pub const fn admitted(&self) -> bool {
        self.denied.is_none()
    }
}

/// Where requests are charged, and what is told of it.
pub struct Ledger<'a> {
    /// What all workers share.
    pub store: &'a dyn SharedStore,
    /// The key of the hash that places clients in it.
    pub secret: &'a SlotSecret,
    /// The worker's own, used with no other limiter.
    pub leases: &'a mut Leases,
    /// Likewise.
    pub terms: &'a mut Terms,
    /// Whether an admitted client is told where it stands.
    pub tells: bool,
}

/// Which limit refused and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The limit with the longest wait; its name is [`Limiter::name`].
    pub limit: LimitId,
    /// When the request would be admitted by every limit that was checked. Never zero.
    pub retry_after: Duration,
}

/// How much of one window is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The limit; its name is [`Limiter::name`].
    pub limit: LimitId,
    /// What the window promises; depends on the tier.
    pub quota: Quota,
    /// Whether the limit has this window alone.
    pub only_window: bool,
    /// Requests that would be admitted at once.
    pub remaining: u32,
    /// When the whole burst is available again.
    pub reset_after: Duration,
}

impl Limiter {
    /// The limit of this name.
    pub fn id(&self, name: &str) -> Option<LimitId> {
        self.limits.iter().position(|limit| *limit.name == *name).map(LimitId)
    }

    /// The limit's name; empty for the id of another limiter.
    pub fn name(&self, id: LimitId) -> &str {
        self.limits.get(id.0).map_or("", |limit| &limit.name)
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

    /// The limits that every request is charged to before authentication.
    pub fn before_authentication(&self) -> &[LimitId] {
        &self.before
    }

    /// Whether any limit counts by address.
    pub fn needs_remote_address(&self) -> bool {
        self.limits.iter().any(|limit| limit.key.contains(&KeyPart::RemoteAddress))
    }

    /// Whether the limit is one of [`Limiter::before_authentication`], which rules cannot name.
    pub fn is_before_authentication(&self, id: LimitId) -> bool {
        self.before.contains(&id)
    }

    /// Charges the request to those of `limits` that apply to its method, or to none of them.
    ///
    /// [`StoreError::Unavailable`] means that no decision was possible: the store does not answer, other
    /// workers always wrote first, an address is needed and not known, or an id is not ours. Deny then.
    pub fn check(
        &self,
        limits: &[LimitId],
        subject: &Subject<'_>,
        now: Timestamp,
        ledger: &mut Ledger<'_>,
    ) -> Result<Outcome, StoreError> {
        let [id] = limits else { return self.check_several(limits, subject, now, ledger) };
        match self.count(*id, subject, ledger)? {
            Some(one) if ledger.tells || !ledger.leases.spend(one.place, &one.plan.quotas, now) => {
                settle(&[one], now, ledger)
            }
            // Nearly always: the worker holds what the request costs. Kept short, see `settle` for everything else.
            _ => Ok(Outcome::default()),
        }
    }

    #[inline(never)]
    fn check_several(
        &self,
        limits: &[LimitId],
        subject: &Subject<'_>,
        now: Timestamp,
        ledger: &mut Ledger<'_>,
    ) -> Result<Outcome, StoreError> {
        let counted = limits.iter().filter_map(|id| self.count(*id, subject, ledger).transpose());
        settle(&counted.collect::<Result<Vec<_>, _>>()?, now, ledger)
    }

    /// Where a limit counts the request; `None`: it does not apply.
    fn count(
        &self,
        id: LimitId,
        subject: &Subject<'_>,
        ledger: &Ledger<'_>,
    ) -> Result<Option<Counted<'_>>, StoreError> {
        let limit = self.limits.get(id.0).ok_or(StoreError::Unavailable)?;
        if !limit.methods.is_empty() && !limit.methods.iter().any(|method| **method == *subject.method) {
            return Ok(None);
        }
        let tier = subject.principal.and_then(|principal| principal.tier.as_deref());
        let tier = tier.and_then(|name| limit.tiers.iter().find(|(tier, _)| **tier == *name));
        let plan = tier.map_or(&limit.own, |(_, plan)| plan);
        let place = match subject.known_place.and_then(|known| known.of(id)) {
            Some(place) => place,
            None => limit.place(id, plan, subject, ledger.secret)?,
        };
        Ok(Some(Counted { limit: id, plan, place }))
    }
}

impl Limit {
    /// Where the client's counter is; remembered where it depends on the principal alone.
    #[inline(never)]
    fn place(
        &self,
        id: LimitId,
        plan: &Plan,
        subject: &Subject<'_>,
        secret: &SlotSecret,
    ) -> Result<Place, StoreError> {
        let mut hasher = secret.hasher();
        hasher.sized(self.name.as_bytes());
        hasher.fixed(plan.tag.to_le_bytes());
        key::hash_parts(&mut hasher, &self.key, self.prefixes, subject)
            .map_err(|key::NoAddress| StoreError::Unavailable)?;
        let place = hasher.finish();
        if let ([KeyPart::Principal], Some(known)) = (&*self.key, subject.known_place) {
            known.keep(id, place);
        }
        Ok(place)
    }
}

#[cfg(test)]
#[path = "limiter_tests.rs"]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of tests")]
mod tests;
