//! Private keys, with which we sign: as a client of an authorization server, for sessions and for what upstreams are
//! told of callers.

use std::{fmt, sync::Arc};

use ed25519_compact::{KeyPair as Ed25519KeyPair, Seed};
use p256::{ecdsa::signature::Signer as _, pkcs8::DecodePrivateKey as _};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{Algorithm, private_jwk::PrivateJwk, rsa_private_key};
use crate::text::base64url;

/// A private key with the one algorithm that it signs with. Its `Debug` never shows it.
#[derive(Clone)]
pub struct SigningKey {
    material: Arc<Material>,
}

enum Material {
    Rs256(rsa::PrivateKey),
    Ps256(rsa::PrivateKey),
    Es256(p256::ecdsa::SigningKey),
    Es384(p384::ecdsa::SigningKey),
    EdDsa(Ed25519KeyPair),
}

/// Why a private key is unusable. Says nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SigningKeyFault {
    /// An algorithm that is not among [`SigningKey::ALGORITHMS`].
    Algorithm,
    /// Not a private key for the algorithm, or a weak one.
    Key,
}

impl SigningKey {
    /// The algorithms that it can be made for.
    pub const ALGORITHMS: [Algorithm; 5] =
        [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa];

    /// A key from PKCS #8 in PEM (RFC 5958, RFC 7468).
    pub fn from_pem(algorithm: Algorithm, pem: &str) -> Result<Self, SigningKeyFault> {
        let pem = pem.trim();
        let material = match algorithm {
            Algorithm::Rs256 => rsa_private_key::from_pem(pem).map(Material::Rs256),
            Algorithm::Ps256 => rsa_private_key::from_pem(pem).map(Material::Ps256),
            Algorithm::Es256 => p256::ecdsa::SigningKey::from_pkcs8_pem(pem).ok().map(Material::Es256),
            Algorithm::Es384 => p384::ecdsa::SigningKey::from_pkcs8_pem(pem).ok().map(Material::Es384),
            Algorithm::EdDsa => Ed25519KeyPair::from_pem(pem).ok().map(Material::EdDsa),
            _ => return Err(SigningKeyFault::Algorithm),
        };
        material.map(|material| Self { material: Arc::new(material) }).ok_or(SigningKeyFault::Key)
    }

    /// A key from a private JWK (RFC 7517).
    pub fn from_jwk(algorithm: Algorithm, jwk: &Value) -> Result<Self, SigningKeyFault> {
        let material = match algorithm {
            Algorithm::Rs256 => rsa_private_key::from_jwk(algorithm, jwk).map(Material::Rs256),
            Algorithm::Ps256 => rsa_private_key::from_jwk(algorithm, jwk).map(Material::Ps256),
            Algorithm::Es256 | Algorithm::Es384 | Algorithm::EdDsa => of_curve(algorithm, jwk),
            _ => return Err(SigningKeyFault::Algorithm),
        };
        material.map(|material| Self { material: Arc::new(material) }).ok_or(SigningKeyFault::Key)
    }

    /// What it signs with.
    pub fn algorithm(&self) -> Algorithm {
        match &*self.material {
            Material::Rs256(_) => Algorithm::Rs256,
            Material::Ps256(_) => Algorithm::Ps256,
            Material::Es256(_) => Algorithm::Es256,
            Material::Es384(_) => Algorithm::Es384,
            Material::EdDsa(_) => Algorithm::EdDsa,
        }
    }

    /// Its public half as a JWK, without `kid`, `alg` and `use`. `None` for RSA and ES384, with which we sign to one
    /// server alone, which knows the key.
    pub fn public_jwk(&self) -> Option<Value> {
        let point = self.material.public_point()?;
        match &*self.material {
            Material::Es256(_) => {
                let (x, y) = coordinates(&point)?;
                let [x, y] = [x, y].map(base64url::encode);
                Some(json!({"kty": "EC", "crv": "P-256", "x": x, "y": y}))
            }
            Material::EdDsa(_) => {
                Some(json!({"kty": "OKP", "crv": "Ed25519", "x": base64url::encode(&point)}))
            }
            Material::Rs256(_) | Material::Ps256(_) | Material::Es384(_) => None,
        }
    }

