//! The state that all workers of one Envoy share: a small key-value store with compare-and-set.
//!
//! Envoy's shared data has no delete and no expiry, so whoever uses it keeps to a bounded set of keys.

mod cas;
mod secrets;

use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashMap;

pub use self::{
    cas::{Change, update},
    secrets::{SharedSecret, random_bytes, shared_secret},
};

/// A stored value with the version that a replacement must name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The bytes. Other modules may share the store: treat them as input, not as our own. May be empty.
    pub value: Vec<u8>,
    /// Never zero.
    pub version: u32,
}

/// What the writer believes is stored now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Nothing is stored under the key.
    Absent,
    /// The value with this version is stored.
    Version(u32),
}

impl Expected {
    /// What a writer expects to find who read `stored`.
    pub fn of(stored: Option<&Versioned>) -> Self {
        stored.map_or(Self::Absent, |stored| Self::Version(stored.version))
    }
}

/// Why nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// Somebody else wrote first: read again and decide again.
    Conflict,
    /// The store did not answer; deny what depends on it.
    Unavailable,
}

/// Compare-and-set storage shared by all workers.
pub trait SharedStore {
    /// The value under `key`; `None` when there is none. A key that was ever written has a value for good,
    /// even where the host reports an emptied one without bytes.
    fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError>;

    /// Writes `value` if the store still holds what `expected` says. The check and the write are one step:
    /// of two writers that expect the same, exactly one succeeds.
    ///
    /// That holds for [`Expected::Absent`] too. Envoy takes the write of a missing key whatever version it
    /// names, and refuses one of a present key that names another: a version that no value has (not 0, which
    /// means any) is thus create-if-absent.
    fn replace(&self, key: &str, value: &[u8], expected: Expected) -> Result<(), StoreError>;
}

/// A store within this process, for tests and the native command.
#[derive(Debug, Default)]
pub struct MemoryStore {
    entries: Mutex<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    by_key: HashMap<String, Versioned>,
    last_version: u32,
}

impl MemoryStore {
    /// How many keys were ever written.
    pub fn len(&self) -> usize {
        self.lock().by_key.len()
    }

    /// Whether nothing was ever written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        // No entry is left half written by a panic.
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SharedStore for MemoryStore {
    fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        Ok(self.lock().by_key.get(key).cloned())
    }

    fn replace(&self, key: &str, value: &[u8], expected: Expected) -> Result<(), StoreError> {
        let mut entries = self.lock();
        // One counter for all keys, which skips 0 when it wraps: as in Envoy.
        let version = entries.last_version.wrapping_add(1).max(1);
        match (entries.by_key.get_mut(key), expected) {
            (None, Expected::Absent) => {
                entries.by_key.insert(key.to_owned(), Versioned { value: value.to_vec(), version });
            }
            (Some(stored), Expected::Version(named)) if stored.version == named => {
                stored.value.clear();
                stored.value.extend_from_slice(value);
                stored.version = version;
            }
            _ => return Err(StoreError::Conflict),
        }
        entries.last_version = version;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_writer_who_knows_what_is_stored_succeeds() {
        let store = MemoryStore::default();
        let conflict = Err(StoreError::Conflict);
        assert_eq!(store.get("a"), Ok(None));
        assert_eq!(store.replace("a", b"1", Expected::Version(1)), conflict);
        assert_eq!(store.replace("a", b"1", Expected::Absent), Ok(()));
        assert_eq!(store.replace("a", b"2", Expected::Absent), conflict);
        assert_eq!(store.get("a"), Ok(Some(Versioned { value: b"1".to_vec(), version: 1 })));
        assert_eq!(store.replace("b", b"", Expected::Absent), Ok(()));
        assert_eq!(store.replace("a", b"3", Expected::Version(2)), conflict);
        assert_eq!(store.replace("a", b"3", Expected::Version(1)), Ok(()));
        assert_eq!(store.replace("a", b"4", Expected::Version(1)), conflict);
        assert_eq!(store.get("a"), Ok(Some(Versioned { value: b"3".to_vec(), version: 3 })));
        assert_eq!(store.len(), 2);
    }
}
