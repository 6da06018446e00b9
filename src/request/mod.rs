//! A request as the core sees it: bytes from the wire, read once, judged nowhere else.

/// A header's value as bytes; it need not be UTF-8.
pub type Value<'a> = &'a [u8];

/// The head of a request, borrowed from what the host handed over.
#[derive(Clone, Debug)]
pub struct RequestHead<'a> {
    /// All headers with pseudo-headers (`:method`, `:path`, `:authority`, `:scheme`), names in lower case, in order, duplicates kept.
    pub headers: Vec<(&'a [u8], Value<'a>)>,
    /// The client's address as Envoy reports it; `None` when it could not be read.
    pub remote_address: Option<std::net::IpAddr>,
    /// Envoy's own connection carried TLS.
    pub tls: bool,
}

impl<'a> RequestHead<'a> {
    /// Every value of the header `name` (lower case), in order.
    pub fn values(&self, name: &str) -> impl Iterator<Item = Value<'a>> {
        let name = name.to_owned().into_bytes();
        self.headers.iter().filter(move |(n, _)| *n == name.as_slice()).map(|(_, v)| *v)
    }
}

/// Where a credential may stand in a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// A header, lower case; the value must begin with `prefix` (compared without case), which is cut off.
    Header {
        /// Lower case.
        name: String,
        /// Empty for none.
        prefix: String,
    },
    /// A cookie.
    Cookie(String),
    /// A query parameter.
    Query(String),
}
