//! What clients are told of an API so that they find its authorization server (RFC 9728).
//!
//! The document is made of the policy when that is compiled; nothing in it depends on a request.

use serde_json::{Map, Value};

use crate::{
    fault::Fault,
    request::{Location, authority, path::CanonicalPath},
    url::Url,
};

/// RFC 9728 section 3: what the paths of all documents begin with.
pub const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// The protected resource, as configured.
#[derive(Clone, Debug)]
pub struct ResourceMetadataSpec {
    /// The resource identifier: an `https` URL without query and fragment.
    pub resource: Url,
    /// Issuers. `None`: those of its providers that are URLs.
    pub authorization_servers: Option<Vec<Url>>,
    /// `None`: all that its rules name.
    pub scopes_supported: Option<Vec<String>>,
    /// For people. `None`: not told.
    pub resource_name: Option<String>,
    /// A URL for developers. `None`: not told.
    pub resource_documentation: Option<Url>,
}

/// What the rest of the policy says, for what the section itself leaves out.
#[derive(Clone, Copy, Debug, Default)]
pub struct Derived<'a> {
    /// Of the providers whose tokens its rules take.
    pub issuers: &'a [&'a str],
    /// Named by its rules; each may occur more than once.
    pub scopes: &'a [&'a str],
    /// Where tokens may stand.
    pub token_locations: &'a [&'a Location],
}

/// The finished document with where it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceMetadata {
    host: String,
    path: String,
    url: String,
    body: String,
}

impl ResourceMetadata {
    /// All faults have paths within the section.
    pub fn compile(spec: &ResourceMetadataSpec, derived: Derived<'_>) -> Result<Self, Vec<Fault>> {
        let fault = |message: &str| vec![Fault::new("resource", message)];
        let resource = &spec.resource;
        let host = authority::host(resource.authority.as_bytes())
            .map_err(|_| fault("its host is no host name or address"))?
            .into_owned();
        match CanonicalPath::parse(resource.path.as_bytes()) {
            Ok(path) if path.query().is_some() => return Err(fault("must be a URL without query")),
            Ok(path) if !path.rewritten() => {}
            _ => return Err(fault("its path is not in the one form that requests are held against")),
        }
        let issuers: Vec<&str> = match &spec.authorization_servers {
            Some(issuers) => issuers.iter().map(Url::as_str).collect(),
            None => derived.issuers.iter().copied().filter(|issuer| Url::parse(issuer).is_ok()).collect(),
        };
        let scopes: Vec<&str> = match &spec.scopes_supported {
            Some(scopes) => scopes.iter().map(String::as_str).collect(),
            None => derived.scopes.to_vec(),
        };
        let methods: Vec<&str> =
            derived.token_locations.iter().filter_map(|location| bearer_method(location)).collect();

        let mut document = Map::new();
        document.insert("resource".to_owned(), resource.as_str().into());
        for (name, values) in [
            ("authorization_servers", issuers),
            ("scopes_supported", scopes),
            ("bearer_methods_supported", methods),
        ] {
            let values = distinct(&values);
            // Section 3.2: parameters without values are left out.
            if !values.is_empty() {
                document.insert(name.to_owned(), values.into());
            }
        }
        for (name, value) in [
            ("resource_name", spec.resource_name.as_deref()),
            ("resource_documentation", spec.resource_documentation.as_ref().map(Url::as_str)),
        ] {
            if let Some(value) = value {
                document.insert(name.to_owned(), value.into());
            }
        }
        // Section 3.1: the suffix stands between host and path; a slash that ends the host goes.
        let suffix = if resource.path == "/" { "" } else { &resource.path };
        let path = format!("{WELL_KNOWN}{suffix}");
        Ok(Self {
            url: format!("https://{}{path}", resource.authority),
            host,
            path,
            body: Value::Object(document).to_string(),
        })
    }

    /// Whether the document is what a request to `host` and `path`, which are canonical, is about.
    pub fn is_at(&self, host: &str, path: &str) -> bool {
        path == self.path && host == self.host
    }

    /// Whether the document is where another one is.
    pub fn is_where(&self, other: &Self) -> bool {
        other.is_at(&self.host, &self.path)
    }

    /// The host of the resource.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The path of the resource; empty: the host's root.
    pub fn resource_path(&self) -> &str {
        self.path.strip_prefix(WELL_KNOWN).unwrap_or_default()
    }

    /// Where clients find it, for `resource_metadata` in challenges (section 5.1).
    pub fn url(&self) -> &str {
        &self.url
    }

    /// JSON.
    pub fn body(&self) -> &str {
        &self.body
    }
}

/// How RFC 6750 section 2 calls a place where a token may stand; `None`: it does not.
fn bearer_method(location: &Location) -> Option<&'static str> {
    match location {
        Location::Header { name, prefix } => {
            (name == "authorization" && prefix.trim_end().eq_ignore_ascii_case("bearer")).then_some("header")
        }
        Location::Query(name) => (name == "access_token").then_some("query"),
        Location::Cookie(_) | Location::WebSocketProtocol(_) => None,
    }
}

