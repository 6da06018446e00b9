//! How often keys were used, written to etcd: `<prefix>v1/used/<id>`, beside the keys, so that no reader of keys is woken.
//!
//! Many workers of many Envoys add to one entry. Each reads what is there and writes the sum, if nobody wrote meanwhile;
//! else it is told what is there then, and tries again. What was not written goes back to whoever counts.

use std::{fmt, rc::Rc};

use serde_json::Value;

use super::USES_SCHEMA;
use crate::{
    calls::{Call, Outcome},
    etcd::{Client, EtcdError, MOST_OPERATIONS, Operation, TRANSACTION, Transaction, TransactionAnswer},
    time::Timestamp,
    usage::Uses,
};

/// How long after one batch the next may begin, so that no worker writes more than 500 entries in a second.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(200);

/// How often a batch is tried.
const TRIES: u32 = 8;

/// Far more than a batch has.
const MAX_ANSWER: usize = 1 << 20;

/// One worker's side of the entries.
#[derive(Debug)]
pub struct UseRecords {
    etcd: Rc<Client>,
    /// Uses that are still to be written.
    pending: Vec<(Box<str>, Uses)>,
    /// Those that are being written; empty: none.
    batch: Vec<Entry>,
    /// How often the batch was tried.
    tries: u32,
    /// A call was handed out, and its outcome is due.
    sent: bool,
    /// When the batch was begun.
    begun_at: Timestamp,
}

#[derive(Debug)]
struct Entry {
    id: Box<str>,
    uses: Uses,
    /// What etcd has, and since which revision; `None`: it was not read yet.
    found: Option<(Uses, u64)>,
}

/// Why uses were not written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotWritten {
    /// There is no answer that could be read.
    Etcd(EtcdError),
    /// Others wrote the same entries each time.
    Outrun,
}

impl UseRecords {
    /// `etcd` is the worker's client.
    pub fn new(etcd: Rc<Client>) -> Self {
        Self {
            etcd,
            pending: Vec::new(),
            batch: Vec::new(),
            tries: 0,
            sent: false,
            begun_at: Timestamp::default(),
        }
    }

    /// Whether all uses are written.
    pub fn is_done(&self) -> bool {
        self.pending.is_empty() && self.batch.is_empty()
    }

    /// Has more uses written.
    pub(crate) fn write(&mut self, uses: Vec<(Box<str>, Uses)>) {
        self.pending.extend(uses);
    }

    /// What is not written, or not known to be, and is not going to be.
    pub(crate) fn give_back(&mut self) -> impl Iterator<Item = (Box<str>, Uses)> {
        self.sent = false;
        let batch = self.batch.drain(..).map(|entry| (entry.id, entry.uses));
        batch.chain(self.pending.drain(..))
    }

    /// What is to be sent now, if anything.
    pub fn next_call(&mut self, now: Timestamp) -> Option<Call> {
        if self.sent {
            return None;
        }
        if self.batch.is_empty() {
            let until = self.begun_at.saturating_add(PAUSE);
            if self.pending.is_empty() || until.lies_ahead(now, PAUSE) {
                return None;
            }
            let rest = self.pending.len().saturating_sub(MOST_OPERATIONS);
            let batch = self.pending.drain(rest..);
            self.batch = batch.map(|(id, uses)| Entry { id, uses, found: None }).collect();
            (self.tries, self.begun_at) = (0, now);
        }
        // Without a login it waits for one.
        let call = self.etcd.call(TRANSACTION, self.transaction().body(), MAX_ANSWER, now).ok()?;
        self.sent = true;
        Some(call)
    }

    /// What is there, where that is not known; else all sums, if it is still there, and what is there, if not.
    fn transaction(&self) -> Transaction {
        let mut transaction = Transaction::default();
        let is_read = self.is_read();
        for Entry { id, uses, found } in &self.batch {
            let key = format!("{}{USES_SCHEMA}{id}", self.etcd.server().prefix).into_bytes();
            match found {
                Some((before, revision)) if is_read => {
                    transaction.expect(&key, *revision);
                    let value = before.plus(*uses).to_json();
                    transaction.then(Operation::Put { key: &key, value: value.as_bytes() });
                    transaction.otherwise(Operation::Get(&key));
                }
                _ => transaction.then(Operation::Get(&key)),
            }
        }
        transaction
    }

    /// Whether what is there is known of the whole batch.
    fn is_read(&self) -> bool {
        self.batch.iter().all(|entry| entry.found.is_some())
    }

    /// Takes the outcome of the call that [`UseRecords::next_call`] asked for. One that nobody asked for is ignored.
    ///
    /// # Errors
    /// Nothing more is going to be written: it is to be asked for with [`UseRecords::give_back`].
    pub fn on_answer(&mut self, outcome: Outcome<'_>, now: Timestamp) -> Result<(), NotWritten> {
        if !std::mem::take(&mut self.sent) {
            return Ok(());
        }
        let answer = match self.etcd.read(outcome, MAX_ANSWER).and_then(TransactionAnswer::read) {
            // The same is asked again, with another token.
            Err(EtcdError::Unauthenticated) if self.etcd.may_log_in(now) => return Ok(()),
            answer => answer.map_err(NotWritten::Etcd)?,
        };
        if self.is_read() && answer.succeeded {
            self.batch.clear();
            return Ok(());
        }
        if answer.found.len() != self.batch.len() {
            return Err(NotWritten::Etcd(EtcdError::Malformed));
        }
        self.tries = self.tries.saturating_add(1);
        if self.tries > TRIES {
            return Err(NotWritten::Outrun);
        }
        for (entry, found) in self.batch.iter_mut().zip(answer.found) {
            entry.found = Some(match found.first() {
                None => (Uses::default(), 0),
                Some(item) => (read(&item.value), item.changed_at),
            });
        }
        Ok(())
    }
}

/// What an entry says; what cannot be read says nothing, and is written anew.
fn read(value: &[u8]) -> Uses {
    let read = || {
        let value: Value = serde_json::from_slice(value).ok()?;
        let last = Timestamp::from_rfc3339(value.get("lastUsedAt")?.as_str()?).ok()?;
        Some(Uses { count: value.get("uses")?.as_u64()?, last })
    };
    read().unwrap_or_default()
}

impl fmt::Display for NotWritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Etcd(why) => why.fmt(f),
            Self::Outrun => f.write_str("others write the same entries all the time"),
        }
    }
}
