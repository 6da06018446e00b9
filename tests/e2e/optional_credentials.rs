//! Rules that take credentials and need none.

use serde_json::{Value, json};

use crate::harness::{
    gateway::{Wire, gateway},
    issuer::token,
    policy::{api_key, api_key_entry, merge, provider, rule},
    request::{Request, get},
    table::{Pair, hold, pair},
};

fn optional(members: Value) -> Value {
    let mut authenticate = json!({"anyOf": [{"jwt": "test"}, "apiKey"], "optional": true});
    merge(&mut authenticate, members);
    json!({"authenticate": authenticate})
}

fn policy() -> Value {
    json!({
        "jwt": {"providers": [provider()]},
        "apiKeys": {"keys": [
            api_key_entry("good", json!({})),
            api_key_entry("old", json!({"expiresAt": "2020-01-01T00:00:00Z"})),
        ]},
        "revocation": {"tokens": {"jti": ["revoked"]}},
        "rules": [
            rule("strict", "PathPrefix", "/strict", optional(json!({}))),
            rule("lenient", "PathPrefix", "/lenient", optional(json!({"invalidCredentials": "Anonymous"}))),
        ],
        "defaultAction": "Deny",
    })
}

const SUBJECT: &str = "x-portcullis-subject";

fn table() -> Vec<Pair> {
    let alice = || token("alice");
    let with = |path: &str, token: &str| get(path).bearer(token);
    let forged = {
        let whole = alice().sign();
        let (signed, _) = whole.rsplit_once('.').expect("a token");
        format!("{signed}.AAAA")
    };
    let expired = alice().claim("exp", 1_000_000).sign();
    let revoked = alice().claim("jti", "revoked").sign();
    let key = |path: &str, key: &str| get(path).header("x-api-key", key);
    let smuggled = |request: Request| request.header(SUBJECT, "root");
    let both = |path: &str| with(path, &alice().sign()).header("x-api-key", api_key("good"));
    const TWO: (u16, &str) = (400, "credentials_ambiguous");
    vec![
        pair(
            "a good token",
            with("/strict", &alice().sign()),
            with("/strict", &expired),
            (401, "token_expired"),
        )
        .sees(SUBJECT, "alice"),
        pair("nothing", smuggled(get("/strict")), with("/strict", &forged), (401, "token_signature"))
            .lacks(SUBJECT)
            .sees("x-portcullis-rule", "strict"),
        pair(
            "a good key",
            key("/strict", &api_key("good")),
            key("/strict", &api_key("old")),
            (401, "api_key_expired"),
        )
        .sees(SUBJECT, "good"),
        pair(
            "nothing, and an unknown key",
            get("/strict"),
            key("/strict", "unknown"),
            (401, "api_key_invalid"),
        )
        .lacks(SUBJECT),
        pair(
            "nothing, and a revoked token",
            get("/strict"),
            with("/strict", &revoked),
            (401, "token_revoked"),
        )
        .lacks(SUBJECT),
        pair(
            "a good token where bad ones are none",
            with("/lenient", &alice().sign()),
            both("/lenient"),
            TWO,
        )
        .sees(SUBJECT, "alice"),
        pair("an expired token", smuggled(with("/lenient", &expired)), both("/lenient"), TWO)
            .lacks(SUBJECT)
            .lacks("authorization"),
        pair("a forged token", with("/lenient", &forged), both("/lenient"), TWO)
            .lacks(SUBJECT)
            .lacks("authorization"),
        pair("a revoked token", with("/lenient", &revoked), both("/lenient"), TWO)
            .lacks(SUBJECT)
            .lacks("authorization"),
        pair("no token at all", with("/lenient", "garbage"), both("/lenient"), TWO).lacks("authorization"),
        pair("an unknown key", key("/lenient", "unknown"), both("/lenient"), TWO)
            .lacks(SUBJECT)
            .lacks("x-api-key"),
        pair("an expired key", key("/lenient", &api_key("old")), both("/lenient"), TWO).lacks(SUBJECT),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_credential_is_nobody_and_who_has_one_is_somebody() {
    let gateway = gateway(&policy()).start().await;
    hold(&gateway, &[Wire::Http1, Wire::Http2], &table()).await;
}

/// A token that cannot be judged may be somebody's.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_cannot_be_judged_is_not_nobody() {
    let mut policy = policy();
    let keys = &mut policy["jwt"]["providers"][0]["jwks"];
    *keys = json!({"uri": "https://idp.test/jwks", "cluster": "no-such-cluster", "waitTimeout": "0s"});
    let gateway = gateway(&policy).start().await;
    for path in ["/strict", "/lenient"] {
        let answer = gateway.send(&get(path).bearer(&token("alice").sign())).await;
        assert_eq!((answer.status, answer.reason().as_deref()), (503, Some("keys_unavailable")), "{path}");
        assert_eq!(gateway.send(&get(path)).await.status, 200);
    }
}
