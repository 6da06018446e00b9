//! Conditions that must all hold, and whether they do.

use std::net::IpAddr;

use super::{
    ConditionsSpec, RequiredNames,
    bits::Bits,
    grants::{Grants, Vocabulary},
};
use crate::{answer::Reason, network::Networks};

/// Compiled conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Conditions {
    pub(super) scopes: Option<Need>,
    pub(super) permissions: Option<Need>,
    pub(super) roles: Option<Need>,
    pub(super) claims: Option<Bits>,
    /// Empty: not asked.
    pub(super) networks: Networks,
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

/// Whether something is needed that is not held.
fn lacks(need: &Option<Need>, held: &Bits) -> bool {
    need.as_ref().is_some_and(|need| !need.is_met_by(held))
}

impl Conditions {
    pub(super) fn compile(spec: &ConditionsSpec, vocabulary: &Vocabulary) -> Self {
        let need = |names: &Option<RequiredNames>, bits: fn(&Vocabulary, &[String]) -> Bits| {
            names.as_ref().map(|names| match names {
                RequiredNames::All(names) => Need::All(bits(vocabulary, names)),
                RequiredNames::Any(names) => Need::Any(bits(vocabulary, names)),
            })
        };
        Self {
            scopes: need(&spec.scopes, Vocabulary::scope_bits),
            permissions: need(&spec.permissions, Vocabulary::permission_bits),
            roles: need(&spec.roles, Vocabulary::role_bits),
            claims: (!spec.claims.is_empty()).then(|| vocabulary.claim_bits(&spec.claims)),
            networks: spec.remote_address.clone(),
        }
    }

    /// The first that does not hold, as a reason.
    pub(super) fn unmet(&self, grants: &Grants, address: Option<IpAddr>) -> Option<Reason> {
        if lacks(&self.scopes, &grants.scopes) {
            return Some(Reason::InsufficientScope);
        }
        if lacks(&self.permissions, &grants.permissions) {
            return Some(Reason::InsufficientPermission);
        }
        if lacks(&self.roles, &grants.roles) {
            return Some(Reason::InsufficientRole);
        }
        if self.claims.as_ref().is_some_and(|claims| !grants.claims_met.covers(claims)) {
            return Some(Reason::InsufficientClaims);
        }
        if !self.networks.is_empty() && !address.is_some_and(|address| self.networks.hold(address)) {
            return Some(Reason::AddressNotAllowed);
        }
        None
    }

    /// Whether one of them does not hold, for sure. An address that is not known, roles that could not be read, and a claim
    /// of another kind than what it is compared with are sure of nothing.
    pub(super) fn are_surely_unmet(&self, grants: &Grants, address: Option<IpAddr>) -> bool {
        let lacks_role = |need, held| !grants.roles_unclear && lacks(need, held);
        lacks(&self.scopes, &grants.scopes)
            || lacks_role(&self.permissions, &grants.permissions)
            || lacks_role(&self.roles, &grants.roles)
            || self.claims.as_ref().is_some_and(|claims| grants.claims_unmet.meets(claims))
            || (!self.networks.is_empty() && address.is_some_and(|address| !self.networks.hold(address)))
    }

    /// Whether nothing but the address is asked.
    pub(super) fn are_of_address(&self) -> bool {
        self.scopes.is_none() && self.permissions.is_none() && self.roles.is_none() && self.claims.is_none()
    }
}
