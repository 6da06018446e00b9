//! The decision, step by step. No input or output: the host hands over a request head, the time and access to
//! shared state, and carries out the [`Decision`].

mod access_log;
mod admitted;
mod attempt;
mod authenticate;
mod bearer;
mod binding;
mod body;
#[cfg(test)]
mod body_tests;
mod ceremonies;
mod decision;
mod ended_streams;
mod endpoints;
mod exchange;
mod forward;
mod hmac;
mod host_services;
mod key_uses;
mod limits;
mod message_signature;
mod once;
mod opaque;
mod open_streams;
#[cfg(test)]
mod open_tests;
mod provider;
mod purpose;
mod record;
mod record_chain;
#[cfg(not(target_family = "wasm"))]
mod record_in;
mod record_log;
mod record_members;
#[cfg(not(target_family = "wasm"))]
mod record_schema;
mod refusal;
mod remembered;
mod request_line;
mod shadow;
mod shadow_outcome;
mod sources;
mod statements;
mod stored_keys;
mod stored_revocations;
mod token_cache;
mod verified;
mod withheld;
mod worker;

pub use decision::{Changes, Decision, Step, Text};
pub use ended_streams::EndedStream;
pub use exchange::Exchange;
pub use host_services::{Body, HostServices, LogEnabled};
pub use open_streams::OpenStream;
pub use purpose::Purpose;
#[cfg(not(target_family = "wasm"))]
pub use record_in::{RecordIn, own_name, record_begins, record_in, with_own_names};
#[cfg(not(target_family = "wasm"))]
pub use record_schema::record_schema;
pub use shadow_outcome::ShadowOutcome;
pub use sources::{Source, Subject};
pub use withheld::names_without_policy;
pub use worker::WorkerState;

use std::rc::Rc;

use admitted::{Admitted, Goal};
use attempt::Attempt;
use authenticate::{authenticate, authenticate_both};
use record::Trace;
use refusal::{Awaited, Stop, Wait, refuse};
use request_line::RequestLine;
use shadow_outcome::Reached;
use statements::NotSigned;

use crate::{
    answer::Reason,
    config::InvalidCredentials,
    identity::Party,
    policy::{Access, Action, Caller, Callers, Policy, Rule},
    rbac::{Asking, Denial, Requirement, Unconfirmed},
    request::{RequestHead, preflight},
    route::{RouteMatch, RouteRequest, Unclear},
};

impl Exchange {
    /// Decides a request. After [`Step::Wait`] it is to be called again with the same request; nothing is
    /// charged twice.
    ///
    /// Whatever cannot be read or computed refuses the request.
    pub fn on_request<'a>(
        &mut self,
        worker: &'a WorkerState,
        head: &'a RequestHead<'a>,
        services: &HostServices<'_>,
    ) -> Decision<'a> {
        let mut attempt = Attempt::new(worker, head, services, self);
        let policy = worker.policy();
        let refusal = match attempt.decide() {
            Ok(step) => {
                worker.count_keys(&attempt.trace, None);
                attempt.add_shadow_limit();
                let log = services.log_enabled;
                let record = match &attempt.trace.shadow {
                    _ if policy.log_allowed && log.allowed => {
                        let record = attempt.trace.record(policy, head, None, None);
                        Some(worker.as_written(record, services))
                    }
                    Some(_) if log.refused => worker.record_would_deny(&attempt.trace, head, services),
                    _ => None,
                };
                let stream = attempt.stream_to_end();
                let access_log = attempt.trace.told(policy, None);
                let (shadow, Trace { rule, evicted, .. }) = (attempt.trace.shadow_outcome(), attempt.trace);
                return Decision {
                    record,
                    step,
                    reason: None,
                    shadow,
                    access_log,
                    rule,
                    limit: None,
                    evicted,
                    stream,
                };
            }
            Err(Stop::Wait(wait)) if attempt.exchange.goes_on_waiting(wait, services) => {
                return attempt.wait(Awaited::Call(wait.call));
            }
            Err(Stop::AwaitBody(awaited)) => return attempt.wait(Awaited::Body(awaited)),
            Err(Stop::Refuse(reason) | Stop::Wait(Wait { otherwise: reason, .. })) => attempt.refusal(reason),
            Err(Stop::Answer(refusal)) => refusal,
        };
        let reason = refusal.reason;
        worker.count_keys(&attempt.trace, Some(reason));
        let changes = withheld::from_answered(policy, head);
        let is_logged = services.log_enabled.refused;
        let record = || worker.record_refusal(&attempt.trace, head, changes.target(), reason, services);
        let record = is_logged.then(record);
        Decision {
            record: record.flatten(),
            step: Step::Reply(refusal.reply_to(head), changes),
            reason: Some(reason),
            shadow: attempt.trace.shadow_outcome(),
            access_log: attempt.trace.told(policy, Some(reason)),
            rule: attempt.trace.rule,
            limit: attempt.trace.limit,
            evicted: attempt.trace.evicted,
            stream: None,
        }
    }
}

