//! Whose tokens a provider takes: those of one issuer, or of many tenants who share its keys.

use super::error::JwtError;
use crate::{
    identity::ClaimPath,
    jose::IssuerTemplate,
    json::{Json, Object},
};

/// Whose tokens a provider takes, by their `iss`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Issuer {
    /// Compared exactly.
    One(String),
    /// A tenant's.
    Tenants(Box<Tenants>),
}

/// The tenants of a provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tenants {
    template: IssuerTemplate,
    /// Sorted; `None`: all of them, which is said in writing (`anyTenant: true`).
    listed: Option<Vec<String>>,
    claim: ClaimPath,
}

impl Issuer {
    /// What the policy calls it: the one, or the template.
    pub fn as_str(&self) -> &str {
        match self {
            Self::One(issuer) => issuer,
            Self::Tenants(tenants) => tenants.template.as_str(),
        }
    }

    /// Whether tokens with this `iss` are for the provider to judge.
    pub fn is(&self, iss: &str) -> bool {
        match self {
            Self::One(issuer) => issuer == iss,
            Self::Tenants(tenants) => tenants.tenant_of(iss).is_some(),
        }
    }

    /// Whether `iss` is an issuer whose tokens are taken, and the tenant that it names the one that `claims` name.
    pub(super) fn check(&self, iss: &str, claims: Object<'_>) -> Result<(), JwtError> {
        match self {
            Self::One(issuer) if issuer == iss => Ok(()),
            Self::One(_) => Err(JwtError::Issuer),
            Self::Tenants(tenants) => {
                let tenant = tenants.tenant_of(iss).ok_or(JwtError::Issuer)?;
                match tenants.claim.find(claims) {
                    Some(Json::String(claimed)) if claimed == tenant => Ok(()),
                    Some(Json::String(_)) => Err(JwtError::Tenant),
                    None | Some(Json::Null) => Err(JwtError::missing(&tenants.claim.0.join("."))),
                    Some(_) => Err(JwtError::malformed(&tenants.claim.0.join("."))),
                }
            }
        }
    }

    /// The tenant that checked `claims` name; `None`: the provider has no tenants.
    pub(super) fn tenant<'c>(&self, claims: Object<'c>) -> Option<&'c str> {
        match self {
            Self::One(_) => None,
            Self::Tenants(tenants) => tenants.claim.find(claims)?.as_str(),
        }
    }

    /// Whether there is a token that both take.
    pub fn meets(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::One(issuer), other) | (other, Self::One(issuer)) => other.is(issuer),
            (Self::Tenants(one), Self::Tenants(another)) => match (&one.listed, &another.listed) {
                (Some(tenants), _) => tenants.iter().any(|tenant| other.is(&one.template.issuer_of(tenant))),
                (None, Some(tenants)) => {
                    tenants.iter().any(|tenant| self.is(&another.template.issuer_of(tenant)))
                }
                (None, None) => one.template.meets(&another.template),
            },
        }
    }
}

impl Tenants {
    /// Those of `listed`, or all (`None`): the tenant that `iss` names by `template` must stand in `claim`, too.
    pub fn new(template: IssuerTemplate, mut listed: Option<Vec<String>>, claim: ClaimPath) -> Self {
        listed.iter_mut().for_each(|tenants| tenants.sort_unstable());
        Self { template, listed, claim }
    }

    /// The tenant whose tokens have this `iss`, where they are taken.
    fn tenant_of<'i>(&self, iss: &'i str) -> Option<&'i str> {
        let is_listed = |tenant: &str| match &self.listed {
            None => true,
            Some(listed) => listed.binary_search_by(|own| own.as_str().cmp(tenant)).is_ok(),
        };
        self.template.tenant_of(iss).filter(|tenant| is_listed(tenant))
    }
}

impl From<&str> for Issuer {
    fn from(issuer: &str) -> Self {
        Self::One(issuer.to_owned())
    }
}
