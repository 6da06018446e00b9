//! Why nothing was done.

use super::{FAULTY, GOOD, UNUSABLE, complain};

/// Why nothing was done, and what the command ends with.
#[derive(Debug)]
pub(super) struct Refusal {
    code: u8,
    pub(super) message: String,
}

impl Refusal {
    /// What was asked for must not be, or is not there.
    pub(super) fn refused(message: String) -> Self {
        Self { code: FAULTY, message }
    }

    /// The command was called wrongly.
    pub(super) fn usage(message: String) -> Self {
        Self { code: UNUSABLE, message }
    }

    /// What was to be read or written cannot be.
    pub(super) fn unusable(message: String) -> Self {
        Self { code: UNUSABLE, message }
    }

    /// The same, with where it was met.
    pub(super) fn at(self, place: &str) -> Self {
        Self { message: format!("{place}: {}", self.message), ..self }
    }

    /// Tells it, if there is one; what the command ends with.
    pub(super) fn told(done: Result<(), Self>) -> u8 {
        match done {
            Ok(()) => GOOD,
            Err(refusal) => {
                complain(&format!("error: {}\n", refusal.message));
                refusal.code
            }
        }
    }
}
