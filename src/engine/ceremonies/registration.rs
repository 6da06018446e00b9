//! How a passkey is made: WebAuthn Level 3, section 7.1, around what `webauthn` judges.

use super::{Body, Ceremony, descriptors, told};
use crate::{
    answer::{Reason, Reply},
    engine::refusal::Stop,
    identity::Principal,
    passkeys::{
        Account, Change, Enrolment, LONGEST_LABEL, MOST_PASSKEYS, Name, Passkey, Purpose, UsedChallenge,
        account_name, credential_name,
    },
    store::random_bytes,
    text::hex,
    webauthn::{CreationOptions, ExpectedRegistration, RegistrationResponse, ResidentKey, registration},
};

/// How often an account is read again that somebody else changed meanwhile.
const TRIES: usize = 3;

/// Claims that name a user for people, the first that there is.
const NAMES: [&str; 3] = ["preferred_username", "email", "name"];

/// Whose passkey is to be made.
struct Applicant {
    subject: String,
    name: String,
    /// The enrolment that vouches for it, with its entry; `None`: a credential does.
    enrolment: Option<(Enrolment, Name, u64)>,
}

impl Ceremony<'_, '_, '_> {
    /// Options for `navigator.credentials.create()`.
    pub(super) fn registration_options(&mut self) -> Result<Reply, Stop> {
        let body = self.body()?;
        let purpose = match body.text("mediation")? {
            Some("conditional") => Purpose::ConditionalRegistration,
            _ => Purpose::Registration,
        };
        let applicant = self.applicant(&body)?;
        let (account, _) = self.account_of(&applicant)?;
        if account.passkeys.len() >= MOST_PASSKEYS {
            return Err(self.refused(&"the account has as many passkeys as it may", Reason::PasskeyRefused));
        }
        let challenge = self.challenge(purpose, &Account::id_of(&account.subject), &[])?;
        let options = CreationOptions {
            challenge: &challenge,
            user_handle: &account.handle,
            user_name: &account.name,
            display_name: &account.name,
            exclude: &descriptors(&account),
            // Whoever signs in says no name, so the authenticator must find the passkey by itself.
            resident_key: ResidentKey::Required,
            user_verification: self.passkeys.user_verification(),
            timeout: self.passkeys.spec.timeout,
        };
        Ok(told(200, &options.to_json(&self.passkeys.relying_party)))
    }

    /// Takes what `navigator.credentials.create()` gave.
    pub(super) fn register(&mut self) -> Result<Reply, Stop> {
        let body = self.body()?;
        let label = self.label(&body)?.unwrap_or_default().to_owned();
        let response = RegistrationResponse::read(&body.bytes)
            .map_err(|error| self.refused(&error, Reason::BodyMalformed))?;
        let applicant = self.applicant(&body)?;
        let purposes = [Purpose::Registration, Purpose::ConditionalRegistration];
        let (account_id, origin) = (Account::id_of(&applicant.subject), response.client_data.origin.clone());
        let (challenge, until) =
            self.check_challenge(&response.client_data.challenge, &purposes, &origin, &account_id, &[])?;
        let expected = ExpectedRegistration {
            challenge: challenge.as_bytes(),
            user_verification: self.passkeys.user_verification(),
            is_conditional: challenge.purpose == Purpose::ConditionalRegistration,
        };
        let relying_party = &self.passkeys.relying_party;
        let made = registration::verify(&response, relying_party, &expected, self.attempt.services.crypto)
            .map_err(|error| self.refused(&error, Reason::PasskeyRefused))?;
        for _ in 0..TRIES {
            let (mut account, revision) = self.account_of(&applicant)?;
            if account.passkeys.len() >= MOST_PASSKEYS {
                let detail = "the account has as many passkeys as it may";
                return Err(self.refused(&detail, Reason::PasskeyRefused));
            }
            account.use_challenge(challenge.as_bytes(), until, self.now()).map_err(|used| self.used(used))?;
            let mut passkey = Passkey::new(made.id.clone(), made.public_key.clone(), self.now());
            passkey.counter = made.counter;
            passkey.label.clone_from(&label);
            passkey.transports.clone_from(&made.transports);
            passkey.user_verified = made.user_verified;
            passkey.backup_eligible = Some(made.backup_eligible);
            passkey.backed_up = made.backed_up;
            passkey.aaguid = hex::encode(&made.aaguid);
            passkey.attestation = made.attestation_format.to_string();
            let made_known = passkey.told();
            account.passkeys.push(passkey);
            let (name, credential) = (account_name(&account.subject), credential_name(&made.id));
            let mut change = Change {
                // 7.1 step 26: no other account has this credential.
                unless_changed: vec![(name.clone(), revision), (credential.clone(), 0)],
                put: vec![(name, account.to_json()), (credential.clone(), account_id.clone())],
                delete: Vec::new(),
            };
            if let Some((_, entry, revision)) = &applicant.enrolment {
                change.unless_changed.push((entry.clone(), *revision));
                change.delete.push(entry.clone());
            }
            if self.change(change)? {
                self.attempt.trace.detail = Some("passkey made".to_owned());
                return Ok(told(201, &made_known));
            }
            if self.read(credential)?.is_some() {
                return Err(self.refused(&"the credential is registered already", Reason::PasskeyRefused));
            }
            if let Some((_, entry, revision)) = &applicant.enrolment
                && self.read(entry.clone())?.is_none_or(|(_, now)| now != *revision)
            {
                return Err(self.refused(&"the enrolment code was used meanwhile", Reason::EnrolmentRefused));
            }
        }
        Err(self.refused(&"the account is changed all the time", Reason::PasskeysUnavailable))
    }

    /// Whose passkey is to be made: whoever the credential is of, else whom the enrolment code is for.
    fn applicant(&mut self, body: &Body) -> Result<Applicant, Stop> {
        if let Some(caller) = &self.admitted.callers.principal {
            let principal = &caller.principal;
            let applicant = Applicant {
                subject: principal.subject.to_string(),
                name: name_of(principal),
                enrolment: None,
            };
            self.logged_in_well()?;
            return Ok(applicant);
        }
        let Some(code) = body.text("enrolmentCode")? else { return Err(Reason::CredentialsMissing.into()) };
        if !self.passkeys.spec.enrolment_codes {
            return Err(self.refused(&"enrolment codes are not taken", Reason::EnrolmentRefused));
        }
        let entry = Name::Enrolment(Enrolment::id_of(code));
        let found = self.read(entry.clone())?;
        let enrolment = found.and_then(|(text, revision)| Some((Enrolment::read(&text)?, revision)));
        match enrolment {
            Some((enrolment, revision)) if enrolment.is_good(self.now()) => Ok(Applicant {
                subject: enrolment.subject.clone(),
                name: enrolment.name.clone(),
                enrolment: Some((enrolment, entry, revision)),
            }),
            Some(_) => Err(self.refused(&"the enrolment code has expired", Reason::EnrolmentRefused)),
            None => Err(self.refused(&"the enrolment code is not known", Reason::EnrolmentRefused)),
        }
    }

    /// The account, made where there is none yet, and its revision.
    fn account_of(&mut self, applicant: &Applicant) -> Result<(Account, u64), Stop> {
        let name = account_name(&applicant.subject);
        if let Some(found) = self.account(&applicant.subject)? {
            return Ok(found);
        }
        let handle =
            random_bytes::<32>(self.attempt.services.random).map_err(|_| Reason::StateUnavailable)?;
        let mut account = Account::new(&applicant.subject, &applicant.name, handle.to_vec());
        if let Some((enrolment, ..)) = &applicant.enrolment {
            account.roles.clone_from(&enrolment.roles);
            account.scopes.clone_from(&enrolment.scopes);
        }
        // Whoever made it meanwhile: it is read again.
        self.change(Change {
            unless_changed: vec![(name.clone(), 0)],
            put: vec![(name, account.to_json())],
            delete: Vec::new(),
        })?;
        self.account(&applicant.subject)?.ok_or_else(|| Reason::PasskeysUnavailable.into())
    }

    /// The account of `subject` with its revision; `None`: there is none.
    pub(super) fn account(&mut self, subject: &str) -> Result<Option<(Account, u64)>, Stop> {
        let Some((text, revision)) = self.read(account_name(subject))? else { return Ok(None) };
        match Account::read(&text).filter(|account| account.subject == subject) {
            Some(account) => Ok(Some((account, revision))),
            None => Err(self.refused(&"the account cannot be read", Reason::PasskeysUnavailable)),
        }
    }

    /// What its user calls a passkey; `None`: nothing is said.
    pub(super) fn label<'b>(&mut self, body: &'b Body) -> Result<Option<&'b str>, Stop> {
        let label = body.text("label")?;
        if label.is_some_and(|label| label.len() > LONGEST_LABEL || label.chars().any(char::is_control)) {
            let detail = "the label is longer than 64 bytes, or has control characters";
            return Err(self.refused(&detail, Reason::BodyMalformed));
        }
        Ok(label)
    }

    #[cold]
    pub(super) fn used(&mut self, used: UsedChallenge) -> Stop {
        match used {
            UsedChallenge::Before => {
                self.refused(&"the challenge was answered before", Reason::PasskeyRefused)
            }
            UsedChallenge::TooMany => {
                self.refused(&"too many challenges were answered lately", Reason::PasskeysUnavailable)
            }
        }
    }
}

fn name_of(principal: &Principal) -> String {
    let claims = principal.claims.object();
    let named = NAMES.iter().find_map(|name| claims.get(name)?.as_str().filter(|name| !name.is_empty()));
    // Authenticators keep 64 bytes of it (WebAuthn Level 3, section 6.4.1).
    named.unwrap_or(&principal.subject).chars().filter(|c| !c.is_control()).take(64).collect()
}
