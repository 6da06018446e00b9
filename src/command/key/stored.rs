//! A key as a store has it, and why it may not be written.

use super::{Refusal, record::Record};

/// A key as it was read.
#[derive(Clone, Debug)]
pub(super) struct Stored {
    pub(super) record: Record,
    /// When it was changed last; 0: it is not there, or nobody else can change it meanwhile.
    pub(super) revision: u64,
}

/// Why nothing was written.
pub(super) enum NotWritten {
    /// Somebody else wrote first.
    Conflict,
    Refused(Refusal),
}

impl From<Refusal> for NotWritten {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}
