//! What the workers of one Envoy tell each other about a fetched key set, as bytes in the shared store.
//!
//! Whatever else stands there is taken for nothing: it is read again and written over.

use crate::time::Timestamp;

/// A published key set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SetRecord<'a> {
    pub(super) fetched_at: Timestamp,
    /// The JWK set as the provider sent it.
    pub(super) body: &'a [u8],
}

/// Who fetches, and when the next fetch is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Schedule {
    /// A fetch is under way until then; the epoch: none is.
    pub(super) lease_until: Timestamp,
    /// When the next fetch is due.
    pub(super) due_at: Timestamp,
    /// The earliest time to which an unknown `kid` may bring the next fetch forward.
    pub(super) not_before: Timestamp,
    /// Fetches that failed one after the other, the one under way included.
    pub(super) failures: u32,
}

/// The last character counts the versions of the format.
const SET_TAG: &[u8; 4] = b"pck1";
const SCHEDULE_TAG: &[u8; 4] = b"pcs1";

impl<'a> SetRecord<'a> {
    pub(super) fn encode(&self) -> Vec<u8> {
        [SET_TAG, self.fetched_at.as_nanos().to_be_bytes().as_slice(), self.body].concat()
    }

    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (fetched_at, body) = timestamp(bytes.strip_prefix(SET_TAG)?)?;
        Some(Self { fetched_at, body })
    }
}

impl Schedule {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut bytes = SCHEDULE_TAG.to_vec();
        for instant in [self.lease_until, self.due_at, self.not_before] {
            bytes.extend_from_slice(&instant.as_nanos().to_be_bytes());
        }
        bytes.extend_from_slice(&self.failures.to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (lease_until, rest) = timestamp(bytes.strip_prefix(SCHEDULE_TAG)?)?;
        let (due_at, rest) = timestamp(rest)?;
        let (not_before, rest) = timestamp(rest)?;
        let failures = u32::from_be_bytes(rest.try_into().ok()?);
        Some(Self { lease_until, due_at, not_before, failures })
    }
}

fn timestamp(bytes: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (nanos, rest) = bytes.split_first_chunk::<8>()?;
    Some((Timestamp::from_nanos(u64::from_be_bytes(*nanos)), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(fetched: u64, body: Vec<u8>, a: u64, b: u64, c: u64, failures: u32) {
            let set = SetRecord { fetched_at: Timestamp::from_nanos(fetched), body: &body };
            let bytes = set.encode();
            prop_assert_eq!(SetRecord::decode(&bytes), Some(set));
            let [lease_until, due_at, not_before] = [a, b, c].map(Timestamp::from_nanos);
            let schedule = Schedule { lease_until, due_at, not_before, failures };
            let bytes = schedule.encode();
            prop_assert_eq!(Schedule::decode(&bytes), Some(schedule));
            prop_assert_eq!(Schedule::decode(&bytes[1..]), None);
            prop_assert_eq!(Schedule::decode(&[bytes.as_slice(), &[0]].concat()), None);
        }

        #[test]
        fn garbage_is_nothing(bytes: Vec<u8>) {
            prop_assume!(!bytes.starts_with(b"pc"));
            prop_assert_eq!(SetRecord::decode(&bytes), None);
            prop_assert_eq!(Schedule::decode(&bytes), None);
        }
    }
}
