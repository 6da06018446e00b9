//! Who is calling: finds the one credential of a request and has it verified.

use std::rc::Rc;

use super::{Attempt, RequestLine, bearer, binding, refusal::Stop};
use crate::{
    answer::Reason,
    api_key::ApiKeys,
    jose,
    policy::{Access, Caller},
    request::{
        Lookup,
        credential::{Credential, Found, Places, Unreadable},
    },
};

impl Unreadable {
    /// `not_text` is the reason where it is no text.
    pub(super) fn reason(self, not_text: Reason) -> Reason {
        match self {
            Self::Several => Reason::CredentialsAmbiguous,
            Self::NotText => not_text,
        }
    }
}

/// Verifies the one credential that the rule's `access` takes.
///
/// Credentials of a kind that the rule does not take are not looked at: they prove nothing here. Two that it
/// takes are refused, whatever they are worth, because the client and we could mean different ones. A certificate
/// belongs to the connection, not to the request: it counts where the request itself says nothing.
pub(super) fn authenticate(
    attempt: &mut Attempt<'_, '_>,
    access: &Access,
    line: &RequestLine<'_>,
) -> Result<Rc<Caller>, Stop> {
    let policy = attempt.policy();
    let query = line.path.query();
    let keys = policy.api_keys.as_ref().filter(|_| access.accepted.api_key);
    let places = Places {
        names: &policy.credential_names,
        tokens: &access.accepted.token_locations,
        keys: keys.map(ApiKeys::locations).unwrap_or_default(),
    };
    let found = places.find(attempt.head, query);
    let Found { token, key } = match keys {
        Some(keys) if access.accepted.shares_place => told_apart(found, keys),
        _ => found,
    };
    match (&token, &key) {
        (Lookup::Absent, Lookup::Absent) if access.accepted.client_certificate => {
            verify_certificate(attempt, access)
        }
        (Lookup::Absent, Lookup::Absent) => Err(Reason::CredentialsMissing.into()),
        (Lookup::One(token), Lookup::Absent) => {
            let caller = bearer::verify(attempt, access, token)?;
            // RFC 9068 section 4: it may be good, and for another of the APIs.
            if let Some(resource) = &access.accepted.resource
                && !resource.is_meant(&caller.grants)
            {
                attempt.trace.principal = Some(caller);
                let detail = format_args!("not meant for the protected resource {:?}", resource.name);
                return Err(attempt.refused(&detail, Reason::TokenAudience));
            }
            // A good token may still be sent by somebody whom it was not issued to.
            if let Err(reason) = binding::check(attempt, &caller, token, line) {
                attempt.trace.principal = Some(caller);
                return Err(reason.into());
            }
            Ok(caller)
        }
        (Lookup::Malformed, Lookup::Absent) => Err(Reason::TokenMalformed.into()),
        (Lookup::Absent, Lookup::One(key)) => verify_key(attempt, key).map_err(Stop::Refuse),
        (Lookup::Absent, Lookup::Malformed) => Err(Reason::ApiKeyUnknown.into()),
        _ => Err(Reason::CredentialsAmbiguous.into()),
    }
}

/// Where a token and an API key may stand in the same place, the same text is found as both. Its form tells which of
/// them it is.
#[inline(never)]
fn told_apart<'a, 'l>(found: Found<'a, 'l>, keys: &ApiKeys<Caller>) -> Found<'a, 'l> {
    let is_token = match (&found.token, &found.key) {
        (Lookup::One(token), Lookup::One(key)) if token.bytes() == key.bytes() => match keys.prefix() {
            Some(prefix) => !key.bytes().starts_with(prefix.as_bytes()),
            None => jose::is_compact_jws(key.bytes()),
        },
        // What is neither of them is refused as a malformed token.
        (Lookup::Malformed, Lookup::Malformed) => true,
        _ => return found,
    };
    match is_token {
        true => Found { key: Lookup::Absent, ..found },
        false => Found { token: Lookup::Absent, ..found },
    }
}

fn verify_key(attempt: &mut Attempt<'_, '_>, key: &Credential<'_, '_>) -> Result<Rc<Caller>, Reason> {
    let keys = attempt.policy().api_keys.as_ref().ok_or(Reason::ApiKeyUnknown)?;
    let key = key.text().map_err(|unreadable| unreadable.reason(Reason::ApiKeyUnknown))?;
    let verified = keys.authenticate(key.as_bytes(), &attempt.services.clock, attempt.services.random);
    verified.cloned().map_err(|refused| {
        attempt.trace.principal = refused.caller.cloned();
        refused.reason
    })
}

#[inline(never)]
fn verify_certificate(attempt: &mut Attempt<'_, '_>, access: &Access) -> Result<Rc<Caller>, Stop> {
    let missing = match access.accepted.has_challenge() {
        true => Reason::CredentialsMissing,
        false => Reason::CertificateMissing,
    };
    let policy = attempt.policy();
    let certificates = policy.client_certificates.as_ref().ok_or(missing)?;
    let certificate = certificates
        .find(attempt.head)
        .map_err(|error| attempt.refused(&error, Reason::CertificateUnknown))?
        .ok_or(missing)?;
    let Some(principal) = certificates.principal(&certificate) else {
        if certificate.shown_name().is_none() {
            attempt.note(&"the certificate has no name that is used", Reason::CertificateUnknown);
        }
        return Err(Reason::CertificateUnknown.into());
    };
    Ok(Rc::new(Caller::of_key(principal, &policy.vocabulary)))
}
