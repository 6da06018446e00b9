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
//! [`gcra::clamp`].
//!
//! **What may happen instead:** while a slot has more clients in debt than entries, a client without an
//! entry may be refused although it owes less than the floor. Such a slot as a whole still admits
//! [`ENTRIES`] times the quota of one client.
//!
//! **Other windows under the same name**, of another filter or of another policy of this one, count in sections of
//! their own, each with entries and floor, in the same slot. Which of them follow which is for [`terms`](super::terms)
//! to say. When new windows have come into force, the first request that comes to a slot, whichever windows it counts
//! under, makes their section. It carries over what all clients owe under the windows that the new ones follow. From
//! then on no section affects another. A section is dropped when nobody owes anything in it.
//!
//! Memory: a slot with one window takes at most 293 bytes, with key and the host's own about 415. The 4096
//! slots of a limit are made as they are needed, hold 65,536 clients and take at most 1.7 MB for one window,
//! 3.6 MB for four; of a limit that workers prepay 2.8 MB and 7.8 MB. Each other set of windows under which somebody
//! owes something takes as much again, in the slots where that is so; whatever updates come, there are never more than
//! [`MAX_SECTIONS`]. With 20,000 clients in debt at once one slot in 67,000 overflows.

pub use super::section::{Debts, ENTRIES, MAX_WINDOWS, Tats};
use super::{
    gcra::{self, Debt},
    quota::{self, Quota},
    section::{Head, Layout, Section, WORD},
    terms::{Line, Term},
};
use crate::{
    store::{Expected, SharedStore, StoreError},
    time::Timestamp,
};

/// Sections that one slot can have.
pub const MAX_SECTIONS: usize = 8;

/// A slot as it was read, changed in place and written back if nobody else wrote meanwhile.
#[derive(Debug)]
pub struct Slot {
    bytes: Vec<u8>,
    /// Where our section begins; it is the last one.
    base: usize,
    // INVARIANT: the bytes from `base` on are as it says.
    layout: Layout,
    expected: Expected,
    healed: bool,
}

impl Slot {
    /// Reads the slot `key` of a limit with these windows; a missing one is empty.
    ///
    /// Implausible instants are clamped. What is owed under windows that ours follow is carried over. Bytes that make
    /// no sense count as a floor of a full debt: a request is denied now, one is admitted after an interval, and all is
    /// well after the time that a bucket takes to fill.
    pub(super) fn read(
        store: &dyn SharedStore,
        key: &str,
        term: &Term,
        quotas: &[Quota],
        now: Timestamp,
    ) -> Result<Self, StoreError> {
        let head = term.own().head();
        let stored = store.get(key)?;
        let expected = Expected::of(stored.as_ref());
        let mut slot = Self { bytes: Vec::new(), base: 0, layout: head.layout(), expected, healed: false };
        match stored {
            None if term.others().is_empty() => slot.open(head, &[0; MAX_WINDOWS], 1),
            None => slot.arrange(&[], term, now),
            Some(stored) => {
                slot.bytes = stored.value;
                // Nearly always our section is the only one.
                let alone = term.others().is_empty() && head.is_of_all(&slot.bytes);
                if !alone && !slot.find(term, now) {
                    slot.rearrange(term, quotas, now);
                }
            }
        }
        slot.clamp(quotas, now);
        Ok(slot)
    }

    /// Whether reading had to change what was stored, so that it is worth writing even with a denial.
    pub const fn healed(&self) -> bool {
        self.healed
    }

    /// What the client owes: its entry, or the floor when it has none.
    pub fn debts(&self, fingerprint: u64) -> Debts {
        self.own().debts(fingerprint)
    }

