//! What the workers of one Envoy share of the store, as bytes in the host's shared data: where reading stands, and an
//! entry for each key.
//!
//! Keys live there once, not once in each worker, so that a million of them cost a worker nothing and a new policy
//! finds them in place. Bytes of any other form count as if nothing were stored.

use crate::{
    store::{self, SharedStore, StoreError},
    time::Timestamp,
};

/// Where reading stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// The last listing that came to its end; 0: none yet. Entries of earlier ones are of keys that are gone.
    pub(super) epoch: u32,
    /// The last listing that began. No two have the same number, whatever became of them.
    pub(super) begun: u32,
    /// Counts what was changed: what a worker remembers of keys counts while this stays.
    pub(super) changes: u64,
    pub(super) cluster_id: u64,
    pub(super) raft_term: u64,
    /// Everything up to this revision is known.
    pub(super) revision: u64,
    /// How many keys there are.
    pub(super) count: u64,
    /// When all keys were read last.
    pub(super) listed_at: Timestamp,
    /// When the store last said that nothing else had changed; the epoch of time: never.
    pub(super) confirmed_at: Timestamp,
    /// A worker reads until then.
    pub(super) lease_until: Timestamp,
    /// When the store is asked next.
    pub(super) due_at: Timestamp,
    /// Readings that failed one after the other, the one under way included.
    pub(super) failures: u32,
}

/// The last character counts the versions of the format.
const HEAD_TAG: &[u8; 4] = b"pkh1";

impl Head {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut bytes = HEAD_TAG.to_vec();
        for number in [self.epoch, self.begun, self.failures] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        let times =
            [self.listed_at, self.confirmed_at, self.lease_until, self.due_at].map(Timestamp::as_nanos);
        for number in [self.changes, self.cluster_id, self.raft_term, self.revision, self.count]
            .into_iter()
            .chain(times)
        {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let rest = bytes.strip_prefix(HEAD_TAG)?;
        let (small, rest) = rest.split_at_checked(12)?;
        let mut small =
            small.chunks_exact(4).filter_map(|chunk| Some(u32::from_be_bytes(chunk.try_into().ok()?)));
        let is_whole = rest.len() == 72;
        let mut large =
            rest.chunks_exact(8).filter_map(|chunk| Some(u64::from_be_bytes(chunk.try_into().ok()?)));
        let (epoch, begun, failures) = (small.next()?, small.next()?, small.next()?);
        let (changes, cluster_id, raft_term) = (large.next()?, large.next()?, large.next()?);
        let (revision, count) = (large.next()?, large.next()?);
        let mut time = || large.next().map(Timestamp::from_nanos);
        let (listed_at, confirmed_at, lease_until, due_at) = (time()?, time()?, time()?, time()?);
        is_whole.then_some(Self {
            epoch,
            begun,
            changes,
            cluster_id,
            raft_term,
            revision,
            count,
            listed_at,
            confirmed_at,
            lease_until,
            due_at,
            failures,
        })
    }
}

/// When an entry was read. The later one counts: a worker that was held up writes over nothing newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Stamp {
    pub(super) epoch: u32,
    /// The store's revision.
    pub(super) changed_at: u64,
}

const STAMP_LEN: usize = 12;

/// How often a lost race for an entry is run again. The reader is one worker, so races are rare.
const TRIES: usize = 4;

/// What became of an entry that was to be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// There was none, or one of a listing before `since`.
    New,
    Replaced,
    /// It is there already, or a newer one.
    Kept,
}

/// Writes an entry, unless it is known as new as that. Those of listings before `since` count as gone.
pub(super) fn put(
    store: &dyn SharedStore,
    key: &str,
    stamp: Stamp,
    value: &[u8],
    since: u32,
) -> Result<Put, StoreError> {
    let mut outcome = Put::Kept;
    store::update(store, key, TRIES, &mut |stored| {
        let known = stored.and_then(split).map(|(stamp, _)| stamp);
        outcome = match known {
            None => Put::New,
            Some(known) if known >= stamp => Put::Kept,
            Some(known) if known.epoch < since => Put::New,
            Some(_) => Put::Replaced,
        };
        (outcome != Put::Kept).then(|| {
            let mut bytes = Vec::with_capacity(STAMP_LEN.saturating_add(value.len()));
            bytes.extend_from_slice(&stamp.epoch.to_be_bytes());
            bytes.extend_from_slice(&stamp.changed_at.to_be_bytes());
            bytes.extend_from_slice(value);
            bytes
        })
    })?;
    Ok(outcome)
}

/// The entry's value; `None`: there is none of the listing `since` or a later one.
pub(super) fn get(store: &dyn SharedStore, key: &str, since: u32) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(mut stored) = store.get(key)? else { return Ok(None) };
    match split(&stored.value) {
        Some((stamp, _)) if stamp.epoch >= since => {
            stored.value.drain(..STAMP_LEN.min(stored.value.len()));
            Ok(Some(stored.value))
        }
        _ => Ok(None),
    }
}

fn split(bytes: &[u8]) -> Option<(Stamp, &[u8])> {
    let (epoch, rest) = bytes.split_first_chunk::<4>()?;
    let (changed_at, value) = rest.split_first_chunk::<8>()?;
    Some((Stamp { epoch: u32::from_be_bytes(*epoch), changed_at: u64::from_be_bytes(*changed_at) }, value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::store::MemoryStore;

    proptest! {
        #[test]
        fn a_head_is_read_as_it_was_written(small: [u32; 3], large: [u64; 5], times: [u64; 4]) {
            let [listed_at, confirmed_at, lease_until, due_at] = times.map(Timestamp::from_nanos);
            let head = Head {
                epoch: small[0], begun: small[1], failures: small[2],
                changes: large[0], cluster_id: large[1], raft_term: large[2], revision: large[3],
                count: large[4], listed_at, confirmed_at, lease_until, due_at,
            };
            let bytes = head.encode();
            prop_assert_eq!(Head::decode(&bytes), Some(head));
            prop_assert_eq!(Head::decode(&bytes[1..]), None);
            prop_assert_eq!(Head::decode(bytes.split_last().unwrap().1), None);
            prop_assert_eq!(Head::decode(&[bytes.as_slice(), &[0]].concat()), None);
        }
    }

    #[test]
    fn the_newer_entry_counts() {
        let store = MemoryStore::default();
        let stamp = |epoch, changed_at| Stamp { epoch, changed_at };
        for (new, value, since, expected, after) in [
            (stamp(1, 5), "a", 1, Put::New, Some("a")),
            (stamp(1, 5), "b", 1, Put::Kept, Some("a")),
            (stamp(1, 4), "b", 1, Put::Kept, Some("a")),
            (stamp(1, 6), "c", 1, Put::Replaced, Some("c")),
            (stamp(2, 3), "d", 1, Put::Replaced, Some("d")),
            (stamp(1, 9), "e", 1, Put::Kept, Some("d")),
            (stamp(4, 1), "f", 3, Put::New, Some("f")),
            (stamp(4, 2), "", 4, Put::Replaced, Some("")),
        ] {
            assert_eq!(put(&store, "k", new, value.as_bytes(), since), Ok(expected), "{new:?}");
            let found = get(&store, "k", since).unwrap();
            assert_eq!(found.as_deref(), after.map(str::as_bytes), "{new:?}");
        }
        assert_eq!(get(&store, "k", 5), Ok(None), "a listing without it came to its end");
        assert_eq!(get(&store, "other", 0), Ok(None));
    }
}
