//! Requests that one worker has charged ahead, so that most of a large limit's requests touch no shared state.
//!
//! A prepayment is a run of intervals (see [`gcra`](super::gcra)) that one worker took for one client at once. Each
//! interval lies at a certain time, and may be spent on one request that comes before it begins. So every admitted
//! request has an interval of its own that was charged in the shared state, begins no sooner than the request, and ends
//! no later than a full debt after it. Therefore no span of time admits more than the limit promises, however many
//! workers prepay and whenever they spend.
//!
//! The intervals that come next would soon be past. A prepayment of a limit of 1000 a second is 15 ms long; a client
//! that comes 20 times a second could spend nothing of it. So a prepayment lies up to [`HEADWAY`] further ahead and can
//! be spent until then, and other workers pass over it. When no more may be taken there, the client is a fast one, and
//! is given the intervals that come next.
//!
//! What is prepaid and not spent is lost as time passes it. Until then others can be refused early. What they miss is
//! at most one prepayment for each other worker, a 64th of the burst, and one request more for the gap before what is
//! passed over. Nothing is prepaid unless more than half of the burst is left.

use super::{
    gcra::{Debt, Span},
    place::Place,
    quota::{self, Quota},
    slots::{Debts, Tats},
};
use crate::time::{NANOS_PER_SEC, Timestamp};

/// How far ahead of the next interval a prepayment lies, in nanoseconds; at most three quarters of a full debt. One
/// that is as long by itself begins with the next interval.
const HEADWAY: u64 = NANOS_PER_SEC;

/// The part of a full debt that may be taken out of turn at once, by all workers.
const HELD: u64 = 16;

/// One worker holds prepayments for up to this many times [`WAYS`] clients. A power of two.
const SETS: u16 = 2048;

/// Clients of one set, which is told by a hash.
const WAYS: usize = 4;

/// The prepayments of one worker: at most one for each client and limit. Clients that find no room have none.
#[derive(Debug)]
pub struct Prepayments {
    /// Empty until the first one.
    sets: Vec<[Prepayment; WAYS]>,
    most: usize,
}

/// What is held of one limit for one client; by default nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Prepayment {
    pub(super) place: Place,
    /// Where the interval begins that is spent next.
    pub(super) next: Tats,
    /// Where the last one ends.
    pub(super) end: Tats,
    /// How much sooner they would begin if all were taken in turn; wraps.
    sooner: Tats,
}

impl Default for Prepayments {
    fn default() -> Self {
        Self { sets: Vec::new(), most: usize::from(SETS) }
    }
}

impl Prepayments {
    /// Holds nothing, so that every request is charged to the shared state one by one.
    #[cfg(test)]
    pub(crate) const fn none() -> Self {
        Self { sets: Vec::new(), most: 0 }
    }

    /// What is left for the client at `place` after one more request at `now`; `None` when nothing that could pay
    /// for it is held. Nothing is spent until [`Prepayments::keep`] is given the result.
    pub(super) fn after_one(&self, place: Place, quotas: &[Quota], now: Timestamp) -> Option<Prepayment> {
        self.set(place)?.iter().find(|held| held.place == place)?.after_one(quotas, now)
    }

    /// Spends what one request at `now` costs, where the client at `place` holds it; whether it does.
    pub(super) fn spend(&mut self, place: Place, quotas: &[Quota], now: Timestamp) -> bool {
        let held = self.sets.get_mut(index(place)).into_iter().flatten().find(|held| held.place == place);
        let Some(held) = held else { return false };
        let Some(next) = held.next_after_one(quotas, now) else { return false };
        held.next = next;
        true
    }

    /// Whether a prepayment of the client at `place` could be kept: in room that is free, is its own, or holds what
    /// time has passed. No other is given up for it: its intervals would be lost, and its client would pay for them.
    pub(super) fn has_room(&self, place: Place, now: Timestamp) -> bool {
        let room = |held: &Prepayment| held.place == place || held.is_past(now);
        self.most > 0 && self.set(place).is_none_or(|set| set.iter().any(room))
    }

    /// Holds `prepayment` from now on, in place of what was held for its client before. Without room it is lost; ask
    /// [`Prepayments::has_room`] before paying.
    pub(super) fn keep(&mut self, prepayment: Prepayment, now: Timestamp) {
        if self.sets.is_empty() {
            self.sets.resize(self.most, [Prepayment::default(); WAYS]);
        }
        let Some(set) = self.sets.get_mut(index(prepayment.place)) else { return };
        let own = set.iter().position(|held| held.place == prepayment.place);
        let way = own.or_else(|| set.iter().position(|held| held.is_past(now)));
        if let Some(held) = way.and_then(|way| set.get_mut(way)) {
            *held = prepayment;
        }
    }

