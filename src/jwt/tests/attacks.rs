//! Forged and twisted tokens, each beside the nearest one that passes.

use serde_json::{Value, json};

use super::{
    super::*,
    tokens::{Keys, NOW, encode, foreign_keys, good_claims, keys, kid, provider},
    verify,
};
use crate::{
    answer::Reason,
    jose::{CompactToken, KeyError, KeySet, MAX_KID_LEN},
};

/// Accepts every algorithm with public keys.
fn public() -> ProviderSpec {
    let mut spec = provider();
    spec.keys = KeySource::Inline(keys().jwks.clone());
    spec.algorithms = Algorithm::PUBLIC.to_vec();
    spec
}

fn symmetric() -> ProviderSpec {
    let mut spec = provider();
    spec.keys =
        KeySource::Symmetric(vec![SymmetricKey { id: Some("s".into()), secret: keys().secret.clone() }]);
    spec.algorithms = vec![Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512];
    spec
}

fn outcome(spec: &ProviderSpec, text: &str) -> Result<(), Reason> {
    verify(spec, text).map(|_| ()).map_err(|error| error.reason())
}

/// A header that passes for `alg`, with members replaced, added or (where null) removed.
fn header(alg: Algorithm, changes: Value) -> Value {
    let mut header = json!({"alg": alg.name(), "typ": "JWT", "kid": kid(alg)});
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(header.as_object_mut().unwrap().remove(name)),
            value => header[name] = value.clone(),
        }
    }
    header
}

/// The token with another signature.
fn resigned(text: &str, signature: impl AsRef<[u8]>) -> String {
    format!("{}.{}", text.rsplit_once('.').unwrap().0, encode(signature))
}

fn signature_of(text: &str) -> Vec<u8> {
    use ct_codecs::{Base64UrlSafeNoPadding, Decoder};
    Base64UrlSafeNoPadding::decode_to_vec(text.rsplit_once('.').unwrap().1, None).unwrap()
}

#[test]
fn every_algorithm_passes_as_made_by_another_library() {
    for algorithm in Algorithm::ALL {
        let spec = if algorithm.is_symmetric() { symmetric() } else { public() };
        let mut header = header(algorithm, json!({}));
        if algorithm.is_symmetric() {
            header["kid"] = "s".into();
        }
        let text = keys().sign(algorithm, &header, &good_claims());
        assert_eq!(outcome(&spec, &text), Ok(()), "{algorithm}");
        // The same, signed by keys that nobody trusts.
        if !algorithm.is_symmetric() {
            let forged = foreign_keys().sign(algorithm, &header, &good_claims());
            assert_eq!(outcome(&spec, &forged), Err(Reason::TokenSignature), "{algorithm}");
        }
        // The same, not allowed.
        let mut without = spec.clone();
        without.algorithms.retain(|other| *other != algorithm);
        assert_eq!(outcome(&without, &text), Err(Reason::TokenAlgorithm), "{algorithm}");
        // Each bit of the signature's ends counts.
        let signature = signature_of(&text);
        for index in [0, signature.len() / 2, signature.len() - 1] {
            let mut changed = signature.clone();
            changed[index] ^= 1;
            assert_eq!(outcome(&spec, &resigned(&text, changed)), Err(Reason::TokenSignature), "{algorithm}");
        }
        for cut in [&signature[1..], &signature[..signature.len() - 1], &signature[..1]] {
            assert_eq!(outcome(&spec, &resigned(&text, cut)), Err(Reason::TokenSignature), "{algorithm}");
        }
        let longer = [signature.as_slice(), &[0]].concat();
        assert_eq!(outcome(&spec, &resigned(&text, longer)), Err(Reason::TokenSignature), "{algorithm}");
    }
}

#[test]
fn ed25519_by_its_newer_name() {
    let text =
        keys().sign(Algorithm::EdDsa, &header(Algorithm::EdDsa, json!({"alg": "Ed25519"})), &good_claims());
    assert_eq!(outcome(&public(), &text), Ok(()));
}

