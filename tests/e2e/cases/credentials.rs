//! Where credentials stand, and which of them counts.

use serde_json::{Value, json};

use super::{Case, Documents, hold};
use crate::harness::{
    issuer::token,
    policy::{api_key, api_key_entry, merge, provider, rule, with_token},
    request::get,
    table::pair,
};

const MISSING: (u16, &str) = (401, "credentials_missing");

/// The provider `test` with `members`, and what stands beside it.
fn policy(members: Value, access: Value, sections: Value) -> Value {
    let mut provider = provider();
    merge(&mut provider, members);
    let rules = [rule("a", "PathPrefix", "/a", access)];
    let mut policy = json!({"jwt": {"providers": [provider]}, "rules": rules, "defaultAction": "Deny"});
    merge(&mut policy, sections);
    policy
}

fn empty_places() -> Case {
    let places = json!({"extractFrom": {
        "headers": [{"name": "authorization", "valuePrefix": "Bearer "}, {"name": "x-jwt"}],
        "cookies": ["token"],
        "params": ["access_token"],
    }});
    let (alice, bob) = (token("alice").sign(), token("bob").sign());
    let twice = |other: &str| get("/a").header("cookie", format!("token={alice}")).bearer(other);
    Case::new(
        "places for credentials that are empty, or hold the same",
        &[
            "https://github.com/project-sunbird/sunbird-devops/pull/1641",
            "https://github.com/Kong/docs.konghq.com/pull/6353",
        ],
        policy(places, with_token(), json!({})),
        vec![
            pair(
                "an empty cookie",
                get("/a").header("cookie", "token=").bearer(&alice),
                get("/a").header("cookie", "token="),
                MISSING,
            ),
            pair(
                "an empty parameter",
                get("/a?access_token=").bearer(&alice),
                get("/a?access_token="),
                MISSING,
            ),
            pair(
                "an empty header",
                get("/a").header("x-jwt", "").bearer(&alice),
                get("/a").header("x-jwt", ""),
                MISSING,
            ),
            pair(
                "an empty Bearer",
                get("/a").bearer("").header("cookie", format!("token={alice}")),
                get("/a").bearer(""),
                MISSING,
            ),
            pair("one token in two places", twice(&alice), twice(&bob), (400, "credentials_ambiguous"))
                .sees("x-portcullis-subject", "alice"),
        ],
    )
}

/// `Authorization: Bearer` for keys, as many providers have it, and for tokens.
fn key_and_token_both_as_bearer() -> Case {
    let either = json!({"authenticate": {"anyOf": ["apiKey", {"jwt": "test"}]}});
    let keys = json!({"apiKeys": {
        "extractFrom": {"headers": [{"name": "authorization", "valuePrefix": "Bearer "}]},
        "keys": [api_key_entry("bearer", json!({}))],
    }});
    let introspection = json!({"introspection": {
        "endpoint": "https://idp.test/introspect", "cluster": "jwks", "clientId": "c", "clientSecret": "s",
    }});
    Case::new(
        "a key and a token in one place",
        &["https://github.com/awslabs/LISA/pull/31"],
        policy(json!({}), either.clone(), keys.clone()),
        vec![
            pair(
                "a key",
                get("/a").bearer(&api_key("bearer")),
                get("/a").bearer(&api_key("nobody")),
                (401, "api_key_invalid"),
            )
            .sees("x-portcullis-kind", "api-key")
            .lacks("authorization"),
            pair(
                "a token",
                get("/a").bearer(&token("alice").sign()),
                get("/a").bearer(&token("alice").forged().sign()),
                (401, "token_signature"),
            )
            .sees("x-portcullis-kind", "jwt")
            .lacks("authorization"),
        ],
    )
    // Of opaque tokens nobody can tell keys by their form.
    .refuses(
        policy(introspection, either, keys),
        "rules[0].authenticate: \"test\" has introspection and looks for tokens where API keys may stand",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_go_as_reported() {
    let documents = Documents::start().await;
    hold(vec![empty_places(), key_and_token_both_as_bearer()], &documents).await;
}
