//! Who is calling: finds the one credential of a request and has it verified, or both where a rule takes two.

use std::{cell::RefCell, rc::Rc};

use super::{
    Attempt, RequestLine, bearer, binding, hmac, message_signature, once::Once, refusal::Stop,
    stored_keys::StoredKeys,
};
use crate::{
    answer::Reason,
    api_key::{ApiKeySpec, ApiKeys, Presented},
    cross_site::Addressee,
    identity::Party,
    jose,
    message_signature::Sent,
    policy::{AcceptedCredentials, Caller},
    request::{
        Location, Lookup,
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

/// Verifies the one credential that is `accepted`, and that it came from whom it was issued to.
pub(super) fn authenticate<'a>(
    attempt: &mut Attempt<'a, '_>,
    accepted: &AcceptedCredentials,
    line: &RequestLine<'a>,
) -> Result<Rc<Caller>, Stop> {
    let shown = verify(attempt, accepted, line)?;
    check_sender(attempt, shown, line)
}

/// The principal, where `actor` must have shown a credential, too.
///
/// Both are verified before it is asked who sent them: a proof is good once, and a request that waits is decided again.
#[inline(never)]
pub(super) fn authenticate_both<'a>(
    attempt: &mut Attempt<'a, '_>,
    principal: &AcceptedCredentials,
    actor: &AcceptedCredentials,
    line: &RequestLine<'a>,
) -> Result<Rc<Caller>, Stop> {
    attempt.trace.party = Party::Actor;
    let acting = verify(attempt, actor, line)?;
    attempt.trace.known(Rc::clone(&acting.caller));
    // What else is known so far is of the actor's credential.
    attempt.trace.provider = None;
    attempt.trace.party = Party::Principal;
    let shown = verify(attempt, principal, line)?;
    attempt.trace.known(Rc::clone(&shown.caller));
    attempt.trace.party = Party::Actor;
    let acting = check_sender(attempt, acting, line)?;
    attempt.not_revoked(acting)?;
    attempt.trace.party = Party::Principal;
    check_sender(attempt, shown, line)
}

/// Whose credential it is; the token where it is one, and what of a signature is to be used up.
struct Shown<'a, 'l> {
    caller: Rc<Caller>,
    token: Option<Credential<'a, 'l>>,
    once: Option<Box<Once>>,
}

/// A good token may still be sent by somebody whom it was not issued to, and a good signature once more than it was made for.
fn check_sender(
    attempt: &mut Attempt<'_, '_>,
    shown: Shown<'_, '_>,
    line: &RequestLine<'_>,
) -> Result<Rc<Caller>, Stop> {
    let Shown { caller, token, once } = shown;
    let checked = match (token, once) {
        (Some(token), _) => binding::check(attempt, &caller, &token, line).map_err(Stop::from),
        (None, Some(once)) => once.claim(attempt),
        (None, None) => return Ok(caller),
    };
    if let Err(stop) = checked {
        attempt.trace.known(caller);
        return Err(stop);
    }
    Ok(caller)
}