    /// The signature of `message` in its JOSE form; `None` when it cannot be made.
    ///
    /// EC signatures are deterministic (RFC 6979, RFC 8032). RSA draws on the library's own randomness, for the salt
    /// and to blind what the private key is applied to.
    pub fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match &*self.material {
            Material::Rs256(key) => key.pkcs1v15_sign::<Sha256>(message).ok(),
            // The salt is as long as the hash: RFC 7518 section 3.5.
            Material::Ps256(key) => key.pss_sign::<Sha256>(message).ok(),
            Material::Es256(key) => {
                let signed: p256::ecdsa::Signature = key.try_sign(message).ok()?;
                Some(signed.to_bytes().to_vec())
            }
            Material::Es384(key) => {
                let signed: p384::ecdsa::Signature = key.try_sign(message).ok()?;
                Some(signed.to_bytes().to_vec())
            }
            Material::EdDsa(key) => Some(key.sk.sign(message, None).to_vec()),
        }
    }
}

impl Material {
    /// The public key as bytes: a point, uncompressed (SEC 1 section 2.3.3), or what RFC 8032 makes of one. `None` for
    /// RSA.
    fn public_point(&self) -> Option<Vec<u8>> {
        match self {
            Self::Es256(key) => Some(key.verifying_key().to_sec1_point(false).as_bytes().to_vec()),
            Self::Es384(key) => Some(key.verifying_key().to_sec1_point(false).as_bytes().to_vec()),
            Self::EdDsa(key) => Some(key.pk.to_vec()),
            Self::Rs256(_) | Self::Ps256(_) => None,
        }
    }
}

/// Both coordinates of a point, uncompressed: they stand behind a byte that says so, each as long as the other.
fn coordinates(point: &[u8]) -> Option<(&[u8], &[u8])> {
    let both = point.get(1..)?;
    both.split_at_checked(both.len().div_ceil(2))
}

/// From a private JWK (RFC 7518 section 6.2.2, RFC 8037 section 2) whose public half is that of its private one.
fn of_curve(algorithm: Algorithm, jwk: &Value) -> Option<Material> {
    let (kty, crv, len) = match algorithm {
        Algorithm::Es256 => ("EC", "P-256", 32),
        Algorithm::Es384 => ("EC", "P-384", 48),
        _ => ("OKP", "Ed25519", 32),
    };
    let jwk = PrivateJwk::of(jwk, kty, algorithm)?;
    let d = jwk.bytes("d").filter(|d| d.len() == len && jwk.text("crv") == Some(crv))?;
    let material = match algorithm {
        Algorithm::Es256 => Material::Es256(p256::ecdsa::SigningKey::from_slice(&d).ok()?),
        Algorithm::Es384 => Material::Es384(p384::ecdsa::SigningKey::from_slice(&d).ok()?),
        _ => Material::EdDsa(Ed25519KeyPair::try_from_seed(Seed::from_slice(&d).ok()?).ok()?),
    };
    let point = material.public_point()?;
    let belongs = match coordinates(&point) {
        Some((x, y)) if kty == "EC" => jwk.is("x", x) && jwk.is("y", y),
        _ => jwk.is("x", &point),
    };
    belongs.then_some(material)
}

/// A new private JWK (RFC 7517) for `algorithm`, without `kid`; `None` for one that is neither ES256 nor EdDSA.
#[cfg(not(target_family = "wasm"))]
pub fn new_private_jwk(algorithm: Algorithm) -> Option<Value> {
    use p256::elliptic_curve::Generate as _;
    let (d, material) = match algorithm {
        Algorithm::Es256 => {
            let key = p256::ecdsa::SigningKey::generate();
            (key.to_bytes().to_vec(), Material::Es256(key))
        }
        Algorithm::EdDsa => {
            let key = Ed25519KeyPair::generate();
            (key.sk.seed().to_vec(), Material::EdDsa(key))
        }
        _ => return None,
    };
    let mut jwk = SigningKey { material: Arc::new(material) }.public_jwk()?;
    let members =
        [("alg", algorithm.name().to_owned()), ("use", "sig".to_owned()), ("d", base64url::encode(&d))];
    jwk.as_object_mut()?.extend(members.map(|(name, text)| (name.to_owned(), text.into())));
    Some(jwk)
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey").field("algorithm", &self.algorithm()).finish_non_exhaustive()
    }
}

