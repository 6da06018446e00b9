//! Two filters in one chain: each has a mark of its own, and the second sees what the first lets it see.

use serde_json::{Value, json};

use crate::harness::{
    gateway::{Gateway, gateway},
    issuer::token,
    policy::{anyone, api_key, api_key_entry, merge, provider, rule, with_api_key, with_token_and},
    request::{Answer, Request, get},
};

fn with_rules(rules: Value) -> Value {
    json!({"transport": {"requireTls": false}, "rules": rules, "defaultAction": "Deny"})
}

/// Lets everything through.
fn open() -> Value {
    with_rules(json!([rule("edge", "PathPrefix", "/", anyone())]))
}

fn with_keys() -> Value {
    let mut policy = with_rules(json!([rule("keys", "PathPrefix", "/", with_api_key())]));
    policy["apiKeys"] = json!({"keys": [api_key_entry("good", json!({}))]});
    policy
}

/// Tokens with the role, which the upstream does not get unless `provider` says so.
fn with_tokens(role: &str, members: Value) -> Value {
    let mut provider = provider();
    merge(&mut provider, members);
    let access = with_token_and(json!({"roles": [role]}));
    let mut policy = with_rules(json!([rule(role, "PathPrefix", "/", access)]));
    policy["jwt"] = json!({"providers": [provider]});
    policy["roles"] = json!([{"name": role}]);
    policy
}

fn outcome(answer: &Answer) -> (u16, Option<String>) {
    (answer.status, answer.reason())
}

async fn hold(gateway: &Gateway, rows: &[(Request, (u16, Option<&str>))]) {
    for (request, (status, reason)) in rows {
        let answer = gateway.send(request).await;
        assert_eq!(outcome(&answer), (*status, reason.map(str::to_owned)), "{request:?} {answer:?}");
    }
}

/// The second filter is off for a route: the mark of the first says nothing of what it would have decided.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_ones_mark_does_not_open_for_the_second() {
    let gateway = gateway(&open()).named("edge").behind("tenants", &with_keys()).marks(&["edge", "tenants"]);
    let gateway = gateway.start().await;
    let key = api_key("good");
    let rows = [
        (get("/on"), (401, Some("credentials_missing"))),
        (get("/on").api_key(&key), (200, None)),
        (get("/off"), (403, None)),
        (get("/off").api_key(&key), (403, None)),
    ];
    hold(&gateway, &rows).await;
    let answer = gateway.send(&get("/off")).await;
    assert_eq!(String::from_utf8_lossy(&answer.body), "RBAC: access denied");
    assert_eq!(gateway.upstream.count(), 1);
}

/// Names of their own are what tells the marks apart, or a mark that the policy names.
#[tokio::test(flavor = "multi_thread")]
async fn filters_of_one_name_have_one_mark_unless_a_policy_names_another() {
    let marked = |mark: &str| {
        let mut policy = with_keys();
        policy["interlock"] = json!({"mark": mark});
        policy
    };
    let key = api_key("good");
    for (second, marks, off) in
        [(with_keys(), &["portcullis"][..], 200), (marked("tenants"), &["portcullis", "tenants"], 403)]
    {
        let gateway = gateway(&open()).behind("portcullis", &second).marks(marks).start().await;
        let rows = [
            (get("/on").api_key(&key), (200, None)),
            (get("/on"), (401, Some("credentials_missing"))),
            (get("/off"), (off, None)),
        ];
        hold(&gateway, &rows).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mark_has_the_name_of_the_filter_whatever_it_is() {
    let long = "n".repeat(3000);
    for (name, mark) in [
        ("portcullis", "portcullis"),
        ("edge", "edge"),
        ("team-a.edge", "team-a.edge"),
        ("čelo brány", "čelo brány"),
        ("edge\0", "edge\0"),
        (&long, &long),
        ("", "portcullis"),
    ] {
        let gateway = gateway(&open()).named(name).marks(&[mark]).https_only().start().await;
        assert_eq!(gateway.send(&get("/")).await.status, 200, "{name:?}");
    }
    let other = gateway(&open()).named("edge").https_only().start().await;
    assert_eq!(other.send(&get("/")).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_decides_on_the_credential_that_the_first_forwards() {
    let own_names = json!({"subject": "x-edge-subject", "kind": "x-edge-kind", "scopes": "x-edge-scopes",
        "roles": "x-edge-roles", "rule": "x-edge-rule", "send": ["Subject", "Rule"]});
    let both = token("alice").roles(&["member", "editor"]).sign();
    let one = token("bob").roles(&["member"]).sign();
    let forged = token("alice").roles(&["member", "editor"]).forged().sign();
    for (forward, names, outcomes) in [
        // The second sees the token, and takes it away.
        (
            true,
            Some(&own_names),
            [(200, None), (403, Some("insufficient_role")), (401, Some("token_signature"))],
        ),
        (true, None, [(200, None), (403, Some("insufficient_role")), (401, Some("token_signature"))]),
        // By default the first takes it away, so the second has none to decide on.
        (
            false,
            Some(&own_names),
            [
                (401, Some("credentials_missing")),
                (401, Some("credentials_missing")),
                (401, Some("token_signature")),
            ],
        ),
    ] {
        let mut first = with_tokens("member", json!({"forward": forward}));
        if let Some(names) = names {
            first["identityHeaders"] = names.clone();
        }
        let gateway = gateway(&first)
            .named("edge")
            .behind("tenants", &with_tokens("editor", json!({})))
            .marks(&["edge", "tenants"])
            .start()
            .await;
        let rows = [&both, &one, &forged].map(|token| get("/").bearer(token));
        let rows: Vec<_> = rows.into_iter().zip(outcomes).collect();
        hold(&gateway, &rows).await;
        if !forward {
            continue;
        }
        let smuggling =
            get("/").bearer(&both).header("x-edge-subject", "root").header("x_edge.subject", "root");
        let seen = gateway.send(&smuggling.header("x-portcullis-subject", "root")).await.seen();
        assert_eq!(seen.header("x-portcullis-subject"), ["alice"]);
        assert_eq!(seen.header("x-portcullis-rule"), ["editor"]);
        assert!(seen.header("authorization").is_empty());
        // What the first says of the caller is removed by the second where both use the same names.
        let own = if names.is_some() { vec!["alice"] } else { vec![] };
        assert_eq!(seen.header("x-edge-rule"), if names.is_some() { vec!["member"] } else { vec![] });
        if names.is_some() {
            assert_eq!(seen.header("x-edge-subject"), own);
            assert!(!seen.header_names().contains(&"x_edge.subject"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_takes_the_key_that_the_first_forwards() {
    for (forward, with_key) in [(true, (200, None)), (false, (401, Some("credentials_missing")))] {
        let mut first = with_keys();
        first["apiKeys"]["forward"] = forward.into();
        let gateway = gateway(&first)
            .named("edge")
            .behind("tenants", &with_keys())
            .marks(&["edge", "tenants"])
            .start()
            .await;
        let rows = [
            (get("/").api_key(&api_key("good")), with_key),
            (get("/").api_key("unknown"), (401, Some("api_key_invalid"))),
        ];
        hold(&gateway, &rows).await;
        if forward {
            let seen = gateway.send(&get("/").api_key(&api_key("good"))).await.seen();
            assert!(seen.header("x-api-key").is_empty());
        }
    }
}
