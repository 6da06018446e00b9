//! Several APIs behind one filter: a token for one of them opens no other.

use portcullis::answer::Reason::{
    self, ApiKeyUnknown, CredentialsMissing, DpopProofReplayed, TokenAudience, TokenClaims, TokenInactive,
};
use serde_json::{Value, json};

use crate::world::{Ask, NOW, World, changed, claims};

/// Orders and billing, with rules of their own, rules of neither, and one where both tokens and API keys are taken.
/// Tokens of "corp" must be for one of them; of those of "opaque" the issuer says whom they are for.
fn world() -> World {
    World::with(|policy| {
        policy["rateLimits"][0]["limits"][0]["requests"] = 100_000.into();
        let providers = policy["jwt"]["providers"].as_array_mut().unwrap();
        providers[0]["audiences"] = json!(["orders", "billing", "api"]);
        providers[3].as_object_mut().unwrap().remove("audiences");
        providers[3]["anyAudience"] = true.into();
        policy["protectedResources"] = json!([
            {"name": "orders", "resource": "https://api.example/orders", "audiences": ["orders", "orders-v2"]},
            {"name": "billing", "resource": "https://api.example/billing", "audiences": ["billing"]},
            {"name": "bare", "resource": "https://bare.example"},
        ]);
        let rules = policy["rules"].as_array_mut().unwrap();
        for rule in rules.iter_mut().filter(|rule| rule["authenticate"].to_string().contains("jwt")) {
            rule["anyAudience"] = true.into();
        }
        let mut rule = |path: &str, more: Value| {
            let mut rule = json!({"name": path, "matches": [{"path": {"type": "Exact", "value": path}}]});
            rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            rules.push(rule);
        };
        let corp = json!({"anyOf": [{"jwt": "corp"}]});
        rule("/o", json!({"protectedResource": "orders", "authenticate": corp}));
        rule(
            "/o/scoped",
            json!({"protectedResource": "orders", "authenticate": corp, "authorize": {"scopes": ["s"]}}),
        );
        rule("/b", json!({"protectedResource": "billing", "authenticate": corp}));
        rule(
            "/b/scoped",
            json!({"protectedResource": "billing", "authenticate": corp, "authorize": {"scopes": ["s"]}}),
        );
        rule("/bare", json!({"protectedResource": "bare", "authenticate": {"anyOf": [{"jwt": "partner"}]}}));
        rule("/neither", json!({"anyAudience": true, "authenticate": corp}));
        rule(
            "/o/keys",
            json!({"protectedResource": "orders", "authenticate": {"anyOf": [{"jwt": "corp"}, "apiKey"]}}),
        );
        rule(
            "/o/optional",
            json!({"protectedResource": "orders",
            "authenticate": {"optional": true, "invalidCredentials": "Anonymous", "anyOf": [{"jwt": "corp"}]}}),
        );
        rule(
            "/o/bound",
            json!({"protectedResource": "orders", "authenticate": {"anyOf": [{"jwt": "bound"}]}}),
        );
        rule(
            "/o/opaque",
            json!({"protectedResource": "orders", "authenticate": {"anyOf": [{"jwt": "opaque"}]}}),
        );
        rule(
            "/b/opaque",
            json!({"protectedResource": "billing", "authenticate": {"anyOf": [{"jwt": "opaque"}]}}),
        );
    })
}

/// Why they are refused: at orders, at billing, at neither.
type Refused = [Option<Reason>; 3];

#[test]
fn a_token_for_one_api_opens_no_other() {
    let (other, unread) = (Some(TokenAudience), Some(TokenClaims));
    let rows: [(Value, Refused); 13] = [
        (json!("orders"), [None, other, None]),
        (json!("billing"), [other, None, None]),
        (json!(["orders"]), [None, other, None]),
        (json!(["billing", "orders"]), [None, None, None]),
        (json!(["api", "orders"]), [None, other, None]),
        // The provider takes it, neither of the two does.
        (json!("api"), [other, other, None]),
        // One of the two takes it, the provider does not.
        (json!("orders-v2"), [other, other, other]),
        (json!(["api", "orders-v2"]), [None, other, None]),
        (json!(["api", "Orders", "orders ", "order"]), [other, other, None]),
        (json!([]), [other, other, other]),
        (json!(["orders", 7]), [unread, unread, unread]),
        (json!({"orders": true}), [unread, unread, unread]),
        (Value::Null, [unread, unread, unread]),
    ];
    for first in 0..3 {
        // Whichever rule it meets first, and whether or not it is remembered from there.
        let w = world();
        for (audience, expected) in &rows {
            let token = w.token(|claims| match audience {
                Value::Null => drop(claims.as_object_mut().unwrap().remove("aud")),
                audience => claims["aud"] = audience.clone(),
            });
            let asks = ["/o", "/b", "/neither"].map(|path| Ask::get(path).token(&token));
            for at in [first, 0, 1, 2, 2, 1, 0] {
                assert_eq!(w.reason(&asks[at]), expected[at], "{audience} {:?}", asks[at]);
            }
        }
    }
}

#[test]
fn a_token_that_is_remembered_costs_no_second_signature_where_it_is_refused() {
    let w = world();
    let token = w.token(|claims| claims["aud"] = "billing".into());
    for _ in 0..3 {
        assert_eq!(w.reason(&Ask::get("/o").token(&token)), Some(TokenAudience));
    }
    assert_eq!(w.checked.get(), 1);
    assert_eq!(w.reason(&Ask::get("/b").token(&token)), None);
    assert_eq!(w.checked.get(), 1);
}

