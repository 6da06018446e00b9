//! Streams that end with their credential: which are looked after, and when each ends.

use std::cell::Cell;

use ct_codecs::{Base64, Encoder as _};
use portcullis::{
    answer::Reason,
    crypto::sha256,
    engine::{Exchange, OpenStream, Purpose, Step},
};
use serde_json::{Value, json};

use crate::{
    revocation::listed,
    world::{Ask, NOW, World, ok},
};

/// The policy with a list that is fetched, in which streams of these rules end.
fn world() -> World {
    world_with(|_| {})
}

/// The same with changes.
fn world_with(change: impl FnOnce(&mut Value)) -> World {
    let w = World::with(|policy| {
        listed(policy);
        policy["revocation"]["remote"]["maxStale"] = "1h".into();
        for rule in policy["rules"].as_array_mut().unwrap() {
            if ["tokens", "keys", "certificate", "acting"].contains(&rule["name"].as_str().unwrap()) {
                rule["endStreams"] = true.into();
            }
        }
        let open = json!({"name": "open", "endStreams": true,
            "matches": [{"path": {"type": "Exact", "value": "/open"}}],
            "authenticate": {"optional": true, "anyOf": [{"jwt": "corp"}]}});
        policy["rules"].as_array_mut().unwrap().push(open);
        change(policy);
    });
    w.fetch_list(&json!({}));
    w
}

/// What an allowed request is looked after for.
fn allowed(w: &World, ask: &Ask) -> Option<OpenStream> {
    let head = ask.head();
    w.with_services(|services| {
        let mut exchange = Exchange::default();
        let decision = exchange.on_request(&w.worker, &head, services);
        assert!(matches!(decision.step, Step::Forward(_)), "{ask:?}: {decision:?}");
        decision.stream
    })
}

/// The streams that end now, and why.
fn ended(w: &World) -> Vec<(u32, Reason)> {
    let ended = w.with_services(|services| w.worker.take_ended_streams(100, services));
    let mut ended: Vec<_> = ended.into_iter().map(|ended| (ended.stream, ended.reason)).collect();
    ended.sort_unstable();
    ended
}

#[test]
fn a_stream_ends_when_its_credential_has_run_out() {
    let w = world();
    // Tokens of corp have a tolerance of 60 s.
    let until = |exp: u64| w.bearer(Ask::get("/tokens"), |claims| claims["exp"] = exp.into());
    for (id, ask) in [
        (1, until(NOW + 10)),
        (2, until(NOW + 20)),
        (3, Ask::get("/keys").key("old-secret")),
        (4, Ask::get("/keys").key("reader-secret")),
        (5, Ask::get("/certificate").certificate("spiffe://td/ns/a")),
        (6, w.bearer(Ask::get("/open"), |claims| claims["exp"] = (NOW + 10).into())),
    ] {
        assert!(w.worker.begin_stream(id, allowed(&w, &ask).unwrap()), "{ask:?}");
    }
    let passes: &[(u64, &[(u32, Reason)])] = &[
        (NOW, &[]),
        (NOW + 1, &[(3, Reason::ApiKeyExpired)]),
        (NOW + 69, &[]),
        (NOW + 70, &[(1, Reason::TokenExpired), (6, Reason::TokenExpired)]),
        (NOW + 79, &[]),
        (NOW + 80, &[(2, Reason::TokenExpired)]),
        // Of the others nobody knows when they run out.
        (NOW + 3000, &[]),
    ];
    for (now, expected) in passes {
        w.now.set(*now);
        assert_eq!(ended(&w), *expected, "{now}");
    }
}

#[test]
fn other_requests_are_not_looked_after() {
    let w = world();
    for ask in [
        w.bearer(Ask::get("/department"), |claims| claims["department"] = "it".into()),
        Ask::get("/open"),
        Ask::get("/health"),
    ] {
        assert!(allowed(&w, &ask).is_none(), "{ask:?}");
    }
    // One that is over is never ended.
    let stream = allowed(&w, &w.bearer(Ask::get("/tokens"), |_| {})).unwrap();
    assert!(w.worker.begin_stream(1, stream));
    w.worker.forget_stream(1);
    w.later(3000);
    assert_eq!(ended(&w), []);
}