fn distinct<'a>(values: &[&'a str]) -> Vec<&'a str> {
    let mut seen = hashbrown::HashSet::new();
    values.iter().copied().filter(|value| seen.insert(*value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(resource: &str) -> ResourceMetadataSpec {
        ResourceMetadataSpec {
            resource: Url::parse(resource).unwrap(),
            authorization_servers: None,
            scopes_supported: None,
            resource_name: None,
            resource_documentation: None,
        }
    }

    fn document(spec: &ResourceMetadataSpec, derived: Derived<'_>) -> Value {
        serde_json::from_str(ResourceMetadata::compile(spec, derived).unwrap().body()).unwrap()
    }

    #[test]
    fn where_it_is() {
        for (resource, path, url) in [
            (
                "https://api.example.com",
                "/.well-known/oauth-protected-resource",
                "https://api.example.com/.well-known/oauth-protected-resource",
            ),
            (
                "https://api.example.com/",
                "/.well-known/oauth-protected-resource",
                "https://api.example.com/.well-known/oauth-protected-resource",
            ),
            // The example of section 3.1.
            (
                "https://resource.example.com/resource1",
                "/.well-known/oauth-protected-resource/resource1",
                "https://resource.example.com/.well-known/oauth-protected-resource/resource1",
            ),
            (
                "https://API.example.com:8443/mcp/",
                "/.well-known/oauth-protected-resource/mcp/",
                "https://API.example.com:8443/.well-known/oauth-protected-resource/mcp/",
            ),
        ] {
            let metadata = ResourceMetadata::compile(&spec(resource), Derived::default()).unwrap();
            assert_eq!((metadata.path.as_str(), metadata.url()), (path, url));
        }
        let metadata =
            ResourceMetadata::compile(&spec("https://API.example.com/v1"), Derived::default()).unwrap();
        let path = "/.well-known/oauth-protected-resource/v1";
        for (host, path, expected) in [
            ("api.example.com", path, true),
            ("other.example.com", path, false),
            ("api.example.com", "/.well-known/oauth-protected-resource", false),
            ("api.example.com", "/.well-known/oauth-protected-resource/v1/", false),
            ("api.example.com", "/.well-known/oauth-protected-resource/v1/x", false),
        ] {
            assert_eq!(metadata.is_at(host, path), expected, "{host} {path}");
        }
    }

    #[test]
    fn resources_that_are_none() {
        for (resource, message) in [
            ("https://api.example.com?x=1", "resource: must be a URL without query"),
            (
                "https://api.example.com/a/../b",
                "resource: its path is not in the one form that requests are held against",
            ),
            (
                "https://api.example.com/a;b",
                "resource: its path is not in the one form that requests are held against",
            ),
            ("https://a,b/", "resource: its host is no host name or address"),
        ] {
            let faults = ResourceMetadata::compile(&spec(resource), Derived::default()).unwrap_err();
            assert_eq!(faults.iter().map(ToString::to_string).collect::<Vec<_>>(), [message], "{resource}");
        }
    }

    #[test]
    fn what_it_says() {
        let header = |name: &str, prefix: &str| Location::Header { name: name.into(), prefix: prefix.into() };
        let locations = [
            header("authorization", "bearer "),
            header("authorization", "Token "),
            header("x-token", ""),
            Location::Cookie("access_token".into()),
            Location::Query("access_token".into()),
            Location::Query("token".into()),
        ];
        let locations: Vec<&Location> = locations.iter().collect();
        let derived = Derived {
            issuers: &["https://idp.example", "partner", "https://idp.example"],
            scopes: &["read", "write", "read"],
            token_locations: &locations,
        };
        let mut spec = spec("https://api.example.com");
        assert_eq!(document(&spec, Derived::default()), json!({"resource": "https://api.example.com"}));
        assert_eq!(
            document(&spec, derived),
            json!({
                "resource": "https://api.example.com",
                "authorization_servers": ["https://idp.example"],
                "scopes_supported": ["read", "write"],
                "bearer_methods_supported": ["header", "query"],
            })
        );
        spec.authorization_servers = Some(vec![Url::parse("https://other.example").unwrap()]);
        spec.scopes_supported = Some(vec!["all".into()]);
        spec.resource_name = Some("Orders \"API\"".into());
        spec.resource_documentation = Some(Url::parse("https://docs.example.com").unwrap());
        assert_eq!(
            document(&spec, derived),
            json!({
                "resource": "https://api.example.com",
                "authorization_servers": ["https://other.example"],
                "scopes_supported": ["all"],
                "bearer_methods_supported": ["header", "query"],
                "resource_name": "Orders \"API\"",
                "resource_documentation": "https://docs.example.com",
            })
        );
    }
}
