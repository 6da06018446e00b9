//! The state that all workers of one Envoy share: a small key-value store with compare-and-set.
//!
//! Envoy's shared data has no delete and no expiry, so whoever uses it keeps to a bounded set of keys.

use std::cell::{Cell, RefCell};

use hashbrown::HashMap;

/// A stored value with the version that a replacement must name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned {
    /// The bytes. Other modules may share the store: treat them as input, not as our own.
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
    /// The value under `key`; `None` when there is none.
    fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError>;

    /// Writes `value` if the store still holds what `expected` says. The check and the write are one step:
    /// of two writers that expect the same, exactly one succeeds.
    fn replace(&self, key: &str, value: &[u8], expected: Expected) -> Result<(), StoreError>;
}

/// A store within this process, for tests and the native command.
#[derive(Debug, Default)]
pub struct MemoryStore {
    entries: RefCell<HashMap<String, Versioned>>,
    last_version: Cell<u32>,
}

impl SharedStore for MemoryStore {
    fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        Ok(self.entries.borrow().get(key).cloned())
    }

    fn replace(&self, key: &str, value: &[u8], expected: Expected) -> Result<(), StoreError> {
        let mut entries = self.entries.borrow_mut();
        let holds = match entries.get(key) {
            None => Expected::Absent,
            Some(stored) => Expected::Version(stored.version),
        };
        if holds != expected {
            return Err(StoreError::Conflict);
        }
        let version = self.last_version.get().wrapping_add(1).max(1);
        self.last_version.set(version);
        entries.insert(key.to_owned(), Versioned { value: value.to_vec(), version });
        Ok(())
    }
}
