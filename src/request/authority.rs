//! The host a request is meant for, from `:authority` (RFC 3986 section 3.2, RFC 9110 section 7.2).

use std::{borrow::Cow, net::Ipv6Addr};

/// The authority is not one plain `host[:port]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthorityError;

/// Longest host name, in bytes (RFC 1035 section 2.3.4, as text).
const MAX_NAME: usize = 253;
/// Longest part of it between dots (RFC 1035 section 2.3.4).
const MAX_LABEL: u8 = 63;

/// The host of `authority`: lower case, without port and without the dot at the end.
///
/// Names are letters, digits, `-` and `_` in labels that are not empty. An IPv6 address stays in its
/// brackets, in its shortest form (RFC 5952). A colon without a port says the same as none (RFC 3986 section
/// 3.2.3). User information, spaces, escapes, an impossible port, zone identifiers, and several hosts in one value
/// (Envoy joins two `Host` lines with a comma) are refused.
pub fn host(authority: &[u8]) -> Result<Cow<'_, str>, AuthorityError> {
    if authority.first() == Some(&b'[') {
        return address(authority);
    }
    let (mut label, mut upper, mut end) = (0_u8, false, authority.len());
    for (at, byte) in authority.iter().enumerate() {
        match byte {
            b'.' if label > 0 => label = 0,
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' if label < MAX_LABEL => label = label.saturating_add(1),
            b'A'..=b'Z' if label < MAX_LABEL => (label, upper) = (label.saturating_add(1), true),
            b':' => {
                end = at;
                break;
            }
            _ => return Err(AuthorityError),
        }
    }
    let (name, port) = authority.split_at_checked(end).ok_or(AuthorityError)?;
    // Where no label is open at the end, the name either ends with a dot or is empty.
    let name = if label > 0 { name } else { name.strip_suffix(b".").ok_or(AuthorityError)? };
    if name.len() > MAX_NAME {
        return Err(AuthorityError);
    }
    if let Some((_, port)) = port.split_first() {
        check_port(port)?;
    }
    let name = str::from_utf8(name).map_err(|_| AuthorityError)?;
    Ok(if upper { Cow::Owned(name.to_ascii_lowercase()) } else { Cow::Borrowed(name) })
}

/// The host of an authority that begins with `[`.
#[inline(never)]
fn address(authority: &[u8]) -> Result<Cow<'_, str>, AuthorityError> {
    let text = str::from_utf8(authority).map_err(|_| AuthorityError)?;
    let literal = text.strip_prefix('[').ok_or(AuthorityError)?;
    let (address, rest) = literal.split_once(']').ok_or(AuthorityError)?;
    if !rest.is_empty() {
        check_port(rest.strip_prefix(':').ok_or(AuthorityError)?.as_bytes())?;
    }
    let address: Ipv6Addr = address.parse().map_err(|_| AuthorityError)?;
    let shortest = format!("[{address}]");
    // Borrowed where it was given so, as for names.
    Ok(match text.strip_suffix(rest) {
        Some(given) if given == shortest => Cow::Borrowed(given),
        _ => Cow::Owned(shortest),
    })
}

/// The port of `authority`; `None` where it names none. Means something only where [`host`] takes the authority.
pub fn port(authority: &[u8]) -> Option<u16> {
    let text = str::from_utf8(authority).ok()?;
    let rest = text.rsplit_once(']').map_or(text, |(_, rest)| rest);
    rest.split_once(':')?.1.parse().ok()
}

#[inline(never)]
fn check_port(port: &[u8]) -> Result<(), AuthorityError> {
    let text = str::from_utf8(port).map_err(|_| AuthorityError)?;
    match text.parse::<u16>() {
        _ if text.is_empty() => Ok(()),
        // A number may also begin with a sign.
        Ok(_) if port.iter().all(u8::is_ascii_digit) => Ok(()),
        _ => Err(AuthorityError),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_host_is_read() {
        let rows = [
            ("api.example.com", "api.example.com"),
            ("API.Example.COM", "api.example.com"),
            ("api.example.com:8443", "api.example.com"),
            ("api.example.com.", "api.example.com"),
            ("api.example.com.:443", "api.example.com"),
            ("api.example.com:", "api.example.com"),
            ("api.example.com.:", "api.example.com"),
            ("localhost", "localhost"),
            ("my_service-1", "my_service-1"),
            ("192.0.2.7:80", "192.0.2.7"),
            ("[::1]", "[::1]"),
            ("[2001:DB8:0:0::1]:8443", "[2001:db8::1]"),
            ("[::ffff:192.0.2.7]", "[::ffff:192.0.2.7]"),
            ("[::1]:", "[::1]"),
            ("[::0001]:", "[::1]"),
        ];
        for (authority, expected) in rows {
            assert_eq!(host(authority.as_bytes()).as_deref(), Ok(expected), "{authority}");
        }
    }

    #[test]
    fn the_port_is_read() {
        for (authority, expected) in [
            ("api.example.com", None),
            ("api.example.com:8443", Some(8443)),
            ("192.0.2.7:80", Some(80)),
            ("api.example.com:", None),
            ("[::1]", None),
            ("[::1]:", None),
            ("[2001:db8::1]:443", Some(443)),
        ] {
            assert_eq!(port(authority.as_bytes()), expected, "{authority}");
        }
    }

    #[test]
    fn anything_strange_is_refused() {
        let rows: &[&[u8]] = &[
            b"",
            b".",
            b":",
            b":80",
            b".:",
            b"h::",
            b"h: ",
            b"h:x",
            b"h:+80",
            b"h:65536",
            b"h:80:80",
            b"u@h",
            b"u:p@h",
            b"h,h2",
            b"h h2",
            b" h",
            b"h\t",
            b"h..x",
            b".h",
            b"h..",
            b"h/x",
            b"h?x",
            b"h#x",
            b"%68",
            b"h\\x",
            b"*.h",
            b"caf\xc3\xa9",
            b"\xff",
            b"h\0",
            b"::1",
            b"2001:db8::1",
            b"[::1",
            b"[::1]x",
            b"[::1]::",
            b"[::1]:99999",
            b"[fe80::1%25eth0]",
            b"[fe80::1%eth0]",
            b"[]",
            b"[v1.x]",
            b"[127.0.0.1]",
        ];
        for authority in rows {
            assert_eq!(host(authority), Err(AuthorityError), "{}", authority.escape_ascii());
        }
        let label = "a".repeat(63);
        assert!(host(label.as_bytes()).is_ok());
        assert!(host(format!("{label}a").as_bytes()).is_err());
        assert!(host(format!("{label}.{label}.{label}.{label}").as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn reading_is_total_and_idempotent(authority in "[aA.:\\[\\]1@,_-]{0,12}") {
            if let Ok(once) = host(authority.as_bytes()) {
                prop_assert_eq!(host(once.as_bytes()), Ok(Cow::Borrowed(&*once)));
            }
        }
    }
}
