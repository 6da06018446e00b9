//! Who is calling: what every way of authenticating comes down to.

use std::sync::Arc;

use serde_json::{Map, Value};

/// How a principal proved itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PrincipalKind {
    /// An OAuth2 access token (JWT).
    Jwt,
    /// An API key.
    ApiKey,
}

impl PrincipalKind {
    /// The name that upstreams and the decision record see.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::ApiKey => "api-key",
        }
    }
}

/// An authenticated caller. Only a verifier makes one; no field is ever taken from an unverified header.
#[derive(Clone, Debug)]
pub struct Principal {
    /// The token's subject or the API key's client. Never empty.
    pub subject: Box<str>,
    /// How it authenticated.
    pub kind: PrincipalKind,
    /// The provider's name for a JWT; empty for an API key. Two providers may know the same subject, so
    /// whatever is counted per principal is counted per `(kind, authority, subject)`.
    pub authority: Arc<str>,
    /// The API key's id or the token's `jti`; empty when the token has none.
    pub credential_id: Box<str>,
    /// Granted OAuth2 scopes, in the order given.
    pub scopes: Vec<Box<str>>,
    /// Roles as the credential names them; unknown ones grant nothing.
    pub roles: Vec<Box<str>>,
    /// Permissions granted directly, by an API key's level.
    pub permissions: Vec<Box<str>>,
    /// Selects tiered rate limits; `None` means the limit's own windows.
    pub tier: Option<Box<str>>,
    /// All claims of the token; for an API key `sub` alone.
    pub claims: Map<String, Value>,
}

/// Where a claim stands: one name for a top-level claim, several to descend into objects.
///
/// Written `realm_access.roles`, or as a list of names where a name itself holds dots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimPath(pub Vec<String>);

impl ClaimPath {
    /// Splits dotted text.
    pub fn dotted(text: &str) -> Self {
        Self(text.split('.').map(str::to_owned).collect())
    }

    /// The claim's value; `None` where any step is missing or is not an object.
    pub fn find<'a>(&self, claims: &'a Map<String, Value>) -> Option<&'a Value> {
        let (first, rest) = self.0.split_first()?;
        rest.iter().try_fold(claims.get(first)?, |value, name| value.as_object()?.get(name))
    }
}
