//! What is sent, and where to.

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
