//! Why a token was refused.

use std::fmt;

use super::{Algorithm, jwk::Unusable, jwks::MAX_TRIES};
use crate::json::JsonFault;
use crate::{answer::Reason, time::Timestamp};

/// Why a token was refused. The client learns [`JwtError::reason`] alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtError {
    /// A known algorithm that the provider does not allow.
    AlgorithmNotAllowed {
        /// What the token asks for.
        algorithm: Algorithm,
    },
    /// An algorithm that nobody here knows, such as `none`.
    AlgorithmUnknown,
    /// No configured audience is in `aud`.
    Audience,
    /// A claim that is due and missing, or of a wrong form.
    Claim {
        /// Which, dotted.
        name: Box<str>,
        /// In which way.
        fault: ClaimFault,
    },
    /// `exp` has passed.
    Expired {
        /// The end of its validity, skew included.
        not_after: Timestamp,
    },
    /// `iss` is not the provider's issuer.
    Issuer,
    /// There is no key set (yet, or any more).
    KeysUnavailable,
    /// `exp - iat` is longer than the provider allows.
    Lifetime,
    /// Not a signed JWT in compact form that can be read in one way only.
    Malformed(Malformed),
    /// No key of the set takes this algorithm.
    NoKey {
        /// What the token asks for.
        algorithm: Algorithm,
    },
    /// `nbf` or `iat` lies in the future.
    NotYetValid {
        /// The beginning of its validity, skew included.
        not_before: Timestamp,
    },
    /// The signature does not verify.
    Signature,
    /// None of the first [`MAX_TRIES`] keys that fit made the signature, and there are more.
    TooManyKeys {
        /// What the token asks for.
        algorithm: Algorithm,
    },
    /// Longer than the provider reads.
    TooLong {
        /// The most bytes it reads.
        max: usize,
    },
    /// `typ` is not one that the provider accepts.
    Type,
    /// No key has the `kid` that the token names. Worth a fetch of the key set, where it can be fetched.
    UnknownKey {
        /// What the token asks for.
        kid: Box<str>,
    },
    /// The key with the `kid` that the token names is not used.
    UnusableKey {
        /// What the token asks for.
        kid: Box<str>,
        /// Why the key is not used.
        reason: Unusable,
    },
}

/// In which way a claim is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimFault {
    /// A wrong JSON type, an empty or too long string, a number out of range.
    Malformed,
    /// Not there.
    Missing,
}

/// In which way a text is not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// A segment that is not base64url without padding, in its one canonical form.
    Base64,
    /// A payload that is not an object with unique members.
    Claims(JsonFault),
    /// `crit`, `b64`, `zip`, `enc` or `cty: JWT`: it asks for processing that is not done here.
    Extension,
    /// A header that is not an object with unique members.
    Header(JsonFault),
    /// A header parameter that is missing or of a wrong form.
    HeaderParameter {
        /// Which.
        name: &'static str,
    },
    /// Not three segments, or an empty one.
    Segments,
}

impl JwtError {
    /// The stable reason.
    pub fn reason(&self) -> Reason {
        match self {
            Self::AlgorithmNotAllowed { .. } | Self::AlgorithmUnknown => Reason::TokenAlgorithm,
            Self::Audience => Reason::TokenAudience,
            Self::Claim { .. } | Self::Lifetime => Reason::TokenClaims,
            Self::Expired { .. } => Reason::TokenExpired,
            Self::Issuer => Reason::TokenIssuer,
            Self::KeysUnavailable => Reason::KeysUnavailable,
            Self::Malformed(_) | Self::TooLong { .. } | Self::Type => Reason::TokenMalformed,
            Self::NoKey { .. }
            | Self::TooManyKeys { .. }
            | Self::UnknownKey { .. }
            | Self::UnusableKey { .. } => Reason::TokenKey,
            Self::NotYetValid { .. } => Reason::TokenNotYetValid,
            Self::Signature => Reason::TokenSignature,
        }
    }

    /// Whether other keys under the same names could make the token good.
    pub(crate) fn is_of_keys(&self) -> bool {
        matches!(
            self,
            Self::NoKey { .. } | Self::Signature | Self::TooManyKeys { .. } | Self::UnusableKey { .. }
        )
    }

    /// The claim `name` is not there.
    pub(crate) fn missing(name: &str) -> Self {
        Self::Claim { name: name.into(), fault: ClaimFault::Missing }
    }

    /// The claim `name` has a wrong form.
    pub(crate) fn malformed(name: &str) -> Self {
        Self::Claim { name: name.into(), fault: ClaimFault::Malformed }
    }
}

impl fmt::Display for JwtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlgorithmNotAllowed { algorithm } => write!(f, "algorithm {algorithm} is not allowed"),
            Self::AlgorithmUnknown => f.write_str("unknown algorithm"),
            Self::Audience => f.write_str("meant for another audience"),
            Self::Claim { name, fault: ClaimFault::Malformed } => {
                write!(f, "claim `{name}` has a wrong form")
            }
            Self::Claim { name, fault: ClaimFault::Missing } => write!(f, "claim `{name}` is missing"),
            Self::Expired { not_after } => write!(f, "expired at {} s", not_after.as_secs()),
            Self::Issuer => f.write_str("another issuer"),
            Self::KeysUnavailable => f.write_str("the key set is not available"),
            Self::Lifetime => f.write_str("lives longer than allowed"),
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::NoKey { algorithm } => write!(f, "no key of the set takes {algorithm}"),
            Self::NotYetValid { not_before } => write!(f, "not valid before {} s", not_before.as_secs()),
            Self::Signature => f.write_str("the signature does not verify"),
            Self::TooManyKeys { algorithm } => write!(
                f,
                "none of the first {MAX_TRIES} keys for {algorithm} made the signature, and a token is tried with no \
                 more: keys and tokens should have a `kid`"
            ),
            Self::TooLong { max } => write!(f, "longer than {max} bytes"),
            Self::Type => f.write_str("not an accepted `typ`"),
            // From the token: escaped, and bounded when it was read.
            Self::UnknownKey { kid } => write!(f, "no key has the kid {kid:?}"),
            Self::UnusableKey { kid, reason } => {
                write!(f, "the key with the kid {kid:?} is not used: {reason}")
            }
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Base64 => f.write_str("a segment is not base64url"),
            Self::Claims(fault) => write!(f, "payload: {fault}"),
            Self::Extension => f.write_str("header: an extension that is not understood"),
            Self::Header(fault) => write!(f, "header: {fault}"),
            Self::HeaderParameter { name } => write!(f, "header: `{name}` is missing or has a wrong form"),
            Self::Segments => f.write_str("not three segments"),
        }
    }
}

impl std::error::Error for JwtError {}
