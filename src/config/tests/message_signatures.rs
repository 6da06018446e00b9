//! `messageSignatures`, what rules say of signers, and `once` of webhooks.

use serde_json::{Value, json};

use super::{base, decode, faults};
use crate::{crypto::Algorithm, message_signature::SignerSpec, policy::Policy};

/// RFC 9421 appendix B.1.4.
const ED25519: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n-----END PUBLIC KEY-----\n";
const SECRET: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

fn key() -> Value {
    json!({"keyId": "b1", "algorithm": "ed25519", "publicKey": ED25519})
}

/// [`base`] with a signer and a source of webhooks, and a rule for each; `value` stands at `pointer` of the signer.
fn document(pointer: &str, value: Value) -> Value {
    let mut document = base();
    document["messageSignatures"] = json!({"signers": [{"name": "bank", "keys": [key()]}]});
    document["hmac"] = json!({"sources": [
        {"name": "shop", "preset": "Stripe", "secrets": ["whsec_ThisIsNoSecret"]},
        {"name": "hub", "preset": "GitHub", "secrets": ["hub-secret-of-16"]},
    ]});
    for (name, way) in [("signed", json!({"messageSignature": "bank"})), ("hooks", json!({"hmac": "shop"}))] {
        let rule = json!({"name": name, "matches": [{"path": {"type": "Exact", "value": format!("/{name}")}}],
            "authenticate": {"anyOf": [way]}});
        document["rules"].as_array_mut().unwrap().insert(0, rule);
    }
    if !pointer.is_empty() {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let signer = document.pointer_mut("/messageSignatures/signers/0").unwrap();
        signer.pointer_mut(parent).unwrap()[name] = value;
    }
    document
}

fn signer(document: &Value) -> SignerSpec {
    decode(document.to_string().as_bytes()).unwrap().signers.remove(0)
}

