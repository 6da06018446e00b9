//! Remembers which tokens were verified, so that a signature is checked once and not on every request.
//!
//! Only a verified token is ever remembered, by its whole text. What can change while it is remembered (time,
//! policy, revocation) is checked on every request by whoever asks; a change of keys is told by `generation`.
//!
//! The bound is on entries and on bytes. A token that is used once goes through a small queue and out again;
//! only one that is used a second time there enters the large one. So a flood of one-off tokens cannot push out
//! those in steady use (the idea of the S3-FIFO and 2Q caches).

use std::{collections::VecDeque, hash::BuildHasher};

use foldhash::{SharedSeed, fast::SeedableRandomState};
use hashbrown::HashTable;

/// How much of verified tokens one worker remembers: 1,000 in steady use with some room for others.
pub(super) const CAPACITY: Limits = Limits { entries: 2048, bytes: 4 << 20 };
/// At most so many of 8 entries are on probation.
const PROBATION_EIGHTHS: usize = 1;
/// How often an entry of the large queue may be passed over, at most.
const MOST_USES: u8 = 3;
/// The end of a token is its signature: as good as random, whoever made the rest.
const HASHED_BYTES: usize = 64;

/// Verified tokens, each with what came of it.
#[derive(Debug)]
pub(super) struct TokenCache<V> {
    limits: Limits,
    hasher: SeedableRandomState,
    /// Places in `slots`, by the hash of the token.
    index: HashTable<u32>,
    slots: Vec<Option<Slot<V>>>,
    free: Vec<u32>,
    probation: VecDeque<u32>,
    proven: VecDeque<u32>,
    bytes: usize,
}

/// The bounds of a cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// 0: nothing is remembered.
    pub(super) entries: usize,
    /// Of the texts of all tokens together.
    pub(super) bytes: usize,
}

#[derive(Debug)]
struct Slot<V> {
    hash: u64,
    text: Box<[u8]>,
    /// Of the keys that it was verified with.
    generation: u64,
    value: V,
    uses: u8,
}

impl<V: Clone> TokenCache<V> {
    /// `seed` is secret and random, so that nobody can aim at a place in the table.
    pub(super) fn new(limits: Limits, seed: u64) -> Self {
        Self {
            limits,
            hasher: SeedableRandomState::with_seed(seed, SharedSeed::global_fixed()),
            index: HashTable::new(),
            slots: Vec::new(),
            free: Vec::new(),
            probation: VecDeque::new(),
            proven: VecDeque::new(),
            bytes: 0,
        }
    }

    /// What came of verifying `text`; `None` when it is not remembered. `is_current` says whether the
    /// generation of keys that it was verified with still counts, and the entry is forgotten when not.
    pub(super) fn find(&mut self, text: &[u8], is_current: impl FnOnce(&V, u64) -> bool) -> Option<V> {
        let place = self.place(self.hash(text), text)?;
        let slot = self.slot_mut(place)?;
        if is_current(&slot.value, slot.generation) {
            slot.uses = slot.uses.saturating_add(1).min(MOST_USES);
            return Some(slot.value.clone());
        }
        self.remove(place);
        None
    }

    /// Remembers a verified token.
    pub(super) fn insert(&mut self, text: &[u8], generation: u64, value: V) {
        if text.len() > self.limits.bytes || self.limits.entries == 0 {
            return;
        }
        let hash = self.hash(text);
        if let Some(place) = self.place(hash, text) {
            self.remove(place);
        }
        while self.index.len() >= self.limits.entries
            || self.bytes.saturating_add(text.len()) > self.limits.bytes
        {
            if !self.evict() {
                return;
            }
        }
        let slot = Slot { hash, text: text.into(), generation, value, uses: 0 };
        let place = match self.free.pop() {
            Some(place) => place,
            None => match u32::try_from(self.slots.len()) {
                Ok(place) => {
                    self.slots.push(None);
                    place
                }
                Err(_) => return,
            },
        };
        self.bytes = self.bytes.saturating_add(text.len());
        if let Some(free) = self.slots.get_mut(index(place)) {
            *free = Some(slot);
        }
        let slots = &self.slots;
        self.index.insert_unique(hash, place, |place| {
            slots.get(index(*place)).and_then(Option::as_ref).map_or(0, |slot| slot.hash)
        });
        self.probation.push_front(place);
    }

    fn hash(&self, text: &[u8]) -> u64 {
        let end = text.last_chunk::<HASHED_BYTES>().map_or(text, <[u8; HASHED_BYTES]>::as_slice);
        self.hasher.hash_one(end)
    }

    fn place(&self, hash: u64, text: &[u8]) -> Option<u32> {
        let same = |place: &u32| {
            self.slots.get(index(*place)).and_then(Option::as_ref).is_some_and(|slot| same(&slot.text, text))
        };
        self.index.find(hash, same).copied()
    }

    fn slot_mut(&mut self, place: u32) -> Option<&mut Slot<V>> {
        self.slots.get_mut(index(place))?.as_mut()
    }

