//! An absolute `http` or `https` URL, parsed once.

/// An absolute `http` or `https` URL without user information and fragment (RFC 3986), of visible ASCII. It holds none
/// of `\`, `"`, `<` and `>`, so it fits unescaped between quotes and angle brackets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    text: Box<str>,
    /// `http` or `https`.
    pub scheme: &'static str,
    /// Host and port, as `:authority`.
    pub authority: String,
    /// Path and query, as `:path`; never empty.
    pub path: String,
}

impl Url {
    /// Splits `text`.
    ///
    /// # Errors
    /// What it must be, to be said of the field that it stands in. The text itself may hold a password.
    ///
    /// ```
    /// use portcullis::url::Url;
    ///
    /// let url = Url::parse("https://idp.example?keys")?;
    /// assert_eq!((url.authority.as_str(), url.path.as_str()), ("idp.example", "/?keys"));
    /// assert_eq!(Url::parse("/keys"), Err("must be an absolute http or https URL"));
    /// # Ok::<(), &str>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => ("https", rest),
            (None, Some(rest)) => ("http", rest),
            (None, None) => return Err("must be an absolute http or https URL"),
        };
        if !rest.bytes().all(|byte| byte.is_ascii_graphic()) || rest.contains(['\\', '"', '<', '>']) {
            return Err(r#"must be a URL of visible ASCII without \, ", < and >, which are percent-encoded"#);
        }
        if rest.contains('#') {
            return Err("must be a URL without fragment");
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if authority.is_empty() || authority.starts_with(':') {
            return Err("must be a URL with a host");
        }
        if authority.contains('@') {
            return Err("must be a URL without user information");
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { text: text.into(), scheme, authority: authority.to_owned(), path })
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Another resource of the same server; `path` begins with a slash.
    pub fn with_path(&self, path: String) -> Self {
        let text = [self.scheme, "://", &self.authority, &path].concat().into();
        Self { text, scheme: self.scheme, authority: self.authority.clone(), path }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        const ABSOLUTE: &str = "must be an absolute http or https URL";
        const VISIBLE: &str =
            r#"must be a URL of visible ASCII without \, ", < and >, which are percent-encoded"#;
        for (text, expected) in [
            ("https://idp.example/jwks", Ok(("https", "idp.example", "/jwks"))),
            ("http://127.0.0.1:8080/a/b?c=d", Ok(("http", "127.0.0.1:8080", "/a/b?c=d"))),
            ("https://[::1]:8443/jwks", Ok(("https", "[::1]:8443", "/jwks"))),
            ("https://idp.example", Ok(("https", "idp.example", "/"))),
            ("https://idp.example?x", Ok(("https", "idp.example", "/?x"))),
            ("https://idp.example/a@b:c", Ok(("https", "idp.example", "/a@b:c"))),
            ("https://idp.example/#x", Err("must be a URL without fragment")),
            ("https://a@idp.example/", Err("must be a URL without user information")),
            ("https://a:b@idp.example/", Err("must be a URL without user information")),
            ("https://idp.example\\@evil/", Err(VISIBLE)),
            ("https://idp.example/\"", Err(VISIBLE)),
            ("https://idp.example/<a>", Err(VISIBLE)),
            ("https:///jwks", Err("must be a URL with a host")),
            ("https://?jwks", Err("must be a URL with a host")),
            ("https://:443/jwks", Err("must be a URL with a host")),
            ("https://", Err("must be a URL with a host")),
            ("ftp://idp.example/jwks", Err(ABSOLUTE)),
            ("HTTPS://idp.example/jwks", Err(ABSOLUTE)),
            ("idp.example/jwks", Err(ABSOLUTE)),
            ("//idp.example/jwks", Err(ABSOLUTE)),
            ("", Err(ABSOLUTE)),
            ("https://idp.example/\r\nx: y", Err(VISIBLE)),
            ("https://idp.example/j wks", Err(VISIBLE)),
            ("https://idp.example/jwké", Err(VISIBLE)),
        ] {
            let parsed = Url::parse(text);
            let parts = parsed.as_ref().map(|url| (url.scheme, url.authority.as_str(), url.path.as_str()));
            assert_eq!(parts.map_err(|fault| *fault), expected, "{text}");
            assert!(parsed.is_err() || parsed.unwrap().as_str() == text);
        }
    }

    #[test]
    fn another_path_is_another_url() {
        let url = Url::parse("https://idp.example:8443?x").unwrap();
        let other = url.with_path("/keys".into());
        assert_eq!(other, Url::parse("https://idp.example:8443/keys").unwrap());
    }
}
