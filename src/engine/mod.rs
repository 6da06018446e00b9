//! The decision, step by step. No input or output: the host hands over a request head, the time and access to
//! shared state, and carries out the [`Verdict`].

mod authenticate;
mod bearer;
mod binding;
mod caller;
mod forward;
mod gate;
mod opaque;
#[cfg(test)]
mod open_tests;
mod record;
mod refusal;
mod step;
mod token_cache;
mod withheld;

pub use caller::Caller;
pub use gate::{Around, Gate, Purpose, Readers};
pub use step::{Changes, Step, Text, Verdict};
pub use withheld::names_without_policy;

use std::{borrow::Cow, rc::Rc};

use authenticate::{Unverified, authenticate};
use record::Trace;
use refusal::{Refusal, Stop, keys_wait, redirect, refuse};

use crate::{
    answer::{Reason, Reply},
    dpop,
    introspection::Ticket,
    policy::{Action, Policy, Rule},
    rate_limit::{self, Ledger, LimitId, Outcome, Status, Subject},
    request::{RequestHead, authority, path::CanonicalPath, preflight},
    route::{RouteMatch, RouteRequest, Unclear},
    time::{Clock, Timestamp},
    transport::TransportDecision,
};

/// One request and its answer. A request is decided once.
#[derive(Debug, Default)]
pub struct Exchange {
    /// The answer travels over TLS.
    secure: bool,
    /// The throttle before authentication has charged it.
    throttled: bool,
    /// The answer that it waits for, and the index of the provider that gives it.
    ticket: Option<(usize, Ticket)>,
    /// When waiting ends; `None`: it never waited.
    waits_until: Option<Timestamp>,
    /// When it first wanted for keys.
    began: Option<Timestamp>,
    /// Which of its provider's key sets did not make its token's signature, while it waits for another.
    unsigned_by: Option<u64>,
    /// What its headers must not show while it waits was taken out of them.
    is_hidden: bool,
    /// Where the client stands with every limit that applied; empty where the answer does not say.
    rate_limits: Vec<Status>,
    /// The nonce for the client's next DPoP proof; `None`: it has a good one, or needs none.
    dpop_nonce: Option<String>,
}

/// The parts of the request line, each present exactly once.
struct RequestLine<'a> {
    method: &'a str,
    /// `:authority`.
    authority: &'a [u8],
    host: Cow<'a, str>,
    path: CanonicalPath<'a>,
    /// It came over TLS.
    secure: bool,
}

