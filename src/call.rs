//! Requests of our own to other servers, over Envoy clusters, as values: the core says what to send and takes
//! what came back; only the host sends.

use std::{fmt, time::Duration};

/// A request to send. Its `Debug` shows neither header values nor the body.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// The Envoy cluster.
    pub cluster: String,
    /// `:method`.
    pub method: &'static str,
    /// `:scheme`, `:authority` and `:path`.
    pub endpoint: Endpoint,
    /// Other headers, lower case; may hold secrets. Bodies are read as they come, so every call also asks for
    /// `accept-encoding: identity`: without it a server may choose a coding (RFC 9110 section 12.5.3).
    pub headers: Vec<(&'static str, String)>,
    /// Empty for none; may hold secrets.
    pub body: Vec<u8>,
    /// When to give up; at least 1 ms, since Envoy takes less for no limit.
    pub timeout: Duration,
    /// A longer body is cut off one byte after this, so that it is seen to be too long.
    pub max_answer: usize,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("cluster", &self.cluster)
            .field("method", &self.method)
            .field("endpoint", &self.endpoint)
            .field("timeout", &self.timeout)
            .field("max_answer", &self.max_answer)
            .finish_non_exhaustive()
    }
}

/// What came of a [`Call`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// No answer: it could not be sent, timed out or was cut off. Envoy also answers 503 and 504 for that.
    Failed,
    /// An answer. Redirects are not followed.
    Answer {
        /// `:status`.
        status: u16,
        /// Names in lower case.
        headers: &'a [(&'a [u8], &'a [u8])],
        /// The whole body, or one byte more than was asked for at most.
        body: &'a [u8],
    },
}

/// Codings that are called by their name (RFC 9110 section 18.6, RFC 7932, RFC 8878).
const CODINGS: [&str; 6] = ["gzip", "x-gzip", "deflate", "br", "zstd", "compress"];

impl Outcome<'_> {
    /// The coding that an answer says its body is in, although none was asked for.
    pub fn coding(&self) -> Option<&'static str> {
        let Self::Answer { headers, .. } = self else { return None };
        let lines = headers.iter().filter(|(name, _)| *name == b"content-encoding").map(|(_, value)| *value);
        let mut codings = lines.flat_map(|line| line.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
        let coding =
            codings.find(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))?;
        let known = CODINGS.into_iter().find(|known| coding.eq_ignore_ascii_case(known.as_bytes()));
        Some(known.unwrap_or("unknown"))
    }
}

/// Why a [`Call`] was not even sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// Envoy has no cluster of this name, at least not yet.
    NoCluster,
    /// The cluster has no host to send to, or as many requests as its circuit breaker allows.
    NoHost,
    /// Anything else.
    Refused,
}

impl Unsent {
    /// For operators.
    pub fn of(self, cluster: &str) -> String {
        match self {
            Self::NoCluster => format!("Envoy has no cluster {cluster:?}"),
            Self::NoHost => {
                format!("cluster {cluster:?} has no host to send to, or as many requests as it may")
            }
            Self::Refused => format!("cluster {cluster:?} took no request"),
        }
    }
}

/// An absolute `http` or `https` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Host and port, as `:authority`.
    pub authority: String,
    /// Path and query; never empty.
    pub path: String,
}

impl Endpoint {
    /// Splits `text`; what is wrong with it if it cannot be used.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("holds spaces or other than visible ASCII");
        }
        let (scheme, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => ("https", rest),
            (None, Some(rest)) => ("http", rest),
            (None, None) => return Err("not an http or https URL"),
        };
        if rest.contains('#') {
            return Err("holds a fragment");
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if authority.is_empty() || authority.starts_with(':') {
            return Err("holds no host");
        }
        if authority.contains(['@', '\\']) {
            return Err("holds user information or a backslash before the path");
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { scheme, authority: authority.to_owned(), path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings() {
        for (headers, expected) in [
            (&[][..], None),
            (&[("content-encoding", "gzip")], Some("gzip")),
            (&[("content-encoding", " GZip ")], Some("gzip")),
            (&[("content-encoding", "br"), ("content-encoding", "gzip")], Some("br")),
            (&[("content-encoding", "identity, zstd")], Some("zstd")),
            (&[("content-encoding", "identity")], None),
            (&[("content-encoding", "")], None),
            (&[("content-encoding", "utf-8")], Some("unknown")),
            (&[("content-encoding", "gzip\r\nx")], Some("unknown")),
            (&[("transfer-encoding", "gzip")], None),
        ] {
            let headers: Vec<(&[u8], &[u8])> =
                headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
            let answer = Outcome::Answer { status: 200, headers: &headers, body: b"" };
            assert_eq!(answer.coding(), expected, "{headers:?}");
        }
        assert_eq!(Outcome::Failed.coding(), None);
    }

    #[test]
    fn urls() {
        for (text, expected) in [
            ("https://idp.example/jwks", Ok(("https", "idp.example", "/jwks"))),
            ("http://127.0.0.1:8080/a/b?c=d", Ok(("http", "127.0.0.1:8080", "/a/b?c=d"))),
            ("https://[::1]:8443/jwks", Ok(("https", "[::1]:8443", "/jwks"))),
            ("https://idp.example", Ok(("https", "idp.example", "/"))),
            ("https://idp.example?x", Ok(("https", "idp.example", "/?x"))),
            ("https://idp.example/#x", Err("holds a fragment")),
            ("https://a@idp.example/", Err("holds user information or a backslash before the path")),
            ("https://idp.example\\@evil/", Err("holds user information or a backslash before the path")),
            ("https:///jwks", Err("holds no host")),
            ("https://:443/jwks", Err("holds no host")),
            ("https://", Err("holds no host")),
            ("ftp://idp.example/jwks", Err("not an http or https URL")),
            ("idp.example/jwks", Err("not an http or https URL")),
            ("", Err("not an http or https URL")),
            ("https://idp.example/\r\nx: y", Err("holds spaces or other than visible ASCII")),
            ("https://idp.example/j wks", Err("holds spaces or other than visible ASCII")),
        ] {
            let parsed = Endpoint::parse(text);
            let parsed = parsed.as_ref().map(|uri| (uri.scheme, uri.authority.as_str(), uri.path.as_str()));
            assert_eq!(parsed.map_err(|fault| *fault), expected, "{text}");
        }
    }
}
