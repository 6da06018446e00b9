//! Records in a chain: each holds the digest of the one before it, so that it shows when one of them is changed, taken out
//! or put in.

use std::fmt::Write as _;

use super::record_members::Member;
use crate::{config::RecordNames, crypto, text::hex};

/// The records that one worker writes under one policy.
pub(super) struct Chain {
    id: String,
    /// Of the last record; 0 before the first.
    sequence: u64,
    /// Of the last record, as it was written.
    digest: Option<[u8; 32]>,
}

impl Chain {
    /// One without records. `id` is random, so that no two chains in a log have the same.
    pub(super) fn new(id: [u8; 16]) -> Self {
        Self { id: hex::encode(&id), sequence: 0, digest: None }
    }

    /// The record with its place in the chain, as it is to be written next.
    pub(super) fn add(&mut self, record: &str, names: RecordNames) -> String {
        self.sequence = self.sequence.saturating_add(1);
        let mut line = record.strip_suffix('}').unwrap_or(record).to_owned();
        let [chain, sequence, previous] =
            [Member::Chain, Member::Sequence, Member::Previous].map(|member| member.name(names));
        _ = write!(line, ",\"{chain}\":\"{}\",\"{sequence}\":{}", self.id, self.sequence);
        if let Some(digest) = self.digest {
            _ = write!(line, ",\"{previous}\":\"{}\"", hex::encode(&digest));
        }
        line.push('}');
        self.digest = Some(crypto::sha256(line.as_bytes()));
        line
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn each_record_has_the_digest_of_the_one_before() {
        for (names, prefix) in [(RecordNames::Portcullis, ""), (RecordNames::Ecs, "portcullis.")] {
            let mut chain = Chain::new([0xab; 16]);
            let lines = [1, 2, 3].map(|n| chain.add(&format!("{{\"n\":{n}}}"), names));
            let mut previous = Value::Null;
            for (line, n) in lines.iter().zip(1..) {
                let record: Value = serde_json::from_str(line).unwrap();
                assert_eq!(record["n"], n);
                assert_eq!(record[format!("{prefix}chain")], "ab".repeat(16));
                let sequence = if names == RecordNames::Ecs { "event.sequence" } else { "sequence" };
                assert_eq!(record[sequence], n);
                assert_eq!(record[format!("{prefix}previous")], previous);
                previous = json!(hex::encode(&crypto::sha256(line.as_bytes())));
            }
        }
    }
}
