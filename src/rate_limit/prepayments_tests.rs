//! Prepayments against the promise that they must keep, and against GCRA without them.

use std::{cell::Cell, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{
    rate_limit::{
        Admission, KeyPart, Ledger, LimitId, LimitSpec, Limiter, SlotSecret, Subject, Terms, WindowSpec, gcra,
    },
    request::RequestHead,
    store::{Expected, MemoryStore, SharedStore, StoreError, Versioned},
    time::NANOS_PER_SEC as SECOND,
};

const START: u64 = 1_000_000 * SECOND;

/// Counts what is asked of it.
#[derive(Default)]
struct Counting {
    inner: MemoryStore,
    calls: Cell<usize>,
}

impl SharedStore for Counting {
    fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        self.calls.set(self.calls.get() + 1);
        self.inner.get(key)
    }

    fn replace(&self, key: &str, value: &[u8], expected: Expected) -> Result<(), StoreError> {
        self.calls.set(self.calls.get() + 1);
        self.inner.replace(key, value, expected)
    }
}

/// Limits by rule, with workers that each hold prepayments of their own.
struct World {
    limiter: Limiter,
    store: Counting,
    secret: SlotSecret,
    workers: Vec<Prepayments>,
    terms: Terms,
}

fn window(requests: u32, secs: u64, burst: u32) -> WindowSpec {
    WindowSpec { requests, per: Duration::from_secs(secs), burst, own: None }
}

impl World {
    /// One limit for each list of windows.
    fn new(limits: &[&[WindowSpec]], workers: usize) -> Self {
        let spec = |(n, windows): (usize, &&[WindowSpec])| {
            LimitSpec::of(&format!("limit{n}"), vec![KeyPart::Route], windows.to_vec())
        };
        let specs: Vec<_> = limits.iter().enumerate().map(spec).collect();
        let store = Counting::default();
        let secret = SlotSecret::load_or_create(&store, "p", [7; 16]).unwrap();
        let workers = (0..workers).map(|_| Prepayments::default()).collect();
        let (limiter, mut terms) = (Limiter::compile(&specs, "p").unwrap(), Terms::default());
        limiter.plans().for_each(|plan| terms.count(plan, Timestamp::from_nanos(START), &store).unwrap());
        Self { limiter, store, secret, workers, terms }
    }

    fn check(&mut self, worker: usize, client: &str, nanos: u64) -> Admission {
        let ids: Vec<LimitId> = self.limiter.names().map(|name| self.limiter.id(name).unwrap()).collect();
        self.store.calls.set(0);
        let subject = Subject {
            remote_address: None,
            principal: None,
            actor: None,
            known_place: None,
            rule: client,
            host: "",
            variables: None,
            method: "GET",
            head: &RequestHead::default(),
            query: None,
        };
        let (prepayments, terms) = (&mut self.workers[worker], &mut self.terms);
        let now = Timestamp::from_nanos(nanos);
        let mut ledger = Ledger { store: &self.store, secret: &self.secret, prepayments, terms, tells: true };
        self.limiter.check(&ids, &subject, now, &mut ledger).unwrap()
    }

    fn admits(&mut self, worker: usize, nanos: u64) -> bool {
        self.check(worker, "c", nanos).admitted()
    }
}

#[test]
fn most_requests_of_a_large_limit_touch_nothing_shared() {
    // 6400 a minute: prepayments of 100.
    let mut world = World::new(&[&[window(6400, 60, 6400)]], 1);
    let mut touched = vec![];
    for n in 0..300 {
        assert_eq!(world.check(0, "c", START).standings.first().unwrap().remaining, 6399 - n);
        if world.store.calls.get() > 0 {
            touched.push(n);
        }
    }
    assert_eq!(touched, [0, 100, 200]);
}

#[test]
fn clients_spread_over_all_places_whatever_the_width_of_an_index() {
    for (fingerprint, expected) in [
        (0, 0),
        (0x2bc, 0x2bc),
        (0x800, 0),
        (0x1_0000_02bc, 0x2bc),
        (0xffff_ffff_0000_0001, 1),
        (u64::MAX, usize::from(SETS) - 1),
    ] {
        assert_eq!(index(Place { slot: 7, fingerprint }), expected, "{fingerprint:x}");
    }
}

#[test]
fn small_limits_are_charged_one_by_one() {
    for (burst, prepayments) in [(127, false), (128, true)] {
        let mut world = World::new(&[&[window(burst, 60, burst)]], 1);
        assert!(world.admits(0, START) && world.admits(0, START));
        assert_eq!(world.store.calls.get() == 0, prepayments, "{burst}");
    }
    // The smallest of several windows decides.
    let mut world = World::new(&[&[window(6400, 60, 6400), window(100, 1, 100)]], 1);
    assert!(world.admits(0, START) && world.admits(0, START));
    assert_eq!(world.store.calls.get(), 2);
}

