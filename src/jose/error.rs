//! Why a text is no token, and why no key signed it.

use std::fmt;

use super::{bounds::MAX_TRIES, jwk::Unusable};
use crate::{crypto::Algorithm, json::JsonFault};

/// Why a text is no token that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// An algorithm that nobody here knows, such as `none`.
    AlgorithmUnknown,
    /// Not a signed JWT in compact form that can be read in one way only.
    Malformed(Malformed),
    /// Longer than is read.
    TooLong {
        /// The most bytes that are.
        max: usize,
    },
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

/// Why no key of a set signed a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// No key of the set takes this algorithm.
    NoKey {
        /// What the token asks for.
        algorithm: Algorithm,
    },
    /// The key that would be its own is for tokens of another issuer.
    OtherIssuer {
        /// Of this one, or of those of this template.
        issuer: Box<str>,
    },
    /// The signature does not verify.
    Signature,
    /// None of the first [`MAX_TRIES`] keys that fit made the signature, and there are more.
    TooManyKeys {
        /// What the token asks for.
        algorithm: Algorithm,
    },
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

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlgorithmUnknown => f.write_str("unknown algorithm"),
            Self::Malformed(malformed) => malformed.fmt(f),
            Self::TooLong { max } => write!(f, "longer than {max} bytes"),
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

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoKey { algorithm } => write!(f, "no key of the set takes {algorithm}"),
            // From the key set: escaped, and bounded when it was read.
            Self::OtherIssuer { issuer } => write!(f, "its key is for tokens of {issuer:?} alone"),
            Self::Signature => f.write_str("the signature does not verify"),
            Self::TooManyKeys { algorithm } => write!(
                f,
                "none of the first {MAX_TRIES} keys for {algorithm} made the signature, and a token is tried with no \
                 more: keys and tokens should have a `kid`"
            ),
            // From the token: escaped, and bounded when it was read.
            Self::UnknownKey { kid } => write!(f, "no key has the kid {kid:?}"),
            Self::UnusableKey { kid, reason } => {
                write!(f, "the key with the kid {kid:?} is not used: {reason}")
            }
        }
    }
}

impl std::error::Error for TokenError {}

impl std::error::Error for KeyError {}