impl fmt::Display for SigningKeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Algorithm => f.write_str("an algorithm that nothing is signed with here"),
            Self::Key => f.write_str("not a usable private key for the algorithm"),
        }
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code may panic")]
mod tests {
    use jwt_simple::algorithms::{
        ECDSAP256KeyPairLike as _, ECDSAP384KeyPairLike as _, ES256KeyPair, ES384KeyPair, Ed25519KeyPair,
        PS256KeyPair, RS256KeyPair,
    };

    use super::*;
    use crate::crypto::{HostCrypto, KeyType, NoHostCrypto, PublicKey, test_host::RingHost};

    /// The same key twice, as PEM and as JWK, and its public half.
    fn forms(algorithm: Algorithm) -> (String, Value, PublicKey) {
        let json = |text: String| serde_json::from_str(&text).unwrap();
        let ec = |key_type, point: Vec<u8>| {
            let (x, y) = point[1..].split_at((point.len() - 1) / 2);
            PublicKey::ec(key_type, x, y).unwrap()
        };
        match algorithm {
            Algorithm::Rs256 => {
                let key = RS256KeyPair::generate(2048).unwrap();
                let parts = key.public_key().to_components();
                (key.to_pem().unwrap(), json(key.to_jwk()), PublicKey::rsa(&parts.n, &parts.e).unwrap())
            }
            Algorithm::Ps256 => {
                let key = PS256KeyPair::generate(2048).unwrap();
                let parts = key.public_key().to_components();
                (key.to_pem().unwrap(), json(key.to_jwk()), PublicKey::rsa(&parts.n, &parts.e).unwrap())
            }
            Algorithm::Es256 => {
                let key = ES256KeyPair::generate();
                let point = key.key_pair().public_key().to_bytes_uncompressed();
                (key.to_pem().unwrap(), json(key.to_jwk()), ec(KeyType::P256, point))
            }
            Algorithm::Es384 => {
                let key = ES384KeyPair::generate();
                let point = key.key_pair().public_key().to_bytes_uncompressed();
                (key.to_pem().unwrap(), json(key.to_jwk()), ec(KeyType::P384, point))
            }
            _ => {
                let key = Ed25519KeyPair::generate();
                let public = PublicKey::ed25519(&key.public_key().to_bytes()).unwrap();
                (key.to_pem(), json(key.to_jwk()), public)
            }
        }
    }

    #[test]
    fn what_is_signed_verifies() {
        for algorithm in SigningKey::ALGORITHMS {
            let (pem, jwk, public) = forms(algorithm);
            for key in [SigningKey::from_pem(algorithm, &pem), SigningKey::from_jwk(algorithm, &jwk)] {
                let key = key.unwrap();
                assert_eq!(key.algorithm(), algorithm);
                let signature = key.sign(b"message").unwrap();
                let hosts: [&dyn HostCrypto; 2] = [&NoHostCrypto, &RingHost];
                for host in hosts {
                    assert!(public.verify(algorithm, b"message", &signature, host), "{algorithm}");
                    assert!(!public.verify(algorithm, b"massage", &signature, host), "{algorithm}");
                }
            }
        }
    }

    #[test]
    fn keys_that_do_not_fit() {
        let (pem, jwk, _) = forms(Algorithm::Es256);
        let fault = |key: Result<SigningKey, _>| key.err();
        for algorithm in [Algorithm::Rs256, Algorithm::Ps256, Algorithm::Es384, Algorithm::EdDsa] {
            assert_eq!(fault(SigningKey::from_pem(algorithm, &pem)), Some(SigningKeyFault::Key));
            assert_eq!(fault(SigningKey::from_jwk(algorithm, &jwk)), Some(SigningKeyFault::Key));
        }
        for algorithm in [Algorithm::Hs256, Algorithm::Es256k] {
            assert_eq!(fault(SigningKey::from_pem(algorithm, &pem)), Some(SigningKeyFault::Algorithm));
        }
        let mut public = jwk;
        public.as_object_mut().unwrap().remove("d");
        assert_eq!(fault(SigningKey::from_jwk(Algorithm::Es256, &public)), Some(SigningKeyFault::Key));
        for pem in ["", "x", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
            for algorithm in SigningKey::ALGORITHMS {
                assert_eq!(fault(SigningKey::from_pem(algorithm, pem)), Some(SigningKeyFault::Key), "{pem}");
            }
        }
    }

