//! Which credentials a rule takes, with the answers that say so to whoever brings none that is good.
//!
//! Rules that take the same share one [`AcceptedCredentials`], for most rules of a policy do: however many of them are in
//! use, the processor's cache then holds it once. Where tokens need scopes, an answer names them too: [`Scoped`].
//!
//! An answer is put together when it is first needed, and kept: one for each [`AcceptedCredentials`] or [`Scoped`] and each
//! reason to refuse. So the policy bounds how many there are, whatever clients do.

use std::rc::Rc;

use super::{ProtectedResource, Provider};
use crate::{
    answer::{Ready, Reason},
    hmac::HmacSourceSpec,
    identity::Party,
    message_signature::SignerSpec,
    request::Location,
};

/// The ways of authenticating that a rule takes, one of which is enough.
#[derive(Debug, Default)]
pub(crate) struct AcceptedCredentials {
    /// Those of whoever acts for the principal, whose credential is needed, too; `None`: nobody else does.
    pub(crate) actor: Option<Rc<AcceptedCredentials>>,
    /// Those whose tokens it takes; may be empty if it takes API keys or certificates.
    pub(crate) providers: Vec<Rc<Provider>>,
    /// Where those tokens may stand, each once.
    pub(crate) token_locations: Vec<Location>,
    /// Client certificates.
    pub(crate) client_certificate: bool,
    /// Those whose webhooks it takes.
    pub(crate) hmac_sources: Vec<Rc<HmacSourceSpec>>,
    /// Where their signatures may stand, each once.
    pub(crate) signature_locations: Vec<Location>,
    /// Those whose signatures it takes.
    pub(crate) signers: Vec<Rc<SignerSpec>>,
    /// Access tokens as they are.
    pub(crate) bearer: bool,
    /// The algorithms of DPoP proofs that go with tokens, each once; empty: no tokens with proofs.
    pub(crate) dpop_algorithms: Vec<&'static str>,
    /// What its tokens must be for; `None`: nothing in particular.
    pub(crate) resource: Option<Rc<ProtectedResource>>,
    /// API keys.
    pub(crate) api_key: bool,
    /// There is a place where both a token and an API key may stand.
    pub(crate) shares_place: bool,
    /// The answers that say so.
    pub(crate) ready: Ready,
}

impl AcceptedCredentials {
    /// Those whose tokens may stand at `location`.
    pub(crate) fn providers_at<'a>(&'a self, location: &Location) -> impl Iterator<Item = &'a Rc<Provider>> {
        self.providers.iter().filter(move |provider| provider.spec().locations.contains(location))
    }

    /// `provider`, where it is one of those whose tokens are taken.
    pub(crate) fn find(&self, provider: &Rc<Provider>) -> Option<&Rc<Provider>> {
        self.providers.iter().find(|own| Rc::ptr_eq(own, provider))
    }

    /// Those by which `party` comes.
    pub(crate) fn of(&self, party: Party) -> &Self {
        match (party, &self.actor) {
            (Party::Actor, Some(actor)) => actor,
            _ => self,
        }
    }

    pub(crate) fn takes_tokens(&self) -> bool {
        !self.providers.is_empty()
    }

    /// Why a request without any credential is refused. What can be asked for by a challenge (RFC 9110 section 11.6.1) goes
    /// first; no scheme asks for a signature, nor for a certificate, which is shown before there is any request.
    pub(crate) fn missing(&self) -> Reason {
        if self.takes_tokens() || self.api_key {
            return Reason::CredentialsMissing;
        }
        if self.client_certificate { Reason::CertificateMissing } else { Reason::SignatureMissing }
    }
}

/// The scopes that a token must have that is to pass, beside the credentials that are accepted.
#[derive(Debug)]
pub(crate) struct Scoped {
    accepted: Rc<AcceptedCredentials>,
    /// Never empty.
    pub(crate) scopes: Vec<String>,
    /// The answers that name them.
    pub(crate) ready: Ready,
}

impl Scoped {
    pub(crate) fn new(accepted: &Rc<AcceptedCredentials>, scopes: &[String]) -> Self {
        Self { accepted: Rc::clone(accepted), scopes: scopes.to_vec(), ready: Ready::default() }
    }
}

/// Equal is what says the same, whatever answers are ready.
impl PartialEq for Scoped {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.accepted, &other.accepted) && self.scopes == other.scopes
    }
}

