//! Cookies of a request (RFC 6265 section 4.2).

use super::{Lookup, RequestHead};

/// The cookie `name` (compared with case) over all `cookie` headers, where it must not be given twice.
///
/// One pair of double quotes around the value is dropped (RFC 6265 section 4.1.1). Pieces without `=`
/// are no cookies. A value that is not UTF-8 is [`Lookup::Malformed`].
pub fn single<'a>(head: &RequestHead<'a>, name: &str) -> Lookup<&'a str> {
    let cookies = head.values("cookie").flat_map(|line| line.split(|byte| *byte == b';'));
    Lookup::only(cookies.filter_map(|cookie| value(cookie, name)).map(|value| str::from_utf8(value).ok()))
}

/// The `cookie` header without the cookies in `names`, all lines joined (RFC 9113 section 8.2.3); `None` when it
/// has none of them. Empty: nothing is left, so the header should go. Bytes that are not UTF-8 are dropped with
/// their cookie.
pub fn without(head: &RequestHead<'_>, names: &[&str]) -> Option<String> {
    let cookies = || head.values("cookie").flat_map(|line| line.split(|byte| *byte == b';'));
    let removed = |cookie: &[u8]| {
        names.iter().any(|name| value(cookie, name).is_some() || may_be_named(cookie, name.as_bytes()))
    };
    if names.is_empty() || !cookies().any(removed) {
        return None;
    }
    let kept = cookies().filter(|cookie| !removed(cookie)).map(<[u8]>::trim_ascii);
    let kept = kept.filter_map(|cookie| str::from_utf8(cookie).ok()).filter(|cookie| !cookie.is_empty());
    Some(kept.collect::<Vec<_>>().join("; "))
}

/// Whether some server takes `cookie` for the one named `name`: many trim more than ASCII's white space.
fn may_be_named(cookie: &[u8], name: &[u8]) -> bool {
    let Some(mut own) = cookie.iter().position(|byte| *byte == b'=').and_then(|at| cookie.get(..at)) else {
        return false;
    };
    while let [byte, rest @ ..] = own
        && !byte.is_ascii_graphic()
    {
        own = rest;
    }
    while let [rest @ .., byte] = own
        && !byte.is_ascii_graphic()
    {
        own = rest;
    }
    own == name
}

/// The value of `cookie` when it is named `name`.
fn value<'a>(cookie: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let at = cookie.iter().position(|byte| *byte == b'=')?;
    let (own, rest) = cookie.split_at_checked(at)?;
    if own.trim_ascii() != name.as_bytes() {
        return None;
    }
    let value = rest.split_first().map_or(rest, |(_, value)| value).trim_ascii();
    match value {
        [b'"', inner @ .., b'"'] => Some(inner),
        _ => Some(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_once_or_not_at_all() {
        let rows: &[(&[&[u8]], Lookup<&str>)] = &[
            (&[], Lookup::Absent),
            (&[b""], Lookup::Absent),
            (&[b"sid=1"], Lookup::One("1")),
            (&[b"a=0; sid=1; b=2"], Lookup::One("1")),
            (&[b"a=0;sid=1"], Lookup::One("1")),
            (&[b"a=0", b"sid=1"], Lookup::One("1")),
            (&[b"sid=\"1\""], Lookup::One("1")),
            (&[b"sid=\""], Lookup::One("\"")),
            (&[b"sid="], Lookup::One("")),
            (&[b"sid=a=b"], Lookup::One("a=b")),
            (&[b"SID=1"], Lookup::Absent),
            (&[b"xsid=1; sidx=1; sid"], Lookup::Absent),
            (&[b"x=sid=1"], Lookup::Absent),
            (&[b"sid=1; sid=1"], Lookup::Many),
            (&[b"sid=1", b"sid=2"], Lookup::Many),
            (&[b"sid=1", b" sid =\xff"], Lookup::Many),
            (&[b"sid=\xff"], Lookup::Malformed),
        ];
        for (lines, expected) in rows {
            let mut headers: Vec<(&[u8], &[u8])> = lines.iter().map(|line| (&b"cookie"[..], *line)).collect();
            headers.push((b"x-cookie", b"sid=9"));
            let head = RequestHead { headers, remote_address: None, tls: true, peer_certificate: None };
            assert_eq!(single(&head, "sid"), *expected, "{lines:?}");
        }
    }

    #[test]
    fn a_cookie_is_taken_out() {
        let rows: &[(&[&[u8]], Option<&str>)] = &[
            (&[], None),
            (&[b"a=1"], None),
            (&[b"sid=1"], Some("")),
            (&[b"a=1; sid=1; b=2"], Some("a=1; b=2")),
            (&[b"a=1; sid=1", b"sid=2;b=2"], Some("a=1; b=2")),
            (&[b"a=1; sid=1; b=\xff"], Some("a=1")),
            // White space to some: U+00A0, and it as Latin-1, a vertical tab, a unit separator.
            (&[b"a=1; \xc2\xa0sid=1; \xa0sid=2; \x0bsid=3; sid\x1f=4; xsid=5"], Some("a=1; xsid=5")),
            (&[b"sid=0; \xc2\xa0a=1"], Some("\u{a0}a=1")),
        ];
        for (lines, expected) in rows {
            let headers = lines.iter().map(|line| (&b"cookie"[..], *line)).collect();
            let head = RequestHead { headers, remote_address: None, tls: true, peer_certificate: None };
            assert_eq!(without(&head, &["sid"]).as_deref(), *expected, "{lines:?}");
            assert_eq!(without(&head, &[]), None);
        }
    }
}
