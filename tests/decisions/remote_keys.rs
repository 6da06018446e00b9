//! Keys that are fetched: no token of theirs passes before they are there.

use portcullis::{
    answer::Reason::{KeysUnavailable, TokenKey},
    calls::{Outcome, Unsent},
    engine::Purpose,
};

use serde_json::json;

use crate::world::{Ask, Issuer, World, claims, ok};

impl World {
    /// What a tick asks for.
    fn calls(&self) -> Vec<Purpose> {
        let calls = self.tick();
        for (_, call) in &calls {
            assert_eq!((call.cluster.as_str(), call.endpoint.path.as_str()), ("remote", "/jwks"));
        }
        calls.into_iter().map(|(purpose, _)| purpose).collect()
    }

    /// Ticks every second until something is asked for, for `secs` at most.
    fn call_within(&self, secs: u64) -> Option<Purpose> {
        (0..secs).find_map(|_| {
            self.now.set(self.now.get() + 1);
            self.calls().pop()
        })
    }
}

#[test]
fn keys_are_fetched_and_fetched_again_for_an_unknown_kid() {
    let w = World::with(|policy| policy["rateLimits"][0]["limits"][0]["requests"] = 1000.into());
    let token = |issuer: &Issuer| {
        let token = issuer.sign(&claims("https://remote.example"));
        Ask::get("/remote").header("authorization", &format!("Bearer {token}"))
    };
    let old = token(&w.remote);
    assert_eq!(w.reason(&old), Some(KeysUnavailable));
    assert_eq!(w.ask(&old).upstream.unwrap_err().status, 503);
    let purpose = w.calls()[0];
    assert_eq!(w.calls(), []);
    assert_eq!(w.reason(&old), Some(KeysUnavailable));
    // A failed or unreadable answer is no key set.
    assert_eq!(w.deliver(purpose, Outcome::Failed).len(), 1);
    assert_eq!(w.reason(&old), Some(KeysUnavailable));
    let purpose = w.call_within(5).unwrap();
    assert_eq!(w.deliver(purpose, ok(b"{}")).len(), 1);
    assert_eq!(w.reason(&old), Some(KeysUnavailable));
    let purpose = w.call_within(10).unwrap();
    assert_eq!(w.deliver(purpose, ok(w.remote.set().to_string().as_bytes())), [""; 0]);
    assert_eq!(w.reason(&old), None);

    // The issuer rotates: one fetch, however many tokens ask for it.
    let rotated = Issuer::new("r2");
    let new = token(&rotated);
    w.now.set(w.now.get() + 60);
    assert_eq!(w.calls(), []);
    assert_eq!((w.reason(&new), w.reason(&new)), (Some(TokenKey), Some(TokenKey)));
    let calls: Vec<_> = (0..5).flat_map(|_| w.calls()).collect();
    assert_eq!(calls.len(), 1);
    assert_eq!(w.deliver(calls[0], ok(rotated.set().to_string().as_bytes())), [""; 0]);
    assert_eq!((w.reason(&new), w.reason(&old)), (None, Some(TokenKey)));
    // Made-up kids cannot make us fetch without end.
    let mut fetches = 0;
    for _ in 0..60 {
        w.now.set(w.now.get() + 1);
        assert_eq!(w.reason(&old), Some(TokenKey));
        for purpose in w.calls() {
            fetches += 1;
            w.deliver(purpose, ok(rotated.set().to_string().as_bytes()));
        }
    }
    assert!((1..=2).contains(&fetches), "{fetches}");
}

/// Why each key is not used and what to do about it, also where none is, and not without end.
#[test]
fn what_is_said_of_keys_that_are_not_used() {
    let w = World::new();
    let mut padded = w.remote.jwk.clone();
    padded["x"] = format!("{}=", padded["x"].as_str().unwrap()).into();
    let bad = json!({"keys": [padded, {"kty": "RSA", "n": "AQ", "e": "AQAB", "use": "enc"}]});
    let purpose = w.calls()[0];
    let mut said = vec![
        "key set of \"remote\": no usable key set: no usable key".to_owned(),
        "key set of \"remote\": not used: keys[0] (kid \"r1\"): `x` is not base64url without padding (RFC 7518 \
         section 2); have the provider mend it, or put the mended key into `jwks.inline`"
            .to_owned(),
        "key set of \"remote\": not used: keys[1]: `use` is not `sig`; right for keys that encrypt; have the provider \
         say `sig` of others, or nothing"
            .to_owned(),
    ];
    assert_eq!(w.deliver(purpose, ok(bad.to_string().as_bytes())), said);
    // The same again: once is enough.
    let purpose = w.call_within(5).unwrap();
    said.truncate(1);
    assert_eq!(w.deliver(purpose, ok(bad.to_string().as_bytes())), said);
    // Beside a good one, and more than anyone would read.
    let purpose = w.call_within(10).unwrap();
    let mut many = vec![json!({"kty": "oct"}); 13];
    many.push(w.remote.jwk.clone());
    let said = w.deliver(purpose, ok(json!({"keys": many}).to_string().as_bytes()));
    assert_eq!(said.len(), 11);
    assert!(
        said[9].starts_with("key set of \"remote\": not used: keys[9]: a symmetric key in a public set; ")
    );
    assert_eq!(said[10], "key set of \"remote\": not used: 3 more");
}

/// One line says all there is to say, and the call is tried again.
#[test]
fn a_call_that_could_not_be_sent_says_what_it_was_for() {
    let w = World::new();
    let purpose = w.calls()[0];
    let unsent = |purpose, why| w.with_services(|services| w.worker.on_unsent(purpose, "idp", why, services));
    for (why, said) in [
        (Unsent::NoCluster, "key set of \"remote\": Envoy has no cluster \"idp\""),
        (
            Unsent::NoHost,
            "key set of \"remote\": cluster \"idp\" has no host to send to, or as many requests as it may",
        ),
        (Unsent::Refused, "key set of \"remote\": cluster \"idp\" took no request"),
    ] {
        assert_eq!(unsent(purpose, why), said);
        w.call_within(10).unwrap();
    }
    assert_eq!(
        unsent(Purpose::Revocations, Unsent::NoCluster),
        "revocation list: Envoy has no cluster \"idp\""
    );
}
