//! Requests of our own to other servers, over Envoy clusters, as values: the core says what to send and takes
//! what came back; only the host sends.

mod backoff;
mod call;
mod outcome;
pub(crate) mod pacing;
mod room;

pub(crate) use self::backoff::{Backoff, FIRST_PAUSE};
pub use self::{
    call::{Call, Unsent},
    outcome::{NoBody, Outcome},
    room::{Client, Room},
};

/// How many undertakings of one kind began and ended, each with all its calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Begun.
    pub started: u32,
    /// What was asked for came, new or the same as before.
    pub succeeded: u32,
    /// It ended otherwise.
    pub failed: u32,
}

impl Counts {
    /// One more has begun.
    pub(crate) fn start(&mut self) {
        self.started = self.started.saturating_add(1);
    }

    /// One has ended.
    pub(crate) fn end(&mut self, well: bool) {
        let count = if well { &mut self.succeeded } else { &mut self.failed };
        *count = count.saturating_add(1);
    }
}
