//! Tokens whose issuer is asked about them: who asks, who waits, and who gets the answer.

use std::rc::Rc;

use super::{
    Around, Caller, Exchange, Gate, Purpose, authenticate::Unverified, bearer::Verified, record::Trace,
};
use crate::{
    answer::Reason,
    call::Outcome,
    introspection::{Lookup, Ticket, Verdict},
};

/// How much longer than a call may take a request waits for it.
const MARGIN: std::time::Duration = std::time::Duration::from_secs(1);

/// What the issuer at `provider` says of `token`: the answer to the call that `exchange` waited for, what is
/// known from before, or nothing yet.
#[inline(never)]
pub(super) fn ask(
    gate: &Gate,
    exchange: &mut Exchange,
    provider: usize,
    token: &str,
    around: &Around<'_>,
    trace: &mut Trace,
) -> Result<Rc<Verified>, Unverified> {
    let unavailable = Unverified::Refused(Reason::IntrospectionUnavailable);
    trace.provider = Some(provider);
    // An answer is for whoever waited for it, also where nothing of it is kept.
    let waited_for = exchange.ticket.take().filter(|(asked, _)| *asked == provider);
    let answered = waited_for.and_then(|waited_for| gate.answers.borrow().get(&waited_for).cloned());
    let verdict = match answered {
        Some(verdict) => verdict,
        None => {
            let introspector =
                gate.introspectors.get(provider).and_then(Option::as_ref).ok_or(unavailable)?;
            let mut introspector = introspector.borrow_mut();
            match introspector.lookup(token, around.now()) {
                Lookup::Known(verdict) => verdict,
                Lookup::InFlight(ticket) => return Err(wait(gate, exchange, provider, ticket, around)),
                // Nobody would send the call, or hear its answer.
                Lookup::Unknown if !exchange.may_wait(around) => return Err(unavailable),
                Lookup::Unknown => {
                    let client = (around.client)();
                    match introspector.start(token, client, around.now(), (around.random)()) {
                        Ok((ticket, call)) => {
                            let purpose = Purpose::Introspection { provider, ticket };
                            gate.outbox.borrow_mut().push((purpose, call));
                            return Err(wait(gate, exchange, provider, ticket, around));
                        }
                        Err(error) => Verdict::Unavailable(error),
                    }
                }
            }
        }
    };
    match &verdict {
        Verdict::Active(token) => {
            let Err(error) = token.check_times(around.now()) else { return Ok(Rc::clone(token)) };
            trace.principal = Some(token.caller());
            return Err(trace.refused(&error, error.reason()));
        }
        Verdict::Refused(refusal) => trace.note(refusal),
        Verdict::Unavailable(error) => trace.note(error),
    }
    Err(Unverified::Refused(verdict.reason().unwrap_or(Reason::IntrospectionUnavailable)))
}

fn wait(
    gate: &Gate,
    exchange: &mut Exchange,
    provider: usize,
    ticket: Ticket,
    around: &Around<'_>,
) -> Unverified {
    exchange.ticket = Some((provider, ticket));
    let spec =
        gate.policy().providers.get(provider).and_then(|provider| provider.spec().introspection.as_ref());
    let timeout = spec.map(|spec| spec.timeout).unwrap_or_default();
    Unverified::Wait {
        until: around.now().saturating_add(timeout).saturating_add(MARGIN),
        otherwise: Reason::IntrospectionUnavailable,
    }
}

impl Gate {
    /// Takes what an issuer answered, for those who wait for `ticket`.
    pub(super) fn on_introspected(
        &self,
        index: usize,
        ticket: Ticket,
        outcome: Outcome<'_>,
        around: &Around<'_>,
    ) -> Vec<String> {
        let introspector = self.introspectors.get(index).and_then(Option::as_ref);
        let (Some(introspector), Some(provider)) = (introspector, self.policy().providers.get(index)) else {
            return Vec::new();
        };
        let make = |token: crate::introspection::IntrospectedToken| {
            let caller = Caller::of_token(token.principal, &self.policy().vocabulary, index, provider);
            Verified::new(Rc::new(caller), index, token.validity)
        };
        let verdict = introspector.borrow_mut().on_answer(ticket, outcome, around.now(), provider, make);
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