#[test]
fn no_signature() {
    let good = keys().token(Algorithm::Rs256, &good_claims());
    let (input, signature) = good.rsplit_once('.').unwrap();
    let payload = input.split_once('.').unwrap().1;
    assert_eq!(outcome(&public(), &good), Ok(()));
    assert_eq!(outcome(&public(), &format!("{input}.")), Err(Reason::TokenMalformed));
    assert_eq!(outcome(&public(), input), Err(Reason::TokenMalformed));
    for alg in ["none", "None", "NONE", "nOnE", "NoNe", ""] {
        let input =
            format!("{}.{payload}", encode(header(Algorithm::Rs256, json!({ "alg": alg })).to_string()));
        assert_eq!(outcome(&public(), &format!("{input}.")), Err(Reason::TokenMalformed), "{alg}");
        assert_eq!(outcome(&public(), &input), Err(Reason::TokenMalformed), "{alg}");
        assert_eq!(outcome(&public(), &format!("{input}.{signature}")), Err(Reason::TokenAlgorithm), "{alg}");
    }
    for alg in [json!(null), json!(["RS256"]), json!(256)] {
        let input =
            format!("{}.{payload}", encode(header(Algorithm::Rs256, json!({ "alg": alg })).to_string()));
        assert_eq!(outcome(&public(), &format!("{input}.{signature}")), Err(Reason::TokenMalformed), "{alg}");
    }
}

/// HS256 with what everybody knows as the secret: the public key in any of its forms.
#[test]
fn public_keys_as_shared_secrets() {
    let jwk = |kid: &str| keys().only(&[kid])["keys"][0].to_string();
    let mut secrets: Vec<Vec<u8>> =
        vec![jwk("rsa").into(), jwk("es256").into(), keys().jwks.to_string().into()];
    for (der, pem) in [&keys().rsa_public, &keys().es256_public] {
        let pem = pem.trim_end();
        secrets.extend([
            der.clone(),
            pem.into(),
            format!("{pem}\n").into(),
            pem.replace('\n', "\r\n").into(),
        ]);
    }
    for secret in secrets {
        let forger = Keys::with_secret(&secret);
        for kid in ["rsa", "es256"] {
            let header = json!({"alg": "HS256", "typ": "JWT", "kid": kid});
            let forged = forger.sign(Algorithm::Hs256, &header, &good_claims());
            assert_eq!(outcome(&public(), &forged), Err(Reason::TokenAlgorithm));
            // Nor does a key set ever take one, whatever the provider allowed.
            let token = CompactToken::parse(&forged, 8192).unwrap();
            let (set, _) = KeySet::from_json(&keys().jwks).unwrap();
            let refused = set.verify(&token, &crate::crypto::NoHostCrypto);
            assert_eq!(refused, Err(KeyError::NoKey { algorithm: Algorithm::Hs256 }));
        }
    }
    let header = json!({"alg": "HS256", "kid": "s"});
    assert_eq!(outcome(&symmetric(), &keys().sign(Algorithm::Hs256, &header, &good_claims())), Ok(()));
    // The other way round: a secret is no public key.
    let rs256 = keys().sign(Algorithm::Rs256, &json!({"alg": "RS256", "kid": "s"}), &good_claims());
    assert_eq!(outcome(&symmetric(), &rs256), Err(Reason::TokenAlgorithm));
}

#[test]
fn blank_and_wrong_secrets() {
    let header = json!({"alg": "HS256", "kid": "s"});
    for secret in [&b""[..], b"\0", b"secret", &[0; 64]] {
        let forged = Keys::with_secret(secret).sign(Algorithm::Hs256, &header, &good_claims());
        assert_eq!(outcome(&symmetric(), &forged), Err(Reason::TokenSignature));
    }
    let other = keys().sign(Algorithm::Hs256, &json!({"alg": "HS256", "kid": "t"}), &good_claims());
    assert_eq!(outcome(&symmetric(), &other), Err(Reason::TokenKey));
    let unnamed = keys().sign(Algorithm::Hs256, &json!({"alg": "HS256"}), &good_claims());
    assert_eq!(outcome(&symmetric(), &unnamed), Ok(()));
}

