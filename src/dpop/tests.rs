//! Proofs that pass, each beside the nearest that must not, and the examples of RFC 9449.

use std::time::Duration;

use ct_codecs::{Base64UrlSafeNoPadding, Decoder};
use serde_json::{Value, json};

use super::{
    proof::{MAX_PROOF_LEN, Unverified},
    *,
};
use crate::{
    crypto::{HostCrypto, NoHostCrypto, sha256, test_host::RingHost},
    jose::{
        TokenError,
        tests::tokens::{Keys, NOW, encode, foreign_keys, keys, kid, unsigned},
        thumbprint,
    },
    request::{RequestHead, path::CanonicalPath},
    time::Timestamp,
};

const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";

/// Those that policies take by default.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::Es256,
    Algorithm::Es384,
    Algorithm::EdDsa,
    Algorithm::Ps256,
    Algorithm::Ps384,
    Algorithm::Ps512,
    Algorithm::Rs256,
    Algorithm::Rs384,
    Algorithm::Rs512,
];

fn spec() -> DpopSpec {
    DpopSpec {
        mode: BindingMode::Accepted,
        algorithms: ALGORITHMS.to_vec(),
        max_age: Duration::from_secs(60),
        nonce_lifetime: None,
    }
}

/// The public key for `alg`, as a proof carries it.
fn jwk(keys: &Keys, alg: Algorithm) -> Value {
    let mut jwk = keys.only(&[kid(alg)])["keys"][0].clone();
    jwk.as_object_mut().unwrap().remove("kid");
    jwk
}

/// `json` with members replaced, added or (where null) removed.
fn changed(mut json: Value, changes: &Value) -> Value {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(json.as_object_mut().unwrap().remove(name)),
            value => json[name] = value.clone(),
        }
    }
    json
}

fn header(alg: Algorithm) -> Value {
    json!({"typ": "dpop+jwt", "alg": alg.name(), "jwk": jwk(keys(), alg)})
}

fn claims() -> Value {
    json!({
        "jti": "e1j3V_bKic8-LAEB",
        "htm": "GET",
        "htu": "https://api.example.com/orders/7",
        "iat": NOW,
        "ath": encode(sha256(TOKEN.as_bytes())),
    })
}

/// Holds the proof against `GET https://api.example.com/orders/7` and the key of [`keys`] for `alg`, over both roads
/// of verifying.
fn verify(text: &str, alg: Algorithm) -> Result<Proof, DpopError> {
    let path = CanonicalPath::parse(b"/orders/7?x=1").unwrap();
    let target = TargetUri::of_request(true, b"api.example.com", &path).unwrap();
    let key = thumbprint(&jwk(keys(), alg)).unwrap();
    let presented = Presented { method: "GET", target: &target, token: Some(TOKEN), key: Some(key) };
    let by =
        |host: &dyn HostCrypto| Proof::verify(text, &spec(), &presented, host, Timestamp::from_secs(NOW));
    let (in_module, by_host) = (by(&NoHostCrypto), by(&RingHost));
    assert_eq!(in_module, by_host, "the two roads part on {text}");
    in_module
}

#[test]
fn every_algorithm_that_is_accepted_passes() {
    for alg in ALGORITHMS {
        let proof = verify(&keys().sign(alg, &header(alg), &claims()), alg).unwrap();
        assert_eq!((&*proof.jti, proof.nonce), ("e1j3V_bKic8-LAEB", None));
        assert_eq!(proof.not_after, Timestamp::from_secs(NOW + 60));
    }
    let alg = Algorithm::Es256k;
    assert_eq!(verify(&keys().sign(alg, &header(alg), &claims()), alg), Err(DpopError::Algorithm));
}

