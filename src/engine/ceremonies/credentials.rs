//! What somebody may do with passkeys of one's own: see them, call them otherwise, and remove them.

use serde_json::{Value, json};

use super::{Ceremony, DETAILS, told};
use crate::{
    answer::{Reason, Reply},
    engine::refusal::Stop,
    identity::numeric_date,
    passkeys::{Account, Change, NotRemoved, account_name, credential_name, revocation, revocation_name},
    policy::Caller,
    rbac::PasskeyUse,
    text::base64url,
};

/// What is done to the passkey with an id: what its user is told, and what is to be changed beside the account.
type ToPasskey<'c> = dyn Fn(&mut Account, &[u8]) -> Result<(Value, Change), NotRemoved> + 'c;

/// How often an account is read again that somebody else changed meanwhile.
const TRIES: usize = 3;

impl Ceremony<'_, '_, '_> {
    pub(super) fn list(&mut self) -> Result<Reply, Stop> {
        let subject = self.subject()?;
        let account = self.account(&subject)?;
        let passkeys = account.iter().flat_map(|(account, _)| &account.passkeys);
        let list = json!({
            "credentials": passkeys.map(|passkey| passkey.told()).collect::<Vec<_>>(),
            // What `signalAllAcceptedCredentials` wants beside (WebAuthn Level 3, section 5.1.10.2). Without an account there is
            // no handle, and nothing to tell.
            "rpId": self.passkeys.relying_party.spec().id,
            "userId": account.as_ref().map(|(account, _)| base64url::encode(&account.handle)),
        });
        Ok(told(200, &list))
    }

    /// `id` as it stands in the path.
    pub(super) fn rename(&mut self, id: &str) -> Result<Reply, Stop> {
        let body = self.body()?;
        let label = self.label(&body)?.ok_or(Reason::BodyMalformed)?.to_owned();
        self.signed_in_lately()?;
        let changed = self.change_own(id, &|account, id| {
            let passkey = account.passkey_mut(id).ok_or(NotRemoved::Unknown)?;
            passkey.label.clone_from(&label);
            Ok((passkey.told(), Change::default()))
        })?;
        Ok(told(200, &changed))
    }

    pub(super) fn remove(&mut self, id: &str) -> Result<Reply, Stop> {
        self.signed_in_lately()?;
        let now = self.now();
        let until = self.passkeys.sessions_revoked_for.map(|time| now.saturating_add(time));
        self.change_own(id, &|account, id| {
            let over = account.remove(id, until, now)?;
            let mut more = Change { delete: vec![credential_name(id)], ..Change::default() };
            more.delete.extend(over.iter().map(|id| revocation_name(id)));
            more.put.extend(until.map(|until| revocation(id, now, until)));
            Ok((Value::Null, more))
        })?;
        self.attempt.trace.detail = Some("passkey removed".to_owned());
        Ok(Reply::private(DETAILS, None))
    }

    pub(super) fn sign_out(&self) -> Result<Reply, Stop> {
        Ok(self.sessions()?.signed_out())
    }

    /// Whoever asks by a session must have signed in lately: a session that somebody left open, or lost, is no way to make
    /// oneself a passkey for good, or to take the owner's away.
    pub(super) fn signed_in_lately(&mut self) -> Result<(), Stop> {
        let max_age = self.passkeys.spec.session_max_age;
        let Some(caller) = self.admitted.callers.principal.clone() else { return Ok(()) };
        if !self.is_session(&caller) {
            return Ok(());
        }
        let login = caller.principal.claims.object().get("auth_time").and_then(numeric_date);
        if login.is_some_and(|login| self.now().since(login) <= max_age) {
            return Ok(());
        }
        let sessions = self.sessions()?.name().to_owned();
        let options = self.passkeys.sign_in_path();
        Err(self.step_up(PasskeyUse::SignIn { sessions, max_age, options }.into()))
    }

    /// Whoever makes a passkey by a token must have logged in as the policy says: half a login must not become a whole one.
    pub(super) fn logged_in_well(&mut self) -> Result<(), Stop> {
        self.signed_in_lately()?;
        let (Some(caller), Some(asked)) =
            (self.admitted.callers.principal.clone(), &self.passkeys.registration_step_up)
        else {
            return Ok(());
        };
        if self.is_session(&caller) || asked.is_met_by(&caller.principal, self.now()) {
            return Ok(());
        }
        Err(self.step_up(asked.clone()))
    }

    /// Whether a caller came by a session of ours.
    pub(super) fn is_session(&self, caller: &Caller) -> bool {
        let sessions = self.attempt.policy().sessions();
        sessions.is_some_and(|sessions| caller.principal.provider() == Some(sessions.name()))
    }

    /// Whose passkeys are asked about.
    pub(super) fn subject(&self) -> Result<String, Stop> {
        let caller = self.admitted.callers.principal.as_ref();
        caller
            .map(|caller| caller.principal.subject.to_string())
            .ok_or_else(|| Reason::CredentialsMissing.into())
    }

    /// Whose passkeys confirm what is asked: users of one's own, by a session or a token of the provider by whose tokens
    /// passkeys are made. Somebody else may be called the same.
    pub(super) fn confirming_subject(&mut self) -> Result<String, Stop> {
        let subject = self.subject()?;
        let caller = self.admitted.callers.principal.clone();
        let registers = self.passkeys.spec.provider.as_deref();
        let is_own = caller.is_some_and(|caller| {
            self.is_session(&caller) || registers.is_some() && caller.principal.provider() == registers
        });
        if is_own {
            return Ok(subject);
        }
        Err(self.refused(&"passkeys are not of whoever asks", Reason::PasskeyRefused))
    }

    /// What `change` makes of the passkey with this id, of whoever asks.
    fn change_own(&mut self, id: &str, change: &ToPasskey<'_>) -> Result<Value, Stop> {
        let id = base64url::decode(id.as_bytes()).ok_or(Reason::NotFound)?;
        let subject = self.subject()?;
        for _ in 0..TRIES {
            // That of somebody else is not told apart from none.
            let (mut account, revision) = self.account(&subject)?.ok_or(Reason::NotFound)?;
            let (changed, mut wanted) = match change(&mut account, &id) {
                Ok(changed) => changed,
                Err(NotRemoved::Unknown) => return Err(Reason::NotFound.into()),
                Err(NotRemoved::TooMany) => {
                    let detail = "more passkeys were removed lately than are remembered";
                    return Err(self.refused(&detail, Reason::PasskeyRefused));
                }
            };
            let name = account_name(&subject);
            wanted.unless_changed.push((name.clone(), revision));
            wanted.put.push((name, account.to_json()));
            if self.change(wanted)? {
                return Ok(changed);
            }
        }
        Err(self.refused(&"the account is changed all the time", Reason::PasskeysUnavailable))
    }
}
