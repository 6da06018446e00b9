//! The worker that reads: one question after the other, under a lease that all workers see.

use std::time::Duration;

use super::{
    MAX_VALUE, QUICK_TICK, ReadError, Replica, digest_in,
    shared::{self, Head, Put, Stamp},
};
use crate::{
    calls::{Call, NoBody, Outcome, pacing},
    etcd::{EtcdError, Item, NotYet, RANGE, Range, RangeRequest, end_of},
    store::{self, SharedStore},
    time::Timestamp,
};

/// How many keys are asked for at once. To take in so many keeps a worker from its requests for some 10 ms; with fewer
/// etcd, which looks at all keys behind the first for each page, has more to do.
pub(super) const PAGE: u32 = 1000;

/// The longest answer that is read.
const MAX_ANSWER: usize = 4 << 20;

/// The most keys that are read.
pub(super) const MOST_KEYS: u64 = 4_000_000;

/// After failures the store is asked again no later than this.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// After so long all keys are read again, whatever was told of changes: what was missed is found then.
const LIST_EVERY: Duration = Duration::from_secs(3600);

/// How much longer than its calls a lease lasts; then its holder is taken for dead.
const LEASE_MARGIN: Duration = Duration::from_secs(2);

/// How often a question is asked again at once that gets no answer. Where etcd has several members the next one gets it;
/// else a listing, which begins anew after a failure, would not come to its end while one of them is gone.
const REPEATS: u32 = 2;

/// How often a lost race for the head is run again.
const HEAD_TRIES: usize = 4;

/// What this worker reads.
#[derive(Debug)]
pub(super) struct Reading {
    step: Step,
    /// As it stands in the head while the lease is ours.
    lease_until: Timestamp,
    /// The step's call was handed out, and its outcome is due.
    sent: bool,
    /// How often that came to nothing.
    failures: u32,
}

#[derive(Clone, Debug)]
enum Step {
    /// Has anything changed?
    Probe,
    /// What has changed since `since`, this revision included.
    Changes { since: u64 },
    /// All keys from `next` on, as of `revision`; 0: as they are now, which must not be older than what is known unless the
    /// store `went_back`.
    List { epoch: u32, revision: u64, next: Vec<u8>, count: u64, went_back: bool },
}

impl Replica {
    pub(super) fn lease(&self) -> Duration {
        // Before each question there may have to be a login.
        let calls = if self.etcd.has_login() { 2 } else { 1 };
        self.spec.server.timeout.saturating_mul(calls).saturating_add(LEASE_MARGIN)
    }

    /// What every key of the store begins with that is one of ours.
    pub(super) fn prefix(&self) -> Vec<u8> {
        format!("{}{}", self.spec.server.prefix, self.spec.schema).into_bytes()
    }

    /// The next call of the reading under way, or the first of a new one that is due.
    pub(super) fn read_on(&mut self, now: Timestamp, store: &dyn SharedStore, random: u64) -> Option<Call> {
        if let Some(reading) = &self.reading {
            if reading.lease_until == self.head.lease_until {
                return if reading.sent { None } else { self.next_call(now, store) };
            }
            // It ran out, or somebody took over.
            self.reading = None;
            self.counts.end(false);
        }
        let is_rung = self.is_rung(now);
        let is_due = now >= self.head.due_at || is_rung;
        if self.head.lease_until > now || !is_due || !self.etcd.may_ask(now) {
            return None;
        }
        let lists = self.has_to_list(now);
        let head = Head {
            lease_until: now.saturating_add(self.lease()),
            // It counts as failed from the start, and no longer once it succeeds: a reader that dies has failed.
            due_at: now.saturating_add(
                pacing::backoff(self.head.failures, LONGEST_PAUSE, random).min(LONGEST_PAUSE),
            ),
            failures: self.head.failures.saturating_add(1),
            begun: self.head.begun.saturating_add(u32::from(lists)),
            ..self.head
        };
        // Of several workers that come here at once the store lets one through.
        store.replace(&self.head_key(), &head.encode(), self.stored).ok()?;
        self.head = head;
        self.counts.start();
        if let Some(watch) = &mut self.watch {
            watch.rung = false;
        }
        let step = match (lists, is_rung) {
            (true, _) => self.list(head.begun, false),
            (false, true) => self.changes(),
            (false, false) => Step::Probe,
        };
        self.reading = Some(Reading { step, lease_until: head.lease_until, sent: false, failures: 0 });
        self.next_call(now, store)
    }

    /// Whether all keys are to be read: none were yet, or a listing did not come to its end, or the last one was long ago.
    fn has_to_list(&self, now: Timestamp) -> bool {
        self.head.begun > self.head.epoch
            || self.head.epoch == 0
            || now.since(self.head.listed_at) >= LIST_EVERY
    }

