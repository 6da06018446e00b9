//! Names of signature algorithms in the document, and what to say of those that are not accepted.
//!
//! Whoever asked for a public key is never led to a shared secret, nor the other way: for one who follows it, the key that
//! everybody knows would be the secret (RFC 8725 section 2.1).

use super::reader::{Faults, quoted};
use crate::crypto::Algorithm;

/// Names registered for signatures (RFC 7518 section 3.1, RFC 8037, RFC 8812, RFC 9864).
pub(super) const ALGORITHMS: [(&str, Algorithm); 14] = [
    ("HS256", Algorithm::Hs256),
    ("HS384", Algorithm::Hs384),
    ("HS512", Algorithm::Hs512),
    ("RS256", Algorithm::Rs256),
    ("RS384", Algorithm::Rs384),
    ("RS512", Algorithm::Rs512),
    ("PS256", Algorithm::Ps256),
    ("PS384", Algorithm::Ps384),
    ("PS512", Algorithm::Ps512),
    ("ES256", Algorithm::Es256),
    ("ES384", Algorithm::Es384),
    ("ES256K", Algorithm::Es256k),
    ("EdDSA", Algorithm::EdDsa),
    ("Ed25519", Algorithm::EdDsa),
];

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
pub(super) fn not_accepted<'a>(
    name: &str,
    accepted: impl Iterator<Item = &'a str> + Clone,
    faults: &Faults,
) -> String {
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
    let alike = accepted.filter(|other| is_with_secret(other) == with_secrets || !is_of_a_family(name));
    format!("unknown algorithm {}{}", quoted(name), faults.hint(name, alike))
}

fn is_with_secret(name: &str) -> bool {
    ALGORITHMS.iter().any(|(own, algorithm)| *own == name && algorithm.is_symmetric())
}

/// Whether the name shows what kind of key is meant.
fn is_of_a_family(name: &str) -> bool {
    let start = name.get(..2).unwrap_or_default();
    ["HS", "RS", "PS", "ES", "Ed"].iter().any(|family| family.eq_ignore_ascii_case(start))
}
