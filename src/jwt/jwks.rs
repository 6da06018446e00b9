//! Key sets: which keys of a JWK set (RFC 7517) are usable, and which key a token may be tried with.

use std::fmt;

use ct_codecs::{Base64UrlSafeNoPadding, Decoder};
use serde_json::{Map, Value};

use super::{
    Algorithm, SymmetricKey,
    error::JwtError,
    token::{CompactToken, MAX_KID_LEN},
};
use crate::{
    crypto::{HostCrypto, KeyFault, KeyType, PublicKey, SecretKey},
    json::{self, JsonFault},
};

/// The longest JWK set that is read, in bytes.
pub const MAX_JWKS_SIZE: usize = 512 * 1024;
/// The most keys of a set that are used; those behind them are reported as unusable.
pub const MAX_KEYS: usize = 100;
/// The most keys that one token is tried with.
pub const MAX_TRIES: usize = 4;

/// The usable keys of one provider, parsed once.
#[derive(Clone, Debug)]
pub struct KeySet {
    keys: Vec<Key>,
}

#[derive(Clone, Debug)]
struct Key {
    /// `None`: tried whatever `kid` a token names.
    kid: Option<Box<str>>,
    /// `None`: any algorithm that fits the key's type.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Clone, Debug)]
enum Material {
    Public(PublicKey),
    Secret(SecretKey),
}

/// Why bytes are no key set at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySetError {
    /// Not an object with unique members.
    Json(JsonFault),
    /// `keys` is missing or no list.
    NoKeys,
    /// `keys` holds no usable key.
    NoUsableKeys,
    /// Longer than [`MAX_JWKS_SIZE`].
    TooLarge,
}

/// A key of a set that is not used, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnusableKey {
    /// Its place in `keys`.
    pub index: usize,
    /// Its `kid`, if it has one that can be read.
    pub kid: Option<Box<str>>,
    /// Why.
    pub reason: Unusable,
}

/// Why one key is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// `alg` is no known signature algorithm, or does not fit the key's type.
    Algorithm,
    /// The key material itself.
    Key(KeyFault),
    /// A member that is missing or of a wrong form.
    Member(&'static str),
    /// Not an object.
    NotAnObject,
    /// `key_ops` without `verify`.
    Operations,
    /// Private members: whoever publishes them has lost the key.
    Private,
    /// `kty` `oct`: a secret has no place in a public set.
    Symmetric,
    /// Behind the first [`MAX_KEYS`].
    TooMany,
    /// A `kty` or `crv` that no supported algorithm uses.
    Type,
    /// `use` is not `sig`.
    Use,
}

impl KeySet {
    /// The usable keys of a JWK set, and what is wrong with the others.
    ///
    /// Two keys with one `kid` are both kept, and a token that names it is tried with each whose type and `alg`
    /// fit (RFC 7517 section 4.5 foresees that for different types; both are trusted either way).
    pub fn parse(bytes: &[u8]) -> Result<(Self, Vec<UnusableKey>), KeySetError> {
        if bytes.len() > MAX_JWKS_SIZE {
            return Err(KeySetError::TooLarge);
        }
        Self::from_json(&json::parse(bytes).map_err(KeySetError::Json)?.root().to_value())
    }

    /// The same, from JSON that was read before.
    pub fn from_json(set: &Value) -> Result<(Self, Vec<UnusableKey>), KeySetError> {
        let set = set.as_object().ok_or(KeySetError::Json(JsonFault::NotAnObject))?;
        let jwks = set.get("keys").and_then(Value::as_array).ok_or(KeySetError::NoKeys)?;
        let (mut keys, mut unusable) = (Vec::new(), Vec::new());
        for (index, jwk) in jwks.iter().enumerate().take(MAX_KEYS) {
            match Key::from_jwk(jwk) {
                Ok(key) => keys.push(key),
                Err(reason) => unusable.push(UnusableKey { index, kid: readable_kid(jwk), reason }),
            }
        }
        if let Some(jwk) = jwks.get(MAX_KEYS) {
            unusable.push(UnusableKey { index: MAX_KEYS, kid: readable_kid(jwk), reason: Unusable::TooMany });
        }
        if keys.is_empty() && unusable.is_empty() {
            return Err(KeySetError::NoUsableKeys);
        }
        Ok((Self { keys }, unusable))
    }

