//! What a shadow would have decided otherwise, as it is told.

use crate::{answer::Reason, rate_limit::LimitId};

/// What a shadow would have decided otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ShadowOutcome {
    /// It would refuse what is allowed.
    WouldDeny,
    /// It would allow what is refused.
    WouldAllow,
    /// It would have to wait or to use something up to decide, or something was not to be had.
    Unknown,
}

impl ShadowOutcome {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::WouldDeny, Self::WouldAllow, Self::Unknown];

    /// What records and counters call it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WouldDeny => "would_deny",
            Self::WouldAllow => "would_allow",
            Self::Unknown => "unknown",
        }
    }
}

/// What a shadow would have decided otherwise, and by what.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Shadowed {
    pub(super) outcome: ShadowOutcome,
    /// As in [`Decision::shadow`](super::Decision::shadow).
    pub(super) reason: Reason,
    /// The rule of the next list; `None`: none of them decided, or there is no such list.
    pub(super) rule: Option<Box<str>>,
    /// The limit that would have refused.
    pub(super) limit: Option<Box<str>>,
}

impl Shadowed {
    /// The reason, where it is not that of the refusal.
    pub(super) fn why(&self) -> Option<Reason> {
        Some(self.reason).filter(|_| self.outcome != ShadowOutcome::WouldAllow)
    }
}

/// What became of a request at limits that refuse nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ShadowLimit {
    Exceeded(LimitId),
    /// It could not be counted.
    Unavailable,
}

/// How far the rules in force let a request come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reached {
    #[default]
    Nothing,
    /// It is known which of them decides.
    Rule,
    /// It is known who asks.
    Callers,
    /// Its limits admit it.
    Limits,
}
