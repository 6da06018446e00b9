//! The generic cell rate algorithm as arithmetic: what a key owes in a window, no clock, no store.
//!
//! The state is the theoretical arrival time (`tat`): the instant, in nanoseconds since the epoch, at which
//! the bucket will be full again. `tat - now` is the debt. A request adds one interval to the debt and is
//! admitted if the debt then stays within [`Quota::full_debt`].
//!
//! In other words, a request takes the next interval on a line of time: one that nobody has taken, that begins no
//! sooner than the request, and ends no later than a full debt after it. The promise needs no more: the intervals of
//! all requests of a span do not overlap, and lie within the span and one full debt after it, so there are at most
//! `burst + span / interval` of them. Therefore intervals may also be taken out of turn, further ahead, if the line
//! then passes over them: see [`Debt::held`].
//!
//! `now` is the wall clock, because workers and restarts share no other. Where it steps forward, debts are
//! forgiven; where it steps back by `s`, clients owe up to `s` more, but never more than a full debt for
//! long: see [`clamp`].

use std::time::Duration;

use super::quota::Quota;
use crate::time::{NANOS_PER_SEC, Timestamp};

/// How far one worker's `now` may lie behind another's without being taken for a clock that stepped back.
///
/// Workers read the same clock, but one may be held up between reading it and deciding. Forgiving the
/// difference each time would let a client gain by sending to two workers at once.
pub const MAX_SKEW: Duration = Duration::from_secs(1);

const MAX_SKEW_NANOS: u64 = NANOS_PER_SEC;

/// What a key owes in one window; by default nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Debt {
    /// The theoretical arrival time: where the next interval begins, if that is not past.
    pub tat: u64,
    /// Intervals that were taken out of turn, side by side.
    pub held: Span,
}

/// From an instant up to another; by default empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first nanosecond.
    pub from: u64,
    /// The nanosecond after the last one.
    pub to: u64,
}

impl Debt {
    /// A debt of which nothing was taken out of turn.
    pub const fn until(tat: u64) -> Self {
        Self { tat, held: Span { from: 0, to: 0 } }
    }

    /// The debt after one more interval, which ends at `end`. What is held is forgotten once the line has passed over
    /// it.
    #[must_use]
    pub const fn up_to(self, end: u64) -> Self {
        if end > self.held.from { Self::until(end) } else { Self { tat: end, ..self } }
    }

    /// When nothing is owed any more.
    pub fn end(&self) -> u64 {
        self.tat.max(self.held.to)
    }

    /// Where the next interval of the line begins for a request at `now`: it passes over what is held.
    pub fn start(&self, quota: &Quota, now: Timestamp) -> u64 {
        let start = self.tat.max(now.as_nanos());
        let in_the_way = self.held.to > start && start.saturating_add(quota.interval()) > self.held.from;
        if in_the_way { self.held.to } else { start }
    }

    /// The `tat` of a key that owes the same, but took every interval in turn.
    pub fn in_turn(&self, now: Timestamp) -> u64 {
        let start = self.tat.max(now.as_nanos());
        start.saturating_add(self.held.to.saturating_sub(self.held.from.max(start)))
    }
}

/// The stored state made plausible: never further ahead than a full debt, but for [`MAX_SKEW`].
///
/// More cannot come from deciding: it means that the clock stepped back, that the quota became smaller, or
/// that somebody else wrote the bytes. Such a state counts as exactly a full debt. Whoever finds the result
/// different from what is stored must store it, even with a denial; otherwise the client stays locked out
/// until the far-off instant.
#[must_use]
pub fn clamp(quota: &Quota, debt: Debt, now: Timestamp) -> Debt {
    let full = now.as_nanos().saturating_add(quota.full_debt());
    if debt.end() > full.saturating_add(MAX_SKEW_NANOS) { Debt::until(full) } else { debt }
}

/// Judges one request at `now`: what is owed once it is charged. Changes nothing; a denial leaves the state as it is.
///
/// # Errors
/// It is over the quota. After the time that is returned it is admitted, and not a nanosecond sooner, if no other comes
/// between and the stored state is the clamped one (see [`clamp`]).
pub fn decide(quota: &Quota, debt: Debt, now: Timestamp) -> Result<Debt, Duration> {
    let debt = clamp(quota, debt, now);
    let charged = debt.start(quota, now).saturating_add(quota.interval());
    // At the very end of the range nothing is admitted, rather than everything.
    let Some(full) = now.as_nanos().checked_add(quota.full_debt()) else {
        return Err(Duration::from_nanos(quota.interval()));
    };
    match charged.checked_sub(full) {
        None | Some(0) => Ok(debt.up_to(charged)),
        Some(over) => Err(Duration::from_nanos(over)),
    }
}

