//! API keys: each state that one can be in, where it may stand, and that it goes no further.

use serde_json::{Value, json};

use crate::harness::{
    gateway::{Wire, gateway},
    issuer::token,
    policy::{api_key, api_key_entry, provider, rule, with_api_key},
    request::{Request, get, post},
    table::{Pair, hold, pair},
};

pub(crate) fn policy() -> Value {
    let either = json!({"authenticate": {"anyOf": [{"jwt": "test"}, "apiKey"]}});
    let needs = |permission: &str| json!({"authenticate": {"anyOf": ["apiKey"]}, "authorize": {"permissions": [permission]}});
    json!({
        "jwt": {"providers": [provider()]},
        "apiKeys": {
            "extractFrom": {
                "headers": [{"name": "x-api-key"}, {"name": "authorization", "valuePrefix": "ApiKey "}],
                "cookies": ["api_key"],
                "params": ["api_key"],
            },
            "levels": {
                "Read": {"permissions": ["orders:read"]},
                "Write": {"permissions": ["orders:read", "orders:write"]},
                "Admin": {"permissions": ["*"]},
            },
            "keys": [
                api_key_entry("plain", json!({})),
                api_key_entry("read", json!({"level": "Read"})),
                api_key_entry("write", json!({"level": "Write"})),
                api_key_entry("admin", json!({"level": "Admin"})),
                api_key_entry("scoped", json!({"scopes": ["reports:read", "reports:list"]})),
                api_key_entry("role", json!({"roles": ["clerk"]})),
                api_key_entry("old", json!({"client": "partner", "expiresAt": "2500-01-01T00:00:00Z"})),
                api_key_entry("new", json!({"client": "partner"})),
                api_key_entry("expired", json!({"expiresAt": "2024-02-29T12:00:00+02:00"})),
                api_key_entry("future", json!({"notBefore": "2500-01-01T00:00:00Z"})),
                api_key_entry("begun", json!({"notBefore": "2024-01-01T00:00:00Z"})),
                api_key_entry("disabled", json!({"disabled": true})),
                api_key_entry("enabled", json!({"disabled": false})),
            ],
        },
        "roles": [{"name": "clerk", "permissions": ["orders:write"]}],
        "rules": [
            rule("k", "Exact", "/k", with_api_key()),
            rule("either", "Exact", "/either", either),
            rule("read", "Exact", "/read", needs("orders:read")),
            rule("write", "Exact", "/write", needs("orders:write")),
            rule("ship", "Exact", "/ship", needs("orders:ship")),
            rule("scopes", "Exact", "/scopes", json!({
                "authenticate": {"anyOf": ["apiKey"]}, "authorize": {"scopes": ["reports:read"]},
            })),
            rule("token", "Exact", "/token", json!({"authenticate": {"anyOf": [{"jwt": "test"}]}})),
        ],
        "defaultAction": "Deny",
    })
}

fn with(path: &str, name: &str) -> Request {
    get(path).api_key(&api_key(name))
}