impl<'a> Attempt<'a, '_> {
    #[cold]
    fn wait(self, awaited: Awaited) -> Decision<'a> {
        let (policy, head) = (self.policy(), self.head);
        let step = self.exchange.wait(awaited, policy, head);
        let evicted = self.trace.evicted;
        let access_log = Vec::new();
        Decision {
            record: None,
            step,
            reason: None,
            shadow: None,
            access_log,
            rule: None,
            limit: None,
            evicted,
            stream: None,
        }
    }

    /// Every stage in its order. The first that stops ends it.
    fn decide(&mut self) -> Result<Step<'a>, Stop> {
        let (policy, head) = (self.policy(), self.head);
        let line = self.read_line()?;
        if let Some(admitted) = self.exchange.admitted.take() {
            return self.go_on_again(admitted, &line);
        }
        self.throttle(&line)?;
        if let Some(answer) = endpoints::answer(policy, head, &line) {
            self.trace.detail = Some(answer.endpoint.to_owned());
            return Ok(Step::Reply(Rc::new(answer.reply), withheld::from_answered(policy, head)));
        }
        if let Some(passkeys) = &policy.passkeys
            && let Some(rule) = ceremonies::rule(passkeys, line.method, line.path.path())
        {
            return self.begin_ceremony(passkeys.rule(rule), &line);
        }
        let request = line.to_route(head);
        if let Some(rule) = preflighted(policy, &request).map_err(|unclear| self.unclear(&unclear))? {
            self.trace.rule = Some(rule);
            self.trace.detail = Some("preflight".to_owned());
            return Ok(Step::Forward(forward::preflight(policy, head, &line.path)));
        }
        let found = policy.find(&request);
        let decided = match &found {
            Ok(Some(matched)) => self.decide_by(matched, &line),
            Ok(None) => Err(Reason::NoRule.into()),
            Err(unclear) => Err(self.unclear(unclear)),
        };
        if policy.has_shadow_rules() {
            self.compare(&decided, &line, &request, found.as_ref().ok().and_then(Option::as_ref));
            self.exchange.refused_token = None;
        }
        decided
    }

    /// By the rule that a request is for.
    #[inline]
    fn decide_by(&mut self, matched: &RouteMatch<'_>, line: &RequestLine<'a>) -> Result<Step<'a>, Stop> {
        let rule = self.policy().rules.get(matched.rule).ok_or(Reason::NoRule)?;
        self.trace.rule = Some(matched.rule);
        self.trace.reached = Reached::Rule;
        let (callers, unconfirmed) = self.admit(rule, line, Some(matched))?;
        self.limit_by(rule, &limits::subject(self.head, line, &callers, &rule.name, Some(matched)))?;
        self.trace.reached = Reached::Limits;
        if let Some(Unconfirmed { with_body }) = unconfirmed {
            return self.go_on(Admitted::new(callers, matched.rule, Goal::Confirmation { with_body }), line);
        }
        self.forward(rule, line, &callers)
    }

    /// Of a request that was admitted before it waited.
    #[cold]
    fn go_on_again(&mut self, admitted: Box<Admitted>, line: &RequestLine<'a>) -> Result<Step<'a>, Stop> {
        let policy = self.policy();
        let is_forwarded = matches!(admitted.goal, Goal::Confirmation { .. });
        let decided = self.go_on(admitted, line);
        if is_forwarded && policy.has_shadow_rules() {
            let request = line.to_route(self.head);
            let found = policy.find(&request).ok().flatten();
            self.compare(&decided, line, &request, found.as_ref());
        }
        decided
    }

    /// Lets a request go on, with all that its upstream is told.
    #[inline]
    fn forward(
        &mut self,
        rule: &'a Rule,
        line: &RequestLine<'a>,
        callers: &Callers,
    ) -> Result<Step<'a>, Stop> {
        // Last, so that what is refused costs no signature.
        let statement = self.worker.statement_of(callers, self.services).map_err(|NotSigned| {
            self.refused(&"what the upstream is told could not be signed", Reason::StateUnavailable)
        })?;
        let (policy, head) = (self.policy(), self.head);
        Ok(Step::Forward(forward::changes(policy, rule, head, &line.path, callers, statement)))
    }

    /// Who asks, and what is still to be confirmed, where `rule` lets its requests pass.
    #[inline]
    fn admit(
        &mut self,
        rule: &'a Rule,
        line: &RequestLine<'a>,
        matched: Option<&RouteMatch<'_>>,
    ) -> Result<(Callers, Option<Unconfirmed>), Stop> {
        if rule.require_tls == Some(true) && !line.secure {
            return Err(Reason::TlsRequired.into());
        }
        match &rule.action {
            Action::Deny => Err(Reason::RuleDenied.into()),
            Action::AllowAnyone { requirement, .. } => {
                let nobody = Callers::default();
                let unconfirmed = self.authorize(rule, requirement.as_deref(), &nobody, matched)?;
                Ok((nobody, unconfirmed))
            }
            Action::Allow(access) => {
                let callers = self.callers(access, line)?;
                let unconfirmed = self.authorize(rule, access.requirement.as_deref(), &callers, matched)?;
                Ok((callers, unconfirmed))
            }
        }
    }

    /// Who asks, of those whom `access` takes.
    #[inline]
    fn callers(&mut self, access: &Access, line: &RequestLine<'a>) -> Result<Callers, Stop> {
        let accepted = &*access.accepted;
        let verified = match &accepted.actor {
            None => authenticate(self, accepted, line),
            Some(actor) => authenticate_both(self, accepted, actor, line),
        };
        let verified = verified.and_then(|caller| self.not_revoked(caller));
        let caller = match (verified, access.optional) {
            (Ok(caller), _) => Some(caller),
            (Err(stop), None) => return Err(stop),
            (Err(stop), Some(invalid)) => self.without(stop, invalid)?,
        };
        self.exchange.dpop_nonce = self.trace.dpop_nonce.take();
        self.trace.callers.principal = caller;
        self.trace.reached = Reached::Callers;
        Ok(self.trace.callers.clone())
    }

    /// A request that the filter answers itself, if the rule of its endpoint lets it.
    #[cold]
    fn begin_ceremony(&mut self, place: usize, line: &RequestLine<'a>) -> Result<Step<'a>, Stop> {
        let rule = self.policy().rules.get(place).ok_or(Reason::NoRule)?;
        self.trace.rule = Some(place);
        let (callers, _) = self.admit(rule, line, None)?;
        self.limit_by(rule, &limits::subject(self.head, line, &callers, &rule.name, None))?;
        self.go_on(Admitted::new(callers, place, Goal::Answer), line)
    }

    /// Goes on with what was admitted, now or before it waited: that is not decided twice, for limits are charged, and
    /// proofs used up.
    #[cold]
    fn go_on(&mut self, mut admitted: Box<Admitted>, line: &RequestLine<'a>) -> Result<Step<'a>, Stop> {
        let (policy, head) = (self.policy(), self.head);
        self.trace.rule = Some(admitted.rule);
        self.trace.callers = admitted.callers.clone();
        self.trace.reached = Reached::Limits;
        self.trace.to_confirm = matches!(admitted.goal, Goal::Confirmation { .. });
        let rule = policy.rules.get(admitted.rule).ok_or(Reason::NoRule)?;
        match ceremonies::go_on(self, &mut admitted, line) {
            Ok(Some(reply)) => Ok(Step::Reply(Rc::new(reply), withheld::from_answered(policy, head))),
            Ok(None) => self.forward(rule, line, &admitted.callers),
            Err(stop) => {
                if matches!(stop, Stop::Wait(_) | Stop::AwaitBody(_)) {
                    self.exchange.admitted = Some(admitted);
                }
                Err(stop)
            }
        }
    }

    /// What an allowed request is looked after for until it is over; `None`: nothing.
    #[inline]
    fn stream_to_end(&self) -> Option<OpenStream> {
        let rule = self.trace.rule.filter(|_| self.rule().is_some_and(|rule| rule.ends_streams))?;
        OpenStream::new(&self.trace.callers, rule)
    }

    /// Nobody, where no credential is required and `stop` says that there is none, or none that proves anything. Whatever
    /// else it says stands: a credential that could not be judged, or two, may be somebody's.
    #[cold]
    fn without(&mut self, stop: Stop, invalid: InvalidCredentials) -> Result<Option<Rc<Caller>>, Stop> {
        let Stop::Refuse(reason) = &stop else { return Err(stop) };
        let is_taken_for_none = match (reason, invalid) {
            (Reason::CredentialsMissing | Reason::CertificateMissing | Reason::SignatureMissing, _) => true,
            // The client is about to come back with a proof that has it.
            (Reason::DpopNonceRequired, _) | (_, InvalidCredentials::Refuse) => false,
            (
                Reason::CertificateUnknown
                | Reason::SignatureMalformed
                | Reason::SignatureExpired
                | Reason::SignatureInvalid
                | Reason::SignatureIncomplete
                | Reason::SignatureReplayed
                | Reason::ContentDigestInvalid,
                InvalidCredentials::Anonymous,
            ) => true,
            (reason, InvalidCredentials::Anonymous) => reason.status() == 401,
        };
        if is_taken_for_none { Ok(None) } else { Err(stop) }
    }

    /// Asked of every request, also of a caller that is remembered, so that a revocation counts at once.
    fn not_revoked(&mut self, caller: Rc<Caller>) -> Result<Rc<Caller>, Stop> {
        match self.worker.check_revoked(&caller, self.services) {
            Ok(()) => Ok(caller),
            Err(revoked) => {
                self.trace.known(caller);
                Err(self.refused(&revoked, revoked.reason()))
            }
        }
    }

    fn authorize(
        &mut self,
        rule: &Rule,
        requirement: Option<&Requirement>,
        callers: &Callers,
        matched: Option<&RouteMatch<'_>>,
    ) -> Result<Option<Unconfirmed>, Stop> {
        let Some(requirement) = requirement else { return Ok(None) };
        self.check(requirement, callers, matched).map_err(|denial| {
            self.trace.party = denial.party;
            Stop::Answer(refuse(self.policy(), rule, &denial))
        })
    }

    /// Whether `callers` have what is asked of them.
    #[inline]
    fn check(
        &self,
        requirement: &Requirement,
        callers: &Callers,
        matched: Option<&RouteMatch<'_>>,
    ) -> Result<Option<Unconfirmed>, Denial> {
        let held = |party| callers.of(party).map(|caller| (&caller.principal, &caller.grants));
        let asking = Asking {
            caller: held(Party::Principal),
            actor: held(Party::Actor),
            remote_address: self.head.remote_address,
            clock: &self.services.clock,
        };
        requirement.check(asking, |name| matched?.variable(name))
    }
}

/// The place of the rule that lets a CORS preflight pass: the one that would decide the request which the browser asks
/// about. What that rule asks of callers does not count, for browsers send preflights without credentials.
#[inline]
fn preflighted<'a>(policy: &'a Policy, request: &RouteRequest<'a>) -> Result<Option<usize>, Unclear<'a>> {
    if request.method == preflight::METHOD { preflight_rule(policy, request) } else { Ok(None) }
}

#[inline(never)]
fn preflight_rule<'a>(policy: &'a Policy, request: &RouteRequest<'a>) -> Result<Option<usize>, Unclear<'a>> {
    let Some(method) = preflight::requested_method(request.head) else { return Ok(None) };
    let found = policy.find(&RouteRequest { method, ..*request })?;
    let rule = found.map(|matched| matched.rule);
    Ok(rule.filter(|rule| policy.rules.get(*rule).is_some_and(|rule| rule.cors_preflight)))
}
