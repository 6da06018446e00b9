//! Slots under crowds, foreign bytes and clocks that step back.

use std::{collections::HashMap, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{
    rate_limit::{WindowSpec, gcra::Decision},
    store::MemoryStore,
};

const SECOND: u64 = 1_000_000_000;
const KEY: &str = "p/rl/reads/000";

fn quota(requests: u32, secs: u64) -> Quota {
    let per = Duration::from_secs(secs);
    Quota::compile(&WindowSpec { requests, per, burst: requests }).unwrap()
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_000_000 + secs)
}

/// One request as the limiter makes it: whether it was admitted, and whether it evicted.
fn offer(store: &MemoryStore, quotas: &[Quota], client: u64, now: Timestamp) -> (bool, bool) {
    let mut slot = Slot::read(store, KEY, quotas, now).unwrap();
    let mut debts = slot.debts(client);
    let mut admitted = true;
    for (debt, quota) in debts.iter_mut().zip(quotas) {
        match gcra::decide(quota, *debt, now) {
            Decision::Allowed(charged) => *debt = charged,
            Decision::Denied { .. } => admitted = false,
        }
    }
    let evicted = admitted && slot.charge(client, &debts, now);
    if admitted || slot.healed() {
        slot.write(store, KEY).unwrap();
    }
    (admitted, evicted)
}

fn stored(store: &MemoryStore) -> Vec<u8> {
    store.get(KEY).unwrap().unwrap().value
}

fn overwrite(store: &MemoryStore, bytes: &[u8]) {
    let expected = store.get(KEY).unwrap().map_or(Expected::Absent, |v| Expected::Version(v.version));
    store.replace(KEY, bytes, expected).unwrap();
}

#[test]
fn a_slot_keeps_as_many_clients_as_it_has_entries() {
    let (store, quotas) = (MemoryStore::default(), [quota(2, 10)]);
    for client in 0..16 {
        assert_eq!(offer(&store, &quotas, client, at(0)), (true, false));
    }
    assert_eq!(stored(&store).len(), 268);
    for client in 0..16 {
        assert_eq!(offer(&store, &quotas, client, at(0)), (true, false));
        assert_eq!(offer(&store, &quotas, client, at(0)), (false, false));
    }
    // All are at their limit; one more client comes fresh, as nobody was evicted before it.
    assert_eq!(offer(&store, &quotas, 99, at(0)), (true, true));
    // The evicted client comes back at what it owed, and so does whoever else has no entry.
    assert_eq!(offer(&store, &quotas, 0, at(0)), (false, false));
    assert_eq!(offer(&store, &quotas, 100, at(0)), (false, false));
    // Until the floor has passed far enough; the other client's entry is free by then.
    assert_eq!(offer(&store, &quotas, 0, at(5)), (true, false));
    // All debts have passed, so entries are free again and nobody is evicted.
    assert_eq!(offer(&store, &quotas, 100, at(30)), (true, false));
    assert_eq!(offer(&store, &quotas, 100, at(30)), (true, false));
    assert_eq!(stored(&store).len(), 268);
}

#[test]
fn a_flood_of_clients_frees_nobody_who_is_at_the_limit() {
    let (store, quotas) = (MemoryStore::default(), [quota(5, 100)]);
    for _ in 0..5 {
        assert!(offer(&store, &quotas, 7, at(0)).0);
    }
    for flood in 1_000..2_000 {
        offer(&store, &quotas, flood, at(1));
        assert!(!offer(&store, &quotas, 7, at(1)).0);
    }
    assert!(!offer(&store, &quotas, 7, at(19)).0);
    // What the slot as a whole admitted is bounded by its entries.
    assert!(offer(&store, &quotas, 7, at(200)).0);
}

