//! Documents that are fetched now and then, each once for all workers of one Envoy, and kept in step between them.
//!
//! Every worker holds one [`Fetched`] per document and calls [`Fetched::tick`] now and then. Through the shared store
//! exactly one of them is told to fetch; it hands the outcome to [`Fetched::on_answer`], which publishes the document,
//! and the others take it over at their next tick. What the bytes mean is for their [`DocumentOwner`] to say: only
//! what it accepts is published. Nothing here waits, sends or reads a clock.
//!
//! Two values of the store belong to a document: its bytes, and a small schedule that says which bytes are the current
//! ones, who fetches and when. A document is published when the schedule names it, and the schedule can be written by
//! whoever holds the lease alone: so an answer that comes after its lease ran out replaces nothing.

mod document;
mod freshness;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code may panic")]
mod late_tests;
mod lease;
mod outlook;
mod record;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code may panic")]
mod tests;
mod times;

use std::fmt;

pub use self::{
    document::{DocumentOwner, FetchPlace, FetchStep},
    times::FetchTimes,
};
use self::{
    freshness::only,
    lease::Fetching,
    record::{Published, Schedule},
};
use crate::{
    calls::{Call, Counts, NoBody, Outcome},
    crypto::{sha256, short_digest},
    store::{self, Expected, SharedStore, StoreError, Versioned},
    time::Timestamp,
};

/// How often a lost race for the store is run again. Losing all of them costs one late fetch.
const STORE_TRIES: usize = 4;
/// The longest `etag` that is sent back.
const MAX_ETAG_LEN: usize = 256;
/// After so many leases the outcome of a call is taken for lost. Until then a worker that waits for one begins no other
/// fetch, because the outcome of the first could pass for that of the second.
const LOST_AFTER: u32 = 10;

/// What to fetch and how often.
#[derive(Clone, Debug)]
pub struct FetchSpec {
    /// How each fetch begins.
    pub first: FetchStep,
    /// `accept` of the request for the document.
    pub accept: &'static str,
    /// The most bytes that a document may have.
    pub max_size: usize,
    /// When.
    pub times: FetchTimes,
}

/// One worker's side of a document that all workers share.
#[derive(Debug)]
pub struct Fetched {
    spec: FetchSpec,
    document_key: String,
    schedule_key: String,
    current: Option<Current>,
    generation: u64,
    /// As it was read or written last.
    schedule: Schedule,
    /// The stored value that `schedule` was read from. A schedule that is made of it replaces no other value.
    stored: Expected,
    /// `None`: this worker fetches nothing.
    fetching: Option<Fetching>,
    /// What was looked at last and not taken: the store's version, and the digest that it should have had.
    passed_over: Option<(u32, [u8; 32])>,
    counts: Counts,
}

/// The document that this worker has taken.
#[derive(Debug)]
struct Current {
    digest: [u8; 32],
    /// [`FetchPlace::digest`] of where it came from.
    place: String,
    /// Empty for none.
    etag: String,
    /// When the server last said that this is the document.
    confirmed_at: Timestamp,
}

/// Why a fetch brought no document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// There is nothing to read.
    NoBody(NoBody),
    /// The owner accepts neither the document nor what should have led to it, and knows why.
    Refused,
}

impl Fetched {
    /// `topic` is unique within `namespace`, which tells policies apart that share one store. `place` is all of the
    /// policy that decides what is fetched.
    pub fn new(spec: FetchSpec, topic: &str, place: &[&str], namespace: &str) -> Self {
        // The store forgets nothing, so its keys come from the policy alone: two for each document.
        let place: Vec<&[u8]> = place.iter().map(|part| part.as_bytes()).collect();
        let place = short_digest(&place);
        let key = |what: &str| format!("{namespace}/fetched/{topic}/{place}/{what}");
        Self {
            document_key: key("document"),
            schedule_key: key("schedule"),
            spec,
            current: None,
            generation: 0,
            schedule: Schedule::default(),
            stored: Expected::Absent,
            fetching: None,
            passed_over: None,
            counts: Counts::default(),
        }
    }

    /// When the server last said that the document this worker has is the current one; `None`: it has none.
    pub fn confirmed_at(&self) -> Option<Timestamp> {
        self.current.as_ref().map(|current| current.confirmed_at)
    }

    /// Whether that was no longer than `max_stale` ago, so that it may be used though it may not be fresh.
    pub fn is_usable(&self, now: Timestamp) -> bool {
        self.confirmed_at().is_some_and(|confirmed_at| now.since(confirmed_at) <= self.spec.times.max_stale)
    }

