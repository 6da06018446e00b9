//! What the workers of one Envoy tell each other about a fetched document, as bytes in the shared store.
//!
//! Bytes of any other form count as if nothing were stored, and are written over.

use crate::time::Timestamp;

/// A published document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Published<'a> {
    /// Where it came from: an entity tag means something at that place alone.
    pub(super) place: &'a str,
    /// Empty for none.
    pub(super) etag: &'a str,
    /// As the server sent it.
    pub(super) body: &'a [u8],
}

/// Who fetches, when the next fetch is due, and which document is the current one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Schedule {
    /// A fetch is under way until then; the epoch: none is.
    pub(super) lease_until: Timestamp,
    /// When the next fetch is due.
    pub(super) due_at: Timestamp,
    /// The earliest time to which anything may bring the next fetch forward.
    pub(super) not_before: Timestamp,
    /// When the server last answered with the document or said that it is unchanged; the epoch: never.
    pub(super) confirmed_at: Timestamp,
    /// Fetches that failed one after the other, the one under way included.
    pub(super) failures: u32,
    /// SHA-256 of the document.
    pub(super) digest: [u8; 32],
}

/// The last character counts the versions of the format.
const DOCUMENT_TAG: &[u8; 4] = b"pfd1";
const SCHEDULE_TAG: &[u8; 4] = b"pfs1";

impl<'a> Published<'a> {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = DOCUMENT_TAG.to_vec();
        for text in [self.place, self.etag] {
            // One that does not fit is left out: the next fetch is unconditional.
            let (text, len) = u16::try_from(text.len()).map_or(("", 0), |len| (text, len));
            bytes.extend_from_slice(&len.to_be_bytes());
            bytes.extend_from_slice(text.as_bytes());
        }
        bytes.extend_from_slice(self.body);
        bytes
    }

    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (place, rest) = text(bytes.strip_prefix(DOCUMENT_TAG)?)?;
        let (etag, body) = text(rest)?;
        Some(Self { place, etag, body })
    }
}

impl Schedule {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut bytes = SCHEDULE_TAG.to_vec();
        for instant in [self.lease_until, self.due_at, self.not_before, self.confirmed_at] {
            bytes.extend_from_slice(&instant.as_nanos().to_be_bytes());
        }
        bytes.extend_from_slice(&self.failures.to_be_bytes());
        bytes.extend_from_slice(&self.digest);
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (lease_until, rest) = timestamp(bytes.strip_prefix(SCHEDULE_TAG)?)?;
        let (due_at, rest) = timestamp(rest)?;
        let (not_before, rest) = timestamp(rest)?;
        let (confirmed_at, rest) = timestamp(rest)?;
        let (failures, digest) = rest.split_first_chunk::<4>()?;
        let failures = u32::from_be_bytes(*failures);
        let digest = digest.try_into().ok()?;
        Some(Self { lease_until, due_at, not_before, confirmed_at, failures, digest })
    }
}

fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
    Some((str::from_utf8(text).ok()?, rest))
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
        fn what_is_written_is_read(
            texts: [String; 2],
            body: Vec<u8>,
            times: [u64; 4],
            failures: u32,
            digest: [u8; 32],
        ) {
            let published = Published { place: &texts[0], etag: &texts[1], body: &body };
            let bytes = published.encode();
            prop_assert_eq!(Published::decode(&bytes), Some(published));
            let [lease_until, due_at, not_before, confirmed_at] = times.map(Timestamp::from_nanos);
            let schedule = Schedule { lease_until, due_at, not_before, confirmed_at, failures, digest };
            let bytes = schedule.encode();
            prop_assert_eq!(Schedule::decode(&bytes), Some(schedule));
            prop_assert_eq!(Schedule::decode(&bytes[1..]), None);
            prop_assert_eq!(Schedule::decode(&[bytes.as_slice(), &[0]].concat()), None);
        }

        #[test]
        fn garbage_is_nothing(bytes: Vec<u8>) {
            prop_assume!(!bytes.starts_with(b"pf"));
            prop_assert_eq!(Published::decode(&bytes), None);
            prop_assert_eq!(Schedule::decode(&bytes), None);
        }

        /// What earlier builds left under their own names, and whatever was cut off.
        #[test]
        fn other_formats_are_nothing(tag in prop::sample::select(vec!["pck1", "pcs1", "prd1", "prs1"]), rest: Vec<u8>) {
            let bytes = [tag.as_bytes(), &rest].concat();
            prop_assert_eq!(Published::decode(&bytes), None);
            prop_assert_eq!(Schedule::decode(&bytes), None);
        }
    }
}
