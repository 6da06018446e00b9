//! `signingKeys`, `sessions` and `identityHeaders.signed`.

use serde_json::{Value, json};

use super::{base, decode, faults, faults_of};
use crate::{
    confirmation::BindingMode,
    cross_site::Origins,
    crypto::{Algorithm, new_private_jwk},
    jwt::{Issuer, KeySource},
    request::Location,
};

const NONE: [String; 0] = [];

fn es256() -> Value {
    new_private_jwk(Algorithm::Es256).unwrap()
}

/// `jwk` with changes; null takes a member out.
fn with(jwk: &Value, changes: &Value) -> Value {
    let mut jwk = jwk.clone();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => jwk.as_object_mut().unwrap().shift_remove(name),
            value => jwk.as_object_mut().unwrap().insert(name.clone(), value.clone()),
        };
    }
    jwk
}

/// [`base`] with both sections and a rule that takes sessions; `changes` are members of `section`.
fn document(section: &str, changes: &Value) -> Value {
    let mut document = base();
    document["signingKeys"] = json!({"keys": [es256()]});
    document["sessions"] = json!({"issuer": "https://api.example.com", "audiences": ["orders"]});
    let rules = document["rules"].as_array_mut().unwrap();
    rules.insert(0, json!({"name": "signed-in", "authenticate": {"anyOf": [{"jwt": "sessions"}]}}));
    document[section] = with(&document[section], changes);
    document
}

#[test]
fn keys_of_ours() {
    let (first, second) = (es256(), with(&new_private_jwk(Algorithm::EdDsa).unwrap(), &json!({"kid": "k"})));
    let public = with(&second, &json!({"d": null}));
    let of = |keys: Value| json!({"keys": keys});
    let at = "signingKeys";
    for (good, bad, expected) in [
        (of(json!([first])), of(json!([])), format!("{at}.keys: no keys; nothing could be signed")),
        (
            of(json!([first, second])),
            of(json!([first, with(&second, &json!({"kid": "l"})), second])),
            format!("{at}.keys[2]: is listed twice"),
        ),
        (
            of(json!([first, public])),
            of(json!([public, first])),
            format!("{at}.keys[0]: has no private half (`d`), and the first key signs"),
        ),
        (
            of(json!([with(&first, &json!({"kid": "K"})), second])),
            of(json!([with(&first, &json!({"kid": "k"})), second])),
            format!("{at}.keys[1]: duplicate kid \"k\""),
        ),
        (
            of(json!([with(&first, &json!({"alg": "ES256"}))])),
            of(json!([with(&first, &json!({"alg": "RS256"}))])),
            format!(
                "{at}.keys[0]: not a usable private JWK: `d`, `x` and `y` belong together, `use` is `sig` and `key_ops` has \
                 `sign` where they are given"
            ),
        ),
        (
            of(json!([first])),
            of(json!([with(&first, &json!({"crv": "P-384"}))])),
            format!("{at}.keys[0]: not a JWK for ES256 (`EC`, `P-256`) or EdDSA (`OKP`, `Ed25519`)"),
        ),
        (
            of(json!([first])),
            of(json!(["-----BEGIN PRIVATE KEY-----"])),
            format!("{at}.keys[0]: expected a JWK, found a string"),
        ),
        (
            of(json!([first])),
            of(json!(vec![0; 9])),
            format!("{at}.keys: has 9 entries; at most 8 are allowed"),
        ),
        (
            json!({"jwksPath": "/keys.json"}),
            json!({"jwksPath": "keys.json"}),
            format!("{at}.jwksPath: \"keys.json\" is not a path without query, as in /keys.json"),
        ),
        (
            json!({"jwksPath": "/keys.json"}),
            json!({"jwksPath": "/keys.json?a"}),
            format!("{at}.jwksPath: \"/keys.json?a\" is not a path without query, as in /keys.json"),
        ),
        (
            json!({"jwksPath": "/%2A"}),
            json!({"jwksPath": "/a/../%41"}),
            format!("{at}.jwksPath: write \"/A\", the form in which requests are read"),
        ),
    ] {
        assert_eq!(faults(&document(at, &good)), NONE, "{good}");
        let said = faults(&document(at, &bad));
        assert_eq!(said, [expected], "{bad}");
        for jwk in [&first, &second] {
            assert!(!said.concat().contains(jwk["d"].as_str().unwrap()));
        }
    }
}

