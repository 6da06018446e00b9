//! Whether a token came from whom it was issued to: RFC 8705 section 3 and RFC 9449 section 7.

use super::{Attempt, RequestLine};
use crate::{
    answer::Reason,
    confirmation::{BindingMode, Confirmation},
    dpop::{self, DpopError, DpopSpec, Freshness, Nonces, Presented, Proof, TargetUri},
    policy::{Caller, Provider},
    replay::ReplayError,
    request::{client_certificate::PeerCertificate, credential::Credential},
};

/// Holds what the verified claims of `caller` say in `cnf` against the request. `token` is what was verified.
///
/// To be checked on each request, also of a token that is remembered: that it is good says nothing of who sent it.
pub(super) fn check(
    attempt: &mut Attempt<'_, '_>,
    caller: &Caller,
    token: &Credential<'_, '_>,
    line: &RequestLine<'_>,
) -> Result<(), Reason> {
    let provider = caller.provider.as_ref().ok_or(Reason::TokenIssuer)?;
    // A token under the DPoP scheme needs a proof, also where the policy has the scheme among the places of tokens
    // and no `dpop` section.
    let asks_nothing =
        provider.mtls.is_none() && provider.dpop.is_none() && !dpop::is_location(token.location);
    if asks_nothing && caller.confirmation == Ok(Confirmation::default()) {
        return Ok(());
    }
    check_bound(attempt, provider, caller, token, line)
}

/// Of a token that is bound to its sender, or ought to be.
#[inline(never)]
fn check_bound(
    attempt: &mut Attempt<'_, '_>,
    provider: &Provider,
    caller: &Caller,
    token: &Credential<'_, '_>,
    line: &RequestLine<'_>,
) -> Result<(), Reason> {
    let under_dpop = dpop::is_location(token.location);
    let bound = caller.confirmation.and_then(|confirmation| {
        confirmation
            .check_certificate(provider.mtls, confirmation.certificate.and_then(|_| shown(attempt)))?;
        confirmation.proof_key(provider.dpop.as_ref().map(|dpop| dpop.mode), under_dpop)
    });
    let key = bound.map_err(|error| {
        attempt.note(&error, Reason::TokenBinding);
        Reason::TokenBinding
    })?;
    let Some(key) = key else { return Ok(()) };
    let token = token.text().map_err(|unreadable| unreadable.reason(Reason::TokenMalformed))?;
    // INVARIANT: a provider looks under the DPoP scheme only with DPoP configured.
    let spec = provider.dpop.as_ref().ok_or(Reason::TokenBinding)?;
    let target = TargetUri::of_request(line.secure, line.authority, &line.path);
    let target = target.ok_or(Reason::MalformedRequest)?;
    let presented = Presented { method: line.method, target: &target, token: Some(token), key: Some(key) };
    let proven = prove(attempt, spec, &presented).and_then(|proof| use_up(attempt, &proof));
    proven.map_err(|error| noted(attempt, &error))
}

/// Whom a session is going to be bound to.
#[derive(Debug, Default)]
pub(super) struct NewHolder {
    /// A proof that has to be used up ([`NewHolder::use_up`]) before the session is given out.
    proof: Option<Proof>,
    certificate: Option<[u8; 32]>,
}

impl NewHolder {
    /// Whoever sends this request, as far as `sessions` binds its tokens. Nothing is used up, so it may be asked for again.
    pub(super) fn of(
        attempt: &mut Attempt<'_, '_>,
        sessions: &Provider,
        line: &RequestLine<'_>,
    ) -> Result<Self, Reason> {
        let certificate = sessions.mtls.and_then(|_| shown(attempt));
        if sessions.mtls == Some(BindingMode::Required) && certificate.is_none() {
            return Err(Reason::CertificateMissing);
        }
        let is_sent = Proof::find(attempt.head) != Err(DpopError::Missing);
        let spec = sessions.dpop.as_ref().filter(|spec| is_sent || spec.mode == BindingMode::Required);
        let Some(spec) = spec else { return Ok(Self { proof: None, certificate }) };
        let target = TargetUri::of_request(line.secure, line.authority, &line.path);
        let target = target.ok_or(Reason::MalformedRequest)?;
        let presented = Presented { method: line.method, target: &target, token: None, key: None };
        let proof = prove(attempt, spec, &presented).map_err(|error| noted(attempt, &error))?;
        Ok(Self { proof: Some(proof), certificate })
    }

    /// Takes the proof for used.
    pub(super) fn use_up(&self, attempt: &mut Attempt<'_, '_>) -> Result<(), Reason> {
        let Some(proof) = &self.proof else { return Ok(()) };
        use_up(attempt, proof).map_err(|error| noted(attempt, &error))
    }

    /// What the session says of it.
    pub(super) fn confirmation(&self) -> Confirmation {
        Confirmation { key: self.proof.as_ref().map(|proof| proof.key), certificate: self.certificate }
    }
}

#[cold]
fn noted(attempt: &mut Attempt<'_, '_>, error: &DpopError) -> Reason {
    attempt.note(error, error.reason());
    error.reason()
}

/// The digest of the certificate that the client showed; `None`: none, or none that can be read.
fn shown(attempt: &Attempt<'_, '_>) -> Option<[u8; 32]> {
    let certificates = attempt.policy().client_certificates.as_ref()?;
    let certificate: &PeerCertificate = &*certificates.find(attempt.head).ok()??;
    certificate.digest
}

/// The proof of a request, which is good, but may have been used before.
fn prove(
    attempt: &mut Attempt<'_, '_>,
    spec: &DpopSpec,
    presented: &Presented<'_>,
) -> Result<Proof, DpopError> {
    let (worker, services, now) = (attempt.worker, attempt.services, attempt.now());
    let proof = Proof::verify(Proof::find(attempt.head)?, spec, presented, services.crypto, now)?;
    let unavailable = DpopError::State(ReplayError::Unavailable);
    let secret = worker.dpop_secret(services).map_err(|_| unavailable.clone())?;
    if let Some(lifetime) = spec.nonce_lifetime {
        let nonces = Nonces::at(secret, lifetime, now).ok_or(unavailable)?;
        let freshness = proof.nonce.as_deref().map_or(Freshness::Unknown, |nonce| nonces.judge(nonce));
        if freshness != Freshness::Current {
            attempt.trace.dpop_nonce = Some(nonces.current().to_owned());
        }
        if freshness == Freshness::Unknown {
            return Err(DpopError::Nonce);
        }
    }
    Ok(proof)
}

/// Last, so that only proofs that are good in every other way take up room in the table.
fn use_up(attempt: &mut Attempt<'_, '_>, proof: &Proof) -> Result<(), DpopError> {
    if let Some(dry) = attempt.dry {
        return if dry.is_replayed { Err(DpopError::Replayed) } else { Ok(()) };
    }
    let (worker, services, now) = (attempt.worker, attempt.services, attempt.now());
    let unavailable = DpopError::State(ReplayError::Unavailable);
    let secret = worker.dpop_secret(services).map_err(|_| unavailable)?;
    match dpop::claim(proof, secret, services.store, worker.namespace(), now) {
        Ok(true) => Ok(()),
        Ok(false) => Err(DpopError::Replayed),
        Err(error) => Err(DpopError::State(error)),
    }
}

#[cfg(test)]
#[path = "binding_tests.rs"]
mod tests;
