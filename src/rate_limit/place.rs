//! Where a client's counter is: a slot, by a keyed hash of what is counted, and the slot's key in the store.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher24};

use crate::store::{self, SharedStore, StoreError};

/// Slots of one limit. A power of two.
pub const SLOTS: u64 = 4096;

/// The key of the hash that places clients in slots. All workers must use the same.
#[derive(Clone, Copy)]
pub struct SlotSecret([u8; 16]);

impl std::fmt::Debug for SlotSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SlotSecret(..)")
    }
}

impl SlotSecret {
    /// The secret that the store holds under `{namespace}/rl-secret`, or `random` after storing it there.
    ///
    /// See [`store::shared_secret`].
    pub fn load_or_create(
        store: &dyn SharedStore,
        namespace: &str,
        random: [u8; 16],
    ) -> Result<Self, StoreError> {
        store::shared_secret(store, &format!("{namespace}/rl-secret"), random).map(Self)
    }

    /// Starts the hash of what a limit counts.
    pub fn hasher(&self) -> KeyHasher {
        KeyHasher(SipHasher24::new_with_key(&self.0))
    }
}

/// Hashes the parts of a key. Each part must say where it ends, so that no two keys give the same bytes.
pub struct KeyHasher(SipHasher24);

impl KeyHasher {
    /// Bytes of a number that is known beforehand, such as a tag.
    pub fn fixed<const N: usize>(&mut self, bytes: [u8; N]) {
        self.0.write(&bytes);
    }

    /// Bytes of any number: their length goes first.
    pub fn sized(&mut self, bytes: &[u8]) {
        self.fixed(u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_le_bytes());
        self.0.write(bytes);
    }

    /// Where the client's counter is.
    pub fn finish(&self) -> Place {
        let hash = self.0.finish128();
        Place { slot: hash.h1 & SLOTS.wrapping_sub(1), fingerprint: hash.h2 }
    }
}

/// Where one client's counter is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// Less than [`SLOTS`].
    pub slot: u64,
    /// Tells clients of one slot apart.
    pub fingerprint: u64,
}

/// A slot's key in the store, put together without the heap.
pub struct SlotKey {
    bytes: [u8; SlotKey::MAX_PREFIX + SlotKey::DIGITS],
    len: usize,
}

impl SlotKey {
    /// The longest prefix that fits.
    pub const MAX_PREFIX: usize = 160;
    const DIGITS: usize = 3;

    /// `{prefix}{slot}`, the slot in three hexadecimal digits.
    pub fn new(prefix: &str, slot: u64) -> Self {
        let digits = [8, 4, 0].map(|shift: u32| {
            let digit = usize::try_from(slot.wrapping_shr(shift) & 0xf).unwrap_or(0);
            b"0123456789abcdef".get(digit).copied().unwrap_or(b'0')
        });
        let mut key = Self { bytes: [0; Self::MAX_PREFIX + Self::DIGITS], len: 0 };
        // INVARIANT: compiling a limit refuses a longer prefix; a cut one would merely share slots.
        for (to, from) in key.bytes.iter_mut().zip(prefix.bytes().take(Self::MAX_PREFIX).chain(digits)) {
            *to = from;
            key.len = key.len.saturating_add(1);
        }
        key
    }

    /// The key.
    #[inline]
    pub fn as_str(&self) -> &str {
        self.bytes.get(..self.len).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Expected, MemoryStore};

    #[test]
    fn the_secret_is_the_one_stored_first() {
        let store = MemoryStore::default();
        let first = SlotSecret::load_or_create(&store, "p", [1; 16]).unwrap();
        let second = SlotSecret::load_or_create(&store, "p", [2; 16]).unwrap();
        assert_eq!((first.0, second.0), ([1; 16], [1; 16]));
        assert_eq!(SlotSecret::load_or_create(&store, "q", [3; 16]).unwrap().0, [3; 16]);
        assert_eq!(format!("{first:?}"), "SlotSecret(..)");
        for foreign in [&b""[..], b"short", &[0; 17]] {
            let version = store.get("p/rl-secret").unwrap().unwrap().version;
            store.replace("p/rl-secret", foreign, Expected::Version(version)).unwrap();
            assert_eq!(SlotSecret::load_or_create(&store, "p", [4; 16]).unwrap().0, [4; 16]);
        }
    }

    #[test]
    fn places_depend_on_secret_and_key() {
        let place = |secret: u8, parts: &[&[u8]]| {
            let mut hasher = SlotSecret([secret; 16]).hasher();
            parts.iter().for_each(|part| hasher.sized(part));
            hasher.finish()
        };
        assert_eq!(place(1, &[b"ab", b"c"]), place(1, &[b"ab", b"c"]));
        assert_ne!(place(1, &[b"ab", b"c"]), place(1, &[b"a", b"bc"]));
        assert_ne!(place(1, &[b"ab", b"c"]), place(1, &[b"abc"]));
        assert_ne!(place(1, &[b"ab"]), place(2, &[b"ab"]));
        let used: std::collections::HashSet<u64> =
            (0..40_000_u32).map(|n| place(1, &[&n.to_le_bytes()]).slot).collect();
        assert!(used.len() > 4_080 && used.iter().all(|slot| *slot < SLOTS));
    }

    #[test]
    fn keys_are_put_together() {
        assert_eq!(SlotKey::new("p/rl/reads/", 0).as_str(), "p/rl/reads/000");
        assert_eq!(SlotKey::new("p/rl/reads/", 4095).as_str(), "p/rl/reads/fff");
        assert_eq!(SlotKey::new(&"n".repeat(160), 0x1a2).as_str(), "n".repeat(160) + "1a2");
    }
}
