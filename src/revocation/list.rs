//! What is revoked: the entries, and whether they name a principal.

use std::{borrow::Cow, fmt, hash::BuildHasher};

use hashbrown::{HashMap, HashSet};

use super::Revoked;
use crate::{
    identity::{MAX_NAME_LEN, Principal, PrincipalKind, numeric_date},
    json::{Json, JsonFault, Object, parse_object, without_byte_order_mark},
    time::Timestamp,
};

/// Largest fetched list, in bytes.
pub const MAX_LIST_SIZE: usize = 1 << 20;
/// The most entries of a fetched list.
pub const MAX_ENTRIES: usize = 100_000;

/// Which tokens, clients and keys are no longer good. An empty one revokes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RevocationList {
    /// Tokens, by `jti`.
    pub tokens: HashSet<Box<str>>,
    /// Sessions, by `sid`.
    pub sessions: HashSet<Box<str>>,
    /// Clients, by `client_id`, `azp`, `cid` or `appid`; also the clients of API keys.
    pub clients: HashSet<Box<str>>,
    /// Subjects of tokens, by `sub` or by the claim that the provider takes the subject from. With a time: tokens
    /// that were issued at it or before it, or do not say when; without: all.
    pub subjects: HashMap<Box<str>, Option<Timestamp>>,
    /// API keys, by id.
    pub api_keys: HashSet<Box<str>>,
}

/// Why bytes are no list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListError {
    /// An entry that is not a text of 1 to 512 bytes, or a subject of a wrong form.
    Entry {
        /// Of which member.
        member: &'static str,
        /// Which one.
        index: usize,
    },
    /// Not an object with unique members.
    Json(JsonFault),
    /// A member that is no list.
    Member(&'static str),
    /// More than [`MAX_ENTRIES`].
    TooMany,
    /// A member that nobody knows, cut to 64 characters: passing over it could mean passing over revocations.
    Unknown(Box<str>),
}

/// The claims that name the client: RFC 9068, OpenID Connect, Okta, Entra ID (version 1).
const CLIENT_CLAIMS: [&str; 4] = ["client_id", "azp", "cid", "appid"];

impl RevocationList {
    /// Reads `{jti, sid, clientIds, subjects, apiKeys}`, all of them optional lists, empty ones too.
    ///
    /// All or nothing: a list with one entry left out would let through what it should stop.
    pub fn parse(bytes: &[u8]) -> Result<Self, ListError> {
        let members = parse_object(without_byte_order_mark(bytes)).map_err(ListError::Json)?;
        let mut list = Self::default();
        let mut entries = 0_usize;
        for (name, value) in members.object().iter() {
            let (name, set) = match name {
                "jti" => ("jti", Some(&mut list.tokens)),
                "sid" => ("sid", Some(&mut list.sessions)),
                "clientIds" => ("clientIds", Some(&mut list.clients)),
                "apiKeys" => ("apiKeys", Some(&mut list.api_keys)),
                "subjects" => ("subjects", None),
                _ => return Err(ListError::Unknown(name.chars().take(64).collect())),
            };
            let values = value.as_list().ok_or(ListError::Member(name))?;
            entries = entries.saturating_add(values.len());
            if entries > MAX_ENTRIES {
                return Err(ListError::TooMany);
            }
            let bad = |index| ListError::Entry { member: name, index };
            match set {
                Some(set) => {
                    set.reserve(values.len());
                    for (index, value) in values.iter().enumerate() {
                        set.insert(entry(value).ok_or_else(|| bad(index))?.into());
                    }
                }
                None => {
                    list.subjects.reserve(values.len());
                    for (index, value) in values.iter().enumerate() {
                        let (sub, issued_before) = subject(value).ok_or_else(|| bad(index))?;
                        list.add_subject(sub, issued_before);
                    }
                }
            }
        }
        Ok(list)
    }

    /// Adds a subject. Of two entries for one subject the one that revokes more counts.
    pub fn add_subject(&mut self, sub: &str, issued_before: Option<Timestamp>) {
        let known = self.subjects.entry(sub.into()).or_insert(issued_before);
        *known = match (*known, issued_before) {
            (Some(a), Some(b)) => Some(a.max(b)),
            _ => None,
        };
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        [&self.tokens, &self.sessions, &self.clients, &self.api_keys]
            .iter()
            .fold(self.subjects.len(), |sum, set| sum.saturating_add(set.len()))
    }

    /// Whether nothing is revoked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether an entry names `principal`. Takes the same time however long the list is.
    pub(super) fn check(&self, principal: &Principal) -> Result<(), Revoked> {
        if principal.kind == PrincipalKind::ApiKey {
            let revoked =
                self.api_keys.contains(&principal.credential_id) || self.clients.contains(&principal.subject);
            return if revoked { Err(Revoked::ApiKey) } else { Ok(()) };
        }
        let claims = principal.claims.object();
        if self.tokens.contains(&principal.credential_id) {
            return Err(Revoked::Token);
        }
        if has(&self.sessions, claims, "sid") {
            return Err(Revoked::Session);
        }
        if CLIENT_CLAIMS.iter().any(|name| has(&self.clients, claims, name)) {
            return Err(Revoked::Client);
        }
        let by_claim: Option<Cow<'_, str>> = match claims.get("sub") {
            Some(Json::String(sub)) => Some(sub.into()),
            Some(Json::Number(sub)) => Some(sub.to_string().into()),
            _ => None,
        };
        let names =
            [Some(&*principal.subject), by_claim.as_deref().filter(|sub| **sub != *principal.subject)];
        let entries = names.into_iter().flatten().filter_map(|name| self.subjects.get(name));
        for issued_before in entries {
            // A time that cannot be read proves nothing.
            let issued = claims.get("iat").and_then(numeric_date);
            let is_later =
                matches!((issued, issued_before), (Some(issued), Some(before)) if issued > *before);
            if !is_later {
                return Err(Revoked::Subject);
            }
        }
        Ok(())
    }
}

fn has<S: BuildHasher>(set: &HashSet<Box<str>, S>, claims: Object<'_>, name: &str) -> bool {
    !set.is_empty() && claims.get(name).and_then(Json::as_str).is_some_and(|value| set.contains(value))
}

/// Longer names are refused in tokens, so that such an entry could only be a mistake.
fn entry(value: Json<'_>) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty() && text.len() <= MAX_NAME_LEN)
}

fn subject(value: Json<'_>) -> Option<(&str, Option<Timestamp>)> {
    let members = value.as_object()?;
    let sub = entry(members.get("sub")?)?;
    let issued_before = match members.get("issuedBefore") {
        None => None,
        Some(time) => Some(Timestamp::from_rfc3339(time.as_str()?).ok()?),
    };
    let known = if issued_before.is_some() { 2 } else { 1 };
    (members.len() == known).then_some((sub, issued_before))
}

impl fmt::Display for ListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Entry { member, index } => write!(f, "`{member}[{index}]` has a wrong form"),
            Self::Json(fault) => fault.fmt(f),
            Self::Member(name) => write!(f, "`{name}` is not a list"),
            Self::TooMany => write!(f, "more than {MAX_ENTRIES} entries"),
            // From the server: escaped.
            Self::Unknown(name) => write!(f, "an unknown member {name:?}"),
        }
    }
}
