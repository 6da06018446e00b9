//! Numbers of one's own against a bucket of shares that is slow and obvious, and against what they must never exceed.

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{
    rate_limit::{KeyPart, Ledger, LimitSpec, Limiter, Prepayments, SlotSecret, Standing, Subject, Terms},
    request::RequestHead,
    store::MemoryStore,
    time::{NANOS_PER_SEC as SECOND, Timestamp},
};

const START: u64 = 1_000_000 * SECOND;

fn window(requests: u32, secs: u64, max: u32) -> WindowSpec {
    let own = Some(OwnRequestsSpec { claim: Some(ClaimPath::dotted("quota.n")), max });
    WindowSpec { requests, per: Duration::from_secs(secs), burst: requests, own }
}

fn plain(requests: u32, secs: u64) -> WindowSpec {
    WindowSpec { own: None, ..window(requests, secs, requests) }
}

fn token(subject: &str, number: Value) -> Principal {
    let claims = json!({"quota": {"n": number}, "org": "acme"});
    Principal { subject: subject.into(), ..Principal::alice(PrincipalKind::Jwt, &claims) }
}

/// A key with this number in the limit, and with others elsewhere.
fn key(number: Option<u32>) -> Principal {
    let own_requests = [("another", Some(4)), ("limit", number), ("one-more", Some(1))];
    let own_requests = own_requests.into_iter().filter_map(|(limit, number)| Some((limit.into(), number?)));
    Principal { own_requests: own_requests.collect(), ..Principal::alice(PrincipalKind::ApiKey, &json!({})) }
}

/// Workers of one filter with one limit.
struct Filter<'s> {
    store: &'s MemoryStore,
    limiter: Limiter,
    secret: SlotSecret,
    workers: Vec<(Prepayments, Terms)>,
}

impl<'s> Filter<'s> {
    fn new(store: &'s MemoryStore, spec: &LimitSpec, workers: usize, nanos: u64) -> Self {
        let limiter = Limiter::compile(std::slice::from_ref(spec), "p").unwrap();
        let secret = SlotSecret::load_or_create(store, "p", [7; 16]).unwrap();
        let clock = crate::time::Clock::at(Timestamp::from_nanos(nanos));
        let mut workers: Vec<_> = (0..workers).map(|_| (Prepayments::default(), Terms::default())).collect();
        workers.iter_mut().for_each(|(_, terms)| terms.confirm(&limiter, &clock, store));
        Self { store, limiter, secret, workers }
    }

    fn check(&mut self, worker: usize, caller: &Principal, nanos: u64) -> (bool, Vec<Standing>) {
        self.check_both(worker, caller, None, nanos)
    }

    fn check_both(
        &mut self,
        worker: usize,
        principal: &Principal,
        actor: Option<&Principal>,
        nanos: u64,
    ) -> (bool, Vec<Standing>) {
        let (prepayments, terms) = &mut self.workers[worker];
        let mut ledger = Ledger { store: self.store, secret: &self.secret, prepayments, terms, tells: true };
        let head = RequestHead::default();
        let subject = Subject {
            remote_address: None,
            principal: Some(principal),
            actor,
            known_place: None,
            rule: "",
            method: "GET",
            host: "",
            head: &head,
            query: None,
            variables: None,
        };
        let ids = [self.limiter.id("limit").unwrap()];
        let admission =
            self.limiter.check(&ids, &subject, Timestamp::from_nanos(nanos), &mut ledger).unwrap();
        (admission.admitted(), admission.standings)
    }

    /// How many of so many requests at once pass.
    fn burst(&mut self, caller: &Principal, count: usize, nanos: u64) -> usize {
        let workers = self.workers.len();
        (0..count).filter(|n| self.check(n % workers, caller, nanos).0).count()
    }
}

fn of(key: Vec<KeyPart>, windows: Vec<WindowSpec>) -> LimitSpec {
    LimitSpec::of("limit", key, windows)
}

