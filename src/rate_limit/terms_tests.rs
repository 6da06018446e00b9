//! Filters of one name in tables: side by side, and one before and after an update.

use std::{cell::Cell, time::Duration};

use super::*;
use crate::{
    rate_limit::{KeyPart, Ledger, LimitId, LimitSpec, Prepayments, SlotSecret, Subject, WindowSpec},
    request::RequestHead,
    store::{Expected, MemoryStore, Versioned},
    time::NANOS_PER_SEC as SECOND,
};

pub(super) const START: u64 = 1_000_000 * SECOND;
const HOUR: u64 = 3600;

pub(super) fn window(requests: u32, secs: u64) -> WindowSpec {
    WindowSpec { requests, per: Duration::from_secs(secs), burst: requests, own: None }
}

fn spec(windows: &[WindowSpec]) -> LimitSpec {
    LimitSpec::of("limit", vec![KeyPart::Route], windows.to_vec())
}

fn clock(nanos: u64) -> Clock {
    Clock::at(Timestamp::from_nanos(nanos))
}

/// One configuration of a filter, with a few workers.
pub(super) struct Filter {
    limiter: Limiter,
    workers: Vec<(Prepayments, Terms)>,
}

impl Filter {
    /// Configured at `nanos`.
    pub(super) fn new(store: &dyn SharedStore, windows: &[WindowSpec], workers: usize, nanos: u64) -> Self {
        Self::of_spec(store, &spec(windows), workers, nanos)
    }

    fn of_spec(store: &dyn SharedStore, spec: &LimitSpec, workers: usize, nanos: u64) -> Self {
        let limiter = Limiter::compile(std::slice::from_ref(spec), "p").unwrap();
        let workers = (0..workers).map(|_| <(Prepayments, Terms)>::default()).collect();
        let mut filter = Self { limiter, workers };
        filter.tick(store, nanos);
        filter
    }

    fn tick(&mut self, store: &dyn SharedStore, nanos: u64) {
        for (_, terms) in &mut self.workers {
            terms.on_tick(&self.limiter, &clock(nanos), store);
        }
    }

    /// As when another filter was configured on the same thread.
    pub(super) fn confirm(&mut self, store: &dyn SharedStore, nanos: u64) {
        for (_, terms) in &mut self.workers {
            terms.confirm(&self.limiter, &clock(nanos), store);
        }
    }

