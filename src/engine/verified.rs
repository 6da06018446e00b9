//! A token that was verified, as it is kept.

use std::rc::Rc;

use crate::{
    jwt::{JwtError, Validity, VerifiedToken},
    policy::{Caller, Provider},
    rbac::Vocabulary,
    time::Timestamp,
};

/// A token that was verified. Only what does not change is kept.
#[derive(Clone, Debug)]
pub(super) struct Verified {
    caller: Rc<Caller>,
    validity: Validity,
}

impl Verified {
    /// Makes of a token of `provider` what each of its requests needs.
    pub(super) fn new(token: VerifiedToken, vocabulary: &Vocabulary, provider: &Rc<Provider>) -> Self {
        let validity = token.validity();
        Self { caller: Rc::new(Caller::of_token(token, vocabulary, provider)), validity }
    }

    pub(super) fn into_caller(self) -> Rc<Caller> {
        self.caller
    }

    pub(super) fn caller(&self) -> Rc<Caller> {
        Rc::clone(&self.caller)
    }

    /// Whether it is valid at `now`; nothing else of it changes with time.
    pub(super) fn check_times(&self, now: Timestamp) -> Result<(), JwtError> {
        self.validity.check(now)
    }
}
