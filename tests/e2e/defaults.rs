//! What no rule allows is refused; and which rule a request falls under.

use serde_json::{Value, json};

use crate::harness::{
    envoy_config::Form,
    gateway::{Wire, gateway},
    issuer::token,
    policy::{anyone, merge, provider, rule, with_token, with_token_and},
    request::{get, request},
    table::{Pair, hold, pair},
};

const NO_RULE: (u16, &str) = (403, "no_rule");

pub(crate) fn policy() -> Value {
    let on = |name: &str, condition: Value| {
        let mut conditioned = json!({"path": {"type": "Exact", "value": format!("/{name}")}});
        merge(&mut conditioned, condition);
        let mut rule = json!({"name": name, "matches": [conditioned]});
        merge(&mut rule, anyone());
        rule
    };
    let at_host = |name: &str, host: &str| {
        let mut rule = rule(name, "Exact", "/host", anyone());
        rule["hostnames"] = json!([host]);
        rule
    };
    json!({
        "jwt": {"providers": [provider()]},
        "roles": [{"name": "admin", "permissions": ["*"]}],
        "rules": [
            rule("exact", "Exact", "/exact", anyone()),
            rule("secret", "PathPrefix", "/prefix/secret", with_token_and(json!({"roles": ["admin"]}))),
            rule("prefix", "PathPrefix", "/prefix", anyone()),
            rule("template", "PathTemplate", "/items/{id}/parts/{part}", anyone()),
            rule("rest", "PathTemplate", "/rest/{path=**}", anyone()),
            rule("regex", "RegularExpression", "/v[0-9]+/ping", anyone()),
            on("methods", json!({"methods": ["GET", "POST"]})),
            on("header", json!({"headers": [{"name": "x-version", "value": "2"}]})),
            on("query", json!({"queryParams": [{"name": "mode", "value": "safe"}]})),
            at_host("host", "api.example.com"),
            at_host("wildcard", "*.example.org"),
            rule("first", "Exact", "/order/first", with_token()),
            rule("later", "PathPrefix", "/order", anyone()),
        ],
        "defaultAction": "Deny",
    })
}

pub(crate) fn table() -> Vec<Pair> {
    let admin = token("root").roles(&["admin"]).sign();
    let host = |authority: &str| get("/host").authority(authority);
    vec![
        pair("nothing matches", get("/exact"), get("/other"), NO_RULE).sees("x-portcullis-rule", "exact"),
        pair(
            "a token does not open what no rule opens",
            get("/exact"),
            get("/other").bearer(&admin),
            NO_RULE,
        ),
        pair("the root", get("/exact"), get("/"), NO_RULE),
        pair("OPTIONS *", get("/exact"), request("OPTIONS", "/*"), NO_RULE),
        pair("an exact path", get("/exact"), get("/exact/more"), NO_RULE),
        pair("a slash at the end", get("/exact"), get("/exact/"), NO_RULE),
        pair("another case", get("/exact"), get("/Exact"), NO_RULE),
        pair("the query is no part of the path", get("/exact?x=/other"), get("/other?x=/exact"), NO_RULE)
            .path("/exact?x=/other"),
        pair("a prefix", get("/prefix/a/b"), get("/prefixed"), NO_RULE),
        pair("the prefix itself", get("/prefix"), get("/prefi"), NO_RULE),
        pair(
            "an earlier rule decides",
            get("/prefix/secrets"),
            get("/prefix/secret"),
            (401, "credentials_missing"),
        ),
        pair(
            "an earlier rule decides below, too",
            get("/prefix/secret/x").bearer(&admin),
            get("/prefix/secret/x"),
            (401, "credentials_missing"),
        ),
        pair(
            "an earlier exact rule decides",
            get("/order/second"),
            get("/order/first"),
            (401, "credentials_missing"),
        ),
        pair("a template", get("/items/7/parts/8"), get("/items/7/parts"), NO_RULE),
        pair(
            "a template's variable is one segment",
            get("/items/7/parts/8"),
            get("/items/7/8/parts/9"),
            NO_RULE,
        ),
        pair("a template's variable is not empty", get("/items/x/parts/y"), get("/items/x/parts/"), NO_RULE),
        pair("a template's rest", get("/rest/a/b/c"), get("/rest"), NO_RULE),
        pair("a regular expression", get("/v12/ping"), get("/v12/ping/x"), NO_RULE),
        pair("a regular expression matches the whole", get("/v1/ping"), get("/x/v1/ping"), NO_RULE),
        pair(
            "a method",
            request("POST", "/methods").body("x"),
            request("PUT", "/methods").body("x"),
            NO_RULE,
        ),
        pair("HEAD is not GET", get("/methods"), request("HEAD", "/methods"), NO_RULE),
        pair(
            "a header",
            get("/header").header("x-version", "2"),
            get("/header").header("x-version", "3"),
            NO_RULE,
        ),
        pair("a header that is missing", get("/header").header("X-Version", "2"), get("/header"), NO_RULE),
        pair("a query parameter", get("/query?a=b&mode=safe"), get("/query?mode=unsafe"), NO_RULE),
        pair("a query parameter that is missing", get("/query?mode=safe"), get("/query?model=safe"), NO_RULE),
        pair(
            "a query parameter in another spelling",
            get("/query?mode=safe"),
            get("/query?Mode=safe"),
            (400, "ambiguous_name"),
        ),
        pair("a host", host("api.example.com"), host("www.example.com"), NO_RULE),
        pair(
            "a host in another case, with port",
            host("API.example.com:8443"),
            host("api.example.com.evil.test"),
            NO_RULE,
        ),
        pair("a wildcard host", host("a.b.example.org"), host("example.org"), NO_RULE),
        pair("a wildcard wants whole labels", host("a.example.org"), host("aexample.org"), NO_RULE),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_match_as_tabled() {
    let gateway = gateway(&policy()).start().await;
    hold(&gateway, &[Wire::Http1, Wire::Http2], &table()).await;
}

/// As YAML in Envoy's own configuration the policy arrives as a protobuf Struct; it must mean the same.
#[tokio::test(flavor = "multi_thread")]
async fn rules_match_as_tabled_when_written_as_yaml() {
    let gateway = gateway(&policy()).form(Form::Struct).start().await;
    hold(&gateway, &[Wire::Http1], &table()).await;
}
