//! Keys by discovery on virtual time: what each kind of answer leads to.

use std::time::Duration;

use super::{
    super::{discovery::MAX_DOCUMENT_SIZE, *},
    remote::remote_at,
    tokens::{discovered, foreign_keys, keys},
};
use crate::{
    calls::{Call, Counts, Outcome},
    jose::MAX_JWKS_SIZE,
    store::MemoryStore,
    time::Timestamp,
};

const ISSUER: &str = "https://idp.example/tenant";
const DOCUMENT: &[u8] = br#"{"issuer":"https://idp.example/tenant","jwks_uri":"https://idp.example/keys",
    "id_token_signing_alg_values_supported":["none","HS256"]}"#;

fn worker_of(discovery: DiscoverySpec) -> RemoteKeys {
    let spec = remote_at(JwksLocation::Discovery(Box::new(discovery)));
    RemoteKeys::new(&spec, ISSUER, "corp", "test")
}

fn worker() -> RemoteKeys {
    worker_of(discovered(ISSUER))
}

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + secs)
}

fn answer(status: u16, body: &[u8]) -> Outcome<'_> {
    Outcome::Answer { status, headers: &[], body }
}

fn place(call: Option<Call>) -> Option<String> {
    call.map(|call| format!("{} {}{}", call.cluster, call.endpoint.authority, call.endpoint.path))
}

fn key_set() -> Vec<u8> {
    keys().only(&["es256"]).to_string().into()
}

/// A worker that found and fetched the keys at second 0.
fn fetched(store: &MemoryStore) -> RemoteKeys {
    let mut worker = worker();
    assert!(worker.tick(at(0), store, 0).is_some());
    assert_eq!(worker.on_fetched(answer(200, DOCUMENT), at(0), store), Ok(vec![]));
    assert!(worker.tick(at(0), store, 0).is_some());
    assert_eq!(worker.on_fetched(answer(200, &key_set()), at(0), store), Ok(vec![]));
    worker
}

#[test]
fn the_document_then_the_keys_under_one_lease() {
    let store = MemoryStore::default();
    let (mut a, mut b) = (worker(), worker());
    let call = a.tick(at(0), &store, 0).unwrap();
    assert_eq!((call.max_answer, call.timeout), (MAX_DOCUMENT_SIZE, Duration::from_secs(5)));
    assert_eq!(place(Some(call)).as_deref(), Some("idp idp.example/tenant/.well-known/openid-configuration"));
    assert_eq!((a.tick(at(1), &store, 0), b.tick(at(1), &store, 0)), (None, None));
    assert_eq!(a.on_fetched(answer(200, DOCUMENT), at(2), &store), Ok(vec![]));
    assert!(a.keys(at(2)).is_none());
    // An outcome that nobody asked for.
    assert_eq!(a.on_fetched(answer(200, &key_set()), at(2), &store), Ok(vec![]));
    assert!(a.keys(at(2)).is_none());
    assert_eq!(b.tick(at(3), &store, 0), None);
    let call = a.tick(at(3), &store, 0).unwrap();
    assert_eq!(call.max_answer, MAX_JWKS_SIZE);
    assert_eq!(place(Some(call)).as_deref(), Some("idp idp.example/keys"));
    assert_eq!(a.on_fetched(answer(200, &key_set()), at(4), &store), Ok(vec![]));
    b.tick(at(4), &store, 0);
    assert!(a.keys(at(4)).is_some() && b.keys(at(4)).is_some());
    assert_eq!(a.take_counts(), Counts { started: 1, succeeded: 1, failed: 0 });
    assert_eq!((a.take_counts(), b.take_counts()), Default::default());
    // The next one begins with the document again: the keys may have moved.
    let mut calls = (5..=454).map(|secs| place(a.tick(at(secs), &store, 0)));
    assert_eq!(
        calls.find(Option::is_some).flatten().as_deref(),
        Some("idp idp.example/tenant/.well-known/openid-configuration")
    );
}

#[test]
fn the_other_place_and_the_other_cluster() {
    let store = MemoryStore::default();
    let mut a = worker_of(DiscoverySpec { jwks_cluster: Some("cdn".into()), ..discovered(ISSUER) });
    assert!(a.tick(at(0), &store, 0).is_some());
    assert_eq!(a.on_fetched(answer(404, b"nothing here"), at(0), &store), Ok(vec![]));
    assert_eq!(
        place(a.tick(at(0), &store, 0)).as_deref(),
        Some("idp idp.example/.well-known/oauth-authorization-server/tenant")
    );
    let document = br#"{"issuer":"https://idp.example/tenant","jwks_uri":"https://cdn.example/k"}"#;
    assert_eq!(a.on_fetched(answer(200, document), at(0), &store), Ok(vec![]));
    assert_eq!(place(a.tick(at(0), &store, 0)).as_deref(), Some("cdn cdn.example/k"));
    assert_eq!(a.on_fetched(answer(200, &key_set()), at(0), &store), Ok(vec![]));
    assert!(a.keys(at(0)).is_some());

    let store = MemoryStore::default();
    let uri = Some(Url::parse("https://meta.example/doc").unwrap());
    let mut a = worker_of(DiscoverySpec { uri, ..discovered(ISSUER) });
    assert_eq!(place(a.tick(at(0), &store, 0)).as_deref(), Some("idp meta.example/doc"));
}

