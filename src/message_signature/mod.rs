//! Requests that are signed by HTTP message signatures (RFC 9421): by whom, over what, and when.
//!
//! A signature counts if a key that the policy knows made it, with the algorithm that the policy names for that key, over
//! all that the policy wants covered, a short while ago. Of a body it covers `content-digest` (RFC 9530), which is held
//! against the body. What a message says of itself can only have it refused: it chooses neither key nor algorithm beyond
//! what the policy lists.
//!
//! **What is signed is what the upstream gets.** The request's target is signed as it was sent, and whoever calls this
//! refuses one that is sent on in another form.

mod base;
mod digest;
mod fields;
#[cfg(test)]
mod tests;

use std::{fmt, rc::Rc, sync::Arc, time::Duration};

pub use self::base::{DERIVED, Presented};
use self::{
    digest::Digests,
    fields::{Entry, Item, Member, Parameters, Value, parameter},
};
use crate::{
    answer::Reason,
    crypto::{Algorithm, HostCrypto, PublicKey, SecretKey, sha256},
    identity::{Principal, PrincipalKind},
    json::Members,
    replay::Table,
    request::{Location, RequestHead},
    time::Timestamp,
};

/// The headers in which signatures stand (RFC 9421 section 4).
pub const HEADERS: [&str; 2] = [INPUT, SIGNATURE];
const INPUT: &str = "signature-input";
const SIGNATURE: &str = "signature";

/// What covers a request's body.
pub const CONTENT_DIGEST: &str = digest::HEADER;

/// The longest `maxAge` and `clockSkew` that a policy may set.
pub const LONGEST_MAX_AGE: Duration = Duration::from_secs(3600);
/// See [`LONGEST_MAX_AGE`].
pub const LONGEST_SKEW: Duration = Duration::from_secs(300);

/// Signatures that are good once.
pub const ONCE: Table = Table {
    name: "message-signature",
    // The clock of who signs may be ahead, and the same tolerance holds at the end.
    horizon: Duration::from_secs(
        LONGEST_MAX_AGE.as_secs().saturating_add(LONGEST_SKEW.as_secs().saturating_mul(2)),
    ),
};

/// The algorithms (RFC 9421 section 6.2.2), each with that of JOSE that makes the same signatures.
pub const ALGORITHMS: [(&str, Algorithm); 6] = [
    ("ecdsa-p256-sha256", Algorithm::Es256),
    ("ecdsa-p384-sha384", Algorithm::Es384),
    ("ed25519", Algorithm::EdDsa),
    ("hmac-sha256", Algorithm::Hs256),
    ("rsa-pss-sha512", Algorithm::Ps512),
    ("rsa-v1_5-sha256", Algorithm::Rs256),
];

/// Who signs requests, as configured.
#[derive(Clone, Debug)]
pub struct SignerSpec {
    /// Unique; the principal's subject.
    pub name: String,
    /// Any one of which may have signed; never empty.
    pub keys: Vec<SignerKey>,
    /// What every signature must cover, beside the body: header names in lower case, or some of [`DERIVED`].
    pub components: Vec<String>,
    /// What the signature is called; `None`: whatever it is called.
    pub label: Option<String>,
    /// What a signature must say that it is for; `None`: anything.
    pub tag: Option<String>,
    /// How long after its making a signature counts. Default 5 minutes; at most [`LONGEST_MAX_AGE`].
    pub max_age: Duration,
    /// How far the signer's clock may be off. Default 30 seconds; at most [`LONGEST_SKEW`].
    pub clock_skew: Duration,
    /// Each signature counts once. Default false.
    pub once: bool,
    /// A longer body is refused, in bytes. Default 262,144.
    pub max_body_bytes: usize,
    /// Whether the signature reaches the upstream. Default true: it opens nothing but this request, and upstreams may look
    /// at it again.
    pub forward: bool,
    /// May be empty.
    pub scopes: Vec<String>,
    /// May be empty.
    pub roles: Vec<String>,
    /// `None`: no tier.
    pub tier: Option<String>,
    /// [`HEADERS`].
    pub locations: [Location; 2],
}

