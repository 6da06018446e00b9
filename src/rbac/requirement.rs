//! What a rule asks for, and whether a principal has it.

use std::net::IpAddr;

use super::{
    AlternativeSpec, OwnerSpec, RequiredNames, RequirementSpec, StepUp, Unconfirmed,
    conditions::{Conditions, Need},
    grants::{Grants, Vocabulary},
};
use crate::{
    answer::Reason,
    identity::{Party, Principal},
    time::Clock,
};

/// A compiled requirement: one of the alternatives must hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    // INVARIANT: never empty; an empty list would deny everyone, never allow.
    pub(super) any_of: Vec<Alternative>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alternative {
    pub(super) conditions: Conditions,
    /// Scopes that suffice, for challenges: of `anyOf` the first.
    scope_names: Vec<String>,
    pub(super) owner: Option<OwnerSpec>,
    pub(super) step_up: Option<StepUp>,
    none_of: Vec<Conditions>,
    /// What the actor needs.
    actor: Option<Box<Alternative>>,
}

/// Who asks, from where and when.
#[derive(Clone, Copy)]
pub struct Asking<'a> {
    /// `None`: nobody knows who it is.
    pub caller: Option<(&'a Principal, &'a Grants)>,
    /// Who acts for the caller; `None`: nobody else.
    pub actor: Option<(&'a Principal, &'a Grants)>,
    /// The client's address; `None` where it could not be read, which meets no condition and rules out none.
    pub remote_address: Option<IpAddr>,
    /// The time.
    pub clock: &'a Clock,
}

/// Of whom nothing is known.
static NOTHING: Grants = Grants::NONE;

/// Why a principal may not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// What is missing.
    pub reason: Reason,
    /// Who misses it.
    pub party: Party,
    /// The scopes to ask for, with [`Reason::InsufficientScope`]; else empty.
    pub scopes: Vec<String>,
    /// How the user must log in, with [`Reason::InsufficientUserAuthentication`]; else `None`.
    pub step_up: Option<Box<StepUp>>,
}

impl From<Reason> for Denial {
    fn from(reason: Reason) -> Self {
        Self { reason, party: Party::Principal, scopes: Vec::new(), step_up: None }
    }
}

impl Requirement {
    /// `vocabulary` must have been compiled with this `spec`.
    pub fn compile(spec: &RequirementSpec, vocabulary: &Vocabulary) -> Self {
        Self { any_of: spec.any_of.iter().map(|spec| Alternative::compile(spec, vocabulary)).collect() }
    }

    /// The scopes for `party` to ask for, while it has no token yet: what suffices for the first alternative, which is the
    /// one that the policy names first. May be empty.
    pub(crate) fn scopes(&self, party: Party) -> &[String] {
        let first = self.any_of.first().and_then(|first| first.of(party));
        first.map(|asked| asked.scope_names.as_slice()).unwrap_or_default()
    }

