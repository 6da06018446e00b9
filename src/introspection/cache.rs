//! Verdicts kept for a while, by the digest of their token.
//!
//! Bounded in entries and bytes. A flood of tokens that are seen once must not push out those in use, so there are
//! two queues (as in 2Q and S3-FIFO): what is new waits in the first, and only what is used again before it reaches
//! the front moves on to the second, which is run as a clock. What stands there and is not renewed makes room when
//! its time is over.

use std::collections::VecDeque;

use hashbrown::HashMap;

use crate::time::Timestamp;

/// SHA-256 of a token.
pub(super) type Digest = [u8; 32];

pub(super) struct Cache<V> {
    entries: HashMap<Digest, Entry<V>>,
    /// Every entry stands in exactly one of the two queues, once.
    probation: VecDeque<Digest>,
    protected: VecDeque<Digest>,
    bytes: usize,
    probation_bytes: usize,
    max_entries: usize,
    max_bytes: usize,
}

struct Entry<V> {
    value: V,
    since: Timestamp,
    until: Timestamp,
    cost: usize,
    /// Whether it was used since it came into its queue, or since its last turn there.
    used: bool,
    protected: bool,
}

impl<V> Entry<V> {
    fn counts(&self, now: Timestamp) -> bool {
        // A clock that was set back makes it unknown rather than good for longer.
        self.since <= now && now < self.until
    }
}

impl<V> Cache<V> {
    pub(super) fn new(max_entries: usize, max_bytes: usize) -> Self {
        Self {
            entries: HashMap::new(),
            probation: VecDeque::new(),
            protected: VecDeque::new(),
            bytes: 0,
            probation_bytes: 0,
            max_entries,
            max_bytes,
        }
    }

    /// What is kept under `digest`, if it still counts.
    pub(super) fn find(&mut self, digest: &Digest, now: Timestamp) -> Option<&V> {
        let entry = self.entries.get_mut(digest).filter(|entry| entry.counts(now))?;
        entry.used = true;
        Some(&entry.value)
    }

    /// Keeps `value` from `now` until `until`; `cost` is its size in bytes, about.
    pub(super) fn insert(&mut self, digest: Digest, value: V, cost: usize, now: Timestamp, until: Timestamp) {
        // A renewed entry keeps its place in its queue. Otherwise each renewal would leave a place behind.
        let known = self.entries.get(&digest).map(|entry| (entry.protected, entry.used));
        let (protected, used) = known.unwrap_or((false, false));
        let entry = Entry { value, since: now, until, cost, used, protected };
        match self.entries.insert(digest, entry) {
            Some(replaced) => self.account(replaced.protected, |bytes| bytes.saturating_sub(replaced.cost)),
            None => self.probation.push_back(digest),
        }
        self.account(protected, |bytes| bytes.saturating_add(cost));
        while self.entries.len() > self.max_entries || self.bytes > self.max_bytes {
            if !self.make_room(now) {
                break;
            }
        }
    }

