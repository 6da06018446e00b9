//! Why a token was refused.

use std::fmt;

use crate::{
    answer::Reason,
    crypto::Algorithm,
    jose::{KeyError, TokenError},
    time::Timestamp,
};

/// Why a token was refused. The client learns [`JwtError::reason`] alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JwtError {
    /// A known algorithm that the provider does not allow.
    AlgorithmNotAllowed {
        /// What the token asks for.
        algorithm: Algorithm,
    },
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
    /// No key of the provider's set made the signature.
    Key(KeyError),
    /// There is no key set (yet, or any more).
    KeysUnavailable,
    /// `exp - iat` is longer than the provider allows.
    Lifetime,
    /// `nbf` or `iat` lies in the future.
    NotYetValid {
        /// The beginning of its validity, skew included.
        not_before: Timestamp,
    },
    /// `signer` is none of the provider's load balancers.
    Signer,
    /// The tenant that `iss` names is not the one that the token names itself.
    Tenant,
    /// It cannot be read, or the provider does not.
    Token(TokenError),
    /// `typ` is not one that the provider accepts.
    Type,
}

/// In which way a claim is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClaimFault {
    /// A wrong JSON type, an empty or too long string, a number out of range.
    Malformed,
    /// Not there.
    Missing,
}

impl JwtError {
    /// The stable reason.
    pub fn reason(&self) -> Reason {
        match self {
            Self::AlgorithmNotAllowed { .. } | Self::Token(TokenError::AlgorithmUnknown) => {
                Reason::TokenAlgorithm
            }
            Self::Audience => Reason::TokenAudience,
            Self::Claim { .. } | Self::Lifetime => Reason::TokenClaims,
            Self::Expired { .. } => Reason::TokenExpired,
            Self::Issuer | Self::Signer | Self::Tenant => Reason::TokenIssuer,
            Self::Key(KeyError::Signature) => Reason::TokenSignature,
            Self::Key(
                KeyError::NoKey { .. }
                | KeyError::OtherIssuer { .. }
                | KeyError::TooManyKeys { .. }
                | KeyError::UnknownKey { .. }
                | KeyError::UnusableKey { .. },
            ) => Reason::TokenKey,
            Self::KeysUnavailable => Reason::KeysUnavailable,
            Self::NotYetValid { .. } => Reason::TokenNotYetValid,
            Self::Token(TokenError::Malformed(_) | TokenError::TooLong { .. }) | Self::Type => {
                Reason::TokenMalformed
            }
        }
    }

    /// Whether other keys under the same names could make the token good.
    pub(crate) fn is_of_keys(&self) -> bool {
        matches!(self, Self::Key(error) if !matches!(error, KeyError::UnknownKey { .. }))
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
            Self::Audience => f.write_str("meant for another audience"),
            Self::Claim { name, fault: ClaimFault::Malformed } => {
                write!(f, "claim `{name}` has a wrong form")
            }
            Self::Claim { name, fault: ClaimFault::Missing } => write!(f, "claim `{name}` is missing"),
            Self::Expired { not_after } => write!(f, "expired at {} s", not_after.as_secs()),
            Self::Issuer => f.write_str("another issuer"),
            Self::Key(error) => error.fmt(f),
            Self::KeysUnavailable => f.write_str("the key set is not available"),
            Self::Lifetime => f.write_str("lives longer than allowed"),
            Self::NotYetValid { not_before } => write!(f, "not valid before {} s", not_before.as_secs()),
            Self::Signer => f.write_str("`signer` is not one of the load balancers that the policy names"),
            Self::Tenant => f.write_str("the claim with the tenant is not the tenant that `iss` names"),
            Self::Token(error) => error.fmt(f),
            Self::Type => f.write_str("not an accepted `typ`"),
        }
    }
}

impl From<TokenError> for JwtError {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

impl From<KeyError> for JwtError {
    fn from(error: KeyError) -> Self {
        Self::Key(error)
    }
}

impl std::error::Error for JwtError {}