    /// Shared secrets for HS256, HS384 and HS512.
    pub fn symmetric(keys: &[SymmetricKey]) -> Self {
        let keys = keys.iter().map(|key| Key {
            kid: key.id.as_deref().map(Into::into),
            algorithm: None,
            material: Material::Secret(SecretKey::new(&key.secret)),
        });
        Self { keys: keys.collect() }
    }

    /// Whether there is no usable key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The number of usable keys.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether any key takes `algorithm`.
    pub fn can_verify(&self, algorithm: Algorithm) -> bool {
        self.keys.iter().any(|key| key.takes(algorithm))
    }

    /// Verifies the signature of `token`, and nothing else about it.
    ///
    /// Tried are the keys that take its algorithm: with a `kid`, those of that name, then those without a name;
    /// without one, all; in the order of the set and at most [`MAX_TRIES`].
    pub fn verify(&self, token: &CompactToken<'_>, host: &dyn HostCrypto) -> Result<(), JwtError> {
        let signed = Signed {
            algorithm: token.algorithm(),
            message: token.signing_input(),
            signature: token.signature(),
        };
        self.verify_signed(token.kid(), signed, host)
    }

    pub(super) fn verify_signed(
        &self,
        kid: Option<&str>,
        signed: Signed<'_>,
        host: &dyn HostCrypto,
    ) -> Result<(), JwtError> {
        let algorithm = signed.algorithm;
        let fitting = || self.keys.iter().filter(|key| key.takes(algorithm));
        let named = fitting().filter(|key| kid.is_some() && key.kid.as_deref() == kid);
        let others = fitting().filter(|key| kid.is_none() || key.kid.is_none());
        let (mut tried, mut tried_secret) = (false, false);
        for key in named.chain(others).take(MAX_TRIES) {
            if key.verify(signed, host) {
                return Ok(());
            }
            tried = true;
            tried_secret |= matches!(key.material, Material::Secret(_));
        }
        match kid {
            // A nameless secret answers for every name; a nameless public key may be followed by the named one.
            Some(kid) if !tried_secret && !self.keys.iter().any(|key| key.kid.as_deref() == Some(kid)) => {
                Err(JwtError::UnknownKey { kid: kid.into() })
            }
            _ if tried => Err(JwtError::Signature),
            _ => Err(JwtError::NoKey { algorithm }),
        }
    }
}

/// A signature with what it is said to be over.
#[derive(Clone, Copy)]
pub(super) struct Signed<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) message: &'a [u8],
    pub(super) signature: &'a [u8],
}

impl Key {
    fn takes(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|only| only == algorithm)
            && match &self.material {
                Material::Public(key) => key.key_type() == algorithm.key_type(),
                Material::Secret(key) => key.fits(algorithm),
            }
    }

    fn verify(&self, signed: Signed<'_>, host: &dyn HostCrypto) -> bool {
        let Signed { algorithm, message, signature } = signed;
        match &self.material {
            Material::Public(key) => key.verify(algorithm, message, signature, host),
            Material::Secret(key) => key.verify(algorithm, message, signature),
        }
    }

    fn from_jwk(jwk: &Value) -> Result<Self, Unusable> {
        let jwk = jwk.as_object().ok_or(Unusable::NotAnObject)?;
        let kty = text(jwk, "kty")?;
        if kty == "oct" {
            return Err(Unusable::Symmetric);
        }
        if PRIVATE_MEMBERS.into_iter().any(|name| jwk.contains_key(name)) {
            return Err(Unusable::Private);
        }
        // RFC 7517 sections 4.2 and 4.3.
        if jwk.get("use").is_some_and(|usage| usage != "sig") {
            return Err(Unusable::Use);
        }
        if let Some(operations) = jwk.get("key_ops") {
            let operations = operations.as_array().ok_or(Unusable::Member("key_ops"))?;
            if !operations.iter().any(|operation| operation == "verify") {
                return Err(Unusable::Operations);
            }
        }
        let kid = match jwk.get("kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= MAX_KID_LEN => Some(kid.as_str().into()),
            Some(_) => return Err(Unusable::Member("kid")),
        };
        let key = public_key(jwk, kty)?;
        let algorithm = match jwk.get("alg") {
            None => None,
            Some(name) => {
                let algorithm = name.as_str().and_then(Algorithm::from_name).ok_or(Unusable::Algorithm)?;
                if algorithm.key_type() != key.key_type() {
                    return Err(Unusable::Algorithm);
                }
                Some(algorithm)
            }
        };
        Ok(Self { kid, algorithm, material: Material::Public(key) })
    }
}