    fn set(&self, place: Place) -> Option<&[Prepayment; WAYS]> {
        self.sets.get(index(place))
    }
}

impl Prepayment {
    /// What is left after one more request at `now`; `None` when no interval is left for it.
    #[inline]
    pub(super) fn after_one(&self, quotas: &[Quota], now: Timestamp) -> Option<Self> {
        Some(Self { next: self.next_after_one(quotas, now)?, ..*self })
    }

    fn next_after_one(&self, quotas: &[Quota], now: Timestamp) -> Option<Tats> {
        let mut nexts = self.next;
        for ((next, end), quota) in nexts.iter_mut().zip(self.end).zip(quotas) {
            *next = (*next).max(now.as_nanos()).checked_add(quota.interval())?;
            // Further ahead than a full debt means that the clock stepped back.
            if *next > end || end > now.as_nanos().checked_add(quota.full_debt())? {
                return None;
            }
        }
        Some(nexts)
    }

    /// Where the client stands as far as this worker knows, as the `tat` of one that took all in turn.
    pub(super) fn in_turn(&self) -> Tats {
        let mut tats = self.next;
        for (tat, sooner) in tats.iter_mut().zip(self.sooner) {
            *tat = tat.wrapping_sub(sooner);
        }
        tats
    }

    fn is_past(&self, now: Timestamp) -> bool {
        let [first, others @ ..] = self.end;
        let passed = |end: &u64| (1..=now.as_nanos()).contains(end);
        // There is always a first window, whose end is zero where nothing is held. So are the ends of windows that the
        // limit does not have.
        first <= now.as_nanos() || others.iter().any(passed)
    }
}

/// The fingerprint is the end of a keyed hash: clients spread evenly, and nobody can aim at a set.
fn index(place: Place) -> usize {
    // Cut before it becomes a `usize`, which has 32 bits in the module: the whole number would fit none, and all
    // clients would share one set.
    let [low, high, ..] = place.fingerprint.to_le_bytes();
    usize::from(u16::from_le_bytes([low, high]) & (SETS - 1))
}

/// Charges as many requests at `now` as a prepayment of these windows holds, to a client that owes `debts`. Returns the
/// prepayment, and what is owed with it; `None` where a burst is too small for any, or too little of it is left.
pub(super) fn prepay(
    place: Place,
    debts: &Debts,
    quotas: &[Quota],
    now: Timestamp,
) -> Option<(Prepayment, Debts)> {
    let requests = quota::prepaid_requests(quotas)?;
    let mut prepayment = Prepayment { place, ..Prepayment::default() };
    let mut charged = *debts;
    for (i, (quota, debt)) in quotas.iter().zip(charged.iter_mut()).enumerate() {
        let (run, with_it) = take(quota, *debt, requests, now)?;
        *prepayment.next.get_mut(i)? = run.from;
        *prepayment.end.get_mut(i)? = run.to;
        *prepayment.sooner.get_mut(i)? = run.from.wrapping_sub(debt.in_turn(now));
        *debt = with_it;
    }
    Some((prepayment, charged))
}

/// Takes so many intervals side by side. Returns where they lie, and what is owed with them.
fn take(quota: &Quota, debt: Debt, requests: u64, now: Timestamp) -> Option<(Span, Debt)> {
    let length = quota.interval().checked_mul(requests)?;
    if debt.in_turn(now).checked_add(length)? > now.as_nanos().checked_add(quota.full_debt() / 2)? {
        return None;
    }
    let start = debt.start(quota, now);
    let held = (debt.held.to > start).then_some(debt.held);
    let from = match held {
        Some(held) => held.to,
        None => start.checked_add(headway(quota, length))?,
    };
    let ahead = Span { from, to: from.checked_add(length)? };
    let all = Span { from: held.map_or(from, |held| held.from), to: ahead.to };
    let fits = all.to <= now.as_nanos().checked_add(quota.full_debt())?
        && all.to.checked_sub(all.from)? <= quota.full_debt() / HELD;
    if from > start && fits {
        return Some((ahead, Debt { tat: start, held: all }));
    }
    let next = Span { from: start, to: start.checked_add(length)? };
    let free = held.is_none_or(|held| next.to <= held.from);
    free.then_some((next, debt.up_to(next.to)))
}

/// How far ahead of the next interval a prepayment of this length begins: a whole number of intervals, so that those
/// before it can all be taken.
fn headway(quota: &Quota, length: u64) -> u64 {
    if length >= HEADWAY {
        return 0;
    }
    let most = HEADWAY.min(quota.full_debt().saturating_sub(quota.full_debt() / 4));
    most.saturating_sub(most.checked_rem(quota.interval()).unwrap_or(0))
}

#[cfg(test)]
#[path = "prepayments_tests.rs"]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of tests")]
mod tests;
