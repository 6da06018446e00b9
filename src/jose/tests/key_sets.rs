use ct_codecs::{Base64UrlSafeNoPadding, Decoder as _};
use serde_json::{Value, json};

use super::{
    super::*,
    tokens::{encode, good_claims, keys},
};
use crate::crypto::{Algorithm, KeyFault, NoHostCrypto};

/// The set's key for `kid` with members replaced, or removed where null.
fn changed(kid: &str, changes: Value) -> Value {
    let mut key = keys().only(&[kid])["keys"][0].as_object().unwrap().clone();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => key.remove(name),
            value => key.insert(name.clone(), value.clone()),
        };
    }
    Value::Object(key)
}

#[test]
fn each_key_with_its_nearest_unusable_ones() {
    let rsa = |bits: usize| {
        let mut n = vec![0x5b; bits / 8];
        n[0] = 0x80;
        encode(n)
    };
    let x_of = |kid: &str| keys().only(&[kid])["keys"][0]["x"].as_str().unwrap().to_owned();
    let n = keys().only(&["rsa"])["keys"][0]["n"].as_str().unwrap().to_owned();
    let (member, missing) = (Unusable::Member, Unusable::Missing);
    for (kid, changes, expected) in [
        ("rsa", json!({}), None),
        ("rsa", json!({"use": "sig"}), None),
        ("rsa", json!({"use": "enc"}), Some(Unusable::Use)),
        ("rsa", json!({"use": "SIG"}), Some(Unusable::Use)),
        ("rsa", json!({"use": ["sig"]}), Some(Unusable::Use)),
        ("rsa", json!({"key_ops": ["verify"]}), None),
        ("rsa", json!({"key_ops": ["encrypt", "verify"]}), None),
        ("rsa", json!({"key_ops": ["encrypt"]}), Some(Unusable::Operations)),
        ("rsa", json!({"key_ops": [""]}), Some(Unusable::Operations)),
        ("rsa", json!({"key_ops": "verify"}), Some(member("key_ops"))),
        ("rsa", json!({"alg": "RS256"}), None),
        ("rsa", json!({"alg": "PS512"}), None),
        ("rsa", json!({"alg": "ES256"}), Some(Unusable::Algorithm)),
        ("rsa", json!({"alg": "HS256"}), Some(Unusable::Algorithm)),
        ("rsa", json!({"alg": "RSA-OAEP"}), Some(Unusable::Algorithm)),
        ("rsa", json!({"alg": "none"}), Some(Unusable::Algorithm)),
        ("rsa", json!({"alg": 256}), Some(Unusable::Algorithm)),
        ("rsa", json!({"kid": null}), None),
        ("rsa", json!({"kid": 7}), Some(member("kid"))),
        ("rsa", json!({"kid": "k".repeat(MAX_KID_LEN)}), None),
        ("rsa", json!({"kid": "k".repeat(MAX_KID_LEN + 1)}), Some(member("kid"))),
        ("rsa", json!({"issuer": "https://login.example/1111"}), None),
        ("rsa", json!({"issuer": "https://login.example/{tenantid}"}), None),
        ("rsa", json!({"issuer": "https://login.example/{tenantid"}), Some(member("issuer"))),
        ("rsa", json!({"issuer": "{tenantid}"}), Some(member("issuer"))),
        ("rsa", json!({"issuer": ["https://login.example/1111"]}), Some(member("issuer"))),
        ("rsa", json!({"issuer": "i".repeat(1024)}), None),
        ("rsa", json!({"issuer": "i".repeat(1025)}), Some(member("issuer"))),
        ("rsa", json!({"kty": null}), Some(missing("kty"))),
        ("rsa", json!({"kty": 7}), Some(member("kty"))),
        // Of Post-Quantum signatures (RFC 9964).
        ("rsa", json!({"kty": "AKP", "alg": "ML-DSA-44"}), Some(Unusable::Type)),
        ("rsa", json!({"kty": "rsa"}), Some(Unusable::Type)),
        ("rsa", json!({"kty": "oct", "k": "c2VjcmV0"}), Some(Unusable::Symmetric)),
        ("rsa", json!({"d": "AQAB"}), Some(Unusable::Private)),
        ("rsa", json!({"p": "AQAB"}), Some(Unusable::Private)),
        ("rsa", json!({"n": rsa(2048)}), None),
        ("rsa", json!({"n": rsa(1024)}), Some(Unusable::Key(KeyFault::RsaSize { bits: 1024 }))),
        ("rsa", json!({"n": rsa(16384)}), Some(Unusable::Key(KeyFault::RsaSize { bits: 16384 }))),
        // As Java's BigInteger writes it; RFC 7518 section 6.3.1.1 speaks of libraries that do.
        (
            "rsa",
            json!({"n": encode([vec![0], Base64UrlSafeNoPadding::decode_to_vec(&n, None).unwrap()].concat())}),
            None,
        ),
        ("rsa", json!({"n": null}), Some(missing("n"))),
        ("rsa", json!({"n": null, "e": null, "x5c": ["MIIB"]}), Some(missing("n"))),
        ("rsa", json!({"n": format!("{n}==")}), Some(Unusable::Base64("n"))),
        ("rsa", json!({"n": format!("{n}\n")}), Some(Unusable::Base64("n"))),
        ("rsa", json!({"n": n.replace(['-', '_'], "+")}), Some(Unusable::Base64("n"))),
        ("rsa", json!({"e": "AQ"}), Some(Unusable::Key(KeyFault::RsaExponent))),
        ("rsa", json!({"e": "AQAA"}), Some(Unusable::Key(KeyFault::RsaExponent))),
        ("rsa", json!({"e": 65537}), Some(member("e"))),
        ("rsa", json!({"x5c": ["whatever"], "x5t": 7}), None),
        ("es256", json!({}), None),
        ("es256", json!({"alg": "ES256"}), None),
        ("es256", json!({"alg": "ES384"}), Some(Unusable::Algorithm)),
        ("es256", json!({"crv": "P-384"}), Some(Unusable::Key(KeyFault::Length { expected: 48 }))),
        ("es256", json!({"crv": "secp256k1"}), Some(Unusable::Key(KeyFault::Point))),
        ("es256", json!({"crv": "P-521"}), Some(Unusable::Type)),
        ("es256", json!({"crv": null}), Some(missing("crv"))),
        ("es256", json!({"y": x_of("es256")}), Some(Unusable::Key(KeyFault::Point))),
        ("es256", json!({"y": null}), Some(missing("y"))),
        // A coordinate with its leading zeros cut off.
        ("es256", json!({"y": encode([1; 31])}), Some(Unusable::Key(KeyFault::Length { expected: 32 }))),
        ("es256", json!({"d": "AQAB"}), Some(Unusable::Private)),
        ("es384", json!({}), None),
        ("es256k", json!({"alg": "ES256K"}), None),
        ("ed25519", json!({}), None),
        ("ed25519", json!({"alg": "EdDSA"}), None),
        ("ed25519", json!({"alg": "Ed25519"}), None),
        ("ed25519", json!({"crv": "X25519"}), Some(Unusable::Type)),
        ("ed25519", json!({"crv": "Ed448"}), Some(Unusable::Type)),
        ("ed25519", json!({"x": encode([0; 32])}), Some(Unusable::Key(KeyFault::Point))),
        ("ed25519", json!({"x": encode([1; 31])}), Some(Unusable::Key(KeyFault::Length { expected: 32 }))),
    ] {
        let (set, unusable) = KeySet::from_json(&json!({"keys": [changed(kid, changes.clone())]})).unwrap();
        assert_eq!(unusable.first().map(|key| key.reason), expected, "{kid} {changes}");
        assert_eq!(set.len(), usize::from(expected.is_none()), "{kid} {changes}");
    }
}

