//! The bounded table of counters: each limit has a fixed number of slots in the store, each slot room for a
//! few clients.
//!
//! The store never forgets a key, so a client cannot have a key of its own. A keyed hash of what is counted
//! gives the slot and, within it, a 64-bit fingerprint; the hash's key is random, so nobody can aim at the
//! slot of somebody else. Two clients share a counter with probability 2^-76.
//!
//! **What never happens:** a client gets more than its quota, however many others there are. A full slot
//! evicts the client that is nearest to a full bucket, and remembers the most that any evicted client owed
//! in the slot's *floor*. Whoever has no entry starts from the floor: an evicted client owes at most that
//! much, so it cannot come back to a fresh bucket. The floor needs no clean-up, as it is an instant that
//! passes. A clock that steps back and bytes that somebody else wrote are forgiven within bounds; see
//! [`gcra::settle`].
//!
//! **What may happen instead:** while a slot has more clients in debt than entries, a client without an
//! entry may be refused although it owes less than the floor. Such a slot as a whole still admits
//! [`ENTRIES`] times the quota of one client.
//!
//! Memory: a slot with one window takes at most 268 bytes, with key and the host's own about 390. The 4096
//! slots of a limit are made as they are needed, hold 65,536 clients and take at most 1.6 MB for one window,
//! 3.2 MB for four. With 20,000 clients in debt at once one slot in 67,000
//! overflows.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher24};

use super::{gcra, quota::Quota};
use crate::{
    store::{self, Expected, SharedStore, StoreError},
    time::Timestamp,
};

/// Slots of one limit. A power of two.
pub const SLOTS: u64 = 4096;

/// Clients that one slot can tell apart.
pub const ENTRIES: usize = 16;

/// Windows that one limit can have.
pub const MAX_WINDOWS: usize = 4;

/// One instant per window (see [`gcra`]); those past the limit's windows are 0.
pub type Tats = [u64; MAX_WINDOWS];

/// Three letters that name the layout, then the number of windows. Change the letters with the layout.
const MAGIC: &[u8; 3] = b"rl1";
const HEADER: usize = 4;
const WORD: usize = 8;

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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Less than [`SLOTS`].
    pub slot: u64,
    /// Tells clients of one slot apart.
    pub fingerprint: u64,
}

/// A slot as it was read, changed in place and written back if nobody else wrote meanwhile.
#[derive(Debug)]
pub struct Slot {
    // INVARIANT: HEADER, then one floor per window, then entries of 1 + windows words, at most ENTRIES.
    bytes: Vec<u8>,
    expected: Expected,
    windows: usize,
    healed: bool,
}

impl Slot {
    /// Reads the slot `key` of a limit with these windows; a missing one is empty.
    ///
    /// Implausible instants are settled. Bytes of a policy with another number of windows keep what the two
    /// have in common. Bytes that make no sense count as a floor of a full debt: a request is denied now, one
    /// is admitted after an interval, and all is well after the time that a bucket takes to fill.
    pub fn read(
        store: &dyn SharedStore,
        key: &str,
        quotas: &[Quota],
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let windows = quotas.len().min(MAX_WINDOWS);
        let Some(stored) = store.get(key)? else {
            let mut slot = Self { bytes: Vec::new(), expected: Expected::Absent, windows, healed: false };
            slot.clear(&[0; MAX_WINDOWS], 1);
            return Ok(slot);
        };
        let expected = Expected::Version(stored.version);
        let mut slot = Self { bytes: stored.value, expected, windows, healed: false };
        match stored_windows(&slot.bytes) {
            Some(same) if same == windows => {}
            Some(other) => slot.adopt(other),
            None => {
                let mut floor = [0; MAX_WINDOWS];
                for (floor, quota) in floor.iter_mut().zip(quotas) {
                    *floor = now.as_nanos().saturating_add(quota.full_debt());
                }
                slot.clear(&floor, 0);
                slot.healed = true;
            }
        }
        slot.settle(quotas, now);
        Ok(slot)
    }

