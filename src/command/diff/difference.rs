//! What two policies decide otherwise, as it is found.

use serde_json::{Map, Value};

use super::witness::Witness;

/// What a difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Refused by the old policy, allowed by the new one.
    Opened,
    /// Allowed by the old policy, refused by the new one.
    Closed,
    /// Allowed by both, and treated otherwise.
    Changed,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Opened, Self::Closed, Self::Changed];

    /// Whether the old policy allows, and the new one.
    pub(super) const fn wanted(self) -> (bool, bool) {
        match self {
            Self::Opened => (false, true),
            Self::Closed => (true, false),
            Self::Changed => (true, true),
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Closed => "closed",
            Self::Changed => "changed",
        }
    }
}

/// Requests that are decided otherwise.
#[derive(Clone, Debug)]
pub(super) struct Difference {
    pub(super) kind: Kind,
    /// The names of the rules; `None`: none matches.
    pub(super) old_rule: Option<String>,
    pub(super) new_rule: Option<String>,
    pub(super) old_verdict: &'static str,
    pub(super) new_verdict: &'static str,
    /// What is otherwise, where both allow it.
    pub(super) changes: Vec<String>,
    /// A request that shows it.
    pub(super) witness: Witness,
}

/// Requests of which it was not found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Undecided {
    pub(super) old_rule: Option<String>,
    pub(super) new_rule: Option<String>,
    pub(super) why: String,
}

/// All that was found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) differences: Vec<Difference>,
    pub(super) undecided: Vec<Undecided>,
}

/// The names of members that are not the same.
pub(super) fn changed(old: &Map<String, Value>, new: &Map<String, Value>) -> Vec<String> {
    let mut names: Vec<String> =
        old.keys().chain(new.keys()).filter(|name| old.get(*name) != new.get(*name)).cloned().collect();
    names.sort();
    names.dedup();
    names
}