#[test]
fn a_burst_over_several_workers_is_admitted_but_for_what_others_hold() {
    let mut world = World::new(&[&[window(640, 60, 640)]], 4);
    // Three workers prepay ten each and spend one.
    for worker in 1..4 {
        assert!(world.admits(worker, START));
    }
    let admitted = (0..1000).filter(|_| world.admits(0, START)).count();
    assert_eq!(admitted, 640 - 30);
    // What they hold is theirs to spend, and no more.
    for worker in 1..4 {
        let admitted = (0..100).filter(|_| world.admits(worker, START)).count();
        assert_eq!(admitted, 9);
    }
}

#[test]
fn a_prepayment_is_void_when_its_time_has_passed_or_the_clock_steps_back() {
    let held = |secs: u64, after: u64| {
        let mut world = World::new(&[&[window(640, u32::try_from(secs).unwrap().into(), 640)]], 1);
        assert!(world.admits(0, START));
        world.admits(0, START.wrapping_add(after)) && world.store.calls.get() == 0
    };
    for (secs, last) in [
        // One every 93.75 ms, prepayments of ten; ten lie in the second before.
        (60, 19),
        // One every 5.6 s, prepayments of ten.
        (3600, 9),
    ] {
        let last = last * secs * SECOND / 640;
        for (after, expected) in [(0, true), (last, true), (last + 1, false), (SECOND.wrapping_neg(), true)] {
            assert_eq!(held(secs, after), expected, "{after} of {secs}");
        }
        let back = (2 * secs * SECOND).wrapping_neg();
        assert!(!held(secs, back), "further ahead than a full debt");
    }
}

#[test]
fn a_client_that_comes_now_and_then_touches_what_is_shared_about_once_a_second() {
    // (requests a second, at most so many of 60 touch what is shared); one comes each 50 ms.
    for (requests, most) in [(127, 60), (1_000, 5), (100_000, 4), (1_000_000, 4)] {
        let mut world = World::new(&[&[window(requests, 1, requests)]], 1);
        let mut touched = 0;
        for n in 0..60 {
            assert!(world.admits(0, START + n * SECOND / 20));
            touched += usize::from(world.store.calls.get() > 0);
        }
        assert!(touched <= most && touched >= most - 1, "{touched} of 60 at {requests}");
    }
}

#[test]
fn what_is_prepaid_further_ahead_is_missing_to_others_and_nothing_else_is() {
    // Prepayments of 15, 750 ahead, of which at most 62 are taken out of turn.
    let mut world = World::new(&[&[window(1_000, 1, 1_000)]], 8);
    for worker in 1..8 {
        assert!(world.admits(worker, START));
    }
    let standings = world.check(0, "c", START).standings;
    // This worker prepaid fifteen, too, and cannot tell what the others have spent.
    assert_eq!(standings.first().unwrap().remaining, 1_000 - 7 * 15 - 1);
    let admitted = 1 + (0..2_000).filter(|_| world.admits(0, START)).count();
    assert_eq!(admitted, 1_000 - 7 * 15);
    for worker in 1..8 {
        assert_eq!((0..100).filter(|_| world.admits(worker, START)).count(), 14);
    }
    // A second later everything is as it was.
    assert_eq!((0..2_000).filter(|_| world.admits(0, START + SECOND)).count(), 1_000);
}

#[test]
fn nobody_loses_a_prepayment_to_another() {
    let mut prepayments = Prepayments::default();
    let quotas = [Quota::compile(&window(640, 60, 640)).unwrap()];
    // All in one set.
    let place = |n: u64| Place { slot: 0, fingerprint: 5 + n * 2048 };
    let now = Timestamp::from_nanos(START);
    let prepayment = |n| prepay(place(n), &Debts::default(), &quotas, now).unwrap().0;
    for n in 0..4 {
        assert!(prepayments.has_room(place(n), now));
        prepayments.keep(prepayment(n), now);
    }
    assert!(!prepayments.has_room(place(4), now));
    prepayments.keep(prepayment(4), now);
    for n in 0..5 {
        assert_eq!(prepayments.after_one(place(n), &quotas, now).is_some(), n < 4, "{n}");
        assert_eq!(prepayments.has_room(place(n), now), n < 4, "{n}");
    }
    let passed = Timestamp::from_nanos(prepayment(0).end[0]);
    assert!(prepayments.has_room(place(4), passed) && !Prepayments::none().has_room(place(0), passed));
    // One that has one keeps its place.
    prepayments.keep(prepayment(3), passed);
    prepayments.keep(prepayment(4), passed);
    assert!(prepayments.after_one(place(3), &quotas, now).is_some());
    assert!(prepayments.after_one(place(4), &quotas, now).is_some());
}

