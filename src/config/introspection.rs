//! `introspection` of a provider.

use std::time::Duration;

use serde_json::Value;

use super::{
    algorithms::not_accepted,
    endpoint::https_endpoint,
    reader::{Node, Object},
    scalar::{choice, duration, label, text},
};
use crate::{
    crypto::{Algorithm, SigningKey},
    introspection::{ClientProof, ClientSecret, IntrospectionMode, IntrospectionSpec},
};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);

/// The longest private key, in bytes: RSA with 4096 bits takes about 3300.
const MAX_KEY: usize = 16 * 1024;

const ALGORITHMS: [(&str, Algorithm); 6] = [
    ("RS256", Algorithm::Rs256),
    ("PS256", Algorithm::Ps256),
    ("ES256", Algorithm::Es256),
    ("ES384", Algorithm::Es384),
    ("EdDSA", Algorithm::EdDsa),
    ("Ed25519", Algorithm::EdDsa),
];

const MODES: [(&str, IntrospectionMode); 2] =
    [("Opaque", IntrospectionMode::Opaque), ("Always", IntrospectionMode::Always)];

/// `keyless`: the provider has no keys, so that nothing is verified here.
pub(super) fn introspection(node: Node<'_>, keyless: bool) -> Option<IntrospectionSpec> {
    node.object(|o| {
        let endpoint = o.required("endpoint", https_endpoint);
        let cluster = o.required("cluster", label);
        let client_id = o.required("clientId", text);
        let proof = proof(o);
        let mode = o.optional("mode", choice("a mode", &MODES));
        if keyless && mode == Some(IntrospectionMode::Always) {
            o.fault_at::<()>("mode", "Always needs jwks; without keys every token is asked about anyway");
        }
        let cache_duration = o.optional("cacheDuration", duration(Duration::ZERO..=HOUR));
        let inactive = o.optional("inactiveCacheDuration", duration(Duration::ZERO..=HOUR));
        let timeout = o.optional("timeout", duration(Duration::from_millis(100)..=MINUTE));
        let token_type_hint = o.optional("tokenTypeHint", text);
        Some(IntrospectionSpec {
            endpoint: endpoint?,
            cluster: cluster?,
            client_id: client_id?,
            proof: proof?,
            mode: mode.unwrap_or(IntrospectionMode::Opaque),
            cache_duration: cache_duration.unwrap_or(MINUTE),
            inactive_cache_duration: inactive.unwrap_or(SECOND.saturating_mul(10)),
            timeout: timeout.unwrap_or(SECOND.saturating_mul(3)),
            token_type_hint: token_type_hint.unwrap_or_else(|| "access_token".into()),
        })
    })
}

fn proof(o: &mut Object<'_>) -> Option<ClientProof> {
    let (by_secret, by_key) = (o.has("clientSecret"), o.has("privateKeyJwt"));
    let secret = o.optional("clientSecret", text);
    let key = o.optional("privateKeyJwt", private_key_jwt);
    match (by_secret, by_key) {
        (true, true) => o.fault_at("privateKeyJwt", "contradicts clientSecret; give one of them"),
        (true, false) => secret.map(|secret| ClientProof::Secret(ClientSecret(secret))),
        (false, true) => key,
        (false, false) => o.fault_at(
            "clientSecret",
            "required (or privateKeyJwt): the endpoint answers known clients only (RFC 7662 section 2.1)",
        ),
    }
}

fn private_key_jwt(node: Node<'_>) -> Option<ClientProof> {
    node.object(|o| {
        let algorithm = o.required("algorithm", algorithm);
        let key = o.required("key", |n| private_key(n, algorithm));
        let given = o.has("kid");
        let kid = o.optional("kid", label);
        let (named, audience) = (o.has("audience"), o.optional("audience", text));
        if (given && kid.is_none()) || (named && audience.is_none()) {
            return None;
        }
        Some(ClientProof::PrivateKeyJwt { key: key?, kid, audience })
    })
}

/// One that we sign with.
fn algorithm(mut node: Node<'_>) -> Option<Algorithm> {
    let text = node.text("an algorithm such as \"ES256\"")?;
    if let Some((_, algorithm)) = ALGORITHMS.iter().find(|(name, _)| *name == text) {
        return Some(*algorithm);
    }
    let names = ALGORITHMS.map(|(name, _)| name);
    if Algorithm::from_name(&text).is_some() {
        return node.fault(format!("{text} is not supported here; use one of {}", names.join(", ")));
    }
    let message = not_accepted(&text, names.into_iter(), node.faults);
    node.fault(message)
}

/// PKCS #8 in PEM, or a private JWK. Nothing of it is ever shown.
fn private_key(mut node: Node<'_>, algorithm: Option<Algorithm>) -> Option<SigningKey> {
    let form = "a private key: PKCS #8 in PEM, or a JWK";
    let key = match &mut node.value {
        jwk @ Value::Object(_) => algorithm.map(|algorithm| SigningKey::from_jwk(algorithm, jwk)),
        Value::String(pem) if pem.len() > MAX_KEY => {
            return node.fault(format!("is longer than {MAX_KEY} bytes"));
        }
        Value::String(pem) => algorithm.map(|algorithm| SigningKey::from_pem(algorithm, pem)),
        _ => return node.mismatch(form),
    };
    // Without an algorithm, which is a fault already, there is nothing to judge it by.
    match key? {
        Ok(key) => Some(key),
        Err(fault) => node.fault(format!("{fault}; expected {form}")),
    }
}
