//! Where an issuer says that its keys are: RFC 8414 and OpenID Connect Discovery 1.0.
//!
//! Decides where to ask and whether to believe the answer; fetches nothing. Of the document only `issuer` and
//! `jwks_uri` are read: which algorithms count is the policy's business, whatever the provider says it can do.

use std::fmt;

use super::DiscoverySpec;
use crate::{
    calls::{NoBody, Outcome},
    fetched::{FetchPlace, FetchStep},
    json::{self, Json, JsonFault},
    url::Url,
};

/// The longest document that is read, in bytes.
pub const MAX_DOCUMENT_SIZE: usize = 64 * 1024;
/// How much of a wrong `issuer` or host is shown.
const SHOWN: usize = 200;

/// Where the document of one issuer is, and what it has to say.
#[derive(Clone, Debug)]
pub(super) struct Discovery {
    issuer: Url,
    document: Url,
    /// Where it may be as well, to be tried where the first place has none.
    other: Option<Url>,
    cluster: String,
    jwks_cluster: Option<String>,
}

/// Why a discovery document is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentError {
    /// The keys are on another host than the document, and no cluster is configured for that.
    Host {
        /// Host and port, shortened.
        host: String,
    },
    /// `issuer` is another one.
    Issuer {
        /// What it is, shortened; `None`: missing or no text.
        found: Option<String>,
    },
    /// Not an object with unique members.
    Json(JsonFault),
    /// `jwks_uri` is no URL that could be fetched.
    JwksUri(&'static str),
    /// There is nothing to read.
    NoBody(NoBody),
    /// `jwks_uri` is missing or no text.
    NoJwksUri,
    /// `jwks_uri` is `http`, and the document itself was not.
    Plaintext,
}

/// What to do about the document's outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The keys are there.
    KeySet(Url, String),
    /// Nothing is here; the next candidate may have it.
    TryNext,
}

/// The URL of an issuer that has a discovery document.
///
/// # Errors
/// What the issuer must be to have one.
pub fn issuer_url(issuer: &str) -> Result<Url, &'static str> {
    match Url::parse(issuer)? {
        // RFC 8414 section 2.
        url if url.as_str().contains('?') => Err("must be a URL without query"),
        url => Ok(url),
    }
}

impl Discovery {
    pub(super) fn new(spec: &DiscoverySpec, cluster: &str) -> Self {
        let (document, other) = match &spec.uri {
            Some(uri) => (uri.clone(), None),
            None => {
                let [document, other] = well_known(&spec.issuer);
                (document, Some(other))
            }
        };
        Self {
            issuer: spec.issuer.clone(),
            document,
            other,
            cluster: cluster.to_owned(),
            jwks_cluster: spec.jwks_cluster.clone(),
        }
    }

    /// Asks in the first place.
    pub(super) fn first(&self) -> FetchStep {
        self.ask(&self.document, 0)
    }

    /// Asks in the `index`th place.
    pub(super) fn step(&self, index: usize) -> Option<FetchStep> {
        Some(self.ask(self.place(index)?, index))
    }

    fn ask(&self, document: &Url, index: usize) -> FetchStep {
        let place = FetchPlace { endpoint: document.clone(), cluster: self.cluster.clone() };
        FetchStep::Signpost { place, index, accept: "application/json", max_size: MAX_DOCUMENT_SIZE }
    }

    fn place(&self, index: usize) -> Option<&Url> {
        match index {
            0 => Some(&self.document),
            1 => self.other.as_ref(),
            _ => None,
        }
    }

    /// How many calls a fetch takes at most, that of the key set included.
    pub(super) fn calls(&self) -> u32 {
        if self.other.is_some() { 3 } else { 2 }
    }