/// A key of a signer.
#[derive(Clone, Debug)]
pub struct SignerKey {
    /// What signatures call it; unique among all signers.
    pub id: String,
    /// One of [`ALGORITHMS`], the only one that it signs with.
    pub algorithm: Algorithm,
    /// Fits the algorithm.
    pub material: KeyMaterial,
}

/// What signatures are verified with.
#[derive(Clone, Debug)]
pub enum KeyMaterial {
    /// Of whoever has its private half.
    Public(PublicKey),
    /// Of whoever has the same one.
    Secret(SecretKey),
}

/// Why a request is not its signer's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignatureError {
    /// A field that is covered is not there.
    Absent(String),
    /// `alg` is not the algorithm of the key.
    Algorithm,
    /// Several signatures of signers that are accepted.
    Ambiguous,
    /// Something that must be covered is not.
    Uncovered(String),
    /// The digests of the body cannot be read.
    Digest(&'static str),
    /// The body has another digest.
    DigestMismatch,
    /// It was made too long ago, or too far ahead, or says itself that it is over.
    Expired,
    /// It cannot be read.
    Malformed(&'static str),
    /// The key did not make it of this request.
    Mismatch,
    /// It is for something else.
    Tag,
    /// It names no key of a signer that is accepted.
    UnknownKey,
    /// It covers something that is not supported.
    Unsupported(String),
}

impl SignatureError {
    /// The reason that the client is told.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Ambiguous => Reason::CredentialsAmbiguous,
            Self::Malformed(_) | Self::Unsupported(_) | Self::Absent(_) => Reason::SignatureMalformed,
            Self::Expired => Reason::SignatureExpired,
            Self::Uncovered(_) => Reason::SignatureIncomplete,
            Self::Digest(_) | Self::DigestMismatch => Reason::ContentDigestInvalid,
            Self::Algorithm | Self::Mismatch | Self::Tag | Self::UnknownKey => Reason::SignatureInvalid,
        }
    }
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent(name) => write!(f, "the signature covers {name:?}, which the request has not"),
            Self::Algorithm => f.write_str("the signature names another algorithm than its key has"),
            Self::Ambiguous => f.write_str("several signatures name keys of signers"),
            Self::Uncovered(name) => write!(f, "the signature does not cover {name:?}"),
            Self::Digest(what) | Self::Malformed(what) => f.write_str(what),
            Self::DigestMismatch => f.write_str("the body has another digest"),
            Self::Expired => {
                f.write_str("the signature was made too long ago or too far ahead, or has expired")
            }
            Self::Mismatch => f.write_str("the key did not make this signature of this request"),
            Self::Tag => f.write_str("the signature has another tag"),
            Self::UnknownKey => f.write_str("no signature names a key of a signer that is accepted"),
            Self::Unsupported(name) => write!(f, "the signature covers {name}, which is not supported"),
        }
    }
}

impl std::error::Error for SignatureError {}

/// What a request has of signatures, in one form. Nothing of it is verified.
pub struct Sent {
    input: String,
    signature: String,
}

impl Sent {
    /// Whether a request has any.
    pub fn is_in(head: &RequestHead<'_>) -> bool {
        head.headers.iter().any(|(name, _)| HEADERS.iter().any(|own| own.as_bytes() == *name))
    }

    /// What `head` has.
    pub fn of(head: &RequestHead<'_>) -> Result<Self, SignatureError> {
        let field = |name, absent| {
            let field = fields::field(head, name).map_err(SignatureError::Malformed)?;
            field.ok_or(SignatureError::Malformed(absent))
        };
        Ok(Self {
            input: field(INPUT, "there is no signature-input")?,
            signature: field(SIGNATURE, "there is no signature")?,
        })
    }

