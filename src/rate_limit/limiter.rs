//! Decides whether the limits of a request admit it: all are checked, then all are charged or none.
//!
//! Counters are shared by all workers. A limit costs one read and one compare-and-set; when another worker
//! wrote in between, the limit is read and judged again, so of a concurrent burst exactly the quota is
//! admitted. Only when a later limit of the same request then turns out used up is an earlier one refunded.
//! Of a large limit many requests are charged at once, and the next ones touch nothing shared; see [`Leases`].

use std::time::Duration;

use super::{
    KeyPart,
    gcra::{self, Debt, Decision},
    key::{self, Prefixes, Subject},
    leases::{Lease, Leases, charge_ahead},
    quota::Quota,
    slots::{Debts, MAX_WINDOWS, Place, Slot, SlotKey, SlotSecret, Tats},
};
use crate::{
    store::{SharedStore, StoreError},
    time::Timestamp,
};

/// How often one limit is judged again because another worker wrote first. Each time somebody else got
/// ahead; a worker that loses so often sees an overload and answers 503.
const MAX_CONFLICTS: usize = 16;

/// The same for taking a charge back, where giving up only costs the client one request.
const MAX_REFUND_CONFLICTS: usize = 4;

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
    /// Of the keys of its slots.
    pub(super) prefix: Box<str>,
    /// Tells tiers apart within a key's hash.
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

/// One limit that applies to the request at hand.
struct Counted<'l> {
    limit: LimitId,
    plan: &'l Plan,
    place: Place,
}

/// The same while it is charged.
struct Pending<'l> {
    limit: LimitId,
    plan: &'l Plan,
    source: Source,
}

/// Where the request is charged.
#[expect(clippy::large_enum_variant, reason = "in a list of very few, most often of one that is shared")]
enum Source {
    /// To what the worker holds; what is left of it then.
    Held(Lease),
    /// To the state that all workers share.
    Shared(Shared),
}

