//! Whether the chains of records in a log are whole (`portcullis report --verify`).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use serde_json::{Map, Value, json};

use crate::{crypto, text::hex};

/// All chains of some files.
#[derive(Default)]
pub(super) struct Chains {
    by_id: BTreeMap<String, Chain>,
    /// Digests of records that are known from elsewhere, and were not met yet.
    expected: BTreeSet<String>,
    /// Where a record that is in no chain stands first, and how many there are.
    unchained: Option<(String, u64)>,
    /// The same of what begins as a record does and is none.
    unreadable: Option<(String, u64)>,
}

/// One chain, as far as it was read.
struct Chain {
    first: u64,
    last: u64,
    records: u64,
    /// Of the last record.
    digest: String,
    /// Where it is broken first, and how.
    broken: Option<(String, String)>,
}

impl Chains {
    /// `digests` are those of records that must be there: the last of what was verified before.
    pub(super) fn new(digests: &[String]) -> Self {
        Self { expected: digests.iter().cloned().collect(), ..Self::default() }
    }

    /// Takes the next record; `place` is where it stands.
    pub(super) fn add(&mut self, members: &Map<String, Value>, text: &str, place: &str) {
        let member = |name: &str| members.get(name).and_then(Value::as_str);
        let sequence = members.get("sequence").and_then(Value::as_u64);
        let (Some(id), Some(sequence)) = (member("chain"), sequence) else {
            count(&mut self.unchained, place);
            return;
        };
        let (previous, digest) = (member("previous"), hex::encode(&crypto::sha256(text.as_bytes())));
        self.expected.remove(&digest);
        let broken = match self.by_id.get(id) {
            None => {
                // What came before the first record here may have been verified elsewhere.
                let is_continued = previous.is_some_and(|previous| self.expected.remove(previous));
                match (sequence, previous) {
                    (1, None) => None,
                    _ if is_continued => None,
                    (1, Some(_)) | (0, _) => Some(format!("{sequence} is changed: no chain begins so")),
                    _ => Some(format!("all before {sequence} is missing")),
                }
            }
            Some(chain) => chain.break_at(sequence, previous, &digest),
        };
        let chain = self.by_id.entry(id.to_owned()).or_insert_with(|| Chain {
            first: sequence,
            last: sequence,
            records: 0,
            digest: String::new(),
            broken: None,
        });
        chain.records = chain.records.saturating_add(1);
        if chain.broken.is_none() {
            chain.broken = broken.map(|why| (place.to_owned(), why));
        }
        if sequence >= chain.last {
            (chain.last, chain.digest) = (sequence, digest);
        }
    }

    /// Takes a line that begins as a record does and is none.
    pub(super) fn add_unreadable(&mut self, place: &str) {
        count(&mut self.unreadable, place);
    }

    /// Whether there is a chain, and nothing is wrong.
    pub(super) fn are_whole(&self) -> bool {
        !self.by_id.is_empty()
            && self.by_id.values().all(|chain| chain.broken.is_none())
            && self.expected.is_empty()
            && self.unchained.is_none()
            && self.unreadable.is_none()
    }

    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        for (id, Chain { first, last, records, digest, broken }) in &self.by_id {
            _ = write!(out, "chain {}: {records} records, {first} to {last}, ", super::plain_text(id));
            _ = match broken {
                None => writeln!(out, "whole; the last has the digest {digest}"),
                Some((place, why)) => writeln!(out, "broken at {place}: {why}"),
            };
        }
        if self.by_id.is_empty() {
            out.push_str("no record is in a chain: decisionLog: {chain: true}\n");
        }
        for (found, what) in [
            (&self.unchained, "records in no chain"),
            (&self.unreadable, "lines that begin as records do and are none"),
        ] {
            if let Some((place, times)) = found {
                _ = writeln!(out, "{what}: {times}, the first at {place}");
            }
        }
        for digest in &self.expected {
            _ = writeln!(out, "no record has the digest {}", super::plain_text(digest));
        }
        out
    }

    pub(super) fn json(&self) -> Value {
        let chain = |(id, chain): (&String, &Chain)| {
            let broken = chain.broken.as_ref().map(|(place, why)| json!({"at": place, "why": why}));
            json!({"chain": id, "records": chain.records, "first": chain.first, "last": chain.last,
                "lastDigest": chain.digest, "whole": broken.is_none(), "broken": broken})
        };
        let found = |found: &Option<(String, u64)>| {
            found.as_ref().map(|(place, times)| json!({"records": times, "first": place}))
        };
        json!({"whole": self.are_whole(), "chains": self.by_id.iter().map(chain).collect::<Value>(),
            "unchained": found(&self.unchained), "unreadable": found(&self.unreadable),
            "digestsNotFound": self.expected})
    }
}

impl Chain {
    /// What is wrong between the records so far and the next one; `None`: nothing.
    fn break_at(&self, sequence: u64, previous: Option<&str>, digest: &str) -> Option<String> {
        let last = self.last;
        let next = last.saturating_add(1);
        if sequence == last {
            let forms = if *digest == *self.digest { "" } else { ", in two forms" };
            return Some(format!("{sequence} is there twice{forms}"));
        }
        if sequence < last {
            return Some(format!("{sequence} stands behind {last}"));
        }
        if sequence > next {
            let missing = sequence.saturating_sub(1);
            return Some(match missing == next {
                true => format!("{next} is missing"),
                false => format!("{next} to {missing} are missing"),
            });
        }
        (previous != Some(&self.digest)).then(|| format!("{last} is changed, or what {sequence} says of it"))
    }
}

fn count(found: &mut Option<(String, u64)>, place: &str) {
    let (_, times) = found.get_or_insert_with(|| (place.to_owned(), 0));
    *times = times.saturating_add(1);
}