#[test]
fn whatever_stands_in_the_claim_is_a_number_or_none() {
    let too_many = 1_000;
    for (number, expected) in [
        (json!(7), 7),
        (json!(1), 1),
        (json!(20), 20),
        // At most the bound.
        (json!(21), 20),
        (json!(u64::MAX), 20),
        (json!(u64::from(u32::MAX) + 1), 20),
        // None of its own.
        (Value::Null, 5),
        // Nothing that is meant.
        (json!(0), 1),
        (json!(-7), 1),
        (json!(7.5), 1),
        (json!(7.0), 1),
        (json!(1e30), 1),
        (json!("7"), 1),
        (json!([7]), 1),
        (json!({"n": 7}), 1),
        (json!(true), 1),
        (json!(false), 1),
    ] {
        let store = MemoryStore::default();
        let mut filter =
            Filter::new(&store, &of(vec![KeyPart::Principal], vec![window(5, 3600, 20)]), 2, START);
        let alice = token("alice", number.clone());
        assert_eq!(filter.burst(&alice, too_many, START), expected, "{number}");
        let (_, standings) = filter.check(0, &alice, START);
        let quota = standings[0].quota;
        let told = usize::try_from(quota.requests()).unwrap();
        assert_eq!((told, quota.burst(), quota.window_secs()), (expected, quota.requests(), 3600));
        // All come back within the window, and no more.
        let later = START + 3601 * SECOND;
        assert_eq!(filter.burst(&alice, too_many, later), expected, "{number}");
        // Nobody else has used any of theirs.
        assert_eq!(filter.burst(&token("bob", json!(3)), too_many, START), 3);
        let nobody = Principal { claims: crate::json::Members::default(), ..token("carol", json!(1)) };
        assert_eq!(filter.burst(&nobody, too_many, START), 5);
    }
}

/// A number counts only where the count is told apart by who is calling.
#[test]
fn a_number_governs_no_count_that_others_share() {
    let certificate = Principal { kind: PrincipalKind::ClientCertificate, ..token("alice", json!(7)) };
    let claim = |name: &str| KeyPart::Claim(ClaimPath::dotted(name));
    let header = |claim: &str| KeyPart::ClaimHeader {
        name: "x-org".into(),
        claims: vec![("corp".to_owned(), ClaimPath::dotted(claim))],
    };
    for (parts, caller, expected) in [
        (vec![KeyPart::Principal], token("alice", json!(7)), 7),
        (vec![KeyPart::Principal], key(Some(9)), 9),
        (vec![KeyPart::Principal], key(Some(2)), 2),
        (vec![KeyPart::Principal], key(None), 5),
        (vec![KeyPart::Principal], certificate.clone(), 5),
        (vec![KeyPart::ApiKey], key(Some(9)), 9),
        (vec![KeyPart::ApiKey], key(None), 5),
        (vec![KeyPart::ApiKey], token("alice", json!(7)), 5),
        (vec![claim("org")], token("alice", json!(7)), 7),
        (vec![claim("missing")], token("alice", json!(7)), 5),
        (vec![claim("org")], key(Some(9)), 5),
        (vec![claim("sub")], key(Some(9)), 9),
        (vec![header("org")], token("alice", json!(7)), 7),
        (vec![header("missing")], token("alice", json!(7)), 5),
        (vec![header("org")], Principal { authority: Arc::from("other"), ..token("alice", json!(7)) }, 5),
        (vec![KeyPart::Route, KeyPart::Host], token("alice", json!(7)), 5),
    ] {
        let store = MemoryStore::default();
        let spec = of(parts.clone(), vec![window(5, 3600, 10)]);
        let admitted = Filter::new(&store, &spec, 2, START).burst(&caller, 100, START);
        assert_eq!(admitted, expected, "{parts:?} {caller:?}");
    }
}

/// Of two who come together those have a say whom the key names.
#[test]
fn of_two_numbers_the_smaller_one_counts() {
    let (small, large, none) = (token("alice", json!(3)), token("app", json!(8)), token("bob", Value::Null));
    let (principal, actor) = (|| KeyPart::Principal, || KeyPart::Actor);
    for (parts, of_principal, of_actor, expected) in [
        (vec![principal()], &small, Some(&large), 3),
        (vec![principal()], &large, Some(&small), 8),
        (vec![principal()], &none, Some(&large), 5),
        (vec![actor()], &small, Some(&large), 8),
        (vec![actor()], &large, Some(&none), 5),
        (vec![actor()], &large, None, 5),
        (vec![principal(), actor()], &small, Some(&large), 3),
        (vec![principal(), actor()], &large, Some(&small), 3),
        (vec![principal(), actor()], &none, Some(&large), 8),
        (vec![principal(), actor()], &none, Some(&none), 5),
        (vec![KeyPart::ApiKey], &large, Some(&key(Some(9))), 9),
        (vec![KeyPart::ApiKey], &key(Some(9)), Some(&small), 9),
    ] {
        let store = MemoryStore::default();
        let spec = of(parts.clone(), vec![window(5, 3600, 10)]);
        let mut filter = Filter::new(&store, &spec, 1, START);
        let admitted = (0..20).filter(|_| filter.check_both(0, of_principal, of_actor, START).0).count();
        assert_eq!(admitted, expected, "{parts:?} {of_principal:?} {of_actor:?}");
    }
}