    /// Counts the documents seen: what was decided under another generation has to be decided again. A fetch that
    /// brings the same bytes does not count.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The fetches of this worker since the last call.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// The two keys of the store that it uses.
    #[cfg(test)]
    pub(crate) fn store_keys(&self) -> [&str; 2] {
        [&self.document_key, &self.schedule_key]
    }

    /// Takes over what another worker published, and says what this one has to send, if anything. `random` spreads the
    /// fetches of many Envoys.
    ///
    /// A fetch with several calls hands out the next one at the first tick after the outcome of the one before.
    pub fn tick(
        &mut self,
        now: Timestamp,
        store: &dyn SharedStore,
        random: u64,
        owner: &mut dyn DocumentOwner,
    ) -> Option<Call> {
        self.look(now, store, owner).ok()?;
        if let Some(fetching) = &self.fetching {
            if fetching.sent {
                let lost_at = self.spec.times.lease().saturating_mul(LOST_AFTER);
                if now.since(fetching.began_at) < lost_at {
                    return None;
                }
            } else if now < fetching.lease_until {
                return self.next_call();
            }
            // The lease ran out before the next call was sent. As when its holder has died, another worker takes it
            // over, or this one takes it again.
            self.fetching = None;
            self.counts.end(false);
        }
        let (times, schedule) = (&self.spec.times, self.schedule);
        if now < schedule.lease_until || now < self.due_at() {
            return None;
        }
        let lease = Schedule {
            lease_until: now.saturating_add(times.lease()),
            due_at: now.saturating_add(times.backoff(schedule.failures, random)),
            not_before: now.saturating_add(times.min_interval),
            // The fetch counts as failed from the start, and no longer once it succeeds, so a holder that dies has
            // failed.
            failures: schedule.failures.saturating_add(1),
            ..schedule
        };
        // Of several workers that come here at once the store lets one through, so there is one try.
        store.replace(&self.schedule_key, &lease.encode(), self.stored).ok()?;
        self.schedule = lease;
        self.counts.start();
        let (step, lease_until) = (self.spec.first.clone(), lease.lease_until);
        self.fetching = Some(Fetching { random, began_at: now, lease_until, step, sent: false, known: None });
        self.next_call()
    }

    /// Takes the outcome of the call that [`Fetched::tick`] asked for. One that nobody asked for is ignored, and so is
    /// one that comes when another worker has taken over. After one that is not the fetch's last, the next tick has
    /// another call to send. On an error the last good document stays.
    pub fn on_answer(
        &mut self,
        outcome: Outcome<'_>,
        now: Timestamp,
        store: &dyn SharedStore,
        owner: &mut dyn DocumentOwner,
    ) -> Result<(), FetchError> {
        let Some(mut fetching) = self.fetching.take_if(|fetching| fetching.sent) else { return Ok(()) };
        let is_over = |stored: Versioned| !fetching.holds(self.plausible(Some(&stored.value), now));
        if store.get(&self.schedule_key).ok().flatten().is_some_and(is_over) {
            self.counts.end(false);
            return Ok(());
        }
        let taken = match &fetching.step {
            FetchStep::Document(place) => self.take(outcome, place, fetching.known, now, store, owner),
            FetchStep::Signpost { index, .. } => match owner.follow(outcome, *index) {
                Some(step) => {
                    self.fetching = Some(Fetching { step, sent: false, ..fetching });
                    return Ok(());
                }
                None => Err(FetchError::Refused),
            },
        };
        self.counts.end(taken.is_ok());
        let headers = if let Outcome::Answer { headers, .. } = outcome { headers } else { &[] };
        let delay = taken.is_ok().then(|| self.spec.times.refresh_delay(headers, now, fetching.random));
        fetching.sent = false;
        self.end_lease(&fetching, delay, now, store);
        taken
    }

    /// Reads the schedule, and the document where it names another than this worker has.
    fn look(
        &mut self,
        now: Timestamp,
        store: &dyn SharedStore,
        owner: &mut dyn DocumentOwner,
    ) -> Result<(), StoreError> {
        // Where the clock was set back, nothing counts as confirmed later than now.
        if let Some(current) = &mut self.current {
            current.confirmed_at = current.confirmed_at.min(now);
        }
        self.schedule = self.read_schedule(now, store)?;
        self.pick_up(now, store, owner);
        Ok(())
    }