/// Verifies the one credential that is `accepted`.
///
/// Credentials of a kind that the rule does not take are not looked at: they prove nothing here. Two that it
/// takes are refused, whatever they are worth, because the client and we could mean different ones. A certificate
/// belongs to the connection, not to the request: it counts where the request itself says nothing.
fn verify<'a, 'l>(
    attempt: &mut Attempt<'a, '_>,
    accepted: &'l AcceptedCredentials,
    line: &RequestLine<'a>,
) -> Result<Shown<'a, 'l>, Stop>
where
    'a: 'l,
{
    let policy = attempt.policy();
    let query = line.path.query();
    let keys = policy.api_keys.as_ref().filter(|_| accepted.api_key);
    let places = Places {
        names: &policy.credential_names,
        tokens: &accepted.token_locations,
        keys: keys.map(ApiKeys::locations).unwrap_or_default(),
        signatures: &accepted.signature_locations,
    };
    let found = places.find(attempt.head, query);
    let Found { token, key, signature } = match keys {
        Some(keys) if accepted.shares_place => told_apart(found, keys),
        _ => found,
    };
    let is_signed = !accepted.signers.is_empty() && Sent::is_in(attempt.head);
    let caller = match (token, key) {
        (Lookup::Absent, Lookup::Absent) if is_signed != (signature != Lookup::Absent) => {
            let (caller, once) = match is_signed {
                true => message_signature::verify(attempt, accepted, line)?,
                false => {
                    let signature = signature.one().ok_or(Reason::CredentialsAmbiguous)?;
                    hmac::verify(attempt, accepted, &signature)?
                }
            };
            return Ok(Shown { caller, token: None, once });
        }
        _ if is_signed || signature != Lookup::Absent => return Err(Reason::CredentialsAmbiguous.into()),
        (Lookup::Absent, Lookup::Absent) if accepted.client_certificate => {
            verify_certificate(attempt, accepted)?
        }
        (Lookup::Absent, Lookup::Absent) => return Err(accepted.missing().into()),
        (Lookup::One(token), Lookup::Absent) => {
            let caller = bearer::verify(attempt, accepted, &token)?;
            // RFC 9068 section 4: it may be good, and for another of the APIs.
            if let Some(resource) = &accepted.resource
                && !resource.is_meant(&caller.grants)
            {
                attempt.trace.known(caller);
                let detail = format_args!("not meant for the protected resource {:?}", resource.name);
                return Err(attempt.refused(&detail, Reason::TokenAudience));
            }
            check_page(attempt, &caller, token.location, line)?;
            return Ok(Shown { caller, token: Some(token), once: None });
        }
        (Lookup::Malformed, Lookup::Absent) => return Err(Reason::TokenMalformed.into()),
        (Lookup::Absent, Lookup::One(key)) => {
            let caller = verify_key(attempt, &key, &line.host)?;
            check_page(attempt, &caller, key.location, line)?;
            caller
        }
        (Lookup::Absent, Lookup::Malformed) => return Err(Reason::ApiKeyUnknown.into()),
        _ => return Err(Reason::CredentialsAmbiguous.into()),
    };
    Ok(Shown { caller, token: None, once: None })
}

/// Browsers send cookies with whatever a page has them send. So a good one may come with a request that its user knows
/// nothing of.
fn check_page(
    attempt: &mut Attempt<'_, '_>,
    caller: &Rc<Caller>,
    location: &Location,
    line: &RequestLine<'_>,
) -> Result<(), Stop> {
    if !matches!(location, Location::Cookie(_)) {
        return Ok(());
    }
    let origins = match &caller.provider {
        Some(provider) => provider.spec().cookie_origins.as_ref(),
        None => attempt.policy().api_keys.as_ref().and_then(ApiKeys::cookie_origins),
    };
    match origins {
        None => Ok(()),
        Some(origins) => {
            let to = Addressee { method: line.method, authority: line.authority, secure: line.secure };
            origins.check(attempt.head, to).map_err(|why| {
                attempt.trace.known(Rc::clone(caller));
                attempt.refused(&why, Reason::CrossSiteRequest)
            })
        }
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

fn verify_key(
    attempt: &mut Attempt<'_, '_>,
    key: &Credential<'_, '_>,
    host: &str,
) -> Result<Rc<Caller>, Reason> {
    let policy = attempt.policy();
    let keys = policy.api_keys.as_ref().ok_or(Reason::ApiKeyUnknown)?;
    let key = key.text().map_err(|unreadable| unreadable.reason(Reason::ApiKeyUnknown))?;
    let presented = Presented { key: key.as_bytes(), address: attempt.head.remote_address, host };
    let caller = |key: &ApiKeySpec, principal| Caller::of_key(principal, key.expires_at, &policy.vocabulary);
    let verified = keys.authenticate(presented, &attempt.services.clock, attempt.services.random, &caller);
    if let (Err(refused), Some(stored)) = (&verified, &attempt.worker.stored_keys)
        && refused.reason == Reason::ApiKeyUnknown
    {
        return verify_stored_key(attempt, stored, presented);
    }
    verified.map_err(|refused| {
        if let Some(caller) = refused.caller {
            attempt.trace.known(caller);
        }
        refused.reason
    })
}

#[inline(never)]
fn verify_stored_key(
    attempt: &mut Attempt<'_, '_>,
    stored: &RefCell<StoredKeys>,
    presented: Presented<'_>,
) -> Result<Rc<Caller>, Reason> {
    stored.borrow_mut().authenticate(presented, attempt.policy(), attempt.services).map_err(|refused| {
        if let Some(caller) = refused.caller {
            attempt.trace.known(caller);
        }
        if let Some(detail) = refused.detail {
            attempt.note(&detail, refused.reason);
        }
        refused.reason
    })
}

#[inline(never)]
fn verify_certificate(
    attempt: &mut Attempt<'_, '_>,
    accepted: &AcceptedCredentials,
) -> Result<Rc<Caller>, Stop> {
    let missing = accepted.missing();
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
    Ok(Rc::new(Caller::of_key(principal, None, &policy.vocabulary)))
}