    /// The signature that counts, verified but for the body: of `signers` one has the key that it names.
    pub fn verify<'s>(
        &self,
        signers: &'s [Rc<SignerSpec>],
        presented: &Presented<'_>,
        crypto: &dyn HostCrypto,
        now: Timestamp,
    ) -> Result<Verified<'s>, SignatureError> {
        let members = fields::dictionary(&self.input);
        let members = members.ok_or(SignatureError::Malformed("signature-input cannot be read"))?;
        if !members.iter().all(|member| matches!(member.entry, Entry::List(_))) {
            return Err(SignatureError::Malformed("signature-input has a member that is no list"));
        }
        let mut known = members.iter().filter_map(|member| Some((member, key_of(signers, member)?)));
        let (member, (signer, key)) = known.next().ok_or(SignatureError::UnknownKey)?;
        if known.next().is_some() {
            return Err(SignatureError::Ambiguous);
        }
        let Entry::List(components) = &member.entry else { return Err(SignatureError::UnknownKey) };
        let not_after = signer.judge(key, &member.parameters, now)?;
        let covers_body = signer.check_covered(components, presented)?;
        let base = presented.base(components, member.text)?;
        if !key.made(base.as_bytes(), &self.signature_of(member.name)?, crypto) {
            return Err(SignatureError::Mismatch);
        }
        let digests = covers_body.then(|| Digests::of(presented.head)).transpose()?;
        let nonce = text(&member.parameters, "nonce")?;
        // Not the signature itself: of one of ECDSA whoever sees it can make another.
        let id = match nonce {
            Some(nonce) => [&b"n"[..], &sha256(key.id.as_bytes()), nonce.as_bytes()].concat(),
            None => [&b"b"[..], base.as_bytes()].concat(),
        };
        Ok(Verified { signer, key, digests, id, not_after })
    }

    fn signature_of(&self, label: &str) -> Result<Vec<u8>, SignatureError> {
        let members = fields::dictionary(&self.signature);
        let members = members.ok_or(SignatureError::Malformed("signature cannot be read"))?;
        match members.into_iter().find(|member| member.name == label) {
            Some(Member { entry: Entry::One(Value::Bytes(signature)), .. }) => Ok(signature),
            _ => Err(SignatureError::Malformed("signature has none of this label")),
        }
    }
}

/// Whose key a signature names.
fn key_of<'s>(signers: &'s [Rc<SignerSpec>], member: &Member<'_>) -> Option<(&'s SignerSpec, &'s SignerKey)> {
    let Some(Value::Text(id)) = parameter(&member.parameters, "keyid") else { return None };
    let mut labelled =
        signers.iter().filter(|signer| signer.label.as_deref().is_none_or(|own| own == member.name));
    labelled.find_map(|signer| Some((&**signer, signer.keys.iter().find(|key| key.id == **id)?)))
}

/// A parameter that is text where it is given.
fn text<'p>(parameters: &'p Parameters<'_>, name: &str) -> Result<Option<&'p str>, SignatureError> {
    match parameter(parameters, name) {
        None => Ok(None),
        Some(Value::Text(text)) => Ok(Some(text)),
        Some(_) => Err(SignatureError::Malformed("a parameter that is text is none")),
    }
}

/// A parameter that is a time where it is given.
fn time(parameters: &Parameters<'_>, name: &str) -> Result<Option<Timestamp>, SignatureError> {
    match parameter(parameters, name) {
        None => Ok(None),
        Some(Value::Integer(secs)) => match u64::try_from(*secs) {
            Ok(secs) => Ok(Some(Timestamp::from_secs(secs))),
            // Before 1970.
            Err(_) => Err(SignatureError::Expired),
        },
        Some(_) => Err(SignatureError::Malformed("a parameter that is a time is none")),
    }
}

impl SignerKey {
    fn made(&self, base: &[u8], signature: &[u8], crypto: &dyn HostCrypto) -> bool {
        match &self.material {
            KeyMaterial::Public(key) => key.verify(self.algorithm, base, signature, crypto),
            KeyMaterial::Secret(key) => key.verify(self.algorithm, base, signature),
        }
    }
}

