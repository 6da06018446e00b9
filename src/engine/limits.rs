//! The two stages that count requests: before it is known who is calling, and behind all else.

use std::rc::Rc;

use super::{
    Attempt, RequestLine,
    refusal::{Refusal, Stop},
    shadow_outcome::ShadowLimit,
};
use crate::{
    answer::Reason,
    identity::Party,
    policy::{Callers, Rule},
    rate_limit::{self, Admission, Ledger, LimitId, Limiter, PathVariables, Standing, Subject},
    request::RequestHead,
    route::RouteMatch,
    store::StoreError,
    time::Timestamp,
};

impl Attempt<'_, '_> {
    /// The limits before authentication. A request that waited is charged once.
    pub(super) fn throttle(&mut self, line: &RequestLine<'_>) -> Result<(), Stop> {
        if !self.exchange.throttled {
            let (limiter, nobody) = (&self.policy().limiter, Callers::default());
            let subject = subject(self.head, line, &nobody, "", None);
            self.limit(limiter.before_authentication(), &subject)?;
            self.limit_in_shadow(limiter.shadows_before_authentication(), &subject);
            self.exchange.throttled = true;
        }
        Ok(())
    }

    /// The limits of a rule: those in force, and behind them those that refuse nothing.
    #[inline]
    pub(super) fn limit_by(&mut self, rule: &Rule, subject: &Subject<'_>) -> Result<(), Stop> {
        self.limit(&rule.limits, subject)?;
        self.limit_in_shadow(&rule.shadow_limits, subject);
        Ok(())
    }

    /// Checks `limits`, all or none of which are charged. Never inlined, since it is long and called from two places.
    #[inline(never)]
    fn limit(&mut self, limits: &[LimitId], subject: &Subject<'_>) -> Result<(), Stop> {
        if limits.is_empty() {
            return Ok(());
        }
        let admission = self.charge(limits, subject, self.policy().rate_limit_headers_always)?;
        match &admission.exceeded {
            None if admission.standings.is_empty() => Ok(()),
            None => {
                self.exchange.rate_limits.extend(admission.standings);
                Ok(())
            }
            Some(exceeded) => Err(self.limited(exceeded, &admission.standings)),
        }
    }

    /// Checks `limits` that refuse nothing, all or none of which are charged.
    #[inline]
    fn limit_in_shadow(&mut self, limits: &[LimitId], subject: &Subject<'_>) {
        if !limits.is_empty() {
            let found = self.judge_in_shadow(limits, subject);
            self.exchange.shadow_limit = self.exchange.shadow_limit.or(found);
        }
    }

    #[inline(never)]
    pub(super) fn judge_in_shadow(
        &mut self,
        limits: &[LimitId],
        subject: &Subject<'_>,
    ) -> Option<ShadowLimit> {
        match self.charge(limits, subject, false) {
            Ok(admission) => admission.exceeded.map(|exceeded| ShadowLimit::Exceeded(exceeded.limit)),
            Err(_) => Some(ShadowLimit::Unavailable),
        }
    }

    /// Whether `limits` would admit a request that is not charged to them: the one that would not, if any.
    pub(super) fn look_at(
        &mut self,
        limits: &[LimitId],
        subject: &Subject<'_>,
    ) -> Result<Option<LimitId>, Reason> {
        if limits.is_empty() {
            return Ok(None);
        }
        let admission =
            self.with_ledger(false, |limiter, now, ledger| limiter.look(limits, subject, now, ledger))?;
        Ok(admission.exceeded.map(|exceeded| exceeded.limit))
    }

    /// `tells`: where the client stands is asked for although it is admitted.
    #[inline]
    fn charge(
        &mut self,
        limits: &[LimitId],
        subject: &Subject<'_>,
        tells: bool,
    ) -> Result<Admission, Reason> {
        let admission =
            self.with_ledger(tells, |limiter, now, ledger| limiter.check(limits, subject, now, ledger))?;
        self.trace.evicted = self.trace.evicted.saturating_add(admission.evicted);
        Ok(admission)
    }

    #[inline]
    fn with_ledger(
        &self,
        tells: bool,
        with: impl FnOnce(&Limiter, Timestamp, &mut Ledger<'_>) -> Result<Admission, StoreError>,
    ) -> Result<Admission, Reason> {
        let (worker, services) = (self.worker, self.services);
        let unavailable = |_| Reason::StateUnavailable;
        let secret = worker.slot_secret(services).map_err(unavailable)?;
        let (prepayments, terms) = (&mut worker.prepayments.borrow_mut(), &mut worker.terms.borrow_mut());
        let mut ledger = Ledger { store: services.store, secret, prepayments, terms, tells };
        with(&worker.policy().limiter, services.now(), &mut ledger).map_err(unavailable)
    }

    /// Refuses what is over a limit.
    #[cold]
    fn limited(&mut self, exceeded: &rate_limit::Exceeded, standings: &[Standing]) -> Stop {
        let policy = self.policy();
        self.trace.limit = Some(exceeded.limit);
        let mut refusal = Refusal::from(Reason::RateLimited);
        let reply = Rc::make_mut(&mut refusal.reply);
        reply.set_retry_after(rate_limit::headers::retry_after(exceeded.retry_after));
        let headers = rate_limit::headers::all(&policy.limiter, standings);
        reply.headers.extend(headers.map(|(name, value)| (name, value.into_owned())));
        // The refusal has them already; they must not be added once more.
        self.exchange.rate_limits.clear();
        Stop::Answer(refusal)
    }
}

impl PathVariables for RouteMatch<'_> {
    /// Without parameters: a client would get another count for each that it makes up.
    fn value(&self, name: &str) -> Option<&str> {
        self.variable_without_parameters(name)
    }
}

/// What limits count by.
pub(super) fn subject<'a>(
    head: &'a RequestHead<'a>,
    line: &'a RequestLine<'a>,
    callers: &'a Callers,
    rule: &'a str,
    variables: Option<&'a dyn PathVariables>,
) -> Subject<'a> {
    let [principal, actor] = [Party::Principal, Party::Actor].map(|party| callers.of(party));
    Subject {
        remote_address: head.remote_address,
        principal: principal.map(|caller| &caller.principal),
        actor: actor.map(|caller| &caller.principal),
        // Another request of the principal may come by another actor, whose key counts.
        known_place: principal.filter(|_| actor.is_none()).map(|caller| &caller.place),
        rule,
        method: line.method,
        host: &line.host,
        head,
        query: line.path.query(),
        variables,
    }
}