    /// Whether the watch says that there may be something new. After a failure it has no say.
    fn is_rung(&self, now: Timestamp) -> bool {
        self.watch.as_ref().is_some_and(|watch| watch.rung)
            && self.head.failures == 0
            && now.since(self.head.confirmed_at) >= QUICK_TICK
    }

    fn changes(&self) -> Step {
        Step::Changes { since: self.head.revision.saturating_add(1) }
    }

    fn list(&self, epoch: u32, went_back: bool) -> Step {
        Step::List { epoch, revision: 0, next: self.prefix(), count: 0, went_back }
    }

    /// `None` while it waits for a login, or where it ends for want of one, which whoever logs in tells.
    fn next_call(&mut self, now: Timestamp, store: &dyn SharedStore) -> Option<Call> {
        let prefix = self.prefix();
        let end = end_of(&prefix);
        let page = self.page();
        let reading = self.reading.as_mut()?;
        let request =
            RangeRequest { key: &prefix, range_end: &end, limit: page, revision: 0, changed_since: 0 };
        let request = match &reading.step {
            // One key is looked for, and it need not be there: the answer has the store's revision.
            Step::Probe => RangeRequest::one(&prefix),
            Step::Changes { since } => RangeRequest { changed_since: *since, ..request },
            Step::List { revision, next, .. } => RangeRequest { key: next, revision: *revision, ..request },
        };
        match self.etcd.call(RANGE, request.body(), MAX_ANSWER, now) {
            Ok(call) => {
                reading.sent = true;
                Some(call)
            }
            Err(NotYet::LoggingIn) => None,
            Err(NotYet::Pausing) => {
                self.reading = None;
                self.counts.end(false);
                // Where that is not written, the lease runs out.
                let _ = self.release(self.head, store);
                None
            }
        }
    }

    /// How many keys are asked for at once. One fits into an answer, unless etcd takes larger requests than by default.
    fn page(&self) -> u32 {
        self.page.checked_shr(self.halvings).unwrap_or_default().max(1)
    }

