//! Tokens whose issuer is asked about them: who waits, what the issuer is asked, and what its word is worth.

use portcullis::{
    answer::Reason::{
        self, IntrospectionUnavailable, TokenAlgorithm, TokenInactive, TokenIssuer, TokenSignature,
    },
    calls::{Call, Outcome},
    engine::Purpose,
};
use serde_json::{Value, json};

use crate::{
    document::introspection,
    world::{Ask, Issuer, NOW, Pending, World, asked_about, claims, ok},
};

fn world(change: impl FnOnce(&mut Value)) -> World {
    World::with(|policy| {
        policy["rateLimits"][0]["limits"][0]["requests"] = 100_000.into();
        change(policy);
    })
}

/// The introspection of the provider "opaque".
fn opaque(policy: &mut Value) -> &mut Value {
    &mut policy["jwt"]["providers"][3]["introspection"]
}

/// Of the provider "corp", which has keys.
fn corp(policy: &mut Value, mode: &str, more: Value) {
    let mut asked = introspection("https://idp.example/introspect");
    asked["mode"] = mode.into();
    asked.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    policy["jwt"]["providers"][0]["introspection"] = asked;
}

fn active() -> Value {
    json!({"active": true, "sub": "alice", "aud": "api", "iat": NOW, "exp": NOW + 600})
}

fn waiting(w: &World, ask: &Ask) -> Pending {
    let mut pending = Pending::new(ask);
    assert!(pending.waits(w), "{ask:?}");
    pending
}

fn only_call(w: &World) -> (Purpose, Call) {
    let mut calls = w.worker.take_calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls.remove(0)
}

/// What the issuers are asked about for `ask`, before it is decided.
fn asked(w: &World, ask: &Ask) -> Vec<String> {
    let mut pending = Pending::new(ask);
    let _ = pending.decide(w);
    let calls = w.worker.take_calls();
    calls
        .into_iter()
        .inspect(|(purpose, call)| w.answer_call(*purpose, call))
        .map(|(_, call)| asked_about(&call))
        .collect()
}

#[test]
fn one_call_for_all_who_wait_for_it() {
    let w = world(|_| {});
    w.issue("good", 200, active());
    let ask = Ask::get("/opaque").token("good");
    let mut requests: Vec<_> = (0..5).map(|_| waiting(&w, &ask)).collect();
    let mut bad = waiting(&w, &Ask::get("/opaque").token("bad"));
    let calls = w.worker.take_calls();
    let tokens: Vec<_> = calls.iter().map(|(_, call)| asked_about(call)).collect();
    assert_eq!(tokens, ["good", "bad"]);
    // Each is decided again for its own answer, not for every one: a flood would cost the square of itself.
    let (good_call, bad_call) = (calls[0].0, calls[1].0);
    assert!(requests.iter().all(|request| request.waits_for(good_call) && !request.waits_for(bad_call)));
    assert!(bad.waits_for(bad_call) && !bad.waits_for(good_call));
    assert!(!bad.waits_for(Purpose::KeySet { provider: 0 }) && !bad.waits_for(Purpose::Revocations));
    // Woken by something else, nobody asks again.
    assert!(requests.iter_mut().chain([&mut bad]).all(|request| request.waits(&w)));
    assert_eq!(w.worker.take_calls(), []);
    w.answer_call(calls[0].0, &calls[0].1);
    for request in &mut requests {
        let answer = request.decide(&w).unwrap();
        assert_eq!((answer.reason, answer.upstream("x-portcullis-subject").as_str()), (None, "alice"));
    }
    assert!(bad.waits(&w), "the answer was about another token");
    w.answer_call(calls[1].0, &calls[1].1);
    assert_eq!(bad.reason(&w), Some(TokenInactive));
    w.worker.settled();
    // Both are known now, for a while.
    assert_eq!(asked(&w, &ask), [""; 0]);
    assert_eq!(w.reason(&Ask::get("/opaque").token("bad")), Some(TokenInactive));
    w.later(9);
    assert_eq!(asked(&w, &Ask::get("/opaque").token("bad")), [""; 0]);
    w.later(1);
    assert_eq!(asked(&w, &Ask::get("/opaque").token("bad")), ["bad"]);
    w.later(49);
    assert_eq!(asked(&w, &ask), [""; 0]);
    w.issue("good", 200, json!({"active": false}));
    w.later(1);
    assert_eq!(w.reason(&ask), Some(TokenInactive), "revoked, and noticed within cacheDuration");
}

