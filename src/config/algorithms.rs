//! Names of signature algorithms in the document, and what to say of those that are not accepted.
//!
//! Whoever asked for a public key is never led to a shared secret, nor the other way: for one who follows it, the key that
//! everybody knows would be the secret (RFC 8725 section 2.1).

use super::faults::{Faults, quoted};
use crate::crypto::Algorithm;

/// Names of algorithms with public keys.
pub(super) const PUBLIC: [&str; 11] = Algorithm::names(Algorithm::PUBLIC);

/// Names of those with shared secrets.
pub(super) const SHARED: [&str; 3] = Algorithm::names(Algorithm::SHARED);

/// The algorithm called `text`, if it is one of `names`.
pub(super) fn named(text: &str, names: &[&str]) -> Option<Algorithm> {
    Algorithm::from_name(text).filter(|_| names.contains(&text))
}

/// Signatures that others make and nobody here verifies, and what to use instead.
const UNSUPPORTED: [(&str, &str); 9] = [
    ("ES512", "ES256 or ES384"),
    ("ES256K-R", "ES256K"),
    ("Ed448", "Ed25519"),
    ("RS1", "RS256"),
    ("HS1", "HS256"),
    ("HS256/64", "HS256"),
    ("ML-DSA-44", "ES256 or Ed25519"),
    ("ML-DSA-65", "ES256 or Ed25519"),
    ("ML-DSA-87", "ES256 or Ed25519"),
];

/// How the registered names begin that are for encryption (RFC 7518 sections 4.1 and 5.1).
const ENCRYPTION: [&str; 8] = ["RSA1_5", "RSA-OAEP", "ECDH-ES", "PBES2-", "A128", "A192", "A256", "dir"];

/// What to say of a `name` that is none of `accepted`, which are all with shared secrets or all with public keys.
#[cold]
pub(super) fn not_accepted(name: &str, accepted: &[&'static str], faults: &Faults) -> String {
    let begins = |start: &&str| name.get(..start.len()).is_some_and(|own| own.eq_ignore_ascii_case(start));
    if let Some((own, instead)) = UNSUPPORTED.iter().find(|(own, _)| own.eq_ignore_ascii_case(name)) {
        return format!("{own} is not supported; use {instead}");
    }
    if ENCRYPTION.iter().any(begins) {
        return format!(
            "{} is for encryption, which is not supported; name what tokens are signed with, as in RS256",
            quoted(name)
        );
    }
    let with_secrets = begins(&"HS");
    let alike = accepted.iter().copied();
    let alike = alike.filter(|other| SHARED.contains(other) == with_secrets || !is_of_a_family(name));
    format!("unknown algorithm {}{}", quoted(name), faults.hint(name, alike))
}

/// Whether the name shows what kind of key is meant.
fn is_of_a_family(name: &str) -> bool {
    let start = name.get(..2).unwrap_or_default();
    ["HS", "RS", "PS", "ES", "Ed"].iter().any(|family| family.eq_ignore_ascii_case(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Neither by what is registered and not supported, nor by a name that is near.
    #[test]
    fn no_hint_leads_from_public_keys_to_secrets() {
        let unsupported = UNSUPPORTED.iter().map(|(name, _)| *name);
        let near =
            ["ES512", "es512", "RS512 ", "PS5l2", "S512", "512", "E512", "EdDSA512", "eddsa", "ES1", "X256"];
        let mut asked: Vec<String> = unsupported.chain(near).map(str::to_owned).collect();
        for name in PUBLIC {
            for (cut, one) in name.char_indices() {
                let (start, rest) = name.split_at(cut);
                asked.extend([start.to_owned(), rest.to_owned(), name.replace(one, "9")]);
            }
        }
        for name in asked.iter().filter(|name| !name.to_ascii_uppercase().starts_with("HS")) {
            let said = not_accepted(name, &PUBLIC, &Faults::default());
            assert!(!SHARED.iter().any(|secret| said.contains(secret)), "{name}: {said}");
        }
        for name in ["HS1", "hs256", "HS384 ", "HS521"] {
            let said = not_accepted(name, &SHARED, &Faults::default());
            assert!(!PUBLIC.iter().any(|public| said.contains(public)), "{name}: {said}");
        }
    }
}
