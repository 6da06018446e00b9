//! Digests in hexadecimal.

use ct_codecs::{Decoder, Encoder, Hex};

/// The 32 bytes behind 64 digits, in whatever case; `None` for anything else.
#[inline(never)]
pub(crate) fn decode_digest(text: &str) -> Option<[u8; 32]> {
    let mut digest = [0; 32];
    // Shorter text leaves a part of it as it is.
    let decoded = Hex::decode(&mut digest, text, None).ok()?;
    (decoded.len() == 32).then_some(digest)
}

/// Two digits for each byte, in lower case. Nothing for more bytes than memory could hold twice.
#[inline(never)]
pub(crate) fn encode(bytes: &[u8]) -> String {
    Hex::encode_to_string(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests() {
        let digest = [0xa5; 32];
        assert_eq!(encode(&digest), "a5".repeat(32));
        for (text, expected) in [
            ("a5".repeat(32), Some(digest)),
            ("A5".repeat(32), Some(digest)),
            ("a5".repeat(31), None),
            ("a5".repeat(33), None),
            (format!("{}a", "a5".repeat(31)), None),
            (format!("{}g5", "a5".repeat(31)), None),
            (format!("{} 5", "a5".repeat(31)), None),
            (format!("{}é", "a5".repeat(31)), None),
            (String::new(), None),
        ] {
            assert_eq!(decode_digest(&text), expected, "{text}");
        }
        assert_eq!(encode(&[]), "");
    }
}