/// How a key stands that took every interval in turn ([`Debt::in_turn`]): how many requests would be admitted at once,
/// and after what time the bucket is full again if none comes.
#[must_use]
pub fn standing(quota: &Quota, tat: u64, now: Timestamp) -> (u32, Duration) {
    let owed = clamp(quota, Debt::until(tat), now).tat.saturating_sub(now.as_nanos());
    let whole = quota.full_debt().saturating_sub(owed).checked_div(quota.interval()).unwrap_or(0);
    (u32::try_from(whole).unwrap_or(u32::MAX), Duration::from_nanos(owed))
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{rate_limit::WindowSpec, time::NANOS_PER_SEC as SECOND};

    fn quota(requests: u32, secs: u64, burst: u32) -> Quota {
        Quota::compile(&WindowSpec { requests, per: Duration::from_secs(secs), burst, own: None }).unwrap()
    }

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    #[test]
    fn a_burst_admits_exactly_the_quota_and_then_one_per_interval() {
        let quota = quota(3, 1, 3);
        let start = 1_000 * SECOND;
        let mut debt = Debt::default();
        // (offset, admitted with this many remaining)
        for (offset, expected) in [
            (0, Some(2)),
            (0, Some(1)),
            (0, Some(0)),
            (0, None),
            (333_333_333, None),
            (333_333_334, Some(0)),
            (333_333_334, None),
            (666_666_667, None),
            (666_666_668, Some(0)),
            (10 * SECOND, Some(2)),
        ] {
            let now = at(start + offset);
            match decide(&quota, debt, now) {
                Ok(charged) => {
                    let (remaining, _) = standing(&quota, charged.in_turn(now), now);
                    assert_eq!(Some(remaining), expected, "at {offset}");
                    debt = charged;
                }
                Err(_) => assert_eq!(None, expected, "at {offset}"),
            }
        }
    }

    /// As docs/policy.md says, with the arithmetic for a hard limit of `n` in any window.
    #[test]
    fn a_span_shorter_than_the_window_admits_burst_and_requests_less_one() {
        for (requests, secs, burst, most) in [
            (10, 10, 10, 19),
            (10, 10, 1, 10),
            (7, 10, 4, 10),
            (1, 60, 1, 1),
            (100, 60, 20, 119),
            (3, 1, 5, 7),
        ] {
            let quota = quota(requests, secs, burst);
            let (mut now, mut debt, mut admitted) = (1_000 * SECOND, Debt::default(), Vec::new());
            // Whoever asks again as soon as it may.
            while admitted.len() < 500 {
                match decide(&quota, debt, at(now)) {
                    Ok(charged) => {
                        admitted.push(now);
                        debt = charged;
                    }
                    Err(retry_after) => now = at(now).saturating_add(retry_after).as_nanos(),
                }
            }
            let within =
                |from: &u64| admitted.iter().filter(|at| (*from..from + secs * SECOND).contains(at)).count();
            assert_eq!(
                admitted.iter().map(within).max(),
                Some(most),
                "{requests} per {secs} s, {burst} at once"
            );
        }
    }

    #[test]
    fn a_clock_that_steps_back_costs_at_most_a_full_debt() {
        let quota = quota(10, 10, 10);
        let debt = Debt::until(5_000 * SECOND);
        // An hour back: the state is taken for a full debt, so one interval is waited, not an hour.
        let now = at(1_400 * SECOND);
        let full = Debt::until(1_410 * SECOND);
        assert_eq!(clamp(&quota, debt, now), full);
        assert_eq!(decide(&quota, debt, now), Err(Duration::from_secs(1)));
        // Within the skew nothing is forgiven.
        let held = |to| Debt { tat: 1_401 * SECOND, held: Span { from: 1_405 * SECOND, to } };
        for within in [Debt::until(1_411 * SECOND), held(1_411 * SECOND)] {
            assert_eq!(clamp(&quota, within, now), within);
        }
        for beyond in [Debt::until(1_411 * SECOND + 1), held(1_411 * SECOND + 1)] {
            assert_eq!(clamp(&quota, beyond, now), full);
        }
    }

    #[test]
    fn the_end_of_the_range_denies() {
        let quota = quota(10, 10, 10);
        for tat in [0, u64::MAX] {
            for now in [u64::MAX, u64::MAX - 10 * SECOND + 1] {
                let held = Span { from: tat, to: tat };
                for debt in [Debt::until(tat), Debt { tat: 0, held }] {
                    assert!(decide(&quota, debt, at(now)).is_err(), "{debt:?} {now}");
                }
            }
        }
        assert_eq!(decide(&quota, Debt::default(), at(0)), Ok(Debt::until(SECOND)));
    }

    #[test]
    fn what_is_held_is_passed_over() {
        // One a second. From 5 to 8 three are held.
        let (quota, start) = (quota(10, 10, 10), 1_000 * SECOND);
        let held = Span { from: start + 5 * SECOND, to: start + 8 * SECOND };
        let debt = |tat: u64, held| Debt { tat: start + tat, held };
        let after = Span::default();
        let half = SECOND / 2;
        for (tat, now, charged) in [
            (0, 0, Some(debt(SECOND, held))),
            // Up to where it begins.
            (4 * SECOND, 0, Some(debt(5 * SECOND, held))),
            // A gap that is too short is lost.
            (4 * SECOND + 1, 0, Some(debt(9 * SECOND, after))),
            (5 * SECOND, 0, Some(debt(9 * SECOND, after))),
            (0, 4 * SECOND + half, Some(debt(9 * SECOND, after))),
            (0, 7 * SECOND + half, Some(debt(9 * SECOND, after))),
            (0, 8 * SECOND, Some(debt(9 * SECOND, after))),
            (0, 20 * SECOND, Some(debt(21 * SECOND, after))),
            (9 * SECOND, 0, Some(debt(10 * SECOND, after))),
            (9 * SECOND + half, 0, None),
        ] {
            let expected = match charged {
                Some(charged) => Ok(charged),
                None => Err(Duration::from_nanos(half)),
            };
            assert_eq!(decide(&quota, debt(tat, held), at(start + now)), expected, "{tat} at {now}");
        }
        for (tat, now, in_turn) in
            [(0, 0, 3), (4, 0, 7), (5, 0, 8), (8, 0, 8), (0, 4, 7), (0, 6, 8), (0, 8, 8), (9, 0, 9)]
        {
            let owed = debt(tat * SECOND, held).in_turn(at(start + now * SECOND));
            assert_eq!(owed, start + in_turn * SECOND, "{tat} at {now}");
        }
    }

    prop_compose! {
        fn any_quota()(requests in 1u32..5_000, secs in 1u64..100_000, burst in 1u32..5_000) -> Option<Quota> {
            Quota::compile(&WindowSpec { requests, per: Duration::from_secs(secs), burst, own: None }).ok()
        }
    }

    proptest! {
        #[test]
        fn allowed_exactly_when_promised(
            quota in any_quota(), start in 0u64..1 << 62, ahead in 0u64..1 << 50,
            held in (0u64..1 << 50, 0u64..1 << 49),
        ) {
            prop_assume!(quota.is_some());
            let quota = quota.unwrap();
            let held = Span { from: start + held.0, to: start + held.0 + held.1 };
            let debt = clamp(&quota, Debt { tat: start + ahead, held }, at(start));
            match decide(&quota, debt, at(start)) {
                Ok(charged) => {
                    prop_assert!(charged.end() <= start + quota.full_debt() + MAX_SKEW_NANOS);
                    prop_assert!(charged.tat <= start + quota.full_debt());
                    // Its interval is none of those that are held.
                    prop_assert!(
                        charged.tat <= debt.held.from || charged.tat - quota.interval() >= debt.held.to
                    );
                }
                Err(retry_after) => {
                    let promised = at(start).saturating_add(retry_after);
                    let sooner = at(promised.as_nanos() - 1);
                    let admitted = |now| decide(&quota, debt, now).is_ok();
                    prop_assert!(retry_after > Duration::ZERO);
                    prop_assert!(!admitted(sooner));
                    prop_assert!(admitted(promised));
                }
            }
        }

        /// However requests come, no span admits more than `burst + requests * span / per`.
        #[test]
        fn no_span_admits_more_than_promised(
            quota in any_quota(),
            gaps in proptest::collection::vec(prop_oneof![Just(0u64), 0u64..2 * SECOND, 0u64..100 * SECOND], 1..200),
        ) {
            prop_assume!(quota.is_some());
            let quota = quota.unwrap();
            let (mut now, mut debt, mut admitted) = (1 << 60, Debt::default(), Vec::new());
            for gap in gaps {
                now += gap;
                if let Ok(charged) = decide(&quota, debt, at(now)) {
                    debt = charged;
                    admitted.push(now);
                }
            }
            for (i, first) in admitted.iter().enumerate() {
                for (j, last) in admitted.iter().enumerate().skip(i) {
                    let per = u128::from(quota.window_secs()) * u128::from(SECOND);
                    let count = u128::try_from(j - i + 1).unwrap();
                    let span = u128::from(last - first);
                    prop_assert!((count - u128::from(quota.burst()).min(count)) * per <= span * u128::from(quota.requests()));
                }
            }
        }

        /// What remains is then admitted at once, no more and no fewer; where some are held, all but one for the gap.
        #[test]
        fn remaining_is_exact(
            quota in any_quota(), start in 1u64 << 50..1 << 60, owed in 0u64..1 << 44,
            held in (0u64..1 << 44, prop_oneof![Just(0u64), 0u64..1 << 43]),
        ) {
            prop_assume!(quota.is_some());
            let quota = quota.unwrap();
            let now = at(start);
            let held = match held.1 {
                0 => Span::default(),
                length => Span { from: start + held.0, to: start + held.0 + length },
            };
            let mut debt = clamp(&quota, Debt { tat: start + owed, held }, now);
            let (promised, _) = standing(&quota, debt.in_turn(now), now);
            let gap = u32::from(debt.held.to > debt.held.from && debt.held.to > debt.tat);
            let mut count = 0;
            while let Ok(charged) = decide(&quota, debt, now) {
                debt = charged;
                count += 1;
                let (remaining, _) = standing(&quota, debt.in_turn(now), now);
                prop_assert!((promised - count - gap.min(promised - count)..=promised - count).contains(&remaining));
            }
            prop_assert!(count == promised || count + gap == promised, "{} of {}", count, promised);
        }
    }
}