#[test]
fn the_usable_are_kept_and_the_others_named() {
    let good = keys().only(&["rsa"])["keys"][0].clone();
    let set = json!({"keys": [7, good, changed("es256", json!({"use": "enc"}))]});
    let (keys, unusable) = KeySet::parse(set.to_string().as_bytes()).unwrap();
    assert_eq!(keys.len(), 1);
    assert_eq!(
        unusable,
        [
            UnusableKey { index: 0, kid: None, reason: Unusable::NotAnObject },
            UnusableKey { index: 2, kid: Some("es256".into()), reason: Unusable::Use },
        ]
    );
    assert_eq!(
        unusable[1].to_string(),
        "keys[2] (kid \"es256\"): `use` is not `sig`; right for keys that encrypt; have the provider say `sig` of \
         others, or nothing"
    );
}

/// What a library writes that knows all members of all keys.
#[test]
fn what_says_nothing_counts_as_absent() {
    const NAMES: [&str; 14] =
        ["use", "key_ops", "alg", "kid", "d", "p", "q", "dp", "dq", "qi", "oth", "k", "x5c", "x5t"];
    for nothing in [Value::Null, json!(""), json!([]), json!({})] {
        for kid in ["rsa", "es256", "ed25519"] {
            let mut key = keys().only(&[kid])["keys"][0].clone();
            for name in NAMES {
                key[name] = nothing.clone();
            }
            let set = json!({ "keys": [key] }).to_string();
            let (set, unusable) = KeySet::parse(set.as_bytes()).unwrap();
            assert_eq!((set.len(), unusable), (1, vec![]), "{kid} {nothing}");
        }
        // Material is never nothing.
        for (kid, name) in [("rsa", "n"), ("rsa", "e"), ("es256", "x"), ("ed25519", "x"), ("rsa", "kty")] {
            let mut key = keys().only(&[kid])["keys"][0].clone();
            key[name] = nothing.clone();
            let (_, unusable) = KeySet::from_json(&json!({ "keys": [key] })).unwrap();
            assert_eq!(unusable[0].reason, Unusable::Missing(name), "{kid} {nothing}");
        }
    }
    // What says something counts, however little.
    for (name, something, reason) in [
        ("d", json!(" "), Unusable::Private),
        ("d", json!(0), Unusable::Private),
        ("oth", json!([null]), Unusable::Private),
        ("k", json!(false), Unusable::Private),
        ("use", json!(" "), Unusable::Use),
        ("key_ops", json!([null]), Unusable::Operations),
        ("alg", json!(" "), Unusable::Algorithm),
        ("kid", json!(false), Unusable::Member("kid")),
    ] {
        let (_, unusable) =
            KeySet::from_json(&json!({"keys": [changed("rsa", json!({name: something}))]})).unwrap();
        assert_eq!(unusable[0].reason, reason, "{name} {something}");
    }
}

