//! The generic cell rate algorithm as arithmetic: one instant per key and window, no clock, no store.
//!
//! The state is the theoretical arrival time (`tat`): the instant, in nanoseconds since the epoch, at which
//! the bucket will be full again. `tat - now` is the debt. A request adds one interval to the debt and is
//! admitted if the debt then stays within [`Quota::full_debt`].
//!
//! `now` is the wall clock, because workers and restarts share no other. Where it steps forward, debts are
//! forgiven; where it steps back by `s`, clients owe up to `s` more, but never more than a full debt for
//! long: see [`settle`].

use std::time::Duration;

use super::quota::Quota;
use crate::time::Timestamp;

/// How far one worker's `now` may lie behind another's without being taken for a clock that stepped back.
///
/// Workers read the same clock, but one may be held up between reading it and deciding. Forgiving the
/// difference each time would let a client gain by sending to two workers at once.
pub const MAX_SKEW: Duration = Duration::from_secs(1);

const MAX_SKEW_NANOS: u64 = 1_000_000_000;

/// What becomes of one request in one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Within the quota.
    Allowed {
        /// The state to store.
        new_tat: u64,
        /// Requests that would be admitted at once after this one.
        remaining: u32,
        /// When the bucket is full again.
        reset_after: Duration,
    },
    /// Over the quota.
    Denied {
        /// After this the same request is admitted, and not a nanosecond sooner, if no other comes between
        /// and the stored state is the settled one (see [`settle`]).
        retry_after: Duration,
        /// When the bucket is full again.
        reset_after: Duration,
    },
}

/// The stored state made plausible: never further ahead than a full debt, but for [`MAX_SKEW`].
///
/// More cannot come from deciding: it means that the clock stepped back, that the quota became smaller, or
/// that somebody else wrote the bytes. Such a state counts as exactly a full debt. Whoever finds the result
/// different from what is stored must store it, even with a denial; otherwise the client stays locked out
/// until the far-off instant.
#[must_use]
pub const fn settle(quota: &Quota, tat: u64, now: Timestamp) -> u64 {
    let full = now.as_nanos().saturating_add(quota.full_debt());
    if tat > full.saturating_add(MAX_SKEW_NANOS) { full } else { tat }
}

/// Judges one request at `now`. Changes nothing; a denial leaves the state as it is.
#[must_use]
pub fn decide(quota: &Quota, tat: u64, now: Timestamp) -> Decision {
    let tat = settle(quota, tat, now);
    let now = now.as_nanos();
    let charged = tat.max(now).saturating_add(quota.interval());
    let reset_after = Duration::from_nanos(tat.saturating_sub(now));
    // At the very end of the range nothing is admitted, rather than everything.
    let Some(full) = now.checked_add(quota.full_debt()) else {
        return Decision::Denied { retry_after: Duration::from_nanos(quota.interval()), reset_after };
    };
    match full.checked_sub(charged) {
        Some(room) => Decision::Allowed {
            new_tat: charged,
            remaining: whole_requests(quota, room),
            reset_after: Duration::from_nanos(charged.saturating_sub(now)),
        },
        None => {
            Decision::Denied { retry_after: Duration::from_nanos(charged.saturating_sub(full)), reset_after }
        }
    }
}

/// Requests that would be admitted at once, and when the bucket is full again, without any new request.
#[must_use]
pub fn standing(quota: &Quota, tat: u64, now: Timestamp) -> (u32, Duration) {
    let debt = settle(quota, tat, now).saturating_sub(now.as_nanos());
    (whole_requests(quota, quota.full_debt().saturating_sub(debt)), Duration::from_nanos(debt))
}

