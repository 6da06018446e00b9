//! base64url without padding (RFC 7515 section 2). There is one text for any bytes: padding, line breaks, and bits that
//! are left over and not zero, are refused.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ct_codecs::{Base64UrlSafeNoPadding, Decoder, Encoder};

/// The bytes that `text` stands for. Fast, and not in constant time: for what whoever sent it knows.
#[inline(never)]
pub(crate) fn decode(text: &[u8]) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// `text` without the padding that makes it whole groups of four; `None` where it is padded otherwise.
#[inline(never)]
pub(crate) fn without_padding(text: &str) -> Option<&str> {
    let bare = text.trim_end_matches('=');
    let padding = text.len().checked_sub(bare.len())?;
    (text.len().is_multiple_of(4) && padding <= 2).then_some(bare)
}

/// The same as [`decode`] for a secret of ours, in a time that depends on its length only.
#[inline(never)]
pub(crate) fn decode_secret(text: &str) -> Option<Vec<u8>> {
    Base64UrlSafeNoPadding::decode_to_vec(text, None).ok()
}

/// `bytes` as text, in a time that depends on their number only. Nothing for more than memory could hold.
#[inline(never)]
pub(crate) fn encode(bytes: &[u8]) -> String {
    Base64UrlSafeNoPadding::encode_to_string(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_padding_for_any_text() {
        for (text, expected) in [
            ("", Some("")),
            ("Zm9v", Some("Zm9v")),
            ("Zg==", Some("Zg")),
            ("Zm8=", Some("Zm8")),
            ("Zg=", None),
            ("Zg", None),
            ("Zm8", None),
            ("Zm9v=", None),
            ("Zm9v====", None),
            ("Z===", None),
            ("====", None),
        ] {
            assert_eq!(without_padding(text), expected, "{text:?}");
        }
        // What stands within is no padding.
        assert_eq!(without_padding("Zg==Zg==").and_then(|text| decode(text.as_bytes())), None);
    }

    /// RFC 4648 section 10, and what must not pass for it.
    #[test]
    fn one_text_for_any_bytes() {
        for (text, bytes) in [
            ("", Some(&b""[..])),
            ("Zg", Some(b"f")),
            ("Zm8", Some(b"fo")),
            ("Zm9v", Some(b"foo")),
            ("Zm9vYmFy", Some(b"foobar")),
            ("-_8", Some(&[0xfb, 0xff])),
            ("Zh", None),
            ("Zm9", None),
            ("Z", None),
            ("Zg==", None),
            ("+/8", None),
            ("Zm9v\n", None),
            (" Zm9v", None),
            ("Zm9vé", None),
        ] {
            let expected = bytes.map(<[u8]>::to_vec);
            assert_eq!(decode(text.as_bytes()), expected, "{text:?}");
            assert_eq!(decode_secret(text), expected, "{text:?}");
            assert!(bytes.is_none_or(|bytes| encode(bytes) == text), "{text:?}");
        }
    }
}
