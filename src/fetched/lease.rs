//! The lease under which one worker fetches, and what it leaves to all others when it gives that back.

use std::time::Duration;

use super::{Fetched, STORE_TRIES, document::FetchStep, record::Schedule};
use crate::{
    store::{self, Expected, SharedStore, StoreError},
    time::Timestamp,
};

/// The fetch that this worker was told to do: one call or several, one after the other, all under one lease.
#[derive(Clone, Debug)]
pub(super) struct Fetching {
    pub(super) random: u64,
    pub(super) began_at: Timestamp,
    /// As it stands in the store while the lease is ours.
    pub(super) lease_until: Timestamp,
    pub(super) step: FetchStep,
    /// The step's call was handed out, and its outcome is due.
    pub(super) sent: bool,
    /// The digest of the document that the server was asked about by `If-None-Match`.
    pub(super) known: Option<[u8; 32]>,
}

impl Fetching {
    /// Whether the lease in `schedule` is still this one: run out or not, nobody took over.
    pub(super) fn holds(&self, schedule: Schedule) -> bool {
        schedule.lease_until == self.lease_until
    }
}

impl Fetched {
    /// Gives the lease back, and names the document. `delay`: until the next fetch after a success; `None`: it failed.
    pub(super) fn end_lease(
        &mut self,
        fetching: &Fetching,
        delay: Option<Duration>,
        now: Timestamp,
        store: &dyn SharedStore,
    ) {
        let mut ended = None;
        let written = store::update(store, &self.schedule_key, STORE_TRIES, &mut |stored| {
            let schedule = self.plausible(stored, now);
            ended = fetching.holds(schedule).then(|| self.after(schedule, fetching, delay, now));
            ended.map(Schedule::encode)
        });
        match (written, ended) {
            (Ok(()), Some(schedule)) => self.schedule = schedule,
            // The lease ran out and somebody else fetches. The schedule is theirs, and their document is the newer one:
            // what this fetch brought counts as of when it began.
            (Ok(()), None) => {
                if let (Some(_), Some(current)) = (delay, &mut self.current) {
                    current.confirmed_at = fetching.began_at;
                }
            }
            // The lease could not be given back. It runs out, and somebody fetches again.
            (Err(_), _) => {}
        }
    }

    /// What is to follow `schedule`, which has the lease of this fetch.
    fn after(
        &self,
        mut schedule: Schedule,
        fetching: &Fetching,
        delay: Option<Duration>,
        now: Timestamp,
    ) -> Schedule {
        schedule.lease_until = Timestamp::default();
        if let (Some(delay), Some(current)) = (delay, &self.current) {
            schedule.failures = 0;
            schedule.due_at = now.saturating_add(delay).max(schedule.not_before);
            schedule.confirmed_at = current.confirmed_at;
            schedule.digest = current.digest;
        } else {
            let earlier_failures = schedule.failures.saturating_sub(1);
            let pause = self.spec.times.backoff(earlier_failures, fetching.random);
            schedule.due_at = now.saturating_add(pause);
        }
        schedule
    }

    /// The schedule as it stands in the store.
    pub(super) fn read_schedule(
        &mut self,
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> Result<Schedule, StoreError> {
        let stored = store.get(&self.schedule_key)?;
        self.stored = Expected::of(stored.as_ref());
        Ok(self.plausible(stored.as_ref().map(|stored| stored.value.as_slice()), now))
    }

    /// What the store says, as far as it can be true: no time lies further ahead than any worker would write it.
    pub(super) fn plausible(&self, stored: Option<&[u8]>, now: Timestamp) -> Schedule {
        let mut schedule = stored.and_then(Schedule::decode).unwrap_or_default();
        let times = &self.spec.times;
        for (instant, furthest) in [
            (&mut schedule.lease_until, times.lease()),
            (&mut schedule.due_at, times.longest_wait()),
            (&mut schedule.not_before, times.min_interval),
        ] {
            if *instant > now.saturating_add(furthest) {
                *instant = Timestamp::default();
            }
        }
        // A time so far ahead was written before the clock was set back, and would keep the document from ever being
        // too old. To a worker that has the document it was never confirmed. One that has none may still take it, once.
        if schedule.confirmed_at > now.saturating_add(times.lease()) {
            schedule.confirmed_at = if self.current.is_some() { Timestamp::default() } else { now };
        }
        schedule
    }
}
