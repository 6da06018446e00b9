//! An issuer of tokens, good ones and every kind of bad one. Signed by `jsonwebtoken`, not by the library that the
//! filter verifies with.

use std::sync::LazyLock;

use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Map, Value, json};

use super::{
    now,
    signing::{Kind, SigningKey, base64url},
};

pub(crate) const ISSUER: &str = "https://issuer.test";
pub(crate) const AUDIENCE: &str = "https://api.test";
/// Of the provider with symmetric keys: enough for HS512.
pub(crate) const SECRET: &[u8; 64] = b"a-secret-of-sixty-four-bytes-that-only-issuer-and-gateway-share.";

/// Keys, made once for all tests: RSA takes its time.
pub(crate) struct Issuer {
    rsa: SigningKey,
    p256: SigningKey,
    p384: SigningKey,
    ed25519: SigningKey,
}

pub(crate) static ISSUER_KEYS: LazyLock<Issuer> = LazyLock::new(Issuer::generate);
/// Someone else's keys, with the same names.
pub(crate) static FORGER_KEYS: LazyLock<Issuer> = LazyLock::new(Issuer::generate);

impl Issuer {
    fn generate() -> Self {
        Self {
            rsa: SigningKey::generate(Kind::Rsa, "rsa").unwrap(),
            p256: SigningKey::generate(Kind::P256, "p256").unwrap(),
            p384: p384(),
            ed25519: SigningKey::generate(Kind::Ed25519, "ed25519").unwrap(),
        }
    }

    /// The published set. The RSA key states no `alg`, so that it serves RS256 to RS512 and PS256 to PS512.
    pub(crate) fn jwks(&self) -> Value {
        let mut rsa = self.rsa.jwk.clone();
        rsa.as_object_mut().unwrap().remove("alg");
        json!({"keys": [rsa, self.p256.jwk, self.p384.jwk, self.ed25519.jwk]})
    }

    pub(crate) fn jwk(&self, algorithm: Algorithm) -> Value {
        self.key(algorithm).jwk.clone()
    }

    pub(crate) fn pem(&self, algorithm: Algorithm) -> &str {
        &self.key(algorithm).pem
    }

    /// The same with its private half, as a policy has keys to sign with.
    pub(crate) fn private_jwk(&self, algorithm: Algorithm) -> Value {
        self.key(algorithm).private_jwk().unwrap()
    }

    fn key(&self, algorithm: Algorithm) -> &SigningKey {
        match algorithm {
            Algorithm::ES256 => &self.p256,
            Algorithm::ES384 => &self.p384,
            Algorithm::EdDSA => &self.ed25519,
            _ => &self.rsa,
        }
    }

    fn encoding_key(&self, algorithm: Algorithm) -> EncodingKey {
        let pem = self.pem(algorithm);
        match algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => EncodingKey::from_secret(SECRET),
            Algorithm::ES256 | Algorithm::ES384 => SigningKey::encoding_key(Kind::P256, pem).unwrap(),
            Algorithm::EdDSA => SigningKey::encoding_key(Kind::Ed25519, pem).unwrap(),
            _ => SigningKey::encoding_key(Kind::Rsa, pem).unwrap(),
        }
    }
}

fn p384() -> SigningKey {
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let (x, y) = pair.public_key_raw()[1..].split_at(48);
    let (x, y) = (base64url(x).unwrap(), base64url(y).unwrap());
    let jwk =
        json!({"kty": "EC", "crv": "P-384", "x": x, "y": y, "kid": "p384", "use": "sig", "alg": "ES384"});
    SigningKey { pem: pair.serialize_pem(), jwk }
}

/// A token to be: good unless a test makes it otherwise.
#[derive(Clone)]
pub(crate) struct Token {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    algorithm: Algorithm,
    forged: bool,
}

/// A good ES256 token for `subject`.
pub(crate) fn token(subject: &str) -> Token {
    let Value::Object(claims) = json!({
        "iss": ISSUER, "sub": subject, "aud": AUDIENCE, "iat": now() - 10, "exp": now() + 1800,
    }) else {
        unreachable!("an object");
    };
    Token { header: Map::new(), claims, algorithm: Algorithm::ES256, forged: false }
        .algorithm(Algorithm::ES256)
}

impl Token {
    /// Signs with another algorithm, by the issuer's key for it.
    pub(crate) fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.algorithm = algorithm;
        self.header.insert("alg".into(), format!("{algorithm:?}").into());
        self.header.insert("typ".into(), "at+jwt".into());
        let kid = match algorithm {
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => "symmetric".into(),
            _ => ISSUER_KEYS.key(algorithm).jwk["kid"].clone(),
        };
        self.header.insert("kid".into(), kid);
        self
    }

    /// `null` leaves the member out.
    pub(crate) fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        set(&mut self.header, name, value.into());
        self
    }

    /// `null` leaves the claim out.
    pub(crate) fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        set(&mut self.claims, name, value.into());
        self
    }

    pub(crate) fn roles(self, roles: &[&str]) -> Self {
        self.claim("roles", json!(roles))
    }

    pub(crate) fn scope(self, scope: &str) -> Self {
        self.claim("scope", scope)
    }

    /// Signed with a key that the issuer never published.
    pub(crate) fn forged(mut self) -> Self {
        self.forged = true;
        self
    }

    /// Compact serialization (RFC 7515 section 7.1).
    pub(crate) fn sign(&self) -> String {
        let signed = self.signing_input();
        format!("{signed}.{}", self.signature(&signed))
    }

    fn signature(&self, signed: &str) -> String {
        let issuer = if self.forged { &FORGER_KEYS } else { &ISSUER_KEYS };
        let key = issuer.encoding_key(self.algorithm);
        jsonwebtoken::crypto::sign(signed.as_bytes(), &key, self.algorithm).unwrap()
    }

    /// Every part padded to whole groups of four, with the signature over the padded ones.
    pub(crate) fn sign_padded(&self) -> String {
        let padded = |part: &str| format!("{part}{}", "=".repeat((4 - part.len() % 4) % 4));
        let input = self.signing_input();
        let signed = input.split('.').map(padded).collect::<Vec<_>>().join(".");
        format!("{signed}.{}", padded(&self.signature(&signed)))
    }

    /// HMAC with a secret of the caller's choice: key confusion.
    pub(crate) fn sign_with_secret(&self, secret: &[u8]) -> String {
        let signed = self.signing_input();
        let key = EncodingKey::from_secret(secret);
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, Algorithm::HS256).unwrap();
        format!("{signed}.{signature}")
    }

    /// Not signed at all.
    pub(crate) fn unsigned(&self) -> String {
        format!("{}.", self.signing_input())
    }

    fn signing_input(&self) -> String {
        let part = |map: &Map<String, Value>| base64url(&serde_json::to_vec(map).unwrap()).unwrap();
        format!("{}.{}", part(&self.header), part(&self.claims))
    }
}

fn set(map: &mut Map<String, Value>, name: &str, value: Value) {
    match value {
        Value::Null => map.remove(name),
        value => map.insert(name.to_owned(), value),
    };
}
