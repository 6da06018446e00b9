//! What an issuer answers about a token (RFC 7662 section 2.2), and what it comes to.

use std::fmt;

use super::client::MAX_ANSWER_SIZE;
use crate::{
    answer::Reason,
    calls::{NoBody, Outcome},
    json::{self, JsonFault},
    jwt::{JwtError, NotVouched, Provider, VouchedToken},
    time::Timestamp,
};

/// Why a token is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenRefusal {
    /// The issuer says that it is active, but it is not for us or not for now.
    Claims(JwtError),
    /// The issuer says that it is not active: expired, revoked, or none of its own.
    Inactive,
    /// Empty, too long, or with characters that no token has. The issuer was not asked.
    Malformed,
}

/// Why the issuer's word on a token is not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IntrospectionError {
    /// An answer without `active`, or with one that is not true or false.
    Active,
    /// Failures before make us wait with the next call.
    BackingOff,
    /// Too many calls are under way.
    Busy,
    /// An answer that is no JSON object with unique members.
    Json(JsonFault),
    /// There is nothing to read.
    NoBody(NoBody),
    /// Our proof of who asks could not be made.
    NoProof,
}

impl TokenRefusal {
    /// The stable reason.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Claims(error) => error.reason(),
            Self::Inactive => Reason::TokenInactive,
            Self::Malformed => Reason::TokenMalformed,
        }
    }
}

impl IntrospectionError {
    /// Whether it tells something of the server. A client error may be due to the token alone, and whoever sends
    /// such a token must not make us stop asking about others.
    pub(super) fn blames_server(self) -> bool {
        match self {
            Self::NoBody(NoBody::Status(status)) => {
                !matches!(status, 400..=499) || matches!(status, 401 | 403 | 404 | 405 | 408 | 429)
            }
            Self::Active | Self::Json(_) | Self::NoBody(NoBody::Failed | NoBody::TooLarge { .. }) => true,
            Self::BackingOff | Self::Busy | Self::NoProof => false,
        }
    }
}

/// What `outcome` says about a token of `provider`: the token, a refusal, or no answer at all.
pub(super) fn judge(
    outcome: Outcome<'_>,
    provider: &Provider,
    now: Timestamp,
) -> Result<Result<VouchedToken, TokenRefusal>, IntrospectionError> {
    let body = outcome.body(MAX_ANSWER_SIZE).map_err(IntrospectionError::NoBody)?;
    let claims = json::parse_object(json::without_byte_order_mark(body))
        .map_err(|fault| IntrospectionError::Json(fault.of_body_in(outcome.coding())))?;
    match provider.accept_vouched(claims, now) {
        Ok(token) => Ok(Ok(token)),
        Err(NotVouched::Claims(error)) => Ok(Err(TokenRefusal::Claims(error))),
        Err(NotVouched::Inactive) => Ok(Err(TokenRefusal::Inactive)),
        Err(NotVouched::Unsaid) => Err(IntrospectionError::Active),
    }
}

impl fmt::Display for TokenRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Claims(error) => error.fmt(f),
            Self::Inactive => f.write_str("the issuer says that it is not active"),
            Self::Malformed => f.write_str("not a token"),
        }
    }
}

impl fmt::Display for IntrospectionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Active => f.write_str("an answer without `active`"),
            Self::BackingOff => f.write_str("not asked, since earlier calls failed"),
            Self::Busy => f.write_str("not asked, since too many calls are under way"),
            Self::Json(fault) => fault.fmt(f),
            Self::NoBody(fault @ NoBody::TooLarge { .. }) => write!(f, "an answer {fault}"),
            Self::NoBody(fault) => fault.fmt(f),
            Self::NoProof => f.write_str("not asked, since no client assertion could be made"),
        }
    }
}
