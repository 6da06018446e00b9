//! The decision, step by step. No input or output: the host hands over a request head, the time and access to
//! shared state, and carries out the [`Verdict`].

mod authenticate;
mod bearer;
mod caller;
mod forward;
mod gate;
mod record;
mod step;
mod token_cache;

pub use caller::Caller;
pub use gate::{Around, Gate, Purpose};
pub use step::{Changes, Step, Text, Verdict};

use std::{borrow::Cow, rc::Rc};

use authenticate::{Unverified, authenticate};
use record::Trace;

use crate::{
    policy::{Action, Policy, Rule},
    problem::{Challenges, Reason, Reply},
    rate_limit::{self, Few, LimitId, Outcome, Status, Subject},
    request::{RequestHead, authority, path::CanonicalPath},
    route::{RouteMatch, RouteRequest},
    time::Timestamp,
    transport::TransportDecision,
};

/// One request and its answer. A request is decided once.
#[derive(Debug, Default)]
pub struct Exchange {
    /// The answer travels over TLS.
    secure: bool,
    /// The throttle before authentication has charged it.
    throttled: bool,
    /// When waiting ends; `None`: it never waited.
    waits_until: Option<Timestamp>,
    /// Where the client stands with every limit that applied; empty where the answer does not say.
    rate_limits: Few<Status, 4>,
}

/// Why a request goes no further.
#[derive(Debug)]
struct Refusal {
    reason: Reason,
    reply: Box<Reply>,
}

/// Why deciding stopped.
#[derive(Debug)]
enum Stop {
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
    fn from(reason: Reason) -> Self {
        Self { reason, reply: Box::new(Reply::refusal(reason, Challenges::default())) }
    }
}

