//! What a ceremony asks of the store, and what it has heard.

use super::Ceremony;
use crate::{
    answer::Reason,
    engine::{
        Attempt, Purpose,
        refusal::{Stop, Wait},
    },
    passkeys::{Answer, Change, Name, Question, ask_shared},
};

impl Ceremony<'_, '_, '_> {
    /// An entry with its revision.
    pub(super) fn read(&mut self, name: Name) -> Result<Option<(Vec<u8>, u64)>, Stop> {
        match self.ask(Question::Read(name))? {
            Answer::Entry(entry) => Ok(entry),
            Answer::Changed(_) | Answer::Unavailable => Err(Reason::PasskeysUnavailable.into()),
        }
    }

    /// Whether `change` was made; not, where somebody else was first.
    pub(super) fn change(&mut self, change: Change) -> Result<bool, Stop> {
        match self.ask(Question::Change(change))? {
            Answer::Changed(changed) => Ok(changed),
            Answer::Entry(_) | Answer::Unavailable => Err(Reason::PasskeysUnavailable.into()),
        }
    }

    /// The answer to the next question: that of before, or what the store says now.
    fn ask(&mut self, question: Question) -> Result<Answer, Stop> {
        let place = self.asked;
        self.asked = place.saturating_add(1);
        if let Some(answer) = self.admitted.answers.get(place) {
            return Ok(answer.clone());
        }
        let (worker, services) = (self.attempt.worker, self.attempt.services);
        let answer = match &worker.passkey_entries {
            Some(_) => ask_etcd(self.attempt, question)?,
            None => ask_shared(&question, services.store, worker.namespace()),
        };
        self.admitted.answers.push(answer.clone());
        Ok(answer)
    }
}

/// The answer that the request waited for, or that it is to wait.
fn ask_etcd(attempt: &mut Attempt<'_, '_>, question: Question) -> Result<Answer, Stop> {
    const UNAVAILABLE: Stop = Stop::Refuse(Reason::PasskeysUnavailable);
    let (worker, now) = (attempt.worker, attempt.now());
    let mut entries = worker.passkey_entries.as_ref().ok_or(UNAVAILABLE)?.borrow_mut();
    let waits_for = match attempt.exchange.waits_for_call() {
        Some(Purpose::Passkeys { ticket }) => Some(ticket),
        _ => None,
    };
    if let Some(answer) = waits_for.and_then(|ticket| entries.take_answer(ticket)) {
        return Ok(answer);
    }
    let ticket = match waits_for.filter(|ticket| entries.is_pending(*ticket)) {
        Some(ticket) => ticket,
        // Nobody would be there to take the answer.
        None if !attempt.exchange.may_wait(attempt.services) => return Err(UNAVAILABLE),
        None => {
            let (ticket, call) = entries.ask(question, now).ok_or(UNAVAILABLE)?;
            let calls = call.map(|call| (Purpose::Passkeys { ticket }, call));
            worker.outbox.borrow_mut().extend(calls);
            ticket
        }
    };
    // A question may wait for a login, and come a second time.
    let longest = entries.server().timeout.saturating_mul(4);
    Err(Stop::Wait(Wait {
        call: Purpose::Passkeys { ticket },
        until: now.saturating_add(longest),
        otherwise: Reason::PasskeysUnavailable,
    }))
}
