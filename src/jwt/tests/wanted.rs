//! Tokens for which there is no key: what is fetched for their sake, and what waits, on virtual time.

use std::{cell::Cell, time::Duration};

use super::{
    super::*,
    remote::{at, fetched, first_set, next_fetch, ok, second_set, usable, worker},
};
use crate::{
    calls::{Counts, Outcome},
    store::{Expected, MemoryStore, SharedStore, StoreError, Versioned},
};

#[test]
fn bogus_kids_fetch_once_an_interval() {
    let store = MemoryStore::default();
    let (mut a, mut b) = (fetched(&store), worker());
    let mut fetches = Vec::new();
    for secs in 1..=120 {
        for _ in 0..100 {
            a.note_unknown_kid("new", at(secs), &store);
            b.note_unknown_kid("new", at(secs), &store);
        }
        for worker in [&mut a, &mut b] {
            if worker.tick(at(secs), &store, 0).is_some() {
                fetches.push(secs);
                worker.on_fetched(ok(&first_set()), at(secs), &store).unwrap();
            }
        }
    }
    assert_eq!(fetches, [30, 60, 90, 120]);
}

#[test]
fn a_new_key_is_fetched_at_its_first_use() {
    let store = MemoryStore::default();
    let mut a = fetched(&store);
    assert_eq!(next_fetch(&mut a, &store, 1, 200), None);
    a.note_unknown_kid("new", at(200), &store);
    assert!(a.tick(at(200), &store, 0).is_some());
    assert!(a.on_fetched(ok(&second_set()), at(200), &store).is_ok());
    assert_eq!((usable(&a, at(200)), a.generation()), (2, 2));
}

/// Counts what is dear: reading key sets, and writing.
struct Counting {
    store: MemoryStore,
    touched: Cell<u32>,
}

impl SharedStore for Counting {
    fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        if key.ends_with("/document") {
            self.touched.set(self.touched.get() + 1);
        }
        self.store.get(key)
    }

    fn replace(&self, key: &str, value: &[u8], expected: Expected) -> Result<(), StoreError> {
        self.touched.set(self.touched.get() + 1);
        self.store.replace(key, value, expected)
    }
}

#[test]
fn a_flood_of_distinct_kids_writes_once_a_second_and_reads_no_set() {
    let store = Counting { store: MemoryStore::default(), touched: Cell::new(0) };
    let mut a = fetched(&store);
    for secs in 1..=10 {
        store.touched.set(0);
        for n in 0..1000 {
            a.note_unknown_kid(&format!("{secs}-{n}"), at(secs), &store);
        }
        assert!(store.touched.get() <= 1, "{} at {secs}", store.touched.get());
    }
    // One that was asked for costs not even that.
    store.touched.set(0);
    for _ in 0..5 {
        a.note_unknown_kid("1-0", at(20), &store);
    }
    assert_eq!(store.touched.get(), 0);
}

#[test]
fn one_bogus_kid_fetches_ever_more_rarely() {
    let store = MemoryStore::default();
    let mut a = fetched(&store);
    let mut fetches = Vec::new();
    for secs in 1..=400 {
        a.note_unknown_kid("bogus", at(secs), &store);
        if a.tick(at(secs), &store, 0).is_some() {
            fetches.push(secs);
            a.on_fetched(ok(&first_set()), at(secs), &store).unwrap();
        }
    }
    // After 30 s, 60 s, 120 s, each from the fetch before.
    assert_eq!(fetches, [30, 60, 120, 240]);
}

/// Counts every look into the store, too.
struct Touched(MemoryStore, Cell<u32>);

impl SharedStore for Touched {
    fn get(&self, key: &str) -> Result<Option<Versioned>, StoreError> {
        self.1.set(self.1.get() + 1);
        self.0.get(key)
    }

    fn replace(&self, key: &str, value: &[u8], expected: Expected) -> Result<(), StoreError> {
        self.1.set(self.1.get() + 1);
        self.0.replace(key, value, expected)
    }
}

#[test]
fn wrong_signatures_fetch_as_rarely_as_unknown_kids_and_touch_nothing() {
    for kid in [Some("es256"), None] {
        let store = Touched(MemoryStore::default(), Cell::new(0));
        let mut a = fetched(&store);
        let (mut fetches, mut touched) = (Vec::new(), 0);
        for secs in 1..=400 {
            store.1.set(0);
            for _ in 0..100 {
                assert!(!a.note_wrong_signature(kid, at(secs), &store));
            }
            touched += store.1.get();
            if a.tick(at(secs), &store, 0).is_some() {
                fetches.push(secs);
                a.on_fetched(ok(&first_set()), at(secs), &store).unwrap();
            }
        }
        // After 30 s, 60 s, 120 s, each from the fetch before.
        assert_eq!((fetches, touched), (vec![30, 60, 120, 240], 8), "{kid:?}");
    }
    // However many names there are, and whether or not a fetch can be brought forward.
    for failing in [false, true] {
        let store = Touched(MemoryStore::default(), Cell::new(0));
        let mut a = fetched(&store);
        if failing {
            let due = next_fetch(&mut a, &store, 1, 600).unwrap();
            assert!(a.on_fetched(Outcome::Failed, at(due), &store).is_err());
        }
        store.1.set(0);
        for n in 0..1000 {
            a.note_wrong_signature(Some(&n.to_string()), at(600), &store);
        }
        assert!(store.1.get() <= 2, "{}", store.1.get());
    }
}

