//! What the document says of OAuth2 beyond tokens: discovery, resource metadata, preflights.

use serde_json::{Value, json};

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

/// Two APIs, and rules of both, of none, and without tokens.
fn several() -> Value {
    let provider = |name: &str| {
        json!({"name": name, "issuer": format!("https://{name}"), "anyAudience": true,
               "algorithms": ["HS256"],
               "symmetricKeys": [{"kid": "a", "secret": "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LXNlY3JldA"}]})
    };
    let path = |path: &str| json!([{"path": {"type": "PathPrefix", "value": path}}]);
    let tokens = json!({"anyOf": [{"jwt": "corp"}]});
    json!({
        "jwt": {"providers": [provider("corp")]},
        "protectedResources": [
            {"name": "orders", "resource": "https://api.example.com/orders"},
            {"name": "billing", "resource": "https://api.example.com/billing", "audiences": ["billing", "invoices"],
             "authorizationServers": ["https://corp"], "scopesSupported": ["a"], "resourceName": "Billing",
             "resourceDocumentation": "https://docs.example.com"},
        ],
        "rules": [
            {"name": "orders", "matches": path("/orders"), "authenticate": tokens, "protectedResource": "orders"},
            {"name": "billing", "matches": path("/billing"), "authenticate": tokens, "protectedResource": "billing"},
            {"name": "any", "matches": path("/any"), "authenticate": tokens, "anyAudience": true},
            {"name": "open", "matches": path("/open"), "authenticate": {"anonymous": true}},
            {"name": "rest", "action": "Deny"},
        ],
    })
}

#[test]
fn several_protected_resources() {
    let document = super::decode(several().to_string().as_bytes()).unwrap();
    let audiences: Vec<_> =
        document.protected_resources.iter().map(|r| r.audiences.clone().unwrap()).collect();
    assert_eq!(audiences, [vec!["https://api.example.com/orders"], vec!["billing", "invoices"]]);
    let of_rules: Vec<_> = document.rules.iter().map(|rule| rule.resource).collect();
    assert_eq!(of_rules, [Some(0), Some(1), None, None, None]);

    let missing = "rules[0].protectedResource: required; name the one of protectedResources whose tokens may pass, or \
                   write anyAudience: true";
    let resource = json!({"resource": "https://api.example.com"});
    let rows: &[(&str, Value, &[&str])] = &[
        ("/rules/0/protectedResource", Value::Null, &[missing]),
        (
            "/rules/0/protectedResource",
            json!("order"),
            &["rules[0].protectedResource: unknown protected resource \"order\"; did you mean \"orders\"?"],
        ),
        (
            "/rules/0/anyAudience",
            json!(true),
            &["rules[0].anyAudience: contradicts protectedResource; give one of them"],
        ),
        (
            "/rules/2/anyAudience",
            json!(false),
            &["rules[2].anyAudience: only true is allowed; name one of protectedResources instead"],
        ),
        (
            "/rules/3/protectedResource",
            json!("orders"),
            &["rules[3].protectedResource: has no effect: the rule takes no tokens"],
        ),
        (
            "/rules/3/anyAudience",
            json!(true),
            &["rules[3].anyAudience: has no effect: the rule takes no tokens"],
        ),
        (
            "/rules/4/protectedResource",
            json!("orders"),
            &[
                "rules[4].protectedResource: contradicts action: Deny, which refuses every request that matches",
            ],
        ),
        (
            "/protectedResource",
            resource.clone(),
            &["protectedResource: contradicts protectedResources; give one of them"],
        ),
        (
            "/protectedResources/1/name",
            json!("orders"),
            &[
                "protectedResources[1].name: duplicate protected resource \"orders\"; protectedResources[0] is the first",
                "rules[1].protectedResource: unknown protected resource \"billing\"",
            ],
        ),
        ("/protectedResources/0/name", Value::Null, &["protectedResources[0].name: required"]),
        ("/protectedResources/0/resource", Value::Null, &["protectedResources[0].resource: required"]),
        (
            "/protectedResources/0/audiences",
            json!([]),
            &[
                "protectedResources[0].audiences: no audiences; leave the field out to take tokens for the resource",
            ],
        ),
    ];
    for (pointer, value, expected) in rows {
        let mut document = several();
        let (parent, last) = pointer.rsplit_once('/').unwrap();
        let parent = document.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        match value {
            Value::Null => drop(parent.shift_remove(last)),
            value => drop(parent.insert(last.to_owned(), value.clone())),
        }
        assert_eq!(super::faults(&document), *expected, "{pointer} {value}");
    }

    // Nothing can be named where there is nothing, or one that is every rule's.
    for only in [None, Some(resource)] {
        let mut document = several();
        let members = document.as_object_mut().unwrap();
        members.shift_remove("protectedResources");
        members.extend(only.map(|only| ("protectedResource".to_owned(), only)));
        let expected = [
            "rules[0].protectedResource: unknown protected resource \"orders\"; protectedResources defines none",
            "rules[1].protectedResource: unknown protected resource \"billing\"; protectedResources defines none",
            "rules[2].anyAudience: has no effect without protectedResources",
        ];
        assert_eq!(super::faults(&document), expected);
    }
    let mut document = several();
    document["protectedResources"] = json!([]);
    assert_eq!(
        super::faults(&document)[0],
        "protectedResources: no resources; leave the field out if clients are told of none"
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
