//! A request as the core sees it: bytes from the wire, read once, judged nowhere else.
//!
//! Every reading here has one meaning or none: what two parties could read in two ways (a path with an
//! encoded slash, a credential that is given twice) is refused or reported as such, never guessed.

pub mod alike;
pub mod authority;
pub mod client_certificate;
pub mod connection;
pub mod cookie;
pub mod credential;
pub mod guarded;
pub mod overriding;
pub mod path;
pub mod preflight;
pub mod protocol;
pub mod query;
mod sighting;
pub mod trace_context;

use std::fmt;

use self::client_certificate::PeerCertificate;

/// A header's value as bytes; it need not be UTF-8.
pub type Value<'a> = &'a [u8];

/// The head of a request, borrowed from what the host handed over. Its `Debug` shows no values: they hold
/// credentials.
#[derive(Clone, Default)]
pub struct RequestHead<'a> {
    /// All headers with pseudo-headers (`:method`, `:path`, `:authority`, `:scheme`), names in lower case, in order, duplicates kept.
    pub headers: Vec<(&'a [u8], Value<'a>)>,
    /// The client's address as Envoy reports it; `None` when it could not be read.
    pub remote_address: Option<std::net::IpAddr>,
    /// Envoy's own connection carried TLS.
    pub tls: bool,
    /// The certificate that the client showed on Envoy's own connection; `None` when there is none or nobody asked.
    pub peer_certificate: Option<PeerCertificate>,
    /// Nothing follows the headers: no body, however short, and no trailers.
    pub ends: bool,
}

impl fmt::Debug for RequestHead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.headers.iter().map(|(name, _)| String::from_utf8_lossy(name)).collect();
        f.debug_struct("RequestHead")
            .field("headers", &names)
            .field("remote_address", &self.remote_address)
            .field("tls", &self.tls)
            .finish()
    }
}

impl<'a> RequestHead<'a> {
    /// Every value of the header `name` (lower case), in order.
    pub fn values(&self, name: &str) -> impl Iterator<Item = Value<'a>> {
        self.headers.iter().filter(move |(n, _)| *n == name.as_bytes()).map(|(_, value)| *value)
    }

    /// Whether it is a gRPC call, as Envoy tells them: of the answers to such it makes `grpc-status` and
    /// `grpc-message`.
    pub fn is_grpc(&self) -> bool {
        self.values("content-type").next().is_some_and(is_grpc)
    }

    /// How long it says that its body is, in bytes; `None` where it does not say, or nothing that can be read. Envoy refuses
    /// a body of another length.
    pub fn declared_length(&self) -> Option<usize> {
        str::from_utf8(self.single("content-length").one()?).ok()?.parse().ok()
    }

    /// The header `name` (lower case) where it must not be given twice. Never [`Lookup::Malformed`].
    ///
    /// Envoy joins the lines of headers that it knows to be single (`authorization`), so `One` may still
    /// hold two values with a comma between them.
    pub fn single(&self, name: &str) -> Lookup<Value<'a>> {
        Lookup::only(self.values(name).map(Some))
    }
}

/// Whether a content type is that of gRPC: `application/grpc`, alone or with a format behind `+`. That of gRPC-Web is not,
/// whose clients read an answer as any HTTP client does.
pub fn is_grpc(content_type: &[u8]) -> bool {
    let format = content_type.strip_prefix(b"application/grpc");
    format.is_some_and(|format| matches!(format.first(), None | Some(b'+')))
}

/// Something looked up by name that may be given once only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<T> {
    /// Not given.
    Absent,
    /// Given once. The value may be empty.
    One(T),
    /// Given more than once, even with equal values: which one counts is anybody's guess.
    Many,
    /// Given once, but it cannot be decoded. It equals nothing and authenticates nobody.
    Malformed,
}

impl<T> Lookup<T> {
    /// The value if it was given exactly once.
    pub fn one(self) -> Option<T> {
        match self {
            Self::One(value) => Some(value),
            Self::Absent | Self::Many | Self::Malformed => None,
        }
    }

    /// The same with another value.
    pub fn map<U>(self, with: impl FnOnce(T) -> U) -> Lookup<U> {
        match self {
            Self::Absent => Lookup::Absent,
            Self::One(value) => Lookup::One(with(value)),
            Self::Many => Lookup::Many,
            Self::Malformed => Lookup::Malformed,
        }
    }

    /// The only item; `None` stands for one that cannot be decoded.
    fn only(items: impl Iterator<Item = Option<T>>) -> Self {
        let mut found = Self::Absent;
        for item in items {
            found = match (found, item) {
                (Self::Absent, Some(value)) => Self::One(value),
                (Self::Absent, None) => Self::Malformed,
                _ => return Self::Many,
            };
        }
        found
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
    /// Among the protocols that a WebSocket client offers.
    WebSocketProtocol(protocol::ProtocolForm),
}

impl Location {
    /// The header that is the place, or holds it; `None` where all of several share one, as cookies do.
    pub fn header(&self) -> Option<&str> {
        match self {
            Self::Header { name, .. } => Some(name),
            Self::WebSocketProtocol(_) => Some(protocol::HEADER),
            Self::Cookie(_) | Self::Query(_) => None,
        }
    }

