//! Tokens whose issuer is asked about them: who asks, who waits, and what the answer comes to.

use std::rc::Rc;

use super::{
    Attempt,
    provider::ProviderState,
    refusal::{Stop, Wait},
    verified::Verified,
};
use crate::{
    answer::Reason,
    introspection::{TokenState, Verdict},
};

/// What the issuer of `provider` says of `token`: the answer to the call that the request waited for, what is known
/// from before, or nothing yet.
#[inline(never)]
pub(super) fn ask(
    attempt: &mut Attempt<'_, '_>,
    provider: &ProviderState,
    token: &str,
) -> Result<Rc<Verified>, Stop> {
    attempt.trace.provider = Some(Rc::clone(&provider.provider));
    // Whoever waited for an answer gets it, also where the introspector keeps nothing of it; and has it, if it waits for
    // something else then.
    let exchange = &mut *attempt.exchange;
    let heard = exchange.heard.iter().find(|(purpose, _)| provider.is_asked_by(*purpose)).cloned();
    let answered = || {
        let purpose = exchange.waits_for_call()?;
        Some((purpose, provider.answer_to(purpose)?))
    };
    let verdict = match heard.map(|(_, verdict)| verdict) {
        Some(verdict) => verdict,
        None => match answered() {
            Some((purpose, verdict)) => {
                exchange.heard.push((purpose, verdict.clone()));
                verdict
            }
            None => look_up(attempt, provider, token)?,
        },
    };
    match &verdict {
        Verdict::Active(token) => {
            let Err(error) = token.check_times(attempt.now()) else { return Ok(Rc::clone(token)) };
            attempt.trace.known(token.caller());
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
fn look_up(
    attempt: &mut Attempt<'_, '_>,
    provider: &ProviderState,
    token: &str,
) -> Result<Verdict<Verified>, Stop> {
    const UNAVAILABLE: Stop = Stop::Refuse(Reason::IntrospectionUnavailable);
    let (worker, services, now) = (attempt.worker, attempt.services, attempt.now());
    let mut introspector = provider.introspector().ok_or(UNAVAILABLE)?;
    let ticket = match introspector.lookup(token, now) {
        TokenState::Known(verdict) => return Ok(verdict),
        TokenState::InFlight(ticket) => ticket,
        // The request may not wait, so there would be nobody to take the answer.
        TokenState::Unknown if !attempt.exchange.may_wait(services) => return Err(UNAVAILABLE),
        TokenState::Unknown => match introspector.start(token, (services.client)(), now, (services.random)())
        {
            Ok((ticket, call)) => {
                worker.outbox.borrow_mut().push((provider.introspection(ticket), call));
                ticket
            }
            Err(error) => return Ok(Verdict::Unavailable(error)),
        },
    };
    Err(Stop::Wait(Wait {
        call: provider.introspection(ticket),
        until: now.saturating_add(introspector.longest_call()),
        otherwise: Reason::IntrospectionUnavailable,
    }))
}
