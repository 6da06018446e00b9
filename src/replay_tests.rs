//! The table of what was used: nothing twice, whatever happens.

use std::cell::Cell;

use proptest::prelude::*;

use super::*;
use crate::{
    crypto::sha256,
    store::{Expected, MemoryStore, StoreError, Versioned},
};

const NOW: u64 = 1_800_000_000;

const TABLE: Table = Table { name: "things", horizon: Duration::from_secs(305) };

/// Something that is good once.
#[derive(Clone, Debug)]
struct Thing {
    name: String,
    not_after: Timestamp,
}

fn thing(owner: u8, name: &str, not_after: u64) -> Thing {
    Thing { name: format!("{owner}:{name}"), not_after: Timestamp::from_secs(not_after) }
}

impl Thing {
    fn hash(&self) -> [u8; 32] {
        sha256(self.name.as_bytes())
    }
}

fn claim_at(store: &dyn SharedStore, thing: &Thing, now: u64) -> Result<bool, ReplayError> {
    TABLE.claim(&thing.hash(), thing.not_after, store, "t", Timestamp::from_secs(now))
}

#[test]
fn once_and_never_again_while_it_is_accepted() {
    let store = MemoryStore::default();
    let used = thing(1, "a", NOW + 60);
    for (thing, now, expected) in [
        (&used, NOW, Ok(true)),
        (&used, NOW, Ok(false)),
        (&used, NOW + 60, Ok(false)),
        (&thing(2, "a", NOW + 60), NOW, Ok(true)),
        (&thing(1, "b", NOW + 60), NOW, Ok(true)),
        (&thing(1, "A", NOW + 60), NOW, Ok(true)),
        (&thing(1, "aa", NOW + 60), NOW, Ok(true)),
        // What has the same name is the same thing.
        (&thing(1, "a", NOW + 120), NOW + 1, Ok(false)),
    ] {
        assert_eq!(claim_at(&store, thing, now), expected, "{thing:?} {now}");
    }
    // Forgotten when it is too old to be good.
    assert_eq!(claim_at(&store, &used, NOW + 61), Ok(true));
}

/// A store in which somebody else writes between reading and writing, a given number of times.
struct Contended<'a> {
    inner: &'a MemoryStore,
    rival: &'a Thing,
    times: Cell<u32>,
}

impl SharedStore for Contended<'_> {
    fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        let read = self.inner.get(key);
        if let Some(left) = self.times.get().checked_sub(1) {
            self.times.set(left);
            let rival = Thing { name: format!("{}{left}", self.rival.name), ..self.rival.clone() };
            let rival = if left == 0 { self.rival.clone() } else { rival };
            let mut slot = Used::default();
            if let Some(bytes) = self.inner.get(key).unwrap() {
                slot = Used::read(&bytes.value).unwrap();
            }
            let hash = rival.hash();
            slot.take(place(&hash).unwrap().1, rival.not_after, Timestamp::from_secs(NOW), TABLE.horizon)
                .unwrap();
            let expected = self.inner.get(key).unwrap();
            let expected = expected.map_or(Expected::Absent, |stored| Expected::Version(stored.version));
            self.inner.replace(key, &slot.write(), expected).unwrap();
        }
        read
    }

    fn replace(&self, key: &str, value: &[u8], expected: Expected) -> Result<(), StoreError> {
        self.inner.replace(key, value, expected)
    }
}

#[test]
fn of_two_workers_exactly_one_accepts() {
    let ours = thing(1, "a", NOW + 60);
    for (rival, times, expected) in [
        // The other worker got the same in between: it won.
        (&ours, 1, Ok(false)),
        (&thing(2, "x", NOW + 60), 1, Ok(true)),
        (&thing(2, "x", NOW + 60), 15, Ok(true)),
        // Somebody else always writes first: refused.
        (&thing(2, "x", NOW + 60), 40, Err(ReplayError::Unavailable)),
    ] {
        let inner = MemoryStore::default();
        let store = Contended { inner: &inner, rival, times: Cell::new(times) };
        assert_eq!(claim_at(&store, &ours, NOW), expected, "{rival:?} {times}");
    }
}

#[test]
fn a_full_slot_refuses_what_is_new_and_remembers_what_is_old() {
    let mut slot = Used::default();
    let (now, later) = (Timestamp::from_secs(NOW), Timestamp::from_secs(NOW + 60));
    for fingerprint in 0..64 {
        assert_eq!(slot.take(fingerprint, later, now, TABLE.horizon), Ok(true));
    }
    assert_eq!(slot.take(64, later, now, TABLE.horizon), Err(ReplayError::Full));
    assert_eq!(slot.take(0, later, now, TABLE.horizon), Ok(false));
    assert_eq!(slot.take(63, later, later, TABLE.horizon), Ok(false));
    assert_eq!(slot.take(64, later, later, TABLE.horizon), Err(ReplayError::Full));
    // A second later the 64 are too old, and there is room.
    assert_eq!(
        slot.take(64, Timestamp::from_secs(NOW + 120), Timestamp::from_secs(NOW + 61), TABLE.horizon),
        Ok(true)
    );
    assert_eq!(slot.entries.len(), 1);
    let read = Used::read(&slot.write()).unwrap();
    assert_eq!(read.entries, slot.entries);
}

