//! Operations that are confirmed one by one: the challenge is bound to the operation, and the answer to it is good once.

use super::{Ceremony, authentication::Wanted, descriptors, told};
use crate::{
    answer::{Reason, Reply},
    crypto::sha256,
    engine::refusal::Stop,
    passkeys::{Account, CONFIRMATION_HEADER, Challenge, Purpose, operation},
    rbac::PasskeyUse,
    request::{Lookup, path::CanonicalPath},
    text::base64url,
    webauthn::{AuthenticationResponse, RequestOptions, UserVerification},
};

/// How long a confirmation may be, in base64url.
const LONGEST: usize = 16 * 1024;

/// How large a body may be that is confirmed.
const MAX_CONFIRMED: usize = 256 * 1024;

impl Ceremony<'_, '_, '_> {
    /// Options for confirming the operation that the body names.
    pub(super) fn step_up_options(&mut self) -> Result<Reply, Stop> {
        let body = self.body()?;
        let (method, target) = (body.text("method")?, body.text("path")?);
        let (method, target) = method.zip(target).ok_or(Reason::BodyMalformed)?;
        let digest = match body.text("bodyDigest")? {
            None => None,
            Some(digest) => {
                let digest = base64url::decode(digest.as_bytes());
                Some(
                    digest
                        .and_then(|digest| <[u8; 32]>::try_from(digest).ok())
                        .ok_or(Reason::BodyMalformed)?,
                )
            }
        };
        // As the request itself is going to be read.
        let target =
            self.attempt.policy().read_target(target.as_bytes()).map_err(|_| Reason::BodyMalformed)?;
        let operation = operation(method, &self.line.host, &target_of(&target), digest.as_ref());
        let purpose = if digest.is_some() { Purpose::OperationWithBody } else { Purpose::Operation };
        let subject = self.subject()?;
        let account = self.account(&subject)?.map(|(account, _)| account);
        let Some(account) = account.filter(|account| !account.passkeys.is_empty()) else {
            return Err(self.refused(&"whoever asks has no passkey", Reason::PasskeyUnknown));
        };
        let challenge = self.challenge(purpose, &Account::id_of(&subject), &operation)?;
        let options = RequestOptions {
            challenge: &challenge,
            allow: &descriptors(&account),
            user_verification: UserVerification::Required,
            timeout: self.passkeys.spec.timeout,
        };
        Ok(told(200, &options.to_json(&self.passkeys.relying_party)))
    }

    /// Whether a passkey of the principal has confirmed this very request. `with_body`: its body, too.
    pub(in crate::engine) fn confirm(&mut self, with_body: bool) -> Result<(), Stop> {
        let response = match self.attempt.head.single(CONFIRMATION_HEADER) {
            Lookup::One(value) if value.len() <= LONGEST => base64url::decode(value),
            Lookup::Absent => {
                let options = self.passkeys.step_up_path();
                return Err(self.step_up(PasskeyUse::Confirmation { with_body, options }.into()));
            }
            _ => None,
        };
        let Some(response) = response else {
            return Err(self.refused(&"the confirmation cannot be read", Reason::PasskeyRefused));
        };
        let covers_body = AuthenticationResponse::read(&response)
            .ok()
            .and_then(|response| Some(Challenge::read(&response.client_data.challenge)?.purpose))
            == Some(Purpose::OperationWithBody);
        if with_body && !covers_body {
            return Err(self.refused(&"the confirmation is not for the body", Reason::PasskeyRefused));
        }
        let digest = if covers_body { Some(sha256(&self.attempt.body(MAX_CONFIRMED)?)) } else { None };
        let operation =
            operation(self.line.method, &self.line.host, &target_of(&self.line.path), digest.as_ref());
        let subject = self.confirming_subject()?;
        let purpose = if covers_body { Purpose::OperationWithBody } else { Purpose::Operation };
        self.confirmed(
            &response,
            &Wanted {
                purposes: &[purpose],
                subject: Some(&subject),
                operation: &operation,
                // Presence alone confirms nothing: whoever holds the authenticator could.
                user_verification: UserVerification::Required,
            },
        )?;
        Ok(())
    }
}

/// The path with the query.
fn target_of(path: &CanonicalPath<'_>) -> String {
    let query = path.query().map(|query| ["?", query].concat());
    [path.path(), &query.unwrap_or_default()].concat()
}