/// What one token used up another does not find again; what time gives back comes at the pace of whoever asks.
#[test]
fn two_tokens_of_one_client_have_one_count() {
    let (small, large) = (token("alice", json!(60)), token("alice", json!(600)));
    // Who asks first, and for how many; who asks then, and what it gets; how many after a sixtieth of the window.
    for (first, used, then, at_once, later) in [
        (&small, 60, &large, 0, 10),
        (&small, 30, &large, 300, 10),
        (&large, 600, &small, 0, 1),
        (&large, 300, &small, 30, 1),
        (&small, 1, &large, 590, 10),
        (&large, 1, &small, 59, 1),
        (&small, 0, &large, 600, 10),
    ] {
        for workers in 1..=2 {
            let store = MemoryStore::default();
            let spec = of(vec![KeyPart::Principal], vec![window(10, 3600, 1000)]);
            let mut filter = Filter::new(&store, &spec, workers, START);
            // Shares are rounded; and what a worker holds is missing to the other.
            let held = if workers == 1 { 1 } else { 600 / 64 + 1 };
            let got = filter.burst(first, used, START);
            assert_eq!(got, used);
            let got = filter.burst(then, 1000, START);
            assert!(got <= at_once && got + held >= at_once, "{used}, then {got} of {at_once}");
            let got = filter.burst(then, 1000, START + 61 * SECOND);
            assert!(got >= later && got <= later + held + 1, "{got} of {later}");
        }
    }
}

#[test]
fn an_update_goes_on_with_the_part_of_the_window_that_was_used() {
    let quarter = |n: usize| n / 4;
    for (before, own, used, after, own_after, expected) in [
        // The numbers change, and the bound.
        (window(10, 3600, 100), json!(40), 10, window(20, 3600, 100), json!(40), 40 - quarter(40)),
        (window(10, 3600, 100), json!(40), 10, window(10, 3600, 50), json!(40), 40 - quarter(40)),
        (window(10, 3600, 100), json!(40), 40, window(10, 3600, 50), json!(40), 0),
        // The window gets numbers, and loses them.
        (plain(40, 3600), json!(40), 10, window(40, 3600, 100), Value::Null, 40 - quarter(40)),
        (plain(40, 3600), json!(40), 40, window(40, 3600, 100), json!(100), 0),
        (window(40, 3600, 100), json!(100), 25, plain(40, 3600), json!(100), 40 - quarter(40)),
        (window(40, 3600, 100), json!(100), 100, plain(40, 3600), json!(100), 0),
    ] {
        let store = MemoryStore::default();
        let spec = of(vec![KeyPart::Principal], vec![before.clone()]);
        assert_eq!(Filter::new(&store, &spec, 1, START).burst(&token("alice", own), used, START), used);
        let spec = of(vec![KeyPart::Principal], vec![after.clone()]);
        let admitted =
            Filter::new(&store, &spec, 1, START + 1).burst(&token("alice", own_after), 1000, START + 1);
        // What was owed when the update came is rounded up to a request.
        assert!(
            admitted == expected || admitted + 1 == expected,
            "{before:?} {after:?}: {admitted} of {expected}"
        );
    }
}

/// The window as the text says it: of a caller with the number `n` each request takes an `n`th of it.
struct Bucket {
    used: u64,
    at: u64,
}