/// The set changes under the names that it has: each time at its first use, once the pause between fetches is over.
#[test]
fn a_key_that_is_replaced_under_its_name_is_found() {
    let store = MemoryStore::default();
    let (mut a, mut b) = (fetched(&store), worker());
    b.tick(at(1), &store, 0);
    for (secs, set) in [(100, second_set()), (130, first_set()), (160, second_set())] {
        assert!(!a.note_wrong_signature(Some("es256"), at(secs), &store));
        assert!(a.tick(at(secs), &store, 0).is_some(), "{secs}");
        assert_eq!(a.on_fetched(ok(&set), at(secs), &store), Ok(vec![]));
        // The other worker hears of it before its next tick.
        assert!(b.note_wrong_signature(Some("es256"), at(secs), &store), "{secs}");
        assert_eq!(usable(&b, at(secs)), usable(&a, at(secs)));
    }
    assert!(!b.note_wrong_signature(Some("es256"), at(160), &store));
}

#[test]
fn a_wrong_signature_waits_for_a_fetch_that_is_due_and_once() {
    let store = MemoryStore::default();
    let mut a = fetched(&store);
    let waits = |worker: &mut RemoteKeys, kid, secs| {
        worker.note_wrong_signature(Some(kid), at(secs), &store);
        worker.may_be_replaced(Some(kid), at(secs))
    };
    // The next fetch may not begin before: no request waits for that.
    for secs in [1, 28, 29] {
        assert_eq!(waits(&mut a, "k", secs), None, "{secs}");
    }
    assert_eq!(waits(&mut a, "k", 30), Some(at(32)));
    // Others do as well, while it is due or under way.
    assert_eq!(waits(&mut a, "other", 30), Some(at(32)));
    assert!(a.tick(at(30), &store, 0).is_some());
    assert_eq!((waits(&mut a, "k", 31), waits(&mut a, "other", 31)), (Some(at(33)), Some(at(33))));
    // It brought nothing: no more for this one until the next that it may cause.
    assert!(a.on_fetched(ok(&first_set()), at(32), &store).is_ok());
    for secs in 32..60 {
        assert_eq!(waits(&mut a, "k", secs), None, "{secs}");
    }
    assert_eq!(waits(&mut a, "k", 62), Some(at(64)));
    // It fails: nobody waits while it does, nor for the next one.
    assert!(a.tick(at(62), &store, 0).is_some());
    assert!(a.on_fetched(Outcome::Failed, at(62), &store).is_err());
    let due = next_fetch(&mut a, &store, 63, 100).unwrap();
    assert_eq!((waits(&mut a, "k", due), waits(&mut a, "new", due)), (None, None));
    assert!(a.may_come(at(due)).is_some(), "who lacks its key altogether waits");
}

#[test]
fn waiting_is_worth_it_while_a_fetch_is_due_or_under_way() {
    let store = MemoryStore::default();
    let (mut a, mut b) = (worker(), worker());
    let secs = Duration::from_secs;
    // Before the first tick, and while the first fetch is under way, whoever does it.
    assert_eq!((a.may_come(at(0)), a.retry_after(at(0))), (Some(at(2)), secs(1)));
    assert!(a.tick(at(0), &store, 0).is_some());
    b.tick(at(0), &store, 0);
    assert_eq!(
        (a.may_come(at(1)), b.may_come(at(1)), b.retry_after(at(1))),
        (Some(at(3)), Some(at(3)), secs(1))
    );
    // It fails: pointless until the next one is due.
    for (now, pause) in [(2, 1), (3, 2), (5, 4)] {
        assert!(a.on_fetched(Outcome::Failed, at(now), &store).is_err());
        b.tick(at(now), &store, 0);
        assert_eq!((a.may_come(at(now)), b.may_come(at(now))), (None, None));
        assert_eq!((a.retry_after(at(now)), b.retry_after(at(now))), (secs(pause), secs(pause)));
        assert_eq!(a.may_come(at(now + pause)), Some(at(now + pause + 2)));
        assert!(a.tick(at(now + pause), &store, 0).is_some());
    }
    assert!(a.on_fetched(ok(&first_set()), at(10), &store).is_ok());
    assert_eq!(a.may_come(at(10)), None);
    // An unknown kid: worth it if the fetch may begin within the time that one waits.
    let worth = |worker: &mut RemoteKeys, kid, secs| {
        assert!(!worker.note_unknown_kid(kid, at(secs), &store), "no other set was published");
        worker.may_come(at(secs)).is_some()
    };
    assert!(!worth(&mut a, "new", 12));
    assert!(worth(&mut a, "new", 38));
    assert!(worth(&mut a, "newer", 200));
    assert!(a.tick(at(200), &store, 0).is_some());
    assert!(worth(&mut a, "newer", 201));
    assert!(a.on_fetched(ok(&first_set()), at(202), &store).is_ok());
    assert!(!worth(&mut a, "newer", 203));
    assert_eq!(a.take_counts(), Counts { started: 5, succeeded: 2, failed: 3 });
}

/// Between two ticks of its own a worker learns what another one has found, however far away the next fetch is and
/// however many others were asked for before.
#[test]
fn an_unknown_kid_finds_the_set_of_another_worker_at_once() {
    let store = MemoryStore::default();
    let (mut a, mut b) = (fetched(&store), worker());
    b.tick(at(1), &store, 0);
    b.note_unknown_kid("bogus", at(100), &store);
    assert!(a.tick(at(100), &store, 0).is_some());
    assert_eq!(a.on_fetched(ok(&second_set()), at(100), &store), Ok(vec![]));
    assert_eq!((usable(&b, at(100)), b.fetched_at(at(100))), (1, Some(at(0))));
    assert!(b.note_unknown_kid("new", at(100), &store));
    assert_eq!((usable(&b, at(100)), b.fetched_at(at(100))), (2, Some(at(100))));
    assert!(!b.note_unknown_kid("newer", at(100), &store));
}