    /// Makes room for one entry; false when there is nothing left to remove.
    fn evict(&mut self) -> bool {
        let allowed = self.limits.entries.saturating_mul(PROBATION_EIGHTHS) / 8;
        // Each turn takes an entry out, moves one to the other queue for good or uses up a use: it ends.
        loop {
            let from_probation = self.probation.len() > allowed || self.proven.is_empty();
            let queue = if from_probation { &mut self.probation } else { &mut self.proven };
            let Some(place) = queue.pop_back() else { return false };
            let Some(slot) = self.slot_mut(place) else { continue };
            if slot.uses == 0 {
                self.drop_slot(place);
                return true;
            }
            slot.uses = if from_probation { 0 } else { slot.uses.saturating_sub(1) };
            self.proven.push_front(place);
        }
    }

    /// Forgets the entry. The place may be in a queue, where it must not meet a later entry.
    fn remove(&mut self, place: u32) {
        self.probation.retain(|other| *other != place);
        self.proven.retain(|other| *other != place);
        self.drop_slot(place);
    }

    fn drop_slot(&mut self, place: u32) {
        let Some(slot) = self.slots.get_mut(index(place)).and_then(Option::take) else { return };
        self.bytes = self.bytes.saturating_sub(slot.text.len());
        if let Ok(entry) = self.index.find_entry(slot.hash, |other| *other == place) {
            entry.remove();
        }
        self.free.push(place);
    }
}

/// Whether the texts are the same. Word by word: wasm's own comparison goes byte by byte, and tokens are long.
fn same(a: &[u8], b: &[u8]) -> bool {
    let ((a_words, a_rest), (b_words, b_rest)) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let differs = |(a, b): (&[u8; 8], &[u8; 8])| u64::from_ne_bytes(*a) != u64::from_ne_bytes(*b);
    a.len() == b.len() && a_rest == b_rest && !a_words.iter().zip(b_words).any(differs)
}

/// A place as an index; wasm and every host that we build for have at least 32 bits.
fn index(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cache(entries: usize, bytes: usize) -> TokenCache<u32> {
        TokenCache::new(Limits { entries, bytes }, 7)
    }

    fn get(cache: &mut TokenCache<u32>, text: &str) -> Option<u32> {
        cache.find(text.as_bytes(), |_, generation| generation == 1)
    }

    #[test]
    fn remembers_by_the_whole_text() {
        let mut cache = cache(4, 1000);
        // The same 64 last bytes, so the same hash.
        let end = "s".repeat(64);
        cache.insert(format!("a.{end}").as_bytes(), 1, 1);
        assert_eq!(get(&mut cache, &format!("a.{end}")), Some(1));
        assert_eq!(get(&mut cache, &format!("b.{end}")), None);
        assert_eq!(get(&mut cache, &end), None);
    }

    #[test]
    fn other_keys_make_it_forget() {
        let mut cache = cache(4, 1000);
        cache.insert(b"a", 1, 1);
        assert_eq!(cache.find(b"a", |_, generation| generation == 2), None);
        assert_eq!(get(&mut cache, "a"), None, "gone for good");
        assert_eq!(cache.bytes, 0);
    }

    #[test]
    fn a_flood_of_one_off_tokens_leaves_the_used_ones() {
        let mut cache = cache(64, 100_000);
        let hot: Vec<String> = (0..32).map(|n| format!("hot{n}")).collect();
        for (round, n) in (0..10_000).enumerate() {
            cache.insert(format!("once{n}").as_bytes(), 1, n);
            let text = &hot[round % hot.len()];
            if get(&mut cache, text).is_none() {
                cache.insert(text.as_bytes(), 1, 0);
                let _ = get(&mut cache, text);
            }
        }
        for text in &hot {
            assert_eq!(get(&mut cache, text), Some(0), "{text}");
        }
    }

    proptest! {
        #[test]
        fn bounds_hold_and_nothing_is_mixed_up(
            entries in 0_usize..9,
            bytes in 0_usize..60,
            steps in prop::collection::vec((0_u32..20, prop::bool::ANY, 1_u64..3), 0..300),
        ) {
            let mut cache = cache(entries, bytes);
            for (n, insert, generation) in steps {
                let text = "x".repeat(usize::try_from(n % 7).unwrap()) + &n.to_string();
                if insert {
                    cache.insert(text.as_bytes(), generation, n);
                } else if let Some(found) = get(&mut cache, &text) {
                    prop_assert_eq!(found, n);
                }
                let held: Vec<_> = cache.slots.iter().flatten().collect();
                prop_assert!(held.len() <= entries);
                prop_assert_eq!(held.len(), cache.index.len());
                let queued = cache.probation.iter().chain(&cache.proven).count();
                prop_assert_eq!(held.len(), queued);
                prop_assert_eq!(held.iter().map(|slot| slot.text.len()).sum::<usize>(), cache.bytes);
                prop_assert!(cache.bytes <= bytes);
            }
        }
    }
}
