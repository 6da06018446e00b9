//! By which names a credential may be revoked.

use std::borrow::Cow;

use super::Revoked;
use crate::{
    identity::{MAX_NAME_LEN, Principal, PrincipalKind, numeric_date},
    json::Json,
    time::Timestamp,
};

/// What a name is that may be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An API key, by its id.
    ApiKey,
    /// A client: of a token by `client_id`, `azp`, `cid` or `appid`; of an API key by its `client`.
    Client,
    /// The sessions of a passkey, by its id: that of the claim `credential`.
    Passkey,
    /// A session, by `sid`.
    Session,
    /// The subject of tokens, by `sub` or by the claim that the provider takes the subject from.
    Subject,
    /// A token, by `jti`.
    Token,
}

/// The id of a passkey has 1023 bytes at most (WebAuthn Level 3, section 7.1 step 25): so many characters of base64url.
const MAX_CREDENTIAL_NAME_LEN: usize = 1364;

/// The claims that name the client: RFC 9068, OpenID Connect, Okta, Entra ID (version 1).
const CLIENT_CLAIMS: [&str; 4] = ["client_id", "azp", "cid", "appid"];

impl Kind {
    /// In the order in which they are asked for.
    pub const ALL: [Self; 6] =
        [Self::ApiKey, Self::Token, Self::Session, Self::Passkey, Self::Client, Self::Subject];

    /// How entries and the command call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ApiKey => "apiKey",
            Self::Client => "clientId",
            Self::Passkey => "passkey",
            Self::Session => "sid",
            Self::Subject => "sub",
            Self::Token => "jti",
        }
    }

    /// How long such a name may be, in bytes: longer ones name nothing.
    pub const fn longest(self) -> usize {
        match self {
            Self::Passkey => MAX_CREDENTIAL_NAME_LEN,
            _ => MAX_NAME_LEN,
        }
    }

    /// Calls `is_revoked` with the names of this kind that `principal` has, each once, until one is; whether one is.
    pub(super) fn any(self, principal: &Principal, mut is_revoked: impl FnMut(&str) -> bool) -> bool {
        let is_key = principal.kind == PrincipalKind::ApiKey;
        let claims = principal.claims.object();
        let claim = |name| claims.get(name).and_then(Json::as_str);
        match self {
            Self::ApiKey => is_key && is_revoked(&principal.credential_id),
            Self::Client if is_key => is_revoked(&principal.subject),
            _ if is_key => false,
            Self::Client => CLIENT_CLAIMS.into_iter().filter_map(claim).any(is_revoked),
            Self::Session => claim("sid").is_some_and(is_revoked),
            // Whose session it is does not matter: ids of passkeys are random.
            Self::Passkey => claim("credential").is_some_and(is_revoked),
            Self::Token => !principal.credential_id.is_empty() && is_revoked(&principal.credential_id),
            Self::Subject => {
                let by_claim: Option<Cow<'_, str>> = match claims.get("sub") {
                    Some(Json::String(sub)) => Some(sub.into()),
                    Some(Json::Number(sub)) => Some(sub.to_string().into()),
                    _ => None,
                };
                is_revoked(&principal.subject)
                    || by_claim.is_some_and(|sub| *sub != *principal.subject && is_revoked(&sub))
            }
        }
    }

    /// What a principal of which such a name is revoked hears.
    pub(super) fn revoked(self, principal: &Principal) -> Revoked {
        match self {
            _ if principal.kind == PrincipalKind::ApiKey => Revoked::ApiKey,
            Self::ApiKey => Revoked::ApiKey,
            Self::Client => Revoked::Client,
            Self::Passkey => Revoked::Passkey,
            Self::Session => Revoked::Session,
            Self::Subject => Revoked::Subject,
            Self::Token => Revoked::Token,
        }
    }
}

/// Whether a token was issued after `time`. One whose own time cannot be read proves nothing.
pub(super) fn is_issued_after(principal: &Principal, time: Timestamp) -> bool {
    principal.claims.object().get("iat").and_then(numeric_date).is_some_and(|issued| issued > time)
}