/// What the issue names, one by one: each is a failure with a clear message, tried again after a pause, while the
/// last good set stays.
#[test]
fn documents_that_are_refused() {
    let large = vec![b' '; 10_000_000];
    let cut = &large[..=MAX_DOCUMENT_SIZE];
    let wrong = br#"{"issuer":"https://evil.example","jwks_uri":"https://idp.example/keys"}"#;
    let elsewhere = br#"{"issuer":"https://idp.example/tenant","jwks_uri":"https://evil.example/keys"}"#;
    let plain = br#"{"issuer":"https://idp.example/tenant","jwks_uri":"http://idp.example/keys"}"#;
    let rows: Vec<(Outcome<'_>, &str)> = vec![
        (Outcome::Failed, "discovery document: no answer"),
        (answer(302, b""), "discovery document: status 302; redirects are never followed"),
        (answer(503, b""), "discovery document: status 503"),
        (answer(200, b"<html>"), "discovery document: not JSON"),
        (answer(200, b""), "discovery document: not JSON"),
        (answer(200, &large), "discovery document: longer than 65536 bytes"),
        (answer(200, cut), "discovery document: longer than 65536 bytes"),
        (
            answer(200, wrong),
            "discovery document: its issuer is \"https://evil.example\", not the configured one",
        ),
        (
            answer(200, elsewhere),
            "discovery document: jwks_uri is on another host, \"evil.example\", \
             and no jwksCluster is configured to reach it",
        ),
        (answer(200, plain), "discovery document: jwks_uri is not https"),
    ];
    for (outcome, message) in rows {
        let store = MemoryStore::default();
        let mut a = fetched(&store);
        let due = (1..=600).find(|secs| a.tick(at(*secs), &store, 0).is_some()).unwrap();
        let failure = a.on_fetched(outcome, at(due), &store).unwrap_err();
        assert_eq!(failure.to_string(), message);
        assert!(a.keys(at(3600)).is_some() && a.keys(at(3601)).is_none());
        // No call for keys follows; the whole fetch is begun anew after a second.
        assert_eq!(a.tick(at(due), &store, 0), None);
        assert!(place(a.tick(at(due + 1), &store, 0)).unwrap().ends_with("/openid-configuration"));
        assert_eq!(a.take_counts(), Counts { started: 3, succeeded: 1, failed: 1 });
    }
    // In neither place.
    let store = MemoryStore::default();
    let mut a = worker();
    for (secs, expected) in [(0, true), (1, false)] {
        assert!(a.tick(at(secs), &store, 0).is_some());
        assert_eq!(a.on_fetched(answer(404, b""), at(secs), &store).is_ok(), expected);
    }
    // The keys themselves, behind a good document.
    let store = MemoryStore::default();
    let mut a = worker();
    assert!(a.tick(at(0), &store, 0).is_some());
    assert!(a.on_fetched(answer(200, DOCUMENT), at(0), &store).is_ok());
    assert!(a.tick(at(0), &store, 0).is_some());
    let failure = a.on_fetched(answer(301, b""), at(0), &store).unwrap_err();
    assert_eq!(failure.to_string(), "status 301; redirects are never followed");
}

#[test]
fn a_slow_server_holds_the_lease_no_longer_than_its_time_outs() {
    let store = MemoryStore::default();
    let (mut slow, mut other) = (worker(), worker());
    assert!(slow.tick(at(0), &store, 0).is_some());
    // Three calls of 5 s each and the margin.
    assert_eq!((1..100).find(|secs| other.tick(at(*secs), &store, 0).is_some()), Some(20));
    // The document comes after all: that fetch is over, and the keys are not asked for twice.
    assert!(slow.on_fetched(answer(200, DOCUMENT), at(21), &store).is_ok());
    assert_eq!(slow.tick(at(21), &store, 0), None);
    assert_eq!(slow.take_counts(), Counts { started: 1, succeeded: 0, failed: 1 });
    assert!(other.on_fetched(answer(200, DOCUMENT), at(22), &store).is_ok());
    assert!(other.tick(at(22), &store, 0).is_some());
    let second: Vec<u8> = foreign_keys().only(&["es256"]).to_string().into();
    assert!(other.on_fetched(answer(200, &second), at(23), &store).is_ok());
    slow.tick(at(24), &store, 0);
    assert!(slow.keys(at(24)).is_some());
}
