//! How somebody signs in: WebAuthn Level 3, section 7.2, around what `webauthn` judges.

use super::{Ceremony, told};
use crate::{
    answer::{Reason, Reply},
    engine::{binding::NewHolder, refusal::Stop},
    passkeys::{Account, Change, Name, Passkey, Purpose, account_name, credential_name},
    session::Session,
    text::base64url,
    webauthn::{
        AuthenticationResponse, ExpectedAuthentication, RequestOptions, StoredCredential, UserVerification,
        authentication,
    },
};

/// How often an account is read again that somebody else changed meanwhile.
const TRIES: usize = 3;

/// `acr` of a sign-in that cannot be phished (OpenID Connect Extended Authentication Profile ACR Values 1.0, section 2).
const PHISHING_RESISTANT: &str = "phr";

/// The same by a key that never leaves its hardware.
const PHISHING_RESISTANT_HARDWARE: &str = "phrh";

/// What came of an answer by a passkey.
pub(super) struct Confirmed {
    pub(super) account: Account,
    passkey: Vec<u8>,
    /// The user was verified, and was when the passkey was made: who only ever touched it may not become more by a PIN that
    /// whoever holds it has set since (`uvInitialized`, section 4).
    user_verified: bool,
}

/// What an answer must be, and whose.
pub(super) struct Wanted<'w> {
    pub(super) purposes: &'w [Purpose],
    /// Whose passkey it must be; `None`: anybody's.
    pub(super) subject: Option<&'w str>,
    pub(super) operation: &'w [u8],
    pub(super) user_verification: UserVerification,
}

