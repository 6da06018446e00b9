//! What rules can say of whom they take, and what they say stricter.

use serde_json::{Value as Json, json};

use super::demand::*;

fn way(kind: Kind, needs: Json) -> Way {
    let Json::Object(needs) = needs else { panic!("no object") };
    Way { kind, needs }
}

fn token(provider: &str, needs: Json) -> Way {
    way(Kind::Jwt(provider.to_owned()), needs)
}

/// `a` has one issuer, `b` another, `many` any number.
fn said(optional: bool, alternatives: Vec<Alternative>) -> (Option<Json>, Vec<Stricter>) {
    let issuer = |provider: &str| (provider != "many").then(|| format!("i-{provider}"));
    let (said, stricter) = Demand::Ways { optional, alternatives }.reduced().said(&issuer);
    let both = |said: Said| json!([said.authenticate, said.authorize]);
    (said.map(both), stricter)
}

#[test]
fn what_one_credential_brings_does_not_count_for_another() {
    let (read, write) = (json!({"scopes": ["read"]}), json!({"scopes": ["write"]}));
    let key = || way(Kind::ApiKey, json!({}));
    let iss = |provider: &str| json!([{"claim": "iss", "equals": format!("i-{provider}")}]);
    let no_token = json!({"noneOf": [{"claims": [{"claim": "iss", "present": true}]}]});
    for (alternatives, expected) in [
        (vec![vec![token("a", json!({}))]], json!([{"anyOf": [{"jwt": "a"}]}, null])),
        // The same of each: nothing to tell apart.
        (
            vec![vec![token("a", read.clone())], vec![token("b", read.clone())]],
            json!([{"anyOf": [{"jwt": "a"}, {"jwt": "b"}]}, {"scopes": ["read"]}]),
        ),
        (
            vec![vec![token("a", read.clone())], vec![token("b", write.clone())]],
            json!([{"anyOf": [{"jwt": "a"}, {"jwt": "b"}]}, {"anyOf": [
                {"scopes": ["read"], "claims": iss("a")}, {"scopes": ["write"], "claims": iss("b")}]}]),
        ),
        (
            vec![vec![token("a", read.clone())], vec![key()]],
            json!([{"anyOf": [{"jwt": "a"}, "apiKey"]}, {"anyOf": [
                {"scopes": ["read"], "claims": iss("a")}, no_token]}]),
        ),
        // Of one issuer, either will do.
        (
            vec![vec![token("a", read.clone())], vec![token("a", write.clone())]],
            json!([{"anyOf": [{"jwt": "a"}]}, {"anyOf": [{"scopes": ["read"]}, {"scopes": ["write"]}]}]),
        ),
        (
            vec![vec![key(), token("a", read.clone())]],
            json!([{"allOf": ["apiKey", {"jwt": "a"}]}, {"scopes": ["read"]}]),
        ),
        // Whoever brings both brings the one.
        (
            vec![vec![key(), token("a", read.clone())], vec![token("a", read.clone())]],
            json!([{"anyOf": [{"jwt": "a"}]}, {"scopes": ["read"]}]),
        ),
        (
            vec![vec![token("a", json!({"scopes": ["read", "write"]}))], vec![token("a", read.clone())]],
            json!([{"anyOf": [{"jwt": "a"}]}, {"scopes": ["read"]}]),
        ),
    ] {
        assert_eq!(said(false, alternatives), (Some(expected), vec![]));
    }
}

#[test]
fn what_a_rule_cannot_say_is_stricter() {
    let (read, write) = (json!({"scopes": ["read"]}), json!({"scopes": ["write"]}));
    let pair = |needs: &Json| vec![way(Kind::ApiKey, json!({})), token("a", needs.clone())];
    let only_b = json!([{"anyOf": [{"jwt": "b"}]}, null]);
    for (optional, alternatives, expected, reasons) in [
        (
            false,
            vec![pair(&read), vec![token("b", json!({}))]],
            Some(only_b),
            vec![Stricter::PairsBesideOthers],
        ),
        (
            false,
            vec![pair(&read), pair(&write)],
            Some(json!([{"allOf": ["apiKey", {"jwt": "a"}]}, {"scopes": ["read"]}])),
            vec![Stricter::SeveralPairs],
        ),
        // Nobody needs anything.
        (
            true,
            vec![pair(&read)],
            Some(json!([{"anonymous": true}, null])),
            vec![Stricter::PairsBesideOthers],
        ),
        (
            false,
            vec![[pair(&read), vec![way(Kind::Certificate, json!({}))]].concat()],
            None,
            vec![Stricter::TooManyTogether],
        ),
        (
            false,
            vec![vec![token("a", read.clone())], vec![token("many", write.clone())]],
            Some(
                json!([{"anyOf": [{"jwt": "a"}]}, {"scopes": ["read"], "claims": [{"claim": "iss", "equals": "i-a"}]}]),
            ),
            vec![Stricter::Tenants],
        ),
        (
            false,
            vec![vec![way(Kind::ApiKey, read.clone())], vec![way(Kind::Certificate, json!({}))]],
            Some(
                json!([{"anyOf": ["apiKey"]}, {"scopes": ["read"], "noneOf": [{"claims": [{"claim": "iss", "present": true}]}]}]),
            ),
            vec![Stricter::CertificatesBesideKeys],
        ),
        (false, vec![], None, vec![]),
    ] {
        assert_eq!(said(optional, alternatives.clone()), (expected, reasons), "{alternatives:?}");
    }
}

#[test]
fn more_is_asked_in_every_alternative() {
    let more = |authorize: Json| {
        let Json::Object(members) = json!({"roles": ["r"], "owner": {"pathVariable": "x"}}) else { panic!() };
        with_more(authorize.as_object().cloned(), &members).map(Json::Object)
    };
    let own = json!({"pathVariable": "x"});
    for (authorize, expected) in [
        (json!(null), json!({"roles": ["r"], "owner": own})),
        (json!({"roles": ["q"]}), json!({"roles": ["q", "r"], "owner": own})),
        (
            json!({"anyOf": [{"scopes": ["a"]}, {"roles": ["r"]}]}),
            json!({"anyOf": [{"scopes": ["a"], "roles": ["r"], "owner": own}, {"roles": ["r"], "owner": own}]}),
        ),
    ] {
        assert_eq!(more(authorize), Some(expected));
    }
    assert_eq!(more(json!({"roles": {"anyOf": ["q", "p"]}})), None);
}
