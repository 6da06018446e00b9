//! What lists stop, and how they arrive.

use serde_json::{Map, Value, json};

use super::*;
use crate::{
    identity::PrincipalKind,
    json::{JsonFault, members},
    store::MemoryStore,
};

fn at(secs: u64) -> Timestamp {
    Timestamp::from_secs(1_800_000_000 + secs)
}

fn principal(kind: PrincipalKind, subject: &str, id: &str, claims: Value) -> Principal {
    Principal {
        subject: subject.into(),
        kind,
        authority: Arc::from("corp"),
        credential_id: id.into(),
        scopes: vec![],
        roles: vec![],
        roles_unclear: false,
        permissions: vec![],
        tier: None,
        own_requests: vec![],
        claims: members(&claims),
    }
}

/// What a provider makes of claims, its subject being `sub`.
fn token(claims: Value) -> Principal {
    let text = |name: &str| claims[name].as_str().unwrap_or_default().to_owned();
    principal(PrincipalKind::Jwt, &text("sub"), &text("jti"), claims)
}

fn key(client: &str, id: &str) -> Principal {
    principal(PrincipalKind::ApiKey, client, id, Value::Object(Map::new()))
}

fn list(document: &Value) -> RevocationList {
    RevocationList::parse(document.to_string().as_bytes()).unwrap()
}

fn spec() -> RevocationSpec {
    RevocationSpec {
        inline: Arc::default(),
        remote: Some(RemoteListSpec {
            endpoint: Url::parse("https://lists.example/revoked").unwrap(),
            cluster: "lists".into(),
            poll_interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            max_stale: Duration::from_secs(300),
            when_stale: WhenStale::Deny,
        }),
    }
}

fn worker() -> Revocations {
    Revocations::new(&spec(), "test")
}

fn ok(body: &str) -> Outcome<'_> {
    Outcome::Answer { status: 200, headers: &[(b"etag", b"\"v1\"")], body: body.as_bytes() }
}

const NOT_MODIFIED: Outcome<'static> = Outcome::Answer { status: 304, headers: &[], body: b"" };

