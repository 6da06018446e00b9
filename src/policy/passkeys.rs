//! Passkeys, compiled: what the engine has for ceremonies.

use serde_json::json;

use crate::{
    config::PasskeysSection,
    fault::Fault,
    jose::SigningKeys,
    passkeys::{CeremonyRule, ChallengeKeys, PasskeysSpec},
    rbac::StepUp,
    webauthn::{RelyingParty, UserVerification},
};

/// What the gateway does with passkeys.
pub(crate) struct Passkeys {
    pub(crate) spec: PasskeysSpec,
    pub(crate) relying_party: RelyingParty,
    pub(crate) challenge_keys: ChallengeKeys,
    /// How whoever makes a passkey by a token of the provider must have logged in; `None`: anyhow.
    pub(crate) registration_step_up: Option<StepUp>,
    /// What `/.well-known/webauthn` says; `None`: there are no related origins, and so no such document.
    pub(crate) related_origins: Option<String>,
    /// The place of the first of [`CeremonyRule::ALL`] among the rules of the policy; the others follow.
    first_rule: usize,
}

impl Passkeys {
    /// `first_rule` is the place of the first of the section's rules.
    ///
    /// # Errors
    /// What is wrong with the relying party.
    pub(super) fn compile(
        section: PasskeysSection,
        keys: &SigningKeys,
        first_rule: usize,
    ) -> Result<Self, Vec<Fault>> {
        let within = |fault: Fault| fault.within("passkeys.relyingParty");
        let relying_party = RelyingParty::new(section.relying_party)
            .map_err(|faults| faults.into_iter().map(within).collect::<Vec<_>>())?;
        let spec = relying_party.spec();
        let related_origins = (!spec.related_origins.is_empty()).then(|| {
            let own = spec.origins.iter().filter_map(|origin| origin.as_web());
            let all = own.chain(&spec.related_origins).map(|origin| origin.as_str());
            json!({"origins": all.collect::<Vec<_>>()}).to_string()
        });
        let challenge_keys = ChallengeKeys::new(keys.secrets(b"passkey challenges"));
        let registration_step_up = section.registration_step_up;
        Ok(Self {
            spec: section.spec,
            relying_party,
            challenge_keys,
            registration_step_up,
            related_origins,
            first_rule,
        })
    }

    /// The place of the rule that says who may ask.
    pub(crate) fn rule(&self, rule: CeremonyRule) -> usize {
        let place = CeremonyRule::ALL.iter().position(|other| *other == rule).unwrap_or_default();
        self.first_rule.saturating_add(place)
    }

    /// What is asked of whoever makes a passkey or signs in.
    pub(crate) fn user_verification(&self) -> UserVerification {
        match self.spec.requires_user_verification {
            true => UserVerification::Required,
            false => UserVerification::Preferred,
        }
    }

    /// Where somebody who must sign in again gets options.
    pub(crate) fn sign_in_path(&self) -> String {
        format!("{}authentication/options", self.spec.path)
    }

    /// Where somebody who must confirm an operation gets options.
    pub(crate) fn step_up_path(&self) -> String {
        format!("{}step-up/options", self.spec.path)
    }
}
