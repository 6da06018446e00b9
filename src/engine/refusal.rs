//! Why a request goes no further, and the answer that says so.

use std::{rc::Rc, time::Duration};

use super::{Around, Gate};
use crate::{
    answer::{Challenges, Reason, Reply},
    policy::{Action, Policy, Rule},
    rbac::Denial,
    request::{RequestHead, path::CanonicalPath},
    resource_metadata::ResourceMetadata,
};

/// Why a request goes no further.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reason: Reason,
    pub(super) reply: Rc<Reply>,
}

/// Why deciding stopped.
#[derive(Debug)]
pub(super) enum Stop {
    Refuse(Refusal),
    /// Something that was called for may still arrive.
    Wait,
}

impl<T: Into<Refusal>> From<T> for Stop {
    fn from(refusal: T) -> Self {
        Self::Refuse(refusal.into())
    }
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

/// How long until the keys that a refused token needs are fetched next; `None`: that is not why it was refused.
pub(super) fn keys_wait(gate: &Gate, rule: &Rule, reason: Reason, around: &Around<'_>) -> Option<Duration> {
    let (Reason::KeysUnavailable, Action::Allow(access)) = (reason, &rule.action) else { return None };
    let now = around.now();
    access.offer.providers.iter().filter_map(|provider| gate.keys_retry_after(*provider, now)).min()
}

/// A refusal that tells the client which credentials `rule` takes.
#[cold]
pub(super) fn refuse(policy: &Policy, rule: &Rule, denial: &Denial) -> Refusal {
    let reason = denial.reason;
    let Action::Allow(access) = &rule.action else { return reason.into() };
    let (offer, scoped) = (&*access.offer, access.scoped.as_deref());
    let own_scopes = denial.scopes.as_slice();
    let known_scopes = scoped.map(|scoped| scoped.scopes.as_slice()).unwrap_or_default();
    let scopes = if own_scopes.is_empty() { known_scopes } else { own_scopes };
    let make = || {
        let challenges = Challenges {
            realm: &policy.realm,
            bearer: offer.bearer,
            dpop: &offer.dpop_algorithms,
            api_key: offer.api_key,
            scopes,
            acr_values: denial
                .step_up
                .as_ref()
                .map(|step_up| step_up.acr_values.as_slice())
                .unwrap_or_default(),
            max_age: denial.step_up.as_ref().and_then(|step_up| step_up.max_age),
            metadata: policy.resource_metadata.as_ref().map(ResourceMetadata::url),
        };
        Reply::refusal(reason, challenges)
    };
    // Of several alternatives another one than the first may lack, and each asks for a login of its own.
    let is_own = denial.step_up.is_some() || (!own_scopes.is_empty() && own_scopes != known_scopes);
    let ready = scoped.map_or(&offer.ready, |scoped| &scoped.ready);
    let reply = if is_own { Rc::new(make()) } else { ready.reply(reason, make) };
    Refusal { reason, reply }
}
