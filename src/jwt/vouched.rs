//! What an issuer says of a token of its own (RFC 7662 section 2.2), judged as the claims of a JWT are.

use super::{
    Issuer, Provider, ProviderSpec,
    claims::{Validity, check_audience, date},
    error::JwtError,
    token::VerifiedToken,
};
use crate::{
    identity::ClaimPath,
    json::{Json, Members, Object},
    time::Timestamp,
};

/// A token that its issuer vouches for.
pub(crate) struct VouchedToken {
    pub(crate) token: VerifiedToken,
    /// `exp` itself; `None`: the issuer does not say.
    pub(crate) expires: Option<Timestamp>,
}

/// Why there is no token of which the issuer says that it is good.
pub(crate) enum NotVouched {
    /// It is active, but not for us or not for now.
    Claims(JwtError),
    /// The issuer says that it is not active.
    Inactive,
    /// The issuer does not say whether it is active.
    Unsaid,
}

impl Provider {
    /// The token of which the issuer says by `answer`, at `now`, that it is active. Never what a token says of itself:
    /// without `active`, which only issuers have a use for, that is refused too.
    pub(crate) fn accept_vouched(&self, answer: Members, now: Timestamp) -> Result<VouchedToken, NotVouched> {
        match answer.get("active") {
            Some(Json::Bool(true)) => {}
            Some(Json::Bool(false)) => return Err(NotVouched::Inactive),
            _ => return Err(NotVouched::Unsaid),
        }
        // Some servers write null for what a token has none of: the same as absent.
        self.active(answer.without_nulls(), now).map_err(NotVouched::Claims)
    }

    /// RFC 7662 section 2.2 makes `sub` optional: where the policy names no other claim and `sub` is missing, the
    /// principal is named by `username`, and else by `client_id`.
    fn active(&self, members: Members, now: Timestamp) -> Result<VouchedToken, JwtError> {
        let claims = members.object();
        let (validity, expires) = validate(claims, self.spec(), now)?;
        let configured = self.spec().subject_claims.as_slice();
        let by_default = ["sub", "username", "client_id"].map(ClaimPath::dotted);
        let is_default = configured == by_default.get(..1).unwrap_or_default();
        let principal = self.principal_named_by(if is_default { &by_default } else { configured }, claims)?;
        Ok(VouchedToken { token: VerifiedToken::new(principal, members, validity), expires })
    }
}

/// As for the claims of a JWT, except that the issuer may leave out what it checked itself: `iss` and `exp`.
fn validate(
    claims: Object<'_>,
    provider: &ProviderSpec,
    now: Timestamp,
) -> Result<(Validity, Option<Timestamp>), JwtError> {
    let text = |name: &str| match claims.get(name) {
        None => Ok(None),
        Some(value) => value.as_str().map(Some).ok_or_else(|| JwtError::malformed(name)),
    };
    match (text("iss")?, &provider.issuer) {
        (Some(issuer), own) => own.check(issuer, claims)?,
        (None, Issuer::One(_)) => {}
        // Of many, nobody else says which.
        (None, Issuer::Tenants(_)) => return Err(JwtError::missing("iss")),
    }
    // A refresh token, say, is no access token.
    let is_access_token =
        |kind: &str| ["bearer", "dpop"].iter().any(|known| kind.eq_ignore_ascii_case(known));
    if text("token_type")?.is_some_and(|kind| !is_access_token(kind)) {
        return Err(JwtError::malformed("token_type"));
    }
    if let Some(audiences) = &provider.audiences {
        check_audience(claims.get("aud"), audiences)?;
    }
    let expires = date(claims, "exp")?;
    let (not_before, issued) = (date(claims, "nbf")?, date(claims, "iat")?);
    if let Some(longest) = provider.max_lifetime {
        let issued = issued.ok_or_else(|| JwtError::missing("iat"))?;
        let expires = expires.ok_or_else(|| JwtError::missing("exp"))?;
        if expires.since(issued) > longest {
            return Err(JwtError::Lifetime);
        }
    }
    let skew = provider.clock_skew;
    let forever = Timestamp::from_nanos(u64::MAX);
    let validity = Validity {
        not_before: not_before.max(issued).map_or(Timestamp::default(), |start| start.saturating_sub(skew)),
        not_after: expires.map_or(forever, |end| end.saturating_add(skew)),
    };
    validity.check(now)?;
    Ok((validity, expires))
}