    /// Judges what came from the `index`th place.
    pub(super) fn read(&self, outcome: Outcome<'_>, index: usize) -> Result<Found, DocumentError> {
        let document = self.place(index).ok_or(DocumentError::NoBody(NoBody::Failed))?;
        // Not every server has both forms. One that is down or redirects has neither.
        if let Outcome::Answer { status: 400..=499, .. } = outcome
            && index.checked_add(1).and_then(|next| self.place(next)).is_some()
        {
            return Ok(Found::TryNext);
        }
        let body = outcome.body(MAX_DOCUMENT_SIZE).map_err(DocumentError::NoBody)?;
        let members = json::parse_object(json::without_byte_order_mark(body))
            .map_err(|fault| DocumentError::Json(fault.of_body_in(outcome.coding())))?;
        // RFC 8414 section 3.3: identical, or a server could speak for another one.
        match members.get("issuer").and_then(Json::as_str) {
            Some(issuer) if issuer == self.issuer.as_str() => {}
            found => return Err(DocumentError::Issuer { found: found.map(shown) }),
        }
        let uri = members.get("jwks_uri").and_then(Json::as_str).ok_or(DocumentError::NoJwksUri)?;
        let keys = Url::parse(uri).map_err(DocumentError::JwksUri)?;
        if keys.scheme == "http" && document.scheme == "https" {
            return Err(DocumentError::Plaintext);
        }
        let cluster = match &self.jwks_cluster {
            _ if same_host(document, &keys) => &self.cluster,
            Some(cluster) => cluster,
            None => return Err(DocumentError::Host { host: shown(&keys.authority) }),
        };
        Ok(Found::KeySet(keys, cluster.clone()))
    }
}

/// The two places where the document of `issuer` may be: behind its path (OpenID Connect Discovery 1.0 section 4)
/// and between its host and path (RFC 8414 section 3).
fn well_known(issuer: &Url) -> [Url; 2] {
    let path = issuer.path.strip_suffix('/').unwrap_or(&issuer.path);
    [
        issuer.with_path(format!("{path}/.well-known/openid-configuration")),
        issuer.with_path(format!("/.well-known/oauth-authorization-server{path}")),
    ]
}

