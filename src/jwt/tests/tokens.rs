//! Tokens and providers for tests.

use std::time::Duration;

use serde_json::json;

use super::super::{DiscoverySpec, KeySource, ProviderSpec, issuer_url};
pub(crate) use crate::jose::tests::tokens::*;
use crate::{crypto::Algorithm, identity::ClaimPath, request::Location};

/// Discovery in the places that follow from `issuer`.
pub(crate) fn discovered(issuer: &str) -> DiscoverySpec {
    DiscoverySpec { issuer: issuer_url(issuer).unwrap(), uri: None, jwks_cluster: None }
}

/// A provider with usual settings and no keys.
pub(crate) fn provider() -> ProviderSpec {
    ProviderSpec {
        name: "corp".into(),
        issuer: "https://idp.example".into(),
        require_issuer: true,
        audiences: Some(vec!["api".into()]),
        algorithms: vec![Algorithm::Rs256, Algorithm::Es256],
        keys: KeySource::Inline(json!({"keys": []})),
        types: vec![],
        clock_skew: Duration::from_secs(60),
        load_balancers: vec![],
        max_token_size: 8192,
        max_lifetime: None,
        numeric_subject: false,
        subject_claims: vec![ClaimPath::dotted("sub")],
        scope_claims: vec![ClaimPath::dotted("scope"), ClaimPath::dotted("scp")],
        role_claims: vec![],
        ignore_malformed_roles: false,
        tier_claim: None,
        claim_to_headers: vec![],
        locations: vec![Location::Header { name: "authorization".into(), prefix: "Bearer ".into() }],
        cookie_origins: None,
        forward: false,
    }
}
