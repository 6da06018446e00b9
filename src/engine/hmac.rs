//! Webhooks: requests that are signed with their body.

use std::rc::Rc;

use super::{Attempt, once::Once, refusal::Stop};
use crate::{
    answer::Reason,
    hmac::{HmacError, ONCE},
    policy::{AcceptedCredentials, Caller},
    request::credential::Credential,
};

/// The source whose webhook it is. Of those that `accepted` names, each that looks for its signature where this one stands is
/// tried.
///
/// What can be judged by the head is judged before the body is waited for.
#[inline(never)]
pub(super) fn verify(
    attempt: &mut Attempt<'_, '_>,
    accepted: &AcceptedCredentials,
    signature: &Credential<'_, '_>,
) -> Result<(Rc<Caller>, Option<Box<Once>>), Stop> {
    let now = attempt.now();
    let (mut claimed, mut refused) = (Vec::new(), HmacError::Mismatch);
    for source in accepted.hmac_sources.iter().filter(|source| source.location == *signature.location) {
        match source.read(attempt.head, signature.bytes(), now) {
            Ok(read) => claimed.push((source, read)),
            Err(error) => refused = error,
        }
    }
    let Some(limit) = claimed.iter().map(|(source, _)| source.max_body_bytes).max() else {
        return Err(attempt.refused(&refused, refused.reason()));
    };
    let body = attempt.body(limit)?;
    for (source, claimed) in claimed.iter().filter(|(source, _)| body.len() <= source.max_body_bytes) {
        if let Ok(principal) = source.verify(claimed, &body) {
            let once = match claimed.not_after().filter(|_| source.once) {
                Some(end) => Some(Box::new(Once::of(attempt, &ONCE, &source.signed(claimed, &body), end)?)),
                None => None,
            };
            return Ok((Rc::new(Caller::of_key(principal, None, &attempt.policy().vocabulary)), once));
        }
    }
    Err(attempt.refused(&HmacError::Mismatch, Reason::SignatureInvalid))
}