    /// Sets what the client owes and returns whether another client's entry had to go for it.
    pub fn charge(&mut self, fingerprint: u64, debts: &Debts, now: Timestamp) -> bool {
        let own = self.own();
        if let Some(entry) = own.position(fingerprint) {
            self.put_debts(entry, debts);
            return false;
        }
        let len = own.len();
        let mut nearest = None;
        for entry in 0..len {
            // A bucket is full again when the last of its windows is.
            let full_at = own.debts_at(entry).iter().map(Debt::end).max().unwrap_or(0);
            if nearest.is_none_or(|(_, earliest)| full_at < earliest) {
                nearest = Some((entry, full_at));
            }
        }
        match nearest {
            Some((entry, full_at)) if full_at <= now.as_nanos() => {
                self.put_entry(entry, fingerprint, debts);
                false
            }
            Some((entry, _)) if len >= ENTRIES => {
                let mut floor = own.floor();
                for (floor, evicted) in floor.iter_mut().zip(own.debts_at(entry)) {
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
    /// Others may have charged since. While the bucket was not full, each of them added exactly one interval. If
    /// anything else was added, some of the charge has drained already: taking it back would give away a request, so
    /// the charge stays. It also stays where as many intervals were added as a prepayment has. Taking one back then
    /// would let somebody take the last interval of that prepayment a second time, which its holder may spend long
    /// after the refunded one is past.
    pub fn refund(&mut self, fingerprint: u64, charged: &Debts, quotas: &[Quota]) -> bool {
        let own = self.own();
        let Some(entry) = own.position(fingerprint) else { return false };
        let mut debts = own.debts_at(entry);
        // Where others may have charged shares of another length, none of theirs is told from what has drained.
        let prepaid = match quotas.iter().any(Quota::varies) {
            true => 1,
            false => quota::prepaid_requests(quotas).unwrap_or(u64::MAX),
        };
        for ((debt, charged), quota) in debts.iter_mut().zip(charged).zip(quotas) {
            let Some(since) = debt.tat.checked_sub(charged.tat) else { return false };
            if since.checked_rem(quota.interval()) != Some(0)
                || since >= quota.interval().saturating_mul(prepaid)
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

    fn own(&self) -> Section<'_> {
        Section::last(self.bytes.get(self.base..).unwrap_or_default(), self.layout)
    }

    fn put_word(&mut self, offset: usize, word: u64) {
        let offset = self.base.saturating_add(offset);
        if let Some(bytes) = self.bytes.get_mut(offset..).and_then(<[u8]>::first_chunk_mut::<WORD>) {
            *bytes = word.to_le_bytes();
        }
    }

    fn put_count(&mut self, count: usize) {
        let offset = self.base.saturating_add(self.layout.count_offset());
        if let Some(byte) = self.bytes.get_mut(offset) {
            // INVARIANT: at most ENTRIES.
            *byte = u8::try_from(count).unwrap_or(u8::MAX);
        }
    }

    fn put_floor(&mut self, floor: &Tats) {
        for (window, tat) in floor.iter().take(self.layout.windows()).enumerate() {
            self.put_word(self.layout.floor_offset(window), *tat);
        }
    }

    fn put_debts(&mut self, entry: usize, debts: &Debts) {
        for (window, debt) in debts.iter().take(self.layout.windows()).enumerate() {
            let offset = self.layout.debt_offset(entry, window);
            if self.layout.held {
                self.put_word(offset, debt.tat);
                self.put_word(offset.saturating_add(WORD), debt.held.from);
                self.put_word(offset.saturating_add(WORD.saturating_mul(2)), debt.held.to);
            } else {
                self.put_word(offset, debt.end());
            }
        }
    }

    fn put_entry(&mut self, entry: usize, fingerprint: u64, debts: &Debts) {
        self.put_word(self.layout.entry_offset(entry), fingerprint);
        self.put_debts(entry, debts);
    }

    fn push_entry(&mut self, fingerprint: u64, debts: &Debts) {
        let entry = self.own().len();
        self.bytes.resize(self.bytes.len().saturating_add(self.layout.entry_size()), 0);
        self.put_entry(entry, fingerprint, debts);
        self.put_count(entry.saturating_add(1));
    }

    /// Begins a section behind the bytes that are there, with this floor and room for so many entries.
    fn open(&mut self, head: &Head, floor: &Tats, room: usize) {
        (self.base, self.layout) = (self.bytes.len(), head.layout());
        self.bytes.reserve(self.layout.entry_offset(room));
        self.bytes.extend_from_slice(head.bytes());
        self.bytes.push(0);
        for tat in floor.iter().take(self.layout.windows()) {
            self.bytes.extend_from_slice(&tat.to_le_bytes());
        }
    }

    /// Finds our section among others, and puts it last. False where it is not there, or the sections have to be put in
    /// order first.
    #[cold]
    #[inline(never)]
    fn find(&mut self, term: &Term, now: Timestamp) -> bool {
        let (mut own, mut offset) = (None, 0_usize);
        while let Some((section, _)) = Section::first(self.bytes.get(offset..).unwrap_or_default()) {
            let size = section.bytes().len();
            if section.has(term.own().head()) {
                own = Some((offset, size));
            } else if section.is_idle(now.as_nanos()) {
                return false;
            }
            offset = offset.saturating_add(size);
        }
        let (Some((from, size)), true) = (own, offset == self.bytes.len()) else { return false };
        if !term.others().is_empty()
            && let Some(sections) = Section::all(&self.bytes)
            && term.others().iter().any(|line| is_due(line, term.own(), &sections, now))
        {
            return false;
        }
        if let Some(bytes) = self.bytes.get_mut(from..) {
            bytes.rotate_left(size);
        }
        self.base = self.bytes.len().saturating_sub(size);
        true
    }

    /// Puts the sections in order; bytes that make no sense are replaced.
    #[cold]
    #[inline(never)]
    fn rearrange(&mut self, term: &Term, quotas: &[Quota], now: Timestamp) {
        let stored = std::mem::take(&mut self.bytes);
        match Section::all(&stored) {
            Some(all) => self.arrange(&all, term, now),
            None => {
                let mut floor = [0; MAX_WINDOWS];
                for (floor, quota) in floor.iter_mut().zip(quotas) {
                    *floor = now.as_nanos().saturating_add(quota.full_debt());
                }
                self.open(term.own().head(), &floor, 1);
                self.healed = true;
            }
        }
    }

    /// Makes the sections that have to carry over something, before anything is charged, and ours where it is not
    /// there; leaves out those that say nothing any more.
    fn arrange(&mut self, all: &[Section<'_>], term: &Term, now: Timestamp) {
        let own = all.iter().find(|section| section.has(term.own().head()));
        let due = || term.others().iter().filter(|line| is_due(line, term.own(), all, now));
        let mut kept: Vec<_> = all.iter().filter(|section| !section.has(term.own().head())).collect();
        kept.retain(|section| !section.is_idle(now.as_nanos()));
        while kept.len().saturating_add(due().count()) >= MAX_SECTIONS && !kept.is_empty() {
            // As with clients, the one that is paid off first is missed least.
            let nearest = kept.iter().enumerate().min_by_key(|(_, section)| section.end());
            if let Some((nearest, _)) = nearest {
                kept.remove(nearest);
            }
        }
        for section in kept {
            self.bytes.extend_from_slice(section.bytes());
        }
        for line in due() {
            self.carry_over(all, line, now);
        }
        match own {
            Some(own) => {
                (self.base, self.layout) = (self.bytes.len(), term.own().head().layout());
                self.bytes.extend_from_slice(own.bytes());
            }
            None => self.carry_over(all, term.own(), now),
        }
    }

    /// Makes the section of `line`, with what is owed in the sections that it follows.
    fn carry_over(&mut self, all: &[Section<'_>], line: &Line, now: Timestamp) {
        // Not ahead of now, where the clock has stepped back.
        let since = line.head().since().min(now.as_nanos());
        let followed = || all.iter().filter(|section| line.follows(section.since()));
        let carried = |debts: &dyn Fn(&Section<'_>) -> Debts| {
            let mut most = [Debt::default(); MAX_WINDOWS];
            for section in followed() {
                let debts = section.carried_over(&debts(section), line.head(), since);
                for (most, debt) in most.iter_mut().zip(debts) {
                    if debt.tat > most.tat {
                        *most = debt;
                    }
                }
            }
            most
        };
        let floor = carried(&|section| section.floor().map(Debt::until)).map(|debt| debt.tat);
        let entries: usize = followed().map(|section| section.len()).sum();
        self.open(line.head(), &floor, entries.clamp(1, ENTRIES));
        for section in followed() {
            for fingerprint in (0..section.len()).map(|entry| section.fingerprint(entry)) {
                // In a section in which the client has no entry, it owes the floor.
                let debts = carried(&|section| section.debts(fingerprint));
                if debts.iter().any(|debt| debt.tat > now.as_nanos()) {
                    self.charge(fingerprint, &debts, now);
                }
            }
            self.healed = true;
        }
    }

    /// Makes every instant of our section plausible; see [`gcra::clamp`].
    fn clamp(&mut self, quotas: &[Quota], now: Timestamp) {
        let own = self.own();
        let mut floor = own.floor();
        for (tat, quota) in floor.iter_mut().zip(quotas) {
            *tat = gcra::clamp(quota, Debt::until(*tat), now).tat;
        }
        let len = own.len();
        if floor != own.floor() {
            self.put_floor(&floor);
            self.healed = true;
        }
        for entry in 0..len {
            let stored = self.own().debts_at(entry);
            let mut clamped = stored;
            for (debt, quota) in clamped.iter_mut().zip(quotas) {
                *debt = gcra::clamp(quota, *debt, now);
            }
            if clamped != stored {
                self.put_debts(entry, &clamped);
                self.healed = true;
            }
        }
    }
}

/// Whether the section of `line` has to be made now: it has none yet, and follows a section that is there, or that of
/// `own`, which is about to be made.
fn is_due(line: &Line, own: &Line, all: &[Section<'_>], now: Timestamp) -> bool {
    let mut there = all.iter().map(|section| section.since()).chain([own.head().since()]);
    now.as_nanos() < line.head().carries_over_until()
        && there.any(|since| line.follows(since))
        && !all.iter().any(|section| section.has(line.head()))
}

#[cfg(test)]
#[path = "slots_tests.rs"]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of tests")]
mod tests;
