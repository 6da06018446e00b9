//! `jwt.providers[].introspection` and `revocation`.

use std::time::Duration;

use jwt_simple::algorithms::ES256KeyPair;
use serde_json::{Value, json};

use super::{Row, base, check, decode, faults, with};
use crate::{
    config::Document,
    crypto::Algorithm,
    introspection::{ClientProof, ClientSecret, IntrospectionMode},
    jwt::KeySource,
    policy::Policy,
    revocation::WhenStale,
    time::Timestamp,
};

const AT: &str = "/jwt/providers/0/introspection";
const GOOD: &str = r#"{"endpoint": "https://a/b", "cluster": "c", "clientId": "d", "clientSecret": "e"}"#;

/// A good introspection with one more field, or another value of one.
fn changed(name: &str, value: Value) -> String {
    let mut introspection: Value = serde_json::from_str(GOOD).unwrap();
    introspection[name] = value;
    introspection.to_string()
}

fn decoded(document: &Value) -> Document {
    decode(document.to_string().as_bytes()).expect("good")
}

#[test]
fn introspection() {
    for (name, good, bad, expected) in [
        ("endpoint", json!("https://a:8443/b?c"), json!("http://a/b"), "must be an https URL"),
        ("endpoint", json!("https://a"), json!("a/b"), "must be an absolute http or https URL"),
        (
            "endpoint",
            json!("https://a/@"),
            json!("https://u:p@a/b"),
            "must be a URL without user information",
        ),
        (
            "mode",
            json!("Always"),
            json!("always"),
            "\"always\" is not a mode (one of Opaque, Always); did you mean \"Always\"?",
        ),
        ("cacheDuration", json!("0s"), json!("2h"), "must be from 0s to 1h, found \"2h\""),
        (
            "inactiveCacheDuration",
            json!("0s"),
            json!(10),
            "expected a duration such as \"500ms\", \"30s\" or \"1h30m\", found a number",
        ),
        ("timeout", json!("100ms"), json!("0s"), "must be from 100ms to 1m, found \"0s\""),
        ("clientId", json!("a:b"), json!(""), "must not be empty"),
        ("clientSecret", json!("a b"), json!(""), "must not be empty"),
        (
            "cluster",
            json!("x"),
            json!(null),
            "expected a string, found null; leave the field out where nothing is to be said",
        ),
        ("tokenTypeHint", json!("x"), json!(["x"]), "expected a string, found a list"),
    ] {
        let none: [String; 0] = [];
        assert_eq!(faults(&with(AT, &changed(name, good))), none, "{name}");
        let expected = format!("jwt.providers[0].introspection.{name}: {expected}");
        assert_eq!(faults(&with(AT, &changed(name, bad))), [expected]);
    }
    check(&[
        Row(
            AT,
            GOOD,
            "{}",
            &[
                "jwt.providers[0].introspection.endpoint: required",
                "jwt.providers[0].introspection.cluster: required",
                "jwt.providers[0].introspection.clientId: required",
                "jwt.providers[0].introspection.clientSecret: required (or privateKeyJwt): the endpoint answers known clients only (RFC 7662 section 2.1)",
            ],
        ),
        Row(AT, "-", "true", &["jwt.providers[0].introspection: expected an object, found a boolean"]),
    ]);
    let misspelt = faults(&with(AT, &changed("cacheduration", json!("1s"))));
    assert_eq!(
        misspelt,
        ["jwt.providers[0].introspection.cacheduration: unknown field; did you mean \"cacheDuration\"?"]
    );
}