    /// Whether reading had to change what was stored, so that it is worth writing even with a denial.
    pub const fn healed(&self) -> bool {
        self.healed
    }

    /// The client's state: its entry, or the floor when it has none.
    pub fn tats(&self, fingerprint: u64) -> Tats {
        match self.position(fingerprint) {
            Some(entry) => self.words_at(self.tats_offset(entry)),
            None => self.words_at(HEADER),
        }
    }

    /// Sets the client's state and returns whether another client's entry had to go for it.
    pub fn charge(&mut self, fingerprint: u64, tats: &Tats, now: Timestamp) -> bool {
        if let Some(entry) = self.position(fingerprint) {
            self.put_words(self.tats_offset(entry), tats);
            return false;
        }
        let mut nearest = None;
        for entry in 0..self.len() {
            // A bucket is full again when the last of its windows is.
            let full_at = self.full_at(entry);
            if nearest.is_none_or(|(_, earliest)| full_at < earliest) {
                nearest = Some((entry, full_at));
            }
        }
        match nearest {
            Some((entry, full_at)) if full_at <= now.as_nanos() => {
                self.put_entry(entry, fingerprint, tats);
                false
            }
            Some((entry, _)) if self.len() >= ENTRIES => {
                let evicted = self.words_at(self.tats_offset(entry));
                let mut floor = self.words_at(HEADER);
                for (floor, evicted) in floor.iter_mut().zip(evicted) {
                    *floor = (*floor).max(evicted);
                }
                self.put_words(HEADER, &floor);
                self.put_entry(entry, fingerprint, tats);
                true
            }
            _ => {
                let entry = self.len();
                self.bytes.resize(self.bytes.len().saturating_add(entry_size(self.windows)), 0);
                self.put_entry(entry, fingerprint, tats);
                false
            }
        }
    }

    /// Takes one charge back that led to `charged`, and returns whether it did.
    ///
    /// Others may have charged since. As long as they came while the bucket was not full, each added exactly
    /// one interval and so can be told; otherwise some of the charge has drained already, taking it back
    /// would give away a request, and it stays.
    pub fn refund(&mut self, fingerprint: u64, charged: &Tats, quotas: &[Quota]) -> bool {
        let Some(entry) = self.position(fingerprint) else { return false };
        let offset = self.tats_offset(entry);
        let mut tats = self.words_at(offset);
        for ((tat, charged), quota) in tats.iter_mut().zip(charged).zip(quotas) {
            let since = tat.checked_sub(*charged).and_then(|more| more.checked_rem(quota.interval()));
            if since != Some(0) {
                return false;
            }
            *tat = tat.saturating_sub(quota.interval());
        }
        self.put_words(offset, &tats);
        true
    }

    /// Writes the slot back; [`StoreError::Conflict`] when somebody else wrote since it was read.
    pub fn write(&self, store: &dyn SharedStore, key: &str) -> Result<(), StoreError> {
        store.replace(key, &self.bytes, self.expected)
    }

    fn len(&self) -> usize {
        let entries = self.bytes.len().saturating_sub(self.entry_offset(0));
        entries.checked_div(entry_size(self.windows)).unwrap_or(0)
    }

    fn position(&self, fingerprint: u64) -> Option<usize> {
        (0..self.len()).find(|entry| self.word(self.entry_offset(*entry)) == fingerprint)
    }

    fn full_at(&self, entry: usize) -> u64 {
        self.words_at(self.tats_offset(entry)).into_iter().max().unwrap_or(0)
    }

    fn entry_offset(&self, entry: usize) -> usize {
        entries_offset(self.windows).saturating_add(entry.saturating_mul(entry_size(self.windows)))
    }

    fn tats_offset(&self, entry: usize) -> usize {
        self.entry_offset(entry).saturating_add(WORD)
    }