#[test]
fn claims_that_fit_and_those_that_do_not() {
    let long = |len| "j".repeat(len);
    for (changes, expected) in [
        (json!({}), None),
        (json!({"nonce": "n", "extra": {"a": 1}}), None),
        (json!({"htm": "POST"}), Some(DpopError::Method)),
        (json!({"htm": "get"}), Some(DpopError::Method)),
        (json!({"htm": ""}), Some(DpopError::Method)),
        (json!({"htm": null}), Some(DpopError::Claim("htm"))),
        (json!({"htm": ["GET"]}), Some(DpopError::Claim("htm"))),
        (json!({"htu": "https://api.example.com:443/orders/%37"}), None),
        (json!({"htu": "https://api.example.com/orders/7?y=2#f"}), None),
        (json!({"htu": "https://api.example.com/orders?/7"}), Some(DpopError::Url)),
        (json!({"htu": "https://api.example.com/orders/8"}), Some(DpopError::Url)),
        (json!({"htu": "http://api.example.com/orders/7"}), Some(DpopError::Url)),
        (json!({"htu": "https://api.example.com:8443/orders/7"}), Some(DpopError::Url)),
        (json!({"htu": "https://other.example.com/orders/7"}), Some(DpopError::Url)),
        (json!({"htu": "/orders/7"}), Some(DpopError::Url)),
        (json!({"htu": null}), Some(DpopError::Claim("htu"))),
        (json!({"iat": NOW - 60}), None),
        (json!({"iat": NOW - 61}), Some(DpopError::Time)),
        (json!({"iat": NOW + 5}), None),
        (json!({"iat": NOW + 6}), Some(DpopError::Time)),
        (json!({"iat": NOW * 1000}), Some(DpopError::Claim("iat"))),
        (json!({"iat": NOW.to_string()}), Some(DpopError::Claim("iat"))),
        (json!({"iat": null}), Some(DpopError::Claim("iat"))),
        (json!({"ath": null}), Some(DpopError::Claim("ath"))),
        (json!({"ath": 1}), Some(DpopError::Claim("ath"))),
        (json!({"ath": ""}), Some(DpopError::Token)),
        (json!({"ath": encode(sha256(b"another token"))}), Some(DpopError::Token)),
        (json!({"ath": encode(sha256(TOKEN.as_bytes())) + "="}), Some(DpopError::Token)),
        (json!({"jti": long(256)}), None),
        (json!({"jti": long(257)}), Some(DpopError::Claim("jti"))),
        (json!({"jti": ""}), Some(DpopError::Claim("jti"))),
        (json!({"jti": 7}), Some(DpopError::Claim("jti"))),
        (json!({"jti": null}), Some(DpopError::Claim("jti"))),
        (json!({"nonce": 7}), Some(DpopError::Claim("nonce"))),
        (json!({"nonce": long(257)}), Some(DpopError::Claim("nonce"))),
    ] {
        let text = keys().sign(Algorithm::Es256, &header(Algorithm::Es256), &changed(claims(), &changes));
        assert_eq!(verify(&text, Algorithm::Es256).err(), expected, "{changes}");
    }
}