#[test]
fn a_stream_ends_when_its_credential_is_revoked() {
    let w = world();
    let asked = |name: &'static str, value: &'static str| {
        w.bearer(Ask::get("/tokens"), |claims| claims[name] = value.into())
    };
    let begin = |id, ask: &Ask| assert!(w.worker.begin_stream(id, allowed(&w, ask).unwrap()), "{ask:?}");
    for (id, ask) in [
        (1, asked("jti", "t-1")),
        (2, asked("sid", "s-1")),
        (3, asked("sub", "mallory")),
        (4, asked("jti", "t-2")),
        (5, Ask::get("/keys").key("reader-secret")),
        (6, Ask::get("/keys").key("gold-secret")),
        (7, Ask::get("/certificate").certificate("spiffe://td/ns/mallory")),
        (8, Ask::get("/certificate").certificate("spiffe://td/ns/a")),
    ] {
        begin(id, &ask);
    }
    assert_eq!(ended(&w), []);
    w.later(60);
    w.fetch_list(&json!({"jti": ["t-1"], "sid": ["s-1"], "apiKeys": ["reader"],
        "subjects": [{"sub": "mallory"}, {"sub": "spiffe://td/ns/mallory"}]}));
    use Reason::{ApiKeyRevoked, TokenRevoked};
    assert_eq!(
        ended(&w),
        [(1, TokenRevoked), (2, TokenRevoked), (3, TokenRevoked), (5, ApiKeyRevoked), (7, TokenRevoked),]
    );
    // Who has come since was held against this list.
    begin(9, &asked("jti", "t-3"));
    assert_eq!(ended(&w), []);
    w.later(60);
    w.fetch_list(&json!({"jti": ["t-3"]}));
    assert_eq!(ended(&w), [(9, TokenRevoked)]);
}

/// What a list would stop is not known when it is too old: as for requests.
#[test]
fn a_list_that_is_too_old_ends_streams_where_it_refuses_requests() {
    for (when_stale, expected) in [("Deny", vec![(1, Reason::RevocationUnavailable)]), ("Serve", vec![])] {
        let w = World::with(|policy| {
            listed(policy);
            let remote = policy["revocation"]["remote"].as_object_mut().unwrap();
            remote.insert("whenStale".to_owned(), when_stale.into());
            if when_stale == "Serve" {
                remote.remove("maxStale");
            }
            let tokens = |rule: &&mut Value| rule["name"] == "tokens";
            policy["rules"].as_array_mut().unwrap().iter_mut().find(tokens).unwrap()["endStreams"] =
                true.into();
        });
        w.fetch_list(&json!({}));
        let stream = allowed(&w, &w.bearer(Ask::get("/tokens"), |_| {})).unwrap();
        assert!(w.worker.begin_stream(1, stream));
        w.later(120);
        assert_eq!(ended(&w), []);
        w.later(1);
        assert_eq!(ended(&w), expected, "{when_stale}");
    }
}

#[test]
fn no_more_are_ended_at_once_than_asked_for_and_no_more_begun_than_there_is_room() {
    let w = world();
    let ask = w.bearer(Ask::get("/tokens"), |_| {});
    let mut begun = 0_u32;
    while w.worker.begin_stream(begun, allowed(&w, &ask).unwrap()) {
        begun += 1;
    }
    assert_eq!(begun, 32_768);
    w.worker.forget_stream(7);
    assert!(w.worker.begin_stream(7, allowed(&w, &ask).unwrap()));
    w.later(3000);
    let take = |most| w.with_services(|services| w.worker.take_ended_streams(most, services)).len();
    assert_eq!([take(64), take(32_000), take(32_000), take(64)], [64, 32_000, 704, 0]);
}

/// Of two credentials the first that ends counts, whosever it is.
#[test]
fn a_stream_of_two_credentials_ends_with_either() {
    let w = world();
    let both = |key: &str, jti: &str, exp: u64| {
        let claims = json!({"iss": "https://partner.example", "sub": "bob", "aud": "x", "jti": jti, "exp": exp,
            "roles": ["admin"]});
        Ask::get("/acting").key(key).header("x-partner-token", &w.partner.sign(&claims))
    };
    for (id, ask) in [
        (1, both("old-secret", "t-1", NOW + 100)),
        (2, both("gold-secret", "t-2", NOW + 100)),
        (3, both("reader-secret", "t-3", NOW + 3000)),
        (4, both("gold-secret", "t-4", NOW + 3000)),
        (5, both("gold-secret", "t-5", NOW + 3000)),
    ] {
        assert!(w.worker.begin_stream(id, allowed(&w, &ask).unwrap()), "{ask:?}");
    }
    w.later(1);
    assert_eq!(ended(&w), [(1, Reason::ApiKeyExpired)]);
    w.later(159);
    assert_eq!(ended(&w), [(2, Reason::TokenExpired)]);
    w.fetch_list(&json!({"apiKeys": ["reader"], "jti": ["t-4"]}));
    let told = w.with_services(|services| w.worker.take_ended_streams(100, services));
    let told = told.into_iter().map(|ended| {
        let record: Value = serde_json::from_str(&ended.record.unwrap()).unwrap();
        let challenge = ended.reply.headers.iter().find(|(name, _)| *name == "www-authenticate");
        let scheme = challenge.unwrap().1.split(' ').next().unwrap().to_owned();
        (ended.stream, ended.reason, record["party"] == "actor", scheme)
    });
    let mut told: Vec<_> = told.collect();
    told.sort_unstable();
    let expected = [
        (3, Reason::ApiKeyRevoked, true, "ApiKey".to_owned()),
        (4, Reason::TokenRevoked, false, "Bearer".to_owned()),
    ];
    assert_eq!(told, expected);
}

