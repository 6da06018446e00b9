//! Of what is to be told over and over, the first at once and then a count: what clients cause must not fill a log.
//!
//! Time stands still between two calls of [`Sampler::flush`], so that what is told costs no look at a clock.

use std::{hash::Hash, time::Duration};

use hashbrown::HashMap;

use crate::time::Timestamp;

/// How long what is like the first is only counted.
pub const INTERVAL: Duration = Duration::from_secs(10);

/// How many kinds are told apart; all others are one.
const MAX_KINDS: usize = 256;

/// What was told within the last interval, by kind.
#[derive(Debug)]
pub struct Sampler<K> {
    kinds: HashMap<K, Kind>,
    others: Option<Kind>,
    /// When [`Sampler::flush`] was last called.
    now: Timestamp,
}

/// One was told, and others like it followed.
#[derive(Debug)]
struct Kind {
    since: Timestamp,
    /// How many were not told.
    repeated: u64,
    /// The first of those.
    sample: Option<String>,
}

/// One of those that were not told, for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeated {
    /// What was to be told.
    pub text: String,
    /// How many there were, with this one.
    pub times: u64,
}

impl<K> Default for Sampler<K> {
    fn default() -> Self {
        Self { kinds: HashMap::new(), others: None, now: Timestamp::default() }
    }
}

impl<K: Eq + Hash> Sampler<K> {
    /// What is to be told now of one of `kind`. `text` is made for those alone that are told.
    pub fn note(&mut self, kind: K, text: impl FnOnce() -> String) -> Option<String> {
        let new = Kind { since: self.now, repeated: 0, sample: None };
        let is_full = self.kinds.len() >= MAX_KINDS;
        let known = match self.kinds.get_mut(&kind) {
            None if is_full => self.others.as_mut(),
            known => known,
        };
        let Some(known) = known else {
            if is_full {
                self.others = Some(new);
            } else {
                self.kinds.insert(kind, new);
            }
            return Some(text());
        };
        known.repeated = known.repeated.saturating_add(1);
        known.sample.get_or_insert_with(text);
        None
    }

    /// Whether the text of one more of `kind` would be made.
    pub fn wants(&self, kind: &K) -> bool {
        let others = || self.others.as_ref().filter(|_| self.kinds.len() >= MAX_KINDS);
        self.kinds.get(kind).or_else(others).is_none_or(|known| known.sample.is_none())
    }

    /// To be called now and then: what is to be told of those whose interval is over at `now`.
    pub fn flush(&mut self, now: Timestamp) -> Vec<Repeated> {
        self.now = now;
        let mut told = Vec::new();
        self.kinds.retain(|_, kind| kind.go_on(now, &mut told));
        self.others = self.others.take().and_then(|mut kind| kind.go_on(now, &mut told).then_some(kind));
        told
    }

    /// What is left to tell when there will be no more.
    pub fn end(&mut self) -> Vec<Repeated> {
        let kinds = self.kinds.drain().map(|(_, kind)| kind).chain(self.others.take());
        kinds.filter_map(Kind::told).collect()
    }
}

impl Kind {
    /// Whether it is still counted after `now`.
    fn go_on(&mut self, now: Timestamp, told: &mut Vec<Repeated>) -> bool {
        if self.since == Timestamp::default() {
            // It came before the first look at a clock.
            self.since = now;
        }
        // One that began in the future was noted before the clock was set back.
        if self.since <= now && now < self.since.saturating_add(INTERVAL) {
            return true;
        }
        let next = Self { since: now, repeated: 0, sample: None };
        let repeated = std::mem::replace(self, next).told();
        let goes_on = repeated.is_some();
        told.extend(repeated);
        goes_on
    }

    fn told(self) -> Option<Repeated> {
        self.sample.map(|text| Repeated { text, times: self.repeated })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_secs(1000).saturating_add(Duration::from_millis(millis))
    }

    /// What is told of each, and of the flushes between.
    fn told(sampler: &mut Sampler<u32>, kind: u32, n: usize) -> Option<String> {
        let (is_wanted, mut is_made) = (sampler.wants(&kind), false);
        let told = sampler.note(kind, || {
            is_made = true;
            format!("{kind}/{n}")
        });
        assert_eq!(is_made, is_wanted);
        told
    }

    fn repeated(told: &[Repeated]) -> Vec<String> {
        let mut told: Vec<_> = told.iter().map(|told| format!("{} x{}", told.text, told.times)).collect();
        told.sort();
        told
    }

    #[test]
    fn the_first_of_each_kind_and_then_a_count() {
        let mut sampler = Sampler::default();
        assert_eq!(sampler.flush(at(0)), []);
        for n in 0..1000 {
            assert_eq!(told(&mut sampler, 1, n), (n == 0).then(|| "1/0".to_owned()));
        }
        assert_eq!(told(&mut sampler, 2, 0).as_deref(), Some("2/0"));
        assert_eq!(sampler.flush(at(9_999)), []);
        assert_eq!(told(&mut sampler, 2, 1), None);
        assert_eq!(repeated(&sampler.flush(at(10_000))), ["1/1 x999", "2/1 x1"]);
        // What goes on is counted on.
        assert_eq!(told(&mut sampler, 1, 1000), None);
        assert_eq!(sampler.flush(at(19_999)), []);
        assert_eq!(repeated(&sampler.flush(at(20_000))), ["1/1000 x1"]);
        // What has ceased begins anew, within an interval.
        assert_eq!(told(&mut sampler, 2, 2).as_deref(), Some("2/2"));
        assert_eq!(sampler.flush(at(30_000)), []);
        assert_eq!(told(&mut sampler, 1, 1001).as_deref(), Some("1/1001"));
    }

    #[test]
    fn nothing_is_lost_at_the_end_or_before_the_first_tick() {
        let mut sampler = Sampler::default();
        assert!(told(&mut sampler, 1, 0).is_some());
        assert_eq!(told(&mut sampler, 1, 1), None);
        assert_eq!(sampler.flush(at(0)), []);
        assert_eq!(repeated(&sampler.flush(at(10_000))), ["1/1 x1"]);
        assert_eq!(told(&mut sampler, 1, 2), None);
        assert_eq!(repeated(&sampler.end()), ["1/2 x1"]);
        assert_eq!(sampler.end(), []);
    }

    #[test]
    fn a_clock_that_is_set_back_holds_nothing_up() {
        let mut sampler = Sampler::default();
        sampler.flush(at(100_000));
        assert!(told(&mut sampler, 1, 0).is_some());
        assert_eq!(told(&mut sampler, 1, 1), None);
        assert_eq!(repeated(&sampler.flush(at(0))), ["1/1 x1"]);
    }

    #[test]
    fn kinds_are_bounded_and_each_is_counted() {
        let mut sampler = Sampler::default();
        sampler.flush(at(0));
        let mut lines = 0;
        for n in 0..3 {
            lines += (0..10_000).filter_map(|kind| told(&mut sampler, kind, n)).count();
        }
        assert_eq!((lines, sampler.kinds.len()), (257, MAX_KINDS));
        let repeated = sampler.flush(at(10_000));
        assert_eq!(repeated.len(), 257);
        assert_eq!(repeated.iter().map(|told| told.times).sum::<u64>() + 257, 30_000);
    }
}