#[test]
fn what_entries_stop() {
    // 2027-01-15T08:00:00Z is second 1,800,000,000.
    let list = list(&json!({
        "jti": ["t1"], "sid": ["s1"], "passkeys": ["p1"], "clientIds": ["c1"], "apiKeys": ["k1"],
        "subjects": [{"sub": "gone"}, {"sub": "alice", "issuedBefore": "2027-01-15T09:00:00+01:00"}],
    }));
    assert_eq!(list.len(), 7);
    let iat = 1_800_000_000_u64;
    for (who, expected) in [
        (token(json!({"sub": "bob", "jti": "t1"})), Err(Revoked::Token)),
        (token(json!({"sub": "bob", "jti": "T1"})), Ok(())),
        (token(json!({"sub": "bob"})), Ok(())),
        (token(json!({"sub": "bob", "sid": "s1"})), Err(Revoked::Session)),
        (token(json!({"sub": "bob", "sid": ["s1"]})), Ok(())),
        (token(json!({"sub": "bob", "sid": "t1", "jti": "s1"})), Ok(())),
        (token(json!({"sub": "bob", "credential": "p1"})), Err(Revoked::Passkey)),
        (token(json!({"sub": "bob", "credential": "P1"})), Ok(())),
        (token(json!({"sub": "bob", "credential": ["p1"], "sid": "p1"})), Ok(())),
        (token(json!({"sub": "bob", "client_id": "c1"})), Err(Revoked::Client)),
        (token(json!({"sub": "bob", "client_id": "c2", "azp": "c1"})), Err(Revoked::Client)),
        (token(json!({"sub": "bob", "cid": "c1"})), Err(Revoked::Client)),
        (token(json!({"sub": "bob", "appid": "c1"})), Err(Revoked::Client)),
        (token(json!({"sub": "c1", "client_id": "c2"})), Ok(())),
        (token(json!({"sub": "gone", "iat": iat + 1_000_000})), Err(Revoked::Subject)),
        (token(json!({"sub": "alice", "iat": iat - 1})), Err(Revoked::Subject)),
        (token(json!({"sub": "alice", "iat": iat})), Err(Revoked::Subject)),
        (token(json!({"sub": "alice", "iat": 1_800_000_000.5})), Ok(())),
        (token(json!({"sub": "alice", "iat": iat + 1})), Ok(())),
        (token(json!({"sub": "alice"})), Err(Revoked::Subject)),
        (token(json!({"sub": "alice", "iat": "1900000000"})), Err(Revoked::Subject)),
        // The subject is another claim.
        (principal(PrincipalKind::Jwt, "a@example.com", "", json!({"sub": "gone"})), Err(Revoked::Subject)),
        (principal(PrincipalKind::Jwt, "gone", "", json!({"sub": "7"})), Err(Revoked::Subject)),
        (key("acme", "k1"), Err(Revoked::ApiKey)),
        (key("acme", "k2"), Ok(())),
        (key("c1", "k2"), Err(Revoked::ApiKey)),
        (key("acme", "t1"), Ok(())),
        (key("gone", "k2"), Ok(())),
        (token(json!({"sub": "bob", "jti": "k1"})), Ok(())),
    ] {
        assert_eq!(list.check(&who), expected, "{who:?}");
        let spec = RevocationSpec { inline: Arc::new(list.clone()), remote: None };
        assert_eq!(Revocations::new(&spec, "test").check(&who, at(0)), expected);
        // Kept one by one they stop the same.
        let until = r#"{"issuedBefore": "2027-01-15T09:00:00+01:00", "note": "x"}"#;
        let kept = [
            ("jti/t1", "{}"),
            ("sid/s1", ""),
            ("passkey/p1", "{}"),
            ("clientId/c1", "{}"),
            ("apiKey/k1", "garbage"),
            ("sub/gone", "[]"),
            ("sub/alice", until),
        ];
        let find = |id: &str| {
            let found = kept.iter().find(|(kept, _)| *kept == id);
            Ok(found.map(|(_, value)| value.as_bytes().to_vec()))
        };
        assert_eq!(check_entries(&who, at(0), find), expected, "{who:?}");
    }
}

