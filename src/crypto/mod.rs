//! Signatures and digests. Which algorithm is allowed is decided elsewhere; here it is only computed.
//!
//! A signature is verified by the host's own library where it has the algorithm ([`HostCrypto`]), else by the
//! libraries within the module. Both roads give the same answer; tests run both over the same
//! vectors.

mod algorithm;
mod ecdsa_der;
#[cfg(test)]
mod ed25519_edge_tests;
mod hmac_sha256;
mod known_answer;
mod private_jwk;
mod public_key;
mod roca;
mod rsa_private_key;
mod secret_key;
mod signing_key;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code may panic")]
pub(crate) mod test_host;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code may panic")]
mod wycheproof_tests;

#[cfg(not(target_family = "wasm"))]
pub use self::signing_key::new_private_jwk;
pub use self::{
    algorithm::{Algorithm, KeyType},
    hmac_sha256::{HmacSha256Key, HmacSha256Tag},
    known_answer::is_host_usable,
    public_key::{KeyFault, PublicKey},
    secret_key::SecretKey,
    signing_key::{SigningKey, SigningKeyFault},
};

use sha2::{Digest, Sha256, Sha512};

use crate::text::hex;

/// What the host's own crypto library can do for us; faster than any code inside the module.
pub trait HostCrypto {
    /// Verifies an RSASSA-PKCS1-v1_5 or ECDSA (DER-encoded) `signature` over `message` with the key in
    /// `spki` (DER SubjectPublicKeyInfo) and `hash` (`sha256`, `sha384`, `sha512`).
    ///
    /// `None` means that the host has no such function: verify in the module instead.
    fn verify(&self, hash: &str, spki: &[u8], signature: &[u8], message: &[u8]) -> Option<bool>;
}

/// A host without crypto: everything is verified inside the module.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHostCrypto;

impl HostCrypto for NoHostCrypto {
    fn verify(&self, _: &str, _: &[u8], _: &[u8], _: &[u8]) -> Option<bool> {
        None
    }
}

/// SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// SHA-512 of `bytes`.
pub fn sha512(bytes: &[u8]) -> [u8; 64] {
    Sha512::digest(bytes).into()
}

/// 16 hex digits of a SHA-256 of `parts`: a short name for something configured, in keys of the shared store.
///
/// The length of each part goes first, so that no two lists of parts give the same bytes.
pub fn short_digest(parts: &[&[u8]]) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
        digest.update(part);
    }
    hex::encode(digest.finalize().first_chunk::<8>().map_or(&[], <[u8; 8]>::as_slice))
}

/// Whether `a` equals `b`, in a time that depends on their lengths only.
pub fn constant_time_eq(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && ct_codecs::verify(a, b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_of_fips_180_2_examples() {
        for (text, digest) in [
            ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ] {
            assert_eq!(hex::encode(&sha256(text.as_bytes())), digest);
        }
    }

    #[test]
    fn sha512_of_fips_180_2_examples() {
        let abc = "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e\
                   2a9ac94fa54ca49f";
        assert_eq!(hex::encode(&sha512(b"abc")), abc);
        assert_ne!(hex::encode(&sha512(b"abd")), abc);
    }

    #[test]
    fn no_two_lists_of_parts_have_one_name() {
        let lists: [&[&[u8]]; 8] = [
            &[],
            &[b""],
            &[b"", b""],
            &[b"ab"],
            &[b"a", b"b"],
            &[b"ab", b""],
            &[b"", b"ab"],
            &[b"a", b"", b"b"],
        ];
        let names: std::collections::HashSet<_> = lists.iter().map(|parts| short_digest(parts)).collect();
        assert_eq!(names.len(), lists.len());
        assert!(names.iter().all(|name| name.len() == 16), "{names:?}");
    }

    #[test]
    fn equality() {
        for (a, b, equal) in [
            (&b""[..], &b""[..], true),
            (b"a", b"a", true),
            (b"a", b"b", false),
            (b"a", b"ab", false),
            (b"a", b"", false),
        ] {
            assert_eq!(constant_time_eq(a, b), equal, "{a:?} {b:?}");
        }
    }
}
