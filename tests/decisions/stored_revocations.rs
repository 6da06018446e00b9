//! Revocations that are kept in etcd, one by one.

use std::cell::Cell;

use ct_codecs::{Base64, Encoder as _};
use portcullis::{
    answer::Reason,
    calls::Outcome,
    engine::{Exchange, Purpose},
};
use serde_json::{Value, json};

use crate::world::{Ask, NOW, World, ok};

/// A policy with an etcd for revocations, and what that answers.
struct Kept {
    w: World,
    /// It is another one with each change, so that all is read.
    cluster: Cell<u64>,
}

impl Kept {
    fn new(etcd: &Value) -> Self {
        let w = World::with(|policy| {
            let mut place = json!({"uri": "http://etcd.example", "cluster": "etcd"});
            place.as_object_mut().unwrap().extend(etcd.as_object().cloned().unwrap());
            policy["revocation"] = json!({"etcd": place});
            for rule in policy["rules"].as_array_mut().unwrap() {
                if ["tokens", "keys"].contains(&rule["name"].as_str().unwrap()) {
                    rule["endStreams"] = true.into();
                }
            }
        });
        Self { w, cluster: Cell::new(1) }
    }

    /// These are there from now on.
    fn publish(&self, entries: &[(&str, &str)]) {
        self.cluster.set(self.cluster.get() + 1);
        let encoded = |text: &str| Base64::encode_to_string(text).unwrap();
        let entry = |(id, value): &(&str, &str)| {
            let key = encoded(&format!("/portcullis/v1/revocations/{id}"));
            json!({"key": key, "value": encoded(value), "mod_revision": "2"})
        };
        let answer = json!({
            "header": {"cluster_id": self.cluster.get().to_string(), "revision": "2", "raft_term": "2"},
            "kvs": entries.iter().map(entry).collect::<Vec<_>>(), "count": entries.len().to_string(),
        });
        self.w.later(1);
        for _ in 0..3 {
            for purpose in self.asked() {
                let said = self.w.deliver(purpose, ok(answer.to_string().as_bytes()));
                assert!(said.iter().all(|said| said.contains("read anew")), "{said:?}");
            }
        }
    }

    fn asked(&self) -> Vec<Purpose> {
        let calls = self.w.tick().into_iter().map(|(purpose, _)| purpose);
        calls.filter(|purpose| *purpose == Purpose::RevocationStore).collect()
    }
}

fn bearer(w: &World, name: &'static str, value: &'static str) -> Ask {
    w.bearer(Ask::get("/tokens"), |claims| {
        claims[name] = value.into();
        claims["exp"] = (NOW + 3000).into();
    })
}

const UNKNOWN: Option<Reason> = Some(Reason::RevocationUnavailable);
const TOKEN: Option<Reason> = Some(Reason::TokenRevoked);
const KEY: Option<Reason> = Some(Reason::ApiKeyRevoked);

