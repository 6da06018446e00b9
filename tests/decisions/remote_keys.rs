//! Keys that are fetched: no token of theirs passes before they are there.

use portcullis::{
    call::Outcome,
    engine::Purpose,
    problem::Reason::{KeysUnavailable, TokenKey},
};

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
