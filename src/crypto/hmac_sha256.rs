//! HMAC with SHA-256 (RFC 2104) over messages that lie in pieces.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::constant_time_eq;

/// A shared secret, made ready. Its `Debug` never shows it.
#[derive(Clone)]
pub struct HmacSha256Key(Hmac<Sha256>);

impl HmacSha256Key {
    /// Any bytes; how many make a good secret is for whoever takes them to say. `None` never comes, for every length will
    /// do.
    pub fn new(secret: &[u8]) -> Option<Self> {
        Hmac::new_from_slice(secret).ok().map(Self)
    }

    /// The HMAC of all `parts`, one behind the other.
    pub fn tag(&self, parts: &[&[u8]]) -> HmacSha256Tag {
        HmacSha256Tag(self.hash(parts))
    }

    /// The same as bytes, of what nobody sends a tag of.
    pub fn hash(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = self.0.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }
}

impl std::fmt::Debug for HmacSha256Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HmacSha256Key").finish_non_exhaustive()
    }
}

/// What a sender must have sent. Whoever learns it can send it, too: it is only compared.
pub struct HmacSha256Tag([u8; 32]);

impl HmacSha256Tag {
    /// Whether that is what was sent, in a time that does not depend on it.
    pub fn is(&self, sent: &[u8]) -> bool {
        constant_time_eq(&self.0, sent)
    }
}

impl std::fmt::Debug for HmacSha256Tag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HmacSha256Tag").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::hex;

    /// RFC 4231 sections 4.2 to 4.4, 4.7 and 4.8.
    #[test]
    fn published_tags() {
        let long = [0xaa; 131];
        let rows: [(&[u8], &[u8], &str); 5] = [
            (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (&[0xaa; 20], &[0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
            (
                &long,
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
            (
                &long,
                b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be \
                  hashed before being used by the HMAC algorithm.",
                "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
            ),
        ];
        for (secret, message, expected) in rows {
            let key = HmacSha256Key::new(secret).unwrap();
            let expected = hex::decode_digest(expected).unwrap();
            let (start, end) = message.split_at(message.len() / 2);
            for parts in [&[message][..], &[start, end], &[b"", start, b"", end]] {
                assert!(key.tag(parts).is(&expected));
                assert!(!key.tag(parts).is(&expected[1..]));
                assert!(!key.tag(parts).is(b""));
            }
            let changed = [message, b"\0"].concat();
            assert!(!key.tag(&[&changed]).is(&expected));
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = HmacSha256Key::new(b"hunter2").unwrap();
        assert_eq!(format!("{key:?}"), "HmacSha256Key { .. }");
        assert_eq!(format!("{:?}", key.tag(&[b"m"])), "HmacSha256Tag { .. }");
    }
}
