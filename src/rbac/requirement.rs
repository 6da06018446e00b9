//! What a rule asks for, and whether a principal has it.

use super::{
    AlternativeSpec, OwnerSpec, RequiredNames, RequirementSpec, StepUp,
    grants::{Bits, Grants, Vocabulary},
};
use crate::{answer::Reason, identity::Principal, time::Clock};

/// A compiled requirement: one of the alternatives must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    // INVARIANT: never empty; an empty list would deny everyone, never allow.
    pub(super) any_of: Vec<Alternative>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alternative {
    pub(super) scopes: Option<Need>,
    /// Scopes that suffice, for challenges: of `anyOf` the first.
    scope_names: Vec<String>,
    pub(super) permissions: Option<Need>,
    pub(super) roles: Option<Need>,
    pub(super) owner: Option<OwnerSpec>,
    pub(super) step_up: Option<StepUp>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Need {
    All(Bits),
    Any(Bits),
}

impl Need {
    pub(super) fn is_met_by(&self, held: &Bits) -> bool {
        match self {
            Self::All(needed) => held.covers(needed),
            Self::Any(needed) => held.meets(needed),
        }
    }
}

/// Why a principal may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What is missing.
    pub reason: Reason,
    /// The scopes to ask for, with [`Reason::InsufficientScope`]; else empty.
    pub scopes: Vec<String>,
    /// How the user must log in, with [`Reason::InsufficientUserAuthentication`]; else `None`.
    pub step_up: Option<StepUp>,
}

impl From<Reason> for Denial {
    fn from(reason: Reason) -> Self {
        Self { reason, scopes: Vec::new(), step_up: None }
    }
}

impl Requirement {
    /// `vocabulary` must have been compiled with this `spec`.
    pub fn compile(spec: &RequirementSpec, vocabulary: &Vocabulary) -> Self {
        Self { any_of: spec.any_of.iter().map(|spec| Alternative::compile(spec, vocabulary)).collect() }
    }

    /// The scopes to ask for, to whoever has no token yet: what suffices for the first alternative, which is the one
    /// that the policy names first. May be empty.
    pub(crate) fn scopes(&self) -> &[String] {
        self.any_of.first().map(|alternative| alternative.scope_names.as_slice()).unwrap_or_default()
    }

    /// The names that the holder of `grants`, who was refused for `reason`, is missing. All of them are needed, or any
    /// one where the policy says so. Empty where `reason` is not about names.
    ///
    /// They are those of the first alternative, since a reason that is about names always comes from that one.
    #[cold]
    pub(crate) fn missing<'a>(
        &'a self,
        reason: Reason,
        grants: &'a Grants,
        vocabulary: &'a Vocabulary,
    ) -> Vec<&'a str> {
        let Some(first) = self.any_of.first() else { return Vec::new() };
        let (need, index, held) = match reason {
            Reason::InsufficientScope => (&first.scopes, &vocabulary.scopes, &grants.scopes),
            Reason::InsufficientPermission => {
                (&first.permissions, &vocabulary.permissions, &grants.permissions)
            }
            Reason::InsufficientRole => (&first.roles, &vocabulary.roles, &grants.roles),
            _ => return Vec::new(),
        };
        let needed = need.as_ref().map(|(Need::All(needed) | Need::Any(needed))| needed);
        needed.map(|needed| index.lacking(needed, held).collect()).unwrap_or_default()
    }

    /// Whether `principal`, holding `grants`, may now. `variable` gives the values of path variables.
    ///
    /// When nothing holds, the first alternative that only wants another login says so, since the client can see to
    /// that; else the first alternative says what is missing: it is the one the policy names first.
    pub fn check<'a>(
        &self,
        principal: &Principal,
        grants: &Grants,
        clock: &Clock,
        variable: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<(), Denial> {
        let (mut first, mut login) = (None, None);
        for alternative in &self.any_of {
            match alternative.check(principal, grants, clock, &variable) {
                Ok(()) => return Ok(()),
                Err(Reason::InsufficientUserAuthentication) => _ = login.get_or_insert(alternative),
                Err(reason) => _ = first.get_or_insert((reason, alternative)),
            }
        }
        Err(match (login, first) {
            (Some(alternative), _) => Denial {
                step_up: alternative.step_up.clone(),
                ..Reason::InsufficientUserAuthentication.into()
            },
            // RFC 6750 section 3: the challenge names the scopes that the resource needs, not only the missing
            // ones: a client replaces its token by one that has them all.
            (None, Some((reason @ Reason::InsufficientScope, alternative))) => {
                Denial { scopes: alternative.scope_names.clone(), ..reason.into() }
            }
            (None, Some((reason, _))) => reason.into(),
            (None, None) => Reason::RuleDenied.into(),
        })
    }
}