#[test]
fn bytes_that_make_no_sense_deny_for_an_interval() {
    let quotas = [quota(10, 10), quota(100, 1_000)];
    let good = {
        let store = MemoryStore::default();
        offer(&store, &quotas, 1, at(0));
        stored(&store)
    };
    let cases: Vec<Vec<u8>> = vec![
        vec![],
        b"rl1".to_vec(),
        b"rl1\0".to_vec(),
        b"rl1\x05".iter().chain(&[0; 40]).copied().collect(),
        b"rl3\x02".iter().chain(&[0; 16]).copied().collect(),
        // An entry of the other layout is longer.
        b"rl2".iter().chain(&good[3..]).copied().collect(),
        b"rl1\xff".to_vec(),
        good[..good.len() - 1].to_vec(),
        good.iter().chain(b"x").copied().collect(),
        good[..20].iter().copied().chain(std::iter::repeat_n(0, 24 * 17)).collect(),
    ];
    for bytes in cases {
        let store = MemoryStore::default();
        overwrite(&store, &bytes);
        assert_eq!(offer(&store, &quotas, 1, at(0)), (false, false), "{bytes:?}");
        assert_eq!(offer(&store, &quotas, 2, at(9)), (false, false), "{bytes:?}");
        assert_eq!(offer(&store, &quotas, 2, at(10)), (true, false), "{bytes:?}");
        assert_eq!(offer(&store, &quotas, 1, at(2_000)), (true, false), "{bytes:?}");
    }
    let store = MemoryStore::default();
    overwrite(&store, &good);
    assert_eq!(offer(&store, &quotas, 1, at(0)), (true, false));
}

#[test]
fn far_off_instants_are_settled_and_stored() {
    let (store, quotas) = (MemoryStore::default(), [quota(1, 10)]);
    offer(&store, &quotas, 1, at(100_000));
    // The clock steps back by a day: denied once, then as promised.
    assert!(!offer(&store, &quotas, 1, at(0)).0);
    assert!(!offer(&store, &quotas, 1, at(9)).0);
    assert!(offer(&store, &quotas, 1, at(10)).0);
}

#[test]
fn another_number_of_windows_keeps_what_is_common() {
    let (minute, day) = (quota(1, 60), quota(2, 86_400));
    let store = MemoryStore::default();
    assert!(offer(&store, &[minute], 1, at(0)).0);
    assert!(!offer(&store, &[minute, day], 1, at(0)).0);
    assert!(offer(&store, &[minute, day], 1, at(60)).0);
    assert!(!offer(&store, &[minute], 1, at(60)).0);
    assert!(offer(&store, &[minute], 2, at(60)).0);
}

#[test]
fn what_is_held_is_kept_where_leases_are_and_passed_over_where_not() {
    // Leases of two, and none.
    let (leased, plain) = ([quota(128, 128)], [quota(100, 128)]);
    let instant = |secs| at(secs).as_nanos();
    let debt = Debt { tat: instant(1), held: Span { from: instant(10), to: instant(14) } };
    let store = MemoryStore::default();
    let stored_with = |quotas: &[Quota]| {
        let mut slot = Slot::read(&store, KEY, quotas, at(0)).unwrap();
        let before = slot.debts(7)[0];
        slot.charge(7, &[debt, Debt::default(), Debt::default(), Debt::default()], at(0));
        slot.write(&store, KEY).unwrap();
        (before, Slot::read(&store, KEY, quotas, at(0)).unwrap().debts(7)[0])
    };
    assert_eq!(stored_with(&leased), (Debt::default(), debt));
    assert_eq!(stored(&store).len(), 4 + 8 + 8 + 24);
    let passed_over = Debt::until(instant(14));
    assert_eq!(stored_with(&plain), (passed_over, passed_over));
    assert_eq!(stored(&store).len(), 4 + 8 + 8 + 8);
    assert_eq!(stored_with(&leased), (passed_over, debt));

    // Who is evicted comes back behind all that was taken ahead for it.
    for client in 100..115 {
        let mut slot = Slot::read(&store, KEY, &leased, at(0)).unwrap();
        slot.charge(client, &[Debt::until(instant(60)); MAX_WINDOWS], at(0));
        slot.write(&store, KEY).unwrap();
    }
    let mut slot = Slot::read(&store, KEY, &leased, at(0)).unwrap();
    assert!(slot.charge(115, &[Debt::until(instant(60)); MAX_WINDOWS], at(0)));
    assert_eq!(slot.debts(7)[0], passed_over);

    // Further ahead than any lease: the clock stepped back.
    let far = Debt { tat: 0, held: Span { from: instant(10), to: instant(130) } };
    let mut slot = Slot::read(&store, KEY, &leased, at(0)).unwrap();
    slot.charge(7, &[far; MAX_WINDOWS], at(0));
    slot.write(&store, KEY).unwrap();
    let slot = Slot::read(&store, KEY, &leased, at(0)).unwrap();
    assert!(slot.healed());
    assert_eq!(slot.debts(7)[0], Debt::until(instant(128)));
}

