//! What would be decided beside: by limits that refuse nothing, by rules as they would be, by the next list of rules.
//!
//! The same stages decide a second time, in a dry attempt: it waits for nothing, uses nothing up and leaves no trace in the
//! answer. What the request was found to be already is taken over.

use std::rc::Rc;

use super::{
    Attempt, Body, HostServices, LogEnabled, RequestLine, Step,
    attempt::{Dry, reason_of},
    limits,
    record::Trace,
    refusal::Stop,
    shadow_outcome::{Reached, ShadowLimit, ShadowOutcome, Shadowed},
};
use crate::{
    answer::Reason,
    policy::{Access, Action, Callers, NextRules, Rule},
    rate_limit::{LimitId, PathVariables},
    request::preflight,
    route::{RouteMatch, RouteRequest},
};

/// Why a shadow would not let a request pass.
struct Against {
    reason: Reason,
    limit: Option<LimitId>,
    /// Whether it would refuse it for that reason, or nobody knows.
    is_known: bool,
}

impl From<Reason> for Against {
    fn from(reason: Reason) -> Self {
        Self { reason, limit: None, is_known: reason.status() != 503 }
    }
}

impl Against {
    const fn unknown(reason: Reason) -> Self {
        Self { reason, limit: None, is_known: false }
    }

    const fn limit(limit: LimitId) -> Self {
        Self { reason: Reason::RateLimited, limit: Some(limit), is_known: true }
    }
}

impl From<Stop> for Against {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refuse(reason) => reason.into(),
            Stop::Answer(refusal) => refusal.reason.into(),
            Stop::Wait(wait) => Self::unknown(wait.otherwise),
            Stop::AwaitBody(_) => Self::unknown(Reason::BodyUnavailable),
        }
    }
}

impl Trace {
    pub(super) fn shadow_outcome(&self) -> Option<(ShadowOutcome, Reason)> {
        self.shadow.as_ref().map(|shadow| (shadow.outcome, shadow.reason))
    }
}