#[test]
fn what_is_told_of_an_ended_stream() {
    told_of_an_ended_stream(&world(), json!({}));
    // Records of other requests of the same chain come before and after it.
    let w = world_with(|policy| policy["decisionLog"] = json!({"allowed": true, "chain": true}));
    let digest = |record: &str| -> String {
        portcullis::crypto::sha256(record.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let first = w.ask(&Ask::get("/health")).record.unwrap();
    let chain = "07".repeat(16);
    let told = told_of_an_ended_stream(&w, json!({"chain": chain, "sequence": 3}));
    let next = w.ask(&Ask::get("/health")).record.unwrap();
    let next: Value = serde_json::from_str(&next).unwrap();
    assert_eq!((&next["sequence"], &next["previous"]), (&json!(4), &json!(digest(&told))), "{first}");
}

/// The record of a stream whose token has run out. What `members` say is in it, too.
fn told_of_an_ended_stream(w: &World, members: Value) -> String {
    let ask = w.bearer(Ask::get("/tokens"), |claims| claims["jti"] = "t-1".into());
    assert!(w.worker.begin_stream(1, allowed(w, &ask).unwrap()));
    w.later(661);
    let ended = w.with_services(|services| w.worker.take_ended_streams(1, services)).pop().unwrap();
    let written = ended.record.unwrap();
    let mut record: Value = serde_json::from_str(&written).unwrap();
    record.as_object_mut().unwrap().remove("previous");
    let mut told = json!({"decision": "end", "reason": "token_expired", "rule": "tokens", "principal": "alice",
        "kind": "jwt", "authority": "corp", "credential": "t-1"});
    told.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    assert_eq!(record, told);
    let challenge = ended.reply.headers.iter().find(|(name, _)| *name == "www-authenticate").unwrap();
    assert_eq!(ended.reply.status, 401);
    assert!(challenge.1.starts_with("Bearer realm=\"test\", error=\"invalid_token\""), "{challenge:?}");
    written
}

/// The policy with a store of keys besides, and what it answers.
struct Stored {
    w: World,
    /// Of the store, which is another one with each change, so that all keys are read.
    cluster: Cell<u64>,
}

impl Stored {
    fn new(etcd: &Value) -> Self {
        let w = World::with(|policy| {
            listed(policy);
            policy.as_object_mut().unwrap().remove("revocation");
            policy["apiKeys"]["etcd"] = json!({"uri": "http://etcd.example", "cluster": "etcd"});
            policy["apiKeys"]["etcd"].as_object_mut().unwrap().extend(etcd.as_object().cloned().unwrap());
            for rule in policy["rules"].as_array_mut().unwrap() {
                if ["keys", "acting"].contains(&rule["name"].as_str().unwrap()) {
                    rule["endStreams"] = true.into();
                }
            }
        });
        Self { w, cluster: Cell::new(1) }
    }

    /// The store has these keys now, each with fields, and with the key `<id>-secret` where they do not say another one.
    fn publish(&self, keys: &[(&str, Value)]) {
        let entry = |(id, fields): &(&str, Value)| {
            let mut fields = fields.clone();
            let key = fields.as_object_mut().unwrap().remove("key");
            let key = key.map_or(format!("{id}-secret"), |key| key.as_str().unwrap().to_owned());
            fields["hash"] = api_key_hash(&key).into();
            json!({"key": base64(&format!("/portcullis/v1/keys/{id}")), "value": base64(&fields.to_string()),
                "mod_revision": "2"})
        };
        self.cluster.set(self.cluster.get() + 1);
        let answer = json!({
            "header": {"cluster_id": self.cluster.get().to_string(), "revision": "2", "raft_term": "2"},
            "kvs": keys.iter().map(entry).collect::<Vec<_>>(), "count": keys.len().to_string(),
        });
        self.w.later(1);
        for _ in 0..3 {
            for (purpose, _) in self.w.tick().into_iter().filter(|(purpose, _)| *purpose == Purpose::KeyStore)
            {
                let said = self.w.deliver(purpose, ok(answer.to_string().as_bytes()));
                assert!(said.iter().all(|said| said.contains("read anew")), "{said:?}");
            }
        }
    }

    fn begin(&self, id: u32, ask: &Ask) {
        assert!(self.w.worker.begin_stream(id, allowed(&self.w, ask).unwrap()), "{ask:?}");
    }
}

fn base64(text: &str) -> String {
    Base64::encode_to_string(text).unwrap()
}

fn api_key_hash(key: &str) -> String {
    sha256(key.as_bytes()).iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"))
}

#[test]
fn a_stream_ends_with_its_key_in_etcd() {
    let s = Stored::new(&json!({}));
    let at = |secs: u64| json!(format!("2027-01-15T08:{:02}:{:02}Z", secs / 60, secs % 60));
    let rows = [
        ("same", json!({}), json!({})),
        ("gone", json!({}), json!(null)),
        ("off", json!({}), json!({"disabled": true})),
        ("withdrawn", json!({}), json!({"revokedAt": "2026-01-01T00:00:00Z"})),
        ("swapped", json!({}), json!({"key": "another"})),
        ("unreadable", json!({}), json!({"hostname": ["a.test"]})),
        ("shortened", json!({}), json!({"expiresAt": at(10)})),
        ("extended", json!({"expiresAt": at(20)}), json!({"expiresAt": at(100)})),
        ("ending", json!({"expiresAt": at(30)}), json!({"expiresAt": at(30)})),
        // What it may do was decided when the request came.
        ("restricted", json!({}), json!({"hostnames": ["other.test"]})),
        // Its own are not the policy's.
        ("reader", json!({"key": "another"}), json!({"key": "another", "disabled": true})),
    ];
    let before: Vec<_> = rows.iter().map(|(id, before, _)| (*id, before.clone())).collect();
    let after: Vec<_> = rows.iter().map(|(id, _, after)| (*id, after.clone())).collect();
    s.publish(&before);
    for (n, (id, ..)) in (1..).zip(&rows) {
        s.begin(n, &Ask::get("/keys").key(&format!("{id}-secret")));
    }
    assert_eq!(ended(&s.w), []);
    s.publish(&before);
    assert_eq!(ended(&s.w), [], "nothing has changed");
    s.publish(&after.into_iter().filter(|(_, fields)| !fields.is_null()).collect::<Vec<_>>());
    use Reason::{ApiKeyDisabled, ApiKeyExpired, ApiKeyRevoked, ApiKeyUnknown};
    let at_once =
        [(2, ApiKeyUnknown), (3, ApiKeyDisabled), (4, ApiKeyRevoked), (5, ApiKeyUnknown), (6, ApiKeyUnknown)];
    assert_eq!(ended(&s.w), at_once);
    for (secs, expected) in [
        (9, &[][..]),
        (10, &[(7, ApiKeyExpired)]),
        (29, &[]),
        (30, &[(9, ApiKeyExpired)]),
        (99, &[]),
        (100, &[(8, ApiKeyExpired)]),
        (3000, &[]),
    ] {
        s.w.now.set(NOW + secs);
        assert_eq!(ended(&s.w), expected, "{secs}");
    }
}

/// Requests with such keys are refused then.
#[test]
fn streams_end_when_etcd_confirms_no_keys_any_more() {
    for (max_stale, expected) in [("10s", vec![(1, Reason::StateUnavailable)]), ("1h", vec![])] {
        let s = Stored::new(&json!({"maxStale": max_stale}));
        s.publish(&[("a", json!({}))]);
        s.begin(1, &Ask::get("/keys").key("a-secret"));
        s.begin(2, &Ask::get("/keys").key("reader-secret"));
        s.w.later(10);
        assert_eq!(ended(&s.w), []);
        s.w.later(1);
        assert_eq!(ended(&s.w), expected, "{max_stale}");
    }
}

/// Each stream has its turn, however often something changes.
#[test]
fn keys_of_many_streams_are_looked_up_in_rounds() {
    let s = Stored::new(&json!({}));
    s.publish(&[("a", json!({})), ("b", json!({}))]);
    for id in 0..5000 {
        s.begin(id, &Ask::get("/keys").key(if id % 100 == 0 { "b-secret" } else { "a-secret" }));
    }
    let mut counts = Vec::new();
    for _ in 0..7 {
        s.publish(&[("a", json!({}))]);
        counts.push(ended(&s.w).len());
    }
    assert_eq!(counts.iter().sum::<usize>(), 50, "{counts:?}");
    assert!(counts[0] < 50 && counts[5..] == [0, 0], "{counts:?}");
}
