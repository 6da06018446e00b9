//! One attempt at a request: what every stage is given.

use std::{fmt, rc::Rc, time::Duration};

use super::{
    Exchange, HostServices, WorkerState,
    record::Trace,
    refusal::{Refusal, Stop, refuse},
};
use crate::{
    answer::Reason,
    dpop,
    jose::CompactToken,
    policy::{Action, Policy, Rule},
    rate_limit,
    rbac::Denial,
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
    /// It decides nothing, and uses nothing up; `None`: it decides.
    pub(super) dry: Option<Dry>,
}

/// An attempt that decides nothing.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dry {
    /// What the request has that is good once was used before.
    pub(super) is_replayed: bool,
}

impl<'a, 'e> Attempt<'a, 'e> {
    pub(super) fn new(
        worker: &'a WorkerState,
        head: &'a RequestHead<'a>,
        services: &'e HostServices<'e>,
        exchange: &'e mut Exchange,
    ) -> Self {
        Self { worker, head, services, exchange, trace: Trace::default(), dry: None }
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
        self.refused(unclear, reason_of(unclear))
    }

    /// The refusal for `reason`. It tells the client which credentials the rule takes, where a rule is known.
    #[cold]
    #[inline(never)]
    pub(super) fn refusal(&mut self, reason: Reason) -> Refusal {
        let mut refusal = match self.rule() {
            Some(rule) => {
                let denial = Denial { party: self.trace.party, ..reason.into() };
                refuse(self.policy(), rule, &denial)
            }
            None => reason.into(),
        };
        if let Some(nonce) = self.trace.dpop_nonce.take() {
            Rc::make_mut(&mut refusal.reply).headers.push((dpop::NONCE_HEADER, nonce));
        }
        if let Some(wait) = self.keys_wait(reason) {
            Rc::make_mut(&mut refusal.reply).set_retry_after(rate_limit::headers::retry_after(wait));
        }
        refusal
    }

    /// How long until the keys that a refused token needs are fetched next; `None`: that is not why it was refused.
    fn keys_wait(&self, reason: Reason) -> Option<Duration> {
        let (Reason::KeysUnavailable, Action::Allow(access)) = (reason, &self.rule()?.action) else {
            return None;
        };
        let providers = access
            .accepted
            .of(self.trace.party)
            .providers
            .iter()
            .filter_map(|provider| self.worker.state_of(provider));
        providers.filter_map(|provider| provider.keys_retry_after(self.now())).min()
    }
}

/// Why a request is refused of which nobody can tell which rule it is for.
pub(super) const fn reason_of(unclear: &Unclear<'_>) -> Reason {
    match unclear.doubt {
        Doubt::Name => Reason::AmbiguousName,
        Doubt::Value => Reason::AmbiguousValue,
        Doubt::Path => Reason::PathTooLong,
        Doubt::EncodedSlash | Doubt::MatrixParameters => Reason::AmbiguousPath,
    }
}
