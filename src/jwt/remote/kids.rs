//! `kid`s that a fetch was brought forward for: each may cause one now and then, not again and again.

use std::{collections::VecDeque, time::Duration};

use crate::{calls::pacing::doubled, time::Timestamp};

/// The most that one worker remembers; the oldest makes room. A flood of others is held back by the pause between
/// fetches alone.
const MAX_KIDS: usize = 64;

/// For which `kid`s one worker asked its provider lately.
#[derive(Debug)]
pub(super) struct WantedKids {
    first_pause: Duration,
    longest_pause: Duration,
    /// In the order of the last fetch they caused.
    asked: VecDeque<Asked>,
}

#[derive(Debug)]
struct Asked {
    kid: Box<str>,
    due_at: Timestamp,
    quiet_until: Timestamp,
    times: u32,
}

impl WantedKids {
    /// A `kid` that caused a fetch causes no other for `first_pause`, and for twice as long each further time up
    /// to `longest_pause`.
    pub(super) fn new(first_pause: Duration, longest_pause: Duration) -> Self {
        Self { first_pause, longest_pause: longest_pause.max(first_pause), asked: VecDeque::new() }
    }

    /// Whether a fetch for `kid` would only bring again what is there.
    pub(super) fn is_quiet(&self, kid: &str, now: Timestamp) -> bool {
        self.quiet(kid, now).is_some()
    }

    /// Whether the fetch for `kid` has come, at `fetched_at`, and brought nothing that helps.
    pub(super) fn is_in_vain(&self, kid: &str, fetched_at: Timestamp, now: Timestamp) -> bool {
        self.quiet(kid, now).is_some_and(|asked| asked.due_at <= fetched_at)
    }

    fn quiet(&self, kid: &str, now: Timestamp) -> Option<&Asked> {
        let asked = self.asked.iter().find(|asked| *asked.kid == *kid);
        asked.filter(|asked| {
            let furthest = self.pause(asked.times).saturating_add(self.first_pause);
            asked.quiet_until.lies_ahead(now, furthest)
        })
    }

    /// There are other keys now: what was asked for before says nothing about them.
    pub(super) fn forget(&mut self) {
        self.asked.clear();
    }

    /// A fetch is due for the sake of `kid` at `due_at`, no more than the first pause from now.
    pub(super) fn note(&mut self, kid: &str, due_at: Timestamp) {
        let place = self.asked.iter().position(|asked| *asked.kid == *kid);
        let earlier = place.and_then(|place| self.asked.remove(place));
        let times = earlier.map_or(0, |asked| asked.times.saturating_add(1));
        if self.asked.len() >= MAX_KIDS {
            self.asked.pop_front();
        }
        let quiet_until = due_at.saturating_add(self.pause(times));
        self.asked.push_back(Asked { kid: kid.into(), due_at, quiet_until, times });
    }

    fn pause(&self, times: u32) -> Duration {
        doubled(self.first_pause, times, self.longest_pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(1_800_000_000_u64.saturating_add(secs))
    }

    #[test]
    fn a_bogus_kid_is_asked_for_ever_more_rarely() {
        let mut kids = WantedKids::new(Duration::from_secs(30), Duration::from_secs(100));
        let mut asked = Vec::new();
        for secs in 0..500 {
            if !kids.is_quiet("bogus", at(secs)) {
                kids.note("bogus", at(secs));
                asked.push(secs);
            }
        }
        assert_eq!(asked, [0, 30, 90, 190, 290, 390, 490]);
        assert!(!kids.is_quiet("other", at(491)));
        // The clock was set back.
        assert!(!kids.is_quiet("bogus", at(0)));
    }

    #[test]
    fn in_vain_once_its_fetch_has_come_until_the_next_may_be_caused() {
        let mut kids = WantedKids::new(Duration::from_secs(30), Duration::from_secs(100));
        kids.note("k", at(10));
        for (kid, fetched, now, expected) in [
            ("k", 9, 10, false),
            ("k", 10, 10, true),
            ("k", 12, 39, true),
            ("k", 12, 40, false),
            ("other", 12, 12, false),
        ] {
            assert_eq!(kids.is_in_vain(kid, at(fetched), at(now)), expected, "{kid} {fetched} {now}");
        }
        kids.forget();
        assert!(!kids.is_in_vain("k", at(10), at(10)) && !kids.is_quiet("k", at(10)));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut kids = WantedKids::new(Duration::from_secs(30), Duration::from_secs(600));
        for kid in 0..10_000 {
            kids.note(&kid.to_string(), at(0));
        }
        assert_eq!(kids.asked.len(), MAX_KIDS);
        assert!(kids.is_quiet("9999", at(1)) && !kids.is_quiet("0", at(1)));
    }
}
