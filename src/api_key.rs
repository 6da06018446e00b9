//! API keys: found by digest, never stored or compared as text.

use crate::{request::Location, time::Timestamp};

/// How API keys are found and which there are, as configured.
#[derive(Clone, Debug, Default)]
pub struct ApiKeysSpec {
    /// Where a key may stand. Default: header `x-api-key`.
    pub locations: Vec<Location>,
    /// What the levels grant: `(level, permissions)`.
    pub levels: Vec<(Level, Vec<String>)>,
    /// The keys.
    pub keys: Vec<ApiKeySpec>,
}

/// A coarse grade of what a key may do; the document says which permissions each grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "what each means is configured")]
pub enum Level {
    Read,
    Write,
    Admin,
}

/// One key, as configured.
#[derive(Clone, Debug)]
pub struct ApiKeySpec {
    /// Unique; goes into the decision record.
    pub id: String,
    /// The principal's subject. Keys of the same client are the same principal. Default: `id`.
    pub client: String,
    /// SHA-256 of the key.
    pub digest: [u8; 32],
    /// `None`: no permissions by level.
    pub level: Option<Level>,
    /// May be empty.
    pub scopes: Vec<String>,
    /// May be empty.
    pub roles: Vec<String>,
    /// `None`: no tier.
    pub tier: Option<String>,
    /// Refused before; `None`: valid from the start.
    pub not_before: Option<Timestamp>,
    /// Refused from this instant on; `None`: does not expire.
    pub expires_at: Option<Timestamp>,
    /// Refused while true.
    pub disabled: bool,
}
