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
//! 3.2 MB for four; of a limit that workers lease 2.7 MB and 7.4 MB. With 20,000 clients in debt at once one slot
//! in 67,000 overflows.

use super::{
    gcra::{self, Debt, Span},
    quota::{self, Quota},
};
use crate::{
    store::{Expected, SharedStore, StoreError},
    time::Timestamp,
};

/// Clients that one slot can tell apart.
pub const ENTRIES: usize = 16;

/// Windows that one limit can have.
pub const MAX_WINDOWS: usize = 4;

/// One instant per window; those past the limit's windows are 0.
pub type Tats = [u64; MAX_WINDOWS];

/// What is owed in each window; nothing in those past the limit's windows.
pub type Debts = [Debt; MAX_WINDOWS];

const HEADER: usize = 4;
const WORD: usize = 8;

/// Of the bytes of a slot: a header, one floor per window, then at most [`ENTRIES`] entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    // INVARIANT: 1 to MAX_WINDOWS.
    windows: usize,
    /// Whether an entry says of each window what is held, too: three words instead of one.
    held: bool,
}

impl Layout {
    /// Three letters that name the layout; the number of windows follows. Change the letters with the layout.
    const fn magic(self) -> &'static [u8; 3] {
        if self.held { b"rl2" } else { b"rl1" }
    }

    fn of(quotas: &[Quota]) -> Self {
        Self { windows: quotas.len().min(MAX_WINDOWS), held: quota::lease(quotas).is_some() }
    }

    /// Of stored bytes; `None` when they are no slot.
    fn stored(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk()?;
        let windows = usize::from(*rest.first()?);
        let layouts = [true, false].map(|held| Self { windows, held });
        let layout = layouts.into_iter().find(|layout| layout.magic() == magic)?;
        let entries = bytes.len().checked_sub(layout.entry_offset(0))?;
        let size = layout.entry_size();
        let whole = entries.checked_rem(size)? == 0 && entries.checked_div(size)? <= ENTRIES;
        (whole && (1..=MAX_WINDOWS).contains(&windows)).then_some(layout)
    }

    const fn debt_size(self) -> usize {
        if self.held { WORD.saturating_mul(3) } else { WORD }
    }

    const fn entry_size(self) -> usize {
        WORD.saturating_add(self.debt_size().saturating_mul(self.windows))
    }

    const fn entry_offset(self, entry: usize) -> usize {
        let entries = HEADER.saturating_add(WORD.saturating_mul(self.windows));
        entries.saturating_add(entry.saturating_mul(self.entry_size()))
    }

    const fn debt_offset(self, entry: usize, window: usize) -> usize {
        let debts = self.entry_offset(entry).saturating_add(WORD);
        debts.saturating_add(window.saturating_mul(self.debt_size()))
    }
}

/// A slot as it was read, changed in place and written back if nobody else wrote meanwhile.
#[derive(Debug)]
pub struct Slot {
    // INVARIANT: as `layout` says.
    bytes: Vec<u8>,
    layout: Layout,
    expected: Expected,
    healed: bool,
}

