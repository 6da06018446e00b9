//! Answers that are put together once.
//!
//! Whoever tries what passes gets the same few answers again and again. Such an answer holds nothing of a request.

use std::{cell::RefCell, rc::Rc};

use super::{Reason, Reply};

/// Answers that were put together before.
#[derive(Debug, Default)]
pub(crate) struct Ready(RefCell<Vec<(Reason, Rc<Reply>)>>);

impl Ready {
    /// The answer to every refusal for `reason`, as `make` puts it together the first time.
    pub(crate) fn reply(&self, reason: Reason, make: impl FnOnce() -> Reply) -> Rc<Reply> {
        let mut ready = self.0.borrow_mut();
        if let Some((_, reply)) = ready.iter().find(|(own, _)| *own == reason) {
            return Rc::clone(reply);
        }
        let reply = Rc::new(make());
        ready.push((reason, Rc::clone(&reply)));
        reply
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::Challenges;

    #[test]
    fn an_answer_is_put_together_once_for_a_reason() {
        let ready = Ready::default();
        let mut made = Vec::new();
        for reason in [Reason::TokenExpired, Reason::CredentialsMissing, Reason::TokenExpired] {
            let make = || {
                made.push(reason);
                Reply::refusal(reason, Challenges::default())
            };
            assert_eq!(*ready.reply(reason, make), Reply::refusal(reason, Challenges::default()));
        }
        assert_eq!(made, [Reason::TokenExpired, Reason::CredentialsMissing]);
    }
}
