//! A key set that is fetched: when to fetch it, who does, and how long it counts.
//!
//! Every worker holds one [`RemoteKeys`] per provider and calls [`RemoteKeys::tick`] now and then. Through the
//! shared store exactly one of them is told to fetch; it hands the answer to [`RemoteKeys::on_fetched`], and the
//! others pick the keys up at their next tick. Nothing here waits, sends or reads a clock.

mod wanted;

use std::{fmt, sync::Arc, time::Duration};

use super::{
    DiscoverySpec, JwksLocation, RemoteJwks,
    discovery::{Discovery, DocumentError, Found, MAX_DOCUMENT_SIZE},
    freshness::lifetime,
    pacing::Pacing,
    remote_record::{Schedule, SetRecord},
    wanted_kids::WantedKids,
};
use crate::{
    call::{Call, Endpoint, Outcome},
    crypto::{sha256, short_digest},
    jose::{KeySet, KeySetError, MAX_JWKS_SIZE, UnusableKey},
    refresh::pace::expected,
    store::{SharedStore, StoreError, Versioned},
    time::Timestamp,
};

/// How often a lost race for the store is run again. Losing all of them costs one late fetch.
const STORE_TRIES: usize = 4;

/// The key set of one provider, as one worker has it.
#[derive(Debug)]
pub struct RemoteKeys {
    spec: RemoteJwks,
    source: Source,
    pacing: Pacing,
    set_key: String,
    schedule_key: String,
    current: Option<Current>,
    generation: u64,
    /// The store's version of the set that was read last, usable or not.
    seen: Option<u32>,
    /// As it was read or written last.
    schedule: Schedule,
    /// `None`: this worker fetches nothing.
    fetching: Option<Fetching>,
    quiet_until: Timestamp,
    wanted: WantedKids,
    /// The digest of the set without a usable key that was reported last.
    reported: Option<[u8; 32]>,
    events: FetchEvents,
}

/// Where the keys are.
#[derive(Debug)]
enum Source {
    Uri(Endpoint),
    Discovery(Discovery),
}

/// The fetch that this worker was told to do: one call for the keys, with discovery one or two before it for the
/// document, all under one lease.
#[derive(Clone, Debug)]
struct Fetching {
    random: u64,
    /// As it stands in the store while the lease is ours.
    lease_until: Timestamp,
    stage: Stage,
    /// The stage's call was handed out, and its outcome is due.
    sent: bool,
}

impl Fetching {
    /// Whether the lease in `schedule` is still this one: run out or not, nobody took over.
    fn holds(&self, schedule: Schedule) -> bool {
        schedule.lease_until == self.lease_until
    }
}

/// Which call of a fetch.
#[derive(Clone, Debug)]
enum Stage {
    /// The discovery document, at the place of this index.
    Document(usize),
    /// The keys, at this place over this cluster.
    KeySet(Endpoint, String),
}

#[derive(Debug)]
struct Current {
    keys: Arc<KeySet>,
    digest: [u8; 32],
    fetched_at: Timestamp,
}

/// How many fetches of one worker began and ended, each with all its calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FetchEvents {
    /// A lease was taken.
    pub started: u32,
    /// A usable key set came, new or the same as before.
    pub succeeded: u32,
    /// It ended otherwise.
    pub failed: u32,
}

