//! Key-set fetching on virtual time, several workers over one store.

use std::{cell::Cell, time::Duration};

use super::{
    super::{remote::KeyFetchError, *},
    tokens::{discovered, foreign_keys, keys},
};
use crate::{
    calls::{Call, Counts, NoBody, Outcome},
    crypto::KeyFault,
    jose::{KeySetError, MAX_JWKS_SIZE, Unusable, UnusableKey},
    json::JsonFault,
    store::{Expected, MemoryStore, SharedStore, StoreError, Versioned},
    time::Timestamp,
    url::Url,
};

const ISSUER: &str = "https://idp.example";

/// Keys at `location`, over the cluster `idp`.
pub(super) fn remote_at(location: JwksLocation) -> RemoteJwks {
    RemoteJwks {
        location,
        cluster: "idp".into(),
        cache_duration: Duration::from_secs(600),
        timeout: Duration::from_secs(5),
        max_stale: Duration::from_secs(3600),
        min_refetch_interval: Duration::from_secs(30),
        wait_timeout: Duration::from_secs(2),
    }
}

fn spec() -> RemoteJwks {
    remote_at(JwksLocation::Uri(Url::parse("https://idp.example:8443/jwks?a=b").unwrap()))
}

pub(super) fn worker() -> RemoteKeys {
    RemoteKeys::new(&spec(), ISSUER, "corp", "test")
}

pub(super) fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + secs)
}

pub(super) fn ok(body: &[u8]) -> Outcome<'_> {
    Outcome::Answer { status: 200, headers: &[], body }
}

/// An answer that says that it is compressed.
fn coded(body: &[u8]) -> Outcome<'_> {
    Outcome::Answer { status: 200, headers: &[(b"content-encoding", b"gzip")], body }
}

pub(super) fn first_set() -> Vec<u8> {
    keys().only(&["es256"]).to_string().into()
}

pub(super) fn second_set() -> Vec<u8> {
    foreign_keys().only(&["es256", "ed25519"]).to_string().into()
}

/// How many keys a worker would verify with; 0 for none.
pub(super) fn usable(worker: &RemoteKeys, now: Timestamp) -> usize {
    worker.keys(now).map_or(0, |keys| keys.len())
}

/// A worker that fetched the first set at second 0.
pub(super) fn fetched(store: &dyn SharedStore) -> RemoteKeys {
    let mut worker = worker();
    assert!(worker.tick(at(0), store, 0).is_some());
    assert_eq!(worker.on_fetched(ok(&first_set()), at(0), store), Ok(vec![]));
    worker
}

/// Ticks every second from `from` on until a fetch is asked for; the second it came in.
pub(super) fn next_fetch(
    worker: &mut RemoteKeys,
    store: &dyn SharedStore,
    from: u64,
    until: u64,
) -> Option<u64> {
    (from..=until).find(|secs| worker.tick(at(*secs), store, 0).is_some())
}

#[test]
fn one_fetch_serves_all() {
    let store = MemoryStore::default();
    let (mut a, mut b) = (worker(), worker());
    assert!(a.keys(at(0)).is_none());
    let fetch = a.tick(at(0), &store, 7).unwrap();
    assert_eq!(
        fetch,
        Call {
            cluster: "idp".into(),
            method: "GET",
            endpoint: Url::parse("https://idp.example:8443/jwks?a=b").unwrap(),
            headers: vec![("accept", "application/jwk-set+json, application/json".into())],
            body: Vec::new(),
            timeout: spec().timeout,
            max_answer: MAX_JWKS_SIZE,
        }
    );
    for secs in 0..3 {
        assert_eq!(b.tick(at(secs), &store, 7), None);
        assert_eq!(a.tick(at(secs), &store, 7), None);
    }
    assert_eq!(a.on_fetched(ok(&first_set()), at(3), &store), Ok(vec![]));
    assert_eq!((usable(&a, at(3)), usable(&b, at(3))), (1, 0));
    assert_eq!(b.tick(at(4), &store, 7), None);
    assert_eq!((usable(&b, at(4)), a.generation(), b.generation()), (1, 1, 1));
    // A worker that starts later finds it there.
    let mut late = worker();
    assert_eq!(late.tick(at(5), &store, 7), None);
    assert_eq!(usable(&late, at(5)), 1);
    // Its age is that of the fetch, not of the finding.
    assert_eq!((usable(&late, at(3603)), usable(&late, at(3604))), (1, 0));
}

