//! Which credentials a rule takes, with the answers that say so to whoever brings none that is good.
//!
//! Most rules of a policy take the same, so they share one [`Offer`]: of many rules in use it is then read from a
//! cache. Where tokens need scopes, an answer names them too: [`Scoped`].
//!
//! Their answers are kept with them. There are no more of these than there are offers in a policy, with the scopes that
//! go with each, and reasons to refuse.

use std::rc::Rc;

use crate::{answer::Ready, request::Location};

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
    /// The answers that say so.
    pub(crate) ready: Ready,
}

impl Offer {
    pub(crate) fn takes_tokens(&self) -> bool {
        !self.providers.is_empty()
    }

    /// Whether it takes what can be asked for by a challenge (RFC 9110 section 11.6.1): a certificate is shown before
    /// there is any request, and no scheme asks for it.
    pub(crate) fn has_challenge(&self) -> bool {
        self.takes_tokens() || self.api_key
    }
}

/// The scopes that go with an offer: what a token must have that is to pass.
#[derive(Debug)]
pub(crate) struct Scoped {
    offer: Rc<Offer>,
    /// Never empty.
    pub(crate) scopes: Vec<String>,
    /// The answers that name them.
    pub(crate) ready: Ready,
}

impl Scoped {
    pub(crate) fn new(offer: &Rc<Offer>, scopes: &[String]) -> Self {
        Self { offer: Rc::clone(offer), scopes: scopes.to_vec(), ready: Ready::default() }
    }
}

/// Equal is what says the same, whatever answers are ready.
impl PartialEq for Scoped {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.offer, &other.offer) && self.scopes == other.scopes
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
    use crate::answer::{Challenges, Reason, Reply};

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
        first
            .ready
            .reply(Reason::TokenExpired, || Reply::refusal(Reason::TokenExpired, Challenges::default()));
        assert!(first == offer());
        for change in changes {
            let mut other = offer();
            change(&mut other);
            assert!(first != other);
        }
        let (first, other) = (Rc::new(first), Rc::new(offer()));
        let scopes = |scopes: &[&str]| scopes.iter().map(|scope| (*scope).to_owned()).collect::<Vec<_>>();
        let scoped = Scoped::new(&first, &scopes(&["a", "b"]));
        assert!(scoped == Scoped::new(&first, &scopes(&["a", "b"])));
        assert!(scoped != Scoped::new(&first, &scopes(&["b", "a"])));
        assert!(scoped != Scoped::new(&other, &scopes(&["a", "b"])));
    }
}