fn whole_requests(quota: &Quota, room: u64) -> u32 {
    let whole = room.checked_div(quota.interval()).unwrap_or(0);
    u32::try_from(whole).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "small numbers of tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rate_limit::WindowSpec;

    fn quota(requests: u32, secs: u64, burst: u32) -> Quota {
        Quota::compile(&WindowSpec { requests, per: Duration::from_secs(secs), burst }).unwrap()
    }

    fn at(nanos: u64) -> Timestamp {
        Timestamp::from_nanos(nanos)
    }

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_burst_admits_exactly_the_quota_and_then_one_per_interval() {
        let quota = quota(3, 1, 3);
        let start = 1_000 * SECOND;
        let mut tat = 0;
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
            match decide(&quota, tat, at(start + offset)) {
                Decision::Allowed { new_tat, remaining, .. } => {
                    assert_eq!(Some(remaining), expected, "at {offset}");
                    tat = new_tat;
                }
                Decision::Denied { .. } => assert_eq!(None, expected, "at {offset}"),
            }
        }
    }

    #[test]
    fn a_clock_that_steps_back_costs_at_most_a_full_debt() {
        let quota = quota(10, 10, 10);
        let tat = 5_000 * SECOND;
        // An hour back: the state is taken for a full debt, so one interval is waited, not an hour.
        let now = at(1_400 * SECOND);
        assert_eq!(settle(&quota, tat, now), 1_410 * SECOND);
        let denied = decide(&quota, tat, now);
        assert!(
            matches!(denied, Decision::Denied { retry_after, .. } if retry_after == Duration::from_secs(1))
        );
        // Within the skew nothing is forgiven.
        assert_eq!(settle(&quota, 1_411 * SECOND, now), 1_411 * SECOND);
        assert_eq!(settle(&quota, 1_411 * SECOND + 1, now), 1_410 * SECOND);
    }

    #[test]
    fn the_end_of_the_range_denies() {
        let quota = quota(10, 10, 10);
        for tat in [0, u64::MAX] {
            for now in [u64::MAX, u64::MAX - 10 * SECOND + 1] {
                assert!(matches!(decide(&quota, tat, at(now)), Decision::Denied { .. }), "{tat} {now}");
            }
        }
        assert!(matches!(decide(&quota, 0, at(0)), Decision::Allowed { remaining: 9, .. }));
    }

    prop_compose! {
        fn any_quota()(requests in 1u32..5_000, secs in 1u64..100_000, burst in 1u32..5_000) -> Option<Quota> {
            Quota::compile(&WindowSpec { requests, per: Duration::from_secs(secs), burst }).ok()
        }
    }

    proptest! {
        #[test]
        fn allowed_exactly_when_promised(quota in any_quota(), start in 0u64..1 << 62, ahead in 0u64..1 << 50) {
            prop_assume!(quota.is_some());
            let quota = quota.unwrap();
            let tat = settle(&quota, start.saturating_add(ahead), at(start));
            match decide(&quota, tat, at(start)) {
                Decision::Allowed { new_tat, .. } => prop_assert!(new_tat <= start + quota.full_debt()),
                Decision::Denied { retry_after, .. } => {
                    let promised = at(start).saturating_add(retry_after);
                    let sooner = at(promised.as_nanos() - 1);
                    let admitted = |now| matches!(decide(&quota, tat, now), Decision::Allowed { .. });
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
            let (mut now, mut tat, mut admitted) = (1 << 60, 0, Vec::new());
            for gap in gaps {
                now += gap;
                if let Decision::Allowed { new_tat, .. } = decide(&quota, tat, at(now)) {
                    tat = new_tat;
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

        /// `remaining` is what is then admitted at once, no more and no fewer.
        #[test]
        fn remaining_is_exact(quota in any_quota(), start in 1u64 << 50..1 << 60, debt in 0u64..1 << 44) {
            prop_assume!(quota.is_some());
            let quota = quota.unwrap();
            let mut tat = settle(&quota, start + debt, at(start));
            let (promised, _) = standing(&quota, tat, at(start));
            let mut count = 0;
            while let Decision::Allowed { new_tat, remaining, .. } = decide(&quota, tat, at(start)) {
                tat = new_tat;
                count += 1;
                prop_assert_eq!(remaining, promised - count);
            }
            prop_assert_eq!(count, promised);
        }
    }
}
