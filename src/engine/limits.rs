//! The two stages that count requests: before it is known who is calling, and behind all else.

use std::rc::Rc;

use super::{
    Attempt, RequestLine,
    refusal::{Refusal, Stop},
};
use crate::{
    answer::Reason,
    identity::Party,
    policy::Callers,
    rate_limit::{self, Ledger, LimitId, PathVariables, Standing, Subject},
    request::RequestHead,
    route::RouteMatch,
};

impl Attempt<'_, '_> {
    /// The limits before authentication. A request that waited is charged once.
    pub(super) fn throttle(&mut self, line: &RequestLine<'_>) -> Result<(), Stop> {
        if !self.exchange.throttled {
            let limits = self.policy().limiter.before_authentication();
            self.limit(limits, &subject(self.head, line, &Callers::default(), "", None))?;
            self.exchange.throttled = true;
        }
        Ok(())
    }

    /// Checks `limits`, all or none of which are charged. Never inlined, since it is long and called from two places.
    #[inline(never)]
    pub(super) fn limit(&mut self, limits: &[LimitId], subject: &Subject<'_>) -> Result<(), Stop> {
        if limits.is_empty() {
            return Ok(());
        }
        let (worker, services, policy) = (self.worker, self.services, self.policy());
        let unavailable = |_| Reason::StateUnavailable;
        let secret = worker.slot_secret(services).map_err(unavailable)?;
        let (prepayments, terms) = (&mut worker.prepayments.borrow_mut(), &mut worker.terms.borrow_mut());
        let tells = policy.rate_limit_headers_always;
        let mut ledger = Ledger { store: services.store, secret, prepayments, terms, tells };
        let admission =
            policy.limiter.check(limits, subject, services.now(), &mut ledger).map_err(unavailable)?;
        self.trace.evicted = self.trace.evicted.saturating_add(admission.evicted);
        match &admission.exceeded {
            None if admission.standings.is_empty() => Ok(()),
            None => {
                self.exchange.rate_limits.extend(admission.standings);
                Ok(())
            }
            Some(exceeded) => Err(self.limited(exceeded, &admission.standings)),
        }
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