/// Each key is judged by itself, its form too; what is said twice of the set is not.
#[test]
fn a_member_twice_loses_its_key_alone() {
    let good = keys().only(&["es256"])["keys"][0].to_string();
    let twice = |more: &str| good.replacen('{', &format!("{{{more},"), 1);
    let set = |key: &str, more: &str| format!("{{\"keys\":[{key},{good}]{more}}}");
    for (key, reason) in [
        (twice(r#""kid":"other""#), Some(Unusable::Repeated)),
        (twice(r#""kty":"EC""#), Some(Unusable::Repeated)),
        (twice(r#""\u0078":"AQAB""#), Some(Unusable::Repeated)),
        (twice(r#""x5c":[{"a":1,"a":1}]"#), Some(Unusable::Repeated)),
        (twice(r#""d":null,"d":"AQAB""#), Some(Unusable::Repeated)),
        (twice(r#""Kid":"other""#), None),
    ] {
        let (keys, unusable) = KeySet::parse(set(&key, "").as_bytes()).unwrap();
        let reasons: Vec<_> =
            unusable.iter().map(|key| (key.index, key.kid.as_deref(), key.reason)).collect();
        assert_eq!(reasons, reason.map(|reason| (0, None, reason)).into_iter().collect::<Vec<_>>(), "{key}");
        assert_eq!(keys.len(), if reason.is_some() { 1 } else { 2 }, "{key}");
    }
    for (more, fine) in [
        ("", true),
        (r#","x":{"a":1,"a":2}"#, true),
        (r#","x":1,"x":1"#, false),
        (r#","keys":[]"#, false),
        (r#","\u006beys":[]"#, false),
        (r#","Keys":[]"#, true),
    ] {
        let outcome = KeySet::parse(set(&good, more).as_bytes());
        let twice = KeySetError::Json(crate::json::JsonFault::DuplicateMember);
        assert_eq!(outcome.map(|(keys, _)| keys.len()), if fine { Ok(2) } else { Err(twice) }, "{more}");
    }
    assert_eq!(
        KeySet::parse(format!("\u{feff}{}", set(&good, "")).as_bytes()).map(|(keys, _)| keys.len()),
        Ok(2)
    );
}

#[test]
fn no_key_set() {
    for (text, expected) in [
        ("", KeySetError::Json(crate::json::JsonFault::Syntax)),
        ("<html>", KeySetError::Json(crate::json::JsonFault::Syntax)),
        ("[]", KeySetError::Json(crate::json::JsonFault::NotAnObject)),
        (r#"{"keys":[],"keys":[]}"#, KeySetError::Json(crate::json::JsonFault::DuplicateMember)),
        ("{}", KeySetError::NoKeys),
        (r#"{"keys":{}}"#, KeySetError::NoKeys),
        (r#"{"keys":null}"#, KeySetError::NoKeys),
        (r#"{"keys":[]}"#, KeySetError::NoUsableKeys(vec![])),
        // Of Google's, and Firebase's, older endpoints.
        (r#"{"1f2e":"-----BEGIN CERTIFICATE-----"}"#, KeySetError::NoKeys),
        (r#"{"issuer":"https://a","jwks_uri":"https://a/keys"}"#, KeySetError::Metadata),
        ("\u{feff}\u{feff}{\"keys\":[]}", KeySetError::Json(crate::json::JsonFault::Syntax)),
        (&format!("{{\"keys\":[]{}}}", " ".repeat(MAX_JWKS_SIZE)), KeySetError::TooLarge),
    ] {
        assert_eq!(KeySet::parse(text.as_bytes()).err(), Some(expected), "{}", &text[..text.len().min(40)]);
    }
}

#[test]
fn keys_beyond_the_bound_are_reported_once() {
    let key = keys().only(&["es256"])["keys"][0].clone();
    let (set, unusable) = KeySet::from_json(&json!({"keys": vec![key.clone(); MAX_KEYS]})).unwrap();
    assert_eq!((set.len(), unusable.len()), (MAX_KEYS, 0));
    let (set, unusable) = KeySet::from_json(&json!({"keys": vec![key; 3000]})).unwrap();
    assert_eq!(set.len(), MAX_KEYS);
    assert_eq!(
        unusable,
        [UnusableKey { index: MAX_KEYS, kid: Some("es256".into()), reason: Unusable::TooMany }]
    );
}

/// What a token with this `kid` comes to, with these keys in the set.
fn verified(set: &[Value], kid: Option<&str>) -> Result<(), KeyError> {
    let mut header = json!({"alg": "ES256"});
    if let Some(kid) = kid {
        header["kid"] = kid.into();
    }
    let text = keys().sign(Algorithm::Es256, &header, &good_claims());
    let (set, _) = KeySet::from_json(&json!({ "keys": set })).unwrap();
    set.verify(&CompactToken::parse(&text, 8192).unwrap(), &NoHostCrypto)
}

#[test]
fn kid_selects() {
    let right = |kid: Value| changed("es256", json!({ "kid": kid }));
    let foreign = |kid: Value| {
        let mut key = tokens::foreign_keys().only(&["es256"])["keys"][0].clone();
        match kid {
            Value::Null => drop(key.as_object_mut().unwrap().remove("kid")),
            kid => key["kid"] = kid,
        }
        key
    };
    use super::tokens;
    let unknown = |kid: &str| Err(KeyError::UnknownKey { kid: kid.into() });
    let unusable = changed("es256", json!({"kid": "a", "use": "enc"}));
    let not_used = |kid: &str| Err(KeyError::UnusableKey { kid: kid.into(), reason: Unusable::Use });
    let others = |count: usize| vec![foreign(Value::Null); count];
    let too_many = Err(KeyError::TooManyKeys { algorithm: Algorithm::Es256 });
    let rsa = keys().only(&["rsa"])["keys"][0].clone();
    for (set, kid, expected) in [
        (vec![right("a".into())], Some("a"), Ok(())),
        (vec![right("a".into())], Some("A"), unknown("A")),
        (vec![right("a".into())], Some("../../etc/passwd"), unknown("../../etc/passwd")),
        (vec![right("a".into())], Some("' OR 1=1 --"), unknown("' OR 1=1 --")),
        (vec![right("a".into())], Some("a\0"), unknown("a\0")),
        (vec![right("a".into())], Some(""), unknown("")),
        (vec![right("a".into())], None, Ok(())),
        (vec![foreign("a".into()), right("b".into())], Some("a"), Err(KeyError::Signature)),
        (vec![foreign("a".into()), right("b".into())], Some("b"), Ok(())),
        (vec![foreign("a".into()), right("b".into())], None, Ok(())),
        // The same name twice: both are tried.
        (vec![foreign("a".into()), right("a".into())], Some("a"), Ok(())),
        (vec![keys().only(&["rsa"])["keys"][0].clone(), right("rsa".into())], Some("rsa"), Ok(())),
        // A key without a name answers for every name, behind those that have it.
        (vec![right(Value::Null)], Some("a"), Ok(())),
        (vec![foreign(Value::Null), right("a".into())], Some("a"), Ok(())),
        (vec![foreign(Value::Null)], Some("a"), unknown("a")),
        // There and of no use, alone and beside one that is.
        (vec![unusable.clone()], Some("a"), not_used("a")),
        (vec![unusable.clone()], Some("b"), unknown("b")),
        (vec![unusable.clone(), right("a".into())], Some("a"), Ok(())),
        (vec![unusable.clone(), foreign("a".into())], Some("a"), Err(KeyError::Signature)),
        (vec![unusable.clone(), foreign(Value::Null)], Some("a"), not_used("a")),
        (vec![unusable, right(Value::Null)], Some("a"), Ok(())),
        // Named, but of another type.
        (
            keys().only(&["rsa"])["keys"].as_array().unwrap().clone(),
            Some("rsa"),
            Err(KeyError::NoKey { algorithm: Algorithm::Es256 }),
        ),
        (
            keys().only(&["rsa"])["keys"].as_array().unwrap().clone(),
            None,
            Err(KeyError::NoKey { algorithm: Algorithm::Es256 }),
        ),
        // Not more than so many keys are tried.
        ([others(MAX_TRIES - 1), vec![right(Value::Null)]].concat(), None, Ok(())),
        (others(MAX_TRIES), None, Err(KeyError::Signature)),
        ([others(MAX_TRIES), vec![right(Value::Null)]].concat(), None, too_many.clone()),
        ([others(MAX_TRIES), vec![right("a".into())]].concat(), None, too_many.clone()),
        ([vec![foreign("a".into()); MAX_TRIES], vec![right("a".into())]].concat(), Some("a"), too_many),
        // Of those that do not fit any number.
        ([vec![rsa.clone(); MAX_TRIES + 1], others(1)].concat(), None, Err(KeyError::Signature)),
        ([others(MAX_TRIES + 1), vec![rsa]].concat(), Some("b"), unknown("b")),
        ([others(MAX_TRIES), vec![right("a".into())]].concat(), Some("a"), Ok(())),
    ] {
        assert_eq!(verified(&set, kid), expected, "{kid:?} of {}", Value::from(set));
    }
}
