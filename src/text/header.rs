//! Text as the value of a header.

use super::percent;

/// Text as a header value that is safe to send and can be read back: visible ASCII and inner spaces stay,
/// everything else (control characters, `%`, non-ASCII, and the bytes in `also`) is percent-encoded UTF-8.
pub(crate) fn header_text(text: &str, also: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    push_header_text(&mut out, text, also);
    out
}

/// The same, put behind `out`.
pub(crate) fn push_header_text(out: &mut String, text: &str, also: &[u8]) {
    // A header's value cannot begin or end with a space.
    let keeps_spaces = !text.starts_with(' ') && !text.ends_with(' ');
    let stays = |byte: u8| match byte {
        b' ' => keeps_spaces && !also.contains(&byte),
        b'%' => false,
        b'!'..=b'~' => !also.contains(&byte),
        _ => false,
    };
    if text.bytes().all(stays) {
        out.push_str(text);
        return;
    }
    percent::push_encoded(out, text, &stays);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_text_is_safe_and_reversible() {
        for (text, also, expected) in [
            ("alice", &b""[..], "alice"),
            ("alice smith", b"", "alice smith"),
            (" alice", b"", "%20alice"),
            ("alice b ", b"", "alice%20b%20"),
            (" ", b" ", "%20"),
            ("", b"", ""),
            ("a\r\nx-admin: 1", b"", "a%0D%0Ax-admin: 1"),
            ("50%", b"", "50%25"),
            ("é", b"", "%C3%A9"),
            ("a,b", b",", "a%2Cb"),
        ] {
            assert_eq!(header_text(text, also), expected);
        }
    }
}