/// Host names have no case, and a port that goes without saying is the same said, or left empty (RFC 3986 section 6.2.3).
fn same_host(a: &Url, b: &Url) -> bool {
    let normal = |url: &Url| {
        let port = if url.scheme == "https" { ":443" } else { ":80" };
        let authority = url.authority.to_ascii_lowercase();
        let bare = authority.strip_suffix(port).or(authority.strip_suffix(':')).map(str::to_owned);
        bare.unwrap_or(authority)
    };
    a.scheme == b.scheme && normal(a) == normal(b)
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN).collect()
}

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("discovery document: ")?;
        match self {
            Self::Host { host } => {
                write!(
                    f,
                    "jwks_uri is on another host, {host:?}, and no jwksCluster is configured to reach it"
                )
            }
            Self::Issuer { found: Some(found) } if found.contains('{') => {
                write!(
                    f,
                    "its issuer is {found:?}: it is for all tenants; give that as `issuer`, with the tenants whose tokens are taken, or name \
                     the document of one in discovery.uri"
                )
            }
            Self::Issuer { found: Some(found) } => {
                write!(f, "its issuer is {found:?}, not the configured one")
            }
            Self::Issuer { found: None } => f.write_str("it names no issuer"),
            Self::Json(fault) => write!(f, "{fault}"),
            Self::JwksUri(fault) => write!(f, "jwks_uri: {fault}"),
            Self::NoBody(fault) => fault.fmt(f),
            Self::NoJwksUri => f.write_str("it names no jwks_uri"),
            Self::Plaintext => f.write_str("jwks_uri is not https"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn discovery(issuer: &str, uri: Option<&str>, jwks_cluster: Option<&str>) -> Discovery {
        let spec = DiscoverySpec {
            issuer: issuer_url(issuer).unwrap(),
            uri: uri.map(|uri| Url::parse(uri).unwrap()),
            jwks_cluster: jwks_cluster.map(Into::into),
        };
        Discovery::new(&spec, "idp")
    }

    #[test]
    fn where_to_ask() {
        for (issuer, uri, expected) in [
            (
                "https://idp.example",
                None,
                vec!["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"],
            ),
            (
                "https://idp.example/",
                None,
                vec!["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"],
            ),
            // RFC 8414 section 3.1 and OpenID Connect Discovery 1.0 section 4.1.
            (
                "https://example.com/issuer1",
                None,
                vec![
                    "/issuer1/.well-known/openid-configuration",
                    "/.well-known/oauth-authorization-server/issuer1",
                ],
            ),
            (
                "https://example.com/a/b/",
                None,
                vec!["/a/b/.well-known/openid-configuration", "/.well-known/oauth-authorization-server/a/b"],
            ),
            ("https://idp.example", Some("https://idp.example/meta?x=1"), vec!["/meta?x=1"]),
        ] {
            let found = discovery(issuer, uri, None);
            let places: Vec<_> = (0..3).filter_map(|index| found.place(index)).collect();
            assert_eq!(places.iter().map(|url| url.path.as_str()).collect::<Vec<_>>(), expected, "{issuer}");
            assert!(places.iter().all(|url| url.scheme == "https"));
            assert_eq!(usize::try_from(found.calls()), Ok(expected.len().saturating_add(1)));
        }
        for issuer in
            ["joe", "", "https://idp.example?x=1", "https://idp.example/#a", "https://u@idp.example"]
        {
            assert!(issuer_url(issuer).is_err(), "{issuer}");
        }
    }

    #[test]
    fn what_is_believed() {
        type Row<'a> = (&'a str, Option<&'a str>, &'a str, Result<&'a str, DocumentError>);
        let https = "https://idp.example";
        let other_host = |host: &str| Err(DocumentError::Host { host: host.into() });
        let other_issuer = |found: &str| Err(DocumentError::Issuer { found: Some(found.into()) });
        let rows: Vec<Row<'_>> = vec![
            (
                https,
                None,
                r#"{"issuer":"https://idp.example","jwks_uri":"https://idp.example/keys"}"#,
                Ok("idp"),
            ),
            (
                https,
                None,
                r#"{"issuer":"https://idp.example","jwks_uri":"https://IDP.example:443/k"}"#,
                Ok("idp"),
            ),
            (
                https,
                None,
                r#"{"issuer":"https://idp.example","jwks_uri":"https://idp.example:/k"}"#,
                Ok("idp"),
            ),
            // Another host, with and without a cluster for it.
            (
                https,
                Some("keys"),
                r#"{"issuer":"https://idp.example","jwks_uri":"https://cdn.example/k"}"#,
                Ok("keys"),
            ),
            (
                https,
                Some("keys"),
                r#"{"issuer":"https://idp.example","jwks_uri":"https://idp.example/k"}"#,
                Ok("idp"),
            ),
            (
                https,
                None,
                r#"{"issuer":"https://idp.example","jwks_uri":"https://cdn.example/k"}"#,
                other_host("cdn.example"),
            ),
            (
                https,
                None,
                r#"{"issuer":"https://idp.example","jwks_uri":"https://idp.example:8443/k"}"#,
                other_host("idp.example:8443"),
            ),
            // Exactly the configured one.
            (
                https,
                None,
                r#"{"issuer":"https://idp.example/","jwks_uri":"https://idp.example/k"}"#,
                other_issuer("https://idp.example/"),
            ),
            (
                https,
                None,
                r#"{"issuer":"https://IDP.example","jwks_uri":"https://idp.example/k"}"#,
                other_issuer("https://IDP.example"),
            ),
            (
                https,
                None,
                r#"{"issuer":["https://idp.example"],"jwks_uri":"https://idp.example/k"}"#,
                Err(DocumentError::Issuer { found: None }),
            ),
            // Never from encrypted to plain.
            (
                https,
                Some("keys"),
                r#"{"issuer":"https://idp.example","jwks_uri":"http://idp.example/k"}"#,
                Err(DocumentError::Plaintext),
            ),
            (
                "http://idp.local",
                None,
                r#"{"issuer":"http://idp.local","jwks_uri":"http://idp.local:80/k"}"#,
                Ok("idp"),
            ),
            (
                "http://idp.local",
                Some("keys"),
                r#"{"issuer":"http://idp.local","jwks_uri":"https://idp.local/k"}"#,
                Ok("keys"),
            ),
            (https, None, r#"{"issuer":"https://idp.example"}"#, Err(DocumentError::NoJwksUri)),
            (https, None, r#"{"issuer":"https://idp.example","jwks_uri":7}"#, Err(DocumentError::NoJwksUri)),
            (
                https,
                None,
                r#"{"issuer":"https://idp.example","jwks_uri":"/k"}"#,
                Err(DocumentError::JwksUri("must be an absolute http or https URL")),
            ),
            (
                https,
                None,
                r#"{"issuer":"https://idp.example","issuer":"x","jwks_uri":"https://idp.example/k"}"#,
                Err(DocumentError::Json(JsonFault::DuplicateMember)),
            ),
            (
                https,
                None,
                "\u{feff}{\"issuer\":\"https://idp.example\",\"jwks_uri\":\"https://idp.example/k\"}",
                Ok("idp"),
            ),
            (https, None, "<html>", Err(DocumentError::Json(JsonFault::Syntax))),
            (https, None, "[]", Err(DocumentError::Json(JsonFault::NotAnObject))),
        ];
        for (issuer, jwks_cluster, body, expected) in rows {
            let outcome = Outcome::Answer { status: 200, headers: &[], body: body.as_bytes() };
            let found = discovery(issuer, None, jwks_cluster).read(outcome, 0);
            let cluster = found.map(|found| match found {
                Found::KeySet(_, cluster) => cluster,
                Found::TryNext => "next".to_owned(),
            });
            assert_eq!(cluster.as_deref().map_err(Clone::clone), expected, "{body}");
        }
    }

    /// The document of `common` beside that of a tenant.
    #[test]
    fn a_document_for_all_tenants() {
        let own = "https://login.example/1111/v2.0";
        let one =
            discovery(own, Some("https://login.example/common/v2.0/.well-known/openid-configuration"), None);
        let read = |issuer: &str| {
            let body = format!(r#"{{"issuer":"{issuer}","jwks_uri":"https://login.example/keys"}}"#);
            one.read(Outcome::Answer { status: 200, headers: &[], body: body.as_bytes() }, 0)
        };
        assert!(read(own).is_ok());
        let message = |issuer: &str| read(issuer).unwrap_err().to_string();
        assert_eq!(
            message("https://login.example/{tenantid}/v2.0"),
            "discovery document: its issuer is \"https://login.example/{tenantid}/v2.0\": it is for all tenants; give \
             that as `issuer`, with the tenants whose tokens are taken, or name the document of one in discovery.uri"
        );
        assert_eq!(
            message("https://login.example/2222/v2.0"),
            "discovery document: its issuer is \"https://login.example/2222/v2.0\", not the configured one"
        );
        // The other way round: that of all tenants, as it stands, and no other.
        let template = "https://login.example/{tenantid}/v2.0";
        let uri = Some("https://login.example/common/v2.0/.well-known/openid-configuration");
        let all = discovery(template, uri, None);
        let read = |issuer: &str| {
            let body = format!(r#"{{"issuer":"{issuer}","jwks_uri":"https://login.example/keys"}}"#);
            all.read(Outcome::Answer { status: 200, headers: &[], body: body.as_bytes() }, 0)
        };
        assert!(read(template).is_ok());
        for other in [own, "https://login.example/{tenant}/v2.0", "https://login.example//v2.0"] {
            assert_eq!(read(other), Err(DocumentError::Issuer { found: Some(other.into()) }));
        }
    }

    #[test]
    fn only_what_is_not_there_leads_to_the_next_place() {
        let two = discovery("https://idp.example", None, None);
        let one = discovery("https://idp.example", Some("https://idp.example/meta"), None);
        let answer = |status| Outcome::Answer { status, headers: &[], body: b"" };
        for (status, expected) in [
            (404, Ok(Found::TryNext)),
            (400, Ok(Found::TryNext)),
            (302, Err(DocumentError::NoBody(NoBody::Status(302)))),
            (500, Err(DocumentError::NoBody(NoBody::Status(500)))),
            (204, Err(DocumentError::NoBody(NoBody::Status(204)))),
        ] {
            assert_eq!(two.read(answer(status), 0), expected, "{status}");
            assert_eq!(
                two.read(answer(status), 1),
                Err(DocumentError::NoBody(NoBody::Status(status))),
                "{status}"
            );
            assert_eq!(
                one.read(answer(status), 0),
                Err(DocumentError::NoBody(NoBody::Status(status))),
                "{status}"
            );
        }
        assert_eq!(two.read(Outcome::Failed, 0), Err(DocumentError::NoBody(NoBody::Failed)));
        let coded =
            Outcome::Answer { status: 200, headers: &[(b"content-encoding", b"br")], body: b"\x0b\x02\x80" };
        assert_eq!(two.read(coded, 0), Err(DocumentError::Json(JsonFault::Coded("br"))));
    }
}
