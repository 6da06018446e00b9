//! The policy that the decisions of these tests are made by, as text.

use ct_codecs::Encoder;
use portcullis::crypto::sha256;
use serde_json::{Value, json};

/// The hash of a key whose text is its id and `-secret`.
fn hash(id: &str) -> String {
    let digest = sha256(format!("{id}-secret").as_bytes());
    format!("sha256:{}", ct_codecs::Hex::encode_to_string(digest).unwrap())
}

/// How to ask an issuer about tokens, over the cluster `as`.
pub(crate) fn introspection(endpoint: &str) -> Value {
    json!({"endpoint": endpoint, "cluster": "as", "clientId": "gateway", "clientSecret": "gateway-secret"})
}

/// `corp` and `partner` are the key sets of the two issuers.
pub(crate) fn document(corp: &Value, partner: &Value) -> Value {
    let rule = |name: &str, methods: &[&str], kind: &str, path: &str, more: Value| {
        let mut rule = json!({"name": name,
            "matches": [{"path": {"type": kind, "value": path}, "methods": methods}]});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        rule
    };
    let (read, any) = (&["GET", "HEAD"][..], &["GET", "HEAD", "POST", "DELETE"][..]);
    let corp_only = json!({"anyOf": [{"jwt": "corp"}]});
    let everybody = json!({"anyOf": [{"jwt": "corp"}, {"jwt": "partner"}, "apiKey"]});
    let key = |id: &str, more: Value| {
        let mut key = json!({"id": id, "hash": hash(id)});
        key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        key
    };
    json!({
        "realm": "test",
        "transport": {"hsts": {"maxAge": "1h"}},
        "jwt": {"providers": [
            {"name": "corp", "issuer": "https://idp.example", "audiences": ["api"], "algorithms": ["ES256"],
             "jwks": {"inline": corp}, "maxLifetime": "1h",
             "claims": {"roles": "roles", "tier": "tier"},
             "claimToHeaders": [{"claim": "email", "header": "x-auth-email"},
                                {"claim": "groups", "header": "x-auth-groups"}],
             "extractFrom": {"headers": [{"name": "authorization", "valuePrefix": "Bearer "}],
                             "cookies": ["session"], "params": ["access_token"]}},
            {"name": "partner", "issuer": "https://partner.example", "anyAudience": true,
             "algorithms": ["ES256"], "jwks": {"inline": partner}, "forward": true,
             "claims": {"roles": "roles"}, "extractFrom": {"headers": [{"name": "x-partner-token"}]}},
            {"name": "remote", "issuer": "https://remote.example", "anyAudience": true,
             "algorithms": ["ES256"], "jwks": {"uri": "https://remote.example/jwks", "cluster": "remote"}},
            // Knows its tokens itself.
            {"name": "opaque", "issuer": "https://as.example", "audiences": ["api"],
             "introspection": introspection("https://as.example/introspect")},
            // Tokens of corp's keys that somebody must prove to hold.
            {"name": "bound", "issuer": "https://bound.example", "anyAudience": true, "algorithms": ["ES256"],
             "jwks": {"inline": corp}, "dpop": {"mode": "Accepted"}},
            {"name": "nonced", "issuer": "https://nonced.example", "anyAudience": true, "algorithms": ["ES256"],
             "jwks": {"inline": corp}, "dpop": {"mode": "Required", "nonce": {}}},
        ]},
        "clientCertificates": {"principals": [{"uri": "spiffe://td/ns/*"}]},
        "hmac": {"sources": [
            {"name": "hub", "preset": "GitHub", "secrets": ["hub-secret-of-16"], "maxBodyBytes": 20,
             "scopes": ["hooks:write"]},
            {"name": "chat", "preset": "Slack", "secrets": ["old-chat-secret-of-16", "chat-secret-of-16"], "forward": false},
        ]},
        "messageSignatures": {"signers": [
            {"name": "bank", "keys": [{"keyId": "bank-1", "algorithm": "ed25519", "jwk": {"kty": "OKP", "crv": "Ed25519", "x": "JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs"}}, {"keyId": "bank-2",
                "algorithm": "hmac-sha256", "secret": "dGlsbHRpbGx0aWxsdGlsbHRpbGx0aWxsdGlsbHRpbGw"}], "scopes": ["hooks:write"], "maxBodyBytes": 20},
            {"name": "till", "keys": [{"keyId": "till-1", "algorithm": "hmac-sha256", "secret": "dGlsbHRpbGx0aWxsdGlsbHRpbGx0aWxsdGlsbHRpbGw"}], "once": true,
                "components": ["@target-uri", "@method", "x-tenant"], "tag": "till", "forward": false},
        ]},
        "revocation": {"tokens": {"jti": ["revoked"]}},
        "apiKeys": {
            "extractFrom": {"headers": [{"name": "x-api-key"}], "cookies": ["key"], "params": ["api_key"]},
            "levels": {"Read": {"permissions": ["orders:read"]}, "Write": {"permissions": ["orders:*"]}},
            "keys": [
                key("reader", json!({"level": "Read", "scopes": ["reports:read"]})),
                key("writer", json!({"level": "Write"})),
                key("gold", json!({"level": "Read", "tier": "gold"})),
                key("old", json!({"level": "Read", "client": "acme", "expiresAt": "2027-01-15T08:00:01Z"})),
                key("new", json!({"level": "Read", "client": "acme", "notBefore": "2027-01-15T08:00:00Z"})),
                key("expired", json!({"level": "Read", "expiresAt": "2027-01-15T08:00:00Z"})),
                key("future", json!({"level": "Read", "notBefore": "2027-01-15T08:00:01Z"})),
                key("disabled", json!({"level": "Read", "disabled": true})),
                key("revoked", json!({"level": "Read", "revokedAt": "2027-02-01T00:00:00Z"})),
                key("inside", json!({"level": "Read", "remoteAddress": ["10.0.0.0/8"], "hostnames": ["api.example"]})),
                key("elsewhere", json!({"level": "Read", "remoteAddress": ["192.0.2.0/24"]})),
                key("other-host", json!({"level": "Read", "hostnames": ["*.other.example"]})),
            ],
        },
        "roles": [
            {"name": "viewer", "permissions": ["orders:read"]},
            {"name": "editor", "inherits": ["viewer"], "permissions": ["orders:write"]},
            {"name": "admin", "inherits": ["editor"], "permissions": ["*"]},
        ],
        "rateLimits": [
            {"name": "throttle", "key": ["remoteAddress"], "limits": [{"requests": 8, "unit": "Minute"}],
             "before": "Authentication"},
            {"name": "reads", "key": ["principal"], "methods": ["GET"],
             "limits": [{"requests": 3, "unit": "Minute"}],
             "tiers": [{"name": "gold", "limits": [{"requests": 5, "unit": "Minute"}]}]},
            {"name": "tenants", "key": [{"header": "x-tenant"}], "limits": [{"requests": 2, "unit": "Hour"}]},
        ],
        "rules": [
            rule("health", &["GET"], "Exact", "/health", json!({"authenticate": {"anonymous": true}})),
            rule("closed", any, "PathPrefix", "/closed", json!({"action": "Deny"})),
            rule("write", &["POST"], "Exact", "/orders",
                json!({"authenticate": everybody, "authorize": {"permissions": ["orders:write"]}})),
            rule("orders", read, "PathPrefix", "/orders",
                json!({"authenticate": everybody, "authorize": {"permissions": ["orders:read"]}})),
            rule("reports", read, "PathTemplate", "/reports/{name}",
                json!({"authenticate": everybody, "authorize": {"scopes": ["reports:read"]}})),
            rule("own", read, "PathTemplate", "/own/{user}",
                json!({"authenticate": corp_only, "authorize": {"owner": {"pathVariable": "user"}}})),
            rule("tenants", read, "PathTemplate", "/tenants/{tenant}",
                json!({"authenticate": corp_only, "authorize": {"owner": {"pathVariable": "tenant", "claim": "tenants"}}})),
            rule("admin", any, "PathPrefix", "/admin",
                json!({"authenticate": corp_only, "authorize": {"roles": ["admin"]}})),
            json!({"name": "debugging", "action": "Deny", "matches": [
                {"path": {"type": "Exact", "value": "/asking"}, "headers": [{"name": "x-debug", "value": "1"}]},
                {"path": {"type": "Exact", "value": "/asking"}, "queryParams": [{"name": "debug", "value": "1"}]},
                {"path": {"type": "Exact", "value": "/asking"},
                 "headers": [{"name": "user-agent", "type": "RegularExpression", "value": "(?i).*bot.*"}]},
            ]}),
            rule("asking", read, "Exact", "/asking", json!({"authenticate": {"anyOf": ["apiKey"]}})),
            rule("tokens", read, "Exact", "/tokens", json!({"authenticate": corp_only})),
            rule("keys", read, "Exact", "/keys", json!({"authenticate": {"anyOf": ["apiKey"]}})),
            rule("remote", read, "Exact", "/remote", json!({"authenticate": {"anyOf": [{"jwt": "remote"}]}})),
            rule("opaque", read, "Exact", "/opaque", json!({"authenticate": {"anyOf": [{"jwt": "opaque"}]}})),
            rule("bound", read, "Exact", "/bound", json!({"authenticate": {"anyOf": [{"jwt": "bound"}]}})),
            rule("nonced", read, "Exact", "/nonced", json!({"authenticate": {"anyOf": [{"jwt": "nonced"}]}})),
            rule("certificate", read, "Exact", "/certificate",
                json!({"authenticate": {"anyOf": ["clientCertificate"]}})),
            rule("hooks", any, "Exact", "/hooks", json!({"authenticate": {"anyOf": [{"hmac": "hub"}, {"hmac": "chat"}]}})),
            rule("signed", any, "PathPrefix", "/signed", json!({"authenticate": {"anyOf": [{"messageSignature": "bank"}]}})),
            rule("till", any, "Exact", "/till", json!({"authenticate": {"anyOf": [{"messageSignature": "till"}]}})),
            rule("fresh", read, "Exact", "/fresh",
                json!({"authenticate": corp_only, "authorize": {"stepUp": {"acrValues": ["phr"], "maxAge": "5m"}}})),
            rule("department", read, "Exact", "/department",
                json!({"authenticate": corp_only, "authorize": {"claims": [{"claim": "department", "equals": "it"}]}})),
            rule("permanent", read, "Exact", "/permanent",
                json!({"authenticate": corp_only,
                       "authorize": {"noneOf": [{"claims": [{"claim": "employment", "equals": "contractor"}]}]}})),
            rule("near", read, "Exact", "/near",
                json!({"authenticate": {"anonymous": true}, "authorize": {"remoteAddress": ["10.0.0.0/24"]}})),
            rule("far", read, "Exact", "/far",
                json!({"authenticate": {"anonymous": true}, "authorize": {"noneOf": [{"remoteAddress": ["10.0.0.0/24"]}]}})),
            rule("acting", read, "Exact", "/acting", json!({"authenticate": {"allOf": ["apiKey", {"jwt": "partner"}]},
                "authorize": {"anyOf": [
                    {"roles": ["admin"]},
                    {"actor": {"scopes": ["reports:read"], "noneOf": [{"permissions": ["orders:write"]}]}},
                ]}})),
            rule("limited", any, "Exact", "/limited",
                json!({"authenticate": everybody, "rateLimits": ["reads"]})),
            rule("both", any, "Exact", "/both",
                json!({"authenticate": everybody, "rateLimits": ["reads", "tenants"]})),
        ],
        "accessLog": {"fields": ["Rule", "Reason", "Principal", "Kind", "Authority", "Credential", "Limit"]},
        "decisionLog": {"allowed": true, "denied": "All"},
    })
}
