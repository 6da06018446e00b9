//! What lasts from one attempt at a request to the next, and until its answer: where it waits, and what the answer tells.

use std::borrow::Cow;

use super::{Changes, HostServices, Purpose, Step, WorkerState, refusal::Wait, verified::Verified, withheld};
use crate::{
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
    /// The call that it waits for.
    pub(super) waits_for: Option<Purpose>,
    /// When waiting ends; `None`: it never waited.
    waits_until: Option<Timestamp>,
    /// When it first wanted for keys.
    began: Option<Timestamp>,
    /// Whose key set did not make its token's signature, and which, while it waits for another.
    pub(super) unsigned_by: Option<(usize, u64)>,
    /// What an issuer said of the actor's token, while its principal's waits: the issuer may let nothing be kept of it.
    pub(super) heard: Option<Box<(Purpose, Verdict<Verified>)>>,
    /// Its credentials were taken out of its headers, where Envoy's access log would show them if it ends while it
    /// waits.
    is_hidden: bool,
    /// Where the client stands with every limit that applied; empty where the answer does not say.
    pub(super) rate_limits: Vec<Standing>,
    /// The nonce for the client's next DPoP proof; `None`: it has a good one, or needs none.
    pub(super) dpop_nonce: Option<String>,
}

impl Exchange {
    /// Whether the outcome of a call is what it waits for, so that it is worth deciding again.
    pub fn waits_for(&self, purpose: Purpose) -> bool {
        self.waits_for == Some(purpose)
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
    pub(super) fn wait<'a>(&mut self, wait: Wait, policy: &'a Policy, head: &'a RequestHead<'a>) -> Step<'a> {
        self.waits_for = Some(wait.call);
        let is_hidden = std::mem::replace(&mut self.is_hidden, true);
        Step::Wait(if is_hidden { Changes::default() } else { withheld::from_waiting(policy, head) })
    }

    /// Whether it is told to wait. A request waits until the first deadline it was given; then it is refused.
    #[cold]
    pub(super) fn goes_on_waiting(&mut self, wait: Wait, services: &HostServices<'_>) -> bool {
        (services.may_wait)() && services.now() < *self.waits_until.get_or_insert(wait.until)
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
