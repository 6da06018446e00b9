//! Whether the keys of a provider serve its algorithms, and can be had; every fault if not.

use super::{JwksLocation, KeySource, ProviderSpec, RemoteJwks};
use crate::{
    crypto::Algorithm,
    fault::Fault,
    jose::{KeySet, SymmetricKey},
};

/// The keys that the policy itself holds (`None`: they are fetched), or all that is wrong.
pub(super) fn check(spec: &ProviderSpec) -> Result<Option<KeySet>, Vec<Fault>> {
    let mut faults = Vec::new();
    let keys = match &spec.keys {
        KeySource::Inline(jwks) => inline_keys(jwks, spec, &mut faults),
        KeySource::Symmetric(keys) => Some(symmetric_keys(keys, spec, &mut faults)),
        KeySource::Remote(remote) => {
            check_remote(remote, &mut faults);
            None
        }
        KeySource::None => None,
    };
    if faults.is_empty() { Ok(keys) } else { Err(faults) }
}

fn inline_keys(jwks: &serde_json::Value, spec: &ProviderSpec, faults: &mut Vec<Fault>) -> Option<KeySet> {
    const PATH: &str = "jwks.inline";
    match KeySet::from_json(jwks) {
        Ok((keys, unusable)) => {
            for key in &unusable {
                let path = format!("{PATH}.keys[{}]", key.index);
                faults.push(Fault::new(path, key.reason.to_string()));
            }
            // Where a key is unusable, an algorithm without a key most often follows from it: one fault is enough.
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
    let least =
        spec.algorithms.iter().filter_map(|algorithm| algorithm.least_secret_len()).min().unwrap_or(32);
    let mut too_short = false;
    for (index, key) in keys.iter().enumerate() {
        if key.secret.len() < least {
            too_short = true;
            faults.push(Fault::new(
                format!("symmetricKeys[{index}].secret"),
                format!("shorter than {least} bytes (RFC 7518 section 3.2)"),
            ));
        }
    }
    let set = KeySet::symmetric(keys);
    if !too_short {
        unsatisfied(&set, spec, "symmetric key long enough", faults);
    }
    set
}

fn unsatisfied(keys: &KeySet, spec: &ProviderSpec, what: &str, faults: &mut Vec<Fault>) {
    let due = |(_, algorithm): &(usize, &Algorithm)| !keys.can_verify(**algorithm);
    for (index, algorithm) in spec.algorithms.iter().enumerate().filter(due) {
        faults.push(Fault::new(format!("algorithms[{index}]"), format!("no {what} can satisfy {algorithm}")));
    }
}

/// A set that is still fresh is never too stale.
fn check_remote(remote: &RemoteJwks, faults: &mut Vec<Fault>) {
    let section = match &remote.location {
        JwksLocation::Uri(_) => "jwks",
        JwksLocation::Discovery(_) => "discovery",
    };
    if remote.max_stale < remote.cache_duration {
        let message = format!("shorter than {section}.cacheDuration");
        faults.push(Fault::new(format!("{section}.maxStale"), message));
    }
}
