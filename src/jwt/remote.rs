//! A key set that is fetched: when to fetch it, who does, and how long it counts.
//!
//! Every worker holds one [`RemoteKeys`] per provider and calls [`RemoteKeys::tick`] now and then. Through the
//! shared store exactly one of them is told to fetch; it hands the answer to [`RemoteKeys::on_fetched`], and the
//! others pick the keys up at their next tick. Nothing here waits, sends or reads a clock.

use std::{fmt, sync::Arc, time::Duration};

use super::{
    RemoteJwks,
    jwks::{KeySet, KeySetError, MAX_JWKS_SIZE, UnusableKey},
    remote_record::{Schedule, SetRecord},
};
use crate::{
    call::{Call, Endpoint, Outcome},
    crypto::sha256,
    store::{Expected, SharedStore, StoreError, Versioned},
    time::{Timestamp, nanos},
};

/// How much longer than the fetch's own time-out a lease lasts; then its holder is taken for dead.
const LEASE_MARGIN: Duration = Duration::from_secs(5);
/// After the first failure in a row; doubled with each further one.
const FIRST_BACKOFF: Duration = Duration::from_secs(1);
/// How often one worker looks into the store for the sake of unknown `kid`s, at most.
const UNKNOWN_KID_PAUSE: Duration = Duration::from_secs(1);
/// How often a lost race for the store is run again. Losing all of them costs one late fetch.
const STORE_TRIES: usize = 4;

/// The key set of one provider, as one worker has it.
#[derive(Debug)]
pub struct RemoteKeys {
    spec: RemoteJwks,
    uri: Endpoint,
    set_key: String,
    schedule_key: String,
    current: Option<Current>,
    generation: u64,
    /// The store's version of the set that was read last, usable or not.
    seen: Option<u32>,
    /// `None`: this worker fetches nothing.
    fetching: Option<Fetching>,
    quiet_until: Timestamp,
}

/// The fetch that this worker was told to do.
#[derive(Clone, Copy, Debug)]
struct Fetching {
    random: u64,
    /// As it stands in the store while the lease is ours.
    lease_until: Timestamp,
}

#[derive(Debug)]
struct Current {
    keys: Arc<KeySet>,
    digest: [u8; 32],
    fetched_at: Timestamp,
}

/// Why an answer is no key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// No answer.
    Failed,
    /// The body.
    KeySet(KeySetError),
    /// Any status but 200.
    Status(u16),
}

