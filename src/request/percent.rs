//! Percent-encoding (RFC 3986 section 2.1), shared by path and query.

use std::borrow::Cow;

/// The byte that the escape at the front of `text` stands for, and what follows it; `None` where no
/// complete escape stands.
pub(super) fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    match text {
        [b'%', high, low, rest @ ..] => Some((digit(*high)?.wrapping_mul(16) | digit(*low)?, rest)),
        _ => None,
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Appends the escape of `byte`, with upper-case digits (RFC 3986 section 6.2.2.1).
pub(super) fn push_escape(out: &mut Vec<u8>, byte: u8) {
    let digit = |value: u8| b"0123456789ABCDEF".get(usize::from(value)).copied().unwrap_or_default();
    out.extend([b'%', digit(byte >> 4), digit(byte & 15)]);
}

/// `text` with every escape decoded, once; `None` when an escape is invalid or the result is not UTF-8.
/// With `plus` a `+` is a space, as HTML forms write it.
pub(super) fn decode(text: &str, plus: bool) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|byte| byte == b'%' || (plus && byte == b'+')) {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, tail) = match first {
            b'%' => escape(rest)?,
            b'+' if plus => (b' ', tail),
            _ => (first, tail),
        };
        out.push(byte);
        rest = tail;
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}
