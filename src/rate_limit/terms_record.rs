//! What all workers know of the terms of one limit, as bytes in the shared store.

use std::time::Duration;

use super::{gcra::MAX_SKEW, section::Head};
use crate::time::Timestamp;

/// Terms of one limit that are remembered; of more, those that ended first are forgotten.
pub(super) const MAX_TERMS: usize = 8;

/// How long a term lasts that nobody confirms.
const LASTS: Duration = Duration::from_secs(5);

/// How much of that is left when somebody confirms it.
const CONFIRMED_BEFORE: Duration = Duration::from_secs(4);

/// Names the layout. Change it with the layout.
const TAG: &[u8; 4] = b"rlt1";

/// One term.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its windows, and when it began.
    pub(super) head: Head,
    /// When the first request was counted; 0: none was so far.
    pub(super) counts_since: u64,
    /// It ends then, unless somebody confirms it before.
    lasts_until: u64,
}

/// The terms of one limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record(Vec<Entry>);

impl Entry {
    /// Whether somebody still has these windows.
    pub(super) fn lasts(&self, now: Timestamp) -> bool {
        let latest = now.saturating_add(LASTS.saturating_add(MAX_SKEW));
        (now.as_nanos()..=latest.as_nanos()).contains(&self.lasts_until)
    }

    /// Whether a request was counted under it before `since`.
    pub(super) const fn counted_before(&self, since: u64) -> bool {
        self.counts_since != 0 && self.counts_since < since
    }
}