impl Exchange {
    /// Decides a request. After [`Step::Wait`] it is to be called again with the same request; nothing is
    /// charged twice.
    ///
    /// The order is fixed: transport, path, throttle before authentication, rule, authentication,
    /// authorization, rate limits. Whatever cannot be read or computed refuses the request.
    pub fn on_request<'a>(
        &mut self,
        gate: &'a Gate,
        head: &'a RequestHead<'a>,
        around: &Around<'_>,
    ) -> Verdict<'a> {
        let mut trace = Trace { of_refused: around.readers.of_refused, ..Trace::default() };
        let policy = gate.policy();
        let (step, reason, record) = match self.decide(gate, head, around, &mut trace) {
            Ok(step) => {
                let is_read = policy.log_allowed && around.readers.of_allowed;
                (step, None, is_read.then(|| trace.record(policy, head, None, None)))
            }
            Err(Stop::Wait) => (self.wait(policy, head), None, None),
            Err(Stop::Refuse(refusal)) => {
                let reason = refusal.reason;
                let changes = withheld::from_answered(policy, head);
                let record = gate.record_refusal(&trace, head, changes.target(), reason);
                (Step::Reply(refusal.reply_to(head), changes), Some(reason), record)
            }
        };
        Verdict { record, step, reason, evicted: trace.evicted }
    }

    /// Whether the outcome of a call is what it waits for, so that it is worth deciding again.
    pub fn waits_for(&self, purpose: Purpose) -> bool {
        match purpose {
            Purpose::Introspection { provider, ticket } => self.ticket == Some((provider, ticket)),
            Purpose::KeySet { .. } => self.ticket.is_none(),
            Purpose::Revocations => false,
        }
    }

    /// Whether [`Exchange::on_response`] has any header.
    pub fn has_response(&self, gate: &Gate) -> bool {
        self.dpop_nonce.is_some()
            || !self.rate_limits.is_empty()
            || (self.secure && gate.policy().transport.hsts().is_some())
    }

    /// Headers to set on the answer, whoever made it.
    pub fn on_response<'a>(&'a self, gate: &'a Gate) -> impl Iterator<Item = (&'static str, Cow<'a, str>)> {
        let hsts = self.secure.then(|| gate.policy().transport.hsts()).flatten();
        let hsts = hsts.map(|value| ("strict-transport-security", value));
        let rate_limits = rate_limit_headers(gate.policy(), &self.rate_limits);
        let nonce = self.dpop_nonce.as_deref().map(|nonce| (dpop::NONCE_HEADER, nonce));
        hsts.into_iter().chain(nonce).map(|(name, value)| (name, Cow::Borrowed(value))).chain(rate_limits)
    }

    fn decide<'a>(
        &mut self,
        gate: &'a Gate,
        head: &'a RequestHead<'a>,
        around: &Around<'_>,
        trace: &mut Trace,
    ) -> Result<Step<'a>, Stop> {
        let policy = gate.policy();
        let line = self.read_line(policy, head)?;
        if !self.throttled {
            let throttle = policy.limiter.before_authentication();
            self.limit(gate, throttle, &subject(head, &line, None, ""), around, trace)?;
            self.throttled = true;
        }

        if let Some(document) = metadata(policy, head, &line) {
            trace.detail = Some("resource metadata".to_owned());
            return Ok(Step::Reply(Rc::new(document), withheld::from_answered(policy, head)));
        }
        let request = RouteRequest {
            host: &line.host,
            method: line.method,
            path: line.path.path(),
            query: line.path.query(),
            head,
        };
        if let Some(rule) = preflighted(policy, &request).map_err(|unclear| trace.unclear(&unclear))? {
            trace.rule = Some(rule);
            trace.detail = Some("preflight".to_owned());
            return Ok(Step::Forward(forward::preflight(policy, head, &line.path)));
        }
        let found = policy.router.find(&request).map_err(|unclear| trace.unclear(&unclear))?;
        let matched = found.ok_or(Reason::NoRule)?;
        let rule = policy.rules.get(matched.rule).ok_or(Reason::NoRule)?;
        trace.rule = Some(matched.rule);

        let caller = match &rule.action {
            Action::Deny => return Err(Reason::RuleDenied.into()),
            Action::AllowAnyone => None,
            Action::Allow(access) => {
                let caller = authenticate(gate, self, access, head, &line, around, trace)
                    .and_then(|caller| not_revoked(gate, caller, around, trace));
                let nonce = trace.dpop_nonce.take();
                let caller =
                    caller.map_err(|unverified| self.stop(gate, rule, unverified, nonce.as_ref(), around))?;
                self.dpop_nonce = nonce;
                trace.principal = Some(Rc::clone(&caller));
                authorize(policy, rule, &caller, &matched, &around.clock)?;
                Some(caller)
            }
        };
        let subject = subject(head, &line, caller.as_deref(), &rule.name);
        self.limit(gate, &rule.limits, &subject, around, trace)?;
        Ok(Step::Forward(forward::changes(policy, rule, head, &line.path, caller.as_deref())))
    }

    /// What it holds is hidden once: the host keeps the head.
    #[cold]
    fn wait<'a>(&mut self, policy: &'a Policy, head: &'a RequestHead<'a>) -> Step<'a> {
        let is_hidden = std::mem::replace(&mut self.is_hidden, true);
        Step::Wait(if is_hidden { Changes::default() } else { withheld::from_waiting(policy, head) })
    }

    /// When the request came, as far as waiting goes.
    fn began(&mut self, around: &Around<'_>) -> Timestamp {
        *self.began.get_or_insert(around.now())
    }

    /// Whether it may still be told to wait for something that is not under way yet.
    fn may_wait(&self, around: &Around<'_>) -> bool {
        self.waits_until.is_none_or(|until| around.now() < until) && (around.may_wait)()
    }

    /// A request waits once, until the first deadline it was given; then it is refused.
    #[cold]
    fn stop(
        &mut self,
        gate: &Gate,
        rule: &Rule,
        unverified: Unverified,
        nonce: Option<&String>,
        around: &Around<'_>,
    ) -> Stop {
        match unverified {
            Unverified::Wait { until, .. }
                if (around.may_wait)() && around.now() < *self.waits_until.get_or_insert(until) =>
            {
                Stop::Wait
            }
            Unverified::Refused(reason) | Unverified::Wait { otherwise: reason, .. } => {
                let mut refusal = refuse(gate.policy(), rule, &reason.into());
                if let Some(nonce) = nonce {
                    let headers = &mut Rc::make_mut(&mut refusal.reply).headers;
                    headers.push((dpop::NONCE_HEADER, nonce.clone()));
                }
                if let Some(wait) = keys_wait(gate, rule, reason, around) {
                    Rc::make_mut(&mut refusal.reply).set_retry_after(rate_limit::headers::retry_after(wait));
                }
                refusal.into()
            }
        }
    }

    fn read_line<'a>(
        &mut self,
        policy: &Policy,
        head: &'a RequestHead<'a>,
    ) -> Result<RequestLine<'a>, Refusal> {
        let one = |name| head.single(name).one().ok_or(Reason::MalformedRequest);
        let (method, target) = (one(":method")?, one(":path")?);
        let decision = policy.transport.decide(head.tls, head.values("x-forwarded-proto"), method);
        if let TransportDecision::Pass { secure } = decision {
            self.secure = secure;
        }
        if decision == TransportDecision::Refuse {
            return Err(Reason::TlsRequired.into());
        }
        let path = CanonicalPath::parse(target).map_err(|error| error.reason())?;
        if let TransportDecision::Redirect(authority) = decision {
            return Err(redirect(&authority, &path));
        }
        let method = str::from_utf8(method).map_err(|_| Reason::MalformedRequest)?;
        let authority = one(":authority")?;
        let host = authority::host(authority).map_err(|_| Reason::MalformedRequest)?;
        Ok(RequestLine { method, authority, host, path, secure: self.secure })
    }

    /// Checks `limits`, all or none of which are charged. Apart, since it is called twice and does much.
    #[inline(never)]
    fn limit(
        &mut self,
        gate: &Gate,
        limits: &[LimitId],
        subject: &Subject<'_>,
        around: &Around<'_>,
        trace: &mut Trace,
    ) -> Result<(), Refusal> {
        if limits.is_empty() {
            return Ok(());
        }
        let unavailable = |_| Refusal::from(Reason::StateUnavailable);
        let secret = gate.slot_secret(around).map_err(unavailable)?;
        let policy = gate.policy();
        let (leases, terms) = (&mut gate.leases.borrow_mut(), &mut gate.terms.borrow_mut());
        let tells = policy.rate_limit_headers_always;
        let mut ledger = Ledger { store: around.store, secret, leases, terms, tells };
        let outcome = policy.limiter.check(limits, subject, around.now(), &mut ledger);
        let outcome: Outcome = outcome.map_err(unavailable)?;
        trace.evicted = trace.evicted.saturating_add(outcome.evicted);
        match &outcome.denied {
            None if outcome.statuses.is_empty() => Ok(()),
            None => {
                self.rate_limits.extend(outcome.statuses);
                Ok(())
            }
            Some(denied) => Err(self.limited(policy, denied, &outcome.statuses, trace)),
        }
    }

    /// Refuses what is over a limit.
    #[cold]
    fn limited(
        &mut self,
        policy: &Policy,
        denied: &rate_limit::Denial,
        statuses: &[Status],
        trace: &mut Trace,
    ) -> Refusal {
        trace.limit = Some(policy.limiter.name(denied.limit).to_owned());
        let mut refusal = Refusal::from(Reason::RateLimited);
        let reply = Rc::make_mut(&mut refusal.reply);
        reply.set_retry_after(rate_limit::headers::retry_after(denied.retry_after));
        reply
            .headers
            .extend(rate_limit_headers(policy, statuses).map(|(name, value)| (name, value.into_owned())));
        // The answer says it all itself.
        self.rate_limits.clear();
        refusal
    }
}

