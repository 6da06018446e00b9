//! Whether anybody at all can ever have what a rule asks for, and if not, why.
//!
//! This is asked once for each policy, never for a request.

use super::{Grants, Requirement, requirement::Alternative};
use crate::identity::{Party, PrincipalKind};

/// Everybody who comes with one kind of credential.
pub(crate) struct Holders {
    kind: PrincipalKind,
    /// What each of them holds at most, most often each once.
    grants: Vec<Grants>,
}

/// The part of an alternative that none of the holders can ever have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lack {
    Scopes,
    Permissions,
    Roles,
    /// Conditions on claims.
    Claims,
    /// The claim that must equal the path's variable.
    Owner,
    /// Claims that say how the user logged in.
    StepUp,
    /// Each condition is met by some holder, but no holder meets all of them.
    AllAtOnce,
}

/// Those that are about what is held, in the order in which requests are checked for them.
const NAMED: [Lack; 4] = [Lack::Scopes, Lack::Permissions, Lack::Roles, Lack::Claims];

impl Holders {
    pub(crate) fn new(kind: PrincipalKind, grants: impl IntoIterator<Item = Grants>) -> Self {
        /// Most policies have few kinds of keys.
        const LOOKED_THROUGH: usize = 64;
        let mut distinct: Vec<Grants> = Vec::new();
        for grants in grants {
            if !distinct.iter().rev().take(LOOKED_THROUGH).any(|other| *other == grants) {
                distinct.push(grants);
            }
        }
        Self { kind, grants: distinct }
    }

    fn are_tokens(&self) -> bool {
        self.kind == PrincipalKind::Jwt
    }
}

impl Requirement {
    /// For each alternative, the part of what it asks of `party` that none of `holders` can ever have; `None`: somebody may
    /// have all of it.
    ///
    /// `tries` bounds how many of them are looked at, over all calls. When they are used up, everything is taken for
    /// possible.
    pub(crate) fn out_of_reach(
        &self,
        party: Party,
        holders: &Holders,
        tries: &mut usize,
    ) -> Vec<Option<Lack>> {
        self.any_of.iter().map(|alternative| alternative.of(party)?.lack(holders, tries)).collect()
    }
}

impl Alternative {
    fn lack(&self, holders: &Holders, tries: &mut usize) -> Option<Lack> {
        if self.step_up.is_some() && !holders.are_tokens() {
            return Some(Lack::StepUp);
        }
        // API keys and certificates have no claim but the subject.
        if self.owner.as_ref().is_some_and(|owner| !holders.are_tokens() && !owner.is_of_subject()) {
            return Some(Lack::Owner);
        }
        *tries = tries.checked_sub(holders.grants.len())?;
        let has = |grants: &Grants, lack: &Lack| self.is_met_in(*lack, grants);
        if holders.grants.iter().any(|grants| NAMED.iter().all(|lack| has(grants, lack))) {
            return None;
        }
        let lacking = NAMED.iter().find(|lack| !holders.grants.iter().any(|grants| has(grants, lack)));
        Some(lacking.copied().unwrap_or(Lack::AllAtOnce))
    }

