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

const TEMPLATE: &str = "https://login.example/{tenantid}/v2.0";

/// A provider for many tenants, with members replaced, or removed where null.
fn for_tenants(changes: &serde_json::Value) -> serde_json::Value {
    let mut document = super::base();
    let mut provider = serde_json::json!({
        "name": "entra", "issuer": TEMPLATE, "tenants": ["1111", "contoso.example"], "audiences": ["api"],
        "algorithms": ["RS256"],
        "discovery": {"cluster": "idp", "uri": "https://login.example/common/.well-known/openid-configuration"},
    });
    let members = provider.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        match value {
            serde_json::Value::Null => drop(members.shift_remove(name)),
            value => drop(members.insert(name.clone(), value.clone())),
        }
    }
    document["jwt"]["providers"].as_array_mut().unwrap().push(provider);
    document
}

#[test]
fn tenants() {
    use serde_json::json;
    let at = |field: &str, message: &str| vec![format!("jwt.providers[2].{field}: {message}")];
    let no_template = "has braces, but not as a template: a URL without query in whose path one segment is a variable, as in \
                       https://login.example/{tenantid}/v2.0";
    let no_effect = "has no effect: issuer has no variable in braces, so it is one tenant's";
    let no_tenant = "is not valid here: a tenant is 1 to 128 letters, digits and . _ -, at least one letter or digit among \
                     them";
    for (changes, expected) in [
        (json!({}), vec![]),
        (json!({"tenants": null, "anyTenant": true}), vec![]),
        (json!({"claims": {"tenant": "org.id"}}), vec![]),
        (json!({"discovery": null, "jwks": {"uri": "https://login.example/keys", "cluster": "idp"}}), vec![]),
        (
            json!({"tenants": null}),
            at(
                "tenants",
                "required with a variable in issuer; where anybody may become a tenant, their tokens are anybody's \
                 (anyTenant: true accepts them)",
            ),
        ),
        (json!({"anyTenant": true}), at("anyTenant", "contradicts tenants; give one of them")),
        (
            json!({"tenants": null, "anyTenant": false}),
            at("anyTenant", "only true is allowed; list tenants instead"),
        ),
        (json!({"tenants": []}), at("tenants", "no tenants; nobody's tokens would be accepted")),
        (json!({"tenants": ["*"]}), at("tenants[0]", &format!("\"*\" {no_tenant}"))),
        (json!({"tenants": ["1111", ".."]}), at("tenants[1]", &format!("\"..\" {no_tenant}"))),
        (json!({"tenants": ["1111", "1111"]}), at("tenants[1]", "\"1111\" is listed twice")),
        (json!({"tenants": ["{tenantid}"]}), at("tenants[0]", &format!("\"{{tenantid}}\" {no_tenant}"))),
        (json!({"issuer": "https://login.example/{tenantid}.v2"}), at("issuer", no_template)),
        (json!({"issuer": "https://{tenantid}.login.example/"}), at("issuer", no_template)),
        (json!({"issuer": "https://login.example/{a}/{b}"}), at("issuer", no_template)),
        (json!({"issuer": "https://login.example/${TENANT}"}), at("issuer", no_template)),
        (json!({"issuer": "https://login.example/v2.0"}), at("tenants", no_effect)),
        (
            json!({"issuer": "https://login.example/v2.0", "tenants": null, "anyTenant": true}),
            at("anyTenant", no_effect),
        ),
        (
            json!({"issuer": "https://login.example/v2.0", "tenants": null, "claims": {"tenant": "tid"}}),
            at("claims.tenant", no_effect),
        ),
        (
            json!({"requireIssuer": false}),
            at("requireIssuer", "contradicts the variable in issuer: a token without iss is no tenant's"),
        ),
        (json!({"requireIssuer": false, "issuer": "https://login.example/v2.0", "tenants": null}), vec![]),
        (
            json!({"discovery": {"cluster": "idp"}}),
            at(
                "discovery.uri",
                "required: where the document for all tenants is does not follow from issuer",
            ),
        ),
    ] {
        assert_eq!(super::faults(&for_tenants(&changes)), expected, "{changes}");
    }
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
