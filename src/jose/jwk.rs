//! One key of a JWK set (RFC 7517 section 4): whether it is usable, and for what.

use std::fmt;

use serde_json::{Map, Value};

use super::{
    bounds::{MAX_ISSUER_LEN, MAX_KEYS, MAX_KID_LEN},
    issuer::IssuerTemplate,
};
use crate::{
    crypto::{Algorithm, HostCrypto, KeyFault, KeyType, PublicKey, SecretKey},
    text::base64url,
};

#[derive(Clone, Debug)]
pub(super) struct Key {
    /// `None`: tried whatever `kid` a token names.
    pub(super) kid: Option<Box<str>>,
    /// `None`: any algorithm that fits the key's type.
    pub(super) algorithm: Option<Algorithm>,
    /// `None`: any issuer whose set it is in.
    pub(super) issuer: Option<KeyIssuer>,
    pub(super) verification_key: VerificationKey,
}

/// Whose tokens a key is for, where a set that several issuers share says so by a member `issuer`, as that of Microsoft Entra
/// ID does.
#[derive(Clone, Debug)]
pub(super) enum KeyIssuer {
    One(Box<str>),
    /// Every tenant's.
    Template(IssuerTemplate),
}

#[derive(Clone, Debug)]
pub(super) enum VerificationKey {
    Public(PublicKey),
    Secret(SecretKey),
}