    /// Whether `grants` meet the condition whose lack this is; true where the alternative has no such condition.
    fn is_met_in(&self, lack: Lack, grants: &Grants) -> bool {
        let asked = &self.conditions;
        let (need, held) = match lack {
            Lack::Scopes => (&asked.scopes, &grants.scopes),
            Lack::Permissions => (&asked.permissions, &grants.permissions),
            Lack::Roles => (&asked.roles, &grants.roles),
            Lack::Claims => {
                return asked.claims.as_ref().is_none_or(|claims| grants.claims_met.covers(claims));
            }
            Lack::Owner | Lack::StepUp | Lack::AllAtOnce => return true,
        };
        need.as_ref().is_none_or(|need| need.is_met_by(held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identity::ClaimPath,
        rbac::{
            AlternativeSpec, ClaimCondition, ClaimTest, ConditionsSpec, OwnerSpec, RequiredNames,
            RequirementSpec, RoleSpec, StepUp, Vocabulary,
        },
    };

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn all(of: &[&str]) -> Option<RequiredNames> {
        Some(RequiredNames::All(names(of)))
    }

    fn any(of: &[&str]) -> Option<RequiredNames> {
        Some(RequiredNames::Any(names(of)))
    }

    #[test]
    fn what_nobody_can_have_and_its_neighbour() {
        let (none, asked, of) = (AlternativeSpec::default, ConditionsSpec::default, AlternativeSpec::from);
        let owner =
            |claim: &str| Some(OwnerSpec { path_variable: "user".into(), claim: ClaimPath::dotted(claim) });
        let claim = |claim: &str| ConditionsSpec {
            claims: vec![ClaimCondition { claim: ClaimPath::dotted(claim), test: ClaimTest::Present }],
            ..ConditionsSpec::default()
        };
        let step_up = || Some(StepUp { acr_values: names(&["phr"]), ..StepUp::default() });
        let role = |name: &str, permissions: &[&str]| RoleSpec {
            name: name.into(),
            inherits: vec![],
            permissions: names(permissions),
        };
        let roles = [role("viewer", &["orders:read"]), role("editor", &["orders:*"])];
        // Tokens with roles, tokens without, and the holders of two keys or certificates: one has the scope `a`, the
        // other the role `viewer` and the scope `b`.
        let rows: [(AlternativeSpec, [Option<Lack>; 3]); 17] = [
            (of(ConditionsSpec { scopes: all(&["a"]), ..asked() }), [None, None, None]),
            (of(ConditionsSpec { scopes: all(&["a", "b"]), ..asked() }), [None, None, Some(Lack::Scopes)]),
            (of(ConditionsSpec { scopes: any(&["a", "c"]), ..asked() }), [None, None, None]),
            (of(ConditionsSpec { scopes: all(&["c"]), ..asked() }), [None, None, Some(Lack::Scopes)]),
            (of(ConditionsSpec { scopes: any(&["c", "d"]), ..asked() }), [None, None, Some(Lack::Scopes)]),
            (of(ConditionsSpec { roles: all(&["viewer"]), ..asked() }), [None, Some(Lack::Roles), None]),
            (
                of(ConditionsSpec { roles: all(&["viewer", "editor"]), ..asked() }),
                [None, Some(Lack::Roles), Some(Lack::Roles)],
            ),
            (
                of(ConditionsSpec { permissions: all(&["orders:read"]), ..asked() }),
                [None, Some(Lack::Permissions), None],
            ),
            (
                of(ConditionsSpec { permissions: all(&["orders:write"]), ..asked() }),
                [None, Some(Lack::Permissions), Some(Lack::Permissions)],
            ),
            // A level alone grants it.
            (
                of(ConditionsSpec { permissions: all(&["level:only"]), ..asked() }),
                [Some(Lack::Permissions); 3],
            ),
            (
                of(ConditionsSpec { scopes: all(&["a"]), roles: all(&["viewer"]), ..asked() }),
                [None, Some(Lack::Roles), Some(Lack::AllAtOnce)],
            ),
            (of(claim("sub")), [None, None, None]),
            (of(claim("department")), [None, None, Some(Lack::Claims)]),
            // What is ruled out is not asked.
            (AlternativeSpec { none_of: vec![claim("department")], ..none() }, [None, None, None]),
            (AlternativeSpec { owner: owner("sub"), ..none() }, [None, None, None]),
            (AlternativeSpec { owner: owner("tenant"), ..none() }, [None, None, Some(Lack::Owner)]),
            (AlternativeSpec { step_up: step_up(), ..none() }, [None, None, Some(Lack::StepUp)]),
        ];
        for (alternative, expected) in rows {
            let shown = format!("{alternative:?}");
            let spec = RequirementSpec { any_of: vec![alternative], listed: false };
            let vocabulary = Vocabulary::compile(&roles, [&spec]);
            let requirement = Requirement::compile(&spec, &vocabulary);
            let granted = |scopes: &[&str], roles: &[&str]| vocabulary.granted(&names(scopes), &names(roles));
            let held = [granted(&["a"], &[]), granted(&["b"], &["viewer"])];
            let token = |has_roles| Holders::new(PrincipalKind::Jwt, [vocabulary.most_of_a_token(has_roles)]);
            for kind in [PrincipalKind::ApiKey, PrincipalKind::ClientCertificate] {
                let holders = [token(true), token(false), Holders::new(kind, held.clone())];
                let lacks =
                    holders.map(|holders| requirement.out_of_reach(Party::Principal, &holders, &mut 100));
                assert_eq!(lacks, expected.map(|lack| vec![lack]), "{shown}");
            }
            // Nothing is said of what was not looked at.
            let keys = Holders::new(PrincipalKind::ApiKey, held.clone());
            let unsure = requirement.out_of_reach(Party::Principal, &keys, &mut 0);
            assert!(matches!(unsure[..], [None | Some(Lack::Owner | Lack::StepUp)]), "{shown}");
        }
    }
}
