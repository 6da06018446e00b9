//! Filters of one name against what was promised: over updates, and side by side.

use proptest::prelude::*;

use super::tests::{Filter, START, window};
use crate::time::NANOS_PER_SEC as SECOND;
use crate::{rate_limit::WindowSpec, store::MemoryStore};

/// How many more than `promised` were admitted in the worst span of `admitted`, which lists the time of each.
fn excess(admitted: &[(usize, u64)], promised: impl Fn(usize, usize, u64, u64) -> u128) -> u128 {
    let mut worst = 0;
    for (i, (first_phase, first)) in admitted.iter().enumerate().step_by(3) {
        for (j, (last_phase, last)) in admitted.iter().enumerate().skip(i) {
            let count = u128::try_from(j - i + 1).unwrap();
            worst = worst.max(count.saturating_sub(promised(*first_phase, *last_phase, *first, *last)));
        }
    }
    worst
}

prop_compose! {
    fn any_window()(requests in 1u32..400, secs in prop::sample::select(vec![1u64, 10, 60, 600]), burst in 1u32..300) -> WindowSpec {
        WindowSpec { burst, ..window(requests, secs) }
    }
}

fn any_steps() -> impl Strategy<Value = Vec<(usize, u64, usize)>> {
    let gap = prop_oneof![4 => Just(0u64), 2 => 0..SECOND / 100, 1 => 0..2 * SECOND, 1 => 0..30 * SECOND];
    prop::collection::vec((0usize..3, gap, 1usize..60), 1..12)
}

proptest! {
    /// Over an update no span admits more than the larger burst, and what either rate gives for as long as it was in
    /// force. And nothing is taken: whoever had used `n` requests has all but `n` of the new burst.
    #[test]
    fn an_update_never_admits_more_than_either_promised(
        before in any_window(), after in any_window(), workers in 1usize..4,
        first in any_steps(), then in any_steps(),
    ) {
        let store = MemoryStore::default();
        let (mut now, mut admitted) = (START, Vec::new());
        let mut changed_at = now;
        for (phase, (windows, steps)) in [(&before, first), (&after, then)].into_iter().enumerate() {
            let mut filter = Filter::new(&store, std::slice::from_ref(windows), workers, now);
            changed_at = now;
            for (worker, gap, count) in steps {
                now += gap;
                for _ in 0..count {
                    if filter.admits(&store, worker % workers, now) {
                        admitted.push((phase, now));
                    }
                }
            }
        }
        let promised = |first_phase: usize, last_phase: usize, first: u64, last: u64| {
            let earned = |window: &WindowSpec, from: u64, to: u64| {
                u128::from(to - from) * u128::from(window.requests) / window.per.as_nanos()
            };
            match (first_phase, last_phase) {
                (0, 0) => u128::from(before.burst) + earned(&before, first, last),
                (1, 1) => u128::from(after.burst) + earned(&after, first, last),
                // Rounded twice.
                _ => u128::from(before.burst.max(after.burst))
                    + earned(&before, first, changed_at) + earned(&after, changed_at, last) + 1,
            }
        };
        prop_assert_eq!(excess(&admitted, promised), 0);
    }

    #[test]
    fn an_update_takes_nothing_that_was_promised(
        before in any_window(), after in any_window(), used in 0usize..300, wait in 0..600 * SECOND,
    ) {
        // Without prepayments, of which some may be lost.
        let not_prepaid = |window: WindowSpec| WindowSpec { burst: window.burst.min(127), ..window };
        let (before, after) = (not_prepaid(before), not_prepaid(after));
        let store = MemoryStore::default();
        let used = Filter::new(&store, std::slice::from_ref(&before), 1, START).burst(&store, used, START);
        let now = START + wait;
        let interval = before.per.as_nanos().div_ceil(before.requests.into());
        let left = (u128::try_from(used).unwrap() * interval).saturating_sub(wait.into());
        let left = if before.per.as_nanos() * u128::from(after.requests) == after.per.as_nanos() * u128::from(before.requests) {
            left
        } else {
            left.div_ceil(interval) * interval
        };
        let still_used = u32::try_from(left.div_ceil(interval)).unwrap();
        let admitted = Filter::new(&store, std::slice::from_ref(&after), 1, now).burst(&store, 300, now);
        prop_assert_eq!(u32::try_from(admitted).unwrap(), after.burst.saturating_sub(still_used));
    }

    /// However many updates: what was used under each counts for all that come after.
    #[test]
    fn updates_in_a_row_never_give_a_fresh_bucket(
        phases in prop::collection::vec((any_window(), any_steps()), 1..6), workers in 1usize..3,
    ) {
        let store = MemoryStore::default();
        let (mut now, mut admitted, mut begins) = (START, Vec::new(), Vec::new());
        for (phase, (windows, steps)) in phases.iter().enumerate() {
            // Long enough for the one before to end.
            now += 7 * SECOND;
            begins.push(now);
            let mut filter = Filter::new(&store, std::slice::from_ref(windows), workers, now);
            for (worker, gap, count) in steps {
                now += gap;
                for _ in 0..*count {
                    if filter.admits(&store, worker % workers, now) {
                        admitted.push((phase, now));
                    }
                }
            }
        }
        let promised = |first_phase: usize, last_phase: usize, first: u64, last: u64| {
            let bursts = phases[first_phase..=last_phase].iter().map(|(window, _)| window.burst);
            let mut promised = u128::from(bursts.max().unwrap());
            for phase in first_phase..=last_phase {
                let from = first.max(begins[phase]);
                let to = begins.get(phase + 1).map_or(last, |end| last.min(*end));
                // What was used under one drains at its own rate as long as the others are in force.
                for (window, _) in &phases[first_phase..=phase] {
                    let earned = u128::from(to.saturating_sub(from)) * u128::from(window.requests);
                    promised += earned / window.per.as_nanos() + 1;
                }
            }
            promised
        };
        prop_assert_eq!(excess(&admitted, promised), 0);
    }

    /// Filters that are configured together decide as if each were alone, also while another one is updated.
    #[test]
    fn whoever_stands_side_by_side_decides_as_if_alone(
        windows in prop::collection::vec(any_window(), 2..5), update in any_window(), updated_at in 0usize..40,
        steps in prop::collection::vec((0usize..4, 0usize..6, prop_oneof![3 => Just(0u64), 1 => 0..20 * SECOND], 1usize..40), 1..40),
    ) {
        let together = MemoryStore::default();
        let configure = |store: &MemoryStore, window: &WindowSpec, nanos| Filter::new(store, std::slice::from_ref(window), 1, nanos);
        let mut filters: Vec<_> = windows.iter().map(|window| {
            let alone = MemoryStore::default();
            (configure(&together, window, START), configure(&alone, window, START), alone)
        }).collect();
        let (mut now, mut is_updated) = (START, false);
        for (step, (filter, client, gap, count)) in steps.into_iter().enumerate() {
            now += gap;
            if step == updated_at && !windows.contains(&update) {
                is_updated = true;
                filters[0].0 = configure(&together, &update, now);
                filters[1..].iter_mut().for_each(|(both, ..)| both.confirm(&together, now));
            }
            let filter = filter % windows.len();
            let (both, own, alone) = &mut filters[filter];
            for _ in 0..count {
                let client = client.to_string();
                let decided = both.check(&together, 0, &client, now).unwrap();
                if filter > 0 || !is_updated {
                    prop_assert_eq!(decided, own.check(alone, 0, &client, now).unwrap());
                }
            }
        }
    }
}
