//! Who is calling: finds the one credential of a request and has it verified.

use std::rc::Rc;

use super::{Around, Caller, Exchange, Gate, RequestLine, bearer, binding, record::Trace};
use crate::{
    answer::Reason,
    api_key::ApiKeys,
    jose,
    policy::{Access, Policy},
    request::{
        Lookup, RequestHead,
        credential::{Credential, Found, Places, Unreadable},
    },
    time::Timestamp,
};

/// Why there is no caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unverified {
    /// The credential is refused.
    Refused(Reason),
    /// What is needed to check it may arrive until then; otherwise it is refused.
    Wait { until: Timestamp, otherwise: Reason },
}

impl From<Reason> for Unverified {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason)
    }
}

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
    gate: &Gate,
    exchange: &mut Exchange,
    access: &Access,
    head: &RequestHead<'_>,
    line: &RequestLine<'_>,
    around: &Around<'_>,
    trace: &mut Trace,
) -> Result<Rc<Caller>, Unverified> {
    let policy = gate.policy();
    let query = line.path.query();
    let keys = policy.api_keys.as_ref().filter(|_| access.offer.api_key);
    let places = Places {
        names: &policy.credential_names,
        tokens: &access.offer.token_locations,
        keys: keys.map(ApiKeys::locations).unwrap_or_default(),
    };
    let found = places.find(head, query);
    let Found { token, key } = match keys {
        Some(keys) if access.offer.shares_place => told_apart(found, keys),
        _ => found,
    };
    match (&token, &key) {
        (Lookup::Absent, Lookup::Absent) if access.offer.client_certificate => {
            verify_certificate(policy, access, head, trace).map_err(Unverified::Refused)
        }
        (Lookup::Absent, Lookup::Absent) => Err(Reason::CredentialsMissing.into()),
        (Lookup::One(token), Lookup::Absent) => {
            let caller = bearer::verify(gate, exchange, access, token, around, trace)?;
            // Not part of what a token is worth: it may be good, and sent by somebody else.
            if let Err(reason) = binding::check(gate, &caller, token, head, line, around, trace) {
                trace.principal = Some(caller);
                return Err(reason.into());
            }
            Ok(caller)
        }
        (Lookup::Malformed, Lookup::Absent) => Err(Reason::TokenMalformed.into()),
        (Lookup::Absent, Lookup::One(key)) => {
            verify_key(gate, key, around, trace).map_err(Unverified::Refused)
        }
        (Lookup::Absent, Lookup::Malformed) => Err(Reason::ApiKeyUnknown.into()),
        _ => Err(Reason::CredentialsAmbiguous.into()),
    }
}

/// What is found as both stands where both may: it is the one or the other by its form.
#[inline(never)]
fn told_apart<'a, 'l>(found: Found<'a, 'l>, keys: &ApiKeys<Caller>) -> Found<'a, 'l> {
    let is_token = match (&found.token, &found.key) {
        (Lookup::One(token), Lookup::One(key)) if token.bytes() == key.bytes() => match keys.prefix() {
            Some(prefix) => !key.bytes().starts_with(prefix.as_bytes()),
            None => jose::is_compact_jws(key.bytes()),
        },
        // A key is text, and so is a token: either way it is refused.
        (Lookup::Malformed, Lookup::Malformed) => true,
        _ => return found,
    };
    match is_token {
        true => Found { key: Lookup::Absent, ..found },
        false => Found { token: Lookup::Absent, ..found },
    }
}

fn verify_key(
    gate: &Gate,
    key: &Credential<'_, '_>,
    around: &Around<'_>,
    trace: &mut Trace,
) -> Result<Rc<Caller>, Reason> {
    let keys = gate.policy().api_keys.as_ref().ok_or(Reason::ApiKeyUnknown)?;
    let key = key.text().map_err(|unreadable| unreadable.reason(Reason::ApiKeyUnknown))?;
    let verified = keys.authenticate(key.as_bytes(), &around.clock, around.random);
    verified.cloned().map_err(|refused| {
        trace.principal = refused.caller.cloned();
        refused.reason
    })
}

#[inline(never)]
fn verify_certificate(
    policy: &Policy,
    access: &Access,
    head: &RequestHead<'_>,
    trace: &mut Trace,
) -> Result<Rc<Caller>, Reason> {
    let missing = match access.offer.has_challenge() {
        true => Reason::CredentialsMissing,
        false => Reason::CertificateMissing,
    };
    let certificates = policy.client_certificates.as_ref().ok_or(missing)?;
    let certificate = certificates.find(head).map_err(|error| {
        trace.note(&error);
        Reason::CertificateUnknown
    })?;
    let certificate = certificate.ok_or(missing)?;
    let Some(principal) = certificates.principal(&certificate) else {
        if certificate.shown_name().is_none() {
            trace.note(&"the certificate has no name that is used");
        }
        return Err(Reason::CertificateUnknown);
    };
    Ok(Rc::new(Caller::of_key(principal, &policy.vocabulary)))
}