impl Alternative {
    fn compile(spec: &AlternativeSpec, vocabulary: &Vocabulary) -> Self {
        let need = |names: &Option<RequiredNames>, bits: fn(&Vocabulary, &[String]) -> Bits| {
            names.as_ref().map(|names| match names {
                RequiredNames::All(names) => Need::All(bits(vocabulary, names)),
                RequiredNames::Any(names) => Need::Any(bits(vocabulary, names)),
            })
        };
        Self {
            scopes: need(&spec.scopes, Vocabulary::scope_bits),
            scope_names: match &spec.scopes {
                Some(RequiredNames::All(names)) => names.clone(),
                Some(RequiredNames::Any(names)) => names.iter().take(1).cloned().collect(),
                None => Vec::new(),
            },
            permissions: need(&spec.permissions, Vocabulary::permission_bits),
            roles: need(&spec.roles, Vocabulary::role_bits),
            owner: spec.owner.clone(),
            step_up: spec.step_up.clone(),
        }
    }

    fn check<'a>(
        &self,
        principal: &Principal,
        grants: &Grants,
        clock: &Clock,
        variable: &impl Fn(&str) -> Option<&'a str>,
    ) -> Result<(), Reason> {
        let unmet = |need: &Option<Need>, held: &Bits| need.as_ref().is_some_and(|n| !n.is_met_by(held));
        if unmet(&self.scopes, &grants.scopes) {
            return Err(Reason::InsufficientScope);
        }
        if unmet(&self.permissions, &grants.permissions) {
            return Err(Reason::InsufficientPermission);
        }
        if unmet(&self.roles, &grants.roles) {
            return Err(Reason::InsufficientRole);
        }
        if self.owner.as_ref().is_some_and(|owner| !owner.owns(principal, variable)) {
            return Err(Reason::NotOwner);
        }
        // Last: nobody is sent to log in for something that would be refused afterwards.
        match &self.step_up {
            Some(step_up) if !step_up.is_met_by(principal, clock.now()) => {
                Err(Reason::InsufficientUserAuthentication)
            }
            _ => Ok(()),
        }
    }
}

impl OwnerSpec {
    /// Whether everybody has the claim, whatever they come with.
    pub(super) fn is_of_subject(&self) -> bool {
        self.claim.0 == ["sub"]
    }

