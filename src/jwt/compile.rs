//! Whether a provider's configuration can work, and every fault if not.

use std::time::Duration;

use super::{JwksLocation, KeySource, ProviderSpec, RemoteJwks, discovery::Discovery};
use crate::{
    crypto::Algorithm,
    fault::Fault,
    identity::ClaimPath,
    introspection::IntrospectionMode,
    jose::{KeySet, SymmetricKey},
};

/// RFC 7519 section 4.1.4 asks for "usually no more than a few minutes".
const MAX_CLOCK_SKEW: Duration = Duration::from_secs(300);
/// More than Envoy takes in all headers together by default (60 KiB).
const MAX_TOKEN_SIZE: usize = 64 * 1024;

/// The keys that the policy itself holds (`None`: they are fetched), or all that is wrong.
pub(super) fn check(spec: &ProviderSpec) -> Result<Option<KeySet>, Vec<Fault>> {
    let mut faults = Vec::new();
    check_limits(spec, &mut faults);
    check_claim_paths(spec, &mut faults);
    check_algorithms(spec, &mut faults);
    let keys = match &spec.keys {
        KeySource::Inline(jwks) => inline_keys(jwks, spec, &mut faults),
        KeySource::Symmetric(keys) => Some(symmetric_keys(keys, spec, &mut faults)),
        KeySource::Remote(remote) => {
            check_remote(remote, &spec.issuer, &mut faults);
            None
        }
        KeySource::None => {
            check_keyless(spec, &mut faults);
            None
        }
    };
    if faults.is_empty() { Ok(keys) } else { Err(faults) }
}

fn check_limits(spec: &ProviderSpec, faults: &mut Vec<Fault>) {
    if spec.name.is_empty() {
        faults.push(Fault::new("name", "empty"));
    }
    if spec.issuer.is_empty() {
        faults.push(Fault::new("issuer", "empty"));
    }
    // As documents for all tenants of a provider write it; no token ever says that.
    if spec.issuer.contains(['{', '}']) {
        let message = "holds a place holder in braces, but is compared exactly, and tokens name the tenant that they are \
                       from: write one provider for each tenant";
        faults.push(Fault::new("issuer", message));
    }
    match spec.audiences.as_deref() {
        None => {}
        Some([]) => faults.push(Fault::new("audiences", "empty: no token could pass")),
        Some(audiences) => empty_entries("audiences", audiences, faults),
    }
    empty_entries("types", &spec.types, faults);
    if spec.clock_skew > MAX_CLOCK_SKEW {
        faults.push(Fault::new("clockSkew", "more than 5 minutes"));
    }
    if spec.max_token_size == 0 || spec.max_token_size > MAX_TOKEN_SIZE {
        faults.push(Fault::new("maxTokenSize", format!("not within 1 to {MAX_TOKEN_SIZE} bytes")));
    }
    if spec.max_lifetime == Some(Duration::ZERO) {
        faults.push(Fault::new("maxLifetime", "zero: no token could pass"));
    }
    if spec.locations.is_empty() {
        faults.push(Fault::new("extractFrom", "empty: no token could be found"));
    }
}

fn empty_entries(path: &str, entries: &[String], faults: &mut Vec<Fault>) {
    for (index, _) in entries.iter().enumerate().filter(|(_, entry)| entry.is_empty()) {
        faults.push(Fault::new(format!("{path}[{index}]"), "empty"));
    }
}

fn check_claim_paths(spec: &ProviderSpec, faults: &mut Vec<Fault>) {
    let mut check = |at: String, path: &ClaimPath| {
        if path.0.is_empty() || path.0.iter().any(String::is_empty) {
            faults.push(Fault::new(at, "an empty claim name"));
        }
    };
    check("claims.subject".to_owned(), &spec.subject_claim);
    for (index, path) in spec.scope_claims.iter().enumerate() {
        check(format!("claims.scopes[{index}]"), path);
    }
    for (index, path) in spec.role_claims.iter().enumerate() {
        check(format!("claims.roles[{index}]"), path);
    }
    if let Some(path) = &spec.tier_claim {
        check("claims.tier".to_owned(), path);
    }
    for (index, (path, _)) in spec.claim_to_headers.iter().enumerate() {
        check(format!("claimToHeaders[{index}].claim"), path);
    }
}

/// RFC 8725 section 3.1: the algorithms are chosen here, never by the token; and a public key that is taken for
/// a shared secret is the classic confusion, so the two kinds never meet in one provider.
fn check_algorithms(spec: &ProviderSpec, faults: &mut Vec<Fault>) {
    if spec.algorithms.is_empty() && !matches!(spec.keys, KeySource::None) {
        faults.push(Fault::new("algorithms", "empty: no token could pass"));
    }
    let symmetric_keys = matches!(spec.keys, KeySource::Symmetric(_));
    for (index, algorithm) in spec.algorithms.iter().enumerate() {
        let path = || format!("algorithms[{index}]");
        if spec.algorithms.iter().take(index).any(|earlier| earlier == algorithm) {
            faults.push(Fault::new(path(), format!("{algorithm} is listed twice")));
        }
        match (algorithm.is_symmetric(), symmetric_keys) {
            (true, false) => {
                let message =
                    format!("{algorithm} needs symmetric keys and never goes with a public key set");
                faults.push(Fault::new(path(), message));
            }
            (false, true) => {
                faults.push(Fault::new(
                    path(),
                    format!("{algorithm} needs public keys, and the keys are symmetric"),
                ));
            }
            (true, true) | (false, false) => {}
        }
    }
}

