//! Shadows of requests that their users confirm with a passkey, after which they wait for nothing more.

use portcullis::{answer::Reason, engine::Body};
use serde_json::{Value, json};

use crate::{
    passkeys::{
        add_passkeys, asked,
        authenticator::{encode, sha256},
        post, register, told,
    },
    shadow::limit,
    world::{Ask, World},
};

/// What becomes of three requests: one that is not confirmed, one that is, and the same again; and what the shadow of the rule
/// says of each.
fn said(shadow: &Value) -> [(Option<Reason>, Value, Value); 3] {
    let w = World::with(|policy| {
        add_passkeys(policy, &json!({"sharedData": true}));
        policy["rateLimits"].as_array_mut().unwrap().push(limit("few", 1, json!({})));
        policy["rules"][0]["shadow"] = shadow.clone();
    });
    let mut key = register(&w);
    let transfer = || w.bearer(Ask::new("POST", "/transfer").body(Body::Whole(b"7".to_vec())), |_| {});
    let operation = json!({"method": "POST", "path": "/transfer", "bodyDigest": encode(&sha256(b"7"))});
    let options = told(&w, &w.bearer(post("step-up/options", &operation), |_| {}), 200);
    let confirmation = encode(key.get(&options).to_string().as_bytes());
    let confirmed = transfer().header("portcullis-passkey", &confirmation);
    [transfer(), confirmed.clone(), confirmed].map(|ask| {
        let answer = asked(&w, &ask);
        (answer.reason, answer.recorded("shadow"), answer.recorded("shadowReason"))
    })
}

#[test]
fn a_confirmation_counts_in_the_shadow_as_in_force() {
    use Reason::{InsufficientUserAuthentication, PasskeyRefused};
    let (none, allow) = (Value::Null, json!("would_allow"));
    // Confirmed as before, by somebody else, and by nobody.
    for (shadow, unconfirmed, confirmed, again) in [
        (json!({"rateLimits": ["few"]}), [&none, &none], ["", ""], [&none, &none]),
        (
            json!({"authorize": {"stepUp": {"passkey": {"boundTo": ["Method", "Path", "Body"]}}, "remoteAddress": ["192.0.2.0/24"]}}),
            [&none, &none],
            ["would_deny", "address_not_allowed"],
            [&none, &none],
        ),
        (json!({"authorize": {"remoteAddress": ["10.0.0.0/8"]}}), [&allow, &none], ["", ""], [&allow, &none]),
    ] {
        let [first, second, third] = said(&shadow);
        let text = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
        let expected = |reason, [outcome, why]: [&Value; 2]| (reason, outcome.clone(), why.clone());
        assert_eq!(first, expected(Some(InsufficientUserAuthentication), unconfirmed), "{shadow}");
        assert_eq!(second, (None, text(confirmed[0]), text(confirmed[1])), "{shadow}");
        assert_eq!(third, expected(Some(PasskeyRefused), again), "{shadow}");
    }
}

#[test]
fn a_confirmation_that_nobody_asked_for_is_not_known_of() {
    let w = World::with(|policy| {
        add_passkeys(policy, &json!({"sharedData": true}));
        let rules = policy["rules"].as_array_mut().unwrap();
        let tokens = rules.iter_mut().find(|rule| rule["name"] == "tokens").unwrap();
        tokens["shadow"] = json!({"authorize": {"stepUp": {"passkey": {"boundTo": ["Method", "Path"]}}}});
    });
    let answer = asked(&w, &w.bearer(Ask::get("/tokens"), |_| {}).header("portcullis-passkey", "e30"));
    assert_eq!(answer.reason, None);
    assert_eq!(answer.recorded("shadow"), "unknown");
    assert_eq!(answer.recorded("shadowReason"), "insufficient_user_authentication");
}
