//! One token issuer, ready to judge tokens.

use std::sync::Arc;

use super::{Issuer, KeySource, ProviderSpec, RemoteJwks, claim_headers::Unsendable, compile};
use crate::{fault::Fault, jose::KeySet, json::Object};

/// A token issuer with its keys or where to fetch them.
#[derive(Clone, Debug)]
pub struct Provider {
    spec: ProviderSpec,
    name: Arc<str>,
    keys: Option<KeySet>,
}

/// Headers made of claims, each with the place of its entry in `claim_to_headers`.
#[derive(Clone, Debug, Default)]
pub struct ClaimHeaders {
    /// Their values.
    pub sent: Vec<(usize, String)>,
    /// Those that are not sent although their claim says something.
    pub unsent: Vec<(usize, Unsendable)>,
}

impl Provider {
    /// Checks `spec` and parses its keys. Every fault is reported, with its path within the provider.
    pub fn compile(spec: &ProviderSpec) -> Result<Self, Vec<Fault>> {
        let keys = compile::check(spec)?;
        Ok(Self { spec: spec.clone(), name: spec.name.as_str().into(), keys })
    }

    /// The name that rules refer to.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// What `iss` must be.
    pub fn issuer(&self) -> &Issuer {
        &self.spec.issuer
    }

    /// Under whose authority a subject is known: two providers may know the same one, and so may two tenants. No name of a
    /// provider holds `#`.
    pub(super) fn authority(&self, claims: Object<'_>) -> Arc<str> {
        match self.spec.issuer.tenant(claims) {
            None => Arc::clone(&self.name),
            Some(tenant) => format!("{}#{tenant}", self.name).into(),
        }
    }

    /// Whether a token is for this provider to judge that has this `iss`, or has none.
    pub fn judges(&self, iss: Option<&str>) -> bool {
        match iss {
            Some(iss) => self.spec.issuer.is(iss),
            None => !self.spec.require_issuer,
        }
    }

    /// As configured.
    pub fn spec(&self) -> &ProviderSpec {
        &self.spec
    }

    /// The keys that the policy holds; `None` when they are fetched, or there are none.
    pub fn keys(&self) -> Option<&KeySet> {
        self.keys.as_ref()
    }

    /// Where the keys are fetched from; `None` when the policy holds them.
    pub fn remote(&self) -> Option<&RemoteJwks> {
        match &self.spec.keys {
            KeySource::Remote(remote) => Some(remote),
            KeySource::Inline(_) | KeySource::None | KeySource::Symmetric(_) => None,
        }
    }

    /// Whether tokens can be verified here at all.
    pub fn has_keys(&self) -> bool {
        !matches!(self.spec.keys, KeySource::None)
    }

    /// Headers for the upstream, made of verified claims.
    pub fn claim_headers(&self, claims: Object<'_>) -> ClaimHeaders {
        let mut headers = ClaimHeaders::default();
        for (place, spec) in self.spec.claim_to_headers.iter().enumerate() {
            match spec.form.value(claims, &spec.claim) {
                Ok(Some(value)) => headers.sent.push((place, value)),
                Ok(None) => {}
                Err(why) => headers.unsent.push((place, why)),
            }
        }
        headers
    }
}