/// Equal is what accepts the same, whatever answers are ready.
impl PartialEq for AcceptedCredentials {
    fn eq(&self, other: &Self) -> bool {
        fn taken(
            AcceptedCredentials {
                actor,
                providers,
                token_locations,
                client_certificate,
                hmac_sources,
                signers,
                bearer,
                dpop_algorithms,
                resource,
                api_key,
                // These follow from the others.
                signature_locations: _,
                shares_place: _,
                ready: _,
            }: &AcceptedCredentials,
        ) -> impl PartialEq + use<'_> {
            let providers: Vec<_> = providers.iter().map(Rc::as_ptr).collect();
            let resource = resource.as_ref().map(Rc::as_ptr);
            let actor = actor.as_ref().map(Rc::as_ptr);
            let hmac_sources: Vec<_> = hmac_sources.iter().map(Rc::as_ptr).collect();
            let signers: Vec<_> = signers.iter().map(Rc::as_ptr).collect();
            (
                actor,
                providers,
                token_locations,
                client_certificate,
                hmac_sources,
                signers,
                bearer,
                dpop_algorithms,
                resource,
                api_key,
            )
        }
        taken(self) == taken(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        answer::{Challenges, Reply},
        config::ProviderSpec,
        jwt::{KeySource, tests::tokens},
        policy::resource,
    };

    fn signed() -> (Rc<HmacSourceSpec>, Rc<SignerSpec>) {
        let document =
            br#"{"hmac": {"sources": [{"name": "hub", "preset": "GitHub", "secrets": ["0123456789abcdef"]}]},
            "messageSignatures": {"signers": [{"name": "bank", "keys": [{"keyId": "1", "algorithm": "hmac-sha256",
                "secret": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}]}]},
            "rules": [{"name": "hub", "authenticate": {"anyOf": [{"hmac": "hub"}, {"messageSignature": "bank"}]}}]}"#;
        let policy = crate::policy::Policy::compile(document, "test").unwrap();
        (Rc::clone(&policy.hmac_sources[0]), Rc::clone(&policy.signers[0]))
    }

    #[test]
    fn equal_is_what_accepts_the_same() {
        let mut jwt = tokens::provider();
        jwt.keys = KeySource::Inline(tokens::keys().jwks.clone());
        let spec = ProviderSpec { path: String::new(), jwt, introspection: None, dpop: None, mtls: None };
        let [provider, another] = [(); 2].map(|()| Rc::new(Provider::compile(&spec).unwrap()));
        let changes: &[&dyn Fn(&mut AcceptedCredentials)] = &[
            &|accepted| accepted.providers = vec![Rc::clone(&another)],
            &|accepted| accepted.token_locations = vec![Location::Cookie("t".into())],
            &|accepted| accepted.client_certificate = true,
            &|accepted| accepted.hmac_sources = vec![signed().0],
            &|accepted| accepted.signers = vec![signed().1],
            &|accepted| accepted.bearer = false,
            &|accepted| accepted.dpop_algorithms = vec![],
            &|accepted| accepted.api_key = true,
            &|accepted| accepted.resource = Some(resource::tests::one()),
            &|accepted| accepted.actor = Some(Rc::default()),
        ];
        let accepted = || AcceptedCredentials {
            providers: vec![Rc::clone(&provider)],
            bearer: true,
            dpop_algorithms: vec!["ES256"],
            ..AcceptedCredentials::default()
        };
        let first = accepted();
        first
            .ready
            .reply(Reason::TokenExpired, || Reply::refusal(Reason::TokenExpired, Challenges::default()));
        assert!(first == accepted());
        for change in changes {
            let mut other = accepted();
            change(&mut other);
            assert!(first != other);
        }
        let (first, other) = (Rc::new(first), Rc::new(accepted()));
        let scopes = |scopes: &[&str]| scopes.iter().map(|scope| (*scope).to_owned()).collect::<Vec<_>>();
        let scoped = Scoped::new(&first, &scopes(&["a", "b"]));
        assert!(scoped == Scoped::new(&first, &scopes(&["a", "b"])));
        assert!(scoped != Scoped::new(&first, &scopes(&["b", "a"])));
        assert!(scoped != Scoped::new(&other, &scopes(&["a", "b"])));
    }
}