pub(crate) fn table() -> Vec<Pair> {
    const INVALID: (u16, &str) = (401, "api_key_invalid");
    const MISSING: (u16, &str) = (401, "credentials_missing");
    const PERMISSION: (u16, &str) = (403, "insufficient_permission");
    let plain = api_key("plain");
    let jwt = token("alice").sign();
    vec![
        pair("missing", with("/k", "plain"), get("/k"), MISSING).lacks("x-api-key"),
        pair("unknown", with("/k", "plain"), with("/k", "nobody"), INVALID),
        pair("one character more", with("/k", "plain"), get("/k").api_key(&format!("{plain}x")), INVALID),
        pair(
            "one character less",
            with("/k", "plain"),
            get("/k").api_key(&plain[..plain.len() - 1]),
            INVALID,
        ),
        pair("another case", with("/k", "plain"), get("/k").api_key(&plain.to_uppercase()), INVALID),
        pair("empty", with("/k", "plain"), get("/k").api_key(""), MISSING),
        pair("not UTF-8", with("/k", "plain"), get("/k").header("x-api-key", b"\xff\xfe"), INVALID),
        pair("expired", with("/k", "old"), with("/k", "expired"), (401, "api_key_expired")),
        pair("not yet valid", with("/k", "begun"), with("/k", "future"), INVALID),
        pair("disabled", with("/k", "enabled"), with("/k", "disabled"), INVALID),
        pair(
            "the hash instead of the key",
            with("/k", "plain"),
            get("/k").api_key(&crate::harness::api_key_hash(&plain)),
            INVALID,
        ),
        pair(
            "the header's name in another case",
            get("/k").header("X-API-KEY", &plain),
            get("/k").header("x_api_key", &plain),
            MISSING,
        ),
        pair(
            "in authorization",
            get("/k").header("authorization", format!("ApiKey {plain}")),
            get("/k").bearer(&plain),
            MISSING,
        )
        .lacks("authorization"),
        pair(
            "the scheme in lower case",
            get("/k").header("authorization", format!("apikey {plain}")),
            get("/k").header("authorization", &plain),
            MISSING,
        ),
        pair(
            "in the query",
            get(&format!("/k?a=1&api_key={plain}")),
            get(&format!("/k?a=1&api_keys={plain}")),
            MISSING,
        )
        .path("/k?a=1"),
        pair(
            "in a cookie",
            get("/k").header("cookie", format!("a=1; api_key={plain}")),
            get("/k").header("cookie", format!("a=1; Api_key={plain}")),
            MISSING,
        )
        .sees("cookie", "a=1"),
        pair(
            "twice",
            with("/k", "plain"),
            with("/k", "plain").api_key(&plain),
            (400, "credentials_ambiguous"),
        ),
        pair(
            "two of them",
            with("/k", "plain"),
            with("/k", "plain").api_key(&api_key("read")),
            (400, "credentials_ambiguous"),
        ),
        pair(
            "in two places",
            get(&format!("/k?api_key={plain}")).api_key(&plain),
            get(&format!("/k?api_key={}", api_key("read"))).api_key(&plain),
            (400, "credentials_ambiguous"),
        ),
        pair(
            "with a token beside it",
            with("/either", "plain"),
            with("/either", "plain").bearer(&jwt),
            (400, "credentials_ambiguous"),
        ),
        pair("where a token is asked for", get("/token").bearer(&jwt), with("/token", "admin"), MISSING),
        pair("where either will do", with("/either", "plain"), get("/either"), MISSING),
        pair(
            "a token where either will do",
            get("/either").bearer(&jwt),
            with("/either", "disabled"),
            INVALID,
        ),
        pair("level Read reads", with("/read", "read"), with("/write", "read"), PERMISSION),
        pair("level Write writes", with("/write", "write"), with("/ship", "write"), PERMISSION),
        pair("level Admin does anything", with("/ship", "admin"), with("/ship", "read"), PERMISSION),
        pair("no level", with("/read", "read"), with("/read", "plain"), PERMISSION),
        pair("a key's role", with("/write", "role"), with("/read", "role"), PERMISSION),
        pair(
            "a key's scope",
            with("/scopes", "scoped"),
            with("/scopes", "admin"),
            (403, "insufficient_scope"),
        ),
        pair("a key in rotation", with("/k", "new"), with("/k", "expired"), (401, "api_key_expired"))
            .sees("x-portcullis-subject", "partner"),
        pair("the other key in rotation", with("/k", "old"), with("/k", "future"), INVALID)
            .sees("x-portcullis-subject", "partner"),
        pair("identity", with("/scopes", "scoped"), with("/scopes", "read"), (403, "insufficient_scope"))
            .sees("x-portcullis-kind", "api-key")
            .sees("x-portcullis-scopes", "reports:read reports:list")
            .sees("x-portcullis-rule", "scopes")
            .lacks("x-api-key"),
        pair("POST", post("/k").api_key(&plain), post("/k"), MISSING),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn api_keys_pass_and_fail_as_tabled() {
    let gateway = gateway(&policy()).start().await;
    hold(&gateway, &[Wire::Http1, Wire::Http2], &table()).await;
}

/// Whether a key is unknown, disabled or not yet valid is nothing that a client may learn.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_unusable_keys_look_alike() {
    let gateway = gateway(&policy()).start().await;
    let mut answers = Vec::new();
    for name in ["nobody", "disabled", "future"] {
        let mut answer = gateway.send(&with("/k", name)).await;
        answer.headers.retain(|(header, _)| header != "date" && header != "x-request-id");
        answers.push(format!("{answer:?}"));
    }
    answers.dedup();
    assert_eq!(answers.len(), 1, "{answers:?}");
}
