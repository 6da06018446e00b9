//! How often API keys are used, and when last: counted by each worker, and handed on once in an interval.

use std::{fmt::Write as _, rc::Rc, time::Duration};

use super::{HostServices, record::Trace};
use crate::{
    answer::Reason,
    api_key::{NotWritten, UsageSpec, UsageTo, UseRecords},
    calls::{Call, Outcome},
    etcd::Client,
    identity::{Party, PrincipalKind},
    time::{Timestamp, nanos},
    usage::{Usage, Uses},
};

/// How many keys one line of the log has.
const MOST_IN_A_LINE: usize = 100;

/// Intervals of different workers are this part longer at most, so that not all write at once.
const SPREAD: u32 = 8;

/// What one worker counts.
pub(super) struct KeyUses {
    usage: Usage,
    interval: Duration,
    /// When the interval ends; `None`: none has begun.
    due_at: Option<Timestamp>,
    /// `None`: they are for the log.
    records: Option<UseRecords>,
    /// Lines for the log.
    told: Vec<String>,
}

impl KeyUses {
    /// `etcd` is where keys are kept; without one they are told to the log.
    pub(super) fn new(spec: &UsageSpec, etcd: Option<&Rc<Client>>) -> Self {
        let etcd = etcd.filter(|_| spec.to == UsageTo::Etcd);
        Self {
            usage: Usage::default(),
            interval: spec.interval,
            due_at: None,
            records: etcd.map(|etcd| UseRecords::new(Rc::clone(etcd))),
            told: Vec::new(),
        }
    }

    /// Counts the keys of a request that was decided, but one that was itself refused.
    #[inline(never)]
    pub(super) fn count(&mut self, trace: &Trace, reason: Option<Reason>) {
        for party in [Party::Principal, Party::Actor] {
            let Some(caller) = trace.callers.of(party) else { continue };
            let is_refused = trace.party == party && reason.is_some_and(is_about_a_key);
            if caller.principal.kind == PrincipalKind::ApiKey && !is_refused {
                self.usage.count(&caller.principal.credential_id);
            }
        }
    }

    pub(super) fn tick(&mut self, services: &HostServices<'_>, jitter: u64) -> Option<Call> {
        let now = services.now();
        self.usage.set_time(now);
        let spread = self.interval.checked_div(SPREAD).unwrap_or_default();
        let jitter = Duration::from_nanos(jitter.checked_rem(nanos(spread)).unwrap_or_default());
        let next = now.saturating_add(self.interval).saturating_add(jitter);
        let due_at = *self.due_at.get_or_insert(next);
        let is_done = self.records.as_ref().is_none_or(UseRecords::is_done);
        if is_done && !due_at.lies_ahead(now, self.interval.saturating_add(spread)) {
            self.due_at = Some(next);
            self.tell_others();
            let uses = self.usage.take();
            match &mut self.records {
                Some(records) => records.write(uses),
                None => self.tell(&uses),
            }
        }
        self.records.as_mut()?.next_call(now)
    }

    /// What was not written is written with what is counted until the next time.
    pub(super) fn on_answer(&mut self, outcome: Outcome<'_>, now: Timestamp) -> Result<(), NotWritten> {
        let Some(records) = &mut self.records else { return Ok(()) };
        records.on_answer(outcome, now).inspect_err(|_| {
            records.give_back().for_each(|(id, uses)| self.usage.add(&id, uses));
        })
    }

    /// Lines for the log since the last time.
    pub(super) fn take_told(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told)
    }

    /// The same for all that is left, also of what was for etcd: nothing more can be sent.
    pub(super) fn end(&mut self) -> Vec<String> {
        if let Some(records) = &mut self.records {
            records.give_back().for_each(|(id, uses)| self.usage.add(&id, uses));
        }
        let uses = self.usage.take();
        self.tell(&uses);
        self.tell_others();
        self.take_told()
    }

    fn tell(&mut self, uses: &[(Box<str>, Uses)]) {
        for some in uses.chunks(MOST_IN_A_LINE) {
            let mut line = "{\"keysUsed\":{".to_owned();
            for (place, (id, uses)) in some.iter().enumerate() {
                let comma = if place == 0 { "" } else { "," };
                // An id holds nothing that JSON would escape, and writing to a string does not fail.
                let _ = write!(line, "{comma}\"{id}\":{}", uses.to_json());
            }
            line.push_str("}}");
            self.told.push(line);
        }
    }

    fn tell_others(&mut self) {
        if let others @ 1.. = self.usage.take_others() {
            self.told.push(format!("{{\"keysUsed\":{{}},\"others\":{others}}}"));
        }
    }
}

/// Whether a request was refused because of its key itself.
fn is_about_a_key(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ApiKeyUnknown
            | Reason::ApiKeyExpired
            | Reason::ApiKeyNotYetValid
            | Reason::ApiKeyDisabled
            | Reason::ApiKeyRevoked
            | Reason::ApiKeyRestricted
    )
}
