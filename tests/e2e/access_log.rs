//! What Envoy's access log says of decisions, where the policy has it told.

use serde_json::{Value, json};

use crate::harness::{
    gateway::{Wire, gateway},
    issuer::token,
    policy::{anyone, api_key, api_key_entry, merge, provider, rule, with_api_key, with_token},
    request::{get, post},
};

fn policy(members: Value) -> Value {
    let mut keys = rule("keys", "PathPrefix", "/keys", with_api_key());
    keys["rateLimits"] = json!(["one"]);
    let mut policy = json!({
        "jwt": {"providers": [provider()]},
        "apiKeys": {"keys": [api_key_entry("reader", json!({})), api_key_entry("off", json!({"disabled": true}))]},
        "rateLimits": [{"name": "one", "key": ["principal"], "limits": [{"requests": 1, "unit": "Hour"}]}],
        "rules": [
            rule("open", "PathPrefix", "/open", anyone()),
            rule("orders:read/all@v1.x_y-z", "PathPrefix", "/closed", with_token()),
            keys,
        ],
    });
    merge(&mut policy, members);
    policy
}

const FORMAT: &str = "%RESPONSE_CODE% \"%FILTER_STATE(wasm.portcullis.rule:PLAIN)%\" \
    \"%FILTER_STATE(wasm.portcullis.reason:PLAIN)%\" \"%FILTER_STATE(wasm.portcullis.principal:PLAIN)%\" \
    \"%FILTER_STATE(wasm.portcullis.kind:PLAIN)%\" \"%FILTER_STATE(wasm.portcullis.authority:PLAIN)%\" \
    \"%FILTER_STATE(wasm.portcullis.credential:PLAIN)%\" \"%FILTER_STATE(wasm.portcullis.limit:PLAIN)%\"";

const ALL: [&str; 7] = ["Rule", "Reason", "Principal", "Kind", "Authority", "Credential", "Limit"];

#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_says_of_each_decision_what_the_policy_has_told() {
    let gateway = gateway(&policy(json!({"accessLog": {"fields": ALL}}))).access_log(FORMAT).start().await;
    let closed = "orders:read/all@v1.x_y-z";
    let bearer = |subject: &str, id: &str| get("/closed").bearer(&token(subject).claim("jti", id).sign());
    let key = |name: &str| get("/keys").api_key(&api_key(name));
    let jwt =
        |principal: &str, id: &str| format!(r#"200 "{closed}" "-" "{principal}" "jwt" "test" "{id}" "-""#);
    let all = [
        (get("/open"), r#"200 "open" "-" "-" "-" "-" "-" "-""#.to_owned()),
        (bearer("alice", "t-1"), jwt("alice", "t-1")),
        // On its line, and between its quotation marks. Who has control characters in them is nobody.
        (
            bearer("al\"ice\\", "a\"b\\c 200 \u{202e}č\u{2028}"),
            jwt("al\\\"ice\\\\", "a\\\"b\\\\c 200 \u{202e}č\\u2028"),
        ),
        (bearer("č", &"č".repeat(256)), jwt("č", &"č".repeat(256))),
        (bearer("bob", &"x".repeat(300)), jwt("bob", &"x".repeat(256))),
        (get("/closed"), format!(r#"401 "{closed}" "credentials_missing" "-" "-" "-" "-" "-""#)),
        (
            get("/closed").bearer(&token("alice").forged().sign()),
            format!(r#"401 "{closed}" "token_signature" "-" "-" "-" "-" "-""#),
        ),
        (key("reader"), r#"200 "keys" "-" "reader" "api-key" "-" "reader" "-""#.to_owned()),
        (key("reader"), r#"429 "keys" "rate_limited" "reader" "api-key" "-" "reader" "one""#.to_owned()),
        (key("off"), r#"401 "keys" "api_key_disabled" "off" "api-key" "-" "off" "-""#.to_owned()),
        (key("none"), r#"401 "keys" "api_key_unknown" "-" "-" "-" "-" "-""#.to_owned()),
        (post("/nowhere"), r#"403 "-" "no_rule" "-" "-" "-" "-" "-""#.to_owned()),
    ];
    for (asked, _) in &all {
        gateway.send_over(Wire::Http2, asked).await;
    }
    let lines = gateway.access_log(all.len()).await;
    for (line, (asked, expected)) in lines.iter().zip(&all) {
        assert_eq!(line, expected, "{asked:?}");
    }
    assert_eq!(lines.len(), all.len());
}

/// Each field by itself, behind the name of the interlock's mark; without any the log has nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_says_no_more_than_that() {
    const FORMAT: &str = "%RESPONSE_CODE% %FILTER_STATE(wasm.portcullis.rule:PLAIN)% \
        %FILTER_STATE(wasm.portcullis.reason:PLAIN)% %FILTER_STATE(wasm.edge.rule:PLAIN)% \
        %FILTER_STATE(wasm.edge.reason:PLAIN)%";
    for (members, expected) in [
        (json!({}), ["200 - - - -", "401 - - - -"]),
        (json!({"accessLog": {"fields": ["Rule"]}}), ["200 open - - -", "401 keys - - -"]),
        (json!({"accessLog": {"fields": ["Reason"]}}), ["200 - - - -", "401 - credentials_missing - -"]),
        // What the interlock refuses without a mark was decided before.
        (
            json!({"accessLog": {"fields": ["Rule", "Reason"]}, "interlock": false}),
            ["403 open - - -", "401 keys credentials_missing - -"],
        ),
        (
            json!({"accessLog": {"fields": ["Reason", "Rule"]}, "interlock": {"mark": "edge"}}),
            ["200 - - open -", "401 - - keys credentials_missing"],
        ),
    ] {
        let mark = if members["interlock"]["mark"] == "edge" { "edge" } else { "portcullis" };
        let gateway = gateway(&policy(members)).marks(&[mark]).access_log(FORMAT).start().await;
        for path in ["/open", "/keys"] {
            gateway.send(&get(path)).await;
        }
        assert_eq!(gateway.access_log(2).await, expected);
    }
}