/// Why a fetch brought no key set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// It did not get as far as the keys.
    Document(DocumentError),
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
    /// A URI that [`Endpoint::parse`] refuses, and an issuer without a discovery document, is a fault of the policy
    /// and never comes here; its message if it does.
    pub fn new(
        spec: &RemoteJwks,
        issuer: &str,
        provider_name: &str,
        namespace: &str,
    ) -> Result<Self, &'static str> {
        let (source, calls, place) = match &spec.location {
            JwksLocation::Uri(uri) => (Source::Uri(Endpoint::parse(uri)?), 1, [uri.as_str(), "", ""]),
            JwksLocation::Discovery(of_issuer) => {
                let discovery = Discovery::new(of_issuer, issuer, &spec.cluster)?;
                let calls = discovery.calls();
                let DiscoverySpec { uri, jwks_cluster } = of_issuer;
                // Neither is empty where it is given.
                let [uri, jwks_cluster] = [uri, jwks_cluster].map(|text| text.as_deref().unwrap_or_default());
                (Source::Discovery(discovery), calls, ["", uri, jwks_cluster])
            }
        };
        // The store forgets nothing, so its keys come from the policy alone: two for each provider. All that decides
        // what is fetched is in them: the same URI over another cluster may be another issuer's.
        let [keys, document, keys_cluster] = place;
        let place = short_digest(&[issuer, &spec.cluster, keys, document, keys_cluster].map(str::as_bytes));
        let key = |what: &str| format!("{namespace}/jwks/{provider_name}/{place}/{what}");
        Ok(Self {
            source,
            pacing: Pacing::new(spec, calls),
            set_key: key("set"),
            schedule_key: key("schedule"),
            spec: spec.clone(),
            current: None,
            generation: 0,
            seen: None,
            schedule: Schedule::default(),
            fetching: None,
            quiet_until: Timestamp::default(),
            wanted: WantedKids::new(spec.min_refetch_interval, spec.cache_duration),
            reported: None,
            events: FetchEvents::default(),
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

    /// Picks up what others published, and says what this worker has to send, if anything. `random` spreads the
    /// fetches of many Envoys.
    ///
    /// A fetch with several calls hands out the next one at the first tick after the outcome of the one before.
    pub fn tick(&mut self, now: Timestamp, store: &dyn SharedStore, random: u64) -> Option<Call> {
        let stored = store.get(&self.schedule_key);
        // After the schedule: a set is published before the schedule says so.
        self.pick_up(now, store);
        let stored = stored.ok()?;
        let schedule = self.plausible(stored.as_ref(), now);
        self.schedule = schedule;
        if self.fetching.as_ref().is_some_and(|fetching| !fetching.sent) {
            if let Some(call) = self.next_call(now) {
                return Some(call);
            }
            // The lease ran out in between: as with a holder that died, somebody takes it, or we do again.
            self.fetching = None;
            self.events.failed = self.events.failed.saturating_add(1);
        }
        if now < schedule.lease_until || now < self.due_at(schedule, now) {
            return None;
        }
        let lease = Schedule {
            lease_until: now.saturating_add(self.pacing.lease()),
            due_at: now.saturating_add(self.pacing.backoff(schedule.failures, random)),
            not_before: now.saturating_add(self.spec.min_refetch_interval),
            // Taken back on success: a holder that dies counts as a failure.
            failures: schedule.failures.saturating_add(1),
        };
        // Of several workers that come here at once the store lets one through.
        store.replace(&self.schedule_key, &lease.encode(), expected(stored.as_ref())).ok()?;
        self.schedule = lease;
        self.events.started = self.events.started.saturating_add(1);
        let stage = match &self.source {
            Source::Uri(uri) => Stage::KeySet(uri.clone(), self.spec.cluster.clone()),
            Source::Discovery(_) => Stage::Document(0),
        };
        self.fetching = Some(Fetching { random, lease_until: lease.lease_until, stage, sent: false });
        self.next_call(now)
    }

    /// Takes the outcome of the call that [`RemoteKeys::tick`] asked for. An outcome that nobody asked for is
    /// ignored. After one that is not the fetch's last, the next tick has another call to send.
    ///
    /// Returns the keys of a new set that are not used, for one report: workers that pick the set up later do not
    /// return them again. On an error the last good set stays; where there is no usable key, the error has them all
    /// the first time.
    pub fn on_fetched(
        &mut self,
        outcome: Outcome<'_>,
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> Result<Vec<UnusableKey>, FetchError> {
        let Some(mut fetching) = self.fetching.take_if(|fetching| fetching.sent) else {
            return Ok(Vec::new());
        };
        // An answer that took longer than its lease may be older than what the next holder published.
        let is_over = |stored: &Versioned| !fetching.holds(self.plausible(Some(stored), now));
        if store.get(&self.schedule_key).is_ok_and(|stored| stored.as_ref().is_some_and(is_over)) {
            self.events.failed = self.events.failed.saturating_add(1);
            return Ok(Vec::new());
        }
        let taken = match (&fetching.stage, &self.source) {
            (Stage::Document(index), Source::Discovery(discovery)) => match discovery.read(outcome, *index) {
                Ok(found) => {
                    fetching.sent = false;
                    fetching.stage = match found {
                        Found::KeySet(endpoint, cluster) => Stage::KeySet(endpoint, cluster),
                        Found::TryNext => Stage::Document(index.saturating_add(1)),
                    };
                    self.fetching = Some(fetching);
                    return Ok(Vec::new());
                }
                Err(error) => Err(FetchError::Document(error)),
            },
            _ => self.take(outcome, now, store),
        };
        let fresh_for = match (&taken, outcome) {
            (Ok(_), Outcome::Answer { headers, .. }) => Some(lifetime(headers, now)),
            _ => None,
        };
        let count = if fresh_for.is_some() { &mut self.events.succeeded } else { &mut self.events.failed };
        *count = count.saturating_add(1);
        self.end_lease(&fetching, fresh_for, now, store);
        taken
    }

    /// When the set in use was fetched; `None` where there is none to use.
    pub fn fetched_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.keys(now)?;
        self.current.as_ref().map(|current| current.fetched_at)
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> FetchEvents {
        std::mem::take(&mut self.events)
    }

    /// The two keys of the store that it uses.
    #[cfg(test)]
    pub(super) fn store_keys(&self) -> [&str; 2] {
        [&self.set_key, &self.schedule_key]
    }

    /// The call of the stage that the fetch is in; `None` when its lease has run out.
    fn next_call(&mut self, now: Timestamp) -> Option<Call> {
        let fetching = self.fetching.as_mut().filter(|fetching| now < fetching.lease_until)?;
        let (endpoint, cluster, accept, max_answer) = match (&fetching.stage, &self.source) {
            (Stage::KeySet(endpoint, cluster), _) => {
                (endpoint, cluster, "application/jwk-set+json, application/json", MAX_JWKS_SIZE)
            }
            (Stage::Document(index), Source::Discovery(discovery)) => {
                (discovery.candidate(*index)?, &self.spec.cluster, "application/json", MAX_DOCUMENT_SIZE)
            }
            (Stage::Document(_), Source::Uri(_)) => return None,
        };
        fetching.sent = true;
        Some(Call {
            cluster: cluster.clone(),
            method: "GET",
            endpoint: endpoint.clone(),
            headers: vec![("accept", accept.to_owned())],
            body: Vec::new(),
            timeout: self.spec.timeout,
            max_answer,
        })
    }

    /// Gives the lease back. `fresh_for`: what a success says of its lifetime; `None`: the fetch failed.
    #[expect(
        clippy::option_option,
        reason = "the outer one is a failure, the inner one an answer without headers"
    )]
    fn end_lease(
        &mut self,
        fetching: &Fetching,
        fresh_for: Option<Option<Duration>>,
        now: Timestamp,
        store: &dyn SharedStore,
    ) {
        for _ in 0..STORE_TRIES {
            let Ok(stored) = store.get(&self.schedule_key) else { break };
            let mut schedule = self.plausible(stored.as_ref(), now);
            // The lease ran out and somebody else fetches: the schedule is theirs.
            if !fetching.holds(schedule) {
                break;
            }
            schedule.lease_until = Timestamp::default();
            if let Some(lifetime) = fresh_for {
                schedule.failures = 0;
                let delay = self.pacing.refresh_delay(lifetime, fetching.random);
                schedule.due_at = now.saturating_add(delay).max(schedule.not_before);
            } else {
                let earlier_failures = schedule.failures.saturating_sub(1);
                let pause = self.pacing.backoff(earlier_failures, fetching.random);
                schedule.due_at = now.saturating_add(pause);
            }
            match store.replace(&self.schedule_key, &schedule.encode(), expected(stored.as_ref())) {
                Ok(()) => {
                    self.schedule = schedule;
                    break;
                }
                Err(StoreError::Conflict) => {}
                Err(StoreError::Unavailable) => break,
            }
        }
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
        let unusable = self.adopt(body, now).map_err(|error| {
            FetchError::KeySet(match error {
                KeySetError::Json(fault) => KeySetError::Json(fault.of_body_in(outcome.coding())),
                KeySetError::NoUsableKeys(unusable) => {
                    KeySetError::NoUsableKeys(self.unless_reported(body, unusable))
                }
                error => error,
            })
        })?;
        self.publish(body, now, store);
        Ok(unusable)
    }

    /// A server says the same again and again.
    fn unless_reported(&mut self, body: &[u8], unusable: Vec<UnusableKey>) -> Vec<UnusableKey> {
        let digest = Some(sha256(body));
        let is_known = self.reported == digest;
        self.reported = digest;
        if is_known { Vec::new() } else { unusable }
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
            return Err(KeySetError::NoUsableKeys(unusable));
        }
        self.current = Some(Current { keys: Arc::new(keys), digest, fetched_at });
        self.wanted.forget();
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
            // Whoever took over since the look at the lease.
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
        record.fetched_at <= now.saturating_add(self.pacing.lease())
    }

    fn plausible(&self, stored: Option<&Versioned>, now: Timestamp) -> Schedule {
        self.pacing.plausible(stored.map(|stored| stored.value.as_slice()), now)
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
}

impl FetchError {
    /// The keys that are not used, where there is none that is.
    pub fn into_unusable(self) -> Vec<UnusableKey> {
        if let Self::KeySet(KeySetError::NoUsableKeys(unusable)) = self { unusable } else { Vec::new() }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document(error) => write!(f, "{error}"),
            Self::Failed => f.write_str("no answer"),
            Self::KeySet(error) => write!(f, "no usable key set: {error}"),
            Self::Status(status @ 300..=399) => write!(f, "status {status}; redirects are never followed"),
            Self::Status(status) => write!(f, "status {status}"),
        }
    }
}
