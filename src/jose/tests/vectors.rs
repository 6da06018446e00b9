//! Published examples. Those of the JOSE cookbook (RFC 7520) are read from a folder beside the repository, or
//! the one that `PORTCULLIS_VECTORS` names; without it their test says so and passes.

use std::path::{Path, PathBuf};

use ct_codecs::{Base64UrlSafeNoPadding, Decoder};
use serde_json::{Value, json};

use super::super::{jwk::Signed, *};
use crate::{
    crypto::{Algorithm, NoHostCrypto, test_host::RingHost},
    json::{self, Json},
};

/// Verifies a compact JWS whose payload need not be claims, over both roads.
fn verifies(set: &KeySet, jws: &str) -> bool {
    let (input, signature) = jws.rsplit_once('.').unwrap();
    let (header, _) = input.split_once('.').unwrap();
    let header = json::parse_object(&decode(header)).unwrap();
    let algorithm = Algorithm::from_name(header.get("alg").and_then(Json::as_str).unwrap()).unwrap();
    let kid = header.get("kid").map(|kid| kid.as_str().unwrap());
    let signature = decode(signature);
    let signed = Signed { algorithm, message: input.as_bytes(), issuer: None, signature: &signature };
    let in_module = set.verify_signed(kid, signed, &NoHostCrypto);
    assert_eq!(set.verify_signed(kid, signed, &RingHost), in_module);
    in_module.is_ok()
}

/// The JWS with one bit of the signature, then one character of the payload, changed.
fn forgeries(jws: &str) -> [String; 2] {
    let (input, signature) = jws.rsplit_once('.').unwrap();
    let mut bytes = decode(signature);
    bytes[5] ^= 1;
    let payload = input.split_once('.').unwrap().1;
    let changed = if payload.starts_with('S') { "T" } else { "S" };
    [
        format!("{input}.{}", super::tokens::encode(bytes)),
        format!("{}.{changed}{}.{signature}", input.split_once('.').unwrap().0, &payload[1..]),
    ]
}

fn check(set: &KeySet, jws: &str) {
    assert!(verifies(set, jws), "{jws}");
    for forged in forgeries(jws) {
        assert!(!verifies(set, &forged), "{forged}");
    }
}

fn decode(text: &str) -> Vec<u8> {
    Base64UrlSafeNoPadding::decode_to_vec(text, None).unwrap()
}

fn public(jwk: Value) -> KeySet {
    let (set, unusable) = KeySet::from_json(&json!({"keys": [jwk]})).unwrap();
    assert_eq!(unusable, []);
    set
}

const RFC_7515_A1_KEY: &str =
    "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
const RFC_7515_A1: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9\
    .eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
    .dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const RFC_7515_A3: &str = "eyJhbGciOiJFUzI1NiJ9\
    .eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
    .DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
const RFC_8037_A4: &str = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc\
    .hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";

#[test]
fn rfc_7515_a1_hs256() {
    let secret = decode(RFC_7515_A1_KEY);
    let set = KeySet::symmetric(&[SymmetricKey { id: None, secret: secret.clone() }]);
    check(&set, RFC_7515_A1);
    let token = CompactToken::parse(RFC_7515_A1, 8192).unwrap();
    assert_eq!(
        (token.issuer(), token.claims().get("exp").unwrap().to_value()),
        (Some("joe"), json!(1_300_819_380))
    );
    let cut = KeySet::symmetric(&[SymmetricKey { id: None, secret: secret[..63].to_vec() }]);
    assert!(!verifies(&cut, RFC_7515_A1));
}

#[test]
fn rfc_7515_a3_es256() {
    let set = public(json!({
        "kty": "EC",
        "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    }));
    check(&set, RFC_7515_A3);
}

#[test]
fn rfc_8037_a4_ed25519() {
    let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    check(&public(json!({"kty": "OKP", "crv": "Ed25519", "x": x})), RFC_8037_A4);
}

fn cookbook() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = std::env::var_os("PORTCULLIS_VECTORS").map(PathBuf::from);
    let places = [named, Some(beside.join("../shared/vectors")), Some(beside.join("../../shared/vectors"))];
    places.into_iter().flatten().map(|place| place.join("jose-cookbook")).find(|place| place.is_dir())
}

#[test]
fn rfc_7520_section_4() {
    let files = [
        "jws/4_1.rsa_v15_signature.json",
        "jws/4_2.rsa-pss_signature.json",
        "jws/4_3.ecdsa_signature.json",
        "jws/4_4.hmac-sha2_integrity_protection.json",
        "curve25519/jws.json",
    ];
    let Some(folder) = cookbook() else {
        eprintln!("rfc_7520_section_4: no vectors found, {} files not checked", files.len());
        return;
    };
    let mut verified = 0;
    for file in files {
        let text = std::fs::read(folder.join(file)).unwrap();
        let example: Value = serde_json::from_slice(&text).unwrap();
        let mut key = example["input"]["key"].as_object().unwrap().clone();
        let compact = example["output"]["compact"].as_str().unwrap();
        if example["input"]["alg"] == "ES512" {
            // P-521 is not supported, so its key must be reported and nothing else.
            key.remove("d");
            let (set, unusable) = KeySet::from_json(&json!({"keys": [key]})).unwrap();
            assert!(set.is_empty() && unusable[0].reason == Unusable::Type);
            assert_eq!(CompactToken::parse(compact, 8192).unwrap_err(), TokenError::AlgorithmUnknown);
            continue;
        }
        let set = if key["kty"] == "oct" {
            let secret = decode(key["k"].as_str().unwrap());
            KeySet::symmetric(&[SymmetricKey { id: Some(key["kid"].as_str().unwrap().into()), secret }])
        } else {
            // The examples show private keys, which are refused as they stand.
            let (_, unusable) = KeySet::from_json(&json!({ "keys": [key.clone()] })).unwrap();
            assert_eq!(unusable[0].reason, Unusable::Private);
            for member in ["d", "p", "q", "dp", "dq", "qi"] {
                key.remove(member);
            }
            public(Value::Object(key))
        };
        check(&set, compact);
        verified += 1;
    }
    assert_eq!(verified, 4);
}