#[test]
fn nothing_kept_serves_those_who_wait_and_nobody_else() {
    let w = world(|policy| {
        opaque(policy)["cacheDuration"] = "0s".into();
        opaque(policy)["inactiveCacheDuration"] = "0s".into();
    });
    for (token, expected) in [("good", None), ("bad", Some(TokenInactive))] {
        w.issue("good", 200, active());
        let ask = Ask::get("/opaque").token(token);
        let mut requests = [waiting(&w, &ask), waiting(&w, &ask)];
        let (purpose, call) = only_call(&w);
        w.answer_call(purpose, &call);
        for request in &mut requests {
            assert_eq!(request.reason(&w), expected);
        }
        // Who comes between the answer and its end asks anew.
        let mut late = waiting(&w, &ask);
        let (purpose, call) = only_call(&w);
        w.worker.settled();
        assert!(late.waits(&w));
        w.answer_call(purpose, &call);
        assert_eq!(late.reason(&w), expected);
        w.worker.settled();
    }
}

#[test]
fn an_issuer_that_cannot_tell() {
    let html = b"<html>".as_slice();
    let rows = [
        Outcome::Failed,
        Outcome::Answer { status: 503, headers: &[], body: b"{\"active\": true}" },
        Outcome::Answer { status: 401, headers: &[], body: b"{\"active\": true}" },
        ok(html),
        ok(b"{}"),
        ok(b"{\"active\": \"true\"}"),
        ok(b"{\"active\": true, \"active\": true}"),
    ];
    for outcome in rows {
        let w = world(|_| {});
        let ask = Ask::get("/opaque").token("good");
        let mut request = waiting(&w, &ask);
        let (purpose, _) = only_call(&w);
        assert_eq!(w.deliver(purpose, outcome).len(), 1, "the operator is told");
        let answer = request.decide(&w).unwrap();
        assert_eq!(answer.reason, Some(IntrospectionUnavailable), "{outcome:?}");
        assert_eq!(answer.upstream.as_ref().unwrap_err().status, 503);
        assert_eq!(answer.reply("retry-after"), Some("1"));
        w.worker.settled();
        // Not asked about in vain again at once, but soon.
        assert_eq!(w.reason(&ask), Some(IntrospectionUnavailable));
        assert_eq!(w.worker.take_calls(), []);
        w.later(1);
        w.issue("good", 200, active());
        assert_eq!(w.reason(&ask), None);
    }
}

#[test]
fn no_request_waits_for_ever() {
    let w = world(|policy| opaque(policy)["timeout"] = "2s".into());
    let ask = Ask::get("/opaque").token("good");
    let mut first = waiting(&w, &ask);
    let (never_answered, _) = only_call(&w);
    w.later(2);
    let mut second = waiting(&w, &ask);
    assert!(first.waits(&w));
    w.later(1);
    // Two seconds, and one for the answer to be delivered.
    let answer = first.decide(&w).unwrap();
    assert_eq!(answer.reason, Some(IntrospectionUnavailable));
    assert_eq!(answer.reply("retry-after"), Some("1"));
    assert_eq!(w.worker.take_calls(), [], "nobody asks on behalf of a request that is refused");
    // The second one may wait longer, and asks for itself.
    assert!(second.waits(&w));
    let (purpose, call) = only_call(&w);
    assert_ne!(purpose, never_answered);
    w.issue("good", 200, active());
    w.answer_call(purpose, &call);
    assert_eq!(second.reason(&w), None);
}

#[test]
fn where_nobody_may_wait_nobody_is_asked() {
    let w = world(|_| {});
    w.issue("good", 200, active());
    let ask = Ask::get("/opaque").token("good");
    w.may_wait.set(false);
    assert_eq!(Pending::new(&ask).reason(&w), Some(IntrospectionUnavailable));
    assert_eq!(w.worker.take_calls(), []);
    w.may_wait.set(true);
    assert_eq!(w.reason(&ask), None);
    w.may_wait.set(false);
    assert_eq!(Pending::new(&ask).reason(&w), None, "known from before");
}

#[test]
fn a_flood_from_one_address_leaves_the_calls_of_others_alone() {
    let w = world(|_| {});
    let from = |last: u8| w.client.set(Some([203, 0, 113, last].into()));
    let opaque = |token: &str| Pending::new(&Ask::get("/opaque").token(token));
    w.issue("good", 200, active());
    from(1);
    let mut flood: Vec<_> = (0..130).map(|n| opaque(&format!("made-up-{n}"))).collect();
    let waiting = flood.iter_mut().filter_map(|request| request.waits(&w).then_some(())).count();
    let forged = w.worker.take_calls();
    assert_eq!((waiting, forged.len()), (43, 43));
    from(2);
    let mut good = opaque("good");
    assert!(good.waits(&w));
    let (purpose, call) = only_call(&w);
    w.answer_call(purpose, &call);
    assert_eq!(good.reason(&w), None);
    w.worker.settled();

    // The issuer chokes on all of them. Who sent them waits, and nobody else does.
    from(1);
    for (purpose, _) in &forged {
        w.deliver(*purpose, Outcome::Answer { status: 500, headers: &[], body: b"" });
    }
    assert_eq!(opaque("made-up-more").reason(&w), Some(IntrospectionUnavailable));
    assert_eq!(w.worker.take_calls(), []);
    from(2);
    w.issue("good-too", 200, active());
    assert!(opaque("good-too").waits(&w));
    let _ = only_call(&w);
}