#[test]
fn refreshed_ahead_of_expiry_by_one_of_them() {
    for (random, due) in [(0, 450), (u64::MAX, 525)] {
        let store = MemoryStore::default();
        let (mut a, mut b) = (worker(), worker());
        assert!(a.tick(at(0), &store, random).is_some());
        a.on_fetched(ok(&first_set()), at(0), &store).unwrap();
        let fetches = (1..=due)
            .flat_map(|secs| [a.tick(at(secs), &store, random), b.tick(at(secs), &store, random)])
            .flatten()
            .count();
        assert_eq!(fetches, 1);
        assert!(a.on_fetched(ok(&second_set()), at(due), &store).is_ok());
        b.tick(at(due + 1), &store, random);
        assert_eq!((usable(&a, at(due + 1)), usable(&b, at(due + 1))), (2, 2));
        assert_eq!((a.generation(), b.generation()), (2, 2));
    }
}

#[test]
fn the_same_set_again_is_no_new_generation() {
    let store = MemoryStore::default();
    let mut a = fetched(&store);
    let due = next_fetch(&mut a, &store, 1, 600).unwrap();
    assert_eq!(a.on_fetched(ok(&first_set()), at(due), &store), Ok(vec![]));
    assert_eq!(a.generation(), 1);
    // But it is fresh again.
    assert_eq!(usable(&a, at(due + 3600)), 1);
    assert_eq!(usable(&a, at(due + 3601)), 0);
}

#[test]
fn failures_back_off_and_the_last_good_set_has_its_end() {
    let store = MemoryStore::default();
    let mut a = fetched(&store);
    let (mut fetches, mut secs) = (Vec::new(), 1);
    while let Some(due) = next_fetch(&mut a, &store, secs, 3700) {
        assert_eq!(
            a.on_fetched(Outcome::Failed, at(due), &store),
            Err(KeyFetchError::NoBody(NoBody::Failed))
        );
        // Meanwhile bogus kids change nothing.
        a.note_unknown_kid("new", at(due), &store);
        fetches.push(due);
        secs = due;
    }
    let pauses: Vec<u64> = fetches.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert_eq!(fetches[0], 450);
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600, 600]);
    assert_eq!((usable(&a, at(3600)), usable(&a, at(3601))), (1, 0));
    // Once it answers again, all is well.
    let due = next_fetch(&mut a, &store, 3700, 4400).unwrap();
    a.on_fetched(ok(&second_set()), at(due), &store).unwrap();
    assert_eq!(usable(&a, at(due)), 2);
    assert_eq!(next_fetch(&mut a, &store, due + 1, due + 600), Some(due + 450));
}

#[test]
fn failures_of_the_first_fetch_are_tried_again_soon() {
    let store = MemoryStore::default();
    let (mut a, mut b) = (worker(), worker());
    assert!(a.tick(at(0), &store, 0).is_some());
    assert!(a.on_fetched(Outcome::Failed, at(0), &store).is_err());
    assert_eq!(a.tick(at(0), &store, 0), None);
    assert!(b.tick(at(1), &store, 0).is_some());
    assert!(b.on_fetched(ok(&first_set()), at(1), &store).is_ok());
    a.tick(at(2), &store, 0);
    assert_eq!(usable(&a, at(2)), 1);
}