/// The key of a JWK that stands alone, if it is a public one that takes `algorithm`. Whether to believe it is
/// for the caller to know.
pub fn lone_key(jwk: &Value, algorithm: Algorithm) -> Result<PublicKey, Unusable> {
    let key = Key::from_jwk(jwk)?;
    match key.material {
        Material::Public(ref public) if key.takes(algorithm) => Ok(public.clone()),
        _ => Err(Unusable::Algorithm),
    }
}

/// RFC 7518 sections 6.2.2 and 6.3.2, RFC 8037 section 2, and `k` of a symmetric key.
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

fn public_key(jwk: &Map<String, Value>, kty: &str) -> Result<PublicKey, Unusable> {
    let key = match kty {
        "RSA" => PublicKey::rsa(&octets(jwk, "n")?, &octets(jwk, "e")?),
        "EC" => {
            let key_type = match text(jwk, "crv")? {
                "P-256" => KeyType::P256,
                "P-384" => KeyType::P384,
                "secp256k1" => KeyType::Secp256k1,
                _ => return Err(Unusable::Type),
            };
            PublicKey::ec(key_type, &octets(jwk, "x")?, &octets(jwk, "y")?)
        }
        "OKP" => match text(jwk, "crv")? {
            "Ed25519" => PublicKey::ed25519(&octets(jwk, "x")?),
            _ => return Err(Unusable::Type),
        },
        _ => return Err(Unusable::Type),
    };
    key.map_err(Unusable::Key)
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, Unusable> {
    jwk.get(name).and_then(Value::as_str).ok_or(Unusable::Member(name))
}

fn octets(jwk: &Map<String, Value>, name: &'static str) -> Result<Vec<u8>, Unusable> {
    Base64UrlSafeNoPadding::decode_to_vec(text(jwk, name)?, None).map_err(|_| Unusable::Member(name))
}

fn readable_kid(jwk: &Value) -> Option<Box<str>> {
    jwk.get("kid")?.as_str().filter(|kid| kid.len() <= MAX_KID_LEN).map(Into::into)
}

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(fault) => fault.fmt(f),
            Self::NoKeys => f.write_str("`keys` is missing or no list"),
            Self::NoUsableKeys => f.write_str("no usable key"),
            Self::TooLarge => write!(f, "longer than {MAX_JWKS_SIZE} bytes"),
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Algorithm => f.write_str("an `alg` that is unknown or does not fit the key"),
            Self::Key(fault) => fault.fmt(f),
            Self::Member(name) => write!(f, "`{name}` is missing or has a wrong form"),
            Self::NotAnObject => f.write_str("not a JSON object"),
            Self::Operations => f.write_str("`key_ops` without `verify`"),
            Self::Private => f.write_str("a private key in a public set"),
            Self::Symmetric => f.write_str("a symmetric key in a public set"),
            Self::TooMany => write!(f, "more than {MAX_KEYS} keys"),
            Self::Type => f.write_str("a `kty` or `crv` that no supported algorithm uses"),
            Self::Use => f.write_str("`use` is not `sig`"),
        }
    }
}

impl fmt::Display for UnusableKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "keys[{}]", self.index)?;
        if let Some(kid) = &self.kid {
            // From the provider: escaped.
            write!(f, " (kid {kid:?})")?;
        }
        write!(f, ": {}", self.reason)
    }
}