impl Record {
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter()
    }

    /// Notes that somebody has these windows, and whether requests are counted under them. `known`: when the term began
    /// that it has had them for; `None`: it has them from now on.
    ///
    /// A term that has ended in the meantime goes on only for those who had it.
    pub(super) fn confirm(
        &mut self,
        windows: &Head,
        known: Option<u64>,
        counts: bool,
        now: Timestamp,
    ) -> Entry {
        // Always later than all that is there, whatever the clock says.
        let latest = self.0.iter().map(|entry| entry.head.since().max(entry.counts_since)).max().unwrap_or(0);
        let next = now.as_nanos().max(latest.saturating_add(1));
        let place = self.0.iter().position(|entry| entry.head.is_of_same_windows(windows));
        let found = place.map(|place| self.0.remove(place));
        let begun = |since| Entry { head: windows.since_another(since), counts_since: 0, lasts_until: 0 };
        let mut own = match found {
            Some(own) if known.is_some() || own.lasts(now) => own,
            Some(_) => begun(next),
            None => begun(known.unwrap_or(next)),
        };
        if counts && own.counts_since == 0 {
            own.counts_since = next.max(own.head.since().saturating_add(1));
        }
        // Of all workers that have these windows it is enough that one confirms them; the others have nothing to write.
        if !own.lasts(now) || own.lasts_until < now.saturating_add(CONFIRMED_BEFORE).as_nanos() {
            own.lasts_until = now.saturating_add(LASTS).as_nanos();
        }
        if self.0.len() >= MAX_TERMS {
            let ended_first = self.0.iter().enumerate().min_by_key(|(_, entry)| entry.lasts_until);
            if let Some((first, _)) = ended_first {
                self.0.remove(first);
            }
        }
        self.0.insert(place.unwrap_or(self.0.len()).min(self.0.len()), own.clone());
        own
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = TAG.to_vec();
        for entry in &self.0 {
            bytes.extend_from_slice(entry.head.bytes());
            bytes.extend_from_slice(&entry.counts_since.to_le_bytes());
            bytes.extend_from_slice(&entry.lasts_until.to_le_bytes());
        }
        bytes
    }

    /// `None` for bytes that are no record.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes.strip_prefix(TAG)?;
        let mut entries = Vec::new();
        while !rest.is_empty() {
            let (head, after) = Head::first(rest)?;
            let (counts_since, after) = after.split_first_chunk()?;
            let (lasts_until, after) = after.split_first_chunk()?;
            let [counts_since, lasts_until] =
                [counts_since, lasts_until].map(|word| u64::from_le_bytes(*word));
            entries.push(Entry { head, counts_since, lasts_until });
            rest = after;
        }
        (entries.len() <= MAX_TERMS).then_some(Self(entries))
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        rate_limit::{WindowSpec, quota::Quota},
        time::NANOS_PER_SEC as SECOND,
    };

    const START: u64 = 1_000_000 * SECOND;

    fn windows(requests: u32) -> Head {
        let spec = WindowSpec { requests, per: Duration::from_secs(10), burst: requests, own: None };
        Head::new(&[Quota::compile(&spec).unwrap()], 0)
    }

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    #[test]
    fn terms_begin_in_order_and_last_while_somebody_confirms_them() {
        let mut record = Record::default();
        // Whose windows; since when they are had; whether they count; when; when the term began, and when it counted.
        for (n, known, counts, now, since, counts_since) in [
            (1, None, false, START, START, 0),
            (2, None, false, START, START + 1, 0),
            // Another worker of the first.
            (1, None, false, START + 5, START, 0),
            (1, Some(START), true, START + 6, START, START + 6),
            (1, Some(START), true, START + 7, START, START + 6),
            // The clock stands still, or steps back.
            (2, Some(START + 1), true, START, START + 1, START + 7),
            (3, None, true, START - 9 * SECOND, START + 8, START + 9),
            // Nobody confirmed the first for five seconds: it goes on for who had it, and is over for who is new.
            (1, Some(START), true, START + 6 * SECOND, START, START + 6),
            (2, None, false, START + 6 * SECOND, START + 6 * SECOND, 0),
            (2, Some(START + 1), true, START + 7 * SECOND, START + 6 * SECOND, START + 7 * SECOND),
        ] {
            let own = record.confirm(&windows(n), known, counts, at(now));
            assert_eq!((own.head.since(), own.counts_since), (since, counts_since), "{n} at {now}");
            assert!(own.lasts(at(now)) && !own.lasts(at(now + 5 * SECOND + 1)));
            assert!(own.is_in(&record));
        }
        assert_eq!(record.entries().count(), 3);
    }

    impl Entry {
        fn is_in(&self, record: &Record) -> bool {
            record.entries().any(|entry| entry == self)
        }
    }

    #[test]
    fn of_too_many_terms_those_are_forgotten_that_ended_first() {
        let mut record = Record::default();
        let all: Vec<_> =
            (1..=9).map(|n| record.confirm(&windows(n), None, true, at(START + u64::from(n)))).collect();
        assert_eq!(record.entries().count(), MAX_TERMS);
        let is_in = |record: &Record| all.iter().map(|entry| entry.is_in(record)).collect::<Vec<_>>();
        assert_eq!(is_in(&record), [&[false][..], &[true; 8]].concat());
        // Whoever is still there says so, and has its place again.
        let first = record.confirm(&windows(1), Some(all[0].head.since()), true, at(START + 20));
        assert_eq!(first.head, all[0].head);
        assert_eq!(is_in(&record)[..3], [false, false, true]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            confirmed in prop::collection::vec((1u32..20, any::<bool>(), 0u64..20 * SECOND), 0..30),
        ) {
            let mut record = Record::default();
            for (n, counts, now) in confirmed {
                record.confirm(&windows(n), None, counts, at(START + now));
                let bytes = record.encode();
                prop_assert_eq!(Record::decode(&bytes), Some(record.clone()));
                prop_assert_eq!(Record::decode(&bytes[1..]), None);
                prop_assert_eq!(Record::decode(&[bytes.as_slice(), &[0]].concat()), None);
                prop_assert_eq!(Record::decode(&bytes[..bytes.len() - 1]), None);
            }
        }

        #[test]
        fn garbage_is_nothing(bytes: Vec<u8>) {
            prop_assume!(bytes != TAG);
            prop_assert_eq!(Record::decode(&bytes), None);
            let _ = Record::decode(&[TAG.as_slice(), &bytes].concat());
        }
    }
}
