//! Why a request goes no further, and the answer that says so.

use std::rc::Rc;

use super::Purpose;
use crate::{
    answer::{Challenges, Reason, Reply},
    identity::Party,
    policy::{Action, Policy, Rule},
    rbac::{Denial, StepUp},
    request::{RequestHead, path::CanonicalPath},
    time::Timestamp,
};

/// Why deciding stopped.
#[derive(Debug)]
pub(super) enum Stop {
    /// Refused, with the answer that goes with the reason and what the rule takes.
    Refuse(Reason),
    /// Refused, with an answer of its own.
    Answer(Refusal),
    /// Something that was called for may still arrive.
    Wait(Wait),
    /// The rest of the request's body may.
    AwaitBody(AwaitedBody),
}

/// The body that a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AwaitedBody {
    /// Of a longer one nothing is read.
    pub(super) limit: usize,
    pub(super) until: Timestamp,
}

/// What a request waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    Call(Purpose),
    Body(AwaitedBody),
}

/// What is waited for. Any stage may wait for any call: the request is decided again from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) call: Purpose,
    pub(super) until: Timestamp,
    /// Why the request is refused if it does not arrive, or may not be waited for.
    pub(super) otherwise: Reason,
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Self::Refuse(reason)
    }
}

/// A refusal with its answer.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    pub(super) reply: Rc<Reply>,
}

impl From<Reason> for Refusal {
    #[cold]
    #[inline(never)]
    fn from(reason: Reason) -> Self {
        Self { reason, reply: Rc::new(Reply::refusal(reason, Challenges::default())) }
    }
}

impl Refusal {
    /// The answer as the client reads it that sent `head`.
    pub(super) fn reply_to(self, head: &RequestHead<'_>) -> Rc<Reply> {
        if head.is_grpc() { Rc::new(self.reply.in_grpc(self.reason)) } else { self.reply }
    }
}

/// The same target over TLS.
#[inline(never)]
pub(super) fn redirect(authority: &str, path: &CanonicalPath<'_>) -> Refusal {
    let query = path.query().map(|query| format!("?{query}")).unwrap_or_default();
    let location = format!("https://{authority}{}{query}", path.path());
    Refusal { reason: Reason::TlsRequired, reply: Rc::new(Reply::redirect(location)) }
}

/// A refusal that tells the client which credentials `rule` takes.
#[cold]
pub(super) fn refuse(policy: &Policy, rule: &Rule, denial: &Denial) -> Refusal {
    let reason = denial.reason;
    let Action::Allow(access) = &rule.action else { return reason.into() };
    // Whoever lacks both is told of both.
    let is_of_actor = denial.party == Party::Actor && reason != Reason::CredentialsMissing;
    let (accepted, scoped) = match &access.accepted.actor {
        Some(actor) if is_of_actor => (&**actor, None),
        _ => (&*access.accepted, access.scoped.as_deref()),
    };
    let actor = accepted.actor.as_deref().filter(|_| reason == Reason::CredentialsMissing);
    let own_scopes = match &access.requirement {
        // It is not ready, for other rules may take the same actors.
        Some(requirement) if is_of_actor && denial.scopes.is_empty() => requirement.scopes(Party::Actor),
        _ => denial.scopes.as_slice(),
    };
    let known_scopes = scoped.map(|scoped| scoped.scopes.as_slice()).unwrap_or_default();
    let scopes = if own_scopes.is_empty() { known_scopes } else { own_scopes };
    let own_algorithms = accepted.dpop_algorithms.as_slice();
    let make = || {
        let challenges = Challenges {
            realm: &policy.realm,
            bearer: accepted.bearer || actor.is_some_and(|actor| actor.bearer),
            dpop: actor
                .filter(|_| accepted.dpop_algorithms.is_empty())
                .map_or(own_algorithms, |actor| &actor.dpop_algorithms),
            api_key: accepted.api_key || actor.is_some_and(|actor| actor.api_key),
            scopes,
            acr_values: denial
                .step_up
                .as_ref()
                .map(|step_up| step_up.acr_values.as_slice())
                .unwrap_or_default(),
            max_age: denial.step_up.as_deref().and_then(StepUp::max_age),
            passkey_options: denial.step_up.as_deref().and_then(StepUp::passkey_options),
            metadata: accepted.resource.as_ref().map(|resource| resource.metadata.url()),
        };
        Reply::refusal(reason, challenges)
    };
    // Of several alternatives another one than the first may lack, and each asks for a login of its own.
    let is_own = denial.step_up.is_some() || (!own_scopes.is_empty() && own_scopes != known_scopes);
    let ready = scoped.map_or(&accepted.ready, |scoped| &scoped.ready);
    let reply = if is_own { Rc::new(make()) } else { ready.reply(reason, make) };
    Refusal { reason, reply }
}
