//! Which windows of a limit are in force, over all filters of one name, and since when.
//!
//! Filters of one name and VM share their counters. Two of them may have other windows under the same limit, and so may
//! one filter before and after an update. From the configuration alone the two cannot be told apart, yet filters that
//! stand side by side must not touch each other's counts, and an update must go on with what was used. What tells them
//! apart is the order in which things happen: filters that are configured together are there before any of them counts
//! a request, while an update comes when its predecessor has counted.
//!
//! So windows are in force for a *term*: from when the first filter with them was configured until the last one is
//! gone. A record in the store says of each term of a limit when it began, when the first request was counted under it,
//! and that somebody still has it. A term follows all before it that had counted when it began: in each slot it carries
//! over once what was owed under them then, the most that counts for a client. It leaves all others alone. Terms are
//! told by when they began: in nanoseconds since the epoch, but always later than all that the record has, whatever the
//! clock does.
//!
//! **What this cannot tell:** a second filter that is added later, with other windows for a limit of the same name, and
//! an update of one of two such filters: both start from the most that each client had used by then under any of the
//! others. They never change what those count. While workers change over, and while a listener drains, requests that
//! the old policy decides are counted under its term alone. Windows that come back while their term still lasts go on
//! where it was.
//!
//! The record is looked at when a filter is configured, by it and by those that are there already; when it counts its
//! first request under a limit; and on ticks. Never for an ordinary request.

use std::time::Duration;

use super::{
    limits::{Limiter, Plan},
    section::Head,
    terms_record::{Entry, Record},
};
use crate::{
    store::{SharedStore, StoreError, update},
    time::{Clock, Timestamp},
};

/// How soon a worker looks again, at the soonest.
const PACE: Duration = Duration::from_millis(200);

/// How often a lost race for the store is run again.
const TRIES: usize = 8;

/// The terms of one worker's limits.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    /// By the number of the table.
    tables: Vec<Option<Term>>,
    next_look: Timestamp,
}

/// What one worker knows of the term of one table, and of others of the same table.
#[derive(Clone, Debug)]
pub(super) struct Term {
    own: Line,
    /// The store has it that requests are counted.
    counts: bool,
    /// Others that last, and may still have to carry over something.
    others: Vec<Line>,
}

/// A term, and what it follows.
#[derive(Clone, Debug)]
pub(super) struct Line {
    head: Head,
    /// When those older terms began that had counted nothing by the time this one began. It does not follow them.
    beside: Vec<u64>,
}

impl Terms {
    /// Says that these limits are in force, and looks which others are, if it did not do so just now: to be called a
    /// few times a second. What fails is made up for the next time.
    pub fn on_tick(&mut self, limiter: &Limiter, clock: &Clock, store: &dyn SharedStore) {
        if limiter.plans().next().is_none() {
            return;
        }
        let now = clock.now();
        if !self.next_look.lies_ahead(now, PACE) {
            self.confirm(limiter, clock, store);
        }
    }

    /// Does what [`Terms::on_tick`] does, at once: to be called when a filter of this name is configured, this one or
    /// another, before it counts anything.
    pub fn confirm(&mut self, limiter: &Limiter, clock: &Clock, store: &dyn SharedStore) {
        for plan in limiter.plans() {
            let _ = self.look(plan, false, clock.now(), store);
            self.next_look = clock.now().saturating_add(PACE);
        }
    }

    /// Makes sure that the store knows that requests are counted under the plan's term.
    pub(super) fn count(
        &mut self,
        plan: &Plan,
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> Result<(), StoreError> {
        match self.of(plan) {
            Ok(term) if term.counts => Ok(()),
            _ => self.look(plan, true, now, store),
        }
    }

    /// The plan's term, once it counts.
    pub(super) fn of(&self, plan: &Plan) -> Result<&Term, StoreError> {
        self.tables.get(plan.table).and_then(Option::as_ref).ok_or(StoreError::Unavailable)
    }

    /// Confirms the plan's term, or begins it, and learns what the store knows of others.
    #[cold]
    #[inline(never)]
    fn look(
        &mut self,
        plan: &Plan,
        counts: bool,
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> Result<(), StoreError> {
        if self.tables.len() <= plan.table {
            self.tables.resize(plan.table.saturating_add(1), None);
        }
        let term = self.tables.get_mut(plan.table).ok_or(StoreError::Unavailable)?;
        let counts = counts || term.as_ref().is_some_and(|term| term.counts);
        let known = term.as_ref().map(|term| term.own.head.since());
        let key = format!("{}terms", plan.prefix);
        let mut looked = None;
        update(store, &key, TRIES, &mut |stored| {
            // Bytes that are no record count as if nothing were stored.
            let mut record = stored.and_then(Record::decode).unwrap_or_default();
            let own = record.confirm(&plan.windows, known, counts, now);
            looked = Some(Term::new(&own, &record, now));
            Some(record.encode())
        })
        // As long as its term is not known, no request can be judged by the limit.
        .map_err(|_| StoreError::Unavailable)?;
        *term = looked;
        Ok(())
    }
}

impl Term {
    /// One that began at `since`, and leaves those alone that began at `beside`.
    #[cfg(test)]
    pub(super) fn of_test(quotas: &[super::quota::Quota], since: u64, beside: &[u64]) -> Self {
        let own = Line { head: Head::new(quotas, since), beside: beside.to_vec() };
        Self { own, counts: true, others: Vec::new() }
    }

    fn new(own: &Entry, record: &Record, now: Timestamp) -> Self {
        let since = own.head.since();
        let others = record.entries().filter(|other| {
            other.head.since() != since
                && other.lasts(now)
                && now.as_nanos() < other.head.carries_over_until()
        });
        Self {
            own: Line::new(own, record),
            counts: own.counts_since != 0,
            others: others.map(|other| Line::new(other, record)).collect(),
        }
    }

    pub(super) const fn own(&self) -> &Line {
        &self.own
    }

    /// Others that last, and may still have to carry over something.
    pub(super) fn others(&self) -> &[Line] {
        &self.others
    }
}

impl Line {
    fn new(entry: &Entry, record: &Record) -> Self {
        let since = entry.head.since();
        let beside = record.entries().filter(|other| !other.counted_before(since));
        let beside = beside.map(|other| other.head.since()).filter(|other| *other < since);
        Self { head: entry.head.clone(), beside: beside.collect() }
    }

    /// What its sections begin with.
    pub(super) const fn head(&self) -> &Head {
        &self.head
    }

    /// Whether it carries over what is owed under the term that began at `since`.
    pub(super) fn follows(&self, since: u64) -> bool {
        since < self.head.since() && !self.beside.contains(&since)
    }
}

#[cfg(test)]
#[path = "terms_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "terms_properties.rs"]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of tests")]
mod properties;