#[test]
fn sessions_of_ours() {
    let at = "sessions";
    for (good, bad, expected) in [
        (json!({}), json!({"issuer": null}), format!("{at}.issuer: required")),
        (
            json!({"issuer": "https://api.example.com/"}),
            json!({"issuer": "http://api.example.com"}),
            format!("{at}.issuer: must be an https URL"),
        ),
        (
            json!({"issuer": "https://api.example.com"}),
            json!({"issuer": "https://idp.example.com"}),
            format!(
                "{at}.issuer: duplicate issuer \"https://idp.example.com\"; jwt.providers[0] is the first"
            ),
        ),
        (json!({"audiences": ["a", "b"]}), json!({"audiences": null}), format!("{at}.audiences: required")),
        (
            json!({}),
            json!({"audiences": []}),
            format!("{at}.audiences: no audiences; name what sessions are for"),
        ),
        (json!({"name": "sessions"}), json!({"name": "a b"}), {
            let rule = "a name is 1 to 128 letters, digits and . _ - : / @";
            format!("{at}.name: \"a b\" is not valid here: {rule}")
        }),
        (
            json!({}),
            json!({"name": "people"}),
            "rules[0].authenticate.anyOf[0].jwt: unknown provider \"sessions\"".to_owned(),
        ),
        (
            json!({"lifetime": "24h"}),
            json!({"lifetime": "24h1ms"}),
            format!("{at}.lifetime: must be from 1m to 24h, found \"24h1ms\""),
        ),
        (
            json!({"lifetime": "1m"}),
            json!({"lifetime": "59s"}),
            format!("{at}.lifetime: must be from 1m to 24h, found \"59s\""),
        ),
    ] {
        assert_eq!(faults(&document(at, &good)), NONE, "{good}");
        assert_eq!(faults(&document(at, &bad)), [expected], "{bad}");
    }
    let prefix = "must begin with __Host-, so that no other host can set the cookie, as in __Host-session";
    for (good, bad, expected) in [
        (
            json!({"cookie": {}}),
            json!({"cookie": true}),
            format!("{at}.cookie: expected an object, found a boolean"),
        ),
        (
            json!({"cookie": {"name": "__Host-a"}}),
            json!({"cookie": {"name": "a"}}),
            format!("{at}.cookie.name: \"a\" is not valid here: it {prefix}"),
        ),
        (
            json!({"cookie": {}}),
            json!({"cookie": {"name": "__Host-"}}),
            format!("{at}.cookie.name: \"__Host-\" is not valid here: it {prefix}"),
        ),
        (
            json!({"cookie": {}}),
            json!({"cookie": {"name": "__Host-a;b"}}),
            format!("{at}.cookie.name: \"__Host-a;b\" is not valid here: it {prefix}"),
        ),
        (
            json!({"cookie": {"sameSite": "Lax"}}),
            json!({"cookie": {"sameSite": "None"}}),
            format!("{at}.cookie.sameSite: \"None\" is not a choice (one of Strict, Lax)"),
        ),
        (
            json!({"cookie": {}, "origins": ["https://app.example.com", "http://localhost:8000"]}),
            json!({"cookie": {}, "origins": ["https://app.example.com", "https://app.example.com/a"]}),
            format!("{at}.origins[1]: must be an origin, without path and query"),
        ),
        (
            json!({"cookie": {}, "origins": ["https://app.example.com:8443/"]}),
            json!({"cookie": {}, "origins": ["https://app.example.com", "https://APP.example.com:443/"]}),
            format!("{at}.origins[1]: \"https://app.example.com\" is listed twice"),
        ),
        (
            json!({"cookie": {}, "origins": ["http://localhost"]}),
            json!({"cookie": {}, "origins": ["http://app.example.com"]}),
            format!("{at}.origins[0]: must be an https origin; http is taken from localhost alone"),
        ),
        (
            json!({"cookie": {}}),
            json!({"cookie": {}, "origins": []}),
            format!(
                "{at}.origins: no origins; leave the field out to take the pages of the request's own host alone"
            ),
        ),
        (
            json!({}),
            json!({"origins": ["https://app.example.com"]}),
            format!("{at}.origins: has no effect without cookie: no page can send a bearer token unasked"),
        ),
        (
            json!({"dpop": {"mode": "Accepted"}}),
            json!({"dpop": {"mode": "Optional"}}),
            format!("{at}.dpop.mode: \"Optional\" is not a mode (one of Accepted, Required)"),
        ),
        (
            json!({"dpop": {"mode": "Accepted"}, "cookie": {}}),
            json!({"dpop": {"mode": "Required"}, "cookie": {}}),
            format!(
                "{at}.cookie: contradicts dpop.mode: Required, for no browser proves a key with a cookie"
            ),
        ),
        (
            json!({"dpop": {"mode": "Required", "nonce": {}}}),
            json!({"mtls": {"mode": "Required"}}),
            format!(
                "{at}.mtls: the policy has no clientCertificates section, so no certificate is ever seen"
            ),
        ),
    ] {
        assert_eq!(faults(&document(at, &good)), NONE, "{good}");
        assert_eq!(faults(&document(at, &bad)), [expected], "{bad}");
    }
    // Beside all that is wrong with them, rules that name them are not told as wrong.
    let mut bad = document(at, &json!({"name": "corp", "issuer": 1}));
    bad["rules"][0]["authenticate"]["anyOf"][0]["jwt"] = "corp".into();
    assert_eq!(
        faults(&bad),
        [
            "sessions.name: duplicate provider \"corp\"; jwt.providers[0] is the first",
            "sessions.issuer: expected a string, found a number; put it in quotes",
        ]
    );
    let mut without = document(at, &json!({}));
    without.as_object_mut().unwrap().shift_remove("signingKeys");
    assert_eq!(faults(&without), ["signingKeys: required with sessions, which are signed"]);
    // Keys with faults say it alone.
    let faulty = document("signingKeys", &json!({"keys": [{}]}));
    assert_eq!(
        faults(&faulty),
        ["signingKeys.keys[0]: not a JWK for ES256 (`EC`, `P-256`) or EdDSA (`OKP`, `Ed25519`)"]
    );
}

