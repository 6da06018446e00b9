//! What is revoked is refused, also where it was accepted and is remembered.

use std::rc::Rc;

use portcullis::{
    answer::Reason::{self, ApiKeyRevoked, RevocationUnavailable, TokenRevoked},
    calls::Outcome,
    engine::Purpose,
    policy::Policy,
};
use serde_json::{Value, json};

use crate::world::{Ask, NOW, World, ok};

/// The policy with a list that is fetched.
pub(crate) fn listed(policy: &mut Value) {
    policy["revocation"]["remote"] = json!({"uri": "https://list.example/list", "cluster": "list",
        "pollInterval": "30s", "maxStale": "2m"});
    policy["rateLimits"][0]["limits"][0]["requests"] = 100_000.into();
}

impl World {
    /// The call for the list, if it is due.
    fn list_call(&self) -> Option<Purpose> {
        let calls = self.tick().into_iter();
        let mut calls = calls.filter(|(purpose, _)| *purpose == Purpose::Revocations);
        calls.next().map(|(purpose, call)| {
            assert_eq!((call.cluster.as_str(), call.endpoint.path.as_str()), ("list", "/list"));
            purpose
        })
    }

    /// Fetches the list, which is due.
    pub(crate) fn fetch_list(&self, list: &Value) {
        let purpose = self.list_call().unwrap();
        assert_eq!(self.deliver(purpose, ok(list.to_string().as_bytes())), [""; 0]);
    }
}

type Row = (Value, fn(&mut Value), Option<Reason>);

fn rows() -> Vec<Row> {
    vec![
        (json!({"jti": ["t"]}), |c| c["jti"] = "t".into(), Some(TokenRevoked)),
        (json!({"jti": ["t"]}), |c| c["sid"] = "t".into(), None),
        (json!({"sid": ["t"]}), |c| c["sid"] = "t".into(), Some(TokenRevoked)),
        (json!({"sid": ["t"]}), |c| c["jti"] = "t".into(), None),
        (json!({"clientIds": ["t"]}), |c| c["client_id"] = "t".into(), Some(TokenRevoked)),
        (json!({"clientIds": ["t"]}), |c| c["azp"] = "t".into(), Some(TokenRevoked)),
        (json!({"clientIds": ["alice"]}), |_| {}, None),
        (json!({"subjects": [{"sub": "alice"}]}), |_| {}, Some(TokenRevoked)),
        (json!({"subjects": [{"sub": "Alice"}]}), |_| {}, None),
        // NOW is 2027-01-15T08:00:00Z. Issued at that time counts as before; who does not say when, too.
        (
            json!({"subjects": [{"sub": "alice", "issuedBefore": "2027-01-15T07:59:00Z"}]}),
            |c| c["iat"] = (NOW - 60).into(),
            Some(TokenRevoked),
        ),
        (
            json!({"subjects": [{"sub": "alice", "issuedBefore": "2027-01-15T07:59:00Z"}]}),
            |c| c["iat"] = (NOW - 59).into(),
            None,
        ),
        (json!({"apiKeys": ["reader"]}), |_| {}, None),
    ]
}

#[test]
fn in_the_policy() {
    for (list, change, expected) in rows() {
        let w = World::with(|policy| policy["revocation"]["tokens"] = list.clone());
        assert_eq!(w.reason(&w.bearer(Ask::get("/tokens"), change)), expected, "{list}");
    }
    for (list, expected) in [
        (json!({"apiKeys": ["old"]}), Some(ApiKeyRevoked)),
        (json!({"apiKeys": ["new"]}), None),
        // The client of the key, so all its keys.
        (json!({"clientIds": ["acme"]}), Some(ApiKeyRevoked)),
        (json!({"clientIds": ["old"]}), None),
        (json!({"subjects": [{"sub": "acme"}]}), None),
    ] {
        let w = World::with(|policy| policy["revocation"]["tokens"] = list.clone());
        let answer = w.ask(&Ask::get("/keys").key("old-secret"));
        assert_eq!(answer.reason, expected, "{list}");
        assert_eq!(answer.recorded("principal"), "acme", "refused or not, the record says who it was");
    }
}