#[test]
fn what_limits_an_entry() {
    let bob = token(json!({"sub": "bob", "jti": "t1", "iat": 1_800_000_000_u64}));
    let check = |id: &str, value: &str, now: u64| {
        let find = |asked: &str| Ok((asked == id).then(|| value.as_bytes().to_vec()));
        check_entries(&bob, Timestamp::from_secs(1_800_000_000 + now), find)
    };
    let (token, subject) = (Err(Revoked::Token), Err(Revoked::Subject));
    for (id, value, now, expected) in [
        ("jti/t1", r#"{"until": "2027-01-15T08:00:10Z"}"#, 9, token),
        ("jti/t1", r#"{"until": "2027-01-15T08:00:10Z"}"#, 10, Ok(())),
        ("jti/t2", "{}", 0, Ok(())),
        // What cannot be read limits nothing.
        ("jti/t1", r#"{"until": "soon"}"#, 10, token),
        ("jti/t1", r#"{"until": 7}"#, 10, token),
        ("jti/t1", r#"{"until": "2027-01-15T08:00:10Z""#, 10, token),
        ("jti/t1", r#"{"untill": "2027-01-15T08:00:10Z"}"#, 10, token),
        ("jti/t1", r#"{"issuedBefore": "2027-01-15T07:00:00Z"}"#, 0, token),
        ("sub/bob", r#"{"issuedBefore": "2027-01-15T08:00:00Z"}"#, 0, subject),
        ("sub/bob", r#"{"issuedBefore": "2027-01-15T07:59:59Z"}"#, 0, Ok(())),
        ("sub/bob", r#"{"issuedBefore": "yesterday"}"#, 0, subject),
        (
            "sub/bob",
            r#"{"issuedBefore": "2027-01-15T08:00:00Z", "until": "2027-01-15T08:00:10Z"}"#,
            10,
            Ok(()),
        ),
        ("sub/Bob", "{}", 0, Ok(())),
    ] {
        assert_eq!(check(id, value, now), expected, "{id} {value} {now}");
    }
    // What cannot be looked up is not passed over.
    let all = || check_entries(&bob, at(0), |_| Err(Revoked::Unknown));
    assert_eq!(all(), Err(Revoked::Unknown));
    let last = |id: &str| if id == "sub/bob" { Err(Revoked::Unknown) } else { Ok(None) };
    assert_eq!(check_entries(&bob, at(0), last), Err(Revoked::Unknown));
}

#[test]
fn of_two_entries_for_a_subject_the_stricter_counts() {
    let (early, late) = ("2027-01-15T08:00:00Z", "2027-01-15T08:00:10Z");
    let all = json!({"sub": "a"});
    let before = |time: &str| json!({"sub": "a", "issuedBefore": time});
    for (first, second, refused, passes) in [
        (before(early), before(late), Some(10), Some(11)),
        (before(late), before(early), Some(10), Some(11)),
        (before(early), all.clone(), Some(1000), None),
        (all, before(early), Some(1000), None),
    ] {
        let list = list(&json!({"subjects": [first, second]}));
        let at = |secs: u64| list.check(&token(json!({"sub": "a", "iat": 1_800_000_000 + secs})));
        assert_eq!(refused.map(at), Some(Err(Revoked::Subject)));
        assert_eq!(passes.map_or(Ok(()), at), Ok(()));
    }
}

#[test]
fn documents() {
    let long = "x".repeat(513);
    let entry = |member, index| Err(ListError::Entry { member, index });
    for (document, expected) in [
        (json!({}), Ok(0)),
        (json!({"jti": [], "subjects": []}), Ok(0)),
        (json!({"jti": ["a", "b", "a"]}), Ok(2)),
        (json!({"jti": ["x".repeat(512)]}), Ok(1)),
        (json!({"jti": [long]}), entry("jti", 0)),
        (json!({"jti": ["a", ""]}), entry("jti", 1)),
        (json!({"sid": ["a", 7]}), entry("sid", 1)),
        (json!({"clientIds": [null]}), entry("clientIds", 0)),
        (json!({"apiKeys": [["a"]]}), entry("apiKeys", 0)),
        (json!({"subjects": ["a"]}), entry("subjects", 0)),
        (json!({"subjects": [{"sub": "a"}, {}]}), entry("subjects", 1)),
        (json!({"subjects": [{"sub": "a", "issuedBefore": "2027-01-15"}]}), entry("subjects", 0)),
        (json!({"subjects": [{"sub": "a", "issuedBefore": 7}]}), entry("subjects", 0)),
        (json!({"subjects": [{"sub": "a", "issuedBefore": null}]}), entry("subjects", 0)),
        (json!({"subjects": [{"sub": "a", "before": "2027-01-15T00:00:00Z"}]}), entry("subjects", 0)),
        (json!({"jti": "a"}), Err(ListError::Member("jti"))),
        (json!({"jti": null}), Err(ListError::Member("jti"))),
        (json!({"JTI": []}), Err(ListError::Unknown("JTI".into()))),
        (json!({"tokens": {"jti": []}}), Err(ListError::Unknown("tokens".into()))),
        (json!([]), Err(ListError::Json(JsonFault::NotAnObject))),
    ] {
        let read = RevocationList::parse(document.to_string().as_bytes());
        assert_eq!(read.map(|list| list.len()), expected, "{document}");
    }
    for (text, fault) in [
        ("", JsonFault::Syntax),
        ("<html>", JsonFault::Syntax),
        ("{\"jti\":[\"a\"],\"jti\":[]}", JsonFault::DuplicateMember),
    ] {
        assert_eq!(RevocationList::parse(text.as_bytes()), Err(ListError::Json(fault)), "{text}");
    }
    assert_eq!(RevocationList::parse("\u{feff}{\"jti\":[\"a\"]}".as_bytes()).map(|list| list.len()), Ok(1));
    let many = |n: usize| json!({"jti": vec!["a"; n / 2], "sid": vec!["a"; n - n / 2]}).to_string();
    assert!(RevocationList::parse(many(MAX_ENTRIES).as_bytes()).is_ok());
    assert_eq!(RevocationList::parse(many(MAX_ENTRIES + 1).as_bytes()), Err(ListError::TooMany));
}

#[test]
fn every_worker_knows_within_the_poll_interval() {
    let store = MemoryStore::default();
    let mut workers = [worker(), worker()];
    let bob = token(json!({"sub": "bob", "jti": "t1"}));
    // Closed until the first list arrives.
    assert!(workers.iter().all(|worker| worker.check(&bob, at(0)) == Err(Revoked::Unknown)));
    let revoked_at = 40;
    let (mut fetches, mut known) = (0, [None, None]);
    for secs in 0..=revoked_at + 31 {
        let body = if secs < revoked_at { "{}" } else { r#"{"jti":["t1"]}"# };
        for (worker, known) in workers.iter_mut().zip(&mut known) {
            if worker.tick(at(secs), &store, u64::MAX).is_some() {
                fetches += 1;
                worker.on_answer(ok(body), at(secs), &store).unwrap();
            }
            match worker.check(&bob, at(secs)) {
                Err(Revoked::Token) => *known = known.or(Some(secs)),
                Ok(()) => assert!(known.is_none()),
                Err(other) => assert_eq!((other, secs), (Revoked::Unknown, 0)),
            }
        }
    }
    assert_eq!(fetches, 3);
    assert!(known.iter().all(|known| known.is_some_and(|secs| secs <= revoked_at + 30)), "{known:?}");
    assert_eq!(workers.map(|worker| worker.generation()), [2, 2]);
}

#[test]
fn an_unchanged_list_stays_fresh_and_is_no_new_generation() {
    let store = MemoryStore::default();
    let mut a = worker();
    let bob = token(json!({"sub": "bob"}));
    let mut conditional = 0;
    for secs in 0..1000 {
        if let Some(call) = a.tick(at(secs), &store, 0) {
            let unchanged = call.headers.contains(&("if-none-match", "\"v1\"".to_owned()));
            conditional += u32::from(unchanged);
            a.on_answer(if unchanged { NOT_MODIFIED } else { ok("{}") }, at(secs), &store).unwrap();
        }
        assert_eq!(a.check(&bob, at(secs)), Ok(()), "{secs}");
    }
    assert!(conditional > 30);
    assert_eq!(a.generation(), 1);
}

#[test]
fn too_old_a_list_fails_closed_unless_it_may_serve() {
    for (when_stale, expected) in [(WhenStale::Deny, Err(Revoked::Unknown)), (WhenStale::Serve, Ok(()))] {
        let store = MemoryStore::default();
        let mut spec = spec();
        spec.remote.as_mut().unwrap().when_stale = when_stale;
        let (mut a, mut b) = (Revocations::new(&spec, "test"), Revocations::new(&spec, "test"));
        let (bob, eve) = (token(json!({"sub": "bob"})), token(json!({"sub": "eve", "jti": "t1"})));
        assert!(a.tick(at(0), &store, 0).is_some());
        assert_eq!(a.on_answer(Outcome::Failed, at(0), &store), Err(ListFetchError::NoBody(NoBody::Failed)));
        assert_eq!(a.check(&bob, at(0)), Err(Revoked::Unknown), "before the first list, whatever is said");
        assert!(a.tick(at(1), &store, 0).is_some());
        a.on_answer(ok(r#"{"jti":["t1"]}"#), at(1), &store).unwrap();
        b.tick(at(1), &store, 0);
        for secs in 2..=400 {
            for worker in [&mut a, &mut b] {
                if worker.tick(at(secs), &store, 0).is_some() {
                    let bad = worker.on_answer(ok(r#"{"jti":["t1"],"x":1}"#), at(secs), &store);
                    assert_eq!(bad, Err(ListFetchError::List(ListError::Unknown("x".into()))));
                }
                // Whom it names is refused for that, as long as anybody remembers.
                assert_eq!(worker.check(&eve, at(secs)), Err(Revoked::Token));
                assert_eq!(
                    worker.check(&bob, at(secs)),
                    if secs <= 301 { Ok(()) } else { expected },
                    "{secs}"
                );
            }
        }
        assert_eq!((a.generation(), b.generation()), (1, 1));
    }
}

#[test]
fn both_lists_count() {
    let store = MemoryStore::default();
    let inline = Arc::new(list(&json!({"jti": ["t1"]})));
    let mut a = Revocations::new(&RevocationSpec { inline, ..spec() }, "test");
    // The list in the policy needs no fetch.
    assert_eq!(a.check(&token(json!({"sub": "bob", "jti": "t1"})), at(0)), Err(Revoked::Token));
    assert!(a.tick(at(0), &store, 0).is_some());
    a.on_answer(ok(r#"{"jti":["t2"]}"#), at(0), &store).unwrap();
    for (jti, expected) in [("t1", Err(Revoked::Token)), ("t2", Err(Revoked::Token)), ("t3", Ok(()))] {
        assert_eq!(a.check(&token(json!({"sub": "bob", "jti": jti})), at(0)), expected);
    }
}

#[test]
fn a_list_in_a_coding_is_named_as_such() {
    let store = MemoryStore::default();
    let (mut a, headers) = (worker(), [(&b"content-encoding"[..], &b"gzip"[..])]);
    assert!(a.tick(at(0), &store, 0).is_some());
    let coded = Outcome::Answer { status: 200, headers: &headers, body: b"\x1f\x8b\x08" };
    let refused = a.on_answer(coded, at(0), &store).unwrap_err();
    assert_eq!(refused, ListFetchError::List(ListError::Json(JsonFault::Coded("gzip"))));
    assert_eq!(refused.to_string(), "not JSON but in a coding (gzip), although identity was asked for");
}

#[test]
fn clients_learn_that_it_is_revoked_and_no_more() {
    for (revoked, reason, status) in [
        (Revoked::Token, Reason::TokenRevoked, 401),
        (Revoked::Session, Reason::TokenRevoked, 401),
        (Revoked::Client, Reason::TokenRevoked, 401),
        (Revoked::Subject, Reason::TokenRevoked, 401),
        (Revoked::ApiKey, Reason::ApiKeyRevoked, 401),
        (Revoked::Unknown, Reason::RevocationUnavailable, 503),
    ] {
        assert_eq!((revoked.reason(), revoked.reason().status()), (reason, status));
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    const LIST: &str = r#"{"jti":["t\u00e9"],"sid":[],"clientIds":["c","c"],"apiKeys":["k"],"subjects":[{"sub":"s"},{"sub":"t","issuedBefore":"2026-01-01T00:00:00Z"}]}"#;

    /// The list with a part of it replaced, and bytes that never were one.
    fn documents() -> impl Strategy<Value = Vec<u8>> {
        let part = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..4),
            "[\\[\\]{}\",:a-z0 ]{0,4}".prop_map(String::into_bytes),
        ];
        let changed = (0..LIST.len(), 0_usize..6, part).prop_map(|(at, len, part)| {
            let mut changed = LIST.as_bytes().to_vec();
            changed.splice(at..(at + len).min(LIST.len()), part);
            changed
        });
        prop_oneof![4 => changed, 1 => any::<Vec<u8>>()]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        /// Every entry of a list that is taken revokes, as another reader reads it; or none of it is taken.
        #[test]
        fn no_entry_is_passed_over(document in documents()) {
            let Ok(list) = RevocationList::parse(&document) else { return Ok(()) };
            let members: Map<String, Value> = serde_json::from_slice(&document).unwrap();
            for (member, entries) in &members {
                for entry in entries.as_array().unwrap() {
                    let name = entry.get("sub").unwrap_or(entry).as_str().unwrap();
                    let (principal, revoked) = match member.as_str() {
                        "jti" => (token(json!({"jti": name})), Revoked::Token),
                        "sid" => (token(json!({"sid": name})), Revoked::Session),
                        "clientIds" => (token(json!({"azp": name})), Revoked::Client),
                        "apiKeys" => (key("", name), Revoked::ApiKey),
                        "subjects" => (token(json!({"sub": name})), Revoked::Subject),
                        other => panic!("{other}"),
                    };
                    prop_assert_eq!(list.check(&principal), Err(revoked), "{} {}", member, name);
                }
            }
        }
    }
}