#[test]
fn always_asks_about_tokens_that_verify_and_no_others() {
    let w = world(|policy| corp(policy, "Always", json!({"cacheDuration": "5s"})));
    let token = w.token(|_| {});
    let ask = Ask::get("/tokens").token(&token);
    assert_eq!(w.reason(&ask), Some(TokenInactive), "good as it is");
    w.issue(&token, 200, active());
    w.later(10);
    assert_eq!(w.reason(&ask), None);
    // The issuer takes it back: noticed when its word is over.
    w.issue(&token, 200, json!({"active": false}));
    w.later(4);
    assert_eq!(w.reason(&ask), None);
    w.later(1);
    assert_eq!(w.reason(&ask), Some(TokenInactive));
    w.issue(&token, 500, json!({}));
    w.later(10);
    assert_eq!(w.reason(&ask), Some(IntrospectionUnavailable));
    // What the issuer says makes no forged token good.
    let forged = Issuer::new("c1").sign(&claims("https://idp.example"));
    w.issue(&forged, 200, active());
    let ask = Ask::get("/tokens").token(&forged);
    assert_eq!(asked(&w, &ask), [""; 0]);
    assert_eq!(w.reason(&ask), Some(TokenSignature));
}

#[test]
fn a_jwt_is_sent_to_its_own_issuer_at_most() {
    let with_keys = world(|policy| corp(policy, "Opaque", json!({})));
    let without = world(|_| {});
    let foreign = Issuer::new("c1").sign(&claims("https://elsewhere.example"));
    // Headers that nobody here takes, with the claims and the signature of a good token.
    let token = with_keys.token(|_| {});
    let (_, rest) = token.split_once('.').unwrap();
    // {"alg":"none"}, {"alg":"ES512"}, {"alg":"ES256","crit":["x"]}
    let odd = |header: &str| format!("{header}.{rest}");
    let (none, es512) = (odd("eyJhbGciOiJub25lIn0"), odd("eyJhbGciOiJFUzUxMiJ9"));
    let crit = odd("eyJhbGciOiJFUzI1NiIsImNyaXQiOlsieCJdfQ");
    let of_as = Issuer::new("a1").sign(&claims("https://as.example"));
    let rows: [(&World, &str, &str, Option<Reason>); 6] = [
        (&with_keys, "/tokens", &foreign, Some(TokenIssuer)),
        (&with_keys, "/tokens", &none, Some(TokenAlgorithm)),
        (&with_keys, "/tokens", &es512, Some(TokenAlgorithm)),
        (&with_keys, "/tokens", &crit, Some(Reason::TokenMalformed)),
        (&with_keys, "/tokens", &token, None),
        (&without, "/opaque", &foreign, Some(TokenIssuer)),
    ];
    for (w, path, token, expected) in rows {
        w.issue(token, 200, active());
        let ask = Ask::get(path).token(token);
        assert_eq!(asked(w, &ask), [""; 0], "{path} {expected:?}");
        assert_eq!(w.reason(&ask), expected);
    }
    // What is no JWT is asked about, and without keys the issuer's own JWTs are, too.
    for (w, path, token) in
        [(&with_keys, "/tokens", "opaque"), (&with_keys, "/tokens", "a.b"), (&without, "/opaque", &of_as)]
    {
        w.issue(token, 200, active());
        let ask = Ask::get(path).token(token);
        assert_eq!(asked(w, &ask), [token]);
        assert_eq!(w.reason(&ask), None, "{path} {token}");
    }
}

#[test]
fn one_issuers_word_is_not_anothers() {
    // Two issuers that have never been asked before: both calls are the first of their kind.
    let w = world(|policy| {
        policy["jwt"]["providers"].as_array_mut().unwrap().push(json!({"name": "second",
            "issuer": "https://second.example", "audiences": ["api"],
            "introspection": introspection("https://second.example/introspect")}));
        policy["rules"].as_array_mut().unwrap().push(json!({"name": "second",
            "matches": [{"path": {"type": "Exact", "value": "/second"}}],
            "authenticate": {"anyOf": [{"jwt": "second"}]}}));
    });
    let mut at_first = waiting(&w, &Ask::get("/opaque").token("same"));
    let mut at_second = waiting(&w, &Ask::get("/second").token("same"));
    let calls = w.worker.take_calls();
    let hosts: Vec<_> = calls.iter().map(|(_, call)| call.endpoint.authority.as_str()).collect();
    assert_eq!(hosts, ["as.example", "second.example"]);
    w.deliver(calls[0].0, ok(active().to_string().as_bytes()));
    assert!(at_second.waits(&w), "nothing that the first says is about the second's tokens");
    assert_eq!(at_first.reason(&w), None);
    w.deliver(calls[1].0, ok(b"{\"active\": false}"));
    assert_eq!(at_second.reason(&w), Some(TokenInactive));
}
