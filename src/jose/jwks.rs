//! Key sets (RFC 7517 section 5): their usable keys, and which of them a token may be tried with.

use std::{borrow::Cow, fmt};

use serde_json::Value;

use super::{
    bounds::{MAX_JWKS_SIZE, MAX_KEYS, MAX_TRIES},
    compact::CompactToken,
    error::KeyError,
    jwk::{Key, Signed, Unusable, VerificationKey, readable_kid},
};
use crate::{
    crypto::{Algorithm, HostCrypto, SecretKey},
    json::{self, Json, JsonFault},
};

/// A shared secret. Its `Debug` never shows it.
#[derive(Clone)]
pub struct SymmetricKey {
    /// `kid`; `None`: used whatever `kid` the token names.
    pub id: Option<String>,
    /// The key itself, at least as long as the hash output (RFC 7518 section 3.2).
    pub secret: Vec<u8>,
}

impl fmt::Debug for SymmetricKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SymmetricKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The usable keys of one issuer, parsed once.
#[derive(Clone, Debug)]
pub struct KeySet {
    keys: Vec<Key>,
    /// The names of keys that are not used, and why: a token may still come with one.
    unusable: Vec<(Box<str>, Unusable)>,
}

/// Why bytes are no key set at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySetError {
    /// Not an object with unique members.
    Json(JsonFault),
    /// A discovery document: no set, but it says where one is.
    Metadata,
    /// `keys` is missing or no list.
    NoKeys,
    /// `keys` holds no usable key: it is empty, or holds these.
    NoUsableKeys(Vec<UnusableKey>),
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

impl KeySet {
    /// The usable keys of a JWK set, and what is wrong with the others: each is judged by itself (RFC 7517 section 5).
    ///
    /// Two keys with one `kid` are both kept, and a token that names it is tried with each whose type and `alg`
    /// fit (RFC 7517 section 4.5 foresees that for different types; both are trusted either way).
    pub fn parse(bytes: &[u8]) -> Result<(Self, Vec<UnusableKey>), KeySetError> {
        if bytes.len() > MAX_JWKS_SIZE {
            return Err(KeySetError::TooLarge);
        }
        let read = json::parse_loosely(json::without_byte_order_mark(bytes)).map_err(KeySetError::Json)?;
        let set = read.root().as_object().ok_or(KeySetError::Json(JsonFault::NotAnObject))?;
        if set.repeats_its_own() {
            return Err(KeySetError::Json(JsonFault::DuplicateMember));
        }
        let jwks =
            set.get("keys").and_then(Json::as_list).ok_or_else(|| no_keys(set.contains("jwks_uri")))?;
        Self::of(jwks.iter().map(|jwk| {
            if jwk.repeats_a_member() { Err(Unusable::Repeated) } else { Ok(Cow::Owned(jwk.to_value())) }
        }))
    }

    /// The same, from JSON that was read strictly before.
    pub fn from_json(set: &Value) -> Result<(Self, Vec<UnusableKey>), KeySetError> {
        let set = set.as_object().ok_or(KeySetError::Json(JsonFault::NotAnObject))?;
        let jwks = set.get("keys").and_then(Value::as_array);
        let jwks = jwks.ok_or_else(|| no_keys(set.contains_key("jwks_uri")))?;
        Self::of(jwks.iter().map(|jwk| Ok(Cow::Borrowed(jwk))))
    }

