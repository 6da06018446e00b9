//! Requests that wait: for what, for how long, and at what price.

use portcullis::{
    answer::Reason::{
        self, IntrospectionUnavailable, KeysUnavailable, RateLimited, TokenInactive, TokenKey, TokenSignature,
    },
    calls::Outcome,
};
use serde_json::{Value, json};

use crate::{
    document::introspection,
    world::{Ask, Issuer, NOW, Pending, World, claims, ok},
};

fn world(change: impl FnOnce(&mut Value)) -> World {
    World::with(|policy| {
        policy["rateLimits"][0]["limits"][0]["requests"] = 1000.into();
        change(policy);
    })
}

fn remote(issuer: &Issuer) -> Ask {
    Ask::get("/remote").token(&issuer.sign(&claims("https://remote.example")))
}

fn waiting(w: &World, ask: &Ask) -> Pending {
    let mut pending = Pending::new(ask);
    assert!(pending.waits(w), "{ask:?}");
    pending
}

#[test]
fn the_first_requests_wait_for_the_keys() {
    let w = world(|_| {});
    // Before the first tick and after it.
    let mut early = waiting(&w, &remote(&w.remote));
    let (purpose, _) = w.tick().pop().unwrap();
    let mut late = waiting(&w, &remote(&w.remote));
    let mut forged = waiting(&w, &remote(&Issuer::new("r1")));
    // Others do not wait for keys that are not theirs.
    assert_eq!(Pending::new(&w.bearer(Ask::get("/tokens"), |_| {})).reason(&w), None);
    assert!(early.waits(&w) && late.waits(&w));
    assert!(early.waits_for(purpose) && late.waits_for(purpose));
    assert_eq!(w.deliver(purpose, ok(w.remote.set().to_string().as_bytes())), [""; 0]);
    assert_eq!((early.reason(&w), late.reason(&w)), (None, None));
    assert_eq!(forged.reason(&w), Some(TokenSignature));
}

#[test]
fn keys_that_will_not_come_any_sooner_are_not_waited_for() {
    let w = world(|_| {});
    let mut first = waiting(&w, &remote(&w.remote));
    let (purpose, _) = w.tick().pop().unwrap();
    w.deliver(purpose, Outcome::Failed);
    let answer = first.decide(&w).unwrap();
    assert_eq!(answer.reason, Some(KeysUnavailable));
    // After a second and some jitter, in whole seconds.
    assert_eq!(answer.reply("retry-after"), Some("2"));
    assert_eq!(Pending::new(&remote(&w.remote)).reason(&w), Some(KeysUnavailable));
}

#[test]
fn where_nobody_may_wait() {
    let w = world(|_| {});
    w.may_wait.set(false);
    let answer = Pending::new(&remote(&w.remote)).decide(&w).unwrap();
    assert_eq!(answer.reason, Some(KeysUnavailable));
    assert_eq!(answer.upstream.as_ref().unwrap_err().status, 503);
    assert!(answer.reply("retry-after").is_some());
    // Nor by those that wait already, when there are too many.
    w.may_wait.set(true);
    let mut request = waiting(&w, &remote(&w.remote));
    w.may_wait.set(false);
    assert_eq!(request.reason(&w), Some(KeysUnavailable));
    let none = world(|policy| policy["jwt"]["providers"][2]["jwks"]["waitTimeout"] = "0s".into());
    assert_eq!(Pending::new(&remote(&none.remote)).reason(&none), Some(KeysUnavailable));
}

#[test]
fn the_first_token_of_a_new_key_waits_for_it() {
    let w = world(|_| {});
    w.tick().into_iter().for_each(|(purpose, _)| {
        w.deliver(purpose, ok(w.remote.set().to_string().as_bytes()));
    });
    w.later(60);
    assert!(w.tick().is_empty());
    let new = Issuer::new("r2");
    let mut request = waiting(&w, &remote(&new));
    // A made-up one waits as long: nobody can tell yet.
    let mut made_up = waiting(&w, &remote(&Issuer::new("r3")));
    let (purpose, _) = w.tick().pop().unwrap();
    assert!(request.waits(&w));
    let both = json!({"keys": [w.remote.jwk, new.jwk]});
    assert_eq!(w.deliver(purpose, ok(both.to_string().as_bytes())), [""; 0]);
    assert_eq!(request.reason(&w), None);
    // Not in the new set, which was fetched just now: no reason to fetch again.
    assert_eq!(made_up.reason(&w), Some(TokenKey));
    assert_eq!(Pending::new(&remote(&Issuer::new("r4"))).reason(&w), Some(TokenKey));
    assert!(w.tick().is_empty());
}

