//! A verified principal, with what is made of it once instead of on each request.

use std::rc::Rc;

use super::Provider;
use crate::{
    confirmation::{BindingError, Confirmation},
    identity::{Party, Principal},
    jwt::{ClaimHeaders, Unsendable, VerifiedToken},
    rate_limit::KnownPlace,
    rbac::{Grants, Vocabulary},
    text::header::{header_text, push_header_text},
};

/// A verified principal with everything that each of its requests needs, made once.
#[derive(Debug)]
pub(crate) struct Caller {
    /// Who it is.
    pub(crate) principal: Principal,
    /// What it holds of what rules ask for.
    pub(crate) grants: Grants,
    /// To whom its token is bound.
    pub(crate) confirmation: Result<Confirmation, BindingError>,
    /// The provider of its token; `None` for an API key or a certificate.
    pub(crate) provider: Option<Rc<Provider>>,
    /// Ready to send.
    pub(crate) headers: HeaderTexts,
    /// Where the worker's limiter counts it.
    pub(crate) place: KnownPlace,
}

/// Who is calling, as far as it is known.
#[derive(Clone, Debug, Default)]
pub(crate) struct Callers {
    /// Whose request it is.
    pub(crate) principal: Option<Rc<Caller>>,
    /// Who acts for the principal, on rules that take two credentials.
    pub(crate) actor: Option<Rc<Caller>>,
}

impl Callers {
    pub(crate) fn of(&self, party: Party) -> Option<&Caller> {
        match party {
            Party::Principal => self.principal.as_deref(),
            Party::Actor => self.actor.as_deref(),
        }
    }
}

/// Identity as header values.
#[derive(Debug)]
pub(crate) struct HeaderTexts {
    pub(crate) subject: Rc<str>,
    pub(crate) scopes: Rc<str>,
    pub(crate) roles: Rc<str>,
    /// The place of an entry in the provider's `claimToHeaders`, and the claim's value.
    pub(crate) claims: Vec<(usize, Rc<str>)>,
    /// Claims of `claimToHeaders` that cannot be sent, and why.
    pub(crate) unsent: Vec<(usize, Unsendable)>,
}

impl Caller {
    /// The holder of an API key.
    pub(crate) fn of_key(principal: Principal, vocabulary: &Vocabulary) -> Self {
        Self::new(principal, vocabulary, None, ClaimHeaders::default())
    }

    /// The bearer of a token that was verified for `provider`.
    pub(crate) fn of_token(token: VerifiedToken, vocabulary: &Vocabulary, provider: &Rc<Provider>) -> Self {
        let principal = token.into_principal();
        let claims = provider.jwt.claim_headers(principal.claims.object());
        Self::new(principal, vocabulary, Some(Rc::clone(provider)), claims)
    }

    fn new(
        principal: Principal,
        vocabulary: &Vocabulary,
        provider: Option<Rc<Provider>>,
        claims: ClaimHeaders,
    ) -> Self {
        let join = |names: &[Box<str>], separator: &str, also: &[u8]| {
            let mut text = String::new();
            for (place, name) in names.iter().enumerate() {
                text.push_str(if place == 0 { "" } else { separator });
                push_header_text(&mut text, name, also);
            }
            Rc::from(text)
        };
        Self {
            grants: vocabulary.grants(&principal),
            confirmation: Confirmation::of(principal.claims.object()),
            provider,
            headers: HeaderTexts {
                subject: header_text(&principal.subject, b"").into(),
                scopes: join(&principal.scopes, " ", b" "),
                roles: join(&principal.roles, ",", b","),
                claims: claims.sent.into_iter().map(|(place, value)| (place, value.into())).collect(),
                unsent: claims.unsent,
            },
            principal,
            place: KnownPlace::default(),
        }
    }
}