/// The parts of the request line, each present exactly once.
struct RequestLine<'a> {
    method: &'a str,
    host: Cow<'a, str>,
    path: CanonicalPath<'a>,
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
        let mut trace = Trace::default();
        match self.decide(gate, head, around, &mut trace) {
            Ok(changes) => Verdict {
                record: (gate.policy().log_allowed && (around.reads_record)(false))
                    .then(|| trace.record(head, None)),
                step: Step::Forward(changes),
                reason: None,
                evicted: trace.evicted,
            },
            Err(Stop::Wait) => {
                Verdict { record: None, step: Step::Wait, reason: None, evicted: trace.evicted }
            }
            Err(Stop::Refuse(refusal)) => Verdict {
                record: (around.reads_record)(true).then(|| trace.record(head, Some(refusal.reason))),
                step: Step::Reply(refusal.reply),
                reason: Some(refusal.reason),
                evicted: trace.evicted,
            },
        }
    }

    /// Headers to set on the answer, whoever made it.
    pub fn on_response<'a>(&'a self, gate: &'a Gate) -> impl Iterator<Item = (&'static str, Cow<'a, str>)> {
        let hsts = self.secure.then(|| gate.policy().transport.hsts()).flatten();
        let hsts = hsts.map(|value| ("strict-transport-security", value));
        let rate_limits = rate_limit_headers(gate.policy(), &self.rate_limits);
        hsts.into_iter().map(|(name, value)| (name, Cow::Borrowed(value))).chain(rate_limits)
    }

    fn decide<'a>(
        &mut self,
        gate: &'a Gate,
        head: &'a RequestHead<'a>,
        around: &Around<'_>,
        trace: &mut Trace,
    ) -> Result<Changes<'a>, Stop> {
        let policy = gate.policy();
        let line = self.read_line(policy, head)?;
        if !self.throttled {
            let throttle = policy.limiter.before_authentication();
            self.limit(gate, throttle, &subject(head, &line, None, ""), around, trace)?;
            self.throttled = true;
        }

        let request = RouteRequest {
            host: &line.host,
            method: line.method,
            path: line.path.path(),
            query: line.path.query(),
            head,
        };
        let matched = policy.router.find(&request).ok_or(Reason::NoRule)?;
        let rule = policy.rules.get(matched.rule).ok_or(Reason::NoRule)?;
        trace.rule = Some(rule.name.clone());

        let caller = match &rule.action {
            Action::Deny => return Err(Reason::RuleDenied.into()),
            Action::AllowAnyone => None,
            Action::Allow(access) => {
                let caller = authenticate(gate, access, head, line.path.query(), around, trace);
                let caller = caller.map_err(|unverified| self.stop(policy, rule, unverified, around))?;
                trace.principal = Some(Rc::clone(&caller));
                authorize(policy, rule, &caller, &matched)?;
                Some(caller)
            }
        };
        let subject = subject(head, &line, caller.as_deref(), &rule.name);
        self.limit(gate, &rule.limits, &subject, around, trace)?;
        Ok(forward::changes(policy, rule, head, &line.path, caller))
    }

    /// A request waits once, until the first deadline it was given; then it is refused.
    fn stop(&mut self, policy: &Policy, rule: &Rule, unverified: Unverified, around: &Around<'_>) -> Stop {
        match unverified {
            Unverified::Wait { until, .. }
                if around.may_wait && around.now < *self.waits_until.get_or_insert(until) =>
            {
                Stop::Wait
            }
            Unverified::Refused(reason) | Unverified::Wait { otherwise: reason, .. } => {
                refuse(policy, rule, reason, &[]).into()
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
            let query = path.query().map(|query| format!("?{query}")).unwrap_or_default();
            let location = format!("https://{authority}{}{query}", path.path());
            return Err(Refusal { reason: Reason::TlsRequired, reply: Box::new(Reply::redirect(location)) });
        }
        let method = str::from_utf8(method).map_err(|_| Reason::MalformedRequest)?;
        let host = authority::host(one(":authority")?).map_err(|_| Reason::MalformedRequest)?;
        Ok(RequestLine { method, host, path })
    }

    /// Checks `limits`, all or none of which are charged.
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
        let outcome = policy.limiter.check(limits, subject, around.now, around.store, secret);
        let outcome: Outcome = outcome.map_err(unavailable)?;
        trace.evicted = trace.evicted.saturating_add(outcome.evicted);
        let Some(denied) = &outcome.denied else {
            if policy.rate_limit_headers_always {
                outcome.statuses.iter().for_each(|status| self.rate_limits.push(*status));
            }
            return Ok(());
        };
        trace.limit = Some(policy.limiter.name(denied.limit).to_owned());
        let mut refusal = Refusal::from(Reason::RateLimited);
        let wait = rate_limit::headers::retry_after(denied.retry_after);
        refusal.reply.headers.push(("retry-after", wait.to_string()));
        refusal.reply.headers.extend(
            rate_limit_headers(policy, &outcome.statuses).map(|(name, value)| (name, value.into_owned())),
        );
        // The answer says it all itself.
        self.rate_limits = Few::default();
        Err(refusal)
    }
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
        rule,
        method: line.method,
        headers: head,
    }
}

fn authorize(policy: &Policy, rule: &Rule, caller: &Caller, matched: &RouteMatch<'_>) -> Result<(), Refusal> {
    let Action::Allow(access) = &rule.action else { return Err(Reason::RuleDenied.into()) };
    let Some(requirement) = &access.requirement else { return Ok(()) };
    requirement
        .check(&caller.principal, &caller.grants, |name| matched.variable(name))
        .map_err(|denial| refuse(policy, rule, denial.reason, &denial.scopes))
}

/// A refusal that tells the client which credentials `rule` takes.
fn refuse(policy: &Policy, rule: &Rule, reason: Reason, scopes: &[String]) -> Refusal {
    let (bearer, api_key) = match &rule.action {
        Action::Allow(access) => (!access.providers.is_empty(), access.api_key),
        Action::Deny | Action::AllowAnyone => (false, false),
    };
    let challenges = Challenges { realm: &policy.realm, bearer, api_key, scopes };
    Refusal { reason, reply: Box::new(Reply::refusal(reason, challenges)) }
}

/// `RateLimit-Policy` and `RateLimit`; nothing where no limit applied.
fn rate_limit_headers<'a>(
    policy: &Policy,
    statuses: &Few<Status, 4>,
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
