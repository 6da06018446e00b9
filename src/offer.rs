//! Which credentials a rule takes, with the answers that say so to whoever brings none that is good.
//!
//! Most rules of a policy take the same, so they share one [`Offer`]: of many rules in use it is then read from a
//! cache.
//!
//! Whoever tries what passes gets the same few answers again and again: each is put together once and kept. It holds
//! nothing of a request, and there are no more of them than there are offers in a policy and reasons to refuse.

use std::{cell::RefCell, rc::Rc};

use crate::{
    problem::{Reason, Reply},
    request::Location,
};

/// The ways of authenticating that a rule takes.
#[derive(Debug, Default)]
pub(crate) struct Offer {
    /// Indexes of the providers whose tokens it takes; may be empty if it takes API keys.
    pub(crate) providers: Vec<usize>,
    /// Where those tokens may stand, each once.
    pub(crate) token_locations: Vec<Location>,
    /// Client certificates.
    pub(crate) client_certificate: bool,
    /// Access tokens as they are.
    pub(crate) bearer: bool,
    /// The algorithms of DPoP proofs that go with tokens, each once; empty: no tokens with proofs.
    pub(crate) dpop_algorithms: Vec<&'static str>,
    /// API keys.
    pub(crate) api_key: bool,
    /// There is a place where both a token and an API key may stand.
    pub(crate) shares_place: bool,
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
}

/// Equal is what offers the same, whatever answers are ready.
impl PartialEq for Offer {
    fn eq(&self, other: &Self) -> bool {
        fn taken(
            Offer {
                providers,
                token_locations,
                client_certificate,
                bearer,
                dpop_algorithms,
                api_key,
                // Follows from the others.
                shares_place: _,
                ready: _,
            }: &Offer,
        ) -> impl PartialEq + use<'_> {
            (providers, token_locations, client_certificate, bearer, dpop_algorithms, api_key)
        }
        taken(self) == taken(other)
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
    fn equal_is_what_offers_the_same() {
        let changes: &[fn(&mut Offer)] = &[
            |offer| offer.providers = vec![1],
            |offer| offer.token_locations = vec![Location::Cookie("t".into())],
            |offer| offer.client_certificate = true,
            |offer| offer.bearer = false,
            |offer| offer.dpop_algorithms = vec![],
            |offer| offer.api_key = true,
        ];
        let offer =
            || Offer { providers: vec![0], bearer: true, dpop_algorithms: vec!["ES256"], ..Offer::default() };
        let first = offer();
        first.reply(Reason::TokenExpired, || Reply::refusal(Reason::TokenExpired, Challenges::default()));
        assert!(first == offer());
        for change in changes {
            let mut other = offer();
            change(&mut other);
            assert!(first != other);
        }
    }
}
