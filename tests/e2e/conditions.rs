//! Conditions on headers and query parameters: no spelling of a name dodges one.

use serde_json::{Value, json};

use crate::harness::{
    gateway::{Wire, gateway},
    policy::{anyone, rule},
    request::get,
    table::{Pair, hold, pair},
};

pub(crate) fn policy() -> Value {
    let path = json!({"type": "PathPrefix", "value": "/x"});
    json!({
        "rules": [
            {"name": "no-debugging", "action": "Deny", "matches": [
                {"path": path, "headers": [{"name": "X-Debug", "value": "1"}]},
                {"path": path, "queryParams": [{"name": "debug", "value": "1"}]},
                {"path": path, "headers": [{"name": "user-agent", "type": "RegularExpression", "value": r"(?i).*\bbot\b.*"}]},
            ]},
            rule("rest", "PathPrefix", "/", anyone()),
        ],
        "defaultAction": "Deny",
    })
}

const DENIED: (u16, &str) = (403, "rule_denied");
const NAME: (u16, &str) = (400, "ambiguous_name");
const VALUE: (u16, &str) = (400, "ambiguous_value");

pub(crate) fn table() -> Vec<Pair> {
    let debug = |name: &str, value: &str| get("/x").header(name, value);
    let agent = |value: &str| get("/x").header("user-agent", value);
    vec![
        pair("a header", debug("x-debug", "2"), debug("x-debug", "1"), DENIED),
        pair("a header in capitals", debug("X-DEBUG", "2"), debug("X-DEBUG", "1"), DENIED),
        pair("a header with a dot", debug("x.debugs", "1"), debug("x.debug", "1"), NAME),
        pair("a header with a dot, whatever its value", debug("x-debug", "0"), debug("X.Debug", "0"), NAME),
        pair("another path", get("/y").header("x.debug", "1"), debug("x.debug", "1"), NAME),
        pair(
            "a header of two lines",
            debug("x-debug", "2").header("x-debug", "3"),
            debug("x-debug", "2").header("x-debug", "1"),
            VALUE,
        ),
        pair("a parameter", get("/x?debug=2"), get("/x?debug=1"), DENIED),
        pair("an escaped parameter", get("/x?%64ebug=2"), get("/x?%64ebug=%31"), DENIED),
        pair("a parameter in capitals", get("/x?debugs=1"), get("/x?Debug=1"), NAME),
        pair("a list", get("/x?a[debug]=1"), get("/x?debug[]=1"), NAME),
        pair("a member", get("/x?a.debug=1"), get("/x?debug.x=1"), NAME),
        pair("a blank in front", get("/x?+bug=1"), get("/x?+debug=1"), NAME),
        pair("behind a semicolon", get("/x?a=1;b=1"), get("/x?a=1;debug=1"), NAME),
        pair("with a semicolon", get("/x?debug=1%3Ba"), get("/x?debug=1;a"), NAME),
        pair("twice escaped", get("/x?%2565bug=1"), get("/x?%2564ebug=1"), NAME),
        pair("a parameter given twice", get("/x?debug=2&debug=3"), get("/x?debug=2&debug=1"), VALUE),
        pair("a parameter that is no text", get("/x?debug=%3f"), get("/x?debug=%ff"), VALUE),
        pair("an expression", agent("Robot/1"), agent("A Bot/1"), DENIED),
        pair("a long value", agent(&"a".repeat(8192)), agent(&"a".repeat(8193)), VALUE),
        pair("no text", agent("bots"), agent("b\u{f6}t \u{f6} bot"), DENIED),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_spelling_dodges_a_condition() {
    let gateway = gateway(&policy()).start().await;
    hold(&gateway, &[Wire::Http1, Wire::Http2], &table()).await;
    let underscores = [pair(
        "a header with an underscore",
        get("/x").header("x_debugs", "1"),
        get("/x").header("x_debug", "1"),
        NAME,
    )];
    hold(&gateway, &[Wire::Http1], &underscores).await;
}

/// However many expressions a policy has, what they may be tried on is bounded, and the operator is told.
#[tokio::test(flavor = "multi_thread")]
async fn no_request_is_held_against_more_than_it_may_cost() {
    let expressions = (0..200).map(|n| {
        let value =
            json!({"name": "x-value", "type": "RegularExpression", "value": format!("(.*[a-z])?{n}")});
        json!({"name": format!("no-{n}"), "action": "Deny", "matches": [{"headers": [value]}]})
    });
    let rules: Vec<_> = expressions.chain([rule("rest", "PathPrefix", "/", anyone())]).collect();
    let gateway = gateway(&json!({"rules": rules, "defaultAction": "Deny"})).start().await;
    let asked = |value: &str| get("/").header("x-value", value);
    let table = [
        pair("the last of many", asked("a200"), asked("a199"), DENIED),
        pair("a long value", asked(&"a".repeat(512)), asked(&"a".repeat(8192)), VALUE),
    ];
    hold(&gateway, &[Wire::Http1, Wire::Http2], &table).await;
    let told = "policy: rules: one request may meet 200 regular expressions";
    assert!(gateway.log().contains(told), "{}", gateway.log());
}