    /// The names that the holder of `grants`, the `party` that was refused for `reason`, is missing. All of them are
    /// needed, or any one where the policy says so. Empty where `reason` is not about names.
    ///
    /// They are those of the first alternative, since a reason that is about names always comes from that one.
    #[cold]
    pub(crate) fn missing<'a>(
        &'a self,
        reason: Reason,
        party: Party,
        grants: &'a Grants,
        vocabulary: &'a Vocabulary,
    ) -> Vec<&'a str> {
        let first = self.any_of.first().and_then(|first| first.of(party));
        let Some(Alternative { conditions: first, .. }) = first else { return Vec::new() };
        let (need, index, held) = match reason {
            Reason::InsufficientScope => (&first.scopes, &vocabulary.scopes, &grants.scopes),
            Reason::InsufficientPermission => {
                (&first.permissions, &vocabulary.permissions, &grants.permissions)
            }
            Reason::InsufficientRole => (&first.roles, &vocabulary.roles, &grants.roles),
            Reason::InsufficientClaims => {
                let lacking =
                    first.claims.as_ref().map(|needed| vocabulary.claims_lacking(needed, &grants.claims_met));
                return lacking.map(Iterator::collect).unwrap_or_default();
            }
            _ => return Vec::new(),
        };
        let needed = need.as_ref().map(|(Need::All(needed) | Need::Any(needed))| needed);
        needed.map(|needed| index.lacking(needed, held).collect()).unwrap_or_default()
    }

    /// Whether whoever asks may now, and what is to be confirmed if so. `variable` gives the values of path variables.
    ///
    /// An alternative that asks for nothing to be confirmed comes before those that do, wherever it stands.
    ///
    /// When nothing holds, the first alternative that only wants another login says so, since the client can see to
    /// that; else the first alternative says what is missing: it is the one the policy names first.
    pub fn check<'a>(
        &self,
        asking: Asking<'_>,
        variable: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<Option<Unconfirmed>, Denial> {
        let (mut first, mut login, mut unconfirmed) = (None, None, None);
        for alternative in &self.any_of {
            match alternative.check(asking, &variable) {
                Ok(()) => match alternative.step_up.as_ref().and_then(StepUp::unconfirmed) {
                    None => return Ok(None),
                    Some(asked) => _ = unconfirmed.get_or_insert(asked),
                },
                Err((Reason::InsufficientUserAuthentication, _)) => _ = login.get_or_insert(alternative),
                Err((reason, party)) => _ = first.get_or_insert((reason, party, alternative)),
            }
        }
        if let Some(asked) = unconfirmed {
            return Ok(Some(asked));
        }
        Err(match (login, first) {
            (Some(alternative), _) => Denial {
                step_up: alternative.step_up.clone().map(Box::new),
                ..Reason::InsufficientUserAuthentication.into()
            },
            // RFC 6750 section 3: the challenge names the scopes that the resource needs, not only the missing
            // ones: a client replaces its token by one that has them all.
            (None, Some((reason @ Reason::InsufficientScope, party, alternative))) => {
                let scopes = alternative.of(party).map(|asked| asked.scope_names.clone());
                Denial { party, scopes: scopes.unwrap_or_default(), ..reason.into() }
            }
            (None, Some((reason, party, _))) => Denial { party, ..reason.into() },
            (None, None) => Reason::RuleDenied.into(),
        })
    }
}

impl Alternative {
    fn compile(spec: &AlternativeSpec, vocabulary: &Vocabulary) -> Self {
        let compiled = |conditions| Conditions::compile(conditions, vocabulary);
        Self {
            conditions: compiled(&spec.conditions),
            scope_names: match &spec.conditions.scopes {
                Some(RequiredNames::All(names)) => names.clone(),
                Some(RequiredNames::Any(names)) => names.iter().take(1).cloned().collect(),
                None => Vec::new(),
            },
            owner: spec.owner.clone(),
            step_up: spec.step_up.clone(),
            none_of: spec.none_of.iter().map(compiled).collect(),
            actor: spec.actor.as_ref().map(|spec| Box::new(Self::compile(spec, vocabulary))),
        }
    }

    /// What is asked of `party`.
    pub(super) fn of(&self, party: Party) -> Option<&Self> {
        match party {
            Party::Principal => Some(self),
            Party::Actor => self.actor.as_deref(),
        }
    }