impl Ceremony<'_, '_, '_> {
    /// Options for `navigator.credentials.get()`. They name no credentials: nobody learns who has some (section 14.6.2).
    pub(super) fn authentication_options(&mut self) -> Result<Reply, Stop> {
        self.body()?;
        let challenge = self.challenge(Purpose::SignIn, "", &[])?;
        let spec = &self.passkeys.spec;
        let options = RequestOptions {
            challenge: &challenge,
            allow: &[],
            user_verification: self.passkeys.user_verification(),
            timeout: spec.timeout,
        };
        Ok(told(200, &options.to_json(&self.passkeys.relying_party)))
    }

    /// Takes what `navigator.credentials.get()` gave, and answers with a session.
    pub(super) fn sign_in(&mut self) -> Result<Reply, Stop> {
        let body = self.body()?;
        let wanted = Wanted {
            purposes: &[Purpose::SignIn],
            subject: None,
            operation: &[],
            user_verification: self.passkeys.user_verification(),
        };
        let sessions = self.sessions()?;
        // Before the user's answer is used up: whoever lacks a nonce brings the same once more.
        let holder = match self.attempt.policy().provider(sessions.name()) {
            Some(provider) => NewHolder::of(self.attempt, provider, self.line)?,
            None => return Err(Reason::StateUnavailable.into()),
        };
        let confirmed = self.confirmed(&body.bytes, &wanted)?;
        holder.use_up(self.attempt)?;
        let (now, confirmation) = (self.now(), holder.confirmation());
        let bound = confirmation.to_json();
        let passkey = confirmed.account.passkey(&confirmed.passkey).ok_or(Reason::PasskeysUnavailable)?;
        let credential = base64url::encode(&passkey.id);
        let texts =
            |names: &[String]| names.iter().map(|name| name.as_str().into()).collect::<Vec<Box<str>>>();
        let (scopes, roles) = (texts(&confirmed.account.scopes), texts(&confirmed.account.roles));
        let session = Session {
            subject: &confirmed.account.subject,
            name: Some(&confirmed.account.name),
            amr: confirmed.methods(passkey),
            acr: confirmed.class(passkey),
            auth_time: now,
            credential: Some(&credential),
            scopes: &scopes,
            roles: &roles,
            confirmation: bound.as_ref(),
            sid: None,
        };
        let token = sessions
            .issue(&session, now, self.attempt.services.random)
            .map_err(|why| self.refused(&why, Reason::StateUnavailable))?;
        self.attempt.trace.detail = Some("signed in".to_owned());
        Ok(match confirmation.key {
            Some(_) => sessions.signed_in_with_proof(&token),
            None => sessions.signed_in(&token),
        })
    }

    /// Whose passkey made `response`, if it is good for what is `wanted`. It is good for nothing else from now on.
    pub(super) fn confirmed(&mut self, response: &[u8], wanted: &Wanted<'_>) -> Result<Confirmed, Stop> {
        let response = AuthenticationResponse::read(response)
            .map_err(|error| self.refused(&error, Reason::BodyMalformed))?;
        let account_id = wanted.subject.map(Account::id_of).unwrap_or_default();
        let (challenge, until) = self.check_challenge(
            &response.client_data.challenge,
            wanted.purposes,
            &response.client_data.origin,
            &account_id,
            wanted.operation,
        )?;
        for _ in 0..TRIES {
            let (mut account, revision) = self.owner(&response.credential_id)?;
            // 7.2 steps 5 and 6: the passkey is of whoever asks.
            if wanted.subject.is_some_and(|subject| subject != account.subject) {
                return Err(self.refused(&"the passkey is somebody else's", Reason::PasskeyRefused));
            }
            let Some(passkey) = account.passkey(&response.credential_id) else {
                return Err(self.unknown());
            };
            let stored = StoredCredential {
                id: &passkey.id,
                public_key: &passkey.public_key,
                user_handle: &account.handle,
                counter: passkey.counter,
                user_verified: passkey.user_verified,
                backup_eligible: passkey.backup_eligible,
            };
            let expected = ExpectedAuthentication {
                challenge: challenge.as_bytes(),
                user_verification: wanted.user_verification,
                user_handle: wanted.subject.map(|_| account.handle.as_slice()),
                allowed: &[],
            };
            let (relying_party, crypto) = (&self.passkeys.relying_party, self.attempt.services.crypto);
            let assertion = authentication::verify(&response, &stored, relying_party, &expected, crypto)
                .map_err(|error| self.refused(&error, Reason::PasskeyRefused))?;
            if assertion.counter_went_back {
                self.attempt.trace.detail = Some("the passkey's signature counter went back".to_owned());
            }
            account.use_challenge(challenge.as_bytes(), until, self.now()).map_err(|used| self.used(used))?;
            let now = self.now();
            let Some(passkey) = account.passkey_mut(&response.credential_id) else {
                return Err(self.unknown());
            };
            passkey.counter = passkey.counter.max(assertion.counter);
            passkey.backed_up = assertion.backed_up;
            passkey.backup_eligible = Some(assertion.backup_eligible);
            passkey.last_used_at = Some(now);
            let user_verified = assertion.user_verified;
            let passkey = passkey.id.clone();
            let name = account_name(&account.subject);
            let change = Change {
                unless_changed: vec![(name.clone(), revision)],
                put: vec![(name, account.to_json())],
                delete: Vec::new(),
            };
            if self.change(change)? {
                return Ok(Confirmed { account, passkey, user_verified });
            }
        }
        Err(self.refused(&"the account is changed all the time", Reason::PasskeysUnavailable))
    }

    /// The account that has a credential.
    fn owner(&mut self, credential: &[u8]) -> Result<(Account, u64), Stop> {
        let Some((owner, _)) = self.read(credential_name(credential))? else { return Err(self.unknown()) };
        let owner = String::from_utf8(owner).map_err(|_| Reason::PasskeysUnavailable)?;
        let Some((text, revision)) = self.read(Name::Account(owner))? else {
            return Err(self.unknown());
        };
        match Account::read(&text) {
            Some(account) => Ok((account, revision)),
            None => Err(self.refused(&"the account cannot be read", Reason::PasskeysUnavailable)),
        }
    }

    /// Told apart from all else, so that the page may have the browser forget it (`signalUnknownCredential`). Ids are random,
    /// so nobody learns of others by it.
    #[cold]
    fn unknown(&mut self) -> Stop {
        self.refused(&"no account has this passkey", Reason::PasskeyUnknown)
    }
}

impl Confirmed {
    /// `amr` (RFC 8176 section 2).
    fn methods(&self, passkey: &Passkey) -> &'static [&'static str] {
        match (passkey.is_in_hardware(), self.user_verified) {
            (true, true) => &["hwk", "user", "mfa"],
            (true, false) => &["hwk", "user"],
            (false, true) => &["swk", "user", "mfa"],
            (false, false) => &["swk", "user"],
        }
    }

    /// `acr`: nothing is said where the user was not verified.
    fn class(&self, passkey: &Passkey) -> Option<&'static str> {
        let class = if passkey.is_in_hardware() { PHISHING_RESISTANT_HARDWARE } else { PHISHING_RESISTANT };
        self.user_verified.then_some(class)
    }
}