    pub(super) fn check(
        &mut self,
        store: &dyn SharedStore,
        worker: usize,
        client: &str,
        nanos: u64,
    ) -> Result<bool, StoreError> {
        let secret = SlotSecret::load_or_create(&MemoryStore::default(), "p", [7; 16]).unwrap();
        let ids: Vec<LimitId> = self.limiter.names().map(|name| self.limiter.id(name).unwrap()).collect();
        let (prepayments, terms) = &mut self.workers[worker];
        let subject = Subject {
            remote_address: "192.0.2.0".parse().ok(),
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
        let mut ledger = Ledger { store, secret: &secret, prepayments, terms, tells: false };
        let admission = self.limiter.check(&ids, &subject, Timestamp::from_nanos(nanos), &mut ledger)?;
        Ok(admission.admitted())
    }

    pub(super) fn admits(&mut self, store: &dyn SharedStore, worker: usize, nanos: u64) -> bool {
        self.check(store, worker, "c", nanos).unwrap()
    }

    /// How many of so many requests at once are admitted.
    pub(super) fn burst(&mut self, store: &dyn SharedStore, count: usize, nanos: u64) -> usize {
        (0..count).filter(|_| self.admits(store, 0, nanos)).count()
    }
}

#[test]
fn filters_side_by_side_do_not_touch_each_others_counts() {
    let store = MemoryStore::default();
    let mut edge = Filter::new(&store, &[window(2, HOUR)], 1, START);
    let mut inner = Filter::new(&store, &[window(100, HOUR)], 1, START + 1);
    let now = START + SECOND;
    assert_eq!(edge.burst(&store, 3, now), 2);
    for round in 0..20 {
        assert_eq!(inner.burst(&store, 5, now), 5, "{round}");
        assert!(!edge.admits(&store, 0, now), "{round}");
    }
    assert!(!inner.admits(&store, 0, now));
    // Each earns back at its own rate.
    let later = now + HOUR / 2 * SECOND;
    assert_eq!((inner.burst(&store, 200, later), edge.burst(&store, 200, later)), (50, 1));
    // Whoever comes to the slot when nothing is owed there any more.
    let later = later + HOUR * SECOND;
    assert_eq!((edge.burst(&store, 200, later), inner.burst(&store, 200, later)), (2, 100));
    assert_eq!((edge.burst(&store, 200, later), inner.burst(&store, 200, later)), (0, 0));
}

/// The neighbour.
#[test]
fn filters_with_the_same_windows_count_together() {
    let store = MemoryStore::default();
    let mut edge = Filter::new(&store, &[window(5, HOUR)], 1, START);
    let mut inner = Filter::new(&store, &[window(5, HOUR)], 1, START + 1);
    assert_eq!(edge.burst(&store, 3, START), 3);
    assert_eq!(inner.burst(&store, 5, START), 2);
    assert!(!edge.admits(&store, 0, START));
}

/// Under one name and the same windows, but counting other things.
#[test]
fn other_keys_never_share_a_counter() {
    let key = |key: Vec<KeyPart>, ipv4_prefix| LimitSpec { key, ipv4_prefix, ..spec(&[window(1, HOUR)]) };
    let specs = [
        key(vec![KeyPart::Route], 32),
        key(vec![KeyPart::RemoteAddress], 32),
        // The same bytes are left of this address.
        key(vec![KeyPart::RemoteAddress], 24),
        key(vec![KeyPart::Header("x-tenant".into())], 32),
        key(vec![KeyPart::Header("x-user".into())], 32),
        key(vec![KeyPart::Principal], 32),
        key(vec![KeyPart::ApiKey], 32),
        key(vec![KeyPart::Principal, KeyPart::ApiKey], 32),
        key(vec![KeyPart::ApiKey, KeyPart::Principal], 32),
    ];
    let store = MemoryStore::default();
    for spec in &specs {
        let mut filter = Filter::of_spec(&store, spec, 1, START);
        assert_eq!(filter.burst(&store, 2, START), 1, "{:?}", spec.key);
    }
    // What does not change what is counted changes no counter.
    let methods = LimitSpec { methods: vec!["GET".into()], ipv6_prefix: 56, ..specs[1].clone() };
    assert_eq!(Filter::of_spec(&store, &methods, 1, START).burst(&store, 2, START), 0);
}

#[test]
fn an_update_goes_on_with_the_requests_that_were_used() {
    let burst = |requests, secs, burst| WindowSpec { burst, ..window(requests, secs) };
    // Windows before; requests; how long the update comes after them, in seconds; windows after; what they admit at
    // once, and how many more so many seconds later.
    type Row<'a> = (&'a [WindowSpec], usize, u64, &'a [WindowSpec], usize, (u64, usize));
    let rows: &[Row<'_>] = &[
        (&[window(5, HOUR)], 5, 0, &[window(50, HOUR)], 45, (72, 1)),
        (&[window(5, HOUR)], 3, 0, &[window(50, HOUR)], 47, (72, 1)),
        (&[window(5, HOUR)], 0, 0, &[window(50, HOUR)], 50, (72, 1)),
        // Half of a request was earned back: it counts as used. A whole one does not.
        (&[window(5, HOUR)], 5, 360, &[window(50, HOUR)], 45, (72, 1)),
        (&[window(5, HOUR)], 5, 720, &[window(50, HOUR)], 46, (72, 1)),
        (&[window(5, HOUR)], 5, 3600, &[window(50, HOUR)], 50, (72, 1)),
        (&[window(100, HOUR)], 100, 0, &[window(10, HOUR)], 0, (360, 1)),
        (&[window(100, HOUR)], 100, 0, &[window(10, HOUR)], 0, (359, 0)),
        (&[window(100, HOUR)], 3, 0, &[window(10, HOUR)], 7, (360, 1)),
        (&[window(100, HOUR)], 100, 3600, &[window(10, HOUR)], 10, (360, 1)),
        // Nothing changes.
        (&[window(5, HOUR)], 5, 1, &[window(5, HOUR)], 0, (720, 1)),
        (&[burst(10, 60, 2)], 2, 0, &[burst(10, 60, 9)], 7, (6, 1)),
        (&[burst(10, 60, 9)], 9, 0, &[burst(10, 60, 2)], 0, (6, 1)),
        // Half of a request that was earned back stays earned back where the rate is the same.
        (&[burst(10, 60, 9)], 9, 3, &[burst(10, 60, 10)], 1, (3, 1)),
        // Other lengths.
        (&[window(10, HOUR)], 10, 0, &[window(10, 60)], 0, (6, 1)),
        (&[window(100, 60)], 100, 0, &[window(6000, HOUR)], 5900, (3, 5)),
        (&[window(2, 1), window(100, HOUR)], 2, 0, &[window(5, 1), window(50, HOUR)], 3, (1, 5)),
        (&[window(100, HOUR)], 60, 0, &[window(70, 1), window(100, HOUR)], 10, (1, 30)),
        (&[window(5, 1), window(100, HOUR)], 5, 0, &[window(100, HOUR)], 95, (36, 1)),
        // A worker holds fifteen and fourteen of them are unspent.
        (&[window(1000, HOUR)], 1, 0, &[window(900, HOUR)], 885, (4, 1)),
        (&[window(1000, HOUR)], 16, 0, &[window(100, HOUR)], 70, (36, 1)),
        (&[window(100, HOUR)], 30, 0, &[window(1000, HOUR)], 970, (18, 5)),
    ];
    for (before, used, wait, after, at_once, (later, more)) in rows {
        let store = MemoryStore::default();
        let mut old = Filter::new(&store, before, 1, START);
        assert_eq!(old.burst(&store, *used, START), *used);
        let now = START + wait * SECOND;
        let mut new = Filter::new(&store, after, 1, now);
        let shown = format!("{before:?} used {used}, after {wait} s {after:?}");
        assert_eq!(new.burst(&store, at_once + 50, now), *at_once, "{shown}");
        assert_eq!(new.burst(&store, more + 50, now + later * SECOND), *more, "{shown}");
    }
}

/// What was used when the update came drains at the new rate from then on, also for those who come much later.
#[test]
fn whoever_comes_late_finds_what_was_owed_when_the_update_came() {
    for (late, expected) in [(0, 0), (360, 1), (1800, 5), (3600, 10), (7200, 10)] {
        let store = MemoryStore::default();
        let mut old = Filter::new(&store, &[window(100, HOUR)], 1, START);
        assert_eq!(old.burst(&store, 100, START), 100);
        let mut new = Filter::new(&store, &[window(10, HOUR)], 1, START);
        // The update came two nanoseconds after the requests.
        assert_eq!(new.burst(&store, 20, START + 2 + late * SECOND), expected, "after {late} s");
    }
    // Under the old windows all would be there again; as requests they are still used.
    let store = MemoryStore::default();
    let mut old = Filter::new(&store, &[window(10, 1)], 1, START);
    assert_eq!(old.burst(&store, 10, START), 10);
    let mut new = Filter::new(&store, &[window(10, HOUR)], 1, START);
    assert_eq!(new.burst(&store, 10, START + 5 * SECOND), 0);
}

/// Lowered for a while and raised again: what was used before is not forgotten.
#[test]
fn windows_that_come_back_know_what_was_used_before() {
    let (low, high) = ([window(10, HOUR)], [window(100, HOUR)]);
    let store = MemoryStore::default();
    let mut first = Filter::new(&store, &high, 1, START);
    assert_eq!(first.burst(&store, 100, START), 100);
    let mut second = Filter::new(&store, &low, 1, START);
    assert_eq!(second.burst(&store, 1, START), 0);
    // Nobody has confirmed the first in the meantime.
    let later = START + 36 * SECOND;
    let mut third = Filter::new(&store, &high, 1, later);
    assert_eq!(third.burst(&store, 20, later), 1);

    // Raised and lowered again: what was used in between counts.
    let store = MemoryStore::default();
    Filter::new(&store, &low, 1, START).burst(&store, 2, START);
    assert_eq!(Filter::new(&store, &high, 1, START).burst(&store, 50, START), 50);
    assert_eq!(Filter::new(&store, &low, 1, later).burst(&store, 20, later), 0);

    // Taken back at once: it goes on where it was.
    let store = MemoryStore::default();
    Filter::new(&store, &low, 1, START).burst(&store, 2, START);
    assert_eq!(Filter::new(&store, &high, 1, START).burst(&store, 50, START), 50);
    assert_eq!(Filter::new(&store, &low, 1, START + SECOND).burst(&store, 20, START + SECOND), 8);
}

/// One policy on two listeners, until each has its own.
#[test]
fn both_that_one_becomes_go_on_with_it() {
    let store = MemoryStore::default();
    let mut both = Filter::new(&store, &[window(5, HOUR)], 2, START);
    assert_eq!(both.burst(&store, 4, START), 4);
    let mut edge = Filter::new(&store, &[window(50, HOUR)], 1, START + SECOND);
    let mut inner = Filter::new(&store, &[window(10, HOUR)], 1, START + SECOND);
    // The first has long gone when the second comes to the slot.
    assert_eq!(edge.burst(&store, 100, START + SECOND), 46);
    assert_eq!(inner.burst(&store, 100, START + 60 * SECOND), 6);
    assert_eq!(edge.burst(&store, 100, START + 60 * SECOND), 0);
}

/// The one that is updated starts from the most that was used under either by then; the other is left alone, and what is
/// used there later is its own affair, also for a client who comes to the first one only then.
#[test]
fn an_update_of_one_of_two_leaves_the_other_alone() {
    for (of_edge, of_inner, later, expected) in [(5, 3, 7, 45), (2, 3, 7, 47), (0, 0, 10, 50), (5, 10, 0, 40)]
    {
        let store = MemoryStore::default();
        let mut edge = Filter::new(&store, &[window(5, HOUR)], 1, START);
        let mut inner = Filter::new(&store, &[window(10, HOUR)], 1, START);
        assert_eq!(edge.burst(&store, of_edge, START), of_edge);
        assert_eq!(inner.burst(&store, of_inner, START), of_inner);
        // Somebody else, so that both have counted.
        for filter in [&mut edge, &mut inner] {
            assert!(filter.check(&store, 0, "another", START).unwrap());
        }
        let mut updated = Filter::new(&store, &[window(50, HOUR)], 1, START);
        inner.confirm(&store, START);
        assert_eq!(inner.burst(&store, 20, START), later);
        assert_eq!(updated.burst(&store, 100, START), expected, "{of_edge} and {of_inner}");
        assert_eq!(inner.burst(&store, 20, START), 0);
        // A client whom the other has never seen, and one whom it has used up in between.
        assert!(updated.check(&store, 0, "new", START).unwrap());
        let much_later = START + HOUR * SECOND;
        assert_eq!((inner.burst(&store, 20, much_later), updated.burst(&store, 100, much_later)), (10, 50));
    }
}

/// Two updates, of which a client sees only the second.
#[test]
fn updates_that_nobody_saw_are_passed_over() {
    let store = MemoryStore::default();
    Filter::new(&store, &[window(5, HOUR)], 1, START).burst(&store, 5, START);
    let mut second = Filter::new(&store, &[window(6, HOUR)], 1, START);
    assert!(second.check(&store, 0, "another", START).unwrap());
    assert_eq!(Filter::new(&store, &[window(50, HOUR)], 1, START).burst(&store, 100, START), 45);
}

/// The case that cannot be told from an update.
#[test]
fn a_filter_that_is_added_later_starts_from_what_was_used_and_changes_nothing() {
    let store = MemoryStore::default();
    let mut first = Filter::new(&store, &[window(10, HOUR)], 1, START);
    assert_eq!(first.burst(&store, 6, START), 6);
    let mut second = Filter::new(&store, &[window(20, HOUR)], 1, START);
    assert_eq!(second.burst(&store, 100, START), 14);
    assert_eq!(first.burst(&store, 100, START), 4);
    // From then on they are apart.
    let later = START + 20 * HOUR * SECOND;
    for filter in [&mut first, &mut second] {
        filter.tick(&store, later);
    }
    assert_eq!(first.burst(&store, 100, later), 10);
    assert_eq!(second.burst(&store, 100, later), 20);
}

/// Updates of other parts of the policy, by however many workers, are none to a limit.
#[test]
fn windows_that_stay_in_force_have_one_term() {
    let store = MemoryStore::default();
    let mut first = Filter::new(&store, &[window(5, HOUR)], 3, START);
    assert_eq!(first.burst(&store, 2, START), 2);
    let mut second = Filter::new(&store, &[window(5, HOUR)], 3, START + SECOND);
    assert!(second.admits(&store, 1, START + SECOND));
    let since = |filter: &Filter| {
        let terms =
            filter.workers.iter().map(|(_, terms)| terms.tables[0].as_ref().unwrap().own.head.since());
        terms.collect::<Vec<_>>()
    };
    assert_eq!((since(&first), since(&second)), (vec![START; 3], vec![START; 3]));
    // As long as somebody confirms it; whoever is new after that begins another.
    for second_of in 0..60 {
        second.tick(&store, START + second_of * SECOND);
    }
    let after = START + 61 * SECOND;
    assert_eq!(since(&Filter::new(&store, &[window(5, HOUR)], 1, after)), [START]);
    let after = START + 300 * SECOND;
    assert_eq!(since(&Filter::new(&store, &[window(5, HOUR)], 1, after)), [after]);
    // Those who had the old one have the new one then.
    second.tick(&store, after + SECOND);
    assert_eq!(since(&second), [after; 3]);
    assert_eq!(second.burst(&store, 5, after), 2);
}

/// A table that has nothing to carry over asks nothing of the terms, and one value of the store in all.
#[test]
fn a_table_with_nothing_to_carry_over_costs_no_more_than_its_slot() {
    #[derive(Default)]
    struct Counting(MemoryStore, Cell<usize>);
    impl SharedStore for Counting {
        fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
            self.1.set(self.1.get() + 1);
            self.0.get(key)
        }
        fn replace(&self, key: &str, value: &[u8], expected: Expected) -> Result<(), StoreError> {
            self.1.set(self.1.get() + 1);
            self.0.replace(key, value, expected)
        }
    }
    let store = Counting::default();
    let mut filters = [(5, 0), (50, 1)].map(|(n, at)| Filter::new(&store, &[window(n, HOUR)], 1, START + at));
    for _ in 0..3 {
        for filter in &mut filters {
            assert!(filter.admits(&store, 0, START + 2));
        }
    }
    for filter in &mut filters {
        store.1.set(0);
        assert!(filter.admits(&store, 0, START + 2));
        assert_eq!(store.1.get(), 2);
    }
    assert_eq!(store.0.len(), 2);
    // On ticks, and only one of all workers writes, when it is time.
    let mut ticks = |nanos| {
        store.1.set(0);
        filters[0].tick(&store, nanos);
        store.1.get()
    };
    assert_eq!([START + 3, START + SECOND / 4, START + 2 * SECOND].map(&mut ticks), [0, 1, 2]);
    // The clock stepped back.
    assert!(ticks(START - 100 * SECOND) > 0);
}