#[test]
fn what_is_read_and_what_is_left_out() {
    let bank = signer(&document("", Value::Null));
    assert_eq!(bank.components, ["@method", "@authority", "@path", "@query"]);
    assert_eq!((bank.max_age.as_secs(), bank.clock_skew.as_secs(), bank.max_body_bytes), (300, 30, 262_144));
    assert_eq!((bank.once, bank.forward, bank.label, bank.tag), (false, true, None, None));
    assert_eq!((bank.keys[0].id.as_str(), bank.keys[0].algorithm), ("b1", Algorithm::EdDsa));
    let every = json!({"name": "bank", "keys": [
        {"keyId": "1", "algorithm": "hmac-sha256", "secret": SECRET},
        {"keyId": "2", "algorithm": "ed25519",
         "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}},
    ], "components": ["@target-uri", "X-Tenant"], "maxAge": "1h", "clockSkew": "0s", "once": true, "label": "sig1",
        "tag": "app", "maxBodyBytes": 1, "forward": false, "scopes": ["a"], "tier": "gold"});
    let mut document = document("", Value::Null);
    document["messageSignatures"]["signers"][0] = every;
    let bank = signer(&document);
    assert_eq!(bank.components, ["@target-uri", "x-tenant"]);
    assert_eq!((bank.max_age.as_secs(), bank.clock_skew.as_secs(), bank.max_body_bytes), (3600, 0, 1));
    assert_eq!((bank.once, bank.forward), (true, false));
    assert_eq!(
        (bank.label.as_deref(), bank.tag.as_deref(), bank.tier.as_deref()),
        (Some("sig1"), Some("app"), Some("gold"))
    );
    let algorithms: Vec<_> = bank.keys.iter().map(|key| key.algorithm).collect();
    assert_eq!(algorithms, [Algorithm::Hs256, Algorithm::EdDsa]);
    assert!(!format!("{bank:?}").contains(SECRET));
}

#[test]
fn what_may_stand_there_and_what_may_not() {
    const AT: &str = "messageSignatures.signers[0]";
    let with = |change: &dyn Fn(&mut Value)| {
        let mut key = key();
        change(&mut key);
        json!([key])
    };
    let own = |name: &'static str, value: Value| with(&|key| key[name] = value.clone());
    let secret =
        |algorithm: &str, secret: &str| json!([{"keyId": "b1", "algorithm": algorithm, "secret": secret}]);
    let jwk = |algorithm: &str, jwk: Value| json!([{"keyId": "b1", "algorithm": algorithm, "jwk": jwk}]);
    let ed25519 = json!({"kty": "OKP", "crv": "Ed25519", "x": "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"});
    let mut private = ed25519.clone();
    private["d"] = "n4Ni-HpISpVObnQMW0wOhCKROaIKqKtW_2ZYb2p9KcU".into();
    let no_pem = "is no public key for the algorithm: expected PEM with -----BEGIN PUBLIC KEY-----";
    let rows: Vec<(&str, Value, Value, Vec<String>)> = vec![
        ("/keys", json!([key()]), json!([]), vec!["keys: no keys; nothing could be verified".into()]),
        ("/keys", json!([key()]), json!([key(), key()]), vec![
            "keys[1].keyId: duplicate keyId \"b1\"; messageSignatures.signers[0] is the first".into(),
        ]),
        ("/keys", json!([key()]), with(&|key| drop(key.as_object_mut().unwrap().shift_remove("publicKey"))), vec![
            "keys[0]: has no key; give publicKey, jwk or secret".into(),
        ]),
        ("/keys", json!([key()]), own("secret", SECRET.into()), vec![
            "keys[0].secret: does not fit the algorithm".into(),
            "keys[0]: has more than one key; list them as items of their own".into(),
        ]),
        ("/keys", json!([key()]), own("algorithm", "ecdsa-p256-sha256".into()), vec![format!("keys[0].publicKey: {no_pem}")]),
        ("/keys", json!([key()]), own("algorithm", "hmac-sha256".into()), vec!["keys[0].publicKey: does not fit the algorithm".into()]),
        ("/keys", json!([key()]), own("algorithm", "EdDSA".into()), vec![
            "keys[0].algorithm: \"EdDSA\" is not an algorithm (one of ecdsa-p256-sha256, ecdsa-p384-sha384, ed25519, hmac-sha256, rsa-pss-sha512, rsa-v1_5-sha256)".into(),
        ]),
        ("/keys", json!([key()]), own("publicKey", "MCowBQYDK2VwAyEA".into()), vec![format!("keys[0].publicKey: {no_pem}")]),
        ("/keys", json!([key()]), own("publicKey", " ".repeat(4097).into()), vec![format!("keys[0].publicKey: {no_pem}")]),
        ("/keys", json!([key()]), own("publicKey", json!({})), vec!["keys[0].publicKey: expected a public key in PEM, found an object".into()]),
        ("/keys", own("keyId", "a key".into()), own("keyId", "sch\u{f6}n".into()), vec![
            "keys[0].keyId: is not ASCII, in which it would have to stand in a signature (RFC 9651 section 3.3.3)".into(),
        ]),
        ("/keys", secret("hmac-sha256", SECRET), secret("hmac-sha256", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"), vec!["keys[0].secret: is shorter than 32 bytes".into()]),
        ("/keys", secret("hmac-sha256", SECRET), secret("hmac-sha256", "not base64"), vec![
            "keys[0].secret: is not base64url without padding (RFC 7515 section 2)".into(),
        ]),
        ("/keys", jwk("ed25519", ed25519.clone()), jwk("ecdsa-p256-sha256", ed25519.clone()), vec![
            "keys[0].jwk: an `alg` that is unknown or does not fit the key".into(),
        ]),
        ("/keys", jwk("ed25519", ed25519.clone()), jwk("ed25519", private), vec!["keys[0].jwk: a private key in a public set".into()]),
        ("/keys", jwk("ed25519", ed25519), jwk("ed25519", "x".into()), vec!["keys[0].jwk: expected a JWK, found a string".into()]),
        ("/components", json!(["@path"]), json!([]), vec![
            "components: no components; a signature of nothing would be good for everything".into(),
        ]),
        ("/components", json!(["x-a", "x-b"]), json!(["x-a", "X-A"]), vec!["components[1]: \"x-a\" is listed twice".into()]),
        ("/components", json!(["@scheme"]), json!(["@status"]), vec![
            "components[0]: \"@status\" is no component that must be covered; known are @authority, @method, @path, @query, @request-target, @scheme, @target-uri".into(),
        ]),
        ("/components", json!(["date"]), json!(["da te"]), vec!["components[0]: \"da te\" is not a header name (RFC 9110)".into()]),
        ("/maxAge", "1h".into(), "61m".into(), vec!["maxAge: must be from 1s to 1h, found \"61m\"".into()]),
        ("/clockSkew", "5m".into(), "6m".into(), vec!["clockSkew: must be from 0s to 5m, found \"6m\"".into()]),
        ("/label", "sig-1".into(), "Sig1".into(), vec![
            "label: no signature is called so: labels are lower-case letters, digits and _ - . *, a letter first".into(),
        ]),
        ("/tag", "app".into(), "\u{e9}".into(), vec![
            "tag: is not ASCII, in which it would have to stand in a signature (RFC 9651 section 3.3.3)".into(),
        ]),
        ("/once", true.into(), "yes".into(), vec!["once: expected true or false, found a string".into()]),
    ];
    let none: [String; 0] = [];
    for (pointer, good, bad, expected) in rows {
        assert_eq!(faults(&document(pointer, good.clone())), none, "{pointer} = {good}");
        let expected: Vec<_> = expected.iter().map(|fault| format!("{AT}.{fault}")).collect();
        assert_eq!(faults(&document(pointer, bad.clone())), expected, "{pointer} = {bad}");
    }
}

fn policy_faults(document: &Value) -> Vec<String> {
    let compiled = Policy::compile(document.to_string().as_bytes(), "test");
    compiled.err().unwrap_or_default().iter().map(ToString::to_string).collect()
}

#[test]
fn names_of_signers_and_of_their_keys_are_theirs_alone() {
    let none: [String; 0] = [];
    let with = |name: &str, id: &str| {
        let mut document = document("", Value::Null);
        let other =
            json!({"name": name, "keys": [{"keyId": id, "algorithm": "hmac-sha256", "secret": SECRET}]});
        document["messageSignatures"]["signers"].as_array_mut().unwrap().push(other);
        faults(&document)
    };
    assert_eq!(with("other", "o1"), none);
    assert_eq!(
        with("bank", "b1"),
        [
            "messageSignatures.signers[1].name: duplicate signer \"bank\"; messageSignatures.signers[0] is the first",
            "messageSignatures.signers[1].keys[0].keyId: duplicate keyId \"b1\"; messageSignatures.signers[0] is the first",
        ]
    );
    let mut unknown = document("", Value::Null);
    unknown["rules"][1]["authenticate"]["anyOf"][0]["messageSignature"] = "bonk".into();
    assert_eq!(
        faults(&unknown),
        ["rules[1].authenticate.anyOf[0].messageSignature: unknown signer \"bonk\"; did you mean \"bank\"?"]
    );
    unknown["rules"][1]["authenticate"]["anyOf"][0] = "messageSignature".into();
    assert_eq!(
        faults(&unknown),
        ["rules[1].authenticate.anyOf[0]: name the signer, as in {messageSignature: bank}"]
    );
}

/// Nothing else of a rule stands where signatures do.
#[test]
fn headers_of_signatures_are_theirs_alone() {
    let none: [String; 0] = [];
    let with = |header: &str, ways: Value| {
        let mut document = document("", Value::Null);
        document["apiKeys"]["extractFrom"] = json!({"headers": [{"name": header}]});
        document["hmac"]["sources"][0] =
            json!({"name": "shop", "signature": {"header": header}, "secrets": ["shop-secret-of-16"]});
        document["rules"][1]["authenticate"] = ways;
        policy_faults(&document)
    };
    for ways in [
        json!(["apiKey", {"messageSignature": "bank"}]),
        json!([{"hmac": "shop"}, {"messageSignature": "bank"}]),
    ] {
        assert_eq!(with("x-signature", json!({"anyOf": ways})), none);
        let faults = with("signature", json!({"anyOf": ways}));
        let expected = "\"bank\" looks for its signature in the header \"signature\", where other credentials of the rule may stand";
        assert_eq!(faults, [format!("rules[1].authenticate: {expected}")]);
        assert_eq!(with("x-signature", json!({"allOf": ways})), none);
        let faults = with("signature-input", json!({"allOf": ways}));
        assert!(faults[0].contains("both are looked for in the header \"signature-input\""), "{faults:?}");
    }
    let mut taken = document("", Value::Null);
    taken["identityHeaders"]["subject"] = "signature".into();
    assert_eq!(
        faults(&taken),
        [
            "messageSignatures: header \"signature\" is set by identityHeaders.subject, so it is removed from every request before it is read"
        ]
    );
}

/// What was used must be known for as long as it counts.
#[test]
fn webhooks_are_good_once_where_a_time_is_signed() {
    let with = |source: usize| {
        let mut document = document("", Value::Null);
        document["hmac"]["sources"][source]["once"] = true.into();
        document
    };
    assert!(decode(with(0).to_string().as_bytes()).unwrap().hmac_sources[0].once);
    assert_eq!(
        faults(&with(1)),
        [
            "hmac.sources[1].once: cannot be: no time is signed, and what was used would have to be known for ever"
        ]
    );
}