impl Bucket {
    fn admits(&mut self, most: &Quota, number: u32, now: u64) -> bool {
        self.used = self.used.saturating_sub(now - self.at);
        self.at = now;
        let share = most.full_debt() / u64::from(number);
        let fits = self.used + share <= share * u64::from(number);
        self.used += if fits { share } else { 0 };
        fits
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_share_is_what_the_number_promises(most in 1u32..2_000_000, secs in 1u64..100_000, number in 1u32..2_000_000) {
        let Ok(quota) = Quota::of_most(&window(1, secs, most), most) else { return Ok(()) };
        let (share, per) = (quota.share(number), u128::from(secs * SECOND));
        let number = number.min(most);
        prop_assert_eq!((share.requests(), share.burst()), (number, number));
        prop_assert_eq!(share.full_debt(), share.interval() * u64::from(number));
        prop_assert!(share.full_debt() <= quota.full_debt());
        // Never sooner than promised, and at most 0.2 % later.
        let promised = u128::from(share.interval()) * u128::from(number);
        prop_assert!(promised >= per && promised * 1000 <= per * 1002, "{} of {}", promised, per);
        prop_assert!(share.interval() >= quota.interval());
    }

    /// Small numbers are not charged ahead, so the decisions are those of the bucket, whoever asks which worker.
    #[test]
    fn decisions_are_those_of_a_bucket_of_shares(
        asks in prop::collection::vec((0usize..3, 0usize..2, prop_oneof![Just(0u64), 0u64..2 * SECOND, 0u64..40 * SECOND]), 1..150),
        numbers in prop::collection::vec(1u32..128, 3),
        secs in 1u64..120,
    ) {
        let store = MemoryStore::default();
        let spec = window(1, secs, 127);
        let most = Quota::of_most(&spec, 127).unwrap();
        let mut filter = Filter::new(&store, &of(vec![KeyPart::Principal], vec![spec]), 2, START);
        let (mut bucket, mut now) = (Bucket { used: 0, at: START }, START);
        for (who, worker, gap) in asks {
            now += gap;
            let (admitted, _) = filter.check(worker, &token("alice", json!(numbers[who])), now);
            prop_assert_eq!(admitted, bucket.admits(&most, numbers[who], now));
        }
    }

    /// However many numbers one client has and however many workers charge ahead: in no span more than the highest number
    /// promises pass, all together, nor of any token more than its own promises, nor more shares than there are.
    #[test]
    fn no_span_admits_more_than_promised(
        asks in prop::collection::vec(
            (0usize..3, 0usize..3, 1usize..60, prop_oneof![Just(0u64), 0u64..SECOND / 50, 0u64..SECOND]), 1..30,
        ),
        numbers in prop::collection::vec(prop_oneof![1u32..200, 100u32..5_000], 3),
        secs in prop::sample::select(vec![1u64, 10, 60]),
    ) {
        let store = MemoryStore::default();
        let max = *numbers.iter().max().unwrap();
        let spec = of(vec![KeyPart::Principal], vec![window(1, secs, max)]);
        let mut filter = Filter::new(&store, &spec, 3, START);
        let (mut now, mut admitted) = (START, Vec::new());
        for (who, worker, count, gap) in asks {
            now += gap;
            let caller = token("alice", json!(numbers[who]));
            for _ in 0..count {
                let (passes, standings) = filter.check(worker, &caller, now);
                prop_assert_eq!(standings[0].quota.requests(), numbers[who]);
                if passes {
                    admitted.push((now, who));
                }
            }
        }
        let per = u128::from(secs * SECOND);
        let times: Vec<u64> = { let mut times: Vec<_> = admitted.iter().map(|(at, _)| *at).collect(); times.dedup(); times };
        for (i, first) in times.iter().enumerate() {
            for last in times.iter().skip(i) {
                let within = || admitted.iter().filter(|(at, _)| (first..=last).contains(&at));
                let span = u128::from(last - first);
                let most = |number: u32| u128::from(number) + u128::from(number) * span / per;
                prop_assert!(u128::try_from(within().count()).unwrap() <= most(max));
                for (who, number) in numbers.iter().enumerate() {
                    let count = within().filter(|(_, other)| *other == who).count();
                    prop_assert!(u128::try_from(count).unwrap() <= most(*number));
                }
                // In nanoseconds; the window has up to two more for each request of the highest number.
                let shares: u128 = within().map(|(_, who)| per / u128::from(numbers[*who])).sum();
                prop_assert!(shares <= per + 2 * u128::from(max) + span);
            }
        }
    }
}
