//! base64 with padding (RFC 4648 section 4). There is one text for any bytes: missing padding, line breaks, and bits that are
//! left over and not zero, are refused.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ct_codecs::{Base64, Decoder};

/// The bytes that `text` stands for. Fast, and not in constant time: for what whoever sent it knows.
#[inline(never)]
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// The same for a secret of ours, in a time that depends on its length only.
#[inline(never)]
pub(crate) fn decode_secret(text: &str) -> Option<Vec<u8>> {
    Base64::decode_to_vec(text, None).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_for_any_bytes() {
        for (text, expected) in [
            ("", Some(&b""[..])),
            ("Zm9v", Some(b"foo")),
            ("Zg==", Some(b"f")),
            ("++//", Some(&[0xfb, 0xef, 0xff])),
            ("Zg", None),
            ("Zg=", None),
            ("Zh==", None),
            ("--__", None),
            ("Zm9v\n", None),
            (" Zm9v", None),
        ] {
            assert_eq!(decode(text).as_deref(), expected, "{text:?}");
            assert_eq!(decode_secret(text).as_deref(), expected, "{text:?}");
        }
    }
}