#[test]
fn private_keys() {
    let pair = ES256KeyPair::generate();
    let (pem, jwk): (String, Value) = (pair.to_pem().unwrap(), serde_json::from_str(&pair.to_jwk()).unwrap());
    let document = |proof: &Value| {
        let mut introspection: Value = serde_json::from_str(GOOD).unwrap();
        introspection.as_object_mut().unwrap().remove("clientSecret");
        introspection["privateKeyJwt"] = proof.clone();
        with(AT, &introspection.to_string())
    };
    for key in [json!(pem), jwk.clone()] {
        let good = document(&json!({"algorithm": "ES256", "key": key, "kid": "k"}));
        let introspection = decoded(&good).providers.remove(0).introspection.unwrap();
        let ClientProof::PrivateKeyJwt { key, kid, audience } = introspection.proof else { panic!("a key") };
        assert_eq!((key.algorithm(), kid.as_deref(), audience), (Algorithm::Es256, Some("k"), None));
    }
    let unusable =
        "key: not a usable private key for the algorithm; expected a private key: PKCS #8 in PEM, or a JWK";
    for (proof, expected) in [
        (json!({"algorithm": "ES384", "key": pem}), unusable),
        (json!({"algorithm": "RS256", "key": jwk}), unusable),
        (json!({"algorithm": "ES256", "key": "x"}), unusable),
        (json!({"algorithm": "ES256", "key": "x".repeat(20_000)}), "key: is longer than 16384 bytes"),
        (
            json!({"algorithm": "ES256", "key": 7}),
            "key: expected a private key: PKCS #8 in PEM, or a JWK, found a number",
        ),
        (json!({"algorithm": "ES256"}), "key: required"),
        (json!({"key": pem}), "algorithm: required"),
        (
            json!({"algorithm": "HS256", "key": pem}),
            "algorithm: HS256 is not supported here; use one of RS256, PS256, ES256, ES384, EdDSA, Ed25519",
        ),
        (json!({"algorithm": "ES512", "key": pem}), "algorithm: ES512 is not supported; use ES256 or ES384"),
        (
            json!({"algorithm": "ES265", "key": pem}),
            "algorithm: unknown algorithm \"ES265\"; did you mean \"ES256\"?",
        ),
    ] {
        let found = faults(&document(&proof));
        assert_eq!(found, [format!("jwt.providers[0].introspection.privateKeyJwt.{expected}")]);
        assert!(!found.concat().contains(jwk["d"].as_str().unwrap()));
    }
    let both = changed("privateKeyJwt", json!({"algorithm": "ES256", "key": pem}));
    assert_eq!(
        faults(&with(AT, &both)),
        ["jwt.providers[0].introspection.privateKeyJwt: contradicts clientSecret; give one of them"]
    );
}

#[test]
fn a_provider_without_keys() {
    let keyless = |name: &str, value: Value| {
        let mut document = with(AT, GOOD);
        let provider = document["jwt"]["providers"][0].as_object_mut().unwrap();
        for field in ["jwks", "algorithms", "types"] {
            provider.remove(field);
        }
        if !value.is_null() {
            provider.insert(name.to_owned(), value);
        }
        document
    };
    let good = decoded(&keyless("", Value::Null)).providers.remove(0);
    assert!(matches!(good.jwt.keys, KeySource::None) && good.jwt.algorithms.is_empty());
    let introspection = good.introspection.unwrap();
    assert_eq!(introspection.proof_secret(), Some("e"));
    assert_eq!(
        (introspection.mode, introspection.cache_duration, introspection.inactive_cache_duration),
        (IntrospectionMode::Opaque, Duration::from_secs(60), Duration::from_secs(10))
    );
    assert_eq!(
        (introspection.timeout, introspection.token_type_hint.as_str()),
        (Duration::from_secs(3), "access_token")
    );
    for (name, value, expected) in [
        (
            "algorithms",
            json!(["ES256"]),
            "algorithms: has no effect without jwks: the issuer is asked about every token",
        ),
        ("types", json!(["jwt"]), "types: has no effect without jwks: the issuer is asked about every token"),
        (
            "introspection",
            serde_json::from_str(&changed("mode", json!("Always"))).unwrap(),
            "introspection.mode: Always needs jwks; without keys every token is asked about anyway",
        ),
        ("jwkz", json!({}), "jwkz: unknown field; did you mean \"jwks\"?"),
    ] {
        assert_eq!(faults(&keyless(name, value)), [format!("jwt.providers[0].{expected}")]);
    }
}

