//! What upstreams are told of callers, signed.

use ct_codecs::{Base64UrlSafeNoPadding, Decoder as _};
use jsonwebtoken::{DecodingKey, Validation, jwk::JwkSet};
use portcullis::{
    answer::Reason,
    crypto::{Algorithm, new_private_jwk},
};
use serde_json::{Value, json};

use crate::{
    webhooks::of_hub,
    world::{Answer, Ask, NOW, World},
};

const HEADER: &str = "x-portcullis-identity";

fn world() -> World {
    World::with(|policy| {
        policy["signingKeys"] = json!({"keys": [new_private_jwk(Algorithm::EdDsa).unwrap()]});
        policy["identityHeaders"] =
            json!({"signed": {"issuer": "https://api.example", "audience": "orders"}});
        policy["jwt"]["providers"][0]["claims"]["scopes"] = "scope".into();
        let rules = policy["rules"].as_array_mut().unwrap();
        let rule = |name: &str, authenticate: Value| {
            json!({"name": name, "matches": [{"path": {"type": "Exact", "value": format!("/{name}")}}],
                "corsPreflight": "Allow", "authenticate": authenticate})
        };
        rules.push(rule("statement-optional", json!({"anyOf": [{"jwt": "corp"}], "optional": true})));
        rules.push(rule("statement-through", json!({"passThrough": true})));
        rules.push(rule("statement-both", json!({"allOf": ["apiKey", {"jwt": "corp"}]})));
    })
}

/// The keys that the gateway publishes.
fn published(w: &World) -> JwkSet {
    let answer = w.ask(&Ask::get("/.well-known/portcullis/jwks.json").from("10.9.9.9"));
    serde_json::from_str(&answer.upstream.unwrap_err().body).unwrap()
}

/// The claims of the statement that went upstream, as another implementation reads it by the published keys.
fn stated(set: &JwkSet, answer: &Answer) -> Value {
    let text = answer.upstream(HEADER);
    let header = jsonwebtoken::decode_header(&text).unwrap();
    assert_eq!(header.typ.as_deref(), Some("identity+jwt"));
    let mut validation = Validation::new(jsonwebtoken::Algorithm::EdDSA);
    // The time of these tests is not that of the machine.
    validation.validate_exp = false;
    validation.set_audience(&["orders"]);
    validation.set_issuer(&["https://api.example"]);
    let key = DecodingKey::from_jwk(set.find(&header.kid.unwrap()).unwrap()).unwrap();
    jsonwebtoken::decode::<Value>(&text, &key, &validation).unwrap().claims
}

fn said(more: &Value) -> Value {
    let mut claims = json!({"iss": "https://api.example", "aud": "orders", "iat": NOW, "exp": NOW + 60});
    claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    claims
}

#[test]
fn every_kind_of_caller_is_stated_and_nobody_is_not() {
    let w = world();
    let token = |ask| {
        w.bearer(ask, |claims| {
            claims["roles"] = json!(["viewer", "x"]);
            claims["scope"] = "a b".into();
        })
    };
    let of_token =
        json!({"sub": "alice", "kind": "jwt", "authority": "corp", "scope": "a b", "roles": ["viewer", "x"]});
    let of_key = json!({"sub": "reader", "kind": "api-key", "scope": "reports:read"});
    let mut of_both = of_token.clone();
    of_both["act"] = of_key.clone();
    let preflight = Ask::new("OPTIONS", "/statement-optional")
        .header("origin", "https://app.example")
        .header("access-control-request-method", "GET");
    let rows = [
        (token(Ask::get("/tokens")), Some(of_token)),
        (Ask::get("/keys").key("reader-secret"), Some(of_key)),
        (
            Ask::get("/certificate").certificate("spiffe://td/ns/a"),
            Some(json!({"sub": "spiffe://td/ns/a", "kind": "client-certificate", "authority": "uri"})),
        ),
        (token(Ask::get("/statement-both")).key("reader-secret"), Some(of_both)),
        (of_hub("a body"), Some(json!({"sub": "hub", "kind": "hmac", "scope": "hooks:write"}))),
        (Ask::get("/health"), None),
        (Ask::get("/statement-optional"), None),
        (token(Ask::get("/statement-through")), None),
        (preflight, None),
    ];
    let keys = published(&w);
    for (n, (ask, expected)) in rows.into_iter().enumerate() {
        // Nothing of what a client says of itself is left, in whatever spelling.
        let forged = ask.header(HEADER, "forged").header("X_Portcullis.Identity", "forged");
        let mut forged = forged.from(&format!("10.0.0.{n}"));
        forged.headers.iter_mut().for_each(|(name, _)| name.make_ascii_lowercase());
        for _ in 0..2 {
            let answer = w.ask(&forged);
            assert_eq!(answer.reason, None, "{forged:?} {:?}", answer.record);
            assert_eq!(answer.upstream("x_portcullis.identity"), "");
            match &expected {
                Some(expected) => assert_eq!(stated(&keys, &answer), said(expected), "{forged:?}"),
                None => assert_eq!(answer.upstream(HEADER), "", "{forged:?}"),
            }
            let statement = answer.upstream(HEADER);
            assert!(statement.is_empty() || !answer.record.unwrap().contains(&statement));
        }
    }
    // Where nothing is stated, nothing is left either.
    let silent = World::new();
    let answer = silent.ask(&silent.bearer(Ask::get("/tokens"), |_| {}).header(HEADER, "forged"));
    assert_eq!((answer.reason, answer.upstream(HEADER).as_str()), (None, ""));
    // Of whoever is refused nothing is said.
    let answer = w.ask(&token(Ask::get("/admin")).header(HEADER, "forged").from("10.0.1.1"));
    assert_eq!((answer.reason, answer.shown(HEADER).as_str()), (Some(Reason::InsufficientRole), ""));
}

#[test]
fn one_statement_serves_many_requests_of_one_caller() {
    let w = world();
    let mut n = 0;
    let mut ask = |token: &str| {
        n += 1;
        let answer = w.ask(&Ask::get("/tokens").token(token).from(&format!("10.1.0.{n}")));
        assert_eq!(answer.reason, None, "{:?}", answer.record);
        answer.upstream(HEADER)
    };
    let [one, another] = ["1", "2"].map(|jti| w.token(|claims| claims["jti"] = jti.into()));
    let bob = w.token(|claims| claims["sub"] = "bob".into());
    // Over in five seconds, and the minute by which clocks may differ.
    let short = w.token(|claims| claims["exp"] = (NOW - 20).into());
    let first = ask(&one);
    assert_eq!([ask(&one), ask(&another)], [first.clone(), first.clone()]);
    assert_ne!(ask(&bob), first);
    let ends = |text: &str| {
        let payload = Base64UrlSafeNoPadding::decode_to_vec(text.split('.').nth(1).unwrap(), None).unwrap();
        serde_json::from_slice::<Value>(&payload).unwrap()["exp"].as_u64().unwrap()
    };
    assert_eq!((ends(&first), ends(&ask(&short))), (NOW + 60, NOW + 40));
    // Which is as good for whoever has longer, until half of it is over.
    w.later(19);
    assert_eq!(ends(&ask(&one)), NOW + 40);
    w.later(1);
    assert_eq!(ends(&ask(&one)), NOW + 80);
    w.later(29);
    assert_eq!(ends(&ask(&another)), NOW + 80);
    w.later(1);
    assert_eq!(ends(&ask(&another)), NOW + 110);
}
