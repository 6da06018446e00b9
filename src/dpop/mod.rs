//! DPoP (RFC 9449): the sender of a token proves with each request that it holds the key that the token is bound to.
//!
//! A [`Proof`] is one signed JWT for one request. It is held against the request ([`Presented`]), may have to carry
//! a nonce of ours ([`Nonces`]), and is accepted once ([`claim`]). Nothing here says that a token is good:
//! it was verified before, and names the key.

mod nonce;
mod proof;
mod secret;
mod target;
#[cfg(test)]
mod tests;
mod used_proofs;

use std::{fmt, time::Duration};

pub use self::{
    nonce::{Freshness, Nonces},
    proof::{FUTURE, Presented, Proof},
    secret::DpopSecret,
    target::TargetUri,
    used_proofs::claim,
};
use crate::{
    answer::Reason,
    confirmation::{BindingError, BindingMode},
    crypto::Algorithm,
    jose::{TokenError, Unusable},
    replay::ReplayError,
    request::Location,
};

/// The header with the proof (RFC 9449 section 4.1).
pub const HEADER: &str = "dpop";

/// The header with the nonce that the next proof must carry (RFC 9449 section 8.1).
pub const NONCE_HEADER: &str = "dpop-nonce";

/// The longest `maxAge` that a policy may set. Used proofs are remembered for no longer.
pub const LONGEST_MAX_AGE: Duration = Duration::from_secs(300);

/// How a provider takes DPoP, as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DpopSpec {
    /// Whether every token must be bound to a key.
    pub mode: BindingMode,
    /// The only algorithms accepted in proofs, all with public keys; never empty. Default all but `ES256K`.
    pub algorithms: Vec<Algorithm>,
    /// How long after its `iat` a proof is accepted. Default 60 s; at most [`LONGEST_MAX_AGE`].
    pub max_age: Duration,
    /// How long a nonce is handed out; it is accepted for as long again. `None`: proofs need no nonce.
    pub nonce_lifetime: Option<Duration>,
}

impl DpopSpec {
    /// `algs` of a challenge (RFC 9449 section 7.1).
    pub fn algs(&self) -> Vec<&'static str> {
        self.algorithms.iter().map(|algorithm| algorithm.name()).collect()
    }
}

/// Where a token stands that is sent with a proof (RFC 9449 section 7.1).
pub fn location() -> Location {
    Location::Header { name: "authorization".into(), prefix: SCHEME.into() }
}

/// Whether it is [`location`].
pub fn is_location(location: &Location) -> bool {
    matches!(location, Location::Header { name, prefix } if prefix == SCHEME && name == "authorization")
}

const SCHEME: &str = "DPoP ";

/// Why a proof was refused. The client learns [`DpopError::reason`] alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DpopError {
    /// An algorithm that the provider does not list.
    Algorithm,
    /// A claim that is missing or of a wrong form.
    Claim(&'static str),
    /// No usable public key in the header.
    Key(Unusable),
    /// Signed by another key than that which the token is bound to.
    KeyMismatch,
    /// Not a signed JWT.
    Malformed(TokenError),
    /// For another method.
    Method,
    /// No proof.
    Missing,
    /// Without a nonce of ours that is still accepted.
    Nonce,
    /// Made for the future, or too long ago.
    Time,
    /// Another proof with this key and `jti` was accepted before.
    Replayed,
    /// More than one proof.
    Several,
    /// The signature does not verify.
    Signature,
    /// It cannot be made sure that the proof is new.
    State(ReplayError),
    /// For another token.
    Token,
    /// `typ` is not `dpop+jwt`.
    Type,
    /// For another URL.
    Url,
}

impl DpopError {
    /// The stable reason.
    pub fn reason(&self) -> Reason {
        match self {
            // The token is not this client's (RFC 9449 section 7.1: the token is what is invalid).
            Self::KeyMismatch => Reason::TokenBinding,
            Self::Nonce => Reason::DpopNonceRequired,
            Self::Replayed => Reason::DpopProofReplayed,
            Self::State(_) => Reason::StateUnavailable,
            Self::Algorithm
            | Self::Claim(_)
            | Self::Key(_)
            | Self::Malformed(_)
            | Self::Method
            | Self::Missing
            | Self::Time
            | Self::Several
            | Self::Signature
            | Self::Token
            | Self::Type
            | Self::Url => Reason::DpopProofInvalid,
        }
    }
}

impl fmt::Display for DpopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Algorithm => f.write_str("DPoP proof: algorithm is not allowed"),
            Self::Claim(name) => write!(f, "DPoP proof: claim `{name}` is missing or has a wrong form"),
            Self::Key(fault) => write!(f, "DPoP proof: `jwk`: {fault}"),
            Self::KeyMismatch => BindingError::Key.fmt(f),
            Self::Malformed(fault) => write!(f, "DPoP proof: {fault}"),
            Self::Method => f.write_str("DPoP proof: for another method"),
            Self::Missing => f.write_str("no DPoP proof"),
            Self::Nonce => f.write_str("DPoP proof: without a current nonce"),
            Self::Time => f.write_str("DPoP proof: `iat` is too long ago or in the future"),
            Self::Replayed => f.write_str("DPoP proof: used before"),
            Self::Several => f.write_str("more than one DPoP proof"),
            Self::Signature => f.write_str("DPoP proof: the signature does not verify"),
            Self::State(fault) => write!(f, "DPoP proof: {fault}"),
            Self::Token => f.write_str("DPoP proof: for another token"),
            Self::Type => f.write_str("DPoP proof: `typ` is not dpop+jwt"),
            Self::Url => f.write_str("DPoP proof: for another URL"),
        }
    }
}

impl std::error::Error for DpopError {}
