//! When a key set is fetched: how long a lease holds, when the next fetch comes, what a stored schedule may say.

use std::time::Duration;

use super::{RemoteJwks, remote_record::Schedule};
use crate::{refresh::pace, time::Timestamp};

/// The times of one provider, all derived from its configuration.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pacing {
    lease: Duration,
    cache_duration: Duration,
    min_refetch_interval: Duration,
}

impl Pacing {
    /// For fetches of at most `calls` calls, one after the other.
    pub(super) fn new(spec: &RemoteJwks, calls: u32) -> Self {
        Self {
            lease: spec.timeout.saturating_mul(calls).saturating_add(pace::LEASE_MARGIN),
            cache_duration: spec.cache_duration,
            min_refetch_interval: spec.min_refetch_interval,
        }
    }

    /// How long one worker may take to fetch.
    pub(super) fn lease(&self) -> Duration {
        self.lease
    }

    /// 3/4 to 7/8 of the set's lifetime: ahead of its end, and not all Envoys at once. What the answer says of its
    /// lifetime counts within `min_refetch_interval` and `cache_duration`; `None`: it says nothing.
    pub(super) fn refresh_delay(&self, lifetime: Option<Duration>, random: u64) -> Duration {
        let fresh = lifetime.unwrap_or(self.cache_duration);
        let fresh = fresh.max(self.min_refetch_interval).min(self.cache_duration);
        pace::ahead_of(fresh, random)
    }

    /// After `failures` earlier ones: doubled each time up to `cache_duration`, plus up to a half.
    pub(super) fn backoff(&self, failures: u32, random: u64) -> Duration {
        pace::backoff(failures, self.cache_duration, random)
    }

    /// What the store says, as far as it can be true: no time lies further ahead than any worker would write it.
    pub(super) fn plausible(&self, stored: Option<&[u8]>, now: Timestamp) -> Schedule {
        let mut schedule = stored.and_then(Schedule::decode).unwrap_or_default();
        let longest_wait = self.cache_duration.max(self.min_refetch_interval).saturating_mul(2);
        for (instant, furthest) in [
            (&mut schedule.lease_until, self.lease),
            (&mut schedule.due_at, longest_wait),
            (&mut schedule.not_before, self.min_refetch_interval),
        ] {
            if *instant > now.saturating_add(furthest) {
                *instant = Timestamp::default();
            }
        }
        schedule
    }
}
