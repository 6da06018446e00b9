//! Percent-encoding (RFC 3986 section 2.1).

use std::borrow::Cow;

/// The byte that the escape at the front of `text` stands for, and what follows it; `None` where no
/// complete escape stands.
pub(crate) fn escape(text: &[u8]) -> Option<(u8, &[u8])> {
    match text {
        [b'%', high, low, rest @ ..] => Some((digit(*high)?.wrapping_mul(16) | digit(*low)?, rest)),
        _ => None,
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// The escape of `byte`, with upper-case digits (RFC 3986 section 6.2.2.1).
pub(crate) fn escaped(byte: u8) -> [u8; 3] {
    let digit = |value: u8| b"0123456789ABCDEF".get(usize::from(value)).copied().unwrap_or_default();
    [b'%', digit(byte >> 4), digit(byte & 15)]
}

/// Appends `text` with every byte escaped but those that stay, which are ASCII.
pub(crate) fn push_encoded(out: &mut String, text: &str, stays: &dyn Fn(u8) -> bool) {
    for byte in text.bytes() {
        match stays(byte) {
            true => out.push(char::from(byte)),
            false => out.extend(escaped(byte).map(char::from)),
        }
    }
}

/// `text` with every escape decoded, once; `None` when an escape is invalid or the result is not UTF-8.
/// With `plus` a `+` is a space, as HTML forms write it.
pub(crate) fn decode(text: &str, plus: bool) -> Option<Cow<'_, str>> {
    decode_with(text, plus, b'/')
}

/// As [`decode`], with the ASCII character `slash` for each escape of a slash.
pub(crate) fn decode_with(text: &str, plus: bool, slash: u8) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|byte| byte == b'%' || (plus && byte == b'+')) {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let (byte, tail) = match first {
            b'%' => match escape(rest)? {
                (b'/', tail) => (slash, tail),
                other => other,
            },
            b'+' if plus => (b' ', tail),
            _ => (first, tail),
        };
        out.push(byte);
        rest = tail;
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

/// `text` as the most patient server decodes it: `+` is a space, `%u0061` is `a` as in IIS, and what is no escape stands
/// for itself. Its bytes need not be UTF-8.
pub(crate) fn decode_whatever(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        rest = if let Some((byte, tail)) = escape(rest) {
            out.push(byte);
            tail
        } else if let Some((wide, tail)) = wide_escape(rest) {
            out.extend_from_slice(wide.encode_utf8(&mut [0; 4]).as_bytes());
            tail
        } else {
            out.push(if first == b'+' { b' ' } else { first });
            tail
        };
    }
    out
}

/// `%u` and four digits.
fn wide_escape(text: &[u8]) -> Option<(char, &[u8])> {
    let ([b'%', b'u' | b'U', digits @ ..], rest) = text.split_at_checked(6)? else { return None };
    let code = digits.iter().try_fold(0, |code: u32, byte| Some((code << 4) | u32::from(digit(*byte)?)))?;
    Some((char::from_u32(code)?, rest))
}