    fn word(&self, offset: usize) -> u64 {
        word_of(&self.bytes, offset)
    }

    fn words_at(&self, offset: usize) -> Tats {
        let mut tats = [0; MAX_WINDOWS];
        for (i, tat) in tats.iter_mut().take(self.windows).enumerate() {
            *tat = self.word(offset.saturating_add(i.saturating_mul(WORD)));
        }
        tats
    }

    fn put_word(&mut self, offset: usize, word: u64) {
        if let Some(bytes) = self.bytes.get_mut(offset..).and_then(<[u8]>::first_chunk_mut::<WORD>) {
            *bytes = word.to_le_bytes();
        }
    }

    fn put_words(&mut self, offset: usize, tats: &Tats) {
        for (i, tat) in tats.iter().take(self.windows).enumerate() {
            self.put_word(offset.saturating_add(i.saturating_mul(WORD)), *tat);
        }
    }

    fn put_entry(&mut self, entry: usize, fingerprint: u64, tats: &Tats) {
        self.put_word(self.entry_offset(entry), fingerprint);
        self.put_words(self.tats_offset(entry), tats);
    }

    /// Makes the slot an empty one with this floor and room for so many entries.
    fn clear(&mut self, floor: &Tats, room: usize) {
        self.bytes.clear();
        self.bytes.reserve(self.entry_offset(room));
        self.bytes.extend_from_slice(MAGIC);
        // INVARIANT: windows <= MAX_WINDOWS.
        self.bytes.push(u8::try_from(self.windows).unwrap_or(0));
        for tat in floor.iter().take(self.windows) {
            self.bytes.extend_from_slice(&tat.to_le_bytes());
        }
    }

    /// Lays bytes with another number of windows out anew; windows that only we know owe nothing.
    fn adopt(&mut self, theirs: usize) {
        let before = Self { bytes: std::mem::take(&mut self.bytes), windows: theirs, healed: false, ..*self };
        self.clear(&before.words_at(HEADER), before.len());
        for entry in 0..before.len() {
            self.bytes.resize(self.bytes.len().saturating_add(entry_size(self.windows)), 0);
            self.put_entry(
                entry,
                before.word(before.entry_offset(entry)),
                &before.words_at(before.tats_offset(entry)),
            );
        }
    }

    fn settle(&mut self, quotas: &[Quota], now: Timestamp) {
        self.settle_at(HEADER, quotas, now);
        for entry in 0..self.len() {
            self.settle_at(self.tats_offset(entry), quotas, now);
        }
    }

    fn settle_at(&mut self, offset: usize, quotas: &[Quota], now: Timestamp) {
        let stored = self.words_at(offset);
        let mut settled = stored;
        for (tat, quota) in settled.iter_mut().zip(quotas) {
            *tat = gcra::settle(quota, *tat, now);
        }
        if settled != stored {
            self.put_words(offset, &settled);
            self.healed = true;
        }
    }
}

const fn entry_size(windows: usize) -> usize {
    WORD.saturating_mul(windows.saturating_add(1))
}

const fn entries_offset(windows: usize) -> usize {
    HEADER.saturating_add(WORD.saturating_mul(windows))
}

fn word_of(bytes: &[u8], offset: usize) -> u64 {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |word| u64::from_le_bytes(*word))
}

/// How many windows the bytes of a slot have; `None` when they are no slot.
fn stored_windows(bytes: &[u8]) -> Option<usize> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let windows = usize::from(*rest.first()?);
    let entries = bytes.len().checked_sub(entries_offset(windows))?;
    let size = entry_size(windows);
    let whole = entries.checked_rem(size)? == 0 && entries.checked_div(size)? <= ENTRIES;
    (whole && (1..=MAX_WINDOWS).contains(&windows)).then_some(windows)
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
    pub fn as_str(&self) -> &str {
        self.bytes.get(..self.len).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
#[path = "slots_tests.rs"]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of tests")]
mod tests;