#[test]
fn in_a_list_that_is_fetched() {
    for (list, change, expected) in rows() {
        let w = World::with(listed);
        let ask = w.bearer(Ask::get("/tokens"), change);
        assert_eq!(w.reason(&ask), Some(RevocationUnavailable));
        w.fetch_list(&json!({}));
        assert_eq!(w.reason(&ask), None, "{list}");
        w.later(30);
        w.fetch_list(&list);
        assert_eq!(w.reason(&ask), expected, "{list}");
        // Taken back, say.
        w.later(30);
        w.fetch_list(&json!({"jti": ["other"]}));
        assert_eq!(w.reason(&ask), None, "{list}");
    }
}

/// A worker of its own for the same policy, with the state of `w`.
fn other_worker(w: &World) -> World {
    let mut other = World::with(listed);
    other.corp = w.corp.clone();
    other.worker = portcullis::engine::WorkerState::new(
        Policy::compile(w.document.to_string().as_bytes(), "test").unwrap(),
        "test",
    );
    other.store = Rc::clone(&w.store);
    other
}

#[test]
fn what_is_remembered_is_refused_by_every_worker_within_the_interval() {
    let a = World::with(listed);
    let b = other_worker(&a);
    let ask = a.bearer(Ask::get("/tokens"), |c| c["jti"] = "t".into());
    let kept = a.bearer(Ask::get("/tokens"), |c| c["jti"] = "u".into());
    let mut list = json!({"jti": ["x"]});
    let mut refused_after = [None; 2];
    for second in 0..120 {
        a.now.set(NOW + second);
        b.now.set(NOW + second);
        // Whoever is told to fetches, the others take it over.
        let order = if second % 2 == 0 { [&a, &b] } else { [&b, &a] };
        for w in order {
            if let Some(purpose) = w.list_call() {
                w.deliver(purpose, ok(list.to_string().as_bytes()));
            }
        }
        if second == 50 {
            list = json!({"jti": ["x", "t"]});
        }
        for (w, refused) in [&a, &b].into_iter().zip(&mut refused_after) {
            if second == 0 {
                // One of them has it by its next tick.
                w.tick();
            }
            assert_eq!(w.reason(&kept), None, "{second}");
            match w.reason(&ask) {
                None => assert_eq!(*refused, None, "refused once, refused for good: {second}"),
                reason => {
                    assert_eq!(reason, Some(TokenRevoked));
                    refused.get_or_insert(second);
                }
            }
        }
    }
    for second in refused_after {
        assert!((51..=80).contains(&second.unwrap()), "{refused_after:?}");
    }
}

#[test]
fn a_list_server_that_is_down() {
    for (when_stale, expected) in [("Deny", Some(RevocationUnavailable)), ("Serve", None)] {
        let w = World::with(|policy| {
            listed(policy);
            let remote = policy["revocation"]["remote"].as_object_mut().unwrap();
            remote.insert("whenStale".into(), when_stale.into());
            if when_stale == "Serve" {
                remote.shift_remove("maxStale");
            }
        });
        let ask = w.bearer(Ask::get("/tokens"), |_| {});
        let revoked = w.bearer(Ask::get("/tokens"), |c| c["jti"] = "t".into());
        let key = Ask::get("/keys").key("reader-secret");
        w.fetch_list(&json!({"jti": ["t"]}));
        // One second after the other: the server fails in every way.
        for second in 1..=300 {
            w.now.set(NOW + second);
            if let Some(purpose) = w.list_call() {
                let bad = Outcome::Answer { status: 500, headers: &[], body: b"{}" };
                let outcome =
                    [Outcome::Failed, bad, ok(b"{\"jti\": [1]}")][usize::try_from(second % 3).unwrap()];
                assert_eq!(w.deliver(purpose, outcome).len(), 1);
            }
            let too_old = second > 120;
            for ask in [&ask, &key] {
                assert_eq!(w.reason(ask), expected.filter(|_| too_old), "{second}");
            }
            assert_eq!(w.reason(&revoked), Some(TokenRevoked), "known for certain, however old the list");
            assert_eq!(w.reason(&Ask::get("/health")), None, "{second}");
        }
        if let Some(reason) = expected {
            let answer = w.ask(&ask);
            assert_eq!(answer.upstream.as_ref().unwrap_err().status, reason.status());
            assert!(answer.reply("retry-after").is_some());
        }
        let purpose = (0..60).find_map(|_| {
            w.later(1);
            w.list_call()
        });
        w.deliver(purpose.unwrap(), ok(b"{}"));
        assert_eq!((w.reason(&ask), w.reason(&revoked)), (None, None));
    }
}
