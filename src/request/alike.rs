//! Names that some server reads as the same.
//!
//! CGI, WSGI, PHP and Rack make a variable of each header's name: upper case, with `_` for whatever is neither letter
//! nor digit. There `X.Portcullis.Roles` is `x-portcullis-roles`. So names are the same here when that makes them the
//! same.
//!
//! The names of query parameters and cookies are decoded besides, trimmed, and taken apart: to some `+a%5Bx%5D` is `a`.

use std::borrow::Cow;

use super::percent;

/// A byte of a name as the loosest reader sees it: letters in lower case, digits, and `_` for everything else.
pub fn folded(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'_' }
}

/// A name as the loosest reader sees it: the same text for names that are alike.
pub fn folded_name(name: &str) -> String {
    name.bytes().map(|byte| char::from(folded(byte))).collect()
}

/// Whether some server reads both names as the same.
pub fn is_alike(name: &[u8], other: &[u8]) -> bool {
    name.len() == other.len() && name.iter().zip(other).all(|(a, b)| a == b || folded(*a) == folded(*b))
}

/// Whether some server takes a parameter or cookie that was sent under `name` for the one named `own`. `ends` are the
/// bytes at which some end a name, beside those that are nothing to see.
///
/// Decoded twice: a server behind another one may.
pub(super) fn is_read_as(name: &[u8], own: &[u8], ends: &[u8]) -> bool {
    let is_encoded = |name: &[u8]| name.iter().any(|byte| matches!(byte, b'%' | b'+'));
    let mut name = Cow::Borrowed(name);
    for _ in 0..2 {
        if begins_as(&name, own, ends) {
            return true;
        }
        if !is_encoded(&name) {
            return false;
        }
        name = percent::decode_whatever(&name).into();
    }
    begins_as(&name, own, ends)
}

/// Whether `name`, without what some leave out at its front, begins with `own` and ends there for some.
fn begins_as(mut name: &[u8], own: &[u8], ends: &[u8]) -> bool {
    loop {
        if let Some((start, rest)) = name.split_at_checked(own.len())
            && is_alike(start, own)
            && is_end(rest, ends)
        {
            return true;
        }
        // White space of any kind; a query that is begun anew, `a?name`; brackets, as in `[name]`; `=name=`.
        let skipped = |byte: &u8| !byte.is_ascii_graphic() || b"?[]=".contains(byte);
        let front = name.first().filter(|byte| skipped(byte)).map(|_| 1);
        let anew = || name.iter().position(|byte| *byte == b'?');
        let Some(rest) = front.or_else(anew).and_then(|at| name.get(at..)) else { return false };
        name = rest;
    }
}

/// Whether a name is over for some server where `rest` follows.
fn is_end(rest: &[u8], ends: &[u8]) -> bool {
    rest.first().is_some_and(|byte| byte.is_ascii_control() || ends.contains(byte))
        || rest.iter().all(|byte| !byte.is_ascii_graphic() || *byte == b'?')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_query_or_a_cookie_is_told_however_it_is_written() {
        let read_as = |name: &str| is_read_as(name.as_bytes(), b"access_token", b"[].");
        for name in [
            "access_token",
            "ACCESS_TOKEN",
            "access.token",
            "access token",
            "access[token",
            "access+token",
            "access%2Etoken",
            "%61ccess_token",
            "%2561ccess_token",
            "%u0061ccess_token",
            "%U0061ccess_token",
            "+access_token",
            "%20access_token+",
            "%C2%A0access_token",
            "%A0access_token",
            "%EF%BB%BFaccess_token",
            "\u{feff}access_token",
            "%09access_token%0b",
            "access_token%00",
            "access_token%00x",
            "access_token%0ax",
            "access_token[]",
            "access_token[x][y]",
            "access_token%5bx%5d",
            "access_token]",
            "access_token.x",
            "[access_token]",
            "]access_token",
            "=access_token",
            "?access_token",
            "x?access_token",
            "x?y? access_token?",
        ] {
            assert!(read_as(name), "{name}");
        }
        for name in [
            "",
            "access_toke",
            "access_tokens",
            "xaccess_token",
            "x_access_token",
            "access__token",
            "accesstoken",
            "access_token-x",
            "access_token:x",
            "access_token x",
            "access_token?x",
            "%access_token",
            "%zzaccess_token",
            "%252561ccess_token",
            "x[access_token]",
            "x.access_token",
        ] {
            assert!(!read_as(name), "{name}");
        }
    }

    #[test]
    fn a_name_may_begin_as_what_is_skipped() {
        for (name, own, expected) in [
            ("_id", "_id", true),
            (" id", "_id", true),
            ("[id", "_id", true),
            ("id", "_id", false),
            ("__id", "_id", false),
            ("%5fid", "_id", true),
            ("a%25b", "a%b", true),
        ] {
            assert_eq!(is_read_as(name.as_bytes(), own.as_bytes(), b"[]"), expected, "{name}");
        }
    }

    #[test]
    fn spellings_of_one_name_are_alike_and_other_names_are_not() {
        let name = b"x-portcullis-roles";
        for spelling in
            ["x-portcullis-roles", "X_Portcullis_Roles", "x.portcullis~roles", "x-portcullis\u{7f}roles"]
        {
            assert!(is_alike(spelling.as_bytes(), name), "{spelling}");
            assert_eq!(folded_name(spelling), "x_portcullis_roles", "{spelling}");
        }
        for other in
            ["x-portcullis-role", "xx-portcullis-role", "x-portcullisroles", "x-portcullis-roles-", ""]
        {
            assert!(!is_alike(other.as_bytes(), name), "{other}");
            assert_ne!(folded_name(other), "x_portcullis_roles", "{other}");
        }
    }

    #[test]
    fn whatever_is_neither_letter_nor_digit_is_the_same() {
        for byte in 0..=u8::MAX {
            assert_eq!(is_alike(&[byte], b"-"), !byte.is_ascii_alphanumeric(), "{byte}");
        }
    }
}