#[test]
fn an_opaque_token_has_one_issuer_to_ask() {
    let provider = |name: &str, issuer: &str, header: &str, dpop: bool| {
        let introspection: Value = serde_json::from_str(GOOD).unwrap();
        let mut provider = json!({"name": name, "issuer": issuer, "anyAudience": true,
            "introspection": introspection, "extractFrom": {"headers": [{"name": header}]}});
        if dpop {
            provider["dpop"] = json!({"mode": "Accepted"});
        }
        provider
    };
    let compile_with = |second: &str, dpop: [bool; 2], methods: Value| {
        let [first_dpop, second_dpop] = dpop;
        let document = json!({
            "jwt": {"providers": [
                provider("a", "https://a", "x-a", first_dpop),
                provider("b", "https://b", second, second_dpop),
            ]},
            "rules": [{"name": "r", "authenticate": {"anyOf": methods}}],
        });
        let compiled = Policy::compile(document.to_string().as_bytes(), "test");
        compiled.err().unwrap_or_default().iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    let compile = |second: &str, methods: Value| compile_with(second, [false, false], methods);
    let none: [String; 0] = [];
    let both = json!([{"jwt": "a"}, {"jwt": "b"}]);
    assert_eq!(compile_with("x-b", [true, false], both.clone()), none);
    assert_eq!(compile_with("x-b", [true, true], both).len(), 1);
    assert_eq!(compile("x-b", json!([{"jwt": "a"}, {"jwt": "b"}])), none);
    assert_eq!(compile("x-a", json!([{"jwt": "b"}])), none);
    assert_eq!(
        compile("x-a", json!([{"jwt": "a"}, {"jwt": "b"}])),
        [
            "rules[0].authenticate: \"a\" and \"b\" both have introspection and look for tokens in the same place; \
             an opaque token does not say whose it is"
        ]
    );
}

#[test]
fn revocation() {
    let remote = |fields: Value| {
        let mut remote = json!({"uri": "https://a/b", "cluster": "c"});
        remote.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        json!({"remote": remote})
    };
    let tokens = |fields: Value| json!({"tokens": fields});
    for (good, bad, expected) in [
        (
            tokens(json!({"jti": ["a"]})),
            json!({}),
            &["revocation: nothing is revoked; give tokens, remote or etcd, or leave the section out"][..],
        ),
        (
            tokens(json!({"jti": ["a", "b"]})),
            tokens(json!({})),
            &["revocation.tokens: nothing is listed; leave the field out"],
        ),
        (
            tokens(json!({"sid": ["a"]})),
            tokens(json!({"sid": []})),
            &["revocation.tokens.sid: nothing is listed; leave the field out"],
        ),
        (
            tokens(json!({"clientIds": ["a"]})),
            tokens(json!({"clientIds": [""]})),
            &["revocation.tokens.clientIds[0]: must not be empty"],
        ),
        (
            tokens(json!({"jti": ["a", "b"]})),
            tokens(json!({"jti": ["a", "a"]})),
            &["revocation.tokens.jti[1]: \"a\" is listed twice"],
        ),
        (
            tokens(json!({"subjects": [{"sub": "a"}, {"sub": "b", "issuedBefore": "2027-01-15T08:00:00Z"}]})),
            tokens(json!({"subjects": [{"sub": "a"}, {"sub": "a"}, {}]})),
            &[
                "revocation.tokens.subjects[1].sub: \"a\" is listed twice",
                "revocation.tokens.subjects[2].sub: required",
            ],
        ),
        (
            tokens(json!({"subjects": [{"sub": "a", "issuedBefore": "2027-01-15T08:00:00+01:00"}]})),
            tokens(json!({"subjects": [{"sub": "a", "issuedBefore": 7}]})),
            &[
                "revocation.tokens.subjects[0].issuedBefore: expected a time such as \"2027-01-31T08:00:00Z\" (RFC 3339, with offset), found a number",
            ],
        ),
        (
            tokens(json!({"apiKeys": ["reporting"]})),
            tokens(json!({"apiKeys": ["reportin"]})),
            &["revocation.tokens.apiKeys[0]: unknown key id \"reportin\"; did you mean \"reporting\"?"],
        ),
        (
            tokens(json!({"jti": ["a"]})),
            tokens(json!({"jit": ["a"]})),
            &[
                "revocation.tokens: nothing is listed; leave the field out",
                "revocation.tokens.jit: unknown field; did you mean \"jti\"?",
            ],
        ),
        (
            remote(json!({})),
            json!({"remote": {}}),
            &["revocation.remote.uri: required", "revocation.remote.cluster: required"],
        ),
        (
            remote(json!({"uri": "http://a"})),
            remote(json!({"uri": "ftp://a"})),
            &["revocation.remote.uri: must be an absolute http or https URL"],
        ),
        (
            remote(json!({"pollInterval": "1s"})),
            remote(json!({"pollInterval": "0s"})),
            &["revocation.remote.pollInterval: must be from 1s to 1h, found \"0s\""],
        ),
        (
            remote(json!({"maxStale": "30s"})),
            remote(json!({"maxStale": "29s"})),
            &["revocation.remote.maxStale: shorter than pollInterval"],
        ),
        (
            remote(json!({"whenStale": "Serve"})),
            remote(json!({"whenStale": "Serve", "maxStale": "1m"})),
            &["revocation.remote.maxStale: has no effect with whenStale: Serve"],
        ),
        (
            remote(json!({"timeout": "1s"})),
            remote(json!({"interval": "1s"})),
            &[
                "revocation.remote.interval: unknown field; known here: uri, cluster, pollInterval, timeout, maxStale, whenStale",
            ],
        ),
    ] {
        let none: [String; 0] = [];
        assert_eq!(faults(&with("/revocation", &good.to_string())), none, "{good}");
        assert_eq!(faults(&with("/revocation", &bad.to_string())), expected, "{bad}");
    }
}

#[test]
fn what_a_revocation_comes_to() {
    assert!(decoded(&base()).revocation.is_none());
    let both = json!({
        "tokens": {"jti": ["j"], "sid": ["s"], "passkeys": ["p"], "clientIds": ["c"], "apiKeys": ["reporting"],
            "subjects": [{"sub": "a"}, {"sub": "b", "issuedBefore": "2027-01-15T08:00:00Z"}]},
        "remote": {"uri": "https://a/b", "cluster": "c", "pollInterval": "10m"},
    });
    let revocation = decoded(&with("/revocation", &both.to_string())).revocation.unwrap();
    let list = &revocation.inline;
    assert!(list.tokens.contains("j") && list.sessions.contains("s") && list.clients.contains("c"));
    assert!(list.api_keys.contains("reporting") && list.passkeys.contains("p"));
    assert_eq!(list.subjects["a"], None);
    assert_eq!(list.subjects["b"], Some(Timestamp::from_secs(1_800_000_000)));
    let remote = revocation.remote.unwrap();
    assert_eq!((remote.endpoint.path.as_str(), remote.timeout), ("/b", Duration::from_secs(5)));
    assert_eq!(
        (remote.poll_interval, remote.max_stale),
        (Duration::from_secs(600), Duration::from_secs(600))
    );
    assert_eq!(remote.when_stale, WhenStale::Deny);
}

impl crate::introspection::IntrospectionSpec {
    fn proof_secret(&self) -> Option<&str> {
        match &self.proof {
            ClientProof::Secret(ClientSecret(secret)) => Some(secret),
            ClientProof::PrivateKeyJwt { .. } => None,
        }
    }
}