#[test]
fn answers_that_are_no_key_set() {
    let large = vec![b' '; MAX_JWKS_SIZE + 1];
    let html: &[u8] = b"<html>404</html>";
    let weak = br#"{"keys":[{"kty":"RSA","n":"AQ","e":"AQAB"}]}"#;
    let reason = Unusable::Key(KeyFault::RsaSize { bits: 1 });
    let too_small = UnusableKey { index: 0, kid: None, reason };
    for (outcome, expected) in [
        (Outcome::Failed, KeyFetchError::NoBody(NoBody::Failed)),
        (
            Outcome::Answer { status: 404, headers: &[], body: html },
            KeyFetchError::NoBody(NoBody::Status(404)),
        ),
        (
            Outcome::Answer { status: 302, headers: &[], body: b"" },
            KeyFetchError::NoBody(NoBody::Status(302)),
        ),
        (
            Outcome::Answer { status: 503, headers: &[], body: b"" },
            KeyFetchError::NoBody(NoBody::Status(503)),
        ),
        (Outcome::Answer { status: 0, headers: &[], body: b"" }, KeyFetchError::NoBody(NoBody::Status(0))),
        (
            Outcome::Answer { status: 201, headers: &[], body: &first_set() },
            KeyFetchError::NoBody(NoBody::Status(201)),
        ),
        (ok(b""), KeyFetchError::KeySet(KeySetError::Json(JsonFault::Syntax))),
        (ok(html), KeyFetchError::KeySet(KeySetError::Json(JsonFault::Syntax))),
        (coded(b"\x1f\x8b\x08"), KeyFetchError::KeySet(KeySetError::Json(JsonFault::Coded("gzip")))),
        (ok(b"\x1f\x8b\x08"), KeyFetchError::KeySet(KeySetError::Json(JsonFault::Syntax))),
        // It says so and is not: what can be read is read.
        (coded(b"{}"), KeyFetchError::KeySet(KeySetError::NoKeys)),
        (ok(b"{}"), KeyFetchError::KeySet(KeySetError::NoKeys)),
        (ok(br#"{"keys":[]}"#), KeyFetchError::KeySet(KeySetError::NoUsableKeys(vec![]))),
        (ok(weak), KeyFetchError::KeySet(KeySetError::NoUsableKeys(vec![too_small]))),
        (ok(&large), KeyFetchError::KeySet(KeySetError::TooLarge)),
    ] {
        let store = MemoryStore::default();
        let mut a = worker();
        assert!(a.tick(at(0), &store, 0).is_some());
        assert_eq!(a.on_fetched(outcome, at(0), &store), Err(expected.clone()));
        assert!(a.keys(at(0)).is_none());
        // With a good set before, that one stays.
        let mut a = fetched(&MemoryStore::default());
        let store = MemoryStore::default();
        assert!(a.tick(at(1), &store, 0).is_some());
        assert_eq!(a.on_fetched(outcome, at(1), &store), Err(expected));
        assert_eq!((usable(&a, at(1)), a.generation()), (1, 1));
    }
}

#[test]
fn unusable_keys_are_reported_once() {
    let store = MemoryStore::default();
    let mut set = keys().only(&["rsa", "es256"]);
    set["keys"][0]["use"] = "enc".into();
    let body = set.to_string();
    let mut a = worker();
    a.tick(at(0), &store, 0);
    let unusable = a.on_fetched(ok(body.as_bytes()), at(0), &store).unwrap();
    assert_eq!(unusable, [UnusableKey { index: 0, kid: Some("rsa".into()), reason: Unusable::Use }]);
    assert_eq!(usable(&a, at(0)), 1);
    let due = next_fetch(&mut a, &store, 1, 600).unwrap();
    assert_eq!(a.on_fetched(ok(body.as_bytes()), at(due), &store), Ok(vec![]));
}

/// However often it is fetched; and again when something else is wrong.
#[test]
fn a_set_without_a_usable_key_is_reported_once() {
    let store = MemoryStore::default();
    let (first, second) = (r#"{"keys":[{"kty":"oct"},{"kty":"RSA"}]}"#, r#"{"keys":[{"kty":"EC"}]}"#);
    let (mut a, mut reported) = (worker(), Vec::new());
    for (secs, body) in [(0, first), (10, first), (20, second), (30, second), (100, first)] {
        assert!(a.tick(at(secs), &store, 0).is_some());
        let error = a.on_fetched(ok(body.as_bytes()), at(secs), &store).unwrap_err();
        assert_eq!(error.to_string(), "no usable key set: no usable key");
        reported.push(error.into_unusable().len());
    }
    assert_eq!(reported, [2, 0, 1, 0, 2]);
}

#[test]
fn a_dead_holder_blocks_nobody_for_long() {
    let store = MemoryStore::default();
    let mut a = worker();
    assert!(a.tick(at(0), &store, 0).is_some());
    drop(a);
    let mut b = worker();
    // Time-out and margin, 10 s.
    assert_eq!(next_fetch(&mut b, &store, 0, 100), Some(10));
    assert!(b.on_fetched(ok(&first_set()), at(11), &store).is_ok());
    assert_eq!(usable(&b, at(11)), 1);
}

#[test]
fn an_answer_after_the_lease_ran_out() {
    // When the one comes whose lease ran out, and when that of the next holder.
    for (slow_at, quick_at) in [(11, 12), (13, 12)] {
        let store = MemoryStore::default();
        let (mut slow, mut quick) = (worker(), worker());
        assert!(slow.tick(at(0), &store, 0).is_some());
        assert_eq!(next_fetch(&mut quick, &store, 1, 100), Some(10));
        for secs in 11..=13 {
            if secs == slow_at {
                assert_eq!(slow.on_fetched(ok(&first_set()), at(secs), &store), Ok(vec![]));
            }
            if secs == quick_at {
                assert!(quick.on_fetched(ok(&second_set()), at(secs), &store).is_ok());
            }
        }
        // It may be the older one: what came after stays published, and in use.
        for secs in 14..20 {
            for worker in [&mut slow, &mut quick, &mut worker()] {
                assert_eq!(worker.tick(at(secs), &store, 0), None, "{slow_at}");
                assert_eq!(usable(worker, at(secs)), 2, "{slow_at}");
            }
        }
        assert_eq!(slow.take_counts(), Counts { started: 1, succeeded: 0, failed: 1 });
        // An outcome that was not asked for does nothing.
        assert_eq!(slow.on_fetched(ok(&first_set()), at(20), &store), Ok(vec![]));
        assert_eq!(usable(&slow, at(20)), 2);
    }
    // Where nobody took over, it is as good as any.
    let store = MemoryStore::default();
    let mut slow = worker();
    assert!(slow.tick(at(0), &store, 0).is_some());
    assert_eq!(slow.on_fetched(ok(&first_set()), at(13), &store), Ok(vec![]));
    assert_eq!(usable(&slow, at(13)), 1);
}

/// A document that comes too late asks for no keys, which the next holder asks for.
#[test]
fn a_document_after_the_lease_ran_out() {
    let store = MemoryStore::default();
    let spec = remote_at(JwksLocation::Discovery(Box::new(discovered(ISSUER))));
    let worker = || RemoteKeys::new(&spec, ISSUER, "corp", "test");
    let document = br#"{"issuer":"https://idp.example","jwks_uri":"https://idp.example/keys"}"#;
    let (mut slow, mut quick) = (worker(), worker());
    assert!(slow.tick(at(0), &store, 0).is_some());
    let taken_over = next_fetch(&mut quick, &store, 1, 100).unwrap();
    assert_eq!(slow.on_fetched(ok(document), at(taken_over + 1), &store), Ok(vec![]));
    assert_eq!(slow.tick(at(taken_over + 1), &store, 0), None);
    assert_eq!(quick.on_fetched(ok(document), at(taken_over + 1), &store), Ok(vec![]));
    assert!(quick.tick(at(taken_over + 1), &store, 0).is_some());
    assert_eq!(slow.take_counts(), Counts { started: 1, succeeded: 0, failed: 1 });
}

/// How far the second fetch is from the first when the answer's headers say this.
fn refreshed_after(headers: &[(&[u8], &[u8])]) -> Option<u64> {
    let store = MemoryStore::default();
    let mut a = worker();
    assert!(a.tick(at(0), &store, 0).is_some());
    let outcome = Outcome::Answer { status: 200, headers, body: &first_set() };
    assert_eq!(a.on_fetched(outcome, at(0), &store), Ok(vec![]));
    next_fetch(&mut a, &store, 1, 700)
}

#[test]
fn cache_headers_count_within_the_configured_bounds() {
    for (header, due) in [
        (None, 450),
        (Some("max-age=400"), 300),
        // Never longer than configured, never sooner than an unknown kid could ask for it.
        (Some("max-age=86400"), 450),
        (Some("max-age=1"), 30),
        (Some("no-store"), 30),
        (Some("max-age=oops"), 30),
    ] {
        let headers: Vec<(&[u8], &[u8])> =
            header.iter().map(|value| (b"cache-control".as_slice(), value.as_bytes())).collect();
        assert_eq!(refreshed_after(&headers), Some(due), "{header:?}");
    }
}

#[test]
fn unusable_keys_are_reported_by_the_worker_that_fetched_them() {
    let store = MemoryStore::default();
    let mut set = keys().only(&["rsa", "es256"]);
    set["keys"][0]["use"] = "enc".into();
    let body = set.to_string();
    let (mut a, mut b) = (worker(), worker());
    a.tick(at(0), &store, 0);
    assert_eq!(a.on_fetched(ok(body.as_bytes()), at(0), &store).unwrap().len(), 1);
    b.tick(at(1), &store, 0);
    // It picked the set up, and finds nothing new when its turn comes.
    let due = next_fetch(&mut b, &store, 1, 600).unwrap();
    assert_eq!(b.on_fetched(ok(body.as_bytes()), at(due), &store), Ok(vec![]));
}

/// What stands under both keys of the store.
fn overwrite(store: &MemoryStore, worker: &RemoteKeys, value: &[u8]) {
    for key in worker.store_keys() {
        let expected =
            store.get(key).unwrap().map_or(Expected::Absent, |stored| Expected::Version(stored.version));
        store.replace(key, value, expected).unwrap();
    }
}

#[test]
fn foreign_bytes_in_the_store() {
    let far = u64::MAX.to_be_bytes();
    let garbage: [Vec<u8>; 6] = [
        vec![],
        b"garbage".to_vec(),
        vec![0xff; 100_000],
        [b"pfd1".as_slice(), &[0; 4], b"{\"keys\":[]}"].concat(),
        // A schedule that would stop all fetching for ever.
        [b"pfs1".as_slice(), &far, &far, &far, &far, &[0xff; 4], &[0xff; 32]].concat(),
        b"pfs1".to_vec(),
    ];
    for value in garbage {
        let store = MemoryStore::default();
        let (mut a, mut b) = (fetched(&store), worker());
        overwrite(&store, &a, &value);
        // Who has keys keeps them; who has none fetches, and repairs what is stored.
        a.note_unknown_kid("new", at(1), &store);
        assert_eq!((usable(&a, at(1)), usable(&b, at(1))), (1, 0));
        let due = next_fetch(&mut b, &store, 1, 10).expect("not blocked");
        assert!(b.on_fetched(ok(&second_set()), at(due), &store).is_ok());
        a.tick(at(due + 1), &store, 0);
        assert_eq!((usable(&a, at(due + 1)), usable(&b, at(due + 1))), (2, 2));
        assert_eq!(next_fetch(&mut a, &store, due + 2, due + 449), None);
    }
}

#[test]
fn a_lost_record_is_fetched_again() {
    let store = MemoryStore::default();
    let a = fetched(&store);
    let [set, _] = a.store_keys();
    let version = store.get(set).unwrap().unwrap().version;
    store.replace(set, b"garbage", Expected::Version(version)).unwrap();
    let mut b = worker();
    assert_eq!(next_fetch(&mut b, &store, 1, 100), Some(30));
}

#[test]
fn a_clock_set_back_keeps_the_keys() {
    let store = MemoryStore::default();
    let mut a = fetched(&store);
    let before = Timestamp::from_secs(1_700_000_000);
    assert_eq!(usable(&a, before), 1);
    a.note_unknown_kid("new", at(1), &store);
    a.note_unknown_kid("new", before, &store);
    assert!(a.tick(before, &store, 0).is_some());
    let mut b = worker();
    b.tick(before, &store, 0);
    assert_eq!(usable(&b, before), 1);
}

/// One that is shared by two places would make one accept what the other's issuer signs.
#[test]
fn what_is_fetched_elsewhere_is_kept_elsewhere() {
    let uri = |uri: &str| JwksLocation::Uri(Url::parse(uri).unwrap());
    let discovery = |uri: Option<&str>, jwks_cluster: Option<&str>| {
        JwksLocation::Discovery(Box::new(DiscoverySpec {
            uri: uri.map(|uri| Url::parse(uri).unwrap()),
            jwks_cluster: jwks_cluster.map(Into::into),
            ..discovered("https://x")
        }))
    };
    let keys = |location, cluster: &str, issuer: &str, provider: &str, namespace: &str| {
        let spec = RemoteJwks { cluster: cluster.into(), ..remote_at(location) };
        RemoteKeys::new(&spec, issuer, provider, namespace).store_keys().map(str::to_owned)
    };
    let (x, y, xy) = ("https://x", "https://y", "https://xy");
    let places = [
        keys(uri("https://x/1"), "c", x, "a", "n"),
        keys(uri("https://x/1"), "c", x, "b", "n"),
        keys(uri("https://x/1"), "c", x, "a", "m"),
        keys(uri("https://x/2"), "c", x, "a", "n"),
        keys(uri("http://x/1"), "c", x, "a", "n"),
        keys(uri("https://x/1"), "d", x, "a", "n"),
        keys(uri("https://x/1"), "c", y, "a", "n"),
        // The same text, cut elsewhere.
        keys(uri("https://x/1"), "yc", x, "a", "n"),
        keys(uri("https://x/1"), "c", xy, "a", "n"),
        keys(discovery(None, None), "c", x, "a", "n"),
        keys(discovery(None, None), "d", x, "a", "n"),
        keys(JwksLocation::Discovery(Box::new(discovered(y))), "c", y, "a", "n"),
        keys(discovery(None, Some("k")), "c", x, "a", "n"),
        keys(discovery(None, Some("https://x/1")), "c", x, "a", "n"),
        keys(discovery(Some("https://x/1"), None), "c", x, "a", "n"),
        keys(discovery(Some("https://x/1"), Some("k")), "c", x, "a", "n"),
        keys(discovery(Some("https://x/1"), Some("l")), "c", x, "a", "n"),
    ];
    let mut flat: Vec<String> = places.concat();
    flat.sort();
    flat.dedup();
    assert_eq!(flat.len(), places.len() * 2);
    // What decides only when and for how long is no part of it: workers may then differ in it, and still agree.
    let spec = RemoteJwks { cache_duration: Duration::from_secs(1), ..remote_at(uri("https://x/1")) };
    let other = RemoteKeys::new(&spec, x, "a", "n");
    assert_eq!(other.store_keys().map(str::to_owned), keys(uri("https://x/1"), "idp", x, "a", "n"));
}

/// Production and staging of one issuer, behind two clusters of one Envoy.
#[test]
fn keys_of_another_cluster_are_never_taken_over() {
    let store = MemoryStore::default();
    let worker_of = |cluster: &str| {
        RemoteKeys::new(&RemoteJwks { cluster: cluster.into(), ..spec() }, ISSUER, "corp", "test")
    };
    let mut staging = worker_of("idp-staging");
    assert!(staging.tick(at(0), &store, 0).is_some());
    assert_eq!(staging.on_fetched(ok(&first_set()), at(0), &store), Ok(vec![]));
    // The other filter, or this one after an update: it has nothing until it has asked for itself.
    let mut production = worker_of("idp-prod");
    let call = production.tick(at(1), &store, 0).expect("a fetch of its own");
    assert_eq!((call.cluster.as_str(), usable(&production, at(1))), ("idp-prod", 0));
    assert_eq!(production.on_fetched(ok(&second_set()), at(1), &store), Ok(vec![]));
    staging.tick(at(2), &store, 0);
    assert_eq!((usable(&staging, at(2)), usable(&production, at(2))), (1, 2));
    // Its neighbour, another worker of the same: there is nothing left to fetch.
    let mut late = worker_of("idp-prod");
    assert_eq!(late.tick(at(2), &store, 0), None);
    assert_eq!(usable(&late, at(2)), 2);
}

/// A store that does not answer, or where every write loses.
struct BadStore {
    error: StoreError,
    writes: Cell<u32>,
}

impl SharedStore for BadStore {
    fn get(&self, _: &str) -> Result<Option<Versioned>, StoreError> {
        if self.error == StoreError::Unavailable { Err(self.error) } else { Ok(None) }
    }

    fn replace(&self, _: &str, _: &[u8], _: Expected) -> Result<(), StoreError> {
        self.writes.set(self.writes.get() + 1);
        Err(self.error)
    }
}

#[test]
fn a_store_that_fails() {
    for error in [StoreError::Unavailable, StoreError::Conflict] {
        let bad = BadStore { error, writes: Cell::new(0) };
        let good = MemoryStore::default();
        let mut a = worker();
        assert_eq!(a.tick(at(0), &bad, 0), None);
        // It fails while the answer is on its way: the worker has the keys all the same.
        assert!(a.tick(at(0), &good, 0).is_some());
        assert!(a.on_fetched(ok(&first_set()), at(1), &bad).is_ok());
        a.note_unknown_kid("new", at(2), &bad);
        for _ in 0..100 {
            a.note_wrong_signature(Some("es256"), at(2), &bad);
        }
        assert_eq!(usable(&a, at(2)), 1);
        assert!(bad.writes.get() < 20, "no endless retries");
    }
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    /// Which worker, how many seconds after the step before, what it does, and with which randomness.
    type Step = (usize, u64, u8, u64);

    /// At most one fetch is under way while its lease lasts, and all workers end with the same keys.
    fn run(steps: &[Step]) -> Result<(), TestCaseError> {
        let store = MemoryStore::default();
        let mut workers = [worker(), worker(), worker()];
        let mut in_flight = [None; 3];
        let mut secs = 0;
        for &(index, pause, action, random) in steps {
            secs += pause;
            let now = at(secs);
            match action {
                0 | 1 => {
                    if workers[index].tick(now, &store, random).is_some() {
                        let others = in_flight.iter().flatten().filter(|start: &&u64| secs < **start + 10);
                        prop_assert_eq!(others.count(), 0);
                        in_flight[index] = Some(secs);
                    }
                }
                2 if random % 2 == 0 => {
                    workers[index].note_unknown_kid("new", now, &store);
                }
                2 => {
                    workers[index].note_wrong_signature(Some("es256"), now, &store);
                }
                _ => {
                    let body = if random % 2 == 0 { first_set() } else { second_set() };
                    let outcome = if random % 3 == 0 { Outcome::Failed } else { ok(&body) };
                    let _ = workers[index].on_fetched(outcome, now, &store);
                    in_flight[index] = None;
                }
            }
        }
        // Let it settle: after many failures the next fetch comes 1.5 times `cache_duration` later.
        for secs in secs + 1000..secs + 1020 {
            for worker in &mut workers {
                if worker.tick(at(secs), &store, 0).is_some() {
                    worker.on_fetched(ok(&second_set()), at(secs), &store).unwrap();
                }
            }
        }
        let counts: Vec<usize> = workers.iter().map(|worker| usable(worker, at(secs + 1020))).collect();
        prop_assert_eq!(counts, [2, 2, 2]);
        Ok(())
    }

    /// The longest pause that there is comes after ten failures in a row.
    #[test]
    fn settled_after_the_longest_pause() {
        let (tick, fetched) = (|| (0, 40, 0, u64::MAX), |random| (0, 0, 3, random));
        let failures = (0..60).flat_map(|_| [tick(), fetched(u64::MAX)]);
        let steps: Vec<Step> =
            [tick(), fetched(2), (0, 30, 2, 0), tick()].into_iter().chain(failures).collect();
        (0..steps.len()).for_each(|len| run(&steps[..len]).unwrap());
    }

    proptest! {
        #[test]
        fn never_two_at_once(steps in prop::collection::vec((0_usize..3, 0_u64..40, 0_u8..4, any::<u64>()), 1..60)) {
            run(&steps)?;
        }
    }
}
