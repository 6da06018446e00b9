//! What limits say of a request.

use std::time::Duration;

use super::quota::Quota;

/// A limit of one [`Limiter`](super::Limiter); meaningless for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LimitId(usize);

impl LimitId {
    /// The limit at `index`.
    pub(super) const fn new(index: usize) -> Self {
        Self(index)
    }

    /// Where it is in the list of the limiter's limits.
    pub(super) const fn index(self) -> usize {
        self.0
    }
}

/// What became of a request.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// `None`: admitted, and charged to every limit. Otherwise charged to none.
    pub denied: Option<Denial>,
    /// Where the client stands after the decision: one for each window of each limit that applied. Empty for an
    /// admitted request where [`Ledger::tells`](super::Ledger::tells) is false.
    pub statuses: Vec<Status>,
    /// Counters of other clients that had to go; more than a few say that the table is too small for the
    /// number of clients, and that some may be refused early.
    pub evicted: u32,
}

impl Outcome {
    /// Whether every limit admits the request; also true when no limit applies.
    pub const fn admitted(&self) -> bool {
        self.denied.is_none()
    }
}

/// Which limit refused and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The limit with the longest wait; its name is [`Limiter::name`](super::Limiter::name).
    pub limit: LimitId,
    /// When the request would be admitted by every limit that was checked. Never zero.
    pub retry_after: Duration,
}

/// How much of one window is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// The limit; its name is [`Limiter::name`](super::Limiter::name).
    pub limit: LimitId,
    /// What the window promises; depends on the tier.
    pub quota: Quota,
    /// Whether the limit has this window alone.
    pub only_window: bool,
    /// Requests that would be admitted at once.
    pub remaining: u32,
    /// When the whole burst is available again.
    pub reset_after: Duration,
}