#[test]
fn damaged_slots_refuse_and_heal() {
    let used = thing(1, "a", NOW + 60);
    let hash = used.hash();
    let key = format!("t/things/{:03x}", place(&hash).unwrap().0);
    let entries = (0..64).map(|fingerprint| (fingerprint, u64::MAX)).collect();
    let far = Used { entries, ..Used::default() };
    let mut long = MAGIC.to_vec();
    long.extend([0; 8 + 65 * 16]);
    for (bytes, error) in [
        (b"".to_vec(), ReplayError::Unavailable),
        (b"rubbish".to_vec(), ReplayError::Unavailable),
        (MAGIC.to_vec(), ReplayError::Unavailable),
        ([&MAGIC[..], &[0; 9]].concat(), ReplayError::Unavailable),
        (long, ReplayError::Unavailable),
        (far.write(), ReplayError::Full),
    ] {
        let store = MemoryStore::default();
        store.replace(&key, &bytes, Expected::Absent).unwrap();
        assert_eq!(claim_at(&store, &used, NOW), Err(error), "{bytes:?}");
        assert_eq!(claim_at(&store, &used, NOW + 305), Err(error), "{bytes:?}");
        let fresh = thing(1, "a", NOW + 360);
        assert_eq!(claim_at(&store, &fresh, NOW + 306), Ok(true), "{bytes:?}");
        assert_eq!(claim_at(&store, &fresh, NOW + 306), Ok(false), "{bytes:?}");
    }
}

struct Broken;

impl SharedStore for Broken {
    fn get(&self, _: &str) -> Result<Option<Versioned>, StoreError> {
        Err(StoreError::Unavailable)
    }

    fn replace(&self, _: &str, _: &[u8], _: Expected) -> Result<(), StoreError> {
        Err(StoreError::Unavailable)
    }
}

#[test]
fn a_store_that_fails_accepts_nothing() {
    assert_eq!(claim_at(&Broken, &thing(1, "a", NOW + 60), NOW), Err(ReplayError::Unavailable));
}

proptest! {
    /// Whatever comes in whatever order: nothing is accepted twice while it could be.
    #[test]
    fn nothing_is_accepted_twice(
        steps in prop::collection::vec((0_u8..3, 0_u8..4, 0_u64..20), 1..200),
        max_age in 1_u64..60,
    ) {
        let store = MemoryStore::default();
        let mut now = NOW;
        let mut accepted: Vec<(u8, u8, u64)> = Vec::new();
        for (key, jti, wait) in steps {
            now += wait / 4;
            let not_after = now + max_age;
            let got = claim_at(&store, &thing(key, &jti.to_string(), not_after), now);
            let live = accepted.iter().any(|(k, j, until)| (*k, *j) == (key, jti) && *until >= now);
            prop_assert_eq!(got, Ok(!live));
            if !live {
                accepted.push((key, jti, not_after));
            }
        }
    }

    /// One slot only, crowded: full is refused, and still nothing passes twice.
    #[test]
    fn a_crowded_slot_accepts_nothing_twice(fingerprints in prop::collection::vec(0_u64..100, 1..300)) {
        let mut slot = Used::default();
        let (now, later) = (Timestamp::from_secs(NOW), Timestamp::from_secs(NOW + 60));
        let mut accepted = Vec::new();
        for fingerprint in fingerprints {
            slot = Used::read(&slot.write()).unwrap();
            match slot.take(fingerprint, later, now, TABLE.horizon) {
                Ok(true) => {
                    prop_assert!(!accepted.contains(&fingerprint));
                    accepted.push(fingerprint);
                }
                Ok(false) => prop_assert!(accepted.contains(&fingerprint)),
                Err(error) => {
                    prop_assert_eq!(error, ReplayError::Full);
                    prop_assert!(accepted.len() >= ENTRIES && !accepted.contains(&fingerprint));
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..100),
        with_magic in any::<bool>(),
    ) {
        let bytes = if with_magic { [&MAGIC[..], &bytes].concat() } else { bytes };
        if let Some(mut slot) = Used::read(&bytes) {
            let _ = slot.take(1, Timestamp::from_secs(NOW), Timestamp::from_secs(NOW), TABLE.horizon);
            prop_assert!(slot.entries.len() <= ENTRIES);
        }
    }
}
