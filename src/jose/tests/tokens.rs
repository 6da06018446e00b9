//! Tokens for tests. Keys are made anew in every run.

use std::sync::OnceLock;

use ct_codecs::{Base64UrlSafeNoPadding, Encoder};
use jsonwebtoken::EncodingKey;
use jwt_simple::algorithms::{
    ECDSAP256PublicKeyLike as _, ECDSAP256kKeyPairLike as _, ECDSAP256kPublicKeyLike, ECDSAP384PublicKeyLike,
    ES256KeyPair, ES256kKeyPair, ES384KeyPair, Ed25519KeyPair, HS512Key, RS256KeyPair,
};
use k256::ecdsa::signature::Signer as _;
use serde_json::{Value, json};

use crate::crypto::{Algorithm, test_host::element};

/// Seconds since the epoch: the moment at which the tests take place.
pub(crate) const NOW: u64 = 1_800_000_000;

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    Base64UrlSafeNoPadding::encode_to_string(bytes).unwrap()
}

/// A token with a signature that signs nothing.
pub(crate) fn unsigned(header: &str, payload: &str) -> String {
    format!("{}.{}.{}", encode(header), encode(payload), encode("signature"))
}

/// Claims of an access token that is good at [`NOW`].
pub(crate) fn good_claims() -> Value {
    json!({"iss": "https://idp.example", "aud": "api", "sub": "alice", "exp": NOW + 600, "iat": NOW})
}

/// One key of each type, with their public halves as a JWK set.
#[derive(Clone)]
pub(crate) struct Keys {
    rsa: EncodingKey,
    es256: EncodingKey,
    es384: EncodingKey,
    ed25519: EncodingKey,
    secp256k1: k256::ecdsa::SigningKey,
    /// 64 bytes.
    pub(crate) secret: Vec<u8>,
    /// RSA public key, as DER SubjectPublicKeyInfo and as PEM.
    pub(crate) rsa_public: (Vec<u8>, String),
    /// P-256 public key, likewise.
    pub(crate) es256_public: (Vec<u8>, String),
    /// The kids are `rsa`, `es256`, `es384`, `es256k` and `ed25519`.
    pub(crate) jwks: Value,
}

/// The same keys for all tests of one run.
pub(crate) fn keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(Keys::generate)
}

/// Another RSA key, as a certificate or a JWK header of an attacker would carry.
pub(crate) fn foreign_keys() -> &'static Keys {
    static KEYS: OnceLock<Keys> = OnceLock::new();
    KEYS.get_or_init(Keys::generate)
}

impl Keys {
    fn generate() -> Self {
        let rsa = RS256KeyPair::generate(2048).unwrap();
        let (es256, es384, secp256k1) =
            (ES256KeyPair::generate(), ES384KeyPair::generate(), ES256kKeyPair::generate());
        let ed25519 = Ed25519KeyPair::generate();
        let parts = rsa.public_key().to_components();
        let ec = |kid: &str, crv: &str, point: Vec<u8>| {
            let (x, y) = point[1..].split_at((point.len() - 1) / 2);
            json!({"kty": "EC", "crv": crv, "kid": kid, "x": encode(x), "y": encode(y)})
        };
        let point = |key: &ES256KeyPair| key.public_key().public_key().to_bytes_uncompressed();
        let jwks = json!({"keys": [
            {"kty": "RSA", "kid": "rsa", "n": encode(parts.n), "e": encode(parts.e)},
            ec("es256", "P-256", point(&es256)),
            ec("es384", "P-384", ECDSAP384PublicKeyLike::public_key(&es384.public_key()).to_bytes_uncompressed()),
            ec("es256k", "secp256k1", ECDSAP256kPublicKeyLike::public_key(&secp256k1.public_key()).to_bytes_uncompressed()),
            {"kty": "OKP", "crv": "Ed25519", "kid": "ed25519", "x": encode(ed25519.public_key().to_bytes())},
        ]});
        Self {
            rsa_public: (rsa.public_key().to_der().unwrap(), rsa.public_key().to_pem().unwrap()),
            es256_public: (es256.public_key().to_der().unwrap(), es256.public_key().to_pem().unwrap()),
            rsa: EncodingKey::from_rsa_der(&pkcs1(&rsa.to_der().unwrap())),
            es256: EncodingKey::from_ec_der(&es256.to_der().unwrap()),
            es384: EncodingKey::from_ec_der(&es384.to_der().unwrap()),
            ed25519: EncodingKey::from_ed_der(&ed25519.to_der()),
            secp256k1: secp256k1.key_pair().as_ref().clone(),
            secret: HS512Key::generate().to_bytes().repeat(2),
            jwks,
        }
    }

