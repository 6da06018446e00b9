//! Revocations that are kept one by one, each as an entry: what it is called, and what it says.

use serde_json::Value;

use super::{
    Revoked,
    names::{Kind, is_issued_after},
};
use crate::{identity::Principal, time::Timestamp};

/// What the names of entries begin with, behind the prefix of whoever keeps them: the version, and what it is.
pub const SCHEMA: &str = "v1/revocations/";

/// What one entry says. One that says nothing else revokes for good, and all that its name names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// From this instant on it revokes nothing.
    pub until: Option<Timestamp>,
    /// Of a subject, only tokens that were issued at it or before it, or do not say when.
    pub issued_before: Option<Timestamp>,
}

impl Entry {
    /// Reads the JSON that is kept. What cannot be read limits nothing: such an entry revokes more, never less.
    pub fn read(value: &[u8]) -> Self {
        let fields: Value = serde_json::from_slice(value).unwrap_or_default();
        let time = |name| Timestamp::from_rfc3339(fields.get(name)?.as_str()?).ok();
        Self { until: time("until"), issued_before: time("issuedBefore") }
    }

    /// Whether it revokes `principal`, which it names by this kind of name, at `now`.
    pub(super) fn revokes(&self, kind: Kind, principal: &Principal, now: Timestamp) -> bool {
        let is_over = self.until.is_some_and(|until| now >= until);
        let is_spared = kind == Kind::Subject
            && self.issued_before.is_some_and(|before| is_issued_after(principal, before));
        !is_over && !is_spared
    }
}

/// Whether one of the entries that `find` has names `principal` and revokes it at `now`; an error: it cannot be known. They
/// are called `<kind>/<name>`, behind [`SCHEMA`].
pub fn check_entries(
    principal: &Principal,
    now: Timestamp,
    find: impl Fn(&str) -> Result<Option<Vec<u8>>, Revoked>,
) -> Result<(), Revoked> {
    for kind in Kind::ALL {
        let mut unknown = None;
        let is_revoked = kind.any(principal, |name| match find(&format!("{}/{name}", kind.as_str())) {
            Ok(found) => found.is_some_and(|value| Entry::read(&value).revokes(kind, principal, now)),
            Err(error) => {
                unknown = Some(error);
                true
            }
        });
        if is_revoked {
            return Err(unknown.unwrap_or_else(|| kind.revoked(principal)));
        }
    }
    Ok(())
}