    fn pick_up(&mut self, now: Timestamp, store: &dyn SharedStore, owner: &mut dyn DocumentOwner) {
        let digest = self.schedule.digest;
        // A time that lies a little ahead was read from the clock by another worker.
        let confirmed_at = self.schedule.confirmed_at.min(now);
        if let Some(current) = &mut self.current
            && current.digest == digest
        {
            current.confirmed_at = current.confirmed_at.max(confirmed_at);
            // Whoever takes the lease writes this again, so that it is right also when the clock was set back.
            self.schedule.confirmed_at = current.confirmed_at;
            return;
        }
        // Nothing was ever published, or this worker was the first to know something newer.
        if confirmed_at == Timestamp::default() || self.confirmed_at() > Some(confirmed_at) {
            return;
        }
        let Ok(Some(stored)) = store.get(&self.document_key) else { return };
        let looked_at = Some((stored.version, digest));
        if self.passed_over == looked_at {
            return;
        }
        // Bytes that do not fit are a document that the schedule does not name yet, or were written by somebody else.
        // The schedule will name them, or a fetch replaces them.
        let published = Published::decode(&stored.value).filter(|published| {
            published.body.len() <= self.spec.max_size && sha256(published.body) == digest
        });
        match published {
            Some(Published { place, etag, body }) if owner.accept(body) => {
                let etag = valid_etag(etag.as_bytes()).unwrap_or_default();
                self.adopt(Current { digest, place: place.to_owned(), etag, confirmed_at });
            }
            _ => self.passed_over = looked_at,
        }
    }

    /// Makes `current` what this worker has. Its owner has accepted it, or had it before.
    fn adopt(&mut self, current: Current) {
        if !self.has(current.digest) {
            self.generation = self.generation.wrapping_add(1);
        }
        self.current = Some(current);
        self.passed_over = None;
    }

    /// Whether this worker has the document of this digest.
    fn has(&self, digest: [u8; 32]) -> bool {
        self.current.as_ref().is_some_and(|current| current.digest == digest)
    }

    /// The call of the step that the fetch is at.
    fn next_call(&mut self) -> Option<Call> {
        let fetching = self.fetching.as_mut()?;
        let (place, accept, max_answer) = match &fetching.step {
            FetchStep::Document(place) => (place, self.spec.accept, self.spec.max_size),
            FetchStep::Signpost { place, accept, max_size, .. } => (place, *accept, *max_size),
        };
        let mut headers = vec![("accept", accept.to_owned())];
        if let FetchStep::Document(_) = fetching.step
            && let Some(current) = &self.current
            && !current.etag.is_empty()
            && current.place == place.digest()
            // "Not modified" helps only where all workers can have what was not modified.
            && current.digest == self.schedule.digest
        {
            headers.push(("if-none-match", current.etag.clone()));
            fetching.known = Some(current.digest);
        }
        fetching.sent = true;
        Some(Call {
            cluster: place.cluster.clone(),
            method: "GET",
            endpoint: place.endpoint.clone(),
            headers,
            body: Vec::new(),
            timeout: self.spec.times.timeout,
            max_answer,
        })
    }

    fn take(
        &mut self,
        outcome: Outcome<'_>,
        place: &FetchPlace,
        known: Option<[u8; 32]>,
        now: Timestamp,
        store: &dyn SharedStore,
        owner: &mut dyn DocumentOwner,
    ) -> Result<(), FetchError> {
        if let (Outcome::Answer { status: 304, .. }, Some(current)) = (outcome, &mut self.current)
            && known == Some(current.digest)
        {
            current.confirmed_at = now;
            return Ok(());
        }
        let body = outcome.body(self.spec.max_size).map_err(FetchError::NoBody)?;
        let digest = sha256(body);
        if !self.has(digest) && !owner.accept(body) {
            return Err(FetchError::Refused);
        }
        let headers = if let Outcome::Answer { headers, .. } = outcome { headers } else { &[] };
        let etag = only(headers, "etag").and_then(valid_etag).unwrap_or_default();
        let place = place.digest();
        // Published also when it is not new: another worker may not find it in the store any more.
        self.publish(Published { place: &place, etag: &etag, body }, store);
        self.adopt(Current { digest, place, etag, confirmed_at: now });
        Ok(())
    }

    /// Writes the bytes under the document's key. Nobody takes them before the schedule names them.
    fn publish(&self, document: Published<'_>, store: &dyn SharedStore) {
        let record = document.encode();
        // If this fails, the others get the document with a fetch of their own.
        let _ = store::update(store, &self.document_key, STORE_TRIES, &mut |_| Some(record.clone()));
    }
}

/// An entity tag (RFC 9110 section 8.8.3) that can be sent back; `None` for anything else.
fn valid_etag(value: &[u8]) -> Option<String> {
    let text = str::from_utf8(value).ok().filter(|text| text.len() <= MAX_ETAG_LEN)?;
    let opaque = text.strip_prefix("W/").unwrap_or(text).strip_prefix('"')?.strip_suffix('"')?;
    opaque.bytes().all(|byte| byte == b'!' || matches!(byte, b'#'..=b'~')).then(|| text.to_owned())
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBody(fault) => fault.fmt(f),
            Self::Refused => f.write_str("refused"),
        }
    }
}
