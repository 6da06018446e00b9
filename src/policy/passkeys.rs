//! Passkeys, compiled: what the engine has for ceremonies.

use std::time::Duration;

use serde_json::json;

use crate::{
    config::PasskeysSection,
    fault::Fault,
    jose::SigningKeys,
    passkeys::{CeremonyRule, ChallengeKeys, PasskeyStoreSpec, PasskeysSpec},
    rbac::StepUp,
    replica::ReplicaSpec,
    webauthn::{RelyingParty, UserVerification},
};

/// How much longer than it lasts a session may be taken: clocks of gateways differ.
const CLOCKS: Duration = Duration::from_secs(300);

/// What the gateway does with passkeys.
pub(crate) struct Passkeys {
    pub(crate) spec: PasskeysSpec,
    pub(crate) relying_party: RelyingParty,
    pub(crate) challenge_keys: ChallengeKeys,
    /// How whoever makes a passkey by a token of the provider must have logged in; `None`: anyhow.
    pub(crate) registration_step_up: Option<StepUp>,
    /// What `/.well-known/webauthn` says; `None`: there are no related origins, and so no such document.
    pub(crate) related_origins: Option<String>,
    /// For how long the sessions of a passkey that is removed are revoked, where revocations are kept in the same store;
    /// `None`: they go on until they expire.
    pub(crate) sessions_revoked_for: Option<Duration>,
    /// The place of the first of [`CeremonyRule::ALL`] among the rules of the policy; the others follow.
    first_rule: usize,
}

impl Passkeys {
    /// `first_rule` is the place of the first of the section's rules, `sessions` how long sessions last, `revocations` where
    /// what is revoked is kept.
    ///
    /// # Errors
    /// What is wrong with the relying party.
    pub(super) fn compile(
        section: PasskeysSection,
        keys: &SigningKeys,
        sessions: Option<Duration>,
        revocations: Option<&ReplicaSpec>,
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
        let is_here = |revocations: &&ReplicaSpec| match &section.spec.store {
            PasskeyStoreSpec::Etcd(own) => own.is_where(&revocations.server),
            PasskeyStoreSpec::SharedData => false,
        };
        let sessions_revoked_for = sessions
            .filter(|_| revocations.as_ref().is_some_and(is_here))
            .map(|time| time.saturating_add(CLOCKS));
        Ok(Self {
            spec: section.spec,
            relying_party,
            challenge_keys,
            registration_step_up,
            related_origins,
            sessions_revoked_for,
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

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::{
        crypto::{Algorithm, new_private_jwk},
        passkeys::REVOCATIONS,
        policy::Policy,
        revocation::{Kind, SCHEMA},
    };

    #[test]
    fn revocations_are_called_so() {
        assert_eq!(REVOCATIONS, format!("{SCHEMA}{}/", Kind::Passkey.as_str()));
    }

    #[test]
    fn sessions_end_with_their_passkey_where_one_store_has_both() {
        let store = json!({"uri": "https://etcd:2379", "cluster": "etcd"});
        let with = |name: &str, value: &str| {
            let mut store = store.clone();
            store[name] = value.into();
            json!({"etcd": store})
        };
        let kept = json!({"etcd": store});
        for (passkeys, revocation, expected) in [
            (kept.clone(), kept.clone(), Some(900 + 300)),
            (kept.clone(), with("cluster", "other-way"), Some(900 + 300)),
            (kept.clone(), with("prefix", "/other/"), None),
            (kept.clone(), with("uri", "https://etcd.other:2379"), None),
            (kept.clone(), json!({"tokens": {"jti": ["a"]}}), None),
            (kept.clone(), Value::Null, None),
            (json!({"sharedData": true}), kept.clone(), None),
        ] {
            let mut document = json!({
                "signingKeys": {"keys": [new_private_jwk(Algorithm::EdDsa).unwrap()]},
                "sessions": {"issuer": "https://gateway.example", "audiences": ["api"]},
                "passkeys": {"relyingParty": {"id": "example.org", "origins": ["https://example.org"]}},
                "rules": [{"name": "own", "authenticate": {"anyOf": [{"jwt": "sessions"}]}}],
            });
            document["passkeys"].as_object_mut().unwrap().extend(passkeys.as_object().unwrap().clone());
            if !revocation.is_null() {
                document["revocation"] = revocation.clone();
            }
            let policy = Policy::compile(document.to_string().as_bytes(), "test").unwrap();
            let found = policy.passkeys.unwrap().sessions_revoked_for.map(|time| time.as_secs());
            assert_eq!(found, expected, "{passkeys} {revocation}");
        }
    }
}