#[test]
fn what_another_limit_refuses_is_charged_to_none() {
    // The first is large and prepaid; the second admits two.
    let mut world = World::new(&[&[window(6400, 60, 6400)], &[window(2, 60, 2)]], 1);
    let remaining = |admission: &Admission| admission.standings.first().unwrap().remaining;
    assert_eq!(remaining(&world.check(0, "c", START)), 6399);
    assert_eq!(remaining(&world.check(0, "c", START)), 6398);
    for _ in 0..5 {
        assert!(!world.admits(0, START));
    }
    // A minute later both admit again. Of the first no more is gone than was prepaid.
    let later = START + 60 * SECOND;
    assert_eq!(remaining(&world.check(0, "c", later)), 6399);
}

proptest! {
    /// What the promise rests on: no interval is taken twice, none begins before the request that it is taken for, or
    /// ends later than a full debt after it.
    #[test]
    fn every_interval_is_taken_once(
        requests in 1u32..2_000, secs in 1u64..100, burst in 100u32..1_000,
        steps in prop::collection::vec((prop_oneof![
            4 => Just(0u64), 2 => 0..SECOND / 100, 1 => 0..2 * SECOND, 1 => 0..100 * SECOND,
        ], any::<bool>(), 1usize..60), 1..60),
    ) {
        let quota = Quota::compile(&window(requests, secs, burst)).unwrap();
        let (mut nanos, mut debt, mut taken) = (START, Debt::default(), Vec::<Span>::new());
        for (gap, prepaid, count) in steps {
            nanos += gap;
            let now = Timestamp::from_nanos(nanos);
            for _ in 0..count {
                let (run, charged) = match (prepaid, gcra::decide(&quota, debt, now)) {
                    (true, _) => match take(&quota, debt, u64::from(burst / 64), now) {
                        Some(taken) => taken,
                        None => continue,
                    },
                    (false, Ok(charged)) => {
                        (Span { from: charged.tat - quota.interval(), to: charged.tat }, charged)
                    }
                    (false, Err(_)) => continue,
                };
                prop_assert!(run.from >= nanos && run.to <= nanos + quota.full_debt());
                prop_assert!(taken.iter().all(|other| run.from >= other.to || run.to <= other.from));
                prop_assert!(charged.end() >= run.to);
                taken.retain(|other| other.to > nanos);
                taken.push(run);
                debt = charged;
            }
        }
    }

    /// However requests come to however many workers, no span admits more than `burst + requests * span / per`.
    #[test]
    fn no_span_admits_more_than_promised(
        requests in 1u32..2_000, secs in 1u64..100, burst in 100u32..1_000, workers in 1usize..5,
        second in prop::option::of((1u32..2_000, 1u64..100, 100u32..1_000)),
        steps in prop::collection::vec((0usize..4, prop_oneof![
            4 => Just(0u64), 2 => 0..SECOND / 100, 1 => 0..2 * SECOND, 1 => 0..100 * SECOND,
        ], 1usize..60), 1..60),
    ) {
        let mut windows = vec![window(requests, secs, burst)];
        // Windows of the same length are refused.
        let second = second.filter(|(_, other, _)| *other != secs);
        windows.extend(second.map(|(requests, secs, burst)| window(requests, secs, burst)));
        let mut world = World::new(&[&windows], workers);
        let (mut now, mut admitted) = (START, Vec::new());
        for (worker, gap, count) in steps {
            now += gap;
            for _ in 0..count {
                if world.admits(worker % workers, now) {
                    admitted.push(now);
                }
            }
        }
        for (i, first) in admitted.iter().enumerate().step_by(7) {
            for (j, last) in admitted.iter().enumerate().skip(i) {
                let count = u128::try_from(j - i + 1).unwrap();
                let span = u128::from(last - first);
                for WindowSpec { requests, per, burst, .. } in &windows {
                    let beyond = count.saturating_sub((*burst).into());
                    prop_assert!(beyond * per.as_nanos() <= span * u128::from(*requests));
                }
            }
        }
    }

    /// Nobody is refused who stays below the rate, however the requests are spread over workers.
    #[test]
    fn whoever_stays_below_the_rate_is_admitted(
        requests in 128u32..5_000, workers in 1usize..9,
        spread in prop::collection::vec(0usize..8, 300),
    ) {
        let mut world = World::new(&[&[window(requests, 60, requests)]], workers);
        let interval = 60 * SECOND / u64::from(requests) + 1;
        for (n, worker) in (0u64..).zip(spread) {
            prop_assert!(world.admits(worker % workers, START + n * interval));
        }
    }
}