/// Keys that the token itself brings or points to.
#[test]
fn keys_from_the_token() {
    let jwk = foreign_keys().only(&["rsa"])["keys"][0].clone();
    for changes in [
        json!({ "jwk": jwk }),
        json!({"jwk": jwk, "kid": null}),
        json!({"jku": "https://evil.example/jwks"}),
        json!({"jku": "http://127.0.0.1:9901/"}),
        json!({"jku": "https://idp.example@evil.example/jwks"}),
        json!({"jku": "https://idp.example/redirect?to=https://evil.example/jwks"}),
        json!({"jku": "https://evil.example/jwks#idp.example"}),
        json!({"x5u": "https://evil.example/cert.pem"}),
        json!({"x5c": [encode(&foreign_keys().rsa_public.0)], "x5t": "AAAA"}),
    ] {
        let header = header(Algorithm::Rs256, changes);
        let forged = foreign_keys().sign(Algorithm::Rs256, &header, &good_claims());
        assert_eq!(outcome(&public(), &forged), Err(Reason::TokenSignature), "{header}");
        // With a trusted signature they do no harm, being ignored.
        assert_eq!(
            outcome(&public(), &keys().sign(Algorithm::Rs256, &header, &good_claims())),
            Ok(()),
            "{header}"
        );
    }
}

#[test]
fn kids() {
    let long = "k".repeat(MAX_KID_LEN + 1);
    for (kid, expected) in [
        (json!("rsa"), Ok(())),
        (json!(null), Ok(())),
        (json!("RSA"), Err(Reason::TokenKey)),
        (json!("rsa\0"), Err(Reason::TokenKey)),
        (json!("../../../../dev/null"), Err(Reason::TokenKey)),
        (json!("rsa' UNION SELECT 'x"), Err(Reason::TokenKey)),
        (json!("rsa; sleep 9"), Err(Reason::TokenKey)),
        (json!(""), Err(Reason::TokenKey)),
        (json!(["rsa"]), Err(Reason::TokenMalformed)),
        (json!(long), Err(Reason::TokenMalformed)),
        // Another key's name: of another type, so no key at all.
        (json!("es256"), Err(Reason::TokenKey)),
    ] {
        let text =
            keys().sign(Algorithm::Rs256, &header(Algorithm::Rs256, json!({ "kid": kid })), &good_claims());
        assert_eq!(outcome(&public(), &text), expected, "{kid}");
    }
}

#[test]
fn algorithms_that_the_key_or_signature_does_not_fit() {
    let claims = good_claims();
    for (name, done, key) in [
        // What the header says, what was done, and the key it names.
        ("ES256", Algorithm::Rs256, "rsa"),
        ("RS256", Algorithm::Es256, "es256"),
        ("ES256", Algorithm::Es384, "es384"),
        ("ES384", Algorithm::Es256, "es256"),
        ("ES256", Algorithm::Es256k, "es256k"),
        ("EdDSA", Algorithm::Es256, "es256"),
    ] {
        let text = keys().sign(done, &json!({"alg": name, "kid": key}), &claims);
        assert_eq!(outcome(&public(), &text), Err(Reason::TokenKey), "{name} {key}");
    }
    for (name, done) in
        [("RS256", Algorithm::Ps256), ("PS256", Algorithm::Rs256), ("RS512", Algorithm::Rs256)]
    {
        let text = keys().sign(done, &json!({"alg": name, "kid": "rsa"}), &claims);
        assert_eq!(outcome(&public(), &text), Err(Reason::TokenSignature), "{name}");
    }
    // A key that says what it is for.
    let mut spec = public();
    let mut jwks = keys().jwks.clone();
    jwks["keys"][0]["alg"] = "RS256".into();
    spec.keys = KeySource::Inline(jwks);
    spec.algorithms = vec![Algorithm::Rs256, Algorithm::Es256];
    assert_eq!(outcome(&spec, &keys().token(Algorithm::Rs256, &claims)), Ok(()));
    assert_eq!(outcome(&spec, &keys().token(Algorithm::Ps256, &claims)), Err(Reason::TokenAlgorithm));
}

