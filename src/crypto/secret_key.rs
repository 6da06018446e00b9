//! Keys that signer and verifier share: HMAC with SHA-2 (RFC 7518 section 3.2).

use hmac::{Hmac, KeyInit, Mac};
use jwt_simple::algorithms::{HS384Key, HS512Key, MACLike as _};
use sha2::Sha256;

use super::{Algorithm, constant_time_eq};

/// A shared secret. Its `Debug` never shows it.
#[derive(Clone)]
pub struct SecretKey {
    bytes: Vec<u8>,
}

impl SecretKey {
    /// Any bytes; whether they are long enough depends on the algorithm ([`SecretKey::fits`]).
    pub fn new(bytes: &[u8]) -> Self {
        Self { bytes: bytes.to_vec() }
    }

    /// Whether `algorithm` is an HMAC and the secret is at least as long as its hash.
    pub fn fits(&self, algorithm: Algorithm) -> bool {
        algorithm.least_secret_len().is_some_and(|least| self.bytes.len() >= least)
    }

    /// Whether `tag` is the HMAC of `message`. False too when the key does not fit the algorithm.
    pub fn verify(&self, algorithm: Algorithm, message: &[u8], tag: &[u8]) -> bool {
        self.tag(algorithm, message).is_some_and(|expected| constant_time_eq(&expected, tag))
    }

    /// The HMAC of `message`; `None` when the key does not fit the algorithm.
    pub fn tag(&self, algorithm: Algorithm, message: &[u8]) -> Option<Vec<u8>> {
        if !self.fits(algorithm) {
            return None;
        }
        match algorithm {
            Algorithm::Hs256 => {
                let mut mac = Hmac::<Sha256>::new_from_slice(&self.bytes).ok()?;
                mac.update(message);
                Some(mac.finalize().into_bytes().to_vec())
            }
            // Half a microsecond faster in the module than with `hmac`.
            Algorithm::Hs384 => Some(HS384Key::from_bytes(&self.bytes).authentication_tag(message)),
            Algorithm::Hs512 => Some(HS512Key::from_bytes(&self.bytes).authentication_tag(message)),
            _ => None,
        }
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SecretKey").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use jwt_simple::algorithms::HS256Key;

    use super::*;

    #[test]
    fn least_length() {
        for (algorithm, least) in [(Algorithm::Hs256, 32), (Algorithm::Hs384, 48), (Algorithm::Hs512, 64)] {
            assert!(SecretKey::new(&vec![7; least]).fits(algorithm));
            assert!(!SecretKey::new(&vec![7; least - 1]).fits(algorithm));
        }
        assert!(!SecretKey::new(&[7; 64]).fits(Algorithm::Rs256));
        assert!(!SecretKey::new(b"").fits(Algorithm::Hs256));
    }

    #[test]
    fn a_tag_that_is_cut_or_longer_is_refused() {
        let key = SecretKey::new(&[7; 64]);
        for algorithm in [Algorithm::Hs256, Algorithm::Hs384, Algorithm::Hs512] {
            let mut tag = match algorithm {
                Algorithm::Hs256 => HS256Key::from_bytes(&[7; 64]).authentication_tag(b"m"),
                Algorithm::Hs384 => HS384Key::from_bytes(&[7; 64]).authentication_tag(b"m"),
                _ => HS512Key::from_bytes(&[7; 64]).authentication_tag(b"m"),
            };
            assert!(key.verify(algorithm, b"m", &tag));
            assert!(!key.verify(algorithm, b"n", &tag));
            assert!(!key.verify(algorithm, b"m", &tag[1..]));
            assert!(!key.verify(algorithm, b"m", &[]));
            tag.push(0);
            assert!(!key.verify(algorithm, b"m", &tag));
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        assert_eq!(format!("{:?}", SecretKey::new(b"hunter2")), "SecretKey { .. }");
    }
}