#[test]
fn a_resource_without_audiences_is_its_own() {
    let w = world();
    for (aud, expected) in [
        (json!("https://bare.example"), None),
        (json!(["x", "https://bare.example"]), None),
        (json!("https://bare.example/"), Some(TokenAudience)),
        (json!("bare"), Some(TokenAudience)),
        // Of a provider that takes any audience, nothing is said of the form of others.
        (json!(["https://bare.example", 7]), Some(TokenAudience)),
        (json!({"https://bare.example": true}), Some(TokenAudience)),
        (json!([]), Some(TokenAudience)),
        (Value::Null, Some(TokenAudience)),
    ] {
        let claims = changed(claims("https://partner.example"), |claims| claims["aud"] = aud.clone());
        let ask = Ask::get("/bare").header("x-partner-token", &w.partner.sign(&claims));
        assert_eq!(w.reason(&ask), expected, "{aud}");
    }
}

#[test]
fn challenges_name_the_metadata_of_the_rules_own_api() {
    let w = world();
    let metadata = |api: &str| {
        format!("resource_metadata=\"https://api.example/.well-known/oauth-protected-resource/{api}\"")
    };
    let billing = w.token(|claims| claims["aud"] = "billing".into());
    let orders = w.token(|claims| claims["aud"] = "orders".into());
    for (ask, reason, named) in [
        (Ask::get("/o"), CredentialsMissing, Some("orders")),
        (Ask::get("/b"), CredentialsMissing, Some("billing")),
        (Ask::get("/o/scoped"), CredentialsMissing, Some("orders")),
        (Ask::get("/b/scoped"), CredentialsMissing, Some("billing")),
        (Ask::get("/neither"), CredentialsMissing, None),
        (Ask::get("/o").token(&billing), TokenAudience, Some("orders")),
        (Ask::get("/b").token(&orders), TokenAudience, Some("billing")),
        (Ask::get("/o/scoped").token(&billing), TokenAudience, Some("orders")),
        (Ask::get("/o/scoped").token(&orders), Reason::InsufficientScope, Some("orders")),
        (Ask::get("/b/scoped").token(&billing), Reason::InsufficientScope, Some("billing")),
    ] {
        // The second answer is the one that was kept.
        for _ in 0..2 {
            let answer = w.ask(&ask);
            assert_eq!(answer.reason, Some(reason), "{ask:?}");
            let challenge = answer.reply("www-authenticate").unwrap();
            assert_eq!(challenge.contains("resource_metadata"), named.is_some(), "{ask:?}: {challenge}");
            assert!(named.is_none_or(|api| challenge.contains(&metadata(api))), "{ask:?}: {challenge}");
            assert_eq!(challenge.contains("error=\"invalid_token\""), reason == TokenAudience, "{challenge}");
        }
    }
    let answer = w.ask(&Ask::get("/o").token(&billing));
    assert_eq!(answer.recorded("principal"), "alice");
    assert_eq!(answer.recorded("detail"), "not meant for the protected resource \"orders\"");
}

#[test]
fn what_is_no_token_has_no_audience() {
    let w = world();
    for (key, expected) in [("writer-secret", None), ("nobody-secret", Some(ApiKeyUnknown))] {
        assert_eq!(w.reason(&Ask::get("/o/keys").header("x-api-key", key)), expected, "{key}");
    }
    let billing = w.token(|claims| claims["aud"] = "billing".into());
    assert_eq!(w.reason(&Ask::get("/o/keys").token(&billing)), Some(TokenAudience));
}

#[test]
fn a_proof_is_not_used_up_by_a_token_for_another_api() {
    let w = world();
    let binding = w.partner.confirmation();
    for (audience, first, second) in
        [("billing", Some(TokenAudience), Some(TokenAudience)), ("orders", None, Some(DpopProofReplayed))]
    {
        let claims = changed(claims("https://bound.example"), |claims| {
            claims["aud"] = audience.into();
            claims["cnf"] = binding.clone();
        });
        let token = w.corp.sign(&claims);
        let proof = w.partner.prove(&token, "/o/bound", audience, None);
        let ask =
            Ask::get("/o/bound").header("authorization", &format!("DPoP {token}")).header("dpop", &proof);
        assert_eq!((w.reason(&ask), w.reason(&ask)), (first, second), "{audience}");
    }
}

#[test]
fn a_token_for_another_api_proves_nothing_where_none_is_needed() {
    let w = world();
    for (audience, subject) in [("orders", "alice"), ("billing", "")] {
        let token = w.token(|claims| claims["aud"] = audience.into());
        let answer = w.ask(&Ask::get("/o/optional").token(&token));
        assert_eq!(answer.reason, None, "{audience}");
        assert_eq!(answer.upstream("x-portcullis-subject"), subject, "{audience}");
        assert_eq!(answer.upstream("authorization"), "", "{audience}");
    }
}

#[test]
fn an_issuer_says_which_api_its_token_is_for() {
    let w = world();
    let active =
        |aud: Value| json!({"active": true, "sub": "alice", "aud": aud, "iat": NOW, "exp": NOW + 600});
    let other = Some(TokenAudience);
    for (token, said, orders, billing) in [
        ("for-orders", active(json!("orders")), None, other),
        ("for-billing", active(json!(["billing"])), other, None),
        ("for-both", active(json!(["billing", "orders"])), None, None),
        ("for-none", active(Value::Null), other, other),
        ("for-others", active(json!("api")), other, other),
        ("inactive", json!({"active": false, "aud": "orders"}), Some(TokenInactive), Some(TokenInactive)),
    ] {
        w.issue(token, 200, said);
        for _ in 0..2 {
            assert_eq!(w.reason(&Ask::get("/o/opaque").token(token)), orders, "{token}");
            assert_eq!(w.reason(&Ask::get("/b/opaque").token(token)), billing, "{token}");
        }
    }
}