#[test]
fn headers_and_keys() {
    let es256 = Algorithm::Es256;
    let foreign = jwk(foreign_keys(), es256);
    let own = |changes: Value| changed(jwk(keys(), es256), &changes);
    for (changes, expected) in [
        (json!({}), None),
        (json!({"kid": "k"}), None),
        (json!({"typ": "jwt"}), Some(DpopError::Type)),
        (json!({"typ": "DPoP+JWT"}), Some(DpopError::Type)),
        (json!({"typ": "application/dpop+jwt"}), Some(DpopError::Type)),
        (json!({"typ": null}), Some(DpopError::Type)),
        (json!({"alg": "none"}), Some(DpopError::Malformed(TokenError::AlgorithmUnknown))),
        (json!({"alg": "HS256"}), Some(DpopError::Algorithm)),
        (json!({"alg": "ES256K"}), Some(DpopError::Algorithm)),
        // Listed, but no algorithm for this key.
        (json!({"alg": "RS256"}), Some(DpopError::Key(Unusable::Algorithm))),
        (json!({"jwk": null}), Some(DpopError::Claim("jwk"))),
        (json!({"jwk": foreign}), Some(DpopError::KeyMismatch)),
        (json!({"jwk": own(json!({"use": "sig", "alg": "ES256", "kid": "k"}))}), None),
        (json!({"jwk": own(json!({"d": "AA"}))}), Some(DpopError::Key(Unusable::Private))),
        (json!({"jwk": own(json!({"use": "enc"}))}), Some(DpopError::Key(Unusable::Use))),
        (json!({"jwk": own(json!({"alg": "ES384"}))}), Some(DpopError::Key(Unusable::Algorithm))),
        (json!({"jwk": own(json!({"x": null}))}), Some(DpopError::Key(Unusable::Missing("x")))),
        (json!({"jwk": {"kty": "oct", "k": "AAAA"}}), Some(DpopError::Key(Unusable::Symmetric))),
        (json!({"jwk": "key"}), Some(DpopError::Key(Unusable::NotAnObject))),
        (
            json!({"crit": ["exp"]}),
            Some(DpopError::Malformed(TokenError::Malformed(crate::jose::Malformed::Extension))),
        ),
    ] {
        let text = keys().sign(es256, &changed(header(es256), &changes), &claims());
        assert_eq!(verify(&text, es256).err(), expected, "{changes}");
    }
    // Signed by somebody else who shows the right key.
    let forged = foreign_keys().sign(es256, &header(es256), &claims());
    assert_eq!(verify(&forged, es256), Err(DpopError::Signature));
    let forged = unsigned(&header(es256).to_string(), &claims().to_string());
    assert_eq!(verify(&forged, es256), Err(DpopError::Signature));
    // An HMAC whose key is the public key.
    let hs256 = changed(header(es256), &json!({"alg": "HS256"}));
    let forged = Keys::with_secret(&keys().es256_public.0).sign(Algorithm::Hs256, &hs256, &claims());
    assert_eq!(verify(&forged, es256), Err(DpopError::Algorithm));
    for text in ["", "a", "a.b.c", "..", "é"] {
        assert!(matches!(verify(text, es256), Err(DpopError::Malformed(_))), "{text}");
    }
    let long = keys().sign(es256, &header(es256), &changed(claims(), &json!({"x": "x".repeat(9000)})));
    assert_eq!(verify(&long, es256), Err(DpopError::Malformed(TokenError::TooLong { max: MAX_PROOF_LEN })));
}

#[test]
fn one_proof_in_a_request() {
    for (values, expected) in [
        (&[&b"a.b.c"[..]][..], Ok("a.b.c")),
        (&[], Err(DpopError::Missing)),
        (&[b"a.b.c", b"a.b.c"], Err(DpopError::Several)),
        (&[b"a.b.c", b""], Err(DpopError::Several)),
    ] {
        let headers = values.iter().map(|value| (&b"dpop"[..], *value)).collect();
        let head = RequestHead { headers, tls: true, ..RequestHead::default() };
        assert_eq!(Proof::find(&head), expected, "{values:?}");
    }
    let head = RequestHead {
        headers: vec![(b"dpop", b"\xff")],
        remote_address: None,
        tls: true,
        peer_certificate: None,
        ..RequestHead::default()
    };
    assert!(matches!(Proof::find(&head), Err(DpopError::Malformed(_))));
}

#[test]
fn reasons() {
    for (error, reason) in [
        (DpopError::Missing, Reason::DpopProofInvalid),
        (DpopError::Signature, Reason::DpopProofInvalid),
        (DpopError::KeyMismatch, Reason::TokenBinding),
        (DpopError::Nonce, Reason::DpopNonceRequired),
        (DpopError::Replayed, Reason::DpopProofReplayed),
        (DpopError::State(ReplayError::Full), Reason::StateUnavailable),
    ] {
        assert_eq!(error.reason(), reason, "{error}");
    }
}

/// RFC 9449 figure 2 (section 4.1): the proof for a token request, which has no token yet.
const TOKEN_REQUEST: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMz\
    R0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIs\
    ImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY2\
    9tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV3\
    7xRZT3Lg";

