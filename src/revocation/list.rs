//! What is revoked: the entries, and whether they name a principal.

use std::fmt;

use hashbrown::{HashMap, HashSet};

use super::{
    Revoked,
    names::{Kind, is_issued_after},
};
use crate::{
    identity::Principal,
    json::{Json, JsonFault, parse_object, without_byte_order_mark},
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
    /// Sessions, by the passkey that they began with (`credential`).
    pub passkeys: HashSet<Box<str>>,
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
    /// An entry that is empty, no text or too long ([`Kind::longest`]), or a subject of a wrong form.
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

impl RevocationList {
    /// Reads `{jti, sid, passkeys, clientIds, subjects, apiKeys}`, all of them optional lists, empty ones too.
    ///
    /// All or nothing: a list with one entry left out would let through what it should stop.
    pub fn parse(bytes: &[u8]) -> Result<Self, ListError> {
        let members = parse_object(without_byte_order_mark(bytes)).map_err(ListError::Json)?;
        let mut list = Self::default();
        let mut entries = 0_usize;
        for (name, value) in members.object().iter() {
            let (name, kind, set) = match name {
                "jti" => ("jti", Kind::Token, Some(&mut list.tokens)),
                "sid" => ("sid", Kind::Session, Some(&mut list.sessions)),
                "passkeys" => ("passkeys", Kind::Passkey, Some(&mut list.passkeys)),
                "clientIds" => ("clientIds", Kind::Client, Some(&mut list.clients)),
                "apiKeys" => ("apiKeys", Kind::ApiKey, Some(&mut list.api_keys)),
                "subjects" => ("subjects", Kind::Subject, None),
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
                        set.insert(entry(value, kind).ok_or_else(|| bad(index))?.into());
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
        [&self.tokens, &self.sessions, &self.passkeys, &self.clients, &self.api_keys]
            .iter()
            .fold(self.subjects.len(), |sum, set| sum.saturating_add(set.len()))
    }

    /// Whether nothing is revoked.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether an entry names `principal`. Takes the same time however long the list is.
    pub(super) fn check(&self, principal: &Principal) -> Result<(), Revoked> {
        let names = |kind: Kind| kind.any(principal, |name| self.has(kind, name, principal));
        let revoked = Kind::ALL.into_iter().filter(|kind| self.has_any(*kind)).find(|kind| names(*kind));
        revoked.map_or(Ok(()), |kind| Err(kind.revoked(principal)))
    }

    fn has_any(&self, kind: Kind) -> bool {
        !match kind {
            Kind::ApiKey => self.api_keys.is_empty(),
            Kind::Client => self.clients.is_empty(),
            Kind::Passkey => self.passkeys.is_empty(),
            Kind::Session => self.sessions.is_empty(),
            Kind::Subject => self.subjects.is_empty(),
            Kind::Token => self.tokens.is_empty(),
        }
    }

    fn has(&self, kind: Kind, name: &str, principal: &Principal) -> bool {
        match kind {
            Kind::ApiKey => self.api_keys.contains(name),
            Kind::Client => self.clients.contains(name),
            Kind::Passkey => self.passkeys.contains(name),
            Kind::Session => self.sessions.contains(name),
            Kind::Token => self.tokens.contains(name),
            Kind::Subject => {
                let entry = self.subjects.get(name);
                entry.is_some_and(|before| before.is_none_or(|before| !is_issued_after(principal, before)))
            }
        }
    }
}

/// Longer names are refused in tokens, so that such an entry could only be a mistake.
fn entry(value: Json<'_>, kind: Kind) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty() && text.len() <= kind.longest())
}

fn subject(value: Json<'_>) -> Option<(&str, Option<Timestamp>)> {
    let members = value.as_object()?;
    let sub = entry(members.get("sub")?, Kind::Subject)?;
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
