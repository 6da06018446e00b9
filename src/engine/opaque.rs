//! Tokens whose issuer is asked about them: who asks, who waits, and who gets the answer.

use std::rc::Rc;

use super::{
    Attempt, HostServices, Purpose, WorkerState,
    bearer::Verified,
    refusal::{Stop, Wait},
};
use crate::{
    answer::Reason,
    calls::Outcome,
    introspection::{Lookup, Ticket, Verdict},
};

/// What the issuer at `provider` says of `token`: the answer to the call that the request waited for, what is known from
/// before, or nothing yet.
#[inline(never)]
pub(super) fn ask(attempt: &mut Attempt<'_, '_>, provider: usize, token: &str) -> Result<Rc<Verified>, Stop> {
    let worker = attempt.worker;
    attempt.trace.provider = Some(provider);
    // An answer is for whoever waited for it, also where nothing of it is kept.
    let answered = match attempt.exchange.waits_for {
        Some(Purpose::Introspection { provider: asked, ticket }) if asked == provider => {
            worker.answers.borrow().get(&(asked, ticket)).cloned()
        }
        _ => None,
    };
    let verdict = match answered {
        Some(verdict) => verdict,
        None => look_up(attempt, provider, token)?,
    };
    match &verdict {
        Verdict::Active(token) => {
            let Err(error) = token.check_times(attempt.now()) else { return Ok(Rc::clone(token)) };
            attempt.trace.principal = Some(token.caller());
            Err(attempt.refused(&error, error.reason()))
        }
        Verdict::Refused(refusal) => Err(attempt.refused(refusal, reason_of(&verdict))),
        Verdict::Unavailable(error) => Err(attempt.refused(error, reason_of(&verdict))),
    }
}

fn reason_of(verdict: &Verdict<Verified>) -> Reason {
    verdict.reason().unwrap_or(Reason::IntrospectionUnavailable)
}

/// What is known of `token` already; else its issuer is asked.
fn look_up(attempt: &mut Attempt<'_, '_>, provider: usize, token: &str) -> Result<Verdict<Verified>, Stop> {
    const UNAVAILABLE: Stop = Stop::Refuse(Reason::IntrospectionUnavailable);
    let (worker, services, now) = (attempt.worker, attempt.services, attempt.now());
    let introspector = worker.introspectors.get(provider).and_then(Option::as_ref).ok_or(UNAVAILABLE)?;
    let mut introspector = introspector.borrow_mut();
    let ticket = match introspector.lookup(token, now) {
        Lookup::Known(verdict) => return Ok(verdict),
        Lookup::InFlight(ticket) => ticket,
        // Nobody would send the call, or hear its answer.
        Lookup::Unknown if !attempt.exchange.may_wait(services) => return Err(UNAVAILABLE),
        Lookup::Unknown => match introspector.start(token, (services.client)(), now, (services.random)()) {
            Ok((ticket, call)) => {
                worker.outbox.borrow_mut().push((Purpose::Introspection { provider, ticket }, call));
                ticket
            }
            Err(error) => return Ok(Verdict::Unavailable(error)),
        },
    };
    Err(Stop::Wait(Wait {
        call: Purpose::Introspection { provider, ticket },
        until: now.saturating_add(introspector.longest_call()),
        otherwise: Reason::IntrospectionUnavailable,
    }))
}

impl WorkerState {
    /// Takes what an issuer answered, for those who wait for `ticket`.
    pub(super) fn on_introspected(
        &self,
        index: usize,
        ticket: Ticket,
        outcome: Outcome<'_>,
        services: &HostServices<'_>,
    ) -> Vec<String> {
        let introspector = self.introspectors.get(index).and_then(Option::as_ref);
        let (Some(introspector), Some(provider)) = (introspector, self.policy().providers.get(index)) else {
            return Vec::new();
        };
        let make = |token| Verified::new(token, &self.policy().vocabulary, index, provider);
        let verdict = introspector.borrow_mut().on_answer(ticket, outcome, services.now(), provider, make);
        let Some(verdict) = verdict else { return Vec::new() };
        let message = match &verdict {
            Verdict::Unavailable(error) => {
                self.warning(format!("introspection of \"{}\": {error}", provider.name()))
            }
            Verdict::Active(_) | Verdict::Refused(_) => None,
        };
        self.answers.borrow_mut().insert((index, ticket), verdict);
        message.into_iter().collect()
    }
}
