//! The URL of a key set, split into what a request to an Envoy cluster needs.

/// An absolute `http` or `https` URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwksUri {
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Host and port, as `:authority`.
    pub authority: String,
    /// Path and query; never empty.
    pub path: String,
}

impl JwksUri {
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
            let parsed = JwksUri::parse(text);
            let parsed = parsed.as_ref().map(|uri| (uri.scheme, uri.authority.as_str(), uri.path.as_str()));
            assert_eq!(parsed.map_err(|fault| *fault), expected, "{text}");
        }
    }
}
