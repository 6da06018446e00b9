//! Roles, permissions, scopes and ownership.

mod grants;
mod holders;
mod requirement;
mod step_up;

pub use grants::{Grants, Vocabulary};
pub(crate) use holders::{Holders, Lack};
pub use requirement::{Denial, Requirement};
pub use step_up::StepUp;

use crate::identity::ClaimPath;

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

/// Conditions that must all hold; at least one is given.
#[derive(Clone, Debug, Default)]
pub struct AlternativeSpec {
    /// `None`: not asked.
    pub scopes: Option<RequiredNames>,
    /// `None`: not asked.
    pub permissions: Option<RequiredNames>,
    /// `None`: not asked.
    pub roles: Option<RequiredNames>,
    /// `None`: not asked.
    pub owner: Option<OwnerSpec>,
    /// `None`: not asked. Only tokens can say how their user logged in.
    pub step_up: Option<StepUp>,
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
