//! A request, as its client sends it.

use std::net::{IpAddr, Ipv4Addr};

use crate::request::{RequestHead, client_certificate::PeerCertificate};

/// Where requests come from that do not say: an address that is nobody's (RFC 5737).
const SOMEWHERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// A request.
#[derive(Clone, Debug, Default)]
pub(in crate::command) struct Asked {
    pub(in crate::command) method: String,
    /// Path and query.
    pub(in crate::command) target: String,
    pub(in crate::command) authority: String,
    /// Over TLS.
    pub(in crate::command) tls: bool,
    /// Names in lower case, without pseudo-headers.
    pub(in crate::command) headers: Vec<(String, String)>,
    /// Empty: none.
    pub(in crate::command) body: Vec<u8>,
    /// The client's address.
    pub(in crate::command) address: Option<IpAddr>,
    pub(in crate::command) certificate: Option<PeerCertificate>,
}

impl Asked {
    /// A request for a URL, or for a path at `localhost` over TLS.
    ///
    /// # Errors
    /// It is neither.
    pub(in crate::command) fn new(method: &str, url: &str) -> Result<Self, String> {
        let (tls, rest) = match (url.strip_prefix("https://"), url.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) if url.starts_with('/') => (true, ""),
            (None, None) => return Err(format!("{url:?} is neither a URL of http or https nor a path")),
        };
        let (authority, target) = match rest.find(['/', '?']) {
            _ if rest.is_empty() => ("localhost", url.to_owned()),
            None => (rest, "/".to_owned()),
            Some(at) => {
                let (authority, target) = rest.split_at_checked(at).unwrap_or((rest, ""));
                // A client sends the root where there is no path.
                let slash = if target.starts_with('/') { "" } else { "/" };
                (authority, [slash, target].concat())
            }
        };
        // What follows is for the client alone.
        let target = target.split('#').next().unwrap_or_default().to_owned();
        let (method, authority) = (method.to_owned(), authority.to_owned());
        Ok(Self { method, target, authority, tls, address: Some(SOMEWHERE), ..Self::default() })
    }

    /// With a header more.
    pub(in crate::command) fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.to_owned()));
        self
    }

    /// As Envoy hands it to the module.
    pub(super) fn head(&self) -> RequestHead<'_> {
        let scheme: &str = if self.tls { "https" } else { "http" };
        let pseudo: [(&str, &str); 4] = [
            (":authority", &self.authority),
            (":path", &self.target),
            (":method", &self.method),
            (":scheme", scheme),
        ];
        let own = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        RequestHead {
            headers: pseudo
                .into_iter()
                .chain(own)
                .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
                .collect(),
            remote_address: self.address,
            tls: self.tls,
            peer_certificate: self.certificate.clone(),
            ends: self.body.is_empty(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_and_paths() {
        for (url, expected) in [
            ("https://api.example.com/a?b=c#d", Some(("api.example.com", "/a?b=c", true))),
            ("http://api.example.com:8080", Some(("api.example.com:8080", "/", false))),
            ("https://api.example.com?q", Some(("api.example.com", "/?q", true))),
            ("/orders/7", Some(("localhost", "/orders/7", true))),
            ("orders/7", None),
            ("ftp://api.example.com/", None),
            ("", None),
        ] {
            let asked = Asked::new("GET", url);
            let found = asked.as_ref().ok().map(|asked| (&*asked.authority, &*asked.target, asked.tls));
            assert_eq!(found, expected, "{url}");
        }
    }
}
