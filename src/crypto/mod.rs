//! Signatures and digests. Which algorithm is allowed is decided elsewhere; here it is only computed.

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