/// RFC 9449 section 7.1: the proof for a protected resource, sent with [`TOKEN`].
const RESOURCE_REQUEST: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgt\
    MzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQS\
    IsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxl\
    Lm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcW\
    tzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";

/// RFC 9449 section 6.1: `jkt` of the token.
const JKT: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

fn jkt() -> [u8; 32] {
    Base64UrlSafeNoPadding::decode_to_vec(JKT, None).unwrap().try_into().unwrap()
}

#[test]
fn the_resource_request_of_rfc_9449_verifies() {
    let path = CanonicalPath::parse(b"/protectedresource").unwrap();
    let target = TargetUri::of_request(true, b"resource.example.org", &path).unwrap();
    let good = Presented { method: "GET", target: &target, token: Some(TOKEN), key: Some(jkt()) };
    let at = |presented: &Presented<'_>, secs| {
        let now = Timestamp::from_secs(secs);
        let outcome = Proof::verify(RESOURCE_REQUEST, &spec(), presented, &RingHost, now);
        assert_eq!(outcome, Proof::verify(RESOURCE_REQUEST, &spec(), presented, &NoHostCrypto, now));
        outcome.map(|proof| proof.jti.into_string())
    };
    let issued = 1_562_262_618;
    let other_path = CanonicalPath::parse(b"/protectedresources").unwrap();
    let other = TargetUri::of_request(true, b"resource.example.org", &other_path).unwrap();
    for (presented, secs, expected) in [
        (good, issued, Ok("e1j3V_bKic8-LAEB".to_owned())),
        (good, issued + 60, Ok("e1j3V_bKic8-LAEB".to_owned())),
        (good, issued + 61, Err(DpopError::Time)),
        (good, issued - 6, Err(DpopError::Time)),
        (Presented { method: "POST", ..good }, issued, Err(DpopError::Method)),
        (Presented { target: &other, ..good }, issued, Err(DpopError::Url)),
        (Presented { token: Some("Kz~8mXK1EalYznwH"), ..good }, issued, Err(DpopError::Token)),
        (Presented { key: Some([0; 32]), ..good }, issued, Err(DpopError::KeyMismatch)),
    ] {
        assert_eq!(at(&presented, secs), expected, "{presented:?} {secs}");
    }
}

#[test]
fn the_token_request_of_rfc_9449_verifies_and_is_none_for_a_resource() {
    let proof = Unverified::parse(TOKEN_REQUEST).unwrap();
    let path = CanonicalPath::parse(b"/token").unwrap();
    let target = TargetUri::of_request(true, b"server.example.com", &path).unwrap();
    assert_eq!(proof.check_header(&spec(), Some(jkt())), Ok(jkt()));
    assert_eq!(proof.check_request("POST", &target), Ok(()));
    assert!(proof.check_time(Duration::from_secs(60), Timestamp::from_secs(1_562_262_616)).is_ok());
    assert_eq!(proof.verify_signature(&RingHost), Ok(()));
    assert_eq!(proof.verify_signature(&NoHostCrypto), Ok(()));
    // Whose key it is comes out, where a token is asked for.
    let asked = Presented { method: "POST", target: &target, token: None, key: None };
    let verify = |presented: &Presented<'_>| {
        let now = Timestamp::from_secs(1_562_262_616);
        Proof::verify(TOKEN_REQUEST, &spec(), presented, &RingHost, now).map(|proof| proof.key)
    };
    assert_eq!(verify(&asked), Ok(jkt()));
    assert_eq!(verify(&Presented { key: Some([0; 32]), ..asked }), Err(DpopError::KeyMismatch));
    assert_eq!(verify(&Presented { token: Some(TOKEN), ..asked }), Err(DpopError::Claim("ath")));
    // No token, no `ath`.
    assert_eq!(proof.check_token(TOKEN), Err(DpopError::Claim("ath")));
}