/// The shared state of one limit, for the request at hand.
struct Shared {
    key: SlotKey,
    place: Place,
    slot: Slot,
    before: Debts,
    /// After this request alone. `Err`: denied for so long.
    after: Result<Debts, Duration>,
    /// What is charged with it for requests to come; still whole.
    ahead: Option<Lease>,
    /// Whether anything may be charged ahead.
    may_lease: bool,
    evicts: bool,
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

/// Judges all that apply, and charges all or none.
#[inline(never)]
fn settle(counted: &[Counted<'_>], now: Timestamp, ledger: &mut Ledger<'_>) -> Result<Outcome, StoreError> {
    let mut all = Vec::with_capacity(counted.len());
    for counted in counted {
        all.push(Pending::open(counted, now, ledger)?);
    }
    if all.iter().all(Pending::admits) {
        charge(&mut all, now, ledger)?;
    }
    let mut outcome = Outcome::default();
    for pending in all.iter() {
        if let Source::Shared(shared) = &pending.source
            && let Err(retry_after) = shared.after
        {
            if outcome.denied.is_none_or(|longest| longest.retry_after < retry_after) {
                outcome.denied = Some(Denial { limit: pending.limit, retry_after });
            }
            if shared.slot.healed() {
                // Best effort: whoever comes next tries again.
                let _ = shared.slot.write(ledger.store, shared.key.as_str());
            }
        }
    }
    let admitted = outcome.admitted();
    for pending in all.iter() {
        if let (true, Source::Shared(shared)) = (admitted, &pending.source)
            && shared.evicts
        {
            outcome.evicted = outcome.evicted.saturating_add(1);
        }
        if admitted && !ledger.tells {
            continue;
        }
        for (quota, tat) in pending.plan.quotas.iter().zip(pending.tats(admitted, now)) {
            let (remaining, reset_after) = gcra::standing(quota, tat, now);
            let only_window = pending.plan.quotas.len() == 1;
            let status = Status { limit: pending.limit, quota: *quota, only_window, remaining, reset_after };
            outcome.statuses.push(status);
        }
    }
    Ok(outcome)
}

/// Writes every charge, or none: what was written before a denial or an error is taken back.
///
/// Between the write and the refund other requests of the client see the charge and may be denied; none is
/// ever admitted that should not be.
fn charge(all: &mut [Pending<'_>], now: Timestamp, ledger: &mut Ledger<'_>) -> Result<(), StoreError> {
    let mut written = 0_usize;
    let mut result = Ok(());
    for pending in all.iter_mut() {
        let Source::Shared(shared) = &mut pending.source else { continue };
        result = shared.write(&pending.plan.quotas, now, ledger.store);
        if result.is_err() || shared.after.is_err() {
            break;
        }
        written = written.saturating_add(1);
    }
    let shared = || {
        all.iter().filter_map(|pending| match &pending.source {
            Source::Shared(shared) => Some((pending, shared)),
            Source::Held(_) => None,
        })
    };
    let whole = written == shared().count();
    for (pending, shared) in shared().take(written) {
        match shared.ahead {
            // What is not spent on this request is held for the next.
            Some(ahead) => {
                let spent = whole.then(|| ahead.after_one(&pending.plan.quotas, now)).flatten();
                ledger.leases.keep(spent.unwrap_or(ahead), now);
            }
            None if whole => {}
            None => shared.refund(&pending.plan.quotas, now, ledger.store),
        }
    }
    if whole {
        for pending in all.iter() {
            if let Source::Held(lease) = pending.source {
                ledger.leases.keep(lease, now);
            }
        }
    }
    result
}

impl<'l> Pending<'l> {
    fn open(counted: &Counted<'l>, now: Timestamp, ledger: &Ledger<'_>) -> Result<Self, StoreError> {
        let Counted { limit, plan, place } = *counted;
        let source = match ledger.leases.after_one(place, &plan.quotas, now) {
            Some(left) => Source::Held(left),
            None => Source::Shared(Shared::read(plan, place, now, ledger)?),
        };
        Ok(Self { limit, plan, source })
    }

    fn admits(&self) -> bool {
        match &self.source {
            Source::Held(_) => true,
            Source::Shared(shared) => shared.after.is_ok(),
        }
    }

    /// Where the client stands, as far as this worker knows: as the `tat` of one that took all in turn.
    fn tats(&self, admitted: bool, now: Timestamp) -> Tats {
        match &self.source {
            Source::Held(lease) => {
                let mut tats = lease.in_turn();
                for (tat, quota) in tats.iter_mut().zip(&self.plan.quotas) {
                    // What was charged before may have drained, but not this request.
                    *tat = (*tat).max(now.as_nanos().saturating_add(quota.interval()));
                }
                tats
            }
            Source::Shared(shared) => match shared.after {
                Ok(after) if admitted => after.map(|debt| debt.in_turn(now)),
                _ => shared.before.map(|debt| debt.in_turn(now)),
            },
        }
    }
}

impl Shared {
    fn read(plan: &Plan, place: Place, now: Timestamp, ledger: &Ledger<'_>) -> Result<Self, StoreError> {
        let key = SlotKey::new(&plan.prefix, place.slot);
        let slot = Slot::read(ledger.store, key.as_str(), &plan.quotas, now)?;
        let before = [Debt::default(); MAX_WINDOWS];
        let may_lease = ledger.leases.has_room(place, now);
        let mut shared =
            Self { key, place, slot, before, after: Ok(before), ahead: None, may_lease, evicts: false };
        shared.judge(&plan.quotas, now);
        Ok(shared)
    }

    /// Judges every window, and puts the charge into our copy of the slot if all admit.
    fn judge(&mut self, quotas: &[Quota], now: Timestamp) {
        self.before = self.slot.debts(self.place.fingerprint);
        self.after = Ok(self.before);
        for (i, (quota, debt)) in quotas.iter().zip(self.before).enumerate() {
            match (gcra::decide(quota, debt, now), &mut self.after) {
                (Decision::Allowed(charged), Ok(after)) => {
                    if let Some(debt) = after.get_mut(i) {
                        *debt = charged;
                    }
                }
                (Decision::Allowed(_), Err(_)) => {}
                (Decision::Denied { retry_after }, Ok(_)) => self.after = Err(retry_after),
                (Decision::Denied { retry_after }, Err(longest)) => *longest = retry_after.max(*longest),
            }
        }
        if let Ok(after) = self.after {
            let ahead = self.may_lease.then(|| charge_ahead(self.place, &self.before, quotas, now)).flatten();
            let charged = ahead.map_or(after, |(_, charged)| charged);
            self.ahead = ahead.map(|(lease, _)| lease);
            self.evicts = self.slot.charge(self.place.fingerprint, &charged, now);
        }
    }

    /// Writes the charge, judging again as often as another worker wrote first; it may end in a denial.
    fn write(&mut self, quotas: &[Quota], now: Timestamp, store: &dyn SharedStore) -> Result<(), StoreError> {
        for _ in 0..MAX_CONFLICTS {
            match self.slot.write(store, self.key.as_str()) {
                Err(StoreError::Conflict) => {}
                other => return other,
            }
            self.slot = Slot::read(store, self.key.as_str(), quotas, now)?;
            self.judge(quotas, now);
            if self.after.is_err() {
                return Ok(());
            }
        }
        Err(StoreError::Unavailable)
    }

    fn refund(&self, quotas: &[Quota], now: Timestamp, store: &dyn SharedStore) {
        let Ok(charged) = self.after else { return };
        for _ in 0..MAX_REFUND_CONFLICTS {
            let Ok(mut slot) = Slot::read(store, self.key.as_str(), quotas, now) else { return };
            if !slot.refund(self.place.fingerprint, &charged, quotas)
                || slot.write(store, self.key.as_str()) != Err(StoreError::Conflict)
            {
                return;
            }
        }
    }
}

#[cfg(test)]
#[path = "limiter_tests.rs"]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of tests")]
mod tests;
