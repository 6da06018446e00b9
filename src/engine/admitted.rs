//! What a request was found to be before it waited for what is asked of it beside.

use crate::{passkeys::Answer, policy::Callers};

/// A request that its rule lets pass. That is not decided twice, for limits are charged and proofs used up.
#[derive(Debug)]
pub(super) struct Admitted {
    /// Who asks.
    pub(super) callers: Callers,
    /// The place of the rule that let it pass.
    pub(super) rule: usize,
    /// What it is after.
    pub(super) goal: Goal,
    /// What the store of passkeys answered, in the order of the questions.
    pub(super) answers: Vec<Answer>,
    /// Its challenge was noted as used when it was first looked at.
    pub(super) challenge_used: bool,
}

/// What a request is after that was admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Goal {
    /// What its endpoint answers.
    Answer,
    /// To be forwarded, if its user confirms it.
    Confirmation {
        /// The body is to be confirmed, too.
        with_body: bool,
    },
}

impl Admitted {
    pub(super) fn new(callers: Callers, rule: usize, goal: Goal) -> Box<Self> {
        Box::new(Self { callers, rule, goal, answers: Vec::new(), challenge_used: false })
    }
}
