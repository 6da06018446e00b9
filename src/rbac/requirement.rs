//! What a rule asks for, and whether a principal has it.

use super::{
    AlternativeSpec, Names, OwnerSpec, RequirementSpec,
    grants::{Bits, Grants, Vocabulary},
};
use crate::{identity::Principal, problem::Reason};

/// A compiled requirement: one of the alternatives must hold.
#[derive(Clone, Debug)]
pub struct Requirement {
    // INVARIANT: never empty; an empty list would deny everyone, never allow.
    any_of: Vec<Alternative>,
}

#[derive(Clone, Debug)]
struct Alternative {
    scopes: Option<Need>,
    /// The names behind `scopes`, for the `insufficient_scope` challenge.
    scope_names: Vec<String>,
    permissions: Option<Need>,
    roles: Option<Need>,
    owner: Option<OwnerSpec>,
}

#[derive(Clone, Debug)]
enum Need {
    All(Bits),
    Any(Bits),
}

impl Need {
    fn is_met_by(&self, held: &Bits) -> bool {
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
}

impl Requirement {
    /// `vocabulary` must have been compiled with this `spec`.
    pub fn compile(spec: &RequirementSpec, vocabulary: &Vocabulary) -> Self {
        Self { any_of: spec.any_of.iter().map(|spec| Alternative::compile(spec, vocabulary)).collect() }
    }

    /// Whether `principal`, holding `grants`, may. `variable` gives the values of path variables.
    ///
    /// When nothing holds, the first alternative says what is missing: it is the one the policy names first.
    pub fn check<'a>(
        &self,
        principal: &Principal,
        grants: &Grants,
        variable: impl Fn(&str) -> Option<&'a str>,
    ) -> Result<(), Denial> {
        let mut first = None;
        for alternative in &self.any_of {
            match alternative.check(principal, grants, &variable) {
                Ok(()) => return Ok(()),
                Err(reason) => _ = first.get_or_insert((reason, alternative)),
            }
        }
        let (reason, scopes) = match first {
            // RFC 6750 section 3: the challenge names the scopes that the resource needs, not only the missing
            // ones: a client replaces its token by one that has them all.
            Some((Reason::InsufficientScope, alternative)) => {
                (Reason::InsufficientScope, alternative.scope_names.clone())
            }
            Some((reason, _)) => (reason, Vec::new()),
            None => (Reason::RuleDenied, Vec::new()),
        };
        Err(Denial { reason, scopes })
    }
}

impl Alternative {
    fn compile(spec: &AlternativeSpec, vocabulary: &Vocabulary) -> Self {
        let need = |names: &Option<Names>, bits: fn(&Vocabulary, &[String]) -> Bits| {
            names.as_ref().map(|names| match names {
                Names::All(names) => Need::All(bits(vocabulary, names)),
                Names::Any(names) => Need::Any(bits(vocabulary, names)),
            })
        };
        Self {
            scopes: need(&spec.scopes, Vocabulary::scope_bits),
            scope_names: match &spec.scopes {
                Some(Names::All(names) | Names::Any(names)) => names.clone(),
                None => Vec::new(),
            },
            permissions: need(&spec.permissions, Vocabulary::permission_bits),
            roles: need(&spec.roles, Vocabulary::role_bits),
            owner: spec.owner.clone(),
        }
    }

    fn check<'a>(
        &self,
        principal: &Principal,
        grants: &Grants,
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
        match &self.owner {
            Some(owner) if !owner.owns(principal, variable) => Err(Reason::NotOwner),
            _ => Ok(()),
        }
    }
}

impl OwnerSpec {
    fn owns<'a>(&self, principal: &Principal, variable: &impl Fn(&str) -> Option<&'a str>) -> bool {
        match (variable(&self.path_variable), principal.claim_text(&self.claim)) {
            (Some(wanted), Some(held)) => !held.is_empty() && wanted == held,
            _ => false,
        }
    }
}
