//! Signing keys of an issuer: made, kept as PEM (PKCS #8), published as JWK (RFC 7517).
//!
//! Signing itself is `jsonwebtoken`'s, so that tokens do not come from the library that checks them.

use ct_codecs::{Base64, Base64UrlSafeNoPadding, Decoder as _, Encoder as _};
use jsonwebtoken::{Algorithm, EncodingKey};
use rsa::{
    PrivateKey,
    pkcs8::{EncodePrivateKey as _, LineEnding},
    traits::PublicKeyParts as _,
};
use serde_json::{Value, json};

/// The kinds of key that an issuer here has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// ECDSA on P-256.
    P256,
    /// RSA of 2048 bits.
    Rsa,
    /// Ed25519.
    Ed25519,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::P256, Self::Rsa, Self::Ed25519];

    /// The algorithm that its JWK is published for.
    pub(crate) const fn algorithm(self) -> Algorithm {
        match self {
            Self::P256 => Algorithm::ES256,
            Self::Rsa => Algorithm::RS256,
            Self::Ed25519 => Algorithm::EdDSA,
        }
    }
}

/// A private key with what is published of it.
pub(crate) struct SigningKey {
    pub(crate) pem: String,
    pub(crate) jwk: Value,
}

impl SigningKey {
    /// A fresh key; its `kid` is `id`.
    pub(crate) fn generate(kind: Kind, id: &str) -> Result<Self, String> {
        let (pem, mut jwk) = match kind {
            Kind::Rsa => rsa()?,
            Kind::P256 => {
                let pair = pair(&rcgen::PKCS_ECDSA_P256_SHA256)?;
                // Uncompressed point: 0x04, then 32 bytes each of x and y.
                let (x, y) = match pair.public_key_raw() {
                    [4, point @ ..] if point.len() == 64 => point.split_at(32),
                    _ => return Err("the public key is not an uncompressed P-256 point".to_owned()),
                };
                (
                    pair.serialize_pem(),
                    json!({"kty": "EC", "crv": "P-256", "x": base64url(x)?, "y": base64url(y)?}),
                )
            }
            Kind::Ed25519 => {
                let pair = pair(&rcgen::PKCS_ED25519)?;
                let x = base64url(pair.public_key_raw())?;
                (pair.serialize_pem(), json!({"kty": "OKP", "crv": "Ed25519", "x": x}))
            }
        };
        if let Some(members) = jwk.as_object_mut() {
            members.insert("kid".into(), id.into());
            members.insert("use".into(), "sig".into());
            members.insert("alg".into(), format!("{:?}", kind.algorithm()).into());
        }
        Ok(Self { pem, jwk })
    }

    /// The same with its private half, of kinds other than RSA: as policies have keys to sign with.
    pub(crate) fn private_jwk(&self) -> Result<Value, String> {
        let der: String = self.pem.lines().filter(|line| !line.starts_with("-----")).collect();
        let der = Base64::decode_to_vec(der, None).map_err(|error| format!("no PEM: {error}"))?;
        // It is an octet string of 32 bytes (RFC 5915 section 3, RFC 8410 section 7).
        let private = der.windows(34).find_map(|window| window.strip_prefix(&[0x04, 0x20]));
        let mut jwk = self.jwk.clone();
        if let Some(members) = jwk.as_object_mut() {
            members.insert("d".into(), base64url(private.ok_or("no private key of 32 bytes")?)?.into());
        }
        Ok(jwk)
    }

    /// For `jsonwebtoken`.
    pub(crate) fn encoding_key(kind: Kind, pem: &str) -> Result<EncodingKey, String> {
        match kind {
            Kind::P256 => EncodingKey::from_ec_pem(pem.as_bytes()),
            Kind::Rsa => EncodingKey::from_rsa_pem(pem.as_bytes()),
            Kind::Ed25519 => EncodingKey::from_ed_pem(pem.as_bytes()),
        }
        .map_err(|error| format!("the signing key does not parse: {error}"))
    }
}

fn pair(algorithm: &'static rcgen::SignatureAlgorithm) -> Result<rcgen::KeyPair, String> {
    rcgen::KeyPair::generate_for(algorithm).map_err(|error| format!("no key: {error}"))
}

fn rsa() -> Result<(String, Value), String> {
    let key =
        PrivateKey::new(&mut getrandom::SysRng, 2048).map_err(|error| format!("no RSA key: {error}"))?;
    let pem =
        key.to_pkcs8_pem(LineEnding::LF).map_err(|error| format!("cannot encode an RSA key: {error}"))?;
    let jwk = json!({"kty": "RSA", "n": base64url(&key.n_bytes())?, "e": base64url(&key.e_bytes())?});
    Ok((pem.to_string(), jwk))
}

/// RFC 7515 section 2.
pub(crate) fn base64url(bytes: &[u8]) -> Result<String, String> {
    Base64UrlSafeNoPadding::encode_to_string(bytes).map_err(|error| format!("cannot encode: {error}"))
}
