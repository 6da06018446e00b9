//! Tokens and providers for tests. Keys are made anew in every run.

use std::{sync::OnceLock, time::Duration};

use ct_codecs::{Base64UrlSafeNoPadding, Encoder};
use jsonwebtoken::{EncodingKey, Header};
use jwt_simple::algorithms::{
    ECDSAP256KeyPairLike, ECDSAP256kKeyPairLike, ES256KeyPair, ES256kKeyPair, ES384KeyPair, Ed25519KeyPair,
    RS256KeyPair,
};
use serde_json::{Value, json};

use super::{Algorithm, KeySource, ProviderSpec};
use crate::{identity::ClaimPath, request::Location};

/// Seconds since the epoch: the moment at which the tests take place.
pub(crate) const NOW: u64 = 1_800_000_000;

/// A provider with usual settings and no keys.
pub(crate) fn provider() -> ProviderSpec {
    ProviderSpec {
        name: "corp".into(),
        issuer: "https://idp.example".into(),
        audiences: Some(vec!["api".into()]),
        algorithms: vec![Algorithm::Rs256, Algorithm::Es256],
        keys: KeySource::Inline(json!({"keys": []})),
        types: vec![],
        clock_skew: Duration::from_secs(60),
        max_token_size: 8192,
        max_lifetime: None,
        subject_claim: ClaimPath::dotted("sub"),
        scope_claims: vec![ClaimPath::dotted("scope"), ClaimPath::dotted("scp")],
        role_claims: vec![],
        tier_claim: None,
        claim_to_headers: vec![],
        locations: vec![Location::Header { name: "authorization".into(), prefix: "Bearer ".into() }],
        forward: false,
    }
}

pub(crate) fn encode(bytes: impl AsRef<[u8]>) -> String {
    Base64UrlSafeNoPadding::encode_to_string(bytes).unwrap()
}

/// A token with a signature that signs nothing.
pub(crate) fn unsigned(header: &str, payload: &str) -> String {
    format!("{}.{}.{}", encode(header), encode(payload), encode("signature"))
}

/// Claims that [`provider`] accepts at [`NOW`].
pub(crate) fn good_claims() -> Value {
    json!({"iss": "https://idp.example", "aud": "api", "sub": "alice", "exp": NOW + 600, "iat": NOW})
}
