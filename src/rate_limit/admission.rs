//! Whether the limits of a request admit it, and where its client stands.

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
    pub const fn index(self) -> usize {
        self.0
    }
}

/// Whether a request is admitted, and what there is to tell of it.
#[derive(Clone, Debug, Default)]
pub struct Admission {
    /// `None`: admitted, and charged to every limit. Otherwise charged to none.
    pub exceeded: Option<Exceeded>,
    /// Where the client stands after the decision: one for each window of each limit that applied. Empty for an
    /// admitted request where [`Ledger::tells`](super::Ledger::tells) is false.
    pub standings: Vec<Standing>,
    /// Counters of other clients that had to go; more than a few say that the table is too small for the
    /// number of clients, and that some may be refused early.
    pub evicted: u32,
}

impl Admission {
    /// Whether every limit admits the request; also true when no limit applies.
    pub const fn admitted(&self) -> bool {
        self.exceeded.is_none()
    }
}

/// Which limit is exceeded, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// The limit with the longest wait; its name is [`Limiter::name`](super::Limiter::name).
    pub limit: LimitId,
    /// When the request would be admitted by every limit that was checked. Never zero.
    pub retry_after: Duration,
}

/// How much of one window is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
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