impl RemoteKeys {
    /// `provider_name` is unique within `namespace`, which tells policies apart that share one store.
    ///
    /// A URI that [`Endpoint::parse`] refuses is a fault of the policy and never comes here; its message if it does.
    pub fn new(spec: &RemoteJwks, provider_name: &str, namespace: &str) -> Result<Self, &'static str> {
        let uri = Endpoint::parse(&spec.uri)?;
        // The store forgets nothing, so its keys come from the policy alone: two for each provider.
        let place: String =
            sha256(spec.uri.as_bytes()).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let key = |what: &str| format!("{namespace}/jwks/{provider_name}/{place}/{what}");
        Ok(Self {
            uri,
            set_key: key("set"),
            schedule_key: key("schedule"),
            spec: spec.clone(),
            current: None,
            generation: 0,
            seen: None,
            fetching: None,
            quiet_until: Timestamp::default(),
        })
    }

    /// The keys to verify with at `now`; `None` when there were never any, or none since `max_stale`.
    pub fn keys(&self, now: Timestamp) -> Option<&Arc<KeySet>> {
        let current = self.current.as_ref()?;
        (now.since(current.fetched_at) <= self.spec.max_stale).then_some(&current.keys)
    }

    /// Counts the key sets seen: what was verified under another generation has to be verified again. A fetch
    /// that brings the same bytes does not count.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Picks up what others published, and says what this worker has to fetch, if anything. `random` spreads the
    /// fetches of many Envoys.
    pub fn tick(&mut self, now: Timestamp, store: &dyn SharedStore, random: u64) -> Option<Call> {
        self.pick_up(now, store);
        let stored = store.get(&self.schedule_key).ok()?;
        let schedule = self.plausible(stored.as_ref(), now);
        if now < schedule.lease_until || now < self.due_at(schedule, now) {
            return None;
        }
        let lease = Schedule {
            lease_until: now.saturating_add(self.lease()),
            due_at: now.saturating_add(self.backoff(schedule.failures, random)),
            not_before: now.saturating_add(self.spec.min_refetch_interval),
            // Taken back on success: a holder that dies counts as a failure.
            failures: schedule.failures.saturating_add(1),
        };
        // Of several workers that come here at once the store lets one through.
        store.replace(&self.schedule_key, &lease.encode(), expected(stored.as_ref())).ok()?;
        self.fetching = Some(Fetching { random, lease_until: lease.lease_until });
        Some(Call {
            cluster: self.spec.cluster.clone(),
            method: "GET",
            endpoint: self.uri.clone(),
            headers: vec![("accept", "application/jwk-set+json, application/json".to_owned())],
            body: Vec::new(),
            timeout: self.spec.timeout,
            max_answer: MAX_JWKS_SIZE,
        })
    }

    /// Takes the outcome of the fetch that [`RemoteKeys::tick`] asked for. An outcome that nobody asked for is
    /// ignored.
    ///
    /// Returns the keys of a new set that are not used, for one report. On an error the last good set stays.
    pub fn on_fetched(
        &mut self,
        outcome: Outcome<'_>,
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> Result<Vec<UnusableKey>, FetchError> {
        let Some(Fetching { random, lease_until }) = self.fetching.take() else { return Ok(Vec::new()) };
        let taken = self.take(outcome, now, store);
        let refreshed = taken.is_ok();
        for _ in 0..STORE_TRIES {
            let Ok(stored) = store.get(&self.schedule_key) else { break };
            let mut schedule = self.plausible(stored.as_ref(), now);
            // The lease ran out and somebody else fetches: the schedule is theirs.
            if schedule.lease_until != lease_until {
                break;
            }
            schedule.lease_until = Timestamp::default();
            if refreshed {
                schedule.failures = 0;
                schedule.due_at = now.saturating_add(self.refresh_delay(random)).max(schedule.not_before);
            } else {
                let earlier_failures = schedule.failures.saturating_sub(1);
                schedule.due_at = now.saturating_add(self.backoff(earlier_failures, random));
            }
            let written = store.replace(&self.schedule_key, &schedule.encode(), expected(stored.as_ref()));
            if written != Err(StoreError::Conflict) {
                break;
            }
        }
        taken
    }

    /// A token with the provider's `iss` and otherwise good claims names a `kid` that no key has: brings the next
    /// fetch forward, to once in `min_refetch_interval` over all workers. While fetches fail, it changes nothing.
    pub fn note_unknown_kid(&mut self, now: Timestamp, store: &dyn SharedStore) {
        if now < self.quiet_until {
            return;
        }
        self.quiet_until = now.saturating_add(UNKNOWN_KID_PAUSE);
        let Ok(stored) = store.get(&self.schedule_key) else { return };
        let mut schedule = self.plausible(stored.as_ref(), now);
        let wanted = now.max(schedule.not_before);
        if schedule.failures == 0 && wanted < schedule.due_at {
            schedule.due_at = wanted;
            // Whoever wrote in between either fetches or wants the same.
            let _ = store.replace(&self.schedule_key, &schedule.encode(), expected(stored.as_ref()));
        }
    }

    /// The two keys of the store that it uses.
    #[cfg(test)]
    pub(super) fn store_keys(&self) -> [&str; 2] {
        [&self.set_key, &self.schedule_key]
    }

    fn take(
        &mut self,
        outcome: Outcome<'_>,
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> Result<Vec<UnusableKey>, FetchError> {
        let body = match outcome {
            Outcome::Answer { status: 200, body, .. } => body,
            Outcome::Answer { status, .. } => return Err(FetchError::Status(status)),
            Outcome::Failed => return Err(FetchError::Failed),
        };
        let unusable = self.adopt(body, now).map_err(FetchError::KeySet)?;
        self.publish(body, now, store);
        Ok(unusable)
    }

    /// Makes `body` the current set. The same bytes as before only become fresh again.
    fn adopt(&mut self, body: &[u8], fetched_at: Timestamp) -> Result<Vec<UnusableKey>, KeySetError> {
        let digest = sha256(body);
        if let Some(current) = self.current.as_mut().filter(|current| current.digest == digest) {
            current.fetched_at = current.fetched_at.max(fetched_at);
            return Ok(Vec::new());
        }
        let (keys, unusable) = KeySet::parse(body)?;
        // Nobody retires all keys at once; a provider that starts up may say so. The last good set has its bound.
        if keys.is_empty() {
            return Err(KeySetError::NoUsableKeys);
        }
        self.current = Some(Current { keys: Arc::new(keys), digest, fetched_at });
        self.generation = self.generation.wrapping_add(1);
        Ok(unusable)
    }

    fn publish(&self, body: &[u8], now: Timestamp, store: &dyn SharedStore) {
        let record = SetRecord { fetched_at: now, body }.encode();
        for _ in 0..STORE_TRIES {
            let Ok(stored) = store.get(&self.set_key) else { break };
            let newer = |stored: &Versioned| {
                SetRecord::decode(&stored.value)
                    .is_some_and(|other| other.fetched_at > now && self.is_recent(other, now))
            };
            // A slow answer whose lease ran out must not undo what the next holder published.
            if stored.as_ref().is_some_and(newer) {
                break;
            }
            if store.replace(&self.set_key, &record, expected(stored.as_ref())) != Err(StoreError::Conflict) {
                break;
            }
        }
    }

    /// Takes over what another worker published.
    fn pick_up(&mut self, now: Timestamp, store: &dyn SharedStore) {
        let Ok(Some(stored)) = store.get(&self.set_key) else { return };
        if self.seen == Some(stored.version) {
            return;
        }
        self.seen = Some(stored.version);
        let Some(record) = SetRecord::decode(&stored.value) else { return };
        // A time to come is a clock that was set back: never fresher than now.
        let fetched_at = record.fetched_at.min(now);
        if self.current.as_ref().is_none_or(|current| current.fetched_at <= fetched_at) {
            // What does not parse was not published by us, and is replaced by the next fetch.
            let _ = self.adopt(record.body, fetched_at);
        }
    }

    /// Whether a record from after `now` can come from a worker whose clock is read a little later.
    fn is_recent(&self, record: SetRecord<'_>, now: Timestamp) -> bool {
        record.fetched_at <= now.saturating_add(self.lease())
    }

    /// What the store says, as far as it can be true: no time lies further ahead than any worker would write it.
    fn plausible(&self, stored: Option<&Versioned>, now: Timestamp) -> Schedule {
        let mut schedule = stored.and_then(|stored| Schedule::decode(&stored.value)).unwrap_or_default();
        let longest_wait = self.spec.cache_duration.max(self.spec.min_refetch_interval).saturating_mul(2);
        for (instant, furthest) in [
            (&mut schedule.lease_until, self.lease()),
            (&mut schedule.due_at, longest_wait),
            (&mut schedule.not_before, self.spec.min_refetch_interval),
        ] {
            if *instant > now.saturating_add(furthest) {
                *instant = Timestamp::default();
            }
        }
        schedule
    }

    /// A worker that has no keys although the last fetch succeeded (its record was lost) does not wait for the
    /// next regular one.
    fn due_at(&self, schedule: Schedule, now: Timestamp) -> Timestamp {
        if schedule.failures == 0 && self.keys(now).is_none() {
            schedule.due_at.min(schedule.not_before)
        } else {
            schedule.due_at
        }
    }

    fn lease(&self) -> Duration {
        self.spec.timeout.saturating_add(LEASE_MARGIN)
    }

    /// 3/4 to 7/8 of `cache_duration`: ahead of its end, and not all Envoys at once.
    fn refresh_delay(&self, random: u64) -> Duration {
        let eighth = self.spec.cache_duration.checked_div(8).unwrap_or_default();
        eighth.saturating_mul(6).saturating_add(fraction(eighth, random))
    }

    /// After `failures` earlier ones: doubled each time up to `cache_duration`, plus up to a half.
    fn backoff(&self, failures: u32, random: u64) -> Duration {
        let factor = 2_u32.saturating_pow(failures);
        let pause = FIRST_BACKOFF.saturating_mul(factor).min(self.spec.cache_duration);
        pause.saturating_add(fraction(pause.checked_div(2).unwrap_or_default(), random))
    }
}

/// `of` times a number from 0 to 1 that `random` gives.
fn fraction(of: Duration, random: u64) -> Duration {
    // The upper 64 bits of a 128-bit product.
    let product = u128::from(nanos(of)).saturating_mul(u128::from(random)) >> 64;
    Duration::from_nanos(u64::try_from(product).unwrap_or(0))
}

fn expected(stored: Option<&Versioned>) -> Expected {
    stored.map_or(Expected::Absent, |stored| Expected::Version(stored.version))
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed => f.write_str("no answer"),
            Self::KeySet(error) => write!(f, "no usable key set: {error}"),
            Self::Status(status) => write!(f, "status {status}"),
        }
    }
}