/// Without keys tokens are good by the issuer's word alone.
fn check_keyless(spec: &ProviderSpec, faults: &mut Vec<Fault>) {
    match &spec.introspection {
        None => faults.push(Fault::new("jwks", "missing: no token could pass")),
        Some(introspection) if introspection.mode == IntrospectionMode::Always => {
            faults.push(Fault::new("introspection.mode", "Always is for tokens that are verified here too"));
        }
        Some(_) => {}
    }
    if !spec.algorithms.is_empty() {
        faults.push(Fault::new("algorithms", "nothing to verify with them"));
    }
}

fn inline_keys(jwks: &serde_json::Value, spec: &ProviderSpec, faults: &mut Vec<Fault>) -> Option<KeySet> {
    const PATH: &str = "jwks.inline";
    match KeySet::from_json(jwks) {
        Ok((keys, unusable)) => {
            for key in &unusable {
                let path = format!("{PATH}.keys[{}]", key.index);
                faults.push(Fault::new(path, key.reason.to_string()));
            }
            // With a key missing that was meant to be there, this would only repeat it.
            if unusable.is_empty() {
                unsatisfied(&keys, spec, "key of the set", faults);
            }
            Some(keys)
        }
        Err(error) => {
            faults.push(Fault::new(PATH, error.to_string()));
            None
        }
    }
}

fn symmetric_keys(keys: &[SymmetricKey], spec: &ProviderSpec, faults: &mut Vec<Fault>) -> KeySet {
    const PATH: &str = "symmetricKeys";
    if keys.is_empty() {
        faults.push(Fault::new(PATH, "empty: no token could pass"));
    }
    let least =
        spec.algorithms.iter().filter_map(|algorithm| algorithm.least_secret_len()).min().unwrap_or(32);
    let mut too_short = false;
    for (index, key) in keys.iter().enumerate() {
        let path = |member| format!("{PATH}[{index}].{member}");
        if key.secret.len() < least {
            too_short = true;
            faults.push(Fault::new(
                path("secret"),
                format!("shorter than {least} bytes (RFC 7518 section 3.2)"),
            ));
        }
        if key.id.is_some() && keys.iter().take(index).any(|earlier| earlier.id == key.id) {
            faults.push(Fault::new(path("kid"), "an id that an earlier key has"));
        }
    }
    let set = KeySet::symmetric(keys);
    if !keys.is_empty() && !too_short {
        unsatisfied(&set, spec, "symmetric key long enough", faults);
    }
    set
}

fn unsatisfied(keys: &KeySet, spec: &ProviderSpec, what: &str, faults: &mut Vec<Fault>) {
    let symmetric_keys = matches!(spec.keys, KeySource::Symmetric(_));
    let due =
        |algorithm: &Algorithm| algorithm.is_symmetric() == symmetric_keys && !keys.can_verify(*algorithm);
    for (index, algorithm) in spec.algorithms.iter().enumerate().filter(|(_, algorithm)| due(algorithm)) {
        faults.push(Fault::new(format!("algorithms[{index}]"), format!("no {what} can satisfy {algorithm}")));
    }
}

fn check_remote(remote: &RemoteJwks, issuer: &str, faults: &mut Vec<Fault>) {
    let section = match &remote.location {
        JwksLocation::Uri(_) => "jwks",
        JwksLocation::Discovery(discovery) => {
            if let Err(message) = Discovery::new(discovery, issuer, &remote.cluster) {
                faults
                    .push(Fault::new("issuer", format!("{message}: discovery asks the issuer for its keys")));
            }
            if discovery.jwks_cluster.as_deref() == Some("") {
                faults.push(Fault::new("discovery.jwksCluster", "empty"));
            }
            "discovery"
        }
    };
    let mut fault = |field: &str, message: String| {
        faults.push(Fault::new(format!("{section}.{field}"), message));
    };
    if remote.cluster.is_empty() {
        fault("cluster", "empty".to_owned());
    }
    for (field, duration) in [
        ("cacheDuration", remote.cache_duration),
        ("timeout", remote.timeout),
        ("minRefetchInterval", remote.min_refetch_interval),
    ] {
        if duration.is_zero() {
            fault(field, "zero".to_owned());
        }
    }
    if remote.max_stale < remote.cache_duration {
        fault("maxStale", format!("shorter than {section}.cacheDuration"));
    }
}
