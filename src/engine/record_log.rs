//! Records and messages for the log: which of those that are alike are written, and how.

use super::{
    HostServices, WorkerState,
    record::{RecordKind, Trace},
    record_chain::Chain,
    record_members::Member,
    shadow_outcome::ShadowOutcome,
};
use crate::{answer::Reason, request::RequestHead, sampling::Repeated};

impl WorkerState {
    /// The record of a refused request, where it is to be written now. `target` as for [`Trace::record`]. To be asked
    /// where the log takes it.
    #[cold]
    pub(super) fn record_refusal(
        &self,
        trace: &Trace,
        head: &RequestHead<'_>,
        target: Option<&str>,
        reason: Reason,
        services: &HostServices<'_>,
    ) -> Option<String> {
        let record = || trace.record(&self.policy, head, target, Some(reason));
        self.sampled(trace, reason, record).map(|record| self.as_written(record, services))
    }

    /// The record of an allowed request that a shadow would refuse, likewise; `None`: it would not.
    #[cold]
    pub(super) fn record_would_deny(
        &self,
        trace: &Trace,
        head: &RequestHead<'_>,
        services: &HostServices<'_>,
    ) -> Option<String> {
        let shadow = trace.shadow.as_ref().filter(|shadow| shadow.outcome == ShadowOutcome::WouldDeny)?;
        let record = || trace.record(&self.policy, head, None, None);
        self.sampled(trace, shadow.reason, record).map(|record| self.as_written(record, services))
    }

    fn sampled(&self, trace: &Trace, reason: Reason, record: impl FnOnce() -> String) -> Option<String> {
        let kind = RecordKind {
            reason,
            rule: trace.rule,
            ends_stream: trace.ends_stream,
            shadow: trace.shadow.as_ref().map(|shadow| shadow.outcome),
        };
        if self.policy.log_all_denied {
            Some(record())
        } else {
            self.refusals.borrow_mut().note(kind, record)
        }
    }

    /// A record as it is written: with its place in the chain, where the policy wants one. To be called in the order in
    /// which records are written, for those alone that the log takes: the chain tells of each that is missing.
    pub(super) fn as_written(&self, record: String, services: &HostServices<'_>) -> String {
        if !self.policy.chain_records {
            return record;
        }
        let mut chain = self.chain.borrow_mut();
        if chain.is_none() {
            // Without randomness there is no chain, which shows.
            *chain = (services.random)().map(Chain::new);
        }
        match chain.as_mut() {
            Some(chain) => chain.add(&record, self.policy.record_names),
            None => record,
        }
    }

    /// Whether a record of one more refusal for `reason`, by the rule at `rule`, is going to be put together.
    pub(super) fn records_refusal(&self, reason: Reason, rule: Option<usize>) -> bool {
        let refusals = self.refusals.borrow();
        let wants = |shadow| refusals.wants(&RecordKind { reason, rule, ends_stream: false, shadow });
        // What a shadow says of it is not known yet.
        let shadows = || ShadowOutcome::ALL.into_iter().any(|outcome| wants(Some(outcome)));
        self.policy.log_all_denied || wants(None) || (self.policy.has_shadow_rules() && shadows())
    }

    /// A message for the operator that clients may cause any number of times, where it is to be written now.
    pub fn warning(&self, message: String) -> Option<String> {
        let mut warnings = self.warnings.borrow_mut();
        warnings.note(message.clone(), || message)
    }

    /// To be called a few times a second: what to write of records and warnings that were only counted.
    pub fn take_repeated(&self, services: &HostServices<'_>) -> Vec<String> {
        let now = services.now();
        self.told(self.refusals.borrow_mut().flush(now), self.warnings.borrow_mut().flush(now), services)
    }

    /// The same for all that is left, when the last request was decided.
    pub fn end_repeated(&self, services: &HostServices<'_>) -> Vec<String> {
        self.told(self.refusals.borrow_mut().end(), self.warnings.borrow_mut().end(), services)
    }

    /// As they are written: a record has the member `repeated` with how many it stands for, a message ends with that
    /// number.
    fn told(
        &self,
        records: Vec<Repeated>,
        messages: Vec<Repeated>,
        services: &HostServices<'_>,
    ) -> Vec<String> {
        let name = Member::Repeated.name(self.policy.record_names);
        let record = |told: Repeated| match told.text.strip_suffix('}') {
            Some(record) => format!("{record},\"{name}\":{}}}", told.times),
            None => told.text,
        };
        let message = |told: Repeated| format!("{} ({} times more)", told.text, told.times);
        let takes = services.log_enabled.refused;
        let records = records.into_iter().filter(|_| takes).map(record);
        let records = records.map(|record| self.as_written(record, services));
        records.chain(messages.into_iter().map(message)).collect()
    }
}