#[test]
fn a_refund_takes_back_only_what_is_still_owed() {
    let (store, quotas) = (MemoryStore::default(), [quota(3, 30)]);
    let charged = |now: Timestamp| {
        offer(&store, &quotas, 1, now);
        Slot::read(&store, KEY, &quotas, now).unwrap()
    };
    let mut slot = charged(at(0));
    let first = slot.debts(1);
    assert!(slot.refund(1, &first, &quotas));
    assert_eq!(slot.debts(1)[0], Debt::until(at(0).as_nanos()));
    assert!(!slot.refund(2, &first, &quotas), "no entry");
    // Another charge on top of ours.
    let mut slot = charged(at(3));
    assert!(slot.refund(1, &first, &quotas));
    assert_eq!(slot.debts(1), first);
    // Ours has drained before the other charge: nothing is left to take back.
    let mut slot = charged(at(25));
    assert!(!slot.refund(1, &first, &quotas));

    // Leases of two: one more may be a charge of its own, two may be a lease.
    let (store, quotas) = (MemoryStore::default(), [quota(128, 128)]);
    for (others, refunded) in [(0, true), (1, true), (2, false)] {
        offer(&store, &quotas, others, at(0));
        let first = Slot::read(&store, KEY, &quotas, at(0)).unwrap().debts(others);
        (0..others).for_each(|_| _ = offer(&store, &quotas, others, at(0)));
        let mut slot = Slot::read(&store, KEY, &quotas, at(0)).unwrap();
        assert_eq!(slot.refund(others, &first, &quotas), refunded, "{others}");
    }
}

proptest! {
    /// No client ever gets more than its quota; and none less, as long as nobody was evicted.
    #[test]
    fn a_crowded_slot_never_admits_more(
        windows in prop::sample::select(vec![vec![(3, 100)], vec![(5, 60)], vec![(2, 10), (10, 600), (15, 3_600)]]),
        clients in 1u64..40,
        // Mostly bursts: clients must reach their limits while the slot is crowded.
        requests in prop::collection::vec(
            (0u64..1_000, prop_oneof![20 => Just(0u64), 2 => 0..SECOND / 2, 1 => 0..60 * SECOND]),
            1..600,
        ),
    ) {
        let quotas: Vec<_> = windows.into_iter().map(|(n, secs)| quota(n, secs)).collect();
        let store = MemoryStore::default();
        let mut owed = HashMap::<u64, Debts>::new();
        let mut crowded = false;
        let mut now = at(0);
        for (client, gap) in requests {
            now = now.saturating_add(Duration::from_nanos(gap));
            let client = client % clients;
            let (admitted, evicted) = offer(&store, &quotas, client, now);
            let debts = owed.entry(client).or_default();
            let mut charged = *debts;
            let mut due = true;
            for (debt, quota) in charged.iter_mut().zip(&quotas) {
                match gcra::decide(quota, *debt, now) {
                    Decision::Allowed(charged) => *debt = charged,
                    Decision::Denied { .. } => due = false,
                }
            }
            prop_assert!(due || !admitted, "client {client} got more than its quota");
            prop_assert!(crowded || admitted == due, "client {client} was denied without need");
            if admitted {
                *debts = charged;
            }
            crowded |= evicted;
            prop_assert!(stored(&store).len() <= 4 + 8 * quotas.len() + 16 * 8 * (1 + quotas.len()));
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic_and_heal(
        bytes in prop::collection::vec(any::<u8>(), 0..1100),
        magic in prop::sample::select(vec![&b"rl1\x02"[..], b"rl2\x02", b""]), leased in any::<bool>(),
    ) {
        let quotas = if leased { [quota(1000, 10), quota(1000, 1_000)] } else { [quota(10, 10), quota(100, 1_000)] };
        let store = MemoryStore::default();
        overwrite(&store, &[magic, &bytes].concat());
        offer(&store, &quotas, 1, at(0));
        offer(&store, &quotas, 1, at(1));
        prop_assert!(offer(&store, &quotas, 1, at(12)).0);
    }
}