    pub(super) fn remove(&mut self, digest: &Digest) {
        // Its place stays until it comes to the front, so that the queue need not be searched.
        if let Some(entry) = self.entries.get_mut(digest) {
            entry.until = Timestamp::default();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Turns one queue by one entry: drops the one in front, or gives it a second chance. No entry gets more chances
    /// than it had uses, so this comes to an end. False: both queues are empty.
    fn make_room(&mut self, now: Timestamp) -> bool {
        // A protected entry is dropped when its time is over. One that is still in use has been renewed in its place.
        if let Some(digest) = self.protected.pop_front() {
            if self.entries.get(&digest).is_some_and(|entry| entry.counts(now)) {
                self.protected.push_back(digest);
            } else {
                self.drop_entry(&digest);
                return true;
            }
        }
        let is_quarter = |part: usize, whole: usize| part.saturating_mul(4) >= whole;
        let from_probation = self.protected.is_empty()
            || is_quarter(self.probation.len(), self.entries.len())
            || is_quarter(self.probation_bytes, self.bytes);
        let front = match from_probation {
            true => self.probation.pop_front().or_else(|| self.protected.pop_front()),
            false => self.protected.pop_front(),
        };
        let Some(digest) = front else { return false };
        if let Some(entry) = self.entries.get_mut(&digest)
            && entry.used
            && entry.counts(now)
        {
            entry.used = false;
            self.protected.push_back(digest);
            if !std::mem::replace(&mut entry.protected, true) {
                self.probation_bytes = self.probation_bytes.saturating_sub(entry.cost);
            }
        } else {
            self.drop_entry(&digest);
        }
        true
    }

    fn drop_entry(&mut self, digest: &Digest) {
        if let Some(entry) = self.entries.remove(digest) {
            self.account(entry.protected, |bytes| bytes.saturating_sub(entry.cost));
        }
    }

    fn account(&mut self, protected: bool, change: impl Fn(usize) -> usize) {
        self.bytes = change(self.bytes);
        if !protected {
            self.probation_bytes = change(self.probation_bytes);
        }
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code may panic")]
mod tests {
    use super::*;
    use crate::crypto::sha256;
    use proptest::prelude::*;

    fn digest(n: u64) -> Digest {
        sha256(&n.to_be_bytes())
    }

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1000 + secs)
    }

    #[test]
    fn entries_count_from_their_making_to_their_end() {
        let mut cache = Cache::new(10, 1000);
        cache.insert(digest(1), "a", 1, at(5), at(10));
        for (secs, expected) in [(4, None), (5, Some(&"a")), (9, Some(&"a")), (10, None), (7, Some(&"a"))] {
            assert_eq!(cache.find(&digest(1), at(secs)), expected, "{secs}");
            assert_eq!(cache.find(&digest(2), at(secs)), None);
        }
        cache.insert(digest(1), "b", 1, at(10), at(12));
        assert_eq!(cache.find(&digest(1), at(10)), Some(&"b"));
        cache.remove(&digest(1));
        assert_eq!(cache.find(&digest(1), at(10)), None);
    }

    #[test]
    fn a_flood_of_tokens_seen_once_leaves_those_in_use() {
        let mut cache = Cache::new(1000, 1_000_000);
        let hot = 0..500;
        for n in hot.clone() {
            cache.insert(digest(n), n, 100, at(0), at(1000));
        }
        for n in 1000..101_000 {
            cache.insert(digest(n), n, 100, at(1), at(1000));
            // Each of them is used once in 500 requests.
            let used = n % 500;
            assert_eq!(cache.find(&digest(used), at(1)), Some(&used), "after {n}");
        }
        assert_eq!(cache.len(), 1000);
    }

    #[test]
    fn large_ones_seen_once_leave_small_ones_in_use() {
        let mut cache = Cache::new(10_000, 100_000);
        for n in 0..100 {
            cache.insert(digest(n), n, 100, at(0), at(1000));
            assert!(cache.find(&digest(n), at(0)).is_some());
        }
        for n in 1000..11_000 {
            cache.insert(digest(n), n, 5000, at(1), at(1000));
            let used = n % 100;
            assert_eq!(cache.find(&digest(used), at(1)), Some(&used), "after {n}");
        }
        assert!(cache.bytes <= 100_000);
    }

    #[test]
    fn what_is_no_longer_in_use_makes_room() {
        let mut cache = Cache::new(100, 100_000);
        for round in 0..50_u64 {
            for pass in 0..5 {
                for n in 0..80 {
                    let (n, now) = (round * 1000 + n, round * 100 + pass);
                    if cache.find(&digest(n), at(now)).is_none() {
                        cache.insert(digest(n), n, 10, at(now), at(now + 60));
                    }
                }
            }
        }
        let kept = (0..80).filter(|n| cache.find(&digest(49_000 + n), at(4905)).is_some()).count();
        assert_eq!(kept, 80);
    }

    #[test]
    fn renewals_leave_no_places_behind() {
        let mut cache = Cache::new(10, 1000);
        for n in 0..10_000 {
            cache.insert(digest(n % 5), n, 1, at(n), at(n + 1));
        }
        assert_eq!((cache.probation.len() + cache.protected.len(), cache.bytes), (5, 5));
    }

    proptest! {
        #[test]
        fn bounds_and_books_hold(steps in prop::collection::vec((0_u64..40, 0_usize..60, 0_u64..9, any::<bool>()), 1..300)) {
            let mut cache = Cache::new(16, 300);
            for (clock, (n, cost, life, insert)) in (0_u64..).zip(steps) {
                if insert {
                    cache.insert(digest(n), n, cost, at(clock), at(clock + life));
                } else if let Some(found) = cache.find(&digest(n), at(clock)) {
                    prop_assert_eq!(*found, n);
                }
                prop_assert!(cache.entries.len() <= 16 && cache.bytes <= 300);
                prop_assert_eq!(cache.probation.len() + cache.protected.len(), cache.entries.len());
                let sum = |all: bool| cache.entries.values().filter(|e| all || !e.protected).map(|e| e.cost).sum::<usize>();
                prop_assert_eq!((sum(true), sum(false)), (cache.bytes, cache.probation_bytes));
                prop_assert!(cache.probation.iter().all(|d| !cache.entries[d].protected));
                prop_assert!(cache.protected.iter().all(|d| cache.entries[d].protected));
            }
        }
    }
}
