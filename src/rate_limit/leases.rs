//! Requests that one worker has charged ahead, so that most of a large limit's requests touch no shared state.
//!
//! Charging `n` requests of a client at once puts its instant (see [`gcra`](super::gcra)) `n` intervals further. Each
//! of these intervals lies at a certain time, and each may be spent on one request that comes before it begins. That
//! is just when GCRA would have charged the request with this interval or a later one. So every admitted request has
//! an interval of its own that was charged in the shared state, begins no sooner than the request, and ends no later
//! than a full debt after it: in no span of time are more admitted than the limit promises, however many workers
//! lease, and whenever they spend.
//!
//! What is leased and not spent is lost as time passes it. Until then others can be refused early, by at most what
//! one lease holds for each other worker: [`Quota::lease`] is a 64th of the burst, and is taken only while more than
//! half of the burst is left.

use super::{
    quota::Quota,
    slots::{MAX_WINDOWS, Place, Tats},
};
use crate::time::Timestamp;

/// How many clients one worker holds leases for. A power of two.
const PLACES: u16 = 4096;

/// The leases of one worker: at most one for each client and limit, of whom some find no place and have none.
#[derive(Debug)]
pub struct Leases {
    /// Empty until the first one.
    places: Vec<Option<Lease>>,
    most: usize,
}

/// What is held of one limit for one client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) place: Place,
    /// Where the interval begins that is spent next.
    pub(super) next: Tats,
    /// Where the last one ends; what the shared state said after charging.
    pub(super) end: Tats,
}

impl Default for Leases {
    fn default() -> Self {
        Self { places: Vec::new(), most: usize::from(PLACES) }
    }
}

impl Leases {
    /// Holds nothing, so that every request is charged to the shared state one by one.
    pub const fn none() -> Self {
        Self { places: Vec::new(), most: 0 }
    }

    /// What is left for the client at `place` after one more request at `now`; `None` when nothing that could pay
    /// for it is held. Nothing is spent until [`Leases::keep`] is given the result.
    pub(super) fn after_one(&self, place: Place, quotas: &[Quota], now: Timestamp) -> Option<Lease> {
        let held = self.places.get(index(place))?.as_ref().filter(|held| held.place == place)?;
        Some(Lease { next: held.next_after_one(quotas, now)?, ..*held })
    }

    /// Spends what one request at `now` costs, where the client at `place` holds it; whether it does.
    pub(super) fn spend(&mut self, place: Place, quotas: &[Quota], now: Timestamp) -> bool {
        let held = self.places.get_mut(index(place)).and_then(Option::as_mut);
        let Some(held) = held.filter(|held| held.place == place) else { return false };
        let Some(next) = held.next_after_one(quotas, now) else { return false };
        held.next = next;
        true
    }

    /// Whether the client at `place` could be given a lease: its place is free, its own, or holds what time has
    /// passed. Nobody loses a lease to another, or many clients could use up the limit of one.
    pub(super) fn has_room(&self, place: Place, now: Timestamp) -> bool {
        let held = self.places.get(index(place)).copied().flatten();
        self.most > 0
            && held.is_none_or(|held| {
                held.place == place || held.end.iter().any(|end| (1..=now.as_nanos()).contains(end))
            })
    }

    /// Holds `lease` from now on, in place of what was held before.
    pub(super) fn keep(&mut self, lease: Lease) {
        if self.places.is_empty() {
            self.places.resize(self.most, None);
        }
        if let Some(place) = self.places.get_mut(index(lease.place)) {
            *place = Some(lease);
        }
    }
}

impl Lease {
    /// Where the next interval begins after one more request at `now`; `None` when no interval is left for it.
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
}

/// The fingerprint is the end of a keyed hash: clients spread evenly, and nobody can aim at a place.
fn index(place: Place) -> usize {
    // Cut first: the whole of it fits no `usize` of the module's, where it would be one place for all.
    let [low, high, ..] = place.fingerprint.to_le_bytes();
    usize::from(u16::from_le_bytes([low, high]) & (PLACES - 1))
}

/// Charges as many requests at `now` as a lease of these windows holds; `None` where they grant none, or too little
/// of the burst is left. `tats` are the shared instants, before the first of these requests.
pub(super) fn charge_ahead(place: Place, tats: &Tats, quotas: &[Quota], now: Timestamp) -> Option<Lease> {
    let requests = quotas.iter().map(Quota::lease).min().filter(|requests| *requests > 1)?;
    let mut lease = Lease { place, next: [0; MAX_WINDOWS], end: [0; MAX_WINDOWS] };
    let ends = lease.next.iter_mut().zip(&mut lease.end);
    for (((next, end), tat), quota) in ends.zip(tats).zip(quotas) {
        *next = (*tat).max(now.as_nanos());
        *end = next.checked_add(quota.interval().checked_mul(requests)?)?;
        if *end > now.as_nanos().checked_add(quota.full_debt() / 2)? {
            return None;
        }
    }
    Some(lease)
}

#[cfg(test)]
#[path = "leases_tests.rs"]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of tests")]
mod tests;
