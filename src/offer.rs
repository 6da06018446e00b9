//! What a rule offers to callers without good credentials, with the answers that say so.
//!
//! Whoever tries what passes gets the same few answers again and again: each is put together once and kept. It holds
//! nothing of a request, and there are no more of them than there are offers in a policy and reasons to refuse.

use std::{cell::RefCell, rc::Rc};

use crate::problem::{Reason, Reply};

/// The ways of authenticating that challenges name.
#[derive(Debug, Default)]
pub(crate) struct Offer {
    /// Access tokens as they are.
    pub(crate) bearer: bool,
    /// The algorithms of DPoP proofs that go with tokens, each once; empty: no tokens with proofs.
    pub(crate) dpop_algorithms: Vec<&'static str>,
    /// API keys.
    pub(crate) api_key: bool,
    ready: RefCell<Vec<(Reason, Rc<Reply>)>>,
}

impl Offer {
    /// The answer to every refusal for `reason` under this offer, as `make` puts it together the first time.
    pub(crate) fn reply(&self, reason: Reason, make: impl FnOnce() -> Reply) -> Rc<Reply> {
        let mut ready = self.ready.borrow_mut();
        if let Some((_, reply)) = ready.iter().find(|(own, _)| *own == reason) {
            return Rc::clone(reply);
        }
        let reply = Rc::new(make());
        ready.push((reason, Rc::clone(&reply)));
        reply
    }

    /// The one of `others` that offers the same; `self`, which joins them, where none does.
    pub(crate) fn shared(self, others: &mut Vec<Rc<Self>>) -> Rc<Self> {
        let same = |other: &&Rc<Self>| {
            (other.bearer, &other.dpop_algorithms, other.api_key)
                == (self.bearer, &self.dpop_algorithms, self.api_key)
        };
        if let Some(other) = others.iter().find(same) {
            return Rc::clone(other);
        }
        let new = Rc::new(self);
        others.push(Rc::clone(&new));
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Challenges;

    #[test]
    fn an_answer_is_put_together_once_for_a_reason() {
        let offer = Offer::default();
        let mut made = Vec::new();
        for reason in [Reason::TokenExpired, Reason::CredentialsMissing, Reason::TokenExpired] {
            let make = || {
                made.push(reason);
                Reply::refusal(reason, Challenges::default())
            };
            assert_eq!(*offer.reply(reason, make), Reply::refusal(reason, Challenges::default()));
        }
        assert_eq!(made, [Reason::TokenExpired, Reason::CredentialsMissing]);
    }

    #[test]
    fn equal_offers_are_one() {
        let offer = |bearer, dpop: &[&'static str], api_key| Offer {
            bearer,
            dpop_algorithms: dpop.to_vec(),
            api_key,
            ..Offer::default()
        };
        let mut others = Vec::new();
        let first = offer(true, &["ES256"], false).shared(&mut others);
        for (other, same) in [
            (offer(true, &["ES256"], false), true),
            (offer(false, &["ES256"], false), false),
            (offer(true, &[], false), false),
            (offer(true, &["ES256"], true), false),
        ] {
            assert_eq!(Rc::ptr_eq(&other.shared(&mut others), &first), same);
        }
        assert_eq!(others.len(), 4);
    }
}
