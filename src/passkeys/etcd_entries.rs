//! Entries in etcd, as one worker asks for them: each question by a call of its own, for ceremonies are rare.

use hashbrown::HashMap;

use super::entries::{Answer, Change, Name, Question};
use crate::{
    calls::{Call, Counts, Outcome},
    etcd::{
        Client, EtcdError, NotYet, Operation, RANGE, Range, RangeRequest, Server, TRANSACTION, Transaction,
        TransactionAnswer,
    },
    time::Timestamp,
};

/// How many questions may be under way: more than there are requests that may wait.
const MOST_PENDING: usize = 512;

/// The longest answer: an account with all its passkeys is a tenth of it.
const MAX_ANSWER: usize = 256 * 1024;

/// Which question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket(u64);

/// What one worker asks of etcd.
#[derive(Debug)]
pub struct EtcdEntries {
    client: Client,
    last: u64,
    pending: HashMap<Ticket, Pending>,
    /// What was answered and is not fetched yet.
    answers: HashMap<Ticket, Answer>,
    counts: Counts,
}

#[derive(Debug)]
struct Pending {
    question: Question,
    /// It was sent, and its answer is due; else it waits for a login.
    sent: bool,
    /// It was sent once before, by a token that etcd did not know any more.
    again: bool,
}

impl EtcdEntries {
    /// Touches nothing outside.
    pub fn new(server: Server) -> Self {
        Self {
            client: Client::new(server),
            last: 0,
            pending: HashMap::new(),
            answers: HashMap::new(),
            counts: Counts::default(),
        }
    }

    /// Questions since they were taken last.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// Asks. The call is to be sent at once, where there is one; else the next [`EtcdEntries::tick`] has it. `None`: nothing
    /// can be asked now.
    pub fn ask(&mut self, question: Question, now: Timestamp) -> Option<(Ticket, Option<Call>)> {
        if self.pending.len() >= MOST_PENDING {
            return None;
        }
        self.last = self.last.wrapping_add(1);
        let ticket = Ticket(self.last);
        let call = match self.call(&question, now) {
            Ok(call) => Some(call),
            Err(NotYet::LoggingIn) => None,
            Err(NotYet::Pausing) => return None,
        };
        self.pending.insert(ticket, Pending { question, sent: call.is_some(), again: false });
        self.counts.started = self.counts.started.saturating_add(1);
        Some((ticket, call))
    }

    /// Whether the answer is still to come.
    pub fn is_pending(&self, ticket: Ticket) -> bool {
        self.pending.contains_key(&ticket)
    }

    /// The answer, for whoever asked; once.
    pub fn take_answer(&mut self, ticket: Ticket) -> Option<Answer> {
        self.answers.remove(&ticket)
    }

    /// To be called when all who waited for answers were given the chance to take them.
    pub fn forget_answers(&mut self) {
        self.answers.clear();
    }

    /// To be called a few times a second, and when an answer has come: the login that is due, if any.
    pub fn login(&self, now: Timestamp, random: u64) -> Option<Call> {
        self.client.tick(now, random)
    }

    /// Takes the outcome of a login. Whoever waits for it goes on with [`EtcdEntries::tick`], or never if there is none.
    ///
    /// # Errors
    /// There is no login.
    pub fn on_login(&mut self, outcome: Outcome<'_>) -> Result<(), EtcdError> {
        let login = self.client.on_answer(outcome);
        if login.is_err() {
            let answers = &mut self.answers;
            self.pending.retain(|ticket, pending| {
                if !pending.sent {
                    answers.insert(*ticket, Answer::Unavailable);
                }
                pending.sent
            });
        }
        login
    }

    /// Questions that waited for a login and can be asked now.
    pub fn tick(&mut self, now: Timestamp) -> Vec<(Ticket, Call)> {
        let mut calls = Vec::new();
        let waiting = self.pending.iter().filter(|(_, pending)| !pending.sent).map(|(ticket, _)| *ticket);
        for ticket in waiting.collect::<Vec<_>>() {
            let Some(pending) = self.pending.get(&ticket) else { continue };
            let Ok(call) = self.call(&pending.question, now) else { break };
            if let Some(pending) = self.pending.get_mut(&ticket) {
                pending.sent = true;
            }
            calls.push((ticket, call));
        }
        calls
    }

    /// Takes the outcome of the call for `ticket`. One that nobody asked for is ignored.
    ///
    /// # Errors
    /// There is no answer: what the operator should know.
    pub fn on_answer(
        &mut self,
        ticket: Ticket,
        outcome: Outcome<'_>,
        now: Timestamp,
    ) -> Result<(), EtcdError> {
        let Some(mut pending) = self.pending.remove(&ticket) else { return Ok(()) };
        let answer =
            self.client.read(outcome, MAX_ANSWER).and_then(|body| pending.question.read_answer(body));
        match answer {
            Ok(answer) => {
                self.answers.insert(ticket, answer);
                self.counts.succeeded = self.counts.succeeded.saturating_add(1);
                Ok(())
            }
            Err(EtcdError::Unauthenticated) if !pending.again && self.client.may_log_in(now) => {
                (pending.sent, pending.again) = (false, true);
                self.pending.insert(ticket, pending);
                Ok(())
            }
            Err(error) => {
                self.answers.insert(ticket, Answer::Unavailable);
                self.counts.failed = self.counts.failed.saturating_add(1);
                Err(error)
            }
        }
    }

    /// What etcd is for operators.
    pub fn server(&self) -> &Server {
        self.client.server()
    }

    fn call(&self, question: &Question, now: Timestamp) -> Result<Call, NotYet> {
        let prefix = self.client.server().prefix.as_str();
        let (path, body) = match question {
            Question::Read(name) => (RANGE, RangeRequest::one(&key(prefix, name)).body()),
            Question::Change(change) => (TRANSACTION, transaction(prefix, change).body()),
        };
        self.client.call(path, body, MAX_ANSWER, now)
    }
}

fn key(prefix: &str, name: &Name) -> Vec<u8> {
    [prefix, &name.path()].concat().into_bytes()
}

fn transaction(prefix: &str, change: &Change) -> Transaction {
    let mut transaction = Transaction::default();
    for (name, revision) in &change.unless_changed {
        transaction.expect(&key(prefix, name), *revision);
    }
    for (name, value) in &change.put {
        transaction.then(Operation::Put { key: &key(prefix, name), value: value.as_bytes() });
    }
    for name in &change.delete {
        transaction.then(Operation::Delete(&key(prefix, name)));
    }
    transaction
}

impl Question {
    fn read_answer(&self, body: &[u8]) -> Result<Answer, EtcdError> {
        Ok(match self {
            Self::Read(_) => {
                let entry = Range::read(body)?.items.into_iter().next();
                Answer::Entry(entry.map(|entry| (entry.value, entry.changed_at)))
            }
            Self::Change(_) => Answer::Changed(TransactionAnswer::read(body)?.succeeded),
        })
    }
}
