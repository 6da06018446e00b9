//! The first stage: what the request line says, over a connection that will do.

use std::borrow::Cow;

use super::{
    Attempt, preflighted,
    refusal::{Stop, redirect},
};
use crate::{
    answer::Reason,
    request::{RequestHead, authority, path::CanonicalPath},
    route::RouteRequest,
    transport::TransportDecision,
};

/// The parts of the request line, each present exactly once.
pub(super) struct RequestLine<'a> {
    pub(super) method: &'a str,
    /// `:authority`.
    pub(super) authority: &'a [u8],
    pub(super) host: Cow<'a, str>,
    pub(super) path: CanonicalPath<'a>,
    /// It came over TLS.
    pub(super) secure: bool,
}

impl RequestLine<'_> {
    /// What rules are chosen by.
    pub(super) fn to_route<'l>(&'l self, head: &'l RequestHead<'l>) -> RouteRequest<'l> {
        RouteRequest {
            host: &self.host,
            method: self.method,
            path: self.path.path(),
            query: self.path.query(),
            head,
        }
    }
}

impl<'a> Attempt<'a, '_> {
    pub(super) fn read_line(&mut self) -> Result<RequestLine<'a>, Stop> {
        let (policy, head) = (self.policy(), self.head);
        let one = |name| head.single(name).one().ok_or(Reason::MalformedRequest);
        let (method, target) = (one(":method")?, one(":path")?);
        let decision = policy.transport.decide(head.tls, head.values("x-forwarded-proto"), method);
        if let TransportDecision::Pass { secure } = decision {
            self.exchange.secure = secure;
        }
        if decision == TransportDecision::Refuse && !policy.has_plain_rules {
            return Err(Reason::TlsRequired.into());
        }
        let path = policy.read_target(target).map_err(|error| error.reason())?;
        let method = str::from_utf8(method).map_err(|_| Reason::MalformedRequest)?;
        let authority = one(":authority")?;
        let host = authority::host(authority).map_err(|_| Reason::MalformedRequest)?;
        let line = RequestLine { method, authority, host, path, secure: self.exchange.secure };
        match decision {
            TransportDecision::Pass { .. } => Ok(line),
            _ if policy.has_plain_rules && self.may_be_plain(&line) => Ok(line),
            TransportDecision::Redirect(authority) => Err(Stop::Answer(redirect(&authority, &line.path))),
            TransportDecision::Refuse => Err(Reason::TlsRequired.into()),
        }
    }

    /// Whether the rule that decides the request takes plain HTTP, and the one that a CORS preflight asks about.
    #[cold]
    fn may_be_plain(&self, line: &RequestLine<'_>) -> bool {
        let policy = self.policy();
        let request = line.to_route(self.head);
        let is_plain =
            |place: usize| policy.rules.get(place).is_some_and(|rule| rule.require_tls == Some(false));
        let Ok(preflighted) = preflighted(policy, &request) else { return false };
        let Ok(found) = policy.find(&request) else { return false };
        preflighted.is_none_or(is_plain) && found.is_some_and(|matched| is_plain(matched.rule))
    }
}