    pub(super) fn take(
        &mut self,
        outcome: Outcome<'_>,
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> Result<(), ReadError> {
        let Some(reading) = self.reading.take_if(|reading| reading.sent) else { return Ok(()) };
        let is_ours = self.look(now, store).is_ok() && self.head.lease_until == reading.lease_until;
        if !is_ours {
            self.counts.end(false);
            return Ok(());
        }
        let before = self.head;
        let step = reading.step;
        let is_listing = matches!(step, Step::List { .. });
        let mut failures = 0;
        let next = match self.etcd.read(outcome, MAX_ANSWER).and_then(Range::read) {
            // A token that etcd knows no more, or more than can be read at once: the same is asked again.
            Err(EtcdError::Unauthenticated) if self.etcd.may_log_in(now) => Ok(Some(step)),
            Err(EtcdError::NoBody(NoBody::TooLarge { .. })) if self.page() > 1 => {
                self.halvings = self.halvings.saturating_add(1);
                Ok(Some(step))
            }
            Ok(range) => {
                self.halvings = self.halvings.saturating_sub(1);
                self.go_on(step, range, now, store)
            }
            Err(error) if reading.failures < REPEATS && error.may_pass() => {
                failures = reading.failures.saturating_add(1);
                Ok(Some(step))
            }
            Err(error) => Err(ReadError::Etcd(error)),
        };
        match next {
            Ok(Some(step)) => {
                let went_back = matches!(step, Step::List { went_back: true, .. }) && !is_listing;
                self.keep_reading(before, step, failures, now, store)?;
                if went_back { Err(ReadError::WentBack) } else { Ok(()) }
            }
            Ok(None) => {
                self.counts.end(true);
                let done = Head {
                    lease_until: Timestamp::default(),
                    due_at: now.saturating_add(self.spec.poll_interval),
                    confirmed_at: now,
                    failures: 0,
                    ..self.head
                };
                self.replace_head(before, done, store)
            }
            Err(error) => {
                self.counts.end(false);
                self.release(before, store)?;
                Err(error)
            }
        }
    }

    /// Takes in what came, and says what is to be asked next; `None`: everything is known. Changes `head`.
    fn go_on(
        &mut self,
        step: Step,
        range: Range,
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> Result<Option<Step>, ReadError> {
        // Another cluster, or one that was restored or made anew.
        let is_another = range.cluster_id != self.head.cluster_id
            || range.revision < self.head.revision
            || range.raft_term < self.head.raft_term;
        match step {
            Step::Probe | Step::Changes { .. } if is_another => Ok(Some(self.list(self.next_epoch(), true))),
            Step::Probe if range.revision == self.head.revision => Ok(None),
            Step::Probe => Ok(Some(self.changes())),
            Step::Changes { since } => {
                let last = range.items.last().map(|item| item.changed_at);
                let (new, changed) = self.put_all(&range.items, self.head.epoch, store)?;
                self.head.count = self.head.count.saturating_add(new);
                self.head.changes = self.head.changes.saturating_add(u64::from(changed > 0));
                match (range.more, last) {
                    // What was changed together may be told apart: the last revision is asked for again.
                    (true, Some(last)) if last > since => Ok(Some(Step::Changes { since: last })),
                    (true, _) => Ok(Some(self.list(self.next_epoch(), false))),
                    // A key that is gone is not told. The number of keys tells.
                    (false, _) if range.count != self.head.count => {
                        Ok(Some(self.list(self.next_epoch(), false)))
                    }
                    (false, _) => {
                        self.head.revision = range.revision;
                        self.head.raft_term = range.raft_term;
                        Ok(None)
                    }
                }
            }
            // A member that lags behind, or a store that was restored: whoever answers next tells which.
            Step::List { revision: 0, went_back: false, .. } if is_another && self.head.epoch > 0 => {
                Ok(Some(Step::Probe))
            }
            Step::List { epoch, revision, count, went_back, .. } => {
                if range.count > MOST_KEYS {
                    return Err(ReadError::TooMany);
                }
                self.put_all(&range.items, epoch, store)?;
                let revision = if revision == 0 { range.revision } else { revision };
                let read = u64::try_from(range.items.len()).unwrap_or(u64::MAX);
                let count = count.saturating_add(read);
                match (range.more, range.items.last()) {
                    (true, Some(last)) => {
                        // The first key behind it.
                        let next = [last.key.as_slice(), &[0]].concat();
                        Ok(Some(Step::List { epoch, revision, next, count, went_back }))
                    }
                    (true, None) => Err(ReadError::Etcd(EtcdError::Malformed)),
                    (false, _) => {
                        self.head = Head {
                            epoch,
                            changes: self.head.changes.saturating_add(1),
                            cluster_id: range.cluster_id,
                            raft_term: range.raft_term,
                            listed_at: now,
                            revision,
                            count,
                            ..self.head
                        };
                        Ok(None)
                    }
                }
            }
        }
    }

    fn next_epoch(&self) -> u32 {
        self.head.begun.saturating_add(1)
    }

    /// Writes entries; answers how many of the keys are new, and how many entries were written.
    fn put_all(&self, items: &[Item], epoch: u32, store: &dyn SharedStore) -> Result<(u64, u64), ReadError> {
        let prefix = self.prefix();
        let (mut new, mut changed) = (0_u64, 0_u64);
        for item in items {
            // Nothing else was asked for.
            let Some(id) = item.key.strip_prefix(prefix.as_slice()) else { continue };
            let value = if item.value.len() <= MAX_VALUE { item.value.as_slice() } else { &[] };
            let stamp = Stamp { epoch, changed_at: item.changed_at };
            let unshared = |_| ReadError::Unshared;
            // First the key, then the way to it: whoever finds the way finds the key.
            let put = shared::put(store, &self.by_id(id), stamp, value, self.head.epoch).map_err(unshared)?;
            new = new.saturating_add(u64::from(put == Put::New));
            changed = changed.saturating_add(u64::from(put != Put::Kept));
            if let Some(digest) = digest_in(value) {
                shared::put(store, &self.by_digest(&digest), stamp, id, self.head.epoch).map_err(unshared)?;
            }
        }
        Ok((new, changed))
    }

    /// Keeps the lease for the next step.
    fn keep_reading(
        &mut self,
        before: Head,
        step: Step,
        failures: u32,
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> Result<(), ReadError> {
        let begun = match &step {
            Step::List { epoch, .. } => self.head.begun.max(*epoch),
            _ => self.head.begun,
        };
        let head = Head { lease_until: now.saturating_add(self.lease()), begun, ..self.head };
        self.replace_head(before, head, store)?;
        self.reading = Some(Reading { step, lease_until: head.lease_until, sent: false, failures });
        Ok(())
    }

    /// Lets go of the lease, which stands in `before`: reading has failed.
    fn release(&mut self, before: Head, store: &dyn SharedStore) -> Result<(), ReadError> {
        let failed = Head { lease_until: Timestamp::default(), ..self.head };
        self.replace_head(before, failed, store)
    }

    /// Puts `head` in the place of `before`, if the lease is still ours.
    fn replace_head(&mut self, before: Head, head: Head, store: &dyn SharedStore) -> Result<(), ReadError> {
        let mut written = false;
        let outcome = store::update(store, &self.head_key(), HEAD_TRIES, &mut |stored| {
            let is_ours =
                stored.and_then(Head::decode).is_some_and(|stored| stored.lease_until == before.lease_until);
            written = is_ours;
            is_ours.then(|| head.encode())
        });
        if outcome.is_err() || !written {
            self.reading = None;
            return Err(ReadError::Unshared);
        }
        self.head = head;
        Ok(())
    }
}
