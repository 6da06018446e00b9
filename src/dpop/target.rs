//! The target of a request as proofs name it: a URL without query and fragment, in one form.

use std::borrow::Cow;

use crate::request::{
    authority,
    path::{CanonicalPath, Kept, MAX_TARGET},
};

/// A URL, normalized (RFC 3986 sections 6.2.2 and 6.2.3, as RFC 9449 section 4.3 recommends). Equal ones are the
/// same resource, whatever their queries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetUri<'a> {
    https: bool,
    /// Lower case.
    host: Cow<'a, str>,
    port: u16,
    /// In canonical form.
    path: Cow<'a, str>,
}

impl<'a> TargetUri<'a> {
    /// The target of a request: `https` says whether it came over TLS, `authority` is its `:authority`. `None`
    /// when the authority is none.
    pub fn of_request(https: bool, authority: &'a [u8], path: &'a CanonicalPath<'_>) -> Option<Self> {
        let (host, port) = host_and_port(https, authority)?;
        Some(Self { https, host, port, path: Cow::Borrowed(path.path()) })
    }

    /// Reads `htu`. `None` for anything but an absolute `http` or `https` URL whose path can be read in one way
    /// only. Query and fragment are passed over (RFC 9449 section 4.3, item 9).
    pub fn parse(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let https = match scheme {
            _ if scheme.eq_ignore_ascii_case("https") => true,
            _ if scheme.eq_ignore_ascii_case("http") => false,
            _ => return None,
        };
        let end = rest.find(['?', '#']).unwrap_or(rest.len());
        let rest = rest.get(..end)?;
        let (authority, path) = rest.split_at_checked(rest.find('/').unwrap_or(rest.len()))?;
        let (host, port) = host_and_port(https, authority.as_bytes())?;
        let path = if path.is_empty() { "/" } else { path };
        // The request's own path has what its rule keeps; a proof with anything else is for another target.
        let path = CanonicalPath::parse_as(path.as_bytes(), MAX_TARGET, Kept::ALL).ok()?;
        Some(Self { https, host, port, path: Cow::Owned(path.path().to_owned()) })
    }
}

fn host_and_port(https: bool, authority: &[u8]) -> Option<(Cow<'_, str>, u16)> {
    let default = if https { 443 } else { 80 };
    let host = authority::host(authority).ok()?;
    Some((host, authority::port(authority).unwrap_or(default)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_that_are_the_same_and_their_neighbours() {
        let path = CanonicalPath::parse(b"/orders/7?x=1").unwrap();
        let target = TargetUri::of_request(true, b"API.example.com", &path).unwrap();
        for (htu, same) in [
            ("https://api.example.com/orders/7", true),
            ("https://api.example.com:443/orders/7", true),
            ("https://api.example.com:/orders/7", true),
            ("HTTPS://Api.Example.Com/orders/7", true),
            ("https://api.example.com./orders/7", true),
            ("https://api.example.com/orders/%37", true),
            ("https://api.example.com/a/../orders/./7", true),
            // Section 4.3, item 9: "ignoring any query and fragment parts".
            ("https://api.example.com/orders/7?x=1", true),
            ("https://api.example.com/orders/7?x=2#f", true),
            ("http://api.example.com/orders/7", false),
            ("https://api.example.com:8443/orders/7", false),
            ("https://api.example.com/orders/7/", false),
            ("https://api.example.com/Orders/7", false),
            ("https://api.example.com/orders/8", false),
            ("https://api.example.com/orders?/7", false),
            ("https://api.example.com", false),
            ("https://example.com/orders/7", false),
            ("https://api.example.com.evil/orders/7", false),
            ("https://u@api.example.com/orders/7", false),
            ("https://api.example.com\\@evil/orders/7", false),
            ("https://api.example.com/orders%2F7", false),
            ("https://api.example.com::/orders/7", false),
            (" https://api.example.com/orders/7", false),
            ("//api.example.com/orders/7", false),
            ("api.example.com/orders/7", false),
            ("/orders/7", false),
            ("", false),
        ] {
            assert_eq!(TargetUri::parse(htu).as_ref() == Some(&target), same, "{htu}");
        }
        let path = CanonicalPath::parse(b"/").unwrap();
        let target = TargetUri::of_request(false, b"[2001:DB8::1]:8080", &path).unwrap();
        assert_eq!(TargetUri::parse("http://[2001:db8:0::1]:8080"), Some(target.clone()));
        assert_ne!(TargetUri::parse("http://[2001:db8::1]"), Some(target));
        assert_eq!(TargetUri::of_request(true, b"a b", &path), None);
        // RFC 3986 section 6.2.3: an empty port is the scheme's own.
        let target = TargetUri::of_request(true, b"api.example.com:", &path).unwrap();
        assert_eq!(TargetUri::parse("https://api.example.com"), Some(target.clone()));
        assert_ne!(TargetUri::parse("https://api.example.com:80"), Some(target));
    }
}