/// The same name, another key: its first tokens wait for it. A forged one of the old name waits once, and costs one
/// check of its signature for each set.
#[test]
fn the_first_token_of_a_replaced_key_waits_for_it() {
    let w = world(|_| {});
    w.tick().into_iter().for_each(|(purpose, _)| {
        w.deliver(purpose, ok(w.remote.set().to_string().as_bytes()));
    });
    let (new, forger) = (Issuer::new("r1"), Issuer::new("r1"));
    // Too soon after the last fetch to wait for the next one.
    assert_eq!(Pending::new(&remote(&new)).reason(&w), Some(TokenSignature));
    w.later(60);
    let mut request = waiting(&w, &remote(&new));
    let mut forged = waiting(&w, &remote(&forger));
    let checked = w.checked.get();
    let (purpose, _) = w.tick().pop().unwrap();
    for _ in 0..5 {
        assert!(request.waits(&w) && forged.waits(&w));
    }
    assert_eq!(w.checked.get(), checked, "with the same keys the outcome is the same");
    assert_eq!(w.deliver(purpose, ok(new.set().to_string().as_bytes())), [""; 0]);
    assert_eq!((request.reason(&w), forged.reason(&w)), (None, Some(TokenSignature)));
    assert_eq!(w.checked.get(), checked + 2);
    assert_eq!(w.reason(&remote(&w.remote)), Some(TokenSignature), "the old key is no longer published");
}

/// Forged tokens under a published name, day and night: they are refused at once but for the moments in which a fetch
/// is under way that they caused, and those come ever more rarely.
#[test]
fn forged_tokens_rarely_wait() {
    let w = world(|policy| policy["rateLimits"][0]["limits"][0]["requests"] = 1_000_000.into());
    let set = w.remote.set().to_string();
    let (forged, good) = (remote(&Issuer::new("r1")), remote(&w.remote));
    w.tick().into_iter().for_each(|(purpose, _)| {
        w.deliver(purpose, ok(set.as_bytes()));
    });
    let (mut waited, mut fetched) = (Vec::new(), Vec::new());
    for secs in 1..=400 {
        w.later(1);
        let mut request = Pending::new(&forged);
        if request.waits(&w) {
            waited.push(secs);
        }
        for (purpose, _) in w.tick() {
            fetched.push(secs);
            assert_eq!(w.deliver(purpose, ok(set.as_bytes())), [""; 0]);
        }
        assert_eq!(request.reason(&w), Some(TokenSignature));
        assert_eq!(Pending::new(&good).reason(&w), None);
    }
    assert_eq!((waited, fetched), (vec![30, 60, 120, 240], vec![30, 60, 120, 240]));
}

/// However many keys without a name it is tried with, and however often it is looked at again.
#[test]
fn what_waits_is_held_against_the_same_keys_once() {
    let w = world(|_| {});
    let mut nameless = Issuer::new("r0").jwk;
    nameless.as_object_mut().unwrap().remove("kid");
    let set = json!({"keys": vec![nameless; 5]}).to_string();
    w.tick().into_iter().for_each(|(purpose, _)| {
        w.deliver(purpose, ok(set.as_bytes()));
    });
    w.later(60);
    let mut request = waiting(&w, &remote(&w.remote));
    assert_eq!(w.checked.get(), 4);
    let (purpose, _) = w.tick().pop().unwrap();
    assert!((0..10).all(|_| request.waits(&w)));
    assert_eq!(w.checked.get(), 4);
    assert_eq!(w.deliver(purpose, ok(w.remote.set().to_string().as_bytes())), [""; 0]);
    assert_eq!(request.reason(&w), None);
    assert_eq!(w.checked.get(), 5);
}

