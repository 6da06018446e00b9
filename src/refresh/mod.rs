//! A document that is fetched now and then, once for all workers of one Envoy.
//!
//! Every worker holds one [`Refresh`] per document. Through the shared store exactly one of them is told to fetch
//! ([`Refresh::due`]); it hands the answer to [`Refresh::on_answer`], which publishes it, and the others take it
//! over by [`Refresh::pick_up`]. What the bytes mean is for their owner to say: only what it accepts is published.
//! Nothing here waits, sends or reads a clock.

pub(crate) mod pace;
mod record;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code may panic")]
mod tests;

use std::{fmt, time::Duration};

use self::{
    pace::{FIRST_BACKOFF, LEASE_MARGIN, expected},
    record::{Document, Schedule},
};
use crate::{
    call::{Call, Endpoint, Outcome},
    crypto::{sha256, short_digest},
    store::{SharedStore, StoreError, Versioned},
    time::Timestamp,
};

/// How often a lost race for the store is run again. Losing all of them costs one late fetch.
const STORE_TRIES: usize = 4;
/// The longest `etag` that is sent back.
const MAX_ETAG_LEN: usize = 256;

/// What to fetch and how often.
#[derive(Clone, Debug)]
pub struct RefreshSpec {
    /// Where it is.
    pub endpoint: Endpoint,
    /// The Envoy cluster that reaches it.
    pub cluster: String,
    /// `accept` of the request.
    pub accept: &'static str,
    /// The most time from one fetch to the next: a fetch is due after 3/4 to 7/8 of it. Failures wait no longer
    /// than this either.
    pub interval: Duration,
    /// Per fetch.
    pub timeout: Duration,
    /// The most bytes that a document may have.
    pub max_size: usize,
}

/// One worker's side of a document that all workers share.
#[derive(Debug)]
pub struct Refresh {
    spec: RefreshSpec,
    document_key: String,
    schedule_key: String,
    current: Option<Current>,
    /// `None`: this worker fetches nothing.
    fetching: Option<Fetching>,
    /// What was looked at last and not taken: the store's version, and the digest that it should have had.
    passed_over: Option<(u32, [u8; 32])>,
}

/// The document that this worker has taken.
#[derive(Debug)]
struct Current {
    digest: [u8; 32],
    etag: Option<String>,
    /// When the server last said that this is the document.
    confirmed_at: Timestamp,
}

/// The fetch that this worker was told to do.
#[derive(Clone, Copy, Debug)]
struct Fetching {
    random: u64,
    /// As it stands in the store while the lease is ours.
    lease_until: Timestamp,
    /// `If-None-Match` was sent.
    conditional: bool,
}

/// Why an answer brings no document. `E` is what its owner has against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshError<E> {
    /// No answer.
    Failed,
    /// The owner does not accept it.
    Refused(E),
    /// Any other status than 200, and 304 where that was not asked for.
    Status(u16),
    /// Longer than allowed.
    TooLarge {
        /// The most bytes.
        max: usize,
    },
}

impl Refresh {
    /// `topic` is unique within `namespace`, which tells policies apart that share one store.
    pub fn new(spec: RefreshSpec, topic: &str, namespace: &str) -> Self {
        let Endpoint { scheme, authority, path } = &spec.endpoint;
        // The store forgets nothing, so its keys come from the policy alone: two for each document. All that decides
        // what is fetched is in them: the same URL over another cluster may be somebody else's.
        let place = [spec.cluster.as_str(), scheme, authority, path].map(str::as_bytes);
        let place = short_digest(&place);
        let key = |what: &str| format!("{namespace}/{topic}/{place}/{what}");
        Self {
            document_key: key("document"),
            schedule_key: key("schedule"),
            spec,
            current: None,
            fetching: None,
            passed_over: None,
        }
    }

    /// When the server last said that the document this worker has is the current one; `None`: it has none.
    pub fn confirmed_at(&self) -> Option<Timestamp> {
        self.current.as_ref().map(|current| current.confirmed_at)
    }

