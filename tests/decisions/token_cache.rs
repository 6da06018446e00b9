//! A token that is remembered is refused at the very time at which one that was never seen would be.

use portcullis::{
    answer::Reason::{
        self, CredentialsMissing, KeysUnavailable, TokenBinding, TokenExpired, TokenIssuer, TokenKey,
        TokenRevoked,
    },
    calls::Outcome,
    engine::{Purpose, WorkerState},
    policy::Policy,
};
use serde_json::{Value, json};

use crate::{
    revocation::listed,
    world::{Ask, Issuer, NOW, World, changed, claims, ok},
};

fn world(change: impl FnOnce(&mut Value)) -> World {
    World::with(|policy| {
        policy["rateLimits"][0]["limits"][0]["requests"] = 100_000.into();
        change(policy);
    })
}

impl World {
    fn keys_call(&self) -> Option<Purpose> {
        self.tick().into_iter().map(|(purpose, _)| purpose).next()
    }

    /// Ticks every second until the keys are fetched.
    fn fetch_keys(&self, set: &Value) {
        let purpose = (0..700).find_map(|_| {
            self.later(1);
            self.keys_call()
        });
        assert_eq!(self.deliver(purpose.unwrap(), ok(set.to_string().as_bytes())), [""; 0]);
    }

    /// Why it is refused by this worker, and by one that has seen no token yet but has the same state.
    fn both(&self, ask: &Ask) -> (Option<Reason>, Option<Reason>) {
        let policy = Policy::compile(self.document.to_string().as_bytes(), "test").unwrap();
        let fresh = WorkerState::new(policy, "test");
        let first = self.reason(ask);
        // It takes the keys over from the store at its first tick.
        self.with_services(|services| fresh.on_tick(services));
        let head = ask.head();
        let reason = self.with_services(|services| {
            let services = portcullis::engine::HostServices {
                may_wait: &|| false,
                clock: services.clock.clone(),
                ..*services
            };
            portcullis::engine::Exchange::default().on_request(&fresh, &head, &services).reason
        });
        (first, reason)
    }
}

/// A token of "remote" for `issuer`'s key.
fn remote(issuer: &Issuer) -> Ask {
    let token = issuer.sign(&changed(claims("https://remote.example"), |c| c["exp"] = (NOW + 36_000).into()));
    Ask::get("/remote").token(&token)
}

#[test]
fn refused_at_the_second_at_which_it_expires() {
    for (skew, secs) in [("60s", 60), ("0s", 0), ("7s", 7)] {
        let w = world(|policy| policy["jwt"]["providers"][0]["clockSkew"] = skew.into());
        let ask = w.bearer(Ask::get("/tokens"), |c| c["exp"] = (NOW + 90).into());
        for second in 0..90 + secs + 30 {
            w.now.set(NOW + second);
            let expected = (second >= 90 + secs).then_some(TokenExpired);
            assert_eq!(w.both(&ask), (expected, expected), "{skew} {second}");
        }
    }
}

#[test]
fn refused_when_its_key_is_gone() {
    let w = world(|_| {});
    let (old, other) = (w.remote.clone(), Issuer::new("r2"));
    let both = json!({"keys": [old.jwk, other.jwk]});
    w.fetch_keys(&old.set());
    let ask = remote(&old);
    assert_eq!(w.both(&ask), (None, None));
    // Another key beside it, and the same set again: it stays good.
    w.fetch_keys(&both);
    assert_eq!((w.both(&ask), w.both(&remote(&other))), ((None, None), (None, None)));
    w.fetch_keys(&both);
    assert_eq!(w.both(&ask), (None, None));
    // Removed.
    w.fetch_keys(&other.set());
    assert_eq!(w.both(&ask), (Some(TokenKey), Some(TokenKey)));
    assert_eq!(w.both(&remote(&other)), (None, None));
    // Another key by the same name.
    let renamed = Issuer::new("r2");
    w.fetch_keys(&renamed.set());
    assert_eq!(w.reason(&remote(&other)), Some(Reason::TokenSignature));
    assert_eq!(w.both(&remote(&renamed)), (None, None));
}

#[test]
fn refused_when_the_keys_are_too_old() {
    let w = world(|policy| policy["jwt"]["providers"][2]["jwks"]["maxStale"] = "15m".into());
    w.fetch_keys(&w.remote.set());
    let (ask, fetched_at) = (remote(&w.remote), w.now.get());
    assert_eq!(w.reason(&ask), None);
    for second in 1..=1000 {
        w.now.set(fetched_at + second);
        if let Some(purpose) = w.keys_call() {
            w.deliver(purpose, Outcome::Failed);
        }
        let expected = (second > 900).then_some(KeysUnavailable);
        let answer = w.ask(&ask);
        assert_eq!(answer.reason, expected, "{second}");
        if expected.is_some() {
            assert_eq!(answer.upstream.as_ref().unwrap_err().status, 503);
            assert!(answer.reply("retry-after").is_some());
        }
    }
    w.fetch_keys(&w.remote.set());
    assert_eq!(w.reason(&ask), None);
}

