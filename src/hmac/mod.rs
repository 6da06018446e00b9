//! Webhooks: requests that are signed as a whole with a shared secret, by HMAC-SHA-256 over their body and what their
//! sender says beside it.
//!
//! The signature says who sent the body, and when, where a time is signed. It says nothing of the method, the path and any
//! header: a rule that takes a source takes what the source sends to whatever it matches.

mod scheme;
#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

use self::scheme::Signed;
pub use self::scheme::{Encoding, Layout, Piece, Scheme, TimestampAt};
use crate::{
    answer::Reason,
    crypto::HmacSha256Key,
    identity::{Principal, PrincipalKind},
    json::Members,
    replay::Table,
    request::{Location, RequestHead},
    time::Timestamp,
};

/// The longest tolerance that a policy may set.
pub const LONGEST_TOLERANCE: Duration = Duration::from_secs(3600);

/// Deliveries that are good once.
pub const ONCE: Table = Table {
    name: "hmac",
    // The time of signing may lie ahead, and the tolerance begins there.
    horizon: Duration::from_secs(LONGEST_TOLERANCE.as_secs().saturating_mul(2)),
};

/// A sender of webhooks, as configured.
#[derive(Clone, Debug)]
pub struct HmacSourceSpec {
    /// Unique; the principal's subject.
    pub name: String,
    /// How it signs.
    pub scheme: Scheme,
    /// Any one of which may have signed, so that secrets can be replaced; never empty.
    pub secrets: Vec<HmacSha256Key>,
    /// How far the time of signing may lie from now, in either direction. Without meaning where no time is signed.
    pub tolerance: Duration,
    /// What is signed counts once. Default false; never true where no time is signed.
    pub once: bool,
    /// A longer body is refused, in bytes. Default 262,144.
    pub max_body_bytes: usize,
    /// Whether the signature reaches the upstream. Default true: it proves no more than that somebody knew the secret who
    /// sent this body, and receivers often look at it again.
    pub forward: bool,
    /// May be empty.
    pub scopes: Vec<String>,
    /// May be empty.
    pub roles: Vec<String>,
    /// `None`: no tier.
    pub tier: Option<String>,
    /// Where the signature stands.
    pub location: Location,
}

/// Why a request is not its sender's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HmacError {
    /// The signature, or what is signed beside the body, cannot be read.
    Malformed(&'static str),
    /// It was signed too long ago, or too far ahead.
    Expired,
    /// No secret makes this signature of this body.
    Mismatch,
}

impl HmacError {
    /// The reason that the client is told.
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Malformed(_) => Reason::SignatureMalformed,
            Self::Expired => Reason::SignatureExpired,
            Self::Mismatch => Reason::SignatureInvalid,
        }
    }
}

impl fmt::Display for HmacError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => f.write_str(what),
            Self::Expired => f.write_str("the time of signing is too far from now"),
            Self::Mismatch => f.write_str("no secret of the source makes this signature of this body"),
        }
    }
}

impl std::error::Error for HmacError {}

/// What a request says of its signature. Nothing of it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed<'a> {
    /// Any one of which must be right, since whoever replaces a secret signs with both. Never empty.
    signatures: Vec<[u8; 32]>,
    /// When it was signed, as it was sent.
    timestamp: Option<&'a str>,
    /// Which message it is.
    id: Option<&'a str>,
    /// Until when it counts; `None`: for ever.
    not_after: Option<Timestamp>,
}

impl Claimed<'_> {
    /// Until when the signature counts; `None`: for ever.
    pub fn not_after(&self) -> Option<Timestamp> {
        self.not_after
    }
}

impl HmacSourceSpec {
    /// What `head` says of the signature that is `value`. Judges all that can be judged without the body.
    pub fn read<'a>(
        &self,
        head: &RequestHead<'a>,
        value: &'a [u8],
        now: Timestamp,
    ) -> Result<Claimed<'a>, HmacError> {
        let Signed { signatures, timestamp, id } =
            self.scheme.read(head, value).map_err(HmacError::Malformed)?;
        let not_after = timestamp.map(|sent| self.not_after(sent, now)).transpose()?;
        Ok(Claimed { signatures, timestamp, id, not_after })
    }

    fn not_after(&self, sent: &str, now: Timestamp) -> Result<Timestamp, HmacError> {
        let secs =
            sent.parse().map_err(|_| HmacError::Malformed("the time of signing is no number of seconds"))?;
        let signed = Timestamp::from_secs(secs);
        let not_after = signed.saturating_add(self.tolerance);
        if now > not_after || signed > now.saturating_add(self.tolerance) {
            return Err(HmacError::Expired);
        }
        Ok(not_after)
    }

    /// What is good once: what is signed, and by whom. Not the signature, of which there is one for each secret.
    pub fn signed<'p>(&'p self, claimed: &'p Claimed<'_>, body: &'p [u8]) -> Vec<&'p [u8]> {
        // No name has a line break.
        let whose = [self.name.as_bytes(), b"\n"];
        whose.into_iter().chain(self.scheme.signed.iter().map(|piece| piece.of(claimed, body))).collect()
    }

    /// The sender, if one of the secrets made one of the signatures of `body`.
    pub fn verify(&self, claimed: &Claimed<'_>, body: &[u8]) -> Result<Principal, HmacError> {
        let parts: Vec<&[u8]> = self.scheme.signed.iter().map(|piece| piece.of(claimed, body)).collect();
        let is_of = |secret: &HmacSha256Key| {
            let tag = secret.tag(&parts);
            claimed.signatures.iter().any(|signature| tag.is(signature))
        };
        if !self.secrets.iter().any(is_of) {
            return Err(HmacError::Mismatch);
        }
        let boxed = |names: &[String]| names.iter().map(|name| name.as_str().into()).collect();
        Ok(Principal {
            subject: self.name.as_str().into(),
            kind: PrincipalKind::Hmac,
            authority: Arc::default(),
            credential_id: claimed.id.unwrap_or_default().into(),
            scopes: boxed(&self.scopes),
            roles: boxed(&self.roles),
            roles_unclear: false,
            permissions: Vec::new(),
            tier: self.tier.as_deref().map(Into::into),
            claims: Members::default(),
            own_requests: vec![],
        })
    }
}