/// The API's metadata, where the request asks for it: whoever has no credentials yet looks there for where to get
/// them. Pages ask a preflight first where they send a header of their own with the question.
fn metadata(policy: &Policy, head: &RequestHead<'_>, line: &RequestLine<'_>) -> Option<Reply> {
    let metadata = policy.resource_metadata.as_ref()?;
    if !metadata.is_at(&line.host, line.path.path()) {
        return None;
    }
    match line.method {
        "GET" | "HEAD" => Some(Reply::document(metadata.body())),
        preflight::METHOD => {
            matches!(preflight::requested_method(head), Some("GET" | "HEAD")).then(Reply::document_preflight)
        }
        _ => None,
    }
}

/// The place of the rule that lets a CORS preflight pass: the one that would decide the request which the browser asks
/// about. What that rule asks of callers does not count, for browsers send preflights without credentials.
fn preflighted<'a>(policy: &'a Policy, request: &RouteRequest<'a>) -> Result<Option<usize>, Unclear<'a>> {
    if request.method == preflight::METHOD { preflight_rule(policy, request) } else { Ok(None) }
}

#[inline(never)]
fn preflight_rule<'a>(policy: &'a Policy, request: &RouteRequest<'a>) -> Result<Option<usize>, Unclear<'a>> {
    let Some(method) = preflight::requested_method(request.head) else { return Ok(None) };
    let found = policy.router.find(&RouteRequest { method, ..*request })?;
    let rule = found.map(|matched| matched.rule);
    Ok(rule.filter(|rule| policy.rules.get(*rule).is_some_and(|rule| rule.cors_preflight)))
}