#[test]
fn ecdsa_signatures_out_of_shape() {
    for (algorithm, len) in [(Algorithm::Es256, 32), (Algorithm::Es384, 48), (Algorithm::Es256k, 32)] {
        let good = keys().token(algorithm, &good_claims());
        let signature = signature_of(&good);
        let (r, s) = signature.split_at(len);
        let zero = vec![0; len];
        let der = |r: &[u8], s: &[u8]| {
            let body =
                [&[2, u8::try_from(len).unwrap() + 1, 0], r, &[2, u8::try_from(len).unwrap() + 1, 0], s]
                    .concat();
            [&[0x30, u8::try_from(body.len()).unwrap()], body.as_slice()].concat()
        };
        for forged in [
            [zero.as_slice(), &zero].concat(),
            [zero.as_slice(), s].concat(),
            [r, &zero].concat(),
            vec![0xff; 2 * len],
            [s, r].concat(),
            der(r, s),
            [&[0], r, &[0], s].concat(),
            r.to_vec(),
            [r, s, s].concat(),
        ] {
            assert_eq!(
                outcome(&public(), &resigned(&good, forged)),
                Err(Reason::TokenSignature),
                "{algorithm}"
            );
        }
        assert_eq!(outcome(&public(), &good), Ok(()));
    }
}

/// `(r, n - s)` verifies where `(r, s)` does. JOSE does not forbid it, and signers give either, so both pass;
/// whatever remembers a token must not take its text for its identity.
#[test]
fn high_s_passes() {
    let text = keys().token(Algorithm::Es256, &good_claims());
    let signature = p256::ecdsa::Signature::from_slice(&signature_of(&text)).unwrap();
    let (r, s) = signature.split_scalars();
    let other = p256::ecdsa::Signature::from_scalars(r.to_bytes(), (-*s).to_bytes()).unwrap();
    assert_ne!(signature, other);
    assert_eq!(outcome(&public(), &resigned(&text, other.to_bytes())), Ok(()));
}

#[test]
fn types() {
    let strict = |types: &[&str]| {
        let mut spec = public();
        spec.types = types.iter().map(|typ| (*typ).to_owned()).collect();
        spec
    };
    let malformed = Err(Reason::TokenMalformed);
    for (types, typ, expected) in [
        (&[][..], json!("JWT"), Ok(())),
        (&[], json!("jwt"), Ok(())),
        (&[], json!(null), Ok(())),
        (&[], json!("at+jwt"), Ok(())),
        (&[], json!("AT+JWT"), Ok(())),
        (&[], json!("application/at+jwt"), Ok(())),
        (&[], json!("id+jwt"), malformed),
        (&[], json!("dpop+jwt"), malformed),
        (&[], json!("logout+jwt"), malformed),
        (&[], json!("JOSE"), malformed),
        (&[], json!(""), malformed),
        (&[], json!("text/jwt"), malformed),
        (&[], json!("application/application/jwt"), malformed),
        // An ID token or any other JWT where an access token is due.
        (&["at+jwt"], json!("at+jwt"), Ok(())),
        (&["at+jwt"], json!("application/AT+jwt"), Ok(())),
        (&["at+jwt"], json!("JWT"), malformed),
        (&["at+jwt"], json!(null), malformed),
        (&["secevent+jwt", "jwt"], json!("JWT"), Ok(())),
        (&["secevent+jwt"], json!("at+jwt"), malformed),
        (&["x-corp"], json!("X-Corp"), Ok(())),
    ] {
        for algorithm in [Algorithm::Es256, Algorithm::EdDsa] {
            let text = keys().sign(algorithm, &header(algorithm, json!({ "typ": typ })), &good_claims());
            assert_eq!(outcome(&strict(types), &text), expected, "{types:?} {typ}");
        }
    }
}

#[test]
fn extensions_are_refused_although_signed() {
    for changes in [
        json!({"crit": ["exp"], "exp": NOW + 600}),
        json!({"crit": []}),
        json!({"crit": ["b64"], "b64": false}),
        json!({"b64": true}),
        json!({"zip": "DEF"}),
        json!({"cty": "JWT"}),
    ] {
        let header = header(Algorithm::Es256, changes);
        let text = keys().sign(Algorithm::Es256, &header, &good_claims());
        assert_eq!(outcome(&public(), &text), Err(Reason::TokenMalformed), "{header}");
    }
}

