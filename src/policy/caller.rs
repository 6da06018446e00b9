//! A verified principal, with what is made of it once instead of on each request.

use std::{cell::Cell, rc::Rc};

use super::Provider;
use crate::{
    confirmation::{BindingError, Confirmation},
    identity::{Party, Principal},
    jwt::{ClaimHeaders, Unsendable, VerifiedToken},
    rate_limit::KnownPlace,
    rbac::{Grants, Vocabulary},
    text::header::{header_text, push_header_text},
    time::Timestamp,
};

/// A verified principal with everything that each of its requests needs, made once.
#[derive(Debug)]
pub(crate) struct Caller {
    /// Who it is.
    pub(crate) principal: Principal,
    /// When its credential has run out, clock skew included; the end of time where nothing says when.
    pub(crate) not_after: Timestamp,
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
    /// The SHA-256 of an API key that is kept in etcd; `None` for any other credential.
    pub(crate) stored_key: Option<Box<[u8; 32]>>,
    /// In which generation of the revocations that are kept in etcd it was none of them last; 0: in none.
    pub(crate) not_revoked_in: Cell<u64>,
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
    /// The principal, and whoever acts for it.
    pub(crate) fn all(&self) -> impl Iterator<Item = (Party, &Caller)> {
        [Party::Principal, Party::Actor].into_iter().filter_map(|party| Some((party, self.of(party)?)))
    }

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
    /// The holder of an API key or a certificate, which has run out at `not_after`; `None`: nobody knows when.
    pub(crate) fn of_key(
        principal: Principal,
        not_after: Option<Timestamp>,
        vocabulary: &Vocabulary,
    ) -> Self {
        let not_after = not_after.unwrap_or(Timestamp::from_nanos(u64::MAX));
        Self::new(principal, not_after, vocabulary, None, ClaimHeaders::default())
    }

    /// The bearer of a token that was verified for `provider`.
    pub(crate) fn of_token(token: VerifiedToken, vocabulary: &Vocabulary, provider: &Rc<Provider>) -> Self {
        let not_after = token.validity().not_after;
        let principal = token.into_principal();
        let claims = provider.jwt.claim_headers(principal.claims.object());
        Self::new(principal, not_after, vocabulary, Some(Rc::clone(provider)), claims)
    }

    fn new(
        principal: Principal,
        not_after: Timestamp,
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
            not_after,
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
            stored_key: None,
            not_revoked_in: Cell::default(),
        }
    }
}
