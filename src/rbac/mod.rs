//! Roles, permissions, scopes and ownership.

mod bits;
mod claims;
mod conditions;
mod grants;
mod holders;
mod requirement;
mod step_up;

pub use claims::{ClaimCondition, ClaimTest, ClaimValue};
pub(crate) use grants::Audiences;
pub use grants::{Grants, Vocabulary};
pub(crate) use holders::{Holders, Lack};
pub use requirement::{Asking, Denial, Requirement};
pub use step_up::{PasskeyUse, StepUp, Unconfirmed};

use crate::{
    identity::{ClaimPath, Party},
    network::Networks,
};

/// A role, as configured.
#[derive(Clone, Debug)]
pub struct RoleSpec {
    /// Unique.
    pub name: String,
    /// Roles whose permissions this one has too.
    pub inherits: Vec<String>,
    /// `orders:read`, `orders:*` or `*`.
    pub permissions: Vec<String>,
}

/// What a rule asks of a principal beyond being one.
#[derive(Clone, Debug, Default)]
pub struct RequirementSpec {
    /// Each of the alternatives is complete in itself; one must hold. Never empty.
    pub any_of: Vec<AlternativeSpec>,
    /// The document lists them under `anyOf`; for the paths of faults alone.
    pub listed: bool,
}

/// What must all hold; something is asked.
#[derive(Clone, Debug, Default)]
pub struct AlternativeSpec {
    /// What must hold.
    pub conditions: ConditionsSpec,
    /// `None`: not asked.
    pub owner: Option<OwnerSpec>,
    /// `None`: not asked. Only tokens can say how their user logged in.
    pub step_up: Option<StepUp>,
    /// None of these may hold. In each of them at least one condition is given.
    pub none_of: Vec<ConditionsSpec>,
    /// What the actor needs, who has neither a login nor an actor; `None`: nothing.
    pub actor: Option<Box<AlternativeSpec>>,
}

/// Conditions that must all hold.
#[derive(Clone, Debug, Default)]
pub struct ConditionsSpec {
    /// `None`: not asked.
    pub scopes: Option<RequiredNames>,
    /// `None`: not asked.
    pub permissions: Option<RequiredNames>,
    /// `None`: not asked.
    pub roles: Option<RequiredNames>,
    /// All of these; empty: not asked.
    pub claims: Vec<ClaimCondition>,
    /// The client's address is in one of these; empty: not asked.
    pub remote_address: Networks,
}

impl From<ConditionsSpec> for AlternativeSpec {
    fn from(conditions: ConditionsSpec) -> Self {
        Self { conditions, ..Self::default() }
    }
}

impl RequirementSpec {
    /// All conditions of all alternatives, also those of which none may hold.
    pub(crate) fn conditions(&self) -> impl Iterator<Item = &ConditionsSpec> {
        let asked = self.asked_of(Party::Principal).chain(self.asked_of(Party::Actor));
        asked.flat_map(|alternative| [&alternative.conditions].into_iter().chain(&alternative.none_of))
    }

    /// What is asked of `party`, in one alternative or another.
    pub(crate) fn asked_of(&self, party: Party) -> impl Iterator<Item = &AlternativeSpec> {
        self.any_of.iter().filter_map(move |alternative| match party {
            Party::Principal => Some(alternative),
            Party::Actor => alternative.actor.as_deref(),
        })
    }

    /// Whether anything is asked of an actor.
    pub(crate) fn asks_for_actor(&self) -> bool {
        self.asked_of(Party::Actor).next().is_some()
    }

    /// Whether nothing but the client's address is asked for.
    pub(crate) fn is_of_address(&self) -> bool {
        let needs_principal = |conditions: &ConditionsSpec| {
            let ConditionsSpec { scopes, permissions, roles, claims, remote_address: _ } = conditions;
            scopes.is_some() || permissions.is_some() || roles.is_some() || !claims.is_empty()
        };
        let of_principal =
            |alternative: &AlternativeSpec| alternative.owner.is_some() || alternative.step_up.is_some();
        !self.asks_for_actor()
            && !self.conditions().any(needs_principal)
            && !self.any_of.iter().any(of_principal)
    }

    /// Whether the client's address is asked for.
    pub(crate) fn asks_for_address(&self) -> bool {
        self.conditions().any(|conditions| !conditions.remote_address.is_empty())
    }
}

/// A list of names of which all or any are needed; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequiredNames {
    /// Every one.
    All(Vec<String>),
    /// At least one.
    Any(Vec<String>),
}

/// A path variable must equal a claim, or a member of one that is a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerSpec {
    /// A variable of every path template of the rule.
    pub path_variable: String,
    /// Default `sub`. Text and whole numbers are compared exactly; other types never match.
    pub claim: ClaimPath,
}