    #[test]
    fn a_jwk_is_for_signing_and_its_halves_belong_together() {
        for algorithm in [Algorithm::Es256, Algorithm::Es384, Algorithm::EdDsa] {
            let (_, good, _) = forms(algorithm);
            let (_, other, _) = forms(algorithm);
            let is_usable = |name: &str, value: &Value| {
                let mut jwk = good.clone();
                jwk[name] = value.clone();
                if value.is_null() {
                    jwk.as_object_mut().unwrap().remove(name);
                }
                SigningKey::from_jwk(algorithm, &jwk).is_ok()
            };
            for (name, value) in [
                ("alg", Value::Null),
                ("alg", algorithm.name().into()),
                ("use", Value::Null),
                ("use", "sig".into()),
                ("kid", "a".into()),
                ("key_ops", json!(["sign", "verify"])),
                ("d", good["d"].clone()),
            ] {
                assert!(is_usable(name, &value), "{algorithm} {name} {value}");
            }
            let d = base64url::decode_secret(good["d"].as_str().unwrap()).unwrap();
            let encoded = |bytes: &[u8]| Value::from(base64url::encode(bytes));
            for (name, value) in [
                ("kty", "RSA".into()),
                ("kty", Value::Null),
                ("crv", "secp256k1".into()),
                ("crv", Value::Null),
                ("alg", "RS256".into()),
                ("alg", 1.into()),
                ("use", "enc".into()),
                ("key_ops", json!(["verify"])),
                ("key_ops", "sign".into()),
                ("x", other["x"].clone()),
                ("x", Value::Null),
                ("d", other["d"].clone()),
                ("d", Value::Null),
                ("d", encoded(&[])),
                ("d", encoded(&d[1..])),
                ("d", encoded(&[&[0], &d[..]].concat())),
                ("d", encoded(&vec![0; d.len()])),
                ("d", format!("{}=", good["d"].as_str().unwrap()).into()),
                ("d", 7.into()),
            ] {
                assert!(!is_usable(name, &value), "{algorithm} {name} {value}");
            }
            if good.get("y").is_some() {
                assert!(!is_usable("y", &other["y"]) && !is_usable("y", &Value::Null), "{algorithm}");
                // The group's order and more is no private key.
                assert!(!is_usable("d", &encoded(&vec![255; d.len()])), "{algorithm}");
            } else {
                assert!(is_usable("alg", &"Ed25519".into()));
            }
        }
    }

    #[test]
    fn the_public_half_is_told_where_others_need_it() {
        for algorithm in SigningKey::ALGORITHMS {
            let (pem, jwk, _) = forms(algorithm);
            let told = SigningKey::from_pem(algorithm, &pem).unwrap().public_jwk();
            let is_told = matches!(algorithm, Algorithm::Es256 | Algorithm::EdDsa);
            assert_eq!(told.is_some(), is_told, "{algorithm}");
            let Some(told) = told else { continue };
            assert!(told.as_object().unwrap().iter().all(|(name, value)| jwk[name] == *value), "{told}");
            assert_eq!(told.as_object().unwrap().len(), if algorithm == Algorithm::Es256 { 4 } else { 3 });
            let new = new_private_jwk(algorithm).unwrap();
            let again = SigningKey::from_jwk(algorithm, &new).unwrap();
            assert_eq!(again.algorithm(), algorithm);
            assert_ne!(new["d"], new_private_jwk(algorithm).unwrap()["d"]);
        }
        assert_eq!(new_private_jwk(Algorithm::Rs256), None);
    }

    #[test]
    fn debug_shows_no_key() {
        let (pem, _, _) = forms(Algorithm::Es256);
        let key = SigningKey::from_pem(Algorithm::Es256, &pem).unwrap();
        assert_eq!(format!("{key:?}"), "SigningKey { algorithm: Es256, .. }");
    }
}