/// Why one key is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// `alg` is no known signature algorithm, or does not fit the key's type.
    Algorithm,
    /// A member that is not base64url without padding.
    Base64(&'static str),
    /// The key material itself.
    Key(KeyFault),
    /// A member of a wrong form.
    Member(&'static str),
    /// A member that is not there, or says nothing.
    Missing(&'static str),
    /// Not an object.
    NotAnObject,
    /// `key_ops` without `verify`.
    Operations,
    /// Private members: whoever publishes them has lost the key.
    Private,
    /// An object with a member twice, which could be read in two ways (RFC 7517 section 4).
    Repeated,
    /// `kty` `oct`: a secret has no place in a public set.
    Symmetric,
    /// Behind the first [`MAX_KEYS`].
    TooMany,
    /// A `kty` or `crv` that no supported algorithm uses.
    Type,
    /// `use` is not `sig`.
    Use,
}

/// A signature with what it is said to be over.
#[derive(Clone, Copy)]
pub(super) struct Signed<'a> {
    pub(super) algorithm: Algorithm,
    pub(super) message: &'a [u8],
    /// Who it says issued it.
    pub(super) issuer: Option<&'a str>,
    pub(super) signature: &'a [u8],
}

impl Key {
    pub(super) fn takes(&self, algorithm: Algorithm) -> bool {
        self.algorithm.is_none_or(|only| only == algorithm)
            && match &self.verification_key {
                VerificationKey::Public(key) => key.key_type() == algorithm.key_type(),
                VerificationKey::Secret(key) => key.fits(algorithm),
            }
    }

    /// Whether it may sign what `issuer` issues.
    pub(super) fn is_for(&self, issuer: Option<&str>) -> bool {
        match &self.issuer {
            None => true,
            Some(KeyIssuer::One(own)) => issuer == Some(own),
            Some(KeyIssuer::Template(template)) => {
                issuer.is_some_and(|issuer| template.tenant_of(issuer).is_some())
            }
        }
    }

    pub(super) fn verify(&self, signed: Signed<'_>, host: &dyn HostCrypto) -> bool {
        let Signed { algorithm, message, signature, .. } = signed;
        match &self.verification_key {
            VerificationKey::Public(key) => key.verify(algorithm, message, signature, host),
            VerificationKey::Secret(key) => key.verify(algorithm, message, signature),
        }
    }

    pub(super) fn from_jwk(jwk: &Value) -> Result<Self, Unusable> {
        let jwk = jwk.as_object().ok_or(Unusable::NotAnObject)?;
        let kty = text(jwk, "kty")?;
        if kty == "oct" {
            return Err(Unusable::Symmetric);
        }
        if PRIVATE_MEMBERS.into_iter().any(|name| member(jwk, name).is_some()) {
            return Err(Unusable::Private);
        }
        // RFC 7517 sections 4.2 and 4.3.
        if member(jwk, "use").is_some_and(|usage| usage != "sig") {
            return Err(Unusable::Use);
        }
        if let Some(operations) = member(jwk, "key_ops") {
            let operations = operations.as_array().ok_or(Unusable::Member("key_ops"))?;
            if !operations.iter().any(|operation| operation == "verify") {
                return Err(Unusable::Operations);
            }
        }
        let kid = match member(jwk, "kid") {
            None => None,
            Some(Value::String(kid)) if kid.len() <= MAX_KID_LEN => Some(kid.as_str().into()),
            Some(_) => return Err(Unusable::Member("kid")),
        };
        let issuer = match member(jwk, "issuer") {
            None => None,
            Some(issuer) => Some(KeyIssuer::read(issuer).ok_or(Unusable::Member("issuer"))?),
        };
        let key = public_key(jwk, kty)?;
        let algorithm = match member(jwk, "alg") {
            None => None,
            Some(name) => {
                let algorithm = name.as_str().and_then(Algorithm::from_name).ok_or(Unusable::Algorithm)?;
                if algorithm.key_type() != key.key_type() {
                    return Err(Unusable::Algorithm);
                }
                Some(algorithm)
            }
        };
        Ok(Self { kid, algorithm, issuer, verification_key: VerificationKey::Public(key) })
    }
}

impl KeyIssuer {
    fn read(issuer: &Value) -> Option<Self> {
        let issuer = issuer.as_str().filter(|issuer| issuer.len() <= MAX_ISSUER_LEN)?;
        match IssuerTemplate::is_meant_by(issuer) {
            true => IssuerTemplate::parse(issuer).map(Self::Template),
            false => Some(Self::One(issuer.into())),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::One(issuer) => issuer,
            Self::Template(template) => template.as_str(),
        }
    }
}

/// The key of a JWK that stands alone, if it is a public one that takes `algorithm`. Whether to believe it is
/// for the caller to know.
pub fn lone_key(jwk: &Value, algorithm: Algorithm) -> Result<PublicKey, Unusable> {
    let key = Key::from_jwk(jwk)?;
    match key.verification_key {
        VerificationKey::Public(ref public) if key.takes(algorithm) => Ok(public.clone()),
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

/// A member that says something. Libraries that write down all that a key could have (.NET's above all) leave what it
/// has not `null` or empty: the same as absent.
fn member<'a>(jwk: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    jwk.get(name).filter(|value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    })
}

fn text<'a>(jwk: &'a Map<String, Value>, name: &'static str) -> Result<&'a str, Unusable> {
    member(jwk, name).ok_or(Unusable::Missing(name))?.as_str().ok_or(Unusable::Member(name))
}

/// RFC 7518 section 2 asks for one form, and what is in another may be read in another way elsewhere.
fn octets(jwk: &Map<String, Value>, name: &'static str) -> Result<Vec<u8>, Unusable> {
    base64url::decode(text(jwk, name)?.as_bytes()).ok_or(Unusable::Base64(name))
}

pub(super) fn readable_kid(jwk: &Value) -> Option<Box<str>> {
    member(jwk.as_object()?, "kid")?.as_str().filter(|kid| kid.len() <= MAX_KID_LEN).map(Into::into)
}

impl Unusable {
    /// What to do about it, for whoever has to with the provider.
    pub fn advice(self) -> &'static str {
        match self {
            Self::Algorithm => {
                "right for keys that encrypt; one that signs names an algorithm of its own type, or none"
            }
            Self::Key(KeyFault::Length { .. }) => "leading zeros belong to it (RFC 7518 section 6.2.1.2)",
            Self::Key(_) => "have the provider sign with another key",
            Self::Missing("n" | "e" | "x" | "y") => "certificates (`x5c`) are not read instead",
            Self::Base64(_) | Self::Member(_) | Self::Missing(_) | Self::NotAnObject | Self::Repeated => {
                "have the provider mend it, or put the mended key into `jwks.inline`"
            }
            Self::Operations => {
                "right for keys that verify nothing; have the provider add it, or leave `key_ops` out"
            }
            Self::Private => "have the provider replace it: anyone can sign with it now",
            Self::Symmetric => {
                "have the provider sign with a key pair, or give the secret as `symmetricKeys`"
            }
            Self::TooMany => "have the provider retire old ones",
            Self::Type => {
                "right for keys that sign no tokens of yours; have the provider sign with another algorithm"
            }
            Self::Use => "right for keys that encrypt; have the provider say `sig` of others, or nothing",
        }
    }
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Algorithm => f.write_str("an `alg` that is unknown or does not fit the key"),
            Self::Base64(name) => write!(f, "`{name}` is not base64url without padding (RFC 7518 section 2)"),
            Self::Key(fault) => fault.fmt(f),
            Self::Member(name) => write!(f, "`{name}` has a wrong form"),
            Self::Missing(name) => write!(f, "`{name}` is missing"),
            Self::NotAnObject => f.write_str("not a JSON object"),
            Self::Operations => f.write_str("`key_ops` without `verify`"),
            Self::Private => f.write_str("a private key in a public set"),
            Self::Repeated => f.write_str("an object with a member twice"),
            Self::Symmetric => f.write_str("a symmetric key in a public set"),
            Self::TooMany => write!(f, "more than {MAX_KEYS} keys"),
            Self::Type => f.write_str("a `kty` or `crv` that no supported algorithm uses"),
            Self::Use => f.write_str("`use` is not `sig`"),
        }
    }
}
