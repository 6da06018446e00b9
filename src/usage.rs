//! How often what has a name is used, and when last: counted within a bound, to be handed on from time to time.
//!
//! Time stands still between two calls of [`Usage::set_time`], so that counting costs no look at a clock.

use hashbrown::HashMap;

use crate::time::Timestamp;

/// How many names are counted apart until they are taken; uses of all others are one number.
pub(crate) const MOST_NAMES: usize = 1 << 14;

/// Of one name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Uses {
    pub(crate) count: u64,
    pub(crate) last: Timestamp,
}

/// Uses since they were last taken.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    by_name: HashMap<Box<str>, Uses>,
    others: u64,
    now: Timestamp,
}

impl Uses {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self { count: self.count.saturating_add(other.count), last: self.last.max(other.last) }
    }

    /// As an object of JSON.
    pub(crate) fn to_json(self) -> String {
        format!("{{\"uses\":{},\"lastUsedAt\":\"{}\"}}", self.count, self.last.to_rfc3339())
    }
}

impl Usage {
    /// What is counted from now on is used at `now`.
    pub(crate) fn set_time(&mut self, now: Timestamp) {
        self.now = now;
    }

    /// Counts one use. Nothing is allocated for a name that is known.
    pub(crate) fn count(&mut self, name: &str) {
        self.add(name, Uses { count: 1, last: self.now });
    }

    /// Counts uses that were taken before, or one.
    pub(crate) fn add(&mut self, name: &str, uses: Uses) {
        let is_full = self.by_name.len() >= MOST_NAMES;
        match self.by_name.get_mut(name) {
            Some(known) => *known = known.plus(uses),
            None if !is_full => self.insert(name, uses),
            None => self.others = self.others.saturating_add(uses.count),
        }
    }

    #[cold]
    #[inline(never)]
    fn insert(&mut self, name: &str, uses: Uses) {
        self.by_name.insert(name.into(), uses);
    }

    /// What was counted by name since the last time.
    pub(crate) fn take(&mut self) -> Vec<(Box<str>, Uses)> {
        let now = self.now;
        // What came before the first look at a clock came just before it.
        let dated = |uses: Uses| Uses {
            last: if uses.last == Timestamp::default() { now } else { uses.last },
            ..uses
        };
        self.by_name.drain().map(|(name, uses)| (name, dated(uses))).collect()
    }

    /// The uses for whose names there was no room.
    pub(crate) fn take_others(&mut self) -> u64 {
        std::mem::take(&mut self.others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    fn taken(usage: &mut Usage) -> Vec<(String, u64, u64)> {
        let mut taken: Vec<_> = usage
            .take()
            .into_iter()
            .map(|(name, uses)| (name.into_string(), uses.count, uses.last.as_secs()))
            .collect();
        taken.sort();
        taken
    }

    #[test]
    fn uses_are_counted_by_name() {
        let mut usage = Usage::default();
        usage.set_time(at(10));
        ["a", "b", "a"].iter().for_each(|name| usage.count(name));
        usage.set_time(at(20));
        usage.count("a");
        assert_eq!(taken(&mut usage), [("a".to_owned(), 3, 20), ("b".to_owned(), 1, 10)]);
        assert_eq!(taken(&mut usage), []);
        // What could not be handed on is counted again, and what came meanwhile stays the last.
        usage.count("a");
        usage.add("a", Uses { count: 3, last: at(10) });
        usage.add("c", Uses { count: u64::MAX, last: at(11) });
        usage.count("c");
        assert_eq!(taken(&mut usage), [("a".to_owned(), 4, 20), ("c".to_owned(), u64::MAX, 20)]);
        assert_eq!(usage.take_others(), 0);
        let mut new = Usage::default();
        new.count("a");
        new.set_time(at(10));
        assert_eq!(taken(&mut new), [("a".to_owned(), 1, 10)]);
    }

    #[test]
    fn names_have_a_bound() {
        let mut usage = Usage::default();
        (0..=MOST_NAMES).for_each(|n| usage.count(&n.to_string()));
        usage.count("one more");
        usage.count("0");
        assert_eq!(usage.take_others(), 2);
        assert_eq!(usage.take_others(), 0);
        let taken = usage.take();
        assert_eq!(taken.len(), MOST_NAMES);
        assert_eq!(taken.iter().find(|(name, _)| &**name == "0").map(|(_, uses)| uses.count), Some(2));
        usage.count("one more");
        assert_eq!(usage.take().len(), 1);
    }

    #[test]
    fn as_json() {
        let uses = Uses { count: 7, last: at(1_800_000_000) };
        assert_eq!(uses.to_json(), r#"{"uses":7,"lastUsedAt":"2027-01-15T08:00:00Z"}"#);
    }
}
