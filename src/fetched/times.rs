//! When a document is fetched: how long a lease holds, when the next fetch comes, how old a document may be.

use std::time::Duration;

use super::freshness::{Headers, lifetime};
use crate::{
    calls::pacing::{self, FIRST_BACKOFF},
    time::Timestamp,
};

/// How much longer than all calls of a fetch a lease lasts; then its holder is taken for dead.
const LEASE_MARGIN: Duration = Duration::from_secs(5);

/// The times of one document, all from its configuration.
#[derive(Clone, Copy, Debug)]
pub struct FetchTimes {
    /// Per call.
    pub timeout: Duration,
    /// The most calls of one fetch, one after the other.
    pub calls: u32,
    /// The most time from one fetch to the next: a fetch is due after 3/4 to 7/8 of it. Failures wait no longer than
    /// this either.
    pub interval: Duration,
    /// The least time from one fetch that succeeds to the next, whatever brings that forward.
    pub min_interval: Duration,
    /// Whether an answer whose headers name a shorter lifetime than `interval` is fetched again sooner, after
    /// `min_interval` at the soonest.
    pub heeds_headers: bool,
    /// How old a document may be.
    pub max_stale: Duration,
}

impl FetchTimes {
    /// How long one worker may take to fetch.
    pub(super) fn lease(&self) -> Duration {
        self.timeout.saturating_mul(self.calls).saturating_add(LEASE_MARGIN)
    }

    /// 3/4 to 7/8 of the document's lifetime.
    pub(super) fn refresh_delay(&self, headers: Headers<'_>, now: Timestamp, random: u64) -> Duration {
        let said = if self.heeds_headers { lifetime(headers, now) } else { None };
        let fresh = said.map_or(self.interval, |said| said.max(self.min_interval).min(self.interval));
        pacing::ahead_of(fresh, random)
    }

    /// After `failures` earlier ones.
    pub(super) fn backoff(&self, failures: u32, random: u64) -> Duration {
        pacing::backoff(failures, self.interval, random)
    }

    /// No pause is longer.
    pub(super) fn longest_wait(&self) -> Duration {
        self.interval.max(self.min_interval).max(FIRST_BACKOFF).saturating_mul(2)
    }
}
