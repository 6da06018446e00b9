//! The first stage: what the request line says, over a connection that will do.

use std::borrow::Cow;

use super::{
    Attempt,
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
        if decision == TransportDecision::Refuse {
            return Err(Reason::TlsRequired.into());
        }
        let path = CanonicalPath::parse(target).map_err(|error| error.reason())?;
        if let TransportDecision::Redirect(authority) = decision {
            return Err(Stop::Answer(redirect(&authority, &path)));
        }
        let method = str::from_utf8(method).map_err(|_| Reason::MalformedRequest)?;
        let authority = one(":authority")?;
        let host = authority::host(authority).map_err(|_| Reason::MalformedRequest)?;
        Ok(RequestLine { method, authority, host, path, secure: self.exchange.secure })
    }
}
