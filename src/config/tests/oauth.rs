//! What the document says of OAuth2 beyond tokens: discovery, resource metadata, preflights.

use super::{Row, check};

#[test]
fn discovery() {
    check(&[
        Row(
            "/jwt/providers/1",
            "{\"name\": \"p\", \"issuer\": \"https://p\", \"anyAudience\": true, \"algorithms\": [\"ES256\"], \
             \"discovery\": {\"cluster\": \"c\", \"uri\": \"https://p/doc\", \"jwksCluster\": \"d\", \
             \"cacheDuration\": \"1m\", \"timeout\": \"1s\", \"maxStale\": \"2m\", \"minRefetchInterval\": \"9s\", \
             \"waitTimeout\": \"0s\"}}",
            "{\"name\": \"p\", \"issuer\": \"https://p\", \"anyAudience\": true, \"algorithms\": [\"ES256\"], \
             \"discovery\": {\"jwksCluser\": \"d\", \"uri\": \"/doc\"}}",
            &[
                "jwt.providers[1].discovery.uri: must be an absolute http or https URL",
                "jwt.providers[1].discovery.cluster: required",
                "jwt.providers[1].discovery.jwksCluser: unknown field; did you mean \"jwksCluster\"?",
            ],
        ),
        Row(
            "/jwt/providers/1",
            "{\"name\": \"p\", \"issuer\": \"https://p\", \"anyAudience\": true, \"algorithms\": [\"ES256\"], \
             \"discovery\": {\"cluster\": \"c\"}}",
            "{\"name\": \"p\", \"issuer\": \"joe\", \"anyAudience\": true, \"algorithms\": [\"ES256\"], \
             \"discovery\": {\"cluster\": \"c\"}}",
            &[
                "jwt.providers[1].issuer: must be an absolute http or https URL: discovery asks the issuer for its keys",
            ],
        ),
        Row(
            "/jwt/providers/1/issuer",
            "\"https://p?x=1\"",
            "\"\"",
            &["jwt.providers[1].issuer: must not be empty"],
        ),
        Row(
            "/jwt/providers/1",
            "{\"name\": \"p\", \"issuer\": \"https://p/\", \"anyAudience\": true, \"algorithms\": [\"ES256\"], \
             \"discovery\": {\"cluster\": \"c\"}}",
            "{\"name\": \"p\", \"issuer\": \"https://p?x=1\", \"anyAudience\": true, \"algorithms\": [\"ES256\"], \
             \"discovery\": {\"cluster\": \"c\"}}",
            &["jwt.providers[1].issuer: must be a URL without query: discovery asks the issuer for its keys"],
        ),
        Row(
            "/jwt/providers/0/discovery",
            "-",
            "{\"cluster\": \"idp\"}",
            &["jwt.providers[0].discovery: contradicts jwks; give one of them"],
        ),
        Row(
            "/jwt/providers/1/discovery",
            "-",
            "{\"cluster\": \"idp\"}",
            &["jwt.providers[1].symmetricKeys: contradicts discovery; give one of them"],
        ),
        Row(
            "/jwt/providers/0/jwks/waitTimeout",
            "\"30s\"",
            "\"31s\"",
            &["jwt.providers[0].jwks.waitTimeout: must be from 0s to 30s, found \"31s\""],
        ),
    ]);
}

#[test]
fn protected_resource() {
    let whole = "{\"resource\": \"https://api.example.com/v1\", \"authorizationServers\": [\"https://idp.example.com\"], \
                 \"scopesSupported\": [\"a\"], \"resourceName\": \"Orders\", \
                 \"resourceDocumentation\": \"https://docs.example.com\"}";
    check(&[
        Row("/protectedResource", whole, "{}", &["protectedResource.resource: required"]),
        Row(
            "/protectedResource",
            "{\"resource\": \"https://api.example.com\"}",
            "{\"resource\": \"api.example.com\", \"scopesSupported\": [\"a b\"], \"authorizationServers\": []}",
            &[
                "protectedResource.resource: must be an absolute http or https URL",
                "protectedResource.authorizationServers: no issuers; leave the field out to name those of all providers",
                "protectedResource.scopesSupported[0]: \"a b\" is not valid here: a scope is printable ASCII \
                 without space, \" and \\",
            ],
        ),
        Row(
            "/protectedResource",
            whole,
            "{\"resource\": \"http://api.example.com\", \"authorizationServers\": [\"https://a\", \"https://b#\", \
             \"https://a\"], \"resourceDocumentation\": \"https://docs.example.com/<page>\"}",
            &[
                "protectedResource.resource: must be an https URL",
                "protectedResource.authorizationServers[1]: must be a URL without fragment",
                "protectedResource.authorizationServers[2]: \"https://a\" is listed twice",
                "protectedResource.resourceDocumentation: must be a URL of visible ASCII without \\, \", < and >, \
                 which are percent-encoded",
            ],
        ),
    ]);
    let document = serde_json::json!({
        "protectedResource": {"resource": "https://api.example.com"},
        "rules": [{"name": "a", "authenticate": {"anonymous": true}}],
    });
    assert_eq!(
        super::faults(&document),
        ["protectedResource: tells clients where to get tokens, and without jwt none are accepted"]
    );
}

#[test]
fn preflights() {
    check(&[
        Row(
            "/rules/0/corsPreflight",
            "\"Allow\"",
            "\"Deny\"",
            &["rules[0].corsPreflight: \"Deny\" is not a choice (one of Allow)"],
        ),
        Row(
            "/rules/3/corsPreflight",
            "\"Allow\"",
            "true",
            &["rules[3].corsPreflight: expected a choice (one of Allow), found a boolean"],
        ),
        Row(
            "/rules/2/corsPreflight",
            "-",
            "\"Allow\"",
            &["rules[2].corsPreflight: contradicts action: Deny, which refuses every request that matches"],
        ),
    ]);
}