#[test]
fn signed_claims_that_do_not_hold() {
    for (changes, expected) in [
        (json!({}), Ok(())),
        (json!({"exp": NOW - 60}), Err(Reason::TokenExpired)),
        (json!({"exp": (NOW + 600).to_string()}), Err(Reason::TokenClaims)),
        (json!({"exp": null}), Err(Reason::TokenClaims)),
        (json!({"nbf": NOW + 61}), Err(Reason::TokenNotYetValid)),
        (json!({"iat": NOW + 61}), Err(Reason::TokenNotYetValid)),
        (json!({"iss": "https://idp.example/"}), Err(Reason::TokenIssuer)),
        (json!({"iss": ["https://idp.example"]}), Err(Reason::TokenClaims)),
        (json!({"aud": "ap"}), Err(Reason::TokenAudience)),
        (json!({"aud": ["x", "api"]}), Ok(())),
        (json!({"sub": 7}), Err(Reason::TokenClaims)),
        // What other libraries insist on and RFC 7519 leaves open does not matter.
        (json!({"nonce": 7, "kid": [], "iat": 0.5, "x": {"y": [null]}}), Ok(())),
    ] {
        let mut claims = good_claims();
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        for algorithm in [Algorithm::Rs256, Algorithm::EdDsa] {
            assert_eq!(
                outcome(&public(), &keys().token(algorithm, &claims)),
                expected,
                "{algorithm} {changes}"
            );
        }
    }
    let twice = format!(r#"{{"sub":"admin",{}"#, &good_claims().to_string()[1..]);
    let text = keys().sign_text(Algorithm::Es256, &header(Algorithm::Es256, json!({})).to_string(), &twice);
    assert_eq!(outcome(&public(), &text), Err(Reason::TokenMalformed));
}

#[test]
fn sizes() {
    let mut spec = public();
    let text = keys().token(Algorithm::Es256, &good_claims());
    spec.max_token_size = text.len();
    assert_eq!(outcome(&spec, &text), Ok(()));
    spec.max_token_size = text.len() - 1;
    assert_eq!(outcome(&spec, &text), Err(Reason::TokenMalformed));
    let mut claims = good_claims();
    claims["padding"] = "x".repeat(1_000_000).into();
    assert_eq!(outcome(&public(), &keys().token(Algorithm::Es256, &claims)), Err(Reason::TokenMalformed));
    let header = header(Algorithm::Es256, json!({})).to_string();
    for payload in ["[".repeat(5000), format!("{{\"a\":{}", "[".repeat(4000)), "{\"a\":".repeat(900)] {
        let text = keys().sign_text(Algorithm::Es256, &header, &payload);
        assert_eq!(outcome(&public(), &text), Err(Reason::TokenMalformed));
    }
}

/// A retired key's tokens end with it.
#[test]
fn retired_keys() {
    let text = keys().token(Algorithm::Es256, &good_claims());
    let mut spec = public();
    spec.algorithms = vec![Algorithm::Rs256];
    spec.keys = KeySource::Inline(keys().only(&["rsa"]));
    assert_eq!(outcome(&spec, &text), Err(Reason::TokenAlgorithm));
    let provider = Provider::compile(&public()).unwrap();
    let (rest, _) = KeySet::from_json(&keys().only(&["rsa"])).unwrap();
    let error = super::verify_by(&provider, &rest, &crate::crypto::NoHostCrypto, &text).err();
    assert_eq!(error, Some(JwtError::Key(KeyError::UnknownKey { kid: "es256".into() })));
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        /// No text takes the parser down, and nothing but the token itself passes.
        #[test]
        fn any_text(text in "[A-Za-z0-9_.=-]{0,120}") {
            prop_assert!(verify(&public(), &text).is_err());
        }

        #[test]
        fn any_change(at in 0_usize..1000, with in "[A-Za-z0-9_.-]") {
            let good = keys().token(Algorithm::EdDsa, &good_claims());
            let at = at % good.len();
            let changed = format!("{}{with}{}", &good[..at], &good[at + 1..]);
            prop_assert_eq!(verify(&public(), &changed).is_ok(), changed == good);
        }

        #[test]
        fn any_header_and_payload(header in ".{0,60}", payload in ".{0,60}") {
            let text = super::super::tokens::unsigned(&header, &payload);
            prop_assert!(verify(&public(), &text).is_err());
        }
    }
}
