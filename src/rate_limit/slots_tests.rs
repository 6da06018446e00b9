//! Slots under crowds, foreign bytes and clocks that step back.

use std::{collections::HashMap, time::Duration};

use proptest::prelude::*;

use super::*;
use crate::{
    rate_limit::{WindowSpec, gcra::Span},
    store::MemoryStore,
    time::NANOS_PER_SEC as SECOND,
};

const KEY: &str = "p/rl/reads/000";

fn quota(requests: u32, secs: u64) -> Quota {
    let per = Duration::from_secs(secs);
    Quota::compile(&WindowSpec { requests, per, burst: requests, own: None }).unwrap()
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_000_000 + secs)
}

/// Since the beginning, with no others.
fn alone(quotas: &[Quota]) -> Term {
    Term::of_test(quotas, 1, &[])
}

fn read(store: &MemoryStore, quotas: &[Quota], now: Timestamp) -> Slot {
    Slot::read(store, KEY, &alone(quotas), quotas, now).unwrap()
}

/// One request as the limiter makes it: whether it was admitted, and whether it evicted.
fn offer(store: &MemoryStore, quotas: &[Quota], client: u64, now: Timestamp) -> (bool, bool) {
    offer_in(store, &alone(quotas), quotas, client, now)
}

fn offer_in(store: &MemoryStore, term: &Term, quotas: &[Quota], client: u64, now: Timestamp) -> (bool, bool) {
    let mut slot = Slot::read(store, KEY, term, quotas, now).unwrap();
    let mut debts = slot.debts(client);
    let mut admitted = true;
    for (debt, quota) in debts.iter_mut().zip(quotas) {
        match gcra::decide(quota, *debt, now) {
            Ok(charged) => *debt = charged,
            Err(_) => admitted = false,
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
    assert_eq!(stored(&store).len(), 293);
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
    assert_eq!(stored(&store).len(), 293);
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
    let head = Head::new(&quotas, 1);
    let head = head.bytes();
    let without = |window: usize, from: usize, to: usize| {
        let mut bytes = good.clone();
        let window = 12 + 16 * window;
        bytes[window + from..window + to].fill(0);
        bytes
    };
    let cases: Vec<Vec<u8>> = vec![
        vec![],
        b"rl3".to_vec(),
        b"rl3\0".to_vec(),
        b"rl3\x05".iter().chain(&[1; 200]).copied().collect(),
        head.to_vec(),
        // The layout of an older module.
        b"rl1\x02".iter().chain(&[0; 16]).copied().collect(),
        b"rl5".iter().chain(&good[3..]).copied().collect(),
        // An entry of the other layout is longer.
        b"rl4".iter().chain(&good[3..]).copied().collect(),
        b"rl3\xff".to_vec(),
        good[..good.len() - 1].to_vec(),
        good.iter().chain(b"x").copied().collect(),
        // More entries than there can be.
        head.iter().chain(&[17]).copied().chain(std::iter::repeat_n(0, 16 + 24 * 17)).collect(),
        // Windows without interval or length, also such as are counted in shares; more than can be counted.
        without(1, 0, 8),
        without(1, 8, 12),
        without(0, 8, 16),
        without(0, 0, 16),
        good[..12].iter().copied().chain([0xff; 8]).chain(good[20..].iter().copied()).collect(),
        // A second section that is none.
        [&good[..], b"rl3\x02"].concat(),
        [&good[..], &good[..50]].concat(),
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
fn far_off_instants_are_clamped_and_stored() {
    let (store, quotas) = (MemoryStore::default(), [quota(1, 10)]);
    offer(&store, &quotas, 1, at(100_000));
    // The clock steps back by a day: denied once, then as promised.
    assert!(!offer(&store, &quotas, 1, at(0)).0);
    assert!(!offer(&store, &quotas, 1, at(9)).0);
    assert!(offer(&store, &quotas, 1, at(10)).0);
}

#[test]
fn what_is_held_is_kept() {
    // Prepayments of two.
    let prepaid = [quota(128, 128)];
    let instant = |secs| at(secs).as_nanos();
    let debt = Debt { tat: instant(1), held: Span { from: instant(10), to: instant(14) } };
    let store = MemoryStore::default();
    let mut slot = read(&store, &prepaid, at(0));
    slot.charge(7, &[debt, Debt::default(), Debt::default(), Debt::default()], at(0));
    slot.write(&store, KEY).unwrap();
    assert_eq!(read(&store, &prepaid, at(0)).debts(7)[0], debt);
    assert_eq!(stored(&store).len(), 12 + 16 + 1 + 8 + 8 + 24);

    // Who is evicted comes back behind all that was taken ahead for it.
    for client in 100..115 {
        let mut slot = read(&store, &prepaid, at(0));
        slot.charge(client, &[Debt::until(instant(60)); MAX_WINDOWS], at(0));
        slot.write(&store, KEY).unwrap();
    }
    let mut slot = read(&store, &prepaid, at(0));
    assert!(slot.charge(115, &[Debt::until(instant(60)); MAX_WINDOWS], at(0)));
    assert_eq!(slot.debts(7)[0], Debt::until(instant(14)));

    // Further ahead than any prepayment: the clock stepped back.
    let far = Debt { tat: 0, held: Span { from: instant(10), to: instant(130) } };
    let mut slot = read(&store, &prepaid, at(0));
    slot.charge(7, &[far; MAX_WINDOWS], at(0));
    slot.write(&store, KEY).unwrap();
    let slot = read(&store, &prepaid, at(0));
    assert!(slot.healed());
    assert_eq!(slot.debts(7)[0], Debt::until(instant(128)));
}

#[test]
fn a_refund_takes_back_only_what_is_still_owed() {
    let (store, quotas) = (MemoryStore::default(), [quota(3, 30)]);
    let charged = |now: Timestamp| {
        offer(&store, &quotas, 1, now);
        read(&store, &quotas, now)
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

    // Prepayments of two: one more may be a charge of its own, two may be a prepayment.
    let (store, quotas) = (MemoryStore::default(), [quota(128, 128)]);
    for (others, refunded) in [(0, true), (1, true), (2, false)] {
        offer(&store, &quotas, others, at(0));
        let first = read(&store, &quotas, at(0)).debts(others);
        (0..others).for_each(|_| _ = offer(&store, &quotas, others, at(0)));
        let mut slot = read(&store, &quotas, at(0));
        assert_eq!(slot.refund(others, &first, &quotas), refunded, "{others}");
    }

    // Counted in shares, which may be of any length: nothing may have come on top.
    let spec = WindowSpec { requests: 1, per: Duration::from_secs(30), burst: 1, own: None };
    let (store, quotas) = (MemoryStore::default(), [Quota::of_most(&spec, 3).unwrap()]);
    for (others, refunded) in [(0, true), (1, false)] {
        offer(&store, &quotas, others, at(0));
        let first = read(&store, &quotas, at(0)).debts(others);
        (0..others).for_each(|_| _ = offer(&store, &quotas, others, at(0)));
        assert_eq!(read(&store, &quotas, at(0)).refund(others, &first, &quotas), refunded, "{others}");
    }
}

/// Windows that are in force side by side, each with its term; the first is the oldest.
fn side_by_side(count: u32) -> Vec<([Quota; 1], Term)> {
    let term = |n: u32| {
        let quotas = [quota(10 + n, 100)];
        let beside: Vec<u64> = (1..=n.into()).collect();
        let term = Term::of_test(&quotas, u64::from(n) + 1, &beside);
        (quotas, term)
    };
    (0..count).map(term).collect()
}

#[test]
fn sections_of_others_stay_as_they_are() {
    let store = MemoryStore::default();
    let both = side_by_side(2);
    let offer = |of: usize, client, now| offer_in(&store, &both[of].1, &both[of].0, client, now).0;
    let section = |of: usize| {
        let bytes = stored(&store);
        let found =
            Section::all(&bytes).unwrap().into_iter().find(|section| section.has(both[of].1.own().head()));
        found.map(|section| section.bytes().to_vec())
    };
    for client in 0..40 {
        assert!(offer(0, client, at(0)));
        let first = section(0);
        assert_eq!(offer(1, client % 3, at(0)), client < 33);
        assert_eq!(section(0), first, "after {client}");
    }
    let second = section(1).unwrap();
    assert_eq!((section(0).unwrap().len(), second.len()), (293, 37 + 16 * 3));
    assert_eq!(stored(&store).len(), 293 + second.len());
    // A full slot of the one evicts nobody of the other.
    assert_eq!(Section::all(&second).unwrap()[0].floor(), [0; 4]);
    // When all is earned back there, it goes.
    assert!(offer(0, 0, at(100)));
    assert!(section(1).is_some());
    assert!(offer(0, 0, at(200)));
    assert_eq!((section(1), stored(&store).len()), (None, 293));
    // Foreign bytes in the place of one are foreign bytes in the place of all.
    assert!(offer(1, 0, at(200)));
    overwrite(&store, &[&stored(&store)[..], b"x"].concat());
    assert!(!offer(0, 0, at(200)));
    assert!(offer(0, 0, at(210)));
}

#[test]
fn of_more_sections_than_there_is_room_for_the_one_goes_that_is_nearest_to_empty() {
    let store = MemoryStore::default();
    let all = side_by_side(10);
    let offer = |(quotas, term): &([Quota; 1], Term), times| {
        (0..times).filter(|_| offer_in(&store, term, quotas, 7, at(0)).0).count()
    };
    for (n, filter) in all.iter().enumerate() {
        // The fourth is asked least.
        assert_eq!(offer(filter, if n == 3 { 1 } else { 5 }), if n == 3 { 1 } else { 5 });
        assert_eq!(Section::all(&stored(&store)).unwrap().len(), (n + 1).min(MAX_SECTIONS));
    }
    let bytes = stored(&store);
    let left: Vec<u64> = Section::all(&bytes).unwrap().iter().map(|section| section.since()).collect();
    assert!(!left.contains(&4) && left.contains(&1) && left.contains(&10), "{left:?}");
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
                    Ok(charged) => *debt = charged,
                    Err(_) => due = false,
                }
            }
            prop_assert!(due || !admitted, "client {client} got more than its quota");
            prop_assert!(crowded || admitted == due, "client {client} was denied without need");
            if admitted {
                *debts = charged;
            }
            crowded |= evicted;
            prop_assert!(stored(&store).len() <= 13 + 24 * quotas.len() + 16 * 8 * (1 + quotas.len()));
        }
    }

    #[test]
    fn any_bytes_are_read_without_panic_and_heal(
        bytes in prop::collection::vec(any::<u8>(), 0..1100),
        begin in 0usize..5, prepaid in any::<bool>(), since in 0u64..3,
    ) {
        let quotas = if prepaid { [quota(1000, 10), quota(1000, 1_000)] } else { [quota(10, 10), quota(100, 1_000)] };
        let head = Head::new(&quotas, since);
        let head = head.bytes();
        let begin = [&b""[..], b"rl3\x02", b"rl4\x02", &head[..12], head][begin];
        let store = MemoryStore::default();
        overwrite(&store, &[begin, &bytes].concat());
        offer(&store, &quotas, 1, at(0));
        offer(&store, &quotas, 1, at(1));
        prop_assert!(offer(&store, &quotas, 1, at(12)).0);
    }
}