    fn check<'a>(
        &self,
        asking: Asking<'_>,
        variable: &impl Fn(&str) -> Option<&'a str>,
    ) -> Result<(), (Reason, Party)> {
        let principal = asking.caller;
        self.check_held(principal, asking.remote_address, variable)
            .map_err(|reason| (reason, Party::Principal))?;
        if let Some(asked) = &self.actor {
            let held = asked.check_held(asking.actor, asking.remote_address, variable);
            held.map_err(|reason| (reason, Party::Actor))?;
        }
        // Last: nobody is sent to log in for something that would be refused afterwards.
        match &self.step_up {
            Some(step_up)
                if !principal
                    .is_some_and(|(principal, _)| step_up.is_met_by(principal, asking.clock.now())) =>
            {
                Err((Reason::InsufficientUserAuthentication, Party::Principal))
            }
            _ => Ok(()),
        }
    }

    /// Whether all is held by `caller` that is asked of one, however it logged in.
    fn check_held<'a>(
        &self,
        caller: Option<(&Principal, &Grants)>,
        remote_address: Option<IpAddr>,
        variable: &impl Fn(&str) -> Option<&'a str>,
    ) -> Result<(), Reason> {
        let (principal, grants) = match caller {
            Some((principal, grants)) => (Some(principal), grants),
            None => (None, &NOTHING),
        };
        if let Some(reason) = self.conditions.unmet(grants, remote_address) {
            return Err(reason);
        }
        let may_hold = |excluded: &&Conditions| !excluded.are_surely_unmet(grants, remote_address);
        if let Some(excluded) = self.none_of.iter().find(may_hold) {
            let of_address = excluded.are_of_address();
            return Err(if of_address { Reason::AddressNotAllowed } else { Reason::PrincipalExcluded });
        }
        if let Some(owner) = &self.owner
            && !principal.is_some_and(|principal| owner.owns(principal, variable))
        {
            return Err(Reason::NotOwner);
        }
        Ok(())
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
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::{
        identity::{ClaimPath, PrincipalKind},
        network::Networks,
        rbac::{ClaimCondition, ClaimTest, ClaimValue, ConditionsSpec, PasskeyUse, RoleSpec},
        time::Timestamp,
    };

    const NOW: u64 = 1_800_000_000;

    fn principal(kind: PrincipalKind, claims: &Value, roles: &[&str]) -> Principal {
        let roles = roles.iter().map(|role| Box::from(*role)).collect();
        Principal { roles, ..Principal::alice(kind, claims) }
    }

    fn denial(any_of: &[AlternativeSpec], principal: &Principal) -> Option<Denial> {
        denial_from(any_of, principal, None)
    }

    fn denial_from(
        any_of: &[AlternativeSpec],
        principal: &Principal,
        remote_address: Option<IpAddr>,
    ) -> Option<Denial> {
        let spec = RequirementSpec { any_of: any_of.to_vec(), listed: true };
        let role = |name: &str| RoleSpec { name: name.into(), inherits: vec![], permissions: vec![] };
        let vocabulary = Vocabulary::compile(&[role("admin"), role("editor")], [&spec]);
        let grants = vocabulary.grants(principal);
        let clock = Clock::at(Timestamp::from_secs(NOW));
        let asking =
            Asking { caller: Some((principal, &grants)), actor: None, remote_address, clock: &clock };
        Requirement::compile(&spec, &vocabulary).check(asking, |_| None).err()
    }

    fn step_up(acr_values: &[&str], max_age: Option<u64>) -> StepUp {
        StepUp {
            acr_values: acr_values.iter().map(|value| (*value).to_owned()).collect(),
            max_age: max_age.map(Duration::from_secs),
            passkey: None,
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
                step_up: Some(Box::new(asked.clone())),
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
    fn passkeys_that_suffice_and_those_that_do_not() {
        let by_sign_in = |max_age| StepUp {
            passkey: Some(PasskeyUse::SignIn {
                sessions: "corp".to_owned(),
                max_age: Duration::from_secs(max_age),
                options: "/options".to_owned(),
            }),
            ..StepUp::default()
        };
        let confirmed = |with_body| StepUp {
            passkey: Some(PasskeyUse::Confirmation { with_body, options: "/options".to_owned() }),
            ..StepUp::default()
        };
        let needed = || Some(RequiredNames::All(vec!["admin".to_owned()]));
        let of = |step_up: &StepUp, roles| AlternativeSpec {
            conditions: ConditionsSpec { roles, ..ConditionsSpec::default() },
            step_up: Some(step_up.clone()),
            ..AlternativeSpec::default()
        };
        let asked = |any_of: &[AlternativeSpec], authority: &str, login: u64| {
            let spec = RequirementSpec { any_of: any_of.to_vec(), listed: true };
            let role = |name: &str| RoleSpec { name: name.into(), inherits: vec![], permissions: vec![] };
            let vocabulary = Vocabulary::compile(&[role("admin")], [&spec]);
            let alice = principal(PrincipalKind::Jwt, &json!({"auth_time": login}), &[]);
            let alice = Principal { authority: authority.into(), ..alice };
            let clock = Clock::at(Timestamp::from_secs(NOW));
            let caller = Some((&alice, &vocabulary.grants(&alice)));
            let asking = Asking { caller, actor: None, remote_address: None, clock: &clock };
            let found = Requirement::compile(&spec, &vocabulary).check(asking, |_| None);
            found.map_err(|denial| denial.reason)
        };
        let login_needed = Err(Reason::InsufficientUserAuthentication);
        let (whole, head) = (Unconfirmed { with_body: true }, Unconfirmed { with_body: false });
        for (any_of, authority, age, expected) in [
            (vec![of(&by_sign_in(300), None)], "corp", 300, Ok(None)),
            (vec![of(&by_sign_in(300), None)], "corp", 301, login_needed),
            // Another provider may say that there was a login, but not that it was with one of our passkeys.
            (vec![of(&by_sign_in(300), None)], "other", 300, login_needed),
            (vec![of(&confirmed(true), None)], "other", 9000, Ok(Some(whole))),
            (vec![of(&confirmed(true), needed())], "other", 9000, Err(Reason::InsufficientRole)),
            (vec![of(&confirmed(true), None), of(&by_sign_in(300), None)], "corp", 300, Ok(None)),
            (vec![of(&by_sign_in(300), None), of(&confirmed(false), None)], "corp", 301, Ok(Some(head))),
            (vec![of(&confirmed(true), None), of(&confirmed(false), None)], "corp", 1, Ok(Some(whole))),
        ] {
            assert_eq!(asked(&any_of, authority, NOW - age), expected, "{any_of:?} {authority} {age}");
        }
    }

    #[test]
    fn a_login_is_asked_for_only_where_it_would_help() {
        let asked = step_up(&["phr"], None);
        let roles =
            |names: &[&str]| Some(RequiredNames::All(names.iter().map(|name| (*name).to_owned()).collect()));
        let admin = ConditionsSpec { roles: roles(&["admin"]), ..ConditionsSpec::default() }.into();
        let editor = AlternativeSpec {
            conditions: ConditionsSpec { roles: roles(&["editor"]), ..ConditionsSpec::default() },
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

    #[test]
    fn none_of_passes_only_whom_it_surely_does_not_mean() {
        let claims = |text: &str| ConditionsSpec {
            claims: vec![ClaimCondition {
                claim: ClaimPath::dotted("state"),
                test: ClaimTest::In(vec![ClaimValue::Text(text.to_owned())]),
            }],
            ..ConditionsSpec::default()
        };
        let network = |text: &str| ConditionsSpec {
            remote_address: Networks(vec![text.parse().unwrap()]),
            ..ConditionsSpec::default()
        };
        let role = ConditionsSpec {
            roles: Some(RequiredNames::All(vec!["editor".to_owned()])),
            ..ConditionsSpec::default()
        };
        let both = ConditionsSpec { roles: role.roles.clone(), ..network("10.0.0.0/8") };
        let (inside, outside) = (Some("10.1.2.3".parse().unwrap()), Some("192.0.2.1".parse().unwrap()));
        let mapped = Some("::ffff:10.1.2.3".parse().unwrap());
        let excluded = Some(Reason::PrincipalExcluded);
        let away = Some(Reason::AddressNotAllowed);
        let (state, nothing) = (|value: Value| json!({"state": value}), json!({}));
        for (none_of, state, roles, address, expected) in [
            (vec![claims("banned")], state(json!("good")), &[][..], None, None),
            (vec![claims("banned")], state(json!("banned")), &[], None, excluded),
            (vec![claims("banned")], nothing.clone(), &[], None, None),
            (vec![claims("banned")], state(json!(null)), &[], None, None),
            // Somebody may have meant it.
            (vec![claims("banned")], state(json!(["banned"])), &[], None, excluded),
            (vec![claims("banned")], state(json!(7)), &[], None, excluded),
            (vec![claims("banned"), claims("guest")], state(json!("guest")), &[], None, excluded),
            (vec![role.clone()], nothing.clone(), &["admin"], None, None),
            (vec![role.clone()], nothing.clone(), &["editor"], None, excluded),
            (vec![network("10.0.0.0/8")], nothing.clone(), &[], outside, None),
            (vec![network("10.0.0.0/8")], nothing.clone(), &[], inside, away),
            (vec![network("10.0.0.0/8")], nothing.clone(), &[], mapped, away),
            (vec![network("10.0.0.0/8")], nothing.clone(), &[], None, away),
            // Together they do not hold as soon as one does not.
            (vec![both.clone()], nothing.clone(), &["editor"], inside, excluded),
            (vec![both.clone()], nothing.clone(), &["editor"], outside, None),
            (vec![both.clone()], nothing.clone(), &["admin"], inside, None),
            (vec![both.clone()], nothing.clone(), &["admin"], None, None),
            (vec![both.clone()], nothing.clone(), &["editor"], None, excluded),
        ] {
            let alternative = AlternativeSpec { none_of, ..AlternativeSpec::default() };
            let principal = principal(PrincipalKind::Jwt, &state, roles);
            let found = denial_from(std::slice::from_ref(&alternative), &principal, address);
            assert_eq!(
                found.map(|denial| denial.reason),
                expected,
                "{alternative:?} {state} {roles:?} {address:?}"
            );
        }
        for (address, expected) in [(inside, None), (mapped, None), (outside, away), (None, away)] {
            let alternative = AlternativeSpec::from(network("10.0.0.0/8"));
            let principal = principal(PrincipalKind::Jwt, &nothing, &[]);
            let found = denial_from(&[alternative], &principal, address);
            assert_eq!(found.map(|denial| denial.reason), expected, "{address:?}");
        }
    }
}