    /// Takes over what another worker published; `None`: nothing new, or `accept` refuses it.
    ///
    /// Only the small schedule is read each time, the document when the schedule names another.
    pub fn pick_up<T, E>(
        &mut self,
        now: Timestamp,
        store: &dyn SharedStore,
        accept: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Option<T> {
        let schedule = self.schedule(store.get(&self.schedule_key).ok()?.as_ref(), now);
        // A time a little ahead is another worker's clock: never fresher than now.
        let confirmed_at = schedule.confirmed_at.min(now);
        if let Some(current) = &mut self.current
            && current.digest == schedule.digest
        {
            current.confirmed_at = current.confirmed_at.max(confirmed_at);
            return None;
        }
        // Nothing was ever published, or this worker was the first to know something newer.
        if confirmed_at == Timestamp::default() || self.confirmed_at() > Some(confirmed_at) {
            return None;
        }
        let stored = store.get(&self.document_key).ok()??;
        let looked_at = Some((stored.version, schedule.digest));
        if self.passed_over == looked_at {
            return None;
        }
        let digest = schedule.digest;
        let taken = Document::decode(&stored.value).and_then(|document| {
            // Otherwise half of a publication, or bytes of somebody else: the schedule will name it, or a fetch
            // replaces it.
            let fits = document.body.len() <= self.spec.max_size && sha256(document.body) == digest;
            let value = fits.then(|| accept(document.body).ok())??;
            Some((value, Current { digest, etag: valid_etag(document.etag.as_bytes()), confirmed_at }))
        });
        let Some((value, current)) = taken else {
            self.passed_over = looked_at;
            return None;
        };
        self.current = Some(current);
        self.passed_over = None;
        Some(value)
    }

    /// What this worker has to fetch now, if anything. `random` spreads the fetches of many Envoys.
    pub fn due(&mut self, now: Timestamp, store: &dyn SharedStore, random: u64) -> Option<Call> {
        let stored = store.get(&self.schedule_key).ok()?;
        let schedule = self.schedule(stored.as_ref(), now);
        let has_it = self.current.as_ref().is_some_and(|current| current.digest == schedule.digest);
        // The last fetch succeeded, yet there is nothing to take over: its document was lost.
        let lost = !has_it && schedule.failures == 0;
        let due_at = match lost {
            true => schedule.due_at.min(schedule.confirmed_at.saturating_add(FIRST_BACKOFF)),
            false => schedule.due_at,
        };
        if now < schedule.lease_until || now < due_at {
            return None;
        }
        let lease = Schedule {
            lease_until: now.saturating_add(self.lease()),
            due_at: now.saturating_add(pace::backoff(schedule.failures, self.spec.interval, random)),
            // Taken back on success: a holder that dies counts as a failure.
            failures: schedule.failures.saturating_add(1),
            ..schedule
        };
        // Of several workers that come here at once the store lets one through.
        store.replace(&self.schedule_key, &lease.encode(), expected(stored.as_ref())).ok()?;
        // "Not modified" helps only where all workers can have what was not modified.
        let etag = self.current.as_ref().filter(|_| has_it).and_then(|current| current.etag.clone());
        let conditional = etag.is_some();
        self.fetching = Some(Fetching { random, lease_until: lease.lease_until, conditional });
        let headers = [("accept", self.spec.accept.to_owned())]
            .into_iter()
            .chain(etag.map(|etag| ("if-none-match", etag)));
        Some(Call {
            cluster: self.spec.cluster.clone(),
            method: "GET",
            endpoint: self.spec.endpoint.clone(),
            headers: headers.collect(),
            body: Vec::new(),
            timeout: self.spec.timeout,
            max_answer: self.spec.max_size,
        })
    }

    /// Takes the outcome of the fetch that [`Refresh::due`] asked for; one that nobody asked for is ignored.
    ///
    /// `None`: the document is the one that this worker has. On an error the last good one stays.
    pub fn on_answer<T, E>(
        &mut self,
        outcome: Outcome<'_>,
        now: Timestamp,
        store: &dyn SharedStore,
        accept: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Result<Option<T>, RefreshError<E>> {
        let Some(fetching) = self.fetching.take() else { return Ok(None) };
        // An answer that took longer than its lease may be older than what the next holder published.
        let is_ours = |schedule: Schedule| schedule.lease_until == fetching.lease_until;
        let before = store.get(&self.schedule_key).ok();
        if before.is_some_and(|stored| !is_ours(self.schedule(stored.as_ref(), now))) {
            return Ok(None);
        }
        let taken = self.take(outcome, now, store, fetching.conditional, accept);
        for _ in 0..STORE_TRIES {
            let Ok(stored) = store.get(&self.schedule_key) else { break };
            let mut schedule = self.schedule(stored.as_ref(), now);
            if !is_ours(schedule) {
                break;
            }
            schedule.lease_until = Timestamp::default();
            match (&taken, &self.current) {
                (Ok(_), Some(current)) => {
                    schedule.failures = 0;
                    schedule.due_at = now.saturating_add(pace::ahead_of(self.spec.interval, fetching.random));
                    schedule.confirmed_at = current.confirmed_at;
                    schedule.digest = current.digest;
                }
                _ => {
                    let earlier_failures = schedule.failures.saturating_sub(1);
                    schedule.due_at = now.saturating_add(pace::backoff(
                        earlier_failures,
                        self.spec.interval,
                        fetching.random,
                    ));
                }
            }
            let written = store.replace(&self.schedule_key, &schedule.encode(), expected(stored.as_ref()));
            if written != Err(StoreError::Conflict) {
                break;
            }
        }
        taken
    }

    /// The two keys of the store that it uses.
    #[cfg(test)]
    pub(crate) fn store_keys(&self) -> [&str; 2] {
        [&self.document_key, &self.schedule_key]
    }

    fn take<T, E>(
        &mut self,
        outcome: Outcome<'_>,
        now: Timestamp,
        store: &dyn SharedStore,
        conditional: bool,
        accept: impl FnOnce(&[u8]) -> Result<T, E>,
    ) -> Result<Option<T>, RefreshError<E>> {
        let (headers, body) = match (outcome, &mut self.current) {
            (Outcome::Answer { status: 200, headers, body }, _) => (headers, body),
            (Outcome::Answer { status: 304, .. }, Some(current)) if conditional => {
                current.confirmed_at = now;
                return Ok(None);
            }
            (Outcome::Answer { status, .. }, _) => return Err(RefreshError::Status(status)),
            (Outcome::Failed, _) => return Err(RefreshError::Failed),
        };
        if body.len() > self.spec.max_size {
            return Err(RefreshError::TooLarge { max: self.spec.max_size });
        }
        let digest = sha256(body);
        let etag = single(headers, b"etag").and_then(valid_etag);
        let is_new = self.current.as_ref().is_none_or(|current| current.digest != digest);
        let value = if is_new { Some(accept(body).map_err(RefreshError::Refused)?) } else { None };
        // Published also when it is not new: another worker may not find it in the store any more.
        self.publish(Document { etag: etag.as_deref().unwrap_or_default(), body }, store);
        self.current = Some(Current { digest, etag, confirmed_at: now });
        Ok(value)
    }

    fn publish(&self, document: Document<'_>, store: &dyn SharedStore) {
        let record = document.encode();
        for _ in 0..STORE_TRIES {
            let Ok(stored) = store.get(&self.document_key) else { break };
            if stored.as_ref().is_some_and(|stored| stored.value == record) {
                break;
            }
            if store.replace(&self.document_key, &record, expected(stored.as_ref()))
                != Err(StoreError::Conflict)
            {
                break;
            }
        }
    }

    /// What the store says, as far as it can be true: no time lies further ahead than any worker would write it.
    fn schedule(&self, stored: Option<&Versioned>, now: Timestamp) -> Schedule {
        let mut schedule = stored.and_then(|stored| Schedule::decode(&stored.value)).unwrap_or_default();
        for (instant, furthest) in [
            (&mut schedule.lease_until, self.lease()),
            (&mut schedule.due_at, self.spec.interval.max(FIRST_BACKOFF).saturating_mul(2)),
            // Else a document would never be too old.
            (&mut schedule.confirmed_at, self.lease()),
        ] {
            if *instant > now.saturating_add(furthest) {
                *instant = Timestamp::default();
            }
        }
        schedule
    }

    fn lease(&self) -> Duration {
        self.spec.timeout.saturating_add(LEASE_MARGIN)
    }
}

/// The value of a header that stands there once.
fn single<'a>(headers: &[(&'a [u8], &'a [u8])], wanted: &[u8]) -> Option<&'a [u8]> {
    let mut values = headers.iter().filter(|(name, _)| *name == wanted).map(|(_, value)| *value);
    values.next().filter(|_| values.next().is_none())
}

/// An entity tag (RFC 9110 section 8.8.3) that can be sent back; `None` for anything else.
fn valid_etag(value: &[u8]) -> Option<String> {
    let text = str::from_utf8(value).ok().filter(|text| text.len() <= MAX_ETAG_LEN)?;
    let opaque = text.strip_prefix("W/").unwrap_or(text).strip_prefix('"')?.strip_suffix('"')?;
    opaque.bytes().all(|byte| byte == b'!' || matches!(byte, b'#'..=b'~')).then(|| text.to_owned())
}

impl<E: fmt::Display> fmt::Display for RefreshError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed => f.write_str("no answer"),
            Self::Refused(error) => error.fmt(f),
            Self::Status(status) => write!(f, "status {status}"),
            Self::TooLarge { max } => write!(f, "longer than {max} bytes"),
        }
    }
}