    /// Whether no request can have a credential at each of them: there is one value, or some server reads their names as the
    /// same.
    pub fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Header { name, .. }, Self::Header { name: other, .. })
            | (Self::Cookie(name), Self::Cookie(other))
            | (Self::Query(name), Self::Query(other)) => alike::is_alike(name.as_bytes(), other.as_bytes()),
            (Self::WebSocketProtocol(_), Self::WebSocketProtocol(_)) => true,
            _ => false,
        }
    }

    /// Whether it is `authorization` with credentials that name no scheme.
    #[inline]
    pub fn has_no_scheme(&self) -> bool {
        matches!(self, Self::Header { name, prefix } if prefix.is_empty() && name == "authorization")
    }

    /// Whether what stands at one of them stands at the other, too. How a prefix is written makes no difference, nor do
    /// the blanks behind it.
    pub fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Header { name, prefix }, Self::Header { name: other_name, prefix: other }) => {
                name == other_name && prefix.trim_ascii_end().eq_ignore_ascii_case(other.trim_ascii_end())
            }
            _ => self == other,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Header { name, .. } => write!(f, "the header {name:?}"),
            Self::Cookie(name) => write!(f, "the cookie {name:?}"),
            Self::Query(name) => write!(f, "the query parameter {name:?}"),
            Self::WebSocketProtocol(_) => write!(f, "the header {:?}", protocol::HEADER),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_the_same_however_its_prefix_is_written() {
        let header =
            |name: &str, prefix: &str| Location::Header { name: name.to_owned(), prefix: prefix.to_owned() };
        let place = header("authorization", "Bearer ");
        for (other, expected) in [
            (header("authorization", "bearer"), true),
            (header("authorization", "Bearer  "), true),
            (header("authorization", "Bearer x"), false),
            (header("authorization", "DPoP "), false),
            (header("x-auth", "Bearer "), false),
            (Location::Cookie("authorization".to_owned()), false),
        ] {
            assert_eq!(place.is_same_place(&other), expected, "{other:?}");
        }
    }

    #[test]
    fn places_that_a_request_cannot_fill_both() {
        use protocol::ProtocolForm::{Encoded, Next};
        let header = |name: &str, prefix: &str| Location::Header { name: name.into(), prefix: prefix.into() };
        let (cookie, query) =
            (|name: &str| Location::Cookie(name.into()), |name: &str| Location::Query(name.into()));
        for (one, other, expected) in [
            (header("authorization", "Bearer "), header("authorization", "Key "), true),
            (header("x-key", ""), header("x_key", ""), true),
            (header("x-key", ""), header("x-keys", ""), false),
            (cookie("a"), cookie("A"), true),
            (cookie("a"), cookie("b"), false),
            (cookie("a"), query("a"), false),
            (query("a.b"), query("a_b"), true),
            (query("a"), header("a", ""), false),
            (Location::WebSocketProtocol(Next), Location::WebSocketProtocol(Encoded), true),
            (Location::WebSocketProtocol(Next), header("authorization", "Bearer "), false),
        ] {
            assert_eq!(one.excludes(&other), expected, "{one:?} {other:?}");
            assert_eq!(other.excludes(&one), expected, "{one:?} {other:?}");
        }
    }

    #[test]
    fn a_header_is_absent_one_or_many() {
        let head = RequestHead {
            headers: vec![(b"x-one", b"1"), (b"x-two", b"a"), (b"x-empty", b""), (b"x-two", b"a")],
            tls: true,
            ..RequestHead::default()
        };
        let rows: &[(&str, Lookup<Value<'_>>)] = &[
            ("x-one", Lookup::One(b"1")),
            ("x-empty", Lookup::One(b"")),
            ("x-two", Lookup::Many),
            ("x-on", Lookup::Absent),
            ("", Lookup::Absent),
        ];
        for (name, expected) in rows {
            assert_eq!(head.single(name), *expected, "{name}");
        }
        assert_eq!(head.values("x-two").collect::<Vec<_>>(), [b"a", b"a"]);
    }

    #[test]
    fn what_envoy_takes_for_grpc() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc+json; charset=utf-8", true),
            ("application/grpc;x=y", false),
            ("application/grpc-web", false),
            ("application/grpc-web+proto", false),
            ("Application/gRPC", false),
            ("application/json", false),
            ("", false),
        ] {
            let headers = vec![(&b"content-type"[..], content_type.as_bytes())];
            assert_eq!(
                RequestHead { headers, ..RequestHead::default() }.is_grpc(),
                expected,
                "{content_type}"
            );
        }
        assert!(!RequestHead::default().is_grpc());
    }
}
