//! Charges a request to all limits that count it, or to none.
//!
//! A limit of the shared state costs one read and one compare-and-set; when another worker wrote in between, the limit
//! is read and judged again, so of a concurrent burst exactly the quota is admitted. Only when a later limit of the
//! same request then turns out used up is an earlier one refunded.

use std::{borrow::Cow, time::Duration};

use super::{
    admission::{Admission, Exceeded, LimitId, Standing},
    gcra::{self, Debt},
    limits::Plan,
    place::{Place, SlotKey, SlotSecret},
    prepayments::{Prepayment, Prepayments, prepay},
    quota::Quota,
    slots::{Debts, MAX_WINDOWS, Slot, Tats},
    terms::Terms,
};
use crate::{
    store::{SharedStore, StoreError},
    time::Timestamp,
};

/// How often one limit is judged again because another worker wrote first. A worker that loses so often takes it for an
/// overload and answers 503.
pub(super) const MAX_CONFLICTS: usize = 16;

/// How often taking a charge back is tried again. Giving up only costs the client one request.
const MAX_REFUND_CONFLICTS: usize = 4;

/// Where requests are charged, and what is told of it.
pub struct Ledger<'a> {
    /// What all workers share.
    pub store: &'a dyn SharedStore,
    /// The key of the hash that places clients in it.
    pub secret: &'a SlotSecret,
    /// What this worker has charged ahead; used with no other limiter.
    pub prepayments: &'a mut Prepayments,
    /// The terms as this worker knows them; used with no other limiter.
    pub terms: &'a mut Terms,
    /// Whether an admitted client is told where it stands.
    pub tells: bool,
}

/// One limit that applies to the request at hand.
pub(super) struct Counted<'l> {
    pub(super) limit: LimitId,
    pub(super) plan: &'l Plan,
    /// The windows of the plan, as they are for the caller.
    pub(super) quotas: Cow<'l, [Quota]>,
    pub(super) place: Place,
}

/// One limit while the request is charged to it.
struct Pending<'l> {
    counted: &'l Counted<'l>,
    source: Source,
}

/// Where the request is charged.
#[expect(clippy::large_enum_variant, reason = "in a list of very few, most often of one that is shared")]
enum Source {
    /// To what the worker has prepaid; what is left of that after this request.
    Prepaid(Prepayment),
    /// To the state that all workers share.
    Shared(Shared),
}

/// The shared state of one limit, for the request at hand.
struct Shared {
    key: SlotKey,
    place: Place,
    slot: Slot,
    before: Debts,
    /// What is owed with this request alone. `Err`: it is denied, and would be admitted after so long.
    after: Result<Debts, Duration>,
    /// What is charged for it and for requests to come; nothing of it is spent yet.
    ahead: Option<Prepayment>,
    /// Whether the worker has room for a prepayment.
    may_prepay: bool,
    evicts: bool,
}

/// Judges all that apply, and charges all or none.
#[inline(never)]
pub(super) fn judge_and_charge(
    counted: &[Counted<'_>],
    now: Timestamp,
    ledger: &mut Ledger<'_>,
) -> Result<Admission, StoreError> {
    let mut all = open(counted, now, ledger)?;
    if all.iter().all(Pending::admits) {
        charge(&mut all, now, ledger)?;
    }
    let mut admission = Admission::default();
    for pending in all.iter() {
        if let Source::Shared(shared) = &pending.source
            && let Err(retry_after) = shared.after
        {
            if admission.exceeded.is_none_or(|longest| longest.retry_after < retry_after) {
                admission.exceeded = Some(Exceeded { limit: pending.counted.limit, retry_after });
            }
            if shared.slot.healed() {
                // Best effort: whoever comes next tries again.
                let _ = shared.slot.write(ledger.store, shared.key.as_str());
            }
        }
    }
    let admitted = admission.admitted();
    for pending in all.iter() {
        if let (true, Source::Shared(shared)) = (admitted, &pending.source)
            && shared.evicts
        {
            admission.evicted = admission.evicted.saturating_add(1);
        }
        if admitted && !ledger.tells {
            continue;
        }
        for (quota, tat) in pending.counted.quotas.iter().zip(pending.tats(admitted, now)) {
            let (remaining, reset_after) = gcra::standing(quota, tat, now);
            let only_window = pending.counted.quotas.len() == 1;
            let standing =
                Standing { limit: pending.counted.limit, quota: *quota, only_window, remaining, reset_after };
            admission.standings.push(standing);
        }
    }
    Ok(admission)
}

/// Judges all that apply, and charges none.
pub(super) fn judge(
    counted: &[Counted<'_>],
    now: Timestamp,
    ledger: &mut Ledger<'_>,
) -> Result<Admission, StoreError> {
    let all = open(counted, now, ledger)?;
    let exceeded = all.iter().filter_map(Pending::exceeded).max_by_key(|exceeded| exceeded.retry_after);
    Ok(Admission { exceeded, ..Admission::default() })
}

fn open<'l>(
    counted: &'l [Counted<'l>],
    now: Timestamp,
    ledger: &mut Ledger<'_>,
) -> Result<Vec<Pending<'l>>, StoreError> {
    counted.iter().map(|counted| Pending::open(counted, now, ledger)).collect()
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
        result = shared.write(pending.counted, now, ledger);
        if result.is_err() || shared.after.is_err() {
            break;
        }
        written = written.saturating_add(1);
    }
    let shared = || {
        all.iter().filter_map(|pending| match &pending.source {
            Source::Shared(shared) => Some((pending, shared)),
            Source::Prepaid(_) => None,
        })
    };
    let whole = written == shared().count();
    for (pending, shared) in shared().take(written) {
        match shared.ahead {
            // What is not spent on this request is held for the next.
            Some(ahead) => {
                let spent = whole.then(|| ahead.after_one(&pending.counted.quotas, now)).flatten();
                ledger.prepayments.keep(spent.unwrap_or(ahead), now);
            }
            None if whole => {}
            None => shared.refund(pending.counted, now, ledger),
        }
    }
    if whole {
        for pending in all.iter() {
            if let Source::Prepaid(prepayment) = pending.source {
                ledger.prepayments.keep(prepayment, now);
            }
        }
    }
    result
}

