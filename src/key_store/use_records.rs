//! How often keys were used, written to etcd: `<prefix>v1/used/<id>`, beside the keys, so that no reader of keys is woken.
//!
//! Many workers of many Envoys add to one entry. Each reads what is there and writes the sum, if nobody wrote meanwhile;
//! else it is told what is there then, and tries again. What was not written goes back to whoever counts.

use std::fmt::Write as _;

use serde_json::Value;

use super::{
    EtcdSpec, ReadError,
    etcd::{EtcdError, Item, base64},
    reading::error_of,
};
use crate::{
    calls::{Call, NoBody, Outcome},
    time::Timestamp,
    usage::Uses,
};

/// What stands behind the prefix, before ids.
const SCHEMA: &str = "v1/used/";

/// How many entries are written at once: etcd takes 128 operations in one transaction unless it is told otherwise.
const BATCH: usize = 100;

/// How long after one batch the next may begin, so that no worker writes more than 500 entries in a second.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(200);

/// How often a batch is tried.
const TRIES: u32 = 8;

/// Far more than a batch has.
const MAX_ANSWER: usize = 1 << 20;

/// One worker's side of the entries.
#[derive(Debug)]
pub struct UseRecords {
    spec: EtcdSpec,
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

impl UseRecords {
    pub fn new(spec: EtcdSpec) -> Self {
        Self {
            spec,
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
            let rest = self.pending.len().saturating_sub(BATCH);
            let batch = self.pending.drain(rest..);
            self.batch = batch.map(|(id, uses)| Entry { id, uses, found: None }).collect();
            (self.tries, self.begun_at) = (0, now);
        }
        self.sent = true;
        Some(Call {
            cluster: self.spec.cluster.clone(),
            method: "POST",
            endpoint: self.spec.endpoint.with_path("/v3/kv/txn".to_owned()),
            headers: vec![("content-type", "application/json".to_owned())],
            body: self.transaction().into_bytes(),
            timeout: self.spec.timeout,
            max_answer: MAX_ANSWER,
        })
    }

    /// What is there, where that is not known; else all sums, if it is still there, and what is there, if not.
    fn transaction(&self) -> String {
        let (mut compare, mut put, mut range) = (String::new(), String::new(), String::new());
        for Entry { id, uses, found } in &self.batch {
            let key = base64(format!("{}{SCHEMA}{id}", self.spec.prefix).as_bytes());
            add(&mut range, format_args!("{{\"request_range\":{{\"key\":\"{key}\"}}}}"));
            if let Some((before, revision)) = found {
                let value = base64(before.plus(*uses).to_json().as_bytes());
                let is_same = "\"target\":\"MOD\",\"result\":\"EQUAL\"";
                add(
                    &mut compare,
                    format_args!("{{\"key\":\"{key}\",{is_same},\"mod_revision\":\"{revision}\"}}"),
                );
                add(
                    &mut put,
                    format_args!("{{\"request_put\":{{\"key\":\"{key}\",\"value\":\"{value}\"}}}}"),
                );
            }
        }
        match compare.is_empty() {
            true => format!("{{\"success\":[{range}]}}"),
            false => format!("{{\"compare\":[{compare}],\"success\":[{put}],\"failure\":[{range}]}}"),
        }
    }

    /// Takes the outcome of the call that [`UseRecords::next_call`] asked for. One that nobody asked for is ignored.
    ///
    /// # Errors
    /// Nothing more is going to be written: it is to be asked for with [`UseRecords::give_back`].
    pub fn on_answer(&mut self, outcome: Outcome<'_>) -> Result<(), ReadError> {
        if !std::mem::take(&mut self.sent) {
            return Ok(());
        }
        let body = outcome.body(MAX_ANSWER).map_err(|why| match why {
            NoBody::Status(status) => ReadError::Etcd(error_of(status, outcome)),
            why => ReadError::NoBody(why),
        })?;
        let Answer { succeeded, found } = Answer::read(body).ok_or(ReadError::Etcd(EtcdError::Malformed))?;
        let was_read = self.batch.iter().all(|entry| entry.found.is_some());
        if was_read && succeeded {
            self.batch.clear();
            return Ok(());
        }
        if found.len() != self.batch.len() {
            return Err(ReadError::Etcd(EtcdError::Malformed));
        }
        self.tries = self.tries.saturating_add(1);
        if self.tries > TRIES {
            return Err(ReadError::Outrun);
        }
        for (entry, found) in self.batch.iter_mut().zip(found) {
            entry.found = Some(found);
        }
        Ok(())
    }
}

/// Adds an item to a list.
#[inline(never)]
fn add(list: &mut String, item: std::fmt::Arguments<'_>) {
    if !list.is_empty() {
        list.push(',');
    }
    // Writing to a string does not fail.
    let _ = list.write_fmt(item);
}

/// What etcd says of a transaction.
struct Answer {
    /// What was compared was the same.
    succeeded: bool,
    /// What is there, and since which revision, of each that was asked for.
    found: Vec<(Uses, u64)>,
}

impl Answer {
    fn read(body: &[u8]) -> Option<Self> {
        let Value::Object(answer) = serde_json::from_slice(body).ok()? else { return None };
        answer.get("header")?.as_object()?;
        let succeeded = answer.get("succeeded").and_then(Value::as_bool) == Some(true);
        let mut found = Vec::new();
        for response in answer.get("responses").and_then(Value::as_array).into_iter().flatten() {
            // Of what was put nothing is asked.
            let Some(range) = response.get("response_range") else { continue };
            let item = range.get("kvs").and_then(|items| items.get(0));
            found.push(match item.map(Item::read) {
                None => (Uses::default(), 0),
                Some(item) => {
                    let item = item?;
                    (read(&item.value), item.changed_at)
                }
            });
        }
        Some(Self { succeeded, found })
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
