//! Which requests count as uses of their keys.

use portcullis::{calls::Outcome, engine::Purpose};
use serde_json::{Value, json};

use crate::world::{Ask, World};

impl World {
    /// What is told when an interval is over: uses by key, and what is left for the log.
    fn uses(&self) -> Value {
        self.later(80);
        assert!(self.tick().iter().all(|(purpose, _)| *purpose != Purpose::KeyUses));
        let mut told = self.worker.take_key_uses(false).into_iter();
        let line = told.next().unwrap_or_else(|| "{\"keysUsed\":{}}".to_owned());
        assert_eq!(told.next(), None);
        let line: Value = serde_json::from_str(&line).unwrap();
        let uses = line["keysUsed"].as_object().unwrap().iter();
        uses.map(|(id, told)| (id.clone(), told["uses"].clone())).collect::<serde_json::Map<_, _>>().into()
    }
}

fn counting(to: Value) -> World {
    World::with(|policy| {
        policy["apiKeys"]["usage"] = to;
        // Time passes between requests.
        policy["apiKeys"]["keys"][6]["notBefore"] = "2030-01-01T00:00:00Z".into();
        policy["apiKeys"]["etcd"] = json!({"uri": "http://etcd.test:2379", "cluster": "etcd"});
        policy["rateLimits"][0]["limits"][0]["requests"] = 100_000.into();
        policy["rules"].as_array_mut().unwrap().push(json!({"name": "waits",
            "matches": [{"path": {"type": "Exact", "value": "/waits"}}],
            "authenticate": {"allOf": ["apiKey", {"jwt": "opaque"}]}}));
        policy["rules"].as_array_mut().unwrap().push(json!({"name": "maybe",
            "matches": [{"path": {"type": "Exact", "value": "/maybe"}}],
            "authenticate": {"anyOf": ["apiKey"], "optional": true, "invalidCredentials": "Anonymous"}}));
    })
}

#[test]
fn requests_with_good_keys_are_uses() {
    let w = counting(json!({"to": "Log"}));
    w.tick();
    let get = |path: &str, key: &str| Ask::get(path).key(&format!("{key}-secret"));
    let acting = |key: &str| {
        let token = w.partner.sign(&crate::world::claims("https://partner.example"));
        get("/acting", key).header("x-partner-token", &token)
    };
    for (ask, expected) in [
        (get("/keys", "reader"), json!({"reader": 1})),
        // Whatever else it was refused for, somebody has it.
        (get("/orders", "gold"), json!({"gold": 1})),
        (get("/reports/1", "writer"), json!({"writer": 1})),
        (get("/maybe", "reader"), json!({"reader": 1})),
        // Here it is the actor's, of a request that is allowed, and of one that is not.
        (acting("reader"), json!({"reader": 1})),
        (acting("writer"), json!({"writer": 1})),
        // While the token's issuer is asked the request is not decided, and then it is decided once.
        (get("/waits", "reader").token("asked"), json!({"reader": 1})),
        // One that is not good is not used.
        (get("/keys", "expired"), json!({})),
        (get("/keys", "future"), json!({})),
        (get("/keys", "disabled"), json!({})),
        (get("/keys", "revoked"), json!({})),
        (get("/keys", "inside"), json!({})),
        (get("/maybe", "expired"), json!({})),
        (acting("expired"), json!({})),
        (get("/keys", "nobody's"), json!({})),
        // Where keys are not looked at none is used.
        (get("/tokens", "reader"), json!({})),
        (get("/health", "reader"), json!({})),
        (Ask::get("/keys"), json!({})),
    ] {
        let reason = w.reason(&ask);
        assert_eq!(w.uses(), expected, "{reason:?}: {ask:?}");
    }
    (0..5).for_each(|_| _ = w.reason(&get("/keys", "reader")));
    w.reason(&get("/keys", "writer"));
    assert_eq!(w.uses(), json!({"reader": 5, "writer": 1}));
    w.reason(&get("/keys", "reader"));
    let told = w.worker.take_key_uses(true);
    assert!(told.len() == 1 && told[0].starts_with(r#"{"keysUsed":{"reader":{"uses":1,"#), "{told:?}");
    assert_eq!(w.worker.take_key_uses(true), [""; 0]);
}

#[test]
fn what_etcd_does_not_take_is_kept() {
    let w = counting(json!({"to": "Etcd", "interval": "10s"}));
    let call = |w: &World| {
        let mut calls = w.tick().into_iter().filter(|(purpose, _)| *purpose == Purpose::KeyUses);
        let call = calls.next().map(|(_, call)| call);
        assert!(calls.next().is_none());
        call
    };
    assert!(call(&w).is_none());
    w.later(9);
    w.reason(&Ask::get("/keys").key("reader-secret"));
    assert!(call(&w).is_none(), "the interval is not over");
    w.later(3);
    assert_eq!(call(&w).unwrap().endpoint.path, "/v3/kv/txn");
    assert!(call(&w).is_none(), "its answer is due");
    w.reason(&Ask::get("/keys").key("reader-secret"));
    let said = w.deliver(Purpose::KeyUses, Outcome::Failed);
    assert!(said[0].contains("uses of API keys: ") && said[0].contains("is written next time"), "{said:?}");
    assert!(call(&w).is_none(), "not before the next interval is over");
    assert_eq!(w.worker.take_key_uses(false), [""; 0]);
    // Where there is no next one the log has all.
    let told = w.worker.take_key_uses(true);
    assert!(told[0].starts_with(r#"{"keysUsed":{"reader":{"uses":2,"#), "{told:?}");
}

#[test]
fn nothing_is_counted_unless_asked_for() {
    let w = World::new();
    w.tick();
    w.reason(&Ask::get("/keys").key("reader-secret"));
    w.later(3600);
    assert!(w.tick().iter().all(|(purpose, _)| *purpose != Purpose::KeyUses));
    assert_eq!(w.worker.take_key_uses(true), [""; 0]);
}
