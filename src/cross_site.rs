//! Which page had a browser send a request, as the browser says it: `Origin` (RFC 6454 section 7, Fetch standard section
//! 3.2) and `Sec-Fetch-Site` (Fetch Metadata section 2.4). No page can set either.

use std::fmt;

use crate::{
    origin::WebOrigin,
    request::{Lookup, RequestHead, connection},
};

/// The methods that ask for nothing to be changed (RFC 9110 section 9.2.1).
const SAFE: [&str; 4] = ["GET", "HEAD", "OPTIONS", "TRACE"];

/// The origins whose pages may have credentials sent in cookies. Empty: that of the request's own host alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origins(pub Vec<WebOrigin>);

/// What a request is for, as far as its own origin goes.
#[derive(Clone, Copy, Debug)]
pub struct Addressee<'a> {
    /// As it was sent.
    pub method: &'a str,
    /// `:authority`.
    pub authority: &'a [u8],
    /// It came over TLS.
    pub secure: bool,
}

/// Why nobody knows that a request comes from a page that may have it sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrossSite {
    /// `Origin` is another one.
    Elsewhere,
    /// One of the headers stands there more than once.
    Repeated,
    /// There is no `Origin`, and `Sec-Fetch-Site` does not say that it is the same.
    Unsaid,
}

impl Origins {
    /// Whether a request may have been sent with a cookie: it asks for nothing to be changed and for no other protocol, or
    /// it says that it comes from a page that may.
    ///
    /// Where there is an `Origin` it decides alone: `Sec-Fetch-Site` says no more than that, and of a page that is listed
    /// here it may rightly say `cross-site`. A browser that hides the origin sends `null`, which is nobody's.
    ///
    /// # Errors
    /// It may be forged by a page of somebody else.
    pub fn check(&self, head: &RequestHead<'_>, to: Addressee<'_>) -> Result<(), CrossSite> {
        if SAFE.contains(&to.method) && !connection::upgrades(head) {
            return Ok(());
        }
        let own = to.origin().ok_or(CrossSite::Elsewhere)?;
        let said = match (head.single("origin"), head.single("sec-fetch-site")) {
            (Lookup::One(origin), _) => origin,
            (Lookup::Absent, Lookup::One(b"same-origin")) => own.as_str().as_bytes(),
            (Lookup::Absent, Lookup::Absent | Lookup::One(_)) => return Err(CrossSite::Unsaid),
            _ => return Err(CrossSite::Repeated),
        };
        let may = match self.0.as_slice() {
            [] => said == own.as_str().as_bytes(),
            listed => listed.iter().any(|origin| origin.as_str().as_bytes() == said),
        };
        if may { Ok(()) } else { Err(CrossSite::Elsewhere) }
    }
}

impl Addressee<'_> {
    /// The origin of pages from there; `None` where the authority cannot be read.
    fn origin(&self) -> Option<WebOrigin> {
        let scheme = if self.secure { "https" } else { "http" };
        WebOrigin::parse(&format!("{scheme}://{}", str::from_utf8(self.authority).ok()?)).ok()
    }
}