    fn owns<'a>(&self, principal: &Principal, variable: &impl Fn(&str) -> Option<&'a str>) -> bool {
        variable(&self.path_variable)
            .is_some_and(|wanted| !wanted.is_empty() && principal.claim_is(&self.claim, wanted))
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use serde_json::{Value, json};

    use super::*;
    use crate::{identity::PrincipalKind, rbac::RoleSpec, time::Timestamp};

    const NOW: u64 = 1_800_000_000;

    fn principal(kind: PrincipalKind, claims: &Value, roles: &[&str]) -> Principal {
        Principal {
            subject: "alice".into(),
            kind,
            authority: Arc::from("corp"),
            credential_id: Box::default(),
            scopes: vec![],
            roles: roles.iter().map(|role| Box::from(*role)).collect(),
            permissions: vec![],
            tier: None,
            claims: crate::json::members(claims),
        }
    }

    fn denial(any_of: &[AlternativeSpec], principal: &Principal) -> Option<Denial> {
        let spec = RequirementSpec { any_of: any_of.to_vec(), listed: true };
        let role = |name: &str| RoleSpec { name: name.into(), inherits: vec![], permissions: vec![] };
        let vocabulary = Vocabulary::compile(&[role("admin"), role("editor")], [&spec]);
        let grants = vocabulary.grants(principal);
        Requirement::compile(&spec, &vocabulary)
            .check(principal, &grants, &Clock::at(Timestamp::from_secs(NOW)), |_| None)
            .err()
    }

    fn step_up(acr_values: &[&str], max_age: Option<u64>) -> StepUp {
        StepUp {
            acr_values: acr_values.iter().map(|value| (*value).to_owned()).collect(),
            max_age: max_age.map(Duration::from_secs),
        }
    }

    #[test]
    fn logins_that_suffice_and_those_that_do_not() {
        let (class, age, both) =
            (step_up(&["phr", "phrh"], None), step_up(&[], Some(300)), step_up(&["phr"], Some(300)));
        for (asked, claims, met) in [
            (&class, json!({"acr": "phr"}), true),
            (&class, json!({"acr": "phrh", "auth_time": 1}), true),
            (&class, json!({"acr": "PHR"}), false),
            (&class, json!({"acr": "phr phrh"}), false),
            (&class, json!({"acr": ["phr"]}), false),
            (&class, json!({"acr": ""}), false),
            (&class, json!({}), false),
            (&age, json!({"auth_time": 1_800_000_000 - 300}), true),
            (&age, json!({"auth_time": 1_800_000_000 - 301}), false),
            (&age, json!({"auth_time": 1_800_000_000}), true),
            (&age, json!({"auth_time": 1_800_000_060}), true),
            (&age, json!({"auth_time": 1_800_000_061}), false),
            (&age, json!({"auth_time": "1800000000"}), false),
            (&age, json!({"auth_time": -1}), false),
            (&age, json!({"auth_time": null}), false),
            (&age, json!({"iat": 1_800_000_000}), false),
            (&both, json!({"acr": "phr", "auth_time": 1_800_000_000}), true),
            (&both, json!({"acr": "pwd", "auth_time": 1_800_000_000}), false),
            (&both, json!({"acr": "phr", "auth_time": 1_799_999_000}), false),
        ] {
            let alternative = AlternativeSpec { step_up: Some(asked.clone()), ..AlternativeSpec::default() };
            let found =
                denial(std::slice::from_ref(&alternative), &principal(PrincipalKind::Jwt, &claims, &[]));
            let expected = (!met).then(|| Denial {
                step_up: Some(asked.clone()),
                ..Reason::InsufficientUserAuthentication.into()
            });
            assert_eq!(found, expected, "{asked:?} {claims}");
            // Nothing else than a token tells of a login.
            for kind in [PrincipalKind::ApiKey, PrincipalKind::ClientCertificate] {
                assert!(denial(std::slice::from_ref(&alternative), &principal(kind, &claims, &[])).is_some());
            }
        }
    }

    #[test]
    fn a_login_is_asked_for_only_where_it_would_help() {
        let asked = step_up(&["phr"], None);
        let roles =
            |names: &[&str]| Some(RequiredNames::All(names.iter().map(|name| (*name).to_owned()).collect()));
        let admin = AlternativeSpec { roles: roles(&["admin"]), ..AlternativeSpec::default() };
        let editor = AlternativeSpec {
            roles: roles(&["editor"]),
            step_up: Some(asked.clone()),
            ..AlternativeSpec::default()
        };
        let any = [admin, editor];
        let reason = |roles: &[&str], acr: &str| {
            let principal = principal(PrincipalKind::Jwt, &json!({"acr": acr}), roles);
            denial(&any, &principal).map(|denial| denial.reason)
        };
        assert_eq!(reason(&["admin"], "pwd"), None);
        assert_eq!(reason(&["editor"], "phr"), None);
        assert_eq!(reason(&["editor"], "pwd"), Some(Reason::InsufficientUserAuthentication));
        assert_eq!(reason(&[], "phr"), Some(Reason::InsufficientRole));
        assert_eq!(reason(&[], "pwd"), Some(Reason::InsufficientRole));
    }
}
