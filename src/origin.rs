//! A web origin (RFC 6454): scheme, host and port, in the one form in which clients write it.

use crate::{request::authority, url::Url};

/// The origin of web pages, for comparing with what clients say: as a whole, byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebOrigin {
    text: Box<str>,
    host: Box<str>,
    is_trustworthy: bool,
}

impl WebOrigin {
    /// Reads an origin as people write it: host in any case, a port that goes without saying, a slash at the end.
    ///
    /// # Errors
    /// What it must be, to be said of the field that it stands in.
    ///
    /// ```
    /// use portcullis::origin::WebOrigin;
    ///
    /// assert_eq!(WebOrigin::parse("https://App.example:443/")?.as_str(), "https://app.example");
    /// assert_eq!(WebOrigin::parse("https://app.example:8443")?.as_str(), "https://app.example:8443");
    /// assert!(WebOrigin::parse("https://app.example/login").is_err());
    /// # Ok::<(), &str>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let url = Url::parse(text)?;
        if url.path != "/" {
            return Err("must be an origin, without path and query");
        }
        let authority = url.authority.as_bytes();
        let host =
            authority::host(authority).map_err(|_| "must be an origin with a host, and a port or none")?;
        let default = if url.scheme == "https" { 443 } else { 80 };
        let text = match authority::port(authority) {
            Some(0) => return Err("must be an origin with a port from 1 to 65535, or none"),
            Some(port) if port != default => format!("{}://{host}:{port}", url.scheme),
            _ => format!("{}://{host}", url.scheme),
        };
        let is_trustworthy = url.scheme == "https" || is_localhost(&host);
        Ok(Self { text: text.into(), host: host.into(), is_trustworthy })
    }

    /// As clients write it (RFC 6454 section 6.2): lower case, without the port that its scheme has anyway.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host, in lower case; an IPv6 address in its brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether what its pages send and receive stays between them and the server (W3C Secure Contexts section 3.1):
    /// `https`, or `http` on the machine itself.
    pub fn is_trustworthy(&self) -> bool {
        self.is_trustworthy
    }
}

/// Whether `host` is the machine itself, by name (RFC 6761 section 6.3).
pub fn is_localhost(host: &str) -> bool {
    host.strip_suffix("localhost").is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_in_their_one_form() {
        for (text, expected) in [
            ("https://a.example", Some("https://a.example")),
            ("https://a.example/", Some("https://a.example")),
            ("https://a.example:443/", Some("https://a.example")),
            ("https://a.example:0443", Some("https://a.example")),
            ("https://a.example:", Some("https://a.example")),
            ("https://A.Example.", Some("https://a.example")),
            ("https://a.example:8443", Some("https://a.example:8443")),
            ("https://a.example:80", Some("https://a.example:80")),
            ("http://localhost:80", Some("http://localhost")),
            ("http://localhost:3000", Some("http://localhost:3000")),
            ("https://[2001:DB8::0:1]:8443", Some("https://[2001:db8::1]:8443")),
            ("https://xn--bcher-kva.example", Some("https://xn--bcher-kva.example")),
            ("https://bücher.example", None),
            ("https://a.example/login", None),
            ("https://a.example?x", None),
            ("https://a.example/#", None),
            ("https://user@a.example", None),
            ("https://*.a.example", None),
            ("https://a.example:0", None),
            ("https://a.example:65536", None),
            ("https://a.example:x", None),
            ("https://", None),
            ("a.example", None),
            ("null", None),
            ("android:apk-key-hash:AAAA", None),
            ("", None),
        ] {
            let parsed = WebOrigin::parse(text);
            assert_eq!(parsed.as_ref().ok().map(WebOrigin::as_str), expected, "{text}");
            // What clients write is not changed any more.
            assert!(parsed.is_err() || WebOrigin::parse(expected.unwrap()) == parsed);
        }
    }

    #[test]
    fn what_can_be_trusted() {
        for (text, host, expected) in [
            ("https://a.example:8443", "a.example", true),
            ("http://a.example", "a.example", false),
            ("http://localhost:3000", "localhost", true),
            ("http://app.localhost", "app.localhost", true),
            ("http://notlocalhost", "notlocalhost", false),
            ("http://localhost.example", "localhost.example", false),
            ("http://127.0.0.1", "127.0.0.1", false),
        ] {
            let origin = WebOrigin::parse(text).unwrap();
            assert_eq!((origin.host(), origin.is_trustworthy()), (host, expected), "{text}");
        }
    }
}
