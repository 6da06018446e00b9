//! What lasts from one attempt at a request to the next, and until its answer: where it waits, and what the answer tells.

use std::borrow::Cow;

use super::{
    Changes, HostServices, Purpose, Step, WorkerState,
    admitted::Admitted,
    refusal::{Awaited, Wait},
    shadow_outcome::ShadowLimit,
    verified::Verified,
    withheld,
};
use crate::{
    answer::Reason,
    dpop,
    introspection::Verdict,
    policy::Policy,
    rate_limit::{self, Standing},
    request::RequestHead,
    time::Timestamp,
};

/// One request and its answer. A request is decided once.
#[derive(Debug, Default)]
pub struct Exchange {
    /// The answer travels over TLS.
    pub(super) secure: bool,
    /// The throttle before authentication has charged it.
    pub(super) throttled: bool,
    /// What became of it at limits that refuse nothing; `None`: they would let it pass, or there are none.
    pub(super) shadow_limit: Option<ShadowLimit>,
    /// What it waits for, or waited for last.
    awaited: Option<Awaited>,
    /// When waiting for calls ends; `None`: it never waited for one since its body came.
    waits_until: Option<Timestamp>,
    /// When waiting for its body ends; `None`: it never waited for it, or has it.
    pub(super) body_until: Option<Timestamp>,
    /// When it first wanted for keys.
    began: Option<Timestamp>,
    /// Whose key set did not make its token's signature, and which, while it waits for another.
    pub(super) unsigned_by: Option<(usize, u64)>,
    /// A token that no key of its issuer made, and why it was refused: kept where a shadow may ask about it again.
    pub(super) refused_token: Option<(Box<[u8]>, Reason)>,
    /// What issuers said of its tokens, while it waits for something else: they may let nothing be kept of it. One for each
    /// provider.
    pub(super) heard: Vec<(Purpose, Verdict<Verified>)>,
    /// What it was found to be, while it waits for what is asked of it beside.
    pub(super) admitted: Option<Box<Admitted>>,
    /// Its credentials were taken out of its headers, where Envoy's access log would show them if it ends while it
    /// waits.
    is_hidden: bool,
    /// Where the client stands with every limit that applied; empty where the answer does not say.
    pub(super) rate_limits: Vec<Standing>,
    /// The nonce for the client's next DPoP proof; `None`: it has a good one, or needs none.
    pub(super) dpop_nonce: Option<String>,
}

impl Exchange {
    /// What an attempt begins with that decides nothing: what was heard so far, and nothing to wait for.
    pub(super) fn dry(&self) -> Self {
        Self {
            secure: self.secure,
            heard: self.heard.clone(),
            refused_token: self.refused_token.clone(),
            ..Self::default()
        }
    }

    /// Whether the outcome of a call is what it waits for, so that it is worth deciding again.
    pub fn waits_for(&self, purpose: Purpose) -> bool {
        self.waits_for_call() == Some(purpose)
    }

    /// The call that it waits for, or waited for last.
    pub(super) fn waits_for_call(&self) -> Option<Purpose> {
        match self.awaited {
            Some(Awaited::Call(purpose)) => Some(purpose),
            _ => None,
        }
    }

    /// How long its body may be, if that is what it waits for.
    pub fn waits_for_body(&self) -> Option<usize> {
        match self.awaited {
            Some(Awaited::Body(body)) => Some(body.limit),
            _ => None,
        }
    }

    /// Whether it is worth deciding again although nothing has come: of a request that waits for its body it is when time is
    /// up.
    pub fn is_due(&self, now: Timestamp) -> bool {
        match self.awaited {
            Some(Awaited::Body(body)) => body.until <= now,
            _ => true,
        }
    }

    /// Whether [`Exchange::on_response`] has any header.
    pub fn has_response(&self, worker: &WorkerState) -> bool {
        self.dpop_nonce.is_some()
            || !self.rate_limits.is_empty()
            || (self.secure && worker.policy().transport.hsts().is_some())
    }

    /// Headers to set on the answer, whoever made it.
    pub fn on_response<'a>(
        &'a self,
        worker: &'a WorkerState,
    ) -> impl Iterator<Item = (&'static str, Cow<'a, str>)> {
        let hsts = self.secure.then(|| worker.policy().transport.hsts()).flatten();
        let hsts = hsts.map(|value| ("strict-transport-security", value));
        let rate_limits = rate_limit::headers::all(&worker.policy().limiter, &self.rate_limits);
        let nonce = self.dpop_nonce.as_deref().map(|nonce| (dpop::NONCE_HEADER, nonce));
        hsts.into_iter().chain(nonce).map(|(name, value)| (name, Cow::Borrowed(value))).chain(rate_limits)
    }

    /// Has credentials taken out of the headers, the first time alone: the host keeps the head as it came, to be
    /// decided on.
    #[cold]
    pub(super) fn wait<'a>(
        &mut self,
        awaited: Awaited,
        policy: &'a Policy,
        head: &'a RequestHead<'a>,
    ) -> Step<'a> {
        self.awaited = Some(awaited);
        let is_hidden = std::mem::replace(&mut self.is_hidden, true);
        Step::Wait(if is_hidden { Changes::default() } else { withheld::from_waiting(policy, head) })
    }

    /// Whether it is told to wait. A request waits until the first deadline it was given; then it is refused.
    #[cold]
    pub(super) fn goes_on_waiting(&mut self, wait: Wait, services: &HostServices<'_>) -> bool {
        (services.may_wait)() && services.now() < *self.waits_until.get_or_insert(wait.until)
    }

    /// Its body has come. The time that its client took for it is none of those who answer calls.
    pub(super) fn body_has_come(&mut self) {
        if self.body_until.take().is_some() {
            self.waits_until = None;
        }
    }

    /// When the request came, as far as waiting goes.
    pub(super) fn began(&mut self, services: &HostServices<'_>) -> Timestamp {
        *self.began.get_or_insert(services.now())
    }

    /// Whether it may still be told to wait for something that is not under way yet.
    pub(super) fn may_wait(&self, services: &HostServices<'_>) -> bool {
        self.waits_until.is_none_or(|until| services.now() < until) && (services.may_wait)()
    }
}