/// Where the old key was of another type, or of no use, too.
#[test]
fn a_key_replaced_by_one_of_another_type() {
    let w = world(|_| {});
    let mut key = json!({"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
    key["kid"] = "r1".into();
    w.tick().into_iter().for_each(|(purpose, _)| {
        w.deliver(purpose, ok(json!({"keys": [key]}).to_string().as_bytes()));
    });
    key["use"] = "enc".into();
    let turn = |set: Value, expected: Option<Reason>| {
        w.later(60);
        let mut request = waiting(&w, &remote(&w.remote));
        let (purpose, _) = w.tick().pop().unwrap();
        w.deliver(purpose, ok(set.to_string().as_bytes()));
        let answer = request.decide(&w).unwrap();
        assert_eq!(answer.reason, expected);
        answer.recorded("detail")
    };
    let other = Issuer::new("r2").jwk;
    assert_eq!(
        turn(json!({"keys": [key, other]}), Some(TokenKey)),
        "the key with the kid \"r1\" is not used: `use` is not `sig`"
    );
    assert_eq!(turn(w.remote.set(), None), Value::Null);
}

#[test]
fn the_first_deadline_holds() {
    let w = world(|_| {});
    let mut request = waiting(&w, &remote(&w.remote));
    for _ in 0..4 {
        // Under way all the time.
        w.tick();
        let reason = request.decide(&w).map(|answer| answer.reason);
        let expected = (w.now.get() >= NOW + 2).then_some(Some(KeysUnavailable));
        assert_eq!(reason, expected, "{}", w.now.get() - NOW);
        w.later(1);
    }
    // Two things to wait for, one after the other: no more time for it.
    let w = world(|policy| {
        let mut asked = introspection("https://remote.example/introspect");
        asked["mode"] = "Always".into();
        policy["jwt"]["providers"][2]["introspection"] = asked;
    });
    let mut request = waiting(&w, &remote(&w.remote));
    let (purpose, _) = w.tick().pop().unwrap();
    w.later(1);
    w.deliver(purpose, ok(w.remote.set().to_string().as_bytes()));
    assert!(request.waits(&w));
    let mut second = waiting(&w, &remote(&w.remote));
    let calls = w.worker.take_calls();
    assert_eq!(calls.len(), 2, "signatures differ, so tokens do");
    w.later(1);
    assert_eq!(request.reason(&w), Some(IntrospectionUnavailable));
    assert!(second.waits(&w), "it came later");
    calls.iter().for_each(|(purpose, call)| w.answer_call(*purpose, call));
    assert_eq!(second.reason(&w), Some(TokenInactive));
}

#[test]
fn a_request_that_waits_is_charged_once() {
    let w = World::with(|policy| {
        policy["rateLimits"][0]["limits"][0]["requests"] = 2.into();
        policy["rules"]
            .as_array_mut()
            .unwrap()
            .iter_mut()
            .filter(|rule| rule["name"] == "opaque")
            .for_each(|rule| rule["rateLimits"] = json!(["reads"]));
    });
    w.issue("good", 200, json!({"active": true, "sub": "alice", "aud": "api"}));
    let ask = Ask::get("/opaque").token("good");
    let mut request = waiting(&w, &ask);
    let (purpose, call) = w.worker.take_calls().pop().unwrap();
    // However often it is woken.
    assert!((0..10).all(|_| request.waits(&w)));
    w.answer_call(purpose, &call);
    assert_eq!(request.reason(&w), None);
    w.worker.settled();
    assert_eq!(w.reason(&ask), None, "the second of two");
    let answer = w.ask(&ask);
    assert_eq!((answer.reason, answer.recorded("limit")), (Some(RateLimited), json!("throttle")));
    // And to its rule's limit: two of three so far.
    let elsewhere = |address: &str| w.ask(&ask.clone().from(address));
    assert_eq!(elsewhere("10.0.0.1").reason, None);
    assert_eq!(elsewhere("10.0.0.2").recorded("limit"), json!("reads"));
}
