//! Credentials in `authorization` without a scheme, and the padded tokens of AWS load balancers, as docs/policy.md shows
//! them.

use std::fs;

use serde_json::{Value, json};

use crate::harness::{
    gateway::{Wire, gateway},
    issuer::{ISSUER, ISSUER_KEYS, token},
    policy::{anyone, api_key, api_key_entry, provider, rule, with_api_key, with_token},
    repository,
    request::get,
    table::{Pair, hold, pair},
};

const DATA: &str = "x-amzn-oidc-data";

/// The JSON that docs/policy.md shows behind `text`.
fn shown(text: &str) -> Value {
    let page = fs::read_to_string(repository().join("docs/policy.md")).unwrap();
    let block = page.split(text).nth(1).unwrap().split("```json\n").nth(1).unwrap();
    serde_json::from_str(block.split("```").next().unwrap()).unwrap()
}

fn policy() -> Value {
    let mut raw = provider();
    let mut balancer = shown("### Tokens of AWS load balancers");
    balancer["issuer"] = ISSUER.into();
    balancer["jwks"]["inline"] = ISSUER_KEYS.jwks();
    // One issuer has one provider.
    raw["issuer"] = "https://raw.test".into();
    raw["extractFrom"] = shown("Some clients leave it out");
    json!({
        "jwt": {"providers": [raw.clone(), balancer]},
        "apiKeys": {"keys": [api_key_entry("good", json!({}))], "extractFrom": raw["extractFrom"], "prefix": "pk_"},
        "rules": [
            rule("open", "Exact", "/open", anyone()),
            rule("token", "Exact", "/token", with_token()),
            rule("key", "Exact", "/key", with_api_key()),
            rule("either", "Exact", "/either", json!({"authenticate": {"anyOf": [{"jwt": "test"}, "apiKey"]}})),
            rule("user", "Exact", "/user", json!({"authenticate": {"anyOf": [{"jwt": "balancer"}]}})),
        ],
    })
}

fn table() -> Vec<Pair> {
    let jwt = token("alice").claim("iss", "https://raw.test").sign();
    let key = api_key("good");
    let with = |path: &str, value: &str| get(path).header("authorization", value);
    let bearer = format!("Bearer {jwt}");
    let malformed = (401, "token_malformed");
    let mut rows = vec![
        pair("a token", with("/token", &jwt), with("/token", &bearer), malformed).lacks("authorization"),
        pair("of another scheme", with("/either", &jwt), with("/either", "Basic YTpi"), malformed),
        pair("a key", with("/key", &key), with("/key", &format!("ApiKey {key}")), (401, "api_key_invalid"))
            .lacks("authorization"),
        pair("a key among tokens", with("/either", &key), with("/either", &format!("{jwt}=")), malformed),
        pair(
            "two lines",
            with("/token", &jwt),
            with("/token", &jwt).header("authorization", &jwt),
            (400, "credentials_ambiguous"),
        ),
        pair("for nobody", with("/open", &bearer), get("/token"), (401, "credentials_missing"))
            .lacks("authorization"),
    ];
    let signer = shown("### Tokens of AWS load balancers")["awsLoadBalancers"][0].clone();
    let made =
        || token("alice").header("typ", "JWT").header("signer", signer.clone()).header("client", "shop");
    let user = |token: &str| get("/user").header(DATA, token);
    // Whatever is left over in each part.
    for more in ["", "a", "ab"] {
        let made = made().header("x", more).claim("x", more);
        let elsewhere = made.clone().claim("iss", "https://raw.test");
        let good = made.sign_padded();
        let short = good.trim_end_matches('=').to_owned();
        rows.extend([
            pair("padded", user(&good), user(&short), malformed)
                .sees("x-portcullis-subject", "alice")
                .lacks(DATA),
            pair("padded too far", user(&good), user(&format!("{good}=")), malformed),
            pair("padded elsewhere", user(&good), with("/token", &elsewhere.sign_padded()), malformed),
        ]);
    }
    let other =
        made().header("signer", "arn:aws:elasticloadbalancing:eu-west-1:999999999999:loadbalancer/app/x/1");
    rows.extend([
        pair(
            "of another one",
            user(&made().sign_padded()),
            user(&other.sign_padded()),
            (401, "token_issuer"),
        ),
        pair(
            "of nobody's key",
            user(&made().sign_padded()),
            user(&made().forged().sign_padded()),
            (401, "token_signature"),
        ),
        pair(
            "not padded",
            user(&made().header("x", "a").sign_padded()),
            user(&token("alice").sign()),
            (401, "token_issuer"),
        ),
    ]);
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_without_a_scheme_and_padded_ones() {
    let gateway = gateway(&policy()).start().await;
    hold(&gateway, &[Wire::Http1, Wire::Http2], &table()).await;
}