impl fmt::Display for CrossSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Elsewhere => "`Origin` is not one that may send the cookie",
            Self::Repeated => "`Origin` or `Sec-Fetch-Site` stands there more than once",
            Self::Unsaid => "no `Origin`, and `Sec-Fetch-Site` is not `same-origin`",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Headers = &'static [(&'static str, &'static str)];

    fn check(
        origins: &[&str],
        method: &str,
        authority: &str,
        secure: bool,
        headers: Headers,
    ) -> Result<(), CrossSite> {
        let origins = Origins(origins.iter().map(|text| WebOrigin::parse(text).unwrap()).collect());
        let headers = headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let head = RequestHead { headers, ..RequestHead::default() };
        origins.check(&head, Addressee { method, authority: authority.as_bytes(), secure })
    }

    #[test]
    fn pages_of_the_same_origin_may() {
        use CrossSite::{Elsewhere, Repeated, Unsaid};
        const OWN: (&str, &str) = ("origin", "https://api.example");
        let rows: &[(&str, &str, Headers, Result<(), CrossSite>)] = &[
            // Asks for nothing to be changed.
            ("GET", "api.example", &[], Ok(())),
            ("HEAD", "api.example", &[("origin", "https://evil.example")], Ok(())),
            ("OPTIONS", "api.example", &[("sec-fetch-site", "cross-site")], Ok(())),
            ("TRACE", "api.example", &[], Ok(())),
            // Might.
            ("POST", "api.example", &[OWN], Ok(())),
            ("POST", "api.example", &[], Err(Unsaid)),
            ("PUT", "api.example", &[], Err(Unsaid)),
            ("DELETE", "api.example", &[], Err(Unsaid)),
            ("get", "api.example", &[], Err(Unsaid)),
            ("QUERY", "api.example", &[], Err(Unsaid)),
            ("", "api.example", &[], Err(Unsaid)),
            // Opens a connection, on which anything may follow.
            ("GET", "api.example", &[("upgrade", "websocket")], Err(Unsaid)),
            ("GET", "api.example", &[("connection", "keep-alive, Upgrade")], Err(Unsaid)),
            ("GET", "api.example", &[(":protocol", "websocket")], Err(Unsaid)),
            ("GET", "api.example", &[("upgrade", "websocket"), OWN], Ok(())),
            (
                "GET",
                "api.example",
                &[("upgrade", "websocket"), ("origin", "https://evil.example")],
                Err(Elsewhere),
            ),
            // Which one it is.
            ("POST", "api.example", &[("origin", "https://api.example.evil")], Err(Elsewhere)),
            ("POST", "api.example", &[("origin", "https://evil-api.example")], Err(Elsewhere)),
            ("POST", "api.example", &[("origin", "https://sub.api.example")], Err(Elsewhere)),
            ("POST", "api.example", &[("origin", "http://api.example")], Err(Elsewhere)),
            ("POST", "api.example", &[("origin", "https://api.example:8443")], Err(Elsewhere)),
            ("POST", "api.example", &[("origin", "https://api.example:443")], Err(Elsewhere)),
            ("POST", "api.example", &[("origin", "https://api.example/")], Err(Elsewhere)),
            ("POST", "api.example", &[("origin", "HTTPS://API.EXAMPLE")], Err(Elsewhere)),
            ("POST", "api.example", &[("origin", "null")], Err(Elsewhere)),
            ("POST", "api.example", &[("origin", "")], Err(Elsewhere)),
            (
                "POST",
                "api.example",
                &[("origin", "https://api.example, https://evil.example")],
                Err(Elsewhere),
            ),
            ("POST", "API.example:443", &[OWN], Ok(())),
            ("POST", "api.example.", &[OWN], Ok(())),
            ("POST", "api.example/a", &[OWN], Err(Elsewhere)),
            ("POST", "a@api.example", &[OWN], Err(Elsewhere)),
            ("POST", "api.example:8443", &[OWN], Err(Elsewhere)),
            ("POST", "api.example:8443", &[("origin", "https://api.example:8443")], Ok(())),
            ("POST", "[::1]:8443", &[("origin", "https://[::1]:8443")], Ok(())),
            ("POST", "a,b", &[("origin", "https://a,b")], Err(Elsewhere)),
            // What the browser says instead.
            ("POST", "api.example", &[("sec-fetch-site", "same-origin")], Ok(())),
            ("POST", "api.example", &[("sec-fetch-site", "same-site")], Err(Unsaid)),
            ("POST", "api.example", &[("sec-fetch-site", "cross-site")], Err(Unsaid)),
            ("POST", "api.example", &[("sec-fetch-site", "none")], Err(Unsaid)),
            ("POST", "api.example", &[("sec-fetch-site", "Same-Origin")], Err(Unsaid)),
            ("POST", "api.example", &[("sec-fetch-site", "same-origin, cross-site")], Err(Unsaid)),
            // `Origin` goes before it.
            ("POST", "api.example", &[("sec-fetch-site", "same-origin"), ("origin", "null")], Err(Elsewhere)),
            ("POST", "api.example", &[("sec-fetch-site", "cross-site"), OWN], Ok(())),
            // More than one.
            ("POST", "api.example", &[OWN, OWN], Err(Repeated)),
            ("POST", "api.example", &[OWN, OWN, ("sec-fetch-site", "same-origin")], Err(Repeated)),
            (
                "POST",
                "api.example",
                &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "same-origin")],
                Err(Repeated),
            ),
        ];
        for (method, authority, headers, expected) in rows {
            assert_eq!(
                check(&[], method, authority, true, headers),
                *expected,
                "{method} {authority} {headers:?}"
            );
        }
        // Without TLS it is another origin.
        assert_eq!(
            check(&[], "POST", "localhost:8000", false, &[("origin", "http://localhost:8000")]),
            Ok(())
        );
        assert_eq!(check(&[], "POST", "localhost:80", false, &[("origin", "http://localhost")]), Ok(()));
        assert_eq!(check(&[], "POST", "api.example", false, &[OWN]), Err(Elsewhere));
    }

    #[test]
    fn pages_of_listed_origins_may_and_no_others() {
        use CrossSite::Elsewhere;
        const LISTED: [&str; 2] = ["https://app.example", "http://localhost:8000"];
        for (origin, expected) in [
            (&[("origin", "https://app.example")][..], Ok(())),
            (&[("origin", "https://app.example"), ("sec-fetch-site", "cross-site")], Ok(())),
            (&[("origin", "http://localhost:8000")], Ok(())),
            (&[("origin", "http://localhost:8001")], Err(Elsewhere)),
            (&[("origin", "https://app.example:8443")], Err(Elsewhere)),
            // Its own is none of them.
            (&[("origin", "https://api.example")], Err(Elsewhere)),
            (&[("sec-fetch-site", "same-origin")], Err(Elsewhere)),
        ] {
            assert_eq!(check(&LISTED, "POST", "api.example", true, origin), expected, "{origin:?}");
        }
        let own = check(&LISTED, "POST", "app.example", true, &[("sec-fetch-site", "same-origin")]);
        assert_eq!(own, Ok(()));
    }
}