impl Slot {
    /// Reads the slot `key` of a limit with these windows; a missing one is empty.
    ///
    /// Implausible instants are settled. Bytes of a policy with other windows keep what the two have in common. Bytes
    /// that make no sense count as a floor of a full debt: a request is denied now, one is admitted after an
    /// interval, and all is well after the time that a bucket takes to fill.
    pub fn read(
        store: &dyn SharedStore,
        key: &str,
        quotas: &[Quota],
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let layout = Layout::of(quotas);
        let Some(stored) = store.get(key)? else {
            let mut slot = Self { bytes: Vec::new(), expected: Expected::Absent, layout, healed: false };
            slot.clear(&[0; MAX_WINDOWS], 1);
            return Ok(slot);
        };
        let expected = Expected::Version(stored.version);
        let mut slot = Self { bytes: stored.value, expected, layout, healed: false };
        match Layout::stored(&slot.bytes) {
            Some(same) if same == layout => {}
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

    /// What the client owes: its entry, or the floor when it has none.
    pub fn debts(&self, fingerprint: u64) -> Debts {
        match self.position(fingerprint) {
            Some(entry) => self.debts_at(entry),
            None => self.floor().map(Debt::until),
        }
    }

    /// Sets what the client owes and returns whether another client's entry had to go for it.
    pub fn charge(&mut self, fingerprint: u64, debts: &Debts, now: Timestamp) -> bool {
        if let Some(entry) = self.position(fingerprint) {
            self.put_debts(entry, debts);
            return false;
        }
        let mut nearest = None;
        for entry in 0..self.len() {
            // A bucket is full again when the last of its windows is.
            let full_at = self.debts_at(entry).iter().map(Debt::end).max().unwrap_or(0);
            if nearest.is_none_or(|(_, earliest)| full_at < earliest) {
                nearest = Some((entry, full_at));
            }
        }
        match nearest {
            Some((entry, full_at)) if full_at <= now.as_nanos() => {
                self.put_entry(entry, fingerprint, debts);
                false
            }
            Some((entry, _)) if self.len() >= ENTRIES => {
                let mut floor = self.floor();
                for (floor, evicted) in floor.iter_mut().zip(self.debts_at(entry)) {
                    *floor = (*floor).max(evicted.end());
                }
                self.put_floor(&floor);
                self.put_entry(entry, fingerprint, debts);
                true
            }
            _ => {
                self.push_entry(fingerprint, debts);
                false
            }
        }
    }

    /// Takes one charge back that led to `charged`, and returns whether it did.
    ///
    /// Others may have charged since. As long as they came while the bucket was not full, each added exactly
    /// one interval and so can be told; otherwise some of the charge has drained already, taking it back
    /// would give away a request, and it stays. So it does where as many were added as a lease has: the last of
    /// its intervals would be taken once more, and may be spent long after this one is past.
    pub fn refund(&mut self, fingerprint: u64, charged: &Debts, quotas: &[Quota]) -> bool {
        let Some(entry) = self.position(fingerprint) else { return false };
        let mut debts = self.debts_at(entry);
        let lease = quota::lease(quotas).unwrap_or(u64::MAX);
        for ((debt, charged), quota) in debts.iter_mut().zip(charged).zip(quotas) {
            let Some(since) = debt.tat.checked_sub(charged.tat) else { return false };
            if since.checked_rem(quota.interval()) != Some(0)
                || since >= quota.interval().saturating_mul(lease)
            {
                return false;
            }
            debt.tat = debt.tat.saturating_sub(quota.interval());
        }
        self.put_debts(entry, &debts);
        true
    }

    /// Writes the slot back; [`StoreError::Conflict`] when somebody else wrote since it was read.
    pub fn write(&self, store: &dyn SharedStore, key: &str) -> Result<(), StoreError> {
        store.replace(key, &self.bytes, self.expected)
    }

    fn len(&self) -> usize {
        let entries = self.bytes.len().saturating_sub(self.layout.entry_offset(0));
        entries.checked_div(self.layout.entry_size()).unwrap_or(0)
    }

    fn position(&self, fingerprint: u64) -> Option<usize> {
        (0..self.len()).find(|entry| self.word(self.layout.entry_offset(*entry)) == fingerprint)
    }

    fn word(&self, offset: usize) -> u64 {
        let word = self.bytes.get(offset..).and_then(<[u8]>::first_chunk);
        word.map_or(0, |word| u64::from_le_bytes(*word))
    }

    fn put_word(&mut self, offset: usize, word: u64) {
        if let Some(bytes) = self.bytes.get_mut(offset..).and_then(<[u8]>::first_chunk_mut::<WORD>) {
            *bytes = word.to_le_bytes();
        }
    }

    fn floor(&self) -> Tats {
        let mut floor = [0; MAX_WINDOWS];
        for (window, tat) in floor.iter_mut().take(self.layout.windows).enumerate() {
            *tat = self.word(floor_offset(window));
        }
        floor
    }

    fn put_floor(&mut self, floor: &Tats) {
        for (window, tat) in floor.iter().take(self.layout.windows).enumerate() {
            self.put_word(floor_offset(window), *tat);
        }
    }

    fn debts_at(&self, entry: usize) -> Debts {
        let mut debts = [Debt::default(); MAX_WINDOWS];
        for (window, debt) in debts.iter_mut().take(self.layout.windows).enumerate() {
            let offset = self.layout.debt_offset(entry, window);
            debt.tat = self.word(offset);
            if self.layout.held {
                let from = self.word(offset.saturating_add(WORD));
                debt.held = Span { from, to: self.word(offset.saturating_add(WORD.saturating_mul(2))) };
            }
        }
        debts
    }

    fn put_debts(&mut self, entry: usize, debts: &Debts) {
        for (window, debt) in debts.iter().take(self.layout.windows).enumerate() {
            let offset = self.layout.debt_offset(entry, window);
            if self.layout.held {
                self.put_word(offset, debt.tat);
                self.put_word(offset.saturating_add(WORD), debt.held.from);
                self.put_word(offset.saturating_add(WORD.saturating_mul(2)), debt.held.to);
            } else {
                // Of a policy that had leases, whose intervals are passed over all together.
                self.put_word(offset, debt.end());
            }
        }
    }

    fn put_entry(&mut self, entry: usize, fingerprint: u64, debts: &Debts) {
        self.put_word(self.layout.entry_offset(entry), fingerprint);
        self.put_debts(entry, debts);
    }

    fn push_entry(&mut self, fingerprint: u64, debts: &Debts) {
        let entry = self.len();
        self.bytes.resize(self.bytes.len().saturating_add(self.layout.entry_size()), 0);
        self.put_entry(entry, fingerprint, debts);
    }

    /// Makes the slot an empty one with this floor and room for so many entries.
    fn clear(&mut self, floor: &Tats, room: usize) {
        self.bytes.clear();
        self.bytes.reserve(self.layout.entry_offset(room));
        self.bytes.extend_from_slice(self.layout.magic());
        // INVARIANT: windows <= MAX_WINDOWS.
        self.bytes.push(u8::try_from(self.layout.windows).unwrap_or(0));
        for tat in floor.iter().take(self.layout.windows) {
            self.bytes.extend_from_slice(&tat.to_le_bytes());
        }
    }

    /// Lays bytes of another layout out anew; windows that only we know owe nothing.
    fn adopt(&mut self, theirs: Layout) {
        let before = Self { bytes: std::mem::take(&mut self.bytes), layout: theirs, healed: false, ..*self };
        self.clear(&before.floor(), before.len());
        for entry in 0..before.len() {
            let fingerprint = before.word(theirs.entry_offset(entry));
            self.push_entry(fingerprint, &before.debts_at(entry));
        }
    }

    fn settle(&mut self, quotas: &[Quota], now: Timestamp) {
        let mut floor = self.floor();
        for (tat, quota) in floor.iter_mut().zip(quotas) {
            *tat = gcra::settle(quota, Debt::until(*tat), now).tat;
        }
        if floor != self.floor() {
            self.put_floor(&floor);
            self.healed = true;
        }
        for entry in 0..self.len() {
            let stored = self.debts_at(entry);
            let mut settled = stored;
            for (debt, quota) in settled.iter_mut().zip(quotas) {
                *debt = gcra::settle(quota, *debt, now);
            }
            if settled != stored {
                self.put_debts(entry, &settled);
                self.healed = true;
            }
        }
    }
}

const fn floor_offset(window: usize) -> usize {
    HEADER.saturating_add(WORD.saturating_mul(window))
}

#[cfg(test)]
#[path = "slots_tests.rs"]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of tests")]
mod tests;