/// To the rest of the policy they are one more provider, the last.
#[test]
fn sessions_are_tokens_of_a_provider() {
    let keys = [es256(), new_private_jwk(Algorithm::EdDsa).unwrap()];
    let mut document = document("signingKeys", &json!({"keys": keys}));
    let decoded = decode(document.to_string().as_bytes()).unwrap();
    assert_eq!(decoded.providers.len(), base()["jwt"]["providers"].as_array().unwrap().len() + 1);
    let provider = decoded.providers.last().unwrap();
    let jwt = &provider.jwt;
    assert_eq!((provider.path.as_str(), jwt.name.as_str()), ("sessions", "sessions"));
    assert_eq!(jwt.issuer, Issuer::One("https://api.example.com".into()));
    assert_eq!(jwt.audiences.as_deref(), Some(&["orders".to_owned()][..]));
    assert_eq!((jwt.require_issuer, jwt.types.as_slice()), (true, &["at+jwt".to_owned()][..]));
    assert_eq!(jwt.algorithms, [Algorithm::Es256, Algorithm::EdDsa]);
    let bearer = Location::Header { name: "authorization".into(), prefix: "Bearer ".into() };
    assert_eq!((&jwt.locations, &jwt.cookie_origins), (&vec![bearer.clone()], &None));
    let KeySource::Inline(set) = &jwt.keys else { panic!("{:?}", jwt.keys) };
    assert_eq!(set["keys"].as_array().unwrap().len(), 2);
    let shown = format!("{decoded:?}");
    assert!(keys.iter().all(|key| shown.contains(key["x"].as_str().unwrap())));
    assert!(keys.iter().all(|key| !shown.contains(key["d"].as_str().unwrap())));
    document["sessions"]["cookie"] = json!({});
    let with_cookie = decode(document.to_string().as_bytes()).unwrap();
    let jwt = &with_cookie.providers.last().unwrap().jwt;
    assert_eq!(jwt.locations, [bearer, Location::Cookie("__Host-session".into())]);
    assert_eq!(jwt.cookie_origins, Some(Origins::default()));
    document["sessions"]["dpop"] = json!({"mode": "Accepted"});
    let proven = decode(document.to_string().as_bytes()).unwrap();
    let provider = proven.providers.last().unwrap();
    assert_eq!(provider.jwt.locations.last(), Some(&crate::dpop::location()));
    assert_eq!(provider.dpop.as_ref().map(|dpop| dpop.mode), Some(BindingMode::Accepted));
    document["sessions"].as_object_mut().unwrap().shift_remove("dpop");
    // They need no other.
    document.as_object_mut().unwrap().shift_remove("jwt");
    let alone = json!({"signingKeys": document["signingKeys"], "sessions": document["sessions"],
        "rules": [document["rules"][0]]});
    assert_eq!(faults_of(alone.to_string().as_bytes()), NONE);
}