    fn of<'a>(
        mut jwks: impl Iterator<Item = Result<Cow<'a, Value>, Unusable>>,
    ) -> Result<(Self, Vec<UnusableKey>), KeySetError> {
        let (mut keys, mut unusable) = (Vec::new(), Vec::new());
        for (index, jwk) in jwks.by_ref().enumerate().take(MAX_KEYS) {
            let kid = jwk.as_ref().ok().and_then(|jwk| readable_kid(jwk));
            match jwk.and_then(|jwk| Key::from_jwk(&jwk)) {
                Ok(key) => keys.push(key),
                Err(reason) => unusable.push(UnusableKey { index, kid, reason }),
            }
        }
        if let Some(jwk) = jwks.next() {
            let kid = jwk.ok().and_then(|jwk| readable_kid(&jwk));
            unusable.push(UnusableKey { index: MAX_KEYS, kid, reason: Unusable::TooMany });
        }
        if keys.is_empty() && unusable.is_empty() {
            return Err(KeySetError::NoUsableKeys(unusable));
        }
        let named = |key: &UnusableKey| Some((key.kid.clone()?, key.reason));
        Ok((Self { keys, unusable: unusable.iter().filter_map(named).collect() }, unusable))
    }

    /// Shared secrets for HS256, HS384 and HS512.
    pub fn symmetric(keys: &[SymmetricKey]) -> Self {
        let keys = keys.iter().map(|key| Key {
            kid: key.id.as_deref().map(Into::into),
            algorithm: None,
            issuer: None,
            verification_key: VerificationKey::Secret(SecretKey::new(&key.secret)),
        });
        Self { keys: keys.collect(), unusable: Vec::new() }
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
    /// without one, all; in the order of the set and at most [`MAX_TRIES`]: whoever sends a bad token must not
    /// choose how much work it is. A key that says whose tokens it is for is tried with no others.
    pub fn verify(&self, token: &CompactToken<'_>, host: &dyn HostCrypto) -> Result<(), KeyError> {
        let signed = Signed {
            algorithm: token.algorithm(),
            message: token.signing_input(),
            issuer: token.issuer(),
            signature: token.signature(),
        };
        self.verify_signed(token.kid(), signed, host)
    }

    pub(super) fn verify_signed(
        &self,
        kid: Option<&str>,
        signed: Signed<'_>,
        host: &dyn HostCrypto,
    ) -> Result<(), KeyError> {
        let Signed { algorithm, issuer, .. } = signed;
        let candidates = self.candidates(kid, algorithm);
        let mut candidates = candidates.filter(|key| key.is_for(issuer)).take(MAX_TRIES);
        if candidates.any(|key| key.verify(signed, host)) {
            return Ok(());
        }
        Err(self.refusal_of(kid, algorithm, issuer))
    }

    /// Why [`KeySet::verify`] refuses `token`; to be asked only once it has.
    pub fn refusal(&self, token: &CompactToken<'_>) -> KeyError {
        self.refusal_of(token.kid(), token.algorithm(), token.issuer())
    }

    fn refusal_of(&self, kid: Option<&str>, algorithm: Algorithm, issuer: Option<&str>) -> KeyError {
        let (mut tried, mut tried_secret) = (false, false);
        let mut candidates = self.candidates(kid, algorithm).filter(|key| key.is_for(issuer));
        for key in candidates.by_ref().take(MAX_TRIES) {
            tried = true;
            tried_secret |= matches!(key.verification_key, VerificationKey::Secret(_));
        }
        match kid {
            // A secret without a name stands for every name, so a bad signature is just that. Where public keys without
            // a name did not fit, the named key may still be fetched.
            Some(kid) if !tried_secret && !self.keys.iter().any(|key| key.kid.as_deref() == Some(kid)) => {
                match self.unusable.iter().find(|(unusable, _)| **unusable == *kid) {
                    Some((_, reason)) => KeyError::UnusableKey { kid: kid.into(), reason: *reason },
                    None => KeyError::UnknownKey { kid: kid.into() },
                }
            }
            _ if candidates.next().is_some() => KeyError::TooManyKeys { algorithm },
            _ if tried => KeyError::Signature,
            _ => match self.candidates(kid, algorithm).find_map(|key| key.issuer.as_ref()) {
                Some(issuer) => KeyError::OtherIssuer { issuer: issuer.as_str().into() },
                None => KeyError::NoKey { algorithm },
            },
        }
    }

    fn candidates<'a>(&'a self, kid: Option<&'a str>, algorithm: Algorithm) -> impl Iterator<Item = &'a Key> {
        let fitting = move || self.keys.iter().filter(move |key| key.takes(algorithm));
        let named = fitting().filter(move |key| kid.is_some() && key.kid.as_deref() == kid);
        let others = fitting().filter(move |key| kid.is_none() || key.kid.is_none());
        named.chain(others)
    }
}

fn no_keys(is_metadata: bool) -> KeySetError {
    if is_metadata { KeySetError::Metadata } else { KeySetError::NoKeys }
}

impl fmt::Display for KeySetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json(fault) => fault.fmt(f),
            Self::Metadata => f.write_str("a discovery document; its `jwks_uri` leads to the keys"),
            Self::NoKeys => f.write_str("not a JWK set: `keys` is missing or no list"),
            Self::NoUsableKeys(_) => f.write_str("no usable key"),
            Self::TooLarge => write!(f, "longer than {MAX_JWKS_SIZE} bytes"),
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
        write!(f, ": {}; {}", self.reason, self.reason.advice())
    }
}
