//! The one road from a token to its principal: header and claims are checked, then the signature is verified.

use super::{Provider, claims::Validity, claims::validate, error::JwtError};
use crate::{
    crypto::HostCrypto,
    identity::Principal,
    jose::{CompactToken, KeySet, Malformed, TokenError, without_media_type_prefix},
    json::{Json, Members},
    time::Timestamp,
};

/// A token whose header and claims its provider accepts, and of which nobody knows yet who made it. Only
/// [`Provider::check`] makes one.
///
/// What was checked until here was unverified, so it can only refuse: a token that could not pass anyway costs no
/// signature and asks for no key.
#[derive(Debug)]
pub struct CheckedToken<'a, 't> {
    provider: &'a Provider,
    token: &'a mut CompactToken<'t>,
    validity: Validity,
}

/// A token that may be believed: a key of its provider made its signature, or its issuer vouches for it. Only
/// [`CheckedToken::verify`] and [`Provider::accept_vouched`] make one.
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    principal: Principal,
    validity: Validity,
}

impl Provider {
    /// Whether `token` is short enough, of an accepted `typ` (RFC 8725 section 3.11) and of an allowed algorithm, and
    /// whether issuer, audience and times hold at `now`.
    pub fn check<'a, 't>(
        &'a self,
        token: &'a mut CompactToken<'t>,
        now: Timestamp,
    ) -> Result<CheckedToken<'a, 't>, JwtError> {
        self.check_header(token)?;
        let validity = validate(token.claims().object(), self.spec(), now)?;
        Ok(CheckedToken { provider: self, token, validity })
    }

    fn check_header(&self, token: &CompactToken<'_>) -> Result<(), JwtError> {
        let max = self.spec().max_token_size;
        if token.text().len() > max {
            return Err(TokenError::TooLong { max }.into());
        }
        let load_balancers = &self.spec().load_balancers;
        if token.is_padded() && load_balancers.is_empty() {
            return Err(TokenError::Malformed(Malformed::Base64).into());
        }
        if !load_balancers.is_empty() {
            let signer = token.parameter("signer").and_then(Json::as_str);
            if !signer.is_some_and(|signer| load_balancers.iter().any(|own| own == signer)) {
                return Err(JwtError::Signer);
            }
        }
        if !self.accepts_type(token.typ()) {
            return Err(JwtError::Type);
        }
        let algorithm = token.algorithm();
        if !self.spec().algorithms.contains(&algorithm) {
            return Err(JwtError::AlgorithmNotAllowed { algorithm });
        }
        Ok(())
    }

    fn accepts_type(&self, typ: Option<&str>) -> bool {
        let is = |typ: &str, accepted: &str| without_media_type_prefix(typ).eq_ignore_ascii_case(accepted);
        match (typ, self.spec().types.as_slice()) {
            // RFC 9068 section 4 for `at+jwt`; most providers still say `JWT`, or nothing.
            (None, types) => types.is_empty(),
            (Some(typ), []) => is(typ, "jwt") || is(typ, "at+jwt"),
            (Some(typ), types) => types.iter().any(|accepted| is(typ, accepted)),
        }
    }
}

impl CheckedToken<'_, '_> {
    /// What it says of its key's name.
    pub fn kid(&self) -> Option<&str> {
        self.token.kid()
    }

    /// Whether a key of `keys` made its signature; to be asked again for other keys where none of these did. The claims
    /// go to the token that comes of it, and stay with this one where none does.
    pub fn verify(&mut self, keys: &KeySet, host: &dyn HostCrypto) -> Result<VerifiedToken, JwtError> {
        keys.verify(self.token, host)?;
        let subject_claims = &self.provider.spec().subject_claims;
        let principal = self.provider.principal_named_by(subject_claims, self.token.claims().object())?;
        let claims = self.token.take_claims();
        Ok(VerifiedToken::new(principal, claims, self.validity))
    }

    /// Why [`CheckedToken::verify`] refuses it, of which it is known that it does with these very keys.
    pub fn refusal(&self, keys: &KeySet) -> JwtError {
        keys.refusal(self.token).into()
    }
}

impl VerifiedToken {
    /// `claims` are what `principal` was made of.
    pub(super) fn new(principal: Principal, claims: Members, validity: Validity) -> Self {
        Self { principal: Principal { claims, ..principal }, validity }
    }

    /// Whom it speaks of.
    pub fn principal(&self) -> &Principal {
        &self.principal
    }

    /// Whom it speaks of.
    pub fn into_principal(self) -> Principal {
        self.principal
    }

    /// When it is valid; nothing else of it changes with time.
    pub fn validity(&self) -> Validity {
        self.validity
    }
}