#[test]
fn what_upstreams_are_told() {
    let at = "identityHeaders.signed";
    let with_signed = |signed: &Value, without: &[&str]| {
        let mut document = document("sessions", &json!({}));
        document["identityHeaders"]["signed"] = signed.clone();
        if without.contains(&"sessions") {
            document["rules"].as_array_mut().unwrap().remove(0);
        }
        without.iter().for_each(|section| drop(document.as_object_mut().unwrap().shift_remove(*section)));
        faults(&document)
    };
    let good = json!({"audience": "upstreams"});
    for (bad, expected) in [
        (json!({}), format!("{at}.audience: required")),
        (json!({"audience": ""}), format!("{at}.audience: must not be empty")),
        (json!({"audience": "a", "header": "x-user"}), {
            format!("{at}.header: header \"x-user\" is set by identityHeaders.subject already")
        }),
        (json!({"audience": "a", "header": "Authorization"}), {
            format!("{at}.header: \"authorization\" has a meaning of its own; give another")
        }),
        (json!({"audience": "a", "issuer": "http://a"}), format!("{at}.issuer: must be an https URL")),
        (json!({"audience": "a", "lifetime": "1s"}), {
            format!("{at}.lifetime: must be from 2s to 1h, found \"1s\"")
        }),
    ] {
        assert_eq!(with_signed(&good, &[]), NONE);
        assert_eq!(with_signed(&bad, &[]), [expected], "{bad}");
    }
    assert_eq!(with_signed(&json!({"audience": "a", "issuer": "https://a"}), &["sessions"]), NONE);
    assert_eq!(
        with_signed(&good, &["sessions"]),
        [format!("{at}.issuer: required: there are no sessions, whose issuer it would be")]
    );
    assert_eq!(
        with_signed(&json!({"audience": "a", "issuer": "https://a"}), &["sessions", "signingKeys"]),
        [format!("{at}: the policy has no signingKeys section")]
    );
    // Its header is owned, whether it is sent or not.
    let mut taken = base();
    taken["jwt"]["providers"][0]["claimToHeaders"][0]["header"] = "x-portcullis-identity".into();
    assert_eq!(
        faults(&taken),
        ["jwt.providers[0].claimToHeaders[0].header: header \"x-portcullis-identity\" is set by \
             identityHeaders.signed.header already"]
    );
}