#[test]
fn a_new_policy_remembers_nothing() {
    let mut w = world(|_| {});
    let ask = w.bearer(Ask::get("/tokens"), |_| {});
    assert_eq!(w.reason(&ask), None);
    type Change = fn(&mut Value);
    let changes: [(Change, Reason); 3] = [
        (|policy| policy["jwt"]["providers"][0]["audiences"] = json!(["other"]), Reason::TokenAudience),
        (
            |policy| policy["jwt"]["providers"][0]["jwks"]["inline"] = Issuer::new("c1").set(),
            Reason::TokenSignature,
        ),
        (|policy| policy["jwt"]["providers"][0]["issuer"] = "https://new.example".into(), TokenIssuer),
    ];
    for (change, expected) in changes {
        let document = changed(w.document.clone(), change);
        let policy = Policy::compile(document.to_string().as_bytes(), "test").unwrap();
        let old = std::mem::replace(&mut w.worker, WorkerState::new(policy, "test"));
        assert_eq!(w.reason(&ask), Some(expected));
        w.worker = old;
        assert_eq!(w.reason(&ask), None);
    }
}

#[test]
fn what_is_not_part_of_a_token_is_judged_each_time() {
    let w = world(|_| {});
    let (corp, partner) = (w.token(|_| {}), w.partner.sign(&claims("https://partner.example")));
    let holder = Issuer::new("d1");
    let bound = w.corp.sign(&changed(claims("https://bound.example"), |c| c["cnf"] = holder.confirmation()));
    let proven = Ask::get("/bound")
        .header("authorization", &format!("DPoP {bound}"))
        .header("dpop", &holder.prove(&bound, "/bound", "1", None));
    let rows = [
        // Accepted here; there by a rule that takes another provider, from another place, or without its proof.
        (Ask::get("/tokens").token(&corp), Ask::get("/bound").token(&corp), TokenIssuer),
        (Ask::get("/tokens").token(&corp), Ask::get("/orders").header("x-partner-token", &corp), TokenIssuer),
        (
            Ask::get("/tokens").token(&corp),
            Ask::get("/tokens").header("x-partner-token", &corp),
            CredentialsMissing,
        ),
        (
            Ask::get("/limited").header("x-partner-token", &partner),
            Ask::get("/limited").token(&partner),
            TokenIssuer,
        ),
        (proven, Ask::get("/bound").token(&bound), TokenBinding),
    ];
    for (passes, refused, expected) in rows {
        assert_eq!(w.reason(&passes), None, "{passes:?}");
        assert_eq!(w.reason(&refused), Some(expected), "{refused:?}");
    }
    assert_eq!(w.reason(&Ask::get("/tokens").token(&corp)), None, "refused elsewhere, good here");
}

#[test]
fn revoked_at_once() {
    let w = world(listed);
    let ask = w.bearer(Ask::get("/tokens"), |c| c["sid"] = "s".into());
    w.fetch_list(&json!({}));
    assert_eq!((w.reason(&ask), w.reason(&ask)), (None, None));
    w.later(30);
    w.fetch_list(&json!({"sid": ["s"]}));
    assert_eq!(w.reason(&ask), Some(TokenRevoked));
    w.issue("active", 200, json!({"active": true, "sub": "alice", "aud": "api", "sid": "s"}));
    assert_eq!(
        w.reason(&Ask::get("/opaque").token("active")),
        Some(TokenRevoked),
        "whatever its issuer says"
    );
}

/// How many were remembered and how many had to be verified, since it was asked last.
#[test]
fn tokens_are_counted_by_whether_they_were_remembered() {
    let w = world(|_| {});
    let counted = |ask: &Ask| {
        w.reason(ask);
        w.worker.take_token_look_ups()
    };
    let good = w.bearer(Ask::get("/tokens"), |_| {});
    let forged = Ask::get("/tokens").token(&Issuer::new("c1").sign(&claims("https://idp.example")));
    let expired = w.bearer(Ask::get("/tokens"), |c| c["exp"] = (NOW - 600).into());
    for (ask, expected) in [
        (&good, [0, 1]),
        (&good, [1, 0]),
        (&forged, [0, 1]),
        (&forged, [0, 1]),
        // Its signature is of no interest, nor is there one.
        (&expired, [0, 0]),
        (&Ask::get("/tokens").token("a.b.c"), [0, 0]),
        (&Ask::get("/opaque").token("nobody"), [0, 0]),
        (&Ask::get("/health"), [0, 0]),
    ] {
        assert_eq!(counted(ask), expected, "{ask:?}");
    }
}
