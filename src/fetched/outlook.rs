//! What is to be expected of the next fetch, and how to have it sooner.

use super::{DocumentOwner, Fetched};
use crate::{
    store::{SharedStore, StoreError},
    time::Timestamp,
};

impl Fetched {
    /// Whether a fetch is under way, or begins before `until`: in time for whoever waits until then. While fetches
    /// fail, only one that is due now counts.
    pub fn may_bring(&self, now: Timestamp, until: Timestamp) -> bool {
        let due_at = self.due_at();
        let is_due = if self.schedule.failures == 0 { due_at < until } else { due_at <= now };
        self.is_under_way(now) || is_due
    }

    /// Whether a fetch is due or under way, and the one before did not fail.
    pub fn is_coming(&self, now: Timestamp) -> bool {
        let under_way = self.is_under_way(now);
        // A fetch that is under way is counted as a failure until it succeeds.
        let failures = self.schedule.failures.saturating_sub(u32::from(under_way));
        (under_way || self.due_at() <= now) && failures == 0
    }

    /// When the fetch that is under way began at the latest, or else the next one will begin.
    pub fn next_at(&self, now: Timestamp) -> Timestamp {
        if self.is_under_way(now) { now } else { self.due_at() }
    }

    /// Reads the schedule again. Whether there is another document now than before.
    ///
    /// The schedule is small; the document, which can be large, is read only when something has happened to it.
    pub(crate) fn look_again(
        &mut self,
        now: Timestamp,
        store: &dyn SharedStore,
        owner: &mut dyn DocumentOwner,
    ) -> Result<bool, StoreError> {
        let (schedule, generation) = (self.read_schedule(now, store)?, self.generation);
        if schedule != self.schedule {
            self.schedule = schedule;
            self.pick_up(now, store, owner);
        }
        Ok(self.generation != generation)
    }

    /// Has the next fetch begin as soon as it may; when that is, if it is sooner than before. While fetches fail,
    /// nothing is brought forward. To be called when the schedule was just looked at.
    pub(crate) fn bring_forward(&mut self, now: Timestamp, store: &dyn SharedStore) -> Option<Timestamp> {
        let schedule = &mut self.schedule;
        let wanted = now.max(schedule.not_before);
        if schedule.failures > 0 || wanted >= schedule.due_at {
            return None;
        }
        schedule.due_at = wanted;
        // Whoever wrote in between either fetches or wants the same.
        let _ = store.replace(&self.schedule_key, &schedule.encode(), self.stored);
        Some(wanted)
    }

    fn is_under_way(&self, now: Timestamp) -> bool {
        now < self.schedule.lease_until
    }

    /// When the next fetch is due, as far as the last look tells. A worker that lacks what the last fetch brought (its
    /// record was lost) does not wait for the next regular one.
    pub(super) fn due_at(&self) -> Timestamp {
        let schedule = self.schedule;
        let lost = schedule.failures == 0 && !self.has(schedule.digest);
        if lost { schedule.due_at.min(schedule.not_before) } else { schedule.due_at }
    }
}