impl<'l> Pending<'l> {
    fn open(counted: &'l Counted<'l>, now: Timestamp, ledger: &mut Ledger<'_>) -> Result<Self, StoreError> {
        let source = match ledger.prepayments.after_one(counted.place, &counted.quotas, now) {
            Some(left) => Source::Prepaid(left),
            None => Source::Shared(Shared::read(counted, now, ledger)?),
        };
        Ok(Self { counted, source })
    }

    fn admits(&self) -> bool {
        match &self.source {
            Source::Prepaid(_) => true,
            Source::Shared(shared) => shared.after.is_ok(),
        }
    }

    /// The limit, if it does not.
    fn exceeded(&self) -> Option<Exceeded> {
        match &self.source {
            Source::Prepaid(_) => None,
            Source::Shared(shared) => {
                let retry_after = shared.after.err()?;
                Some(Exceeded { limit: self.counted.limit, retry_after })
            }
        }
    }

    /// Where the client stands in each window, as far as this worker knows: the `tat` of a client that owes as much and
    /// took every interval in turn.
    fn tats(&self, admitted: bool, now: Timestamp) -> Tats {
        match &self.source {
            Source::Prepaid(prepayment) => {
                let mut tats = prepayment.in_turn();
                for (tat, quota) in tats.iter_mut().zip(self.counted.quotas.iter()) {
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
    fn read(counted: &Counted<'_>, now: Timestamp, ledger: &mut Ledger<'_>) -> Result<Self, StoreError> {
        let Counted { plan, place, .. } = *counted;
        ledger.terms.count(plan, now, ledger.store)?;
        let key = SlotKey::new(&plan.prefix, place.slot);
        let slot = slot(&key, plan, now, ledger)?;
        let before = [Debt::default(); MAX_WINDOWS];
        let may_prepay = ledger.prepayments.has_room(place, now);
        let mut shared =
            Self { key, place, slot, before, after: Ok(before), ahead: None, may_prepay, evicts: false };
        shared.judge(&counted.quotas, now);
        Ok(shared)
    }

    /// Judges every window, and puts the charge into our copy of the slot if all admit.
    fn judge(&mut self, quotas: &[Quota], now: Timestamp) {
        self.before = self.slot.debts(self.place.fingerprint);
        self.after = Ok(self.before);
        for (i, (quota, debt)) in quotas.iter().zip(self.before).enumerate() {
            match (gcra::decide(quota, debt, now), &mut self.after) {
                (Ok(charged), Ok(after)) => {
                    if let Some(debt) = after.get_mut(i) {
                        *debt = charged;
                    }
                }
                (Ok(_), Err(_)) => {}
                (Err(retry_after), Ok(_)) => self.after = Err(retry_after),
                (Err(retry_after), Err(longest)) => *longest = retry_after.max(*longest),
            }
        }
        if let Ok(after) = self.after {
            let ahead = self.may_prepay.then(|| prepay(self.place, &self.before, quotas, now)).flatten();
            let charged = ahead.map_or(after, |(_, charged)| charged);
            self.ahead = ahead.map(|(prepayment, _)| prepayment);
            self.evicts = self.slot.charge(self.place.fingerprint, &charged, now);
        }
    }

    /// Writes the charge, judging again as often as another worker wrote first; it may end in a denial.
    ///
    /// Not by [`store::update`](crate::store::update), which reads first: here the first write is of what was judged
    /// together with the other limits of the request.
    fn write(
        &mut self,
        counted: &Counted<'_>,
        now: Timestamp,
        ledger: &Ledger<'_>,
    ) -> Result<(), StoreError> {
        for _ in 0..MAX_CONFLICTS {
            match self.slot.write(ledger.store, self.key.as_str()) {
                Err(StoreError::Conflict) => {}
                other => return other,
            }
            self.slot = slot(&self.key, counted.plan, now, ledger)?;
            self.judge(&counted.quotas, now);
            if self.after.is_err() {
                return Ok(());
            }
        }
        Err(StoreError::Unavailable)
    }

    /// Takes the charge back, from what is stored by then. Not by [`store::update`](crate::store::update), because a
    /// slot reads and writes itself.
    fn refund(&self, counted: &Counted<'_>, now: Timestamp, ledger: &Ledger<'_>) {
        let Ok(charged) = self.after else { return };
        for _ in 0..MAX_REFUND_CONFLICTS {
            let Ok(mut slot) = slot(&self.key, counted.plan, now, ledger) else { return };
            if !slot.refund(self.place.fingerprint, &charged, &counted.quotas)
                || slot.write(ledger.store, self.key.as_str()) != Err(StoreError::Conflict)
            {
                return;
            }
        }
    }
}

/// The slot as it is stored now, read under the plan's term.
fn slot(key: &SlotKey, plan: &Plan, now: Timestamp, ledger: &Ledger<'_>) -> Result<Slot, StoreError> {
    Slot::read(ledger.store, key.as_str(), ledger.terms.of(plan)?, plan.most(), now)
}