#[test]
fn what_is_kept_there_stops_callers_by_each_of_their_names() {
    let kept = Kept::new(&json!({}));
    let w = &kept.w;
    let asks = [
        bearer(w, "jti", "t-1"),
        bearer(w, "sid", "s-1"),
        bearer(w, "azp", "c-1"),
        bearer(w, "sub", "mallory"),
        bearer(w, "jti", "t-2"),
        Ask::get("/keys").key("reader-secret"),
        Ask::get("/keys").key("gold-secret"),
    ];
    let reasons = || {
        // No limit has a say in it.
        w.later(61);
        asks.iter().map(|ask| w.reason(ask)).collect::<Vec<_>>()
    };
    assert_eq!(reasons(), [UNKNOWN; 7], "nobody knows yet what is revoked");
    assert_eq!(w.reason(&Ask::get("/health")), None, "who has no credential has none that is revoked");
    kept.publish(&[]);
    assert_eq!(reasons(), [None; 7]);
    kept.publish(&[
        ("jti/t-1", "{}"),
        ("sid/s-1", "{}"),
        ("clientId/c-1", "{}"),
        ("sub/mallory", "{}"),
        ("apiKey/reader", "{}"),
        ("jti/t-3", "{}"),
        ("jti/", "{}"),
    ]);
    assert_eq!(reasons(), [TOKEN, TOKEN, TOKEN, TOKEN, None, KEY, None]);
    // What is taken back counts no more, and what comes counts for callers that are known.
    kept.publish(&[("jti/t-2", "{}"), ("sid/s-1", r#"{"until": "2027-01-15T08:00:00Z"}"#)]);
    assert_eq!(reasons(), [None, None, None, None, TOKEN, None, None]);
    let far = format!("sub/{}", "x".repeat(400));
    kept.publish(&[(&far, "{}")]);
    let long = w.bearer(Ask::get("/tokens"), |claims| claims["sub"] = "x".repeat(400).into());
    let other = w.bearer(Ask::get("/tokens"), |claims| claims["sub"] = "x".repeat(401).into());
    w.later(61);
    assert_eq!([w.reason(&long), w.reason(&other)], [TOKEN, None]);
}

#[test]
fn a_time_that_is_over_ends_a_revocation() {
    let kept = Kept::new(&json!({}));
    let ask = bearer(&kept.w, "jti", "t-1");
    let until = format!("{{\"until\": \"2027-01-15T08:00:{:02}Z\"}}", 20);
    kept.publish(&[("jti/t-1", &until)]);
    for (now, expected) in [(NOW + 5, TOKEN), (NOW + 19, TOKEN), (NOW + 20, None), (NOW + 60, None)] {
        kept.w.now.set(now);
        assert_eq!(kept.w.reason(&ask), expected, "{now}");
    }
}

#[test]
fn what_was_read_goes_on_counting_as_long_as_the_policy_says() {
    for (etcd, expected) in [(json!({}), None), (json!({"maxStale": "1m"}), UNKNOWN)] {
        let kept = Kept::new(&etcd);
        let (good, bad) = (bearer(&kept.w, "jti", "t-1"), bearer(&kept.w, "jti", "t-2"));
        kept.publish(&[("jti/t-2", "{}")]);
        let both = || [kept.w.reason(&good), kept.w.reason(&bad)];
        assert_eq!(both(), [None, TOKEN]);
        kept.w.later(59);
        // Each question is asked of one member after the other.
        let fail = || {
            let asked = (0..5).flat_map(|_| kept.asked());
            asked.flat_map(|purpose| kept.w.deliver(purpose, Outcome::Failed)).collect::<Vec<_>>()
        };
        assert_eq!(fail(), ["revocations in etcd: no answer"]);
        assert_eq!(both(), [None, TOKEN]);
        kept.w.later(10);
        assert_eq!(fail(), ["revocations in etcd: no answer"]);
        let refused = if expected.is_some() { UNKNOWN } else { TOKEN };
        assert_eq!(both(), [expected, refused], "{etcd}");
    }
}

#[test]
fn streams_end_with_what_is_revoked_there() {
    let kept = Kept::new(&json!({"maxStale": "1m"}));
    kept.publish(&[]);
    let w = &kept.w;
    let begin = |id, ask: &Ask| {
        let head = ask.head();
        let stream = w.with_services(|services| {
            Exchange::default().on_request(&w.worker, &head, services).stream.unwrap()
        });
        assert!(w.worker.begin_stream(id, stream));
    };
    let ended = || {
        let ended = w.with_services(|services| w.worker.take_ended_streams(100, services));
        let mut ended: Vec<_> = ended.into_iter().map(|ended| (ended.stream, ended.reason)).collect();
        ended.sort_unstable();
        ended
    };
    for (id, ask) in [
        (1, bearer(w, "jti", "t-1")),
        (2, bearer(w, "sub", "mallory")),
        (3, bearer(w, "jti", "t-3")),
        (4, Ask::get("/keys").key("reader-secret")),
        (5, Ask::get("/keys").key("gold-secret")),
    ] {
        begin(id, &ask);
    }
    assert_eq!(ended(), []);
    kept.publish(&[("jti/t-1", "{}"), ("sub/mallory", "{}"), ("apiKey/reader", "{}")]);
    use Reason::{ApiKeyRevoked, RevocationUnavailable, TokenRevoked};
    assert_eq!(ended(), [(1, TokenRevoked), (2, TokenRevoked), (4, ApiKeyRevoked)]);
    kept.publish(&[]);
    assert_eq!(ended(), []);
    // Nobody knows any more.
    w.later(62);
    w.tick();
    assert_eq!(ended(), [(3, RevocationUnavailable), (5, RevocationUnavailable)]);
}

/// Each section has a login and a watch of its own.
#[test]
fn a_login_is_of_the_section_that_names_it() {
    let kept = Kept::new(&json!({"user": "gateway", "password": "hunter2"}));
    let login: Vec<_> =
        kept.w.tick().into_iter().filter(|(purpose, _)| *purpose == Purpose::RevocationLogin).collect();
    assert_eq!(login.len(), 1);
    assert_eq!(login[0].1.endpoint.path, "/v3/auth/authenticate");
    let refused = br#"{"error":"etcdserver: authentication failed, invalid user ID or password","code":3}"#;
    let refused = Outcome::Answer { status: 400, headers: &[], body: refused };
    let said = kept.w.deliver(Purpose::RevocationLogin, refused);
    assert_eq!(said, ["login at etcd (revocation.etcd): etcd takes another user or password"]);
    assert_eq!(kept.asked(), []);
}