/// However many updates there are, the store holds one value for each slot and one for the limit.
#[test]
fn updates_without_end_are_bounded() {
    let store = MemoryStore::default();
    let mut longest = 0;
    for n in 0..40 {
        let now = START + u64::from(n) * 10 * SECOND;
        let mut filter = Filter::new(&store, &[window(1000 + n, HOUR)], 1, now);
        for client in 0..20_000_u32 {
            if n < 2 || client < 300 {
                filter.check(&store, 0, &client.to_string(), now).unwrap();
            }
        }
        for slot in 0..4096 {
            let stored = store.get(&format!("p/rl/limit/{slot:03x}")).unwrap();
            longest = longest.max(stored.map_or(0, |stored| stored.value.len()));
        }
    }
    assert!(store.len() <= 4097, "{}", store.len());
    let terms = store.get("p/rl/limit/terms").unwrap().unwrap();
    assert!(terms.value.len() <= 4 + 8 * (28 + 16));
    assert!(longest <= 8 * (29 + 8 + 16 * 32), "{longest}");
}

/// Without the record nothing is decided, and whatever else stands in its place is written over.
#[test]
fn a_store_that_fails_and_foreign_bytes() {
    struct Bad(StoreError);
    impl SharedStore for Bad {
        fn get(&self, _: &str) -> Result<Option<Versioned>, StoreError> {
            if self.0 == StoreError::Unavailable { Err(self.0) } else { Ok(None) }
        }
        fn replace(&self, _: &str, _: &[u8], _: Expected) -> Result<(), StoreError> {
            Err(self.0)
        }
    }
    for error in [StoreError::Unavailable, StoreError::Conflict] {
        // Configuring does not mind; the first request does, and finds it better the next time.
        let mut filter = Filter::new(&Bad(error), &[window(5, HOUR)], 1, START);
        assert_eq!(filter.check(&Bad(error), 0, "c", START), Err(StoreError::Unavailable));
        assert!(filter.admits(&MemoryStore::default(), 0, START));
    }
    for bytes in [&b""[..], b"rlt1x", b"rlt2", &[0xff; 1000], &[b"rlt1".as_slice(), &[0xff; 32 * 9]].concat()]
    {
        let store = MemoryStore::default();
        let mut before = Filter::new(&store, &[window(5, HOUR)], 1, START);
        assert_eq!(before.burst(&store, 3, START), 3);
        let version = store.get("p/rl/limit/terms").unwrap().unwrap().version;
        store.replace("p/rl/limit/terms", bytes, Expected::Version(version)).unwrap();
        // It goes on, and says again that it does.
        assert_eq!(before.burst(&store, 1, START), 1);
        before.tick(&store, START + 2 * SECOND);
        let mut after = Filter::new(&store, &[window(50, HOUR)], 1, START + 2 * SECOND);
        assert_eq!(after.burst(&store, 100, START + 2 * SECOND), 46, "{bytes:?}");
    }
}
