//! One attempt at a request: what every stage is given.

use std::fmt;

use super::{Exchange, HostServices, WorkerState, record::Trace, refusal::Stop};
use crate::{
    answer::Reason,
    jose::CompactToken,
    policy::{Policy, Rule},
    request::RequestHead,
    route::{Doubt, Unclear},
    time::Timestamp,
};

/// All that a stage may need: the worker, the request and the host; what lasts from one attempt at a request to the
/// next (`exchange`); and what this attempt has found out (`trace`).
pub(super) struct Attempt<'a, 'e> {
    pub(super) worker: &'a WorkerState,
    pub(super) head: &'a RequestHead<'a>,
    pub(super) services: &'e HostServices<'e>,
    pub(super) exchange: &'e mut Exchange,
    pub(super) trace: Trace,
}

impl<'a, 'e> Attempt<'a, 'e> {
    pub(super) fn new(
        worker: &'a WorkerState,
        head: &'a RequestHead<'a>,
        services: &'e HostServices<'e>,
        exchange: &'e mut Exchange,
    ) -> Self {
        Self { worker, head, services, exchange, trace: Trace::default() }
    }

    pub(super) fn policy(&self) -> &'a Policy {
        self.worker.policy()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.services.now()
    }

    /// The rule that decides, once it is known.
    pub(super) fn rule(&self) -> Option<&'a Rule> {
        self.trace.rule.and_then(|rule| self.policy().rules.get(rule))
    }

    /// Whether a refusal for `reason` is going to be recorded. If not, nothing is put together for its record.
    fn is_recorded(&self, reason: Reason) -> bool {
        self.services.log_enabled.refused && self.worker.records_refusal(reason, self.trace.rule)
    }

    /// Refuses for `reason`, and notes what is wrong for operators.
    #[cold]
    pub(super) fn refused(&mut self, detail: &dyn fmt::Display, reason: Reason) -> Stop {
        self.note(detail, reason);
        Stop::Refuse(reason)
    }

    /// Notes what is wrong with what may be refused for `reason`.
    #[cold]
    pub(super) fn note(&mut self, detail: &dyn fmt::Display, reason: Reason) {
        if self.is_recorded(reason) {
            self.trace.detail = Some(detail.to_string());
        }
    }

    /// Keeps what a token says of itself that may be refused for `reason`.
    #[cold]
    pub(super) fn keep_token(&mut self, token: CompactToken<'_>, reason: Reason) {
        if self.is_recorded(reason) {
            self.trace.keep_token(token);
        }
    }

    /// Refuses a request of which nobody can tell which rule it is for.
    #[cold]
    pub(super) fn unclear(&mut self, unclear: &Unclear<'_>) -> Stop {
        self.trace.rule = Some(unclear.rule);
        let reason = match unclear.doubt {
            Doubt::Name => Reason::AmbiguousName,
            Doubt::Value => Reason::AmbiguousValue,
            Doubt::Path => Reason::PathTooLong,
        };
        self.refused(unclear, reason)
    }
}
