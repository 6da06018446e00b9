//! `Authorization: Bearer` for keys and tokens alike, as many services document it.

use serde_json::{Value, json};

use crate::harness::{
    gateway::{Wire, gateway},
    issuer::token,
    policy::{api_key, api_key_entry, provider, rule, with_api_key, with_token},
    request::get,
    table::{hold, pair},
};

pub(crate) fn policy() -> Value {
    json!({
        "jwt": {"providers": [provider()]},
        "apiKeys": {
            "extractFrom": {"headers": [{"name": "authorization", "valuePrefix": "Bearer "}]},
            "keys": [api_key_entry("plain", json!({})), api_key_entry("disabled", json!({"disabled": true}))],
        },
        "rules": [
            rule("either", "Exact", "/either", json!({"authenticate": {"anyOf": [{"jwt": "test"}, "apiKey"]}})),
            rule("key", "Exact", "/key", with_api_key()),
            rule("token", "Exact", "/token", with_token()),
        ],
        "defaultAction": "Deny",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_tokens_are_told_apart_by_their_form() {
    let (plain, disabled) = (api_key("plain"), api_key("disabled"));
    let jwt = token("alice").sign();
    let either = |credential: &str| get("/either").bearer(credential);
    let forged = format!("{}AAAA", &jwt[..jwt.len() - 4]);
    let half = jwt.rsplit_once('.').unwrap().0;
    let table = [
        pair("a key", either(&plain), either(&disabled), (401, "api_key_invalid"))
            .sees("x-portcullis-kind", "api-key")
            .lacks("authorization"),
        pair("a token", either(&jwt), either(&forged), (401, "token_signature"))
            .sees("x-portcullis-kind", "jwt")
            .lacks("authorization"),
        pair("half a token", either(&jwt), either(half), (401, "api_key_invalid")),
        pair("none", either(&plain), either(""), (401, "credentials_missing")),
        pair(
            "two",
            either(&plain),
            either(&format!("{plain}, Bearer {jwt}")),
            (400, "credentials_ambiguous"),
        ),
        pair("a key alone", get("/key").bearer(&plain), get("/key").bearer(&jwt), (401, "api_key_invalid")),
        pair(
            "a token alone",
            get("/token").bearer(&jwt),
            get("/token").bearer(&plain),
            (401, "token_malformed"),
        ),
    ];
    hold(&gateway(&policy()).start().await, &[Wire::Http1, Wire::Http2], &table).await;
    let mut policy = policy();
    policy["apiKeys"]["prefix"] = "pk_test_".into();
    policy["apiKeys"]["forward"] = true.into();
    let table = [
        pair("a key with its prefix", either(&plain), either("pk_test_x"), (401, "api_key_invalid"))
            .sees("authorization", &format!("Bearer {plain}")),
        pair("a token", either(&jwt), either("x"), (401, "token_malformed")).lacks("authorization"),
    ];
    hold(&gateway(&policy).start().await, &[Wire::Http1, Wire::Http2], &table).await;
}