impl SignerSpec {
    /// Until when a signature with these parameters counts, if it does now.
    fn judge(
        &self,
        key: &SignerKey,
        parameters: &Parameters<'_>,
        now: Timestamp,
    ) -> Result<Timestamp, SignatureError> {
        let named =
            ALGORITHMS.iter().find(|(_, algorithm)| *algorithm == key.algorithm).map(|(name, _)| *name);
        if text(parameters, "alg")?.is_some_and(|alg| Some(alg) != named) {
            return Err(SignatureError::Algorithm);
        }
        if self.tag.is_some() && text(parameters, "tag")? != self.tag.as_deref() {
            return Err(SignatureError::Tag);
        }
        let created = time(parameters, "created")?;
        let created =
            created.ok_or(SignatureError::Malformed("the signature does not say when it was made"))?;
        let end = created.saturating_add(self.max_age);
        let end = time(parameters, "expires")?.map_or(end, |expires| expires.min(end));
        let not_after = end.saturating_add(self.clock_skew);
        if created > now.saturating_add(self.clock_skew) || now > not_after {
            return Err(SignatureError::Expired);
        }
        Ok(not_after)
    }

    /// Whether all is covered that must be but for a body, and whether a body is.
    fn check_covered(
        &self,
        components: &[Item<'_>],
        presented: &Presented<'_>,
    ) -> Result<bool, SignatureError> {
        let has = |name: &str| {
            let plain = |one: &&Item<'_>| one.parameters.is_empty() && base::name(one) == Ok(name);
            components.iter().any(|one| plain(&one))
        };
        let has_query = presented.path_and_query().1.is_some();
        for name in &self.components {
            let is_covered = has(name)
                || match &**name {
                    "@authority" | "@scheme" => has("@target-uri"),
                    "@path" => has("@target-uri") || has("@request-target"),
                    "@query" => !has_query || has("@target-uri") || has("@request-target"),
                    "@request-target" => has("@target-uri"),
                    _ => false,
                };
            if !is_covered {
                return Err(SignatureError::Uncovered(name.clone()));
            }
        }
        Ok(has(CONTENT_DIGEST))
    }
}

/// A signature that its key made of a request's head, a short while ago.
#[derive(Debug)]
pub struct Verified<'s> {
    signer: &'s SignerSpec,
    key: &'s SignerKey,
    /// `None`: nothing of a body is signed.
    digests: Option<Digests>,
    /// What is good once, of a signature: its nonce with the key, or else all that is signed.
    pub id: Vec<u8>,
    /// Until when it counts.
    pub not_after: Timestamp,
}

impl Verified<'_> {
    /// Whose it is.
    pub fn signer(&self) -> &SignerSpec {
        self.signer
    }

    /// Whether a request may have a body.
    pub fn covers_body(&self) -> bool {
        self.digests.is_some()
    }

    /// The signer, if `body` is what was signed.
    pub fn principal(&self, body: &[u8]) -> Result<Principal, SignatureError> {
        match &self.digests {
            Some(digests) if !digests.are_of(body) => return Err(SignatureError::DigestMismatch),
            None if !body.is_empty() => return Err(SignatureError::Uncovered(CONTENT_DIGEST.to_owned())),
            _ => {}
        }
        let boxed = |names: &[String]| names.iter().map(|name| name.as_str().into()).collect();
        Ok(Principal {
            subject: self.signer.name.as_str().into(),
            kind: PrincipalKind::MessageSignature,
            authority: Arc::default(),
            credential_id: self.key.id.as_str().into(),
            scopes: boxed(&self.signer.scopes),
            roles: boxed(&self.signer.roles),
            roles_unclear: false,
            permissions: Vec::new(),
            tier: self.signer.tier.as_deref().map(Into::into),
            claims: Members::default(),
            own_requests: vec![],
        })
    }
}