    /// Nothing but a shared secret to forge with; the rest is [`keys`]'.
    pub(crate) fn with_secret(secret: &[u8]) -> Self {
        Self { secret: secret.to_vec(), ..keys().clone() }
    }

    /// The public keys called `kids`.
    pub(crate) fn only(&self, kids: &[&str]) -> Value {
        let keys = self.jwks["keys"].as_array().unwrap().iter();
        json!({"keys": keys.filter(|key| kids.contains(&key["kid"].as_str().unwrap())).collect::<Vec<_>>()})
    }

    /// Signs `payload` under `header` by jsonwebtoken (ring); `alg` is what is done, whatever the header says.
    pub(crate) fn sign(&self, alg: Algorithm, header: &Value, payload: &Value) -> String {
        self.sign_text(alg, &header.to_string(), &payload.to_string())
    }

    pub(crate) fn sign_text(&self, alg: Algorithm, header: &str, payload: &str) -> String {
        let input = format!("{}.{}", encode(header), encode(payload));
        let signature = self.signature(alg, &input);
        format!("{input}.{signature}")
    }

    /// A token with the fitting `alg` and `kid`.
    pub(crate) fn token(&self, alg: Algorithm, payload: &Value) -> String {
        self.sign(alg, &json!({"alg": alg.name(), "typ": "JWT", "kid": kid(alg)}), payload)
    }

    fn signature(&self, alg: Algorithm, input: &str) -> String {
        use jsonwebtoken::Algorithm as Theirs;
        let secret = EncodingKey::from_secret(&self.secret);
        let (alg, key) = match alg {
            Algorithm::Hs256 => (Theirs::HS256, &secret),
            Algorithm::Hs384 => (Theirs::HS384, &secret),
            Algorithm::Hs512 => (Theirs::HS512, &secret),
            Algorithm::Rs256 => (Theirs::RS256, &self.rsa),
            Algorithm::Rs384 => (Theirs::RS384, &self.rsa),
            Algorithm::Rs512 => (Theirs::RS512, &self.rsa),
            Algorithm::Ps256 => (Theirs::PS256, &self.rsa),
            Algorithm::Ps384 => (Theirs::PS384, &self.rsa),
            Algorithm::Ps512 => (Theirs::PS512, &self.rsa),
            Algorithm::Es256 => (Theirs::ES256, &self.es256),
            Algorithm::Es384 => (Theirs::ES384, &self.es384),
            Algorithm::EdDsa => (Theirs::EdDSA, &self.ed25519),
            // jsonwebtoken has no ES256K.
            Algorithm::Es256k => {
                let signature: k256::ecdsa::Signature = self.secp256k1.sign(input.as_bytes());
                return encode(signature.to_bytes());
            }
        };
        jsonwebtoken::crypto::sign(input.as_bytes(), key, alg).unwrap()
    }
}

/// The kid of [`Keys::jwks`] that fits.
pub(crate) fn kid(alg: Algorithm) -> &'static str {
    match alg {
        Algorithm::Es256 => "es256",
        Algorithm::Es384 => "es384",
        Algorithm::Es256k => "es256k",
        Algorithm::EdDsa => "ed25519",
        _ => "rsa",
    }
}

/// The PKCS #1 key within a PKCS #8 one (RFC 5958): the OCTET STRING behind version and algorithm.
fn pkcs1(pkcs8: &[u8]) -> Vec<u8> {
    let (content, _) = element(0x30, pkcs8);
    let (_, rest) = element(0x02, content);
    let (_, rest) = element(0x30, rest);
    element(0x04, rest).0.to_vec()
}