fn subject<'a>(
    head: &'a RequestHead<'a>,
    line: &'a RequestLine<'a>,
    caller: Option<&'a Caller>,
    rule: &'a str,
) -> Subject<'a> {
    Subject {
        remote_address: head.remote_address,
        principal: caller.map(|caller| &caller.principal),
        known_place: caller.map(|caller| &caller.place),
        rule,
        method: line.method,
        headers: head,
    }
}

fn authorize(
    policy: &Policy,
    rule: &Rule,
    caller: &Caller,
    matched: &RouteMatch<'_>,
    clock: &Clock,
) -> Result<(), Refusal> {
    let Action::Allow(access) = &rule.action else { return Err(Reason::RuleDenied.into()) };
    let Some(requirement) = &access.requirement else { return Ok(()) };
    requirement
        .check(&caller.principal, &caller.grants, clock, |name| matched.variable(name))
        .map_err(|denial| refuse(policy, rule, &denial))
}

/// Of a caller that was verified before, too: what was revoked since is revoked at once.
fn not_revoked(
    gate: &Gate,
    caller: Rc<Caller>,
    around: &Around<'_>,
    trace: &mut Trace,
) -> Result<Rc<Caller>, Unverified> {
    match gate.check_revoked(&caller.principal, around) {
        Ok(()) => Ok(caller),
        Err(revoked) => {
            trace.principal = Some(caller);
            Err(trace.refused(&revoked, revoked.reason()))
        }
    }
}

/// `RateLimit-Policy` and `RateLimit`; nothing where no limit applied.
fn rate_limit_headers<'a>(
    policy: &Policy,
    statuses: &[Status],
) -> impl Iterator<Item = (&'static str, Cow<'a, str>)> + use<'a> {
    let limiter = &policy.limiter;
    let headers = (!statuses.is_empty()).then(|| {
        [
            ("ratelimit-policy", Cow::Owned(rate_limit::headers::policy(limiter, statuses.iter()))),
            ("ratelimit", Cow::Owned(rate_limit::headers::rate_limit(limiter, statuses.iter()))),
        ]
    });
    headers.into_iter().flatten()
}