impl<'a> Attempt<'a, '_> {
    /// Notes what became of an allowed request at limits that refuse nothing, unless there is something to say already.
    #[inline]
    pub(super) fn add_shadow_limit(&mut self) {
        if let Some(found) = self.exchange.shadow_limit
            && self.trace.shadow.is_none()
        {
            let against = match found {
                ShadowLimit::Exceeded(limit) => Against::limit(limit),
                ShadowLimit::Unavailable => Against::unknown(Reason::StateUnavailable),
            };
            self.note_shadow(None, Err(against), None);
        }
    }

    /// Notes where a shadow would have decided otherwise than `refused` for a reason, or not.
    #[cold]
    fn note_shadow(&mut self, refused: Option<Reason>, judged: Result<(), Against>, rule: Option<&Rule>) {
        let (outcome, reason, limit) = match (refused, judged) {
            (None, Ok(())) => return,
            (Some(reason), Ok(())) => (ShadowOutcome::WouldAllow, reason, None),
            (Some(reason), Err(against)) if against.is_known || against.reason == reason => return,
            (None, Err(Against { reason, limit, is_known: true })) => {
                (ShadowOutcome::WouldDeny, reason, limit)
            }
            (_, Err(against)) => (ShadowOutcome::Unknown, against.reason, None),
        };
        let limit = limit.map(|limit| self.policy().limiter.name(limit).into());
        let rule = rule.map(|rule| rule.name.clone());
        self.trace.shadow = Some(Box::new(Shadowed { outcome, reason, rule, limit }));
    }

    /// Notes what rules that decide beside those in force make of the request, when what those have `decided` is final.
    /// `matched` is the rule in force that it is for.
    #[inline(never)]
    pub(super) fn compare(
        &mut self,
        decided: &Result<Step<'a>, Stop>,
        line: &RequestLine<'a>,
        request: &RouteRequest<'_>,
        matched: Option<&RouteMatch<'_>>,
    ) {
        let refused = match decided {
            Ok(_) => None,
            Err(Stop::AwaitBody(_)) => return,
            Err(Stop::Wait(wait)) if self.exchange.goes_on_waiting(*wait, self.services) => return,
            Err(Stop::Wait(wait)) => Some(wait.otherwise),
            Err(Stop::Refuse(reason)) => Some(*reason),
            Err(Stop::Answer(refusal)) => Some(refusal.reason),
        };
        // Nothing that a rule says stopped it.
        if refused.is_some() && self.trace.reached == Reached::Limits && !self.trace.to_confirm {
            return;
        }
        match &self.policy().next_rules {
            Some(next) => self.compare_with(next, refused, line, request),
            // Of what is unclear it is not clear for which shadow it is, either.
            None if self.trace.reached == Reached::Nothing => {}
            None => {
                if let Some(shadow) = self.rule().and_then(|rule| rule.shadow.as_deref()) {
                    let judged = self.judge(shadow, refused, line, matched);
                    self.note_shadow(refused, judged, None);
                }
            }
        }
    }

    fn compare_with(
        &mut self,
        next: &'a NextRules,
        refused: Option<Reason>,
        line: &RequestLine<'a>,
        request: &RouteRequest<'_>,
    ) {
        if let Some(method) = preflight::requested_method(request.head)
            && request.method == preflight::METHOD
            && let Ok(Some(matched)) = next.find(&RouteRequest { method, ..*request })
            && let Some(rule) = next.rule(matched.rule).filter(|rule| rule.cors_preflight)
        {
            return self.note_shadow(refused, Ok(()), Some(rule));
        }
        let found = next.find(request);
        let place = match &found {
            Ok(found) => found.as_ref().map(|matched| matched.rule),
            Err(unclear) => Some(unclear.rule),
        };
        let rule = place.and_then(|place| next.rule(place));
        let judged = match (&found, rule) {
            (Ok(matched), Some(rule)) => self.judge(rule, refused, line, matched.as_ref()),
            (Ok(_), None) => Err(Reason::NoRule.into()),
            (Err(unclear), _) => Err(reason_of(unclear).into()),
        };
        self.note_shadow(refused, judged, rule);
    }

    /// Whether `rule` would let the request pass.
    fn judge(
        &mut self,
        rule: &'a Rule,
        refused: Option<Reason>,
        line: &RequestLine<'a>,
        matched: Option<&RouteMatch<'_>>,
    ) -> Result<(), Against> {
        if rule.require_tls == Some(true) && !line.secure {
            return Err(Reason::TlsRequired.into());
        }
        let (callers, requirement) = match &rule.action {
            Action::Deny => return Err(Reason::RuleDenied.into()),
            Action::AllowAnyone { requirement, .. } => (Callers::default(), requirement),
            Action::Allow(access) => {
                let known = self.known_callers(access, refused);
                let callers = known.unwrap_or_else(|| self.dry_callers(access, refused, line))?;
                (callers, &access.requirement)
            }
        };
        if let Some(requirement) = requirement {
            let unconfirmed =
                self.check(requirement, &callers, matched).map_err(|denial| Against::from(denial.reason))?;
            match (unconfirmed, refused) {
                (None, _) => {}
                // Its user was asked.
                (Some(_), Some(reason)) if self.trace.to_confirm => return Err(reason.into()),
                (Some(_), None) if self.trace.to_confirm => {}
                (Some(_), _) => return Err(Against::unknown(Reason::InsufficientUserAuthentication)),
            }
        }
        self.judge_limits(rule, line, &callers, matched)
    }

    /// Who asks, where the rule in force has found that out for whoever takes the same credentials; `None`: it has not.
    fn known_callers(&self, access: &Access, refused: Option<Reason>) -> Option<Result<Callers, Against>> {
        let rule = self.rule().filter(|_| self.trace.reached > Reached::Nothing)?;
        let Action::Allow(own) = &rule.action else { return None };
        if !Rc::ptr_eq(&own.accepted, &access.accepted) || own.optional != access.optional {
            return None;
        }
        if self.trace.reached >= Reached::Callers {
            return Some(Ok(self.trace.callers.clone()));
        }
        // It was not asked who that is.
        let refused = refused.filter(|reason| *reason != Reason::TlsRequired)?;
        Some(Err(refused.into()))
    }

    /// Who asks, without anything that others would notice.
    #[inline(never)]
    fn dry_callers(
        &mut self,
        access: &Access,
        refused: Option<Reason>,
        line: &RequestLine<'a>,
    ) -> Result<Callers, Against> {
        let services = HostServices {
            clock: self.services.clock.clone(),
            may_wait: &|| false,
            body: &|_| Body::Unavailable("nothing is read for a shadow"),
            log_enabled: LogEnabled { refused: false, allowed: false },
            ..*self.services
        };
        let mut exchange = self.exchange.dry();
        let is_replayed = matches!(refused, Some(Reason::DpopProofReplayed | Reason::SignatureReplayed));
        let mut dry = Attempt {
            dry: Some(Dry { is_replayed }),
            ..Attempt::new(self.worker, self.head, &services, &mut exchange)
        };
        let counted = self.worker.take_token_look_ups();
        let callers = dry.callers(access, line).map_err(Against::from);
        self.worker.put_back_token_look_ups(counted);
        callers
    }

    /// Whether the limits of `rule` would admit the request. Those of the rule in force have judged it before.
    fn judge_limits(
        &mut self,
        rule: &Rule,
        line: &RequestLine<'a>,
        callers: &Callers,
        matched: Option<&RouteMatch<'_>>,
    ) -> Result<(), Against> {
        let own = self.rule().filter(|_| self.trace.reached == Reached::Limits);
        let others = |limits: &[LimitId], own: Option<&[LimitId]>| -> Vec<LimitId> {
            limits.iter().filter(|id| !own.is_some_and(|own| own.contains(id))).copied().collect()
        };
        let looked_at = others(&rule.limits, own.map(|own| own.limits.as_slice()));
        let charged = others(&rule.shadow_limits, own.map(|own| own.shadow_limits.as_slice()));
        if looked_at.is_empty() && charged.is_empty() {
            return Ok(());
        }
        let variables = matched.map(|matched| -> &dyn PathVariables { matched });
        let subject = limits::subject(self.head, line, callers, &rule.name, variables);
        if let Some(limit) = self.look_at(&looked_at, &subject)? {
            return Err(Against::limit(limit));
        }
        match if charged.is_empty() { None } else { self.judge_in_shadow(&charged, &subject) } {
            None => Ok(()),
            Some(ShadowLimit::Exceeded(limit)) => Err(Against::limit(limit)),
            Some(ShadowLimit::Unavailable) => Err(Against::unknown(Reason::StateUnavailable)),
        }
    }
}
