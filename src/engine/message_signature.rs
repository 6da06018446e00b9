//! Requests that are signed as RFC 9421 has it.

use std::rc::Rc;

use super::{Attempt, RequestLine, once::Once, refusal::Stop};
use crate::{
    answer::Reason,
    message_signature::{CONTENT_DIGEST, ONCE, Presented, Sent, SignatureError},
    policy::{AcceptedCredentials, Caller},
};

/// Whose request it is, of those signers that `accepted` names.
///
/// The signature is verified before the body is waited for: nothing is kept of a request that nobody signed.
#[inline(never)]
pub(super) fn verify<'a>(
    attempt: &mut Attempt<'a, '_>,
    accepted: &AcceptedCredentials,
    line: &RequestLine<'a>,
) -> Result<(Rc<Caller>, Option<Box<Once>>), Stop> {
    let (head, now, crypto) = (attempt.head, attempt.now(), attempt.services.crypto);
    // Its sender has signed one text, and the upstream would get another.
    if line.path.rewritten() {
        return Err(attempt.refused(&"the path that is signed is not in its one form", Reason::AmbiguousPath));
    }
    let target = head.single(":path").one().and_then(|target| str::from_utf8(target).ok());
    let presented = Presented {
        head,
        method: line.method,
        authority: line.authority,
        target: target.ok_or(Reason::MalformedRequest)?,
        secure: line.secure,
    };
    let verified = Sent::of(head).and_then(|sent| sent.verify(&accepted.signers, &presented, crypto, now));
    let refused =
        |attempt: &mut Attempt<'_, '_>, error: SignatureError| attempt.refused(&error, error.reason());
    let verified = verified.map_err(|error| refused(attempt, error))?;
    if !verified.covers_body() && head.declared_length().is_some_and(|length| length > 0) {
        return Err(refused(attempt, SignatureError::Uncovered(CONTENT_DIGEST.to_owned())));
    }
    let body = attempt.body(verified.signer().max_body_bytes)?;
    let principal = verified.principal(&body).map_err(|error| refused(attempt, error))?;
    let once = match verified.signer().once {
        true => Some(Box::new(Once::of(attempt, &ONCE, &[&verified.id], verified.not_after)?)),
        false => None,
    };
    Ok((Rc::new(Caller::of_key(principal, None, &attempt.policy().vocabulary)), once))
}
