//! What a request says beside its credential, and what the upstream gets of it.

use serde_json::{Value, json};

use super::{Case, Documents, hold};
use crate::harness::{
    gateway::{Wire, gateway},
    issuer::token,
    policy::{anyone, api_key_entry, merge, provider, rule, with_token},
    request::{get, request},
    table::pair,
};

const MISSING: (u16, &str) = (401, "credentials_missing");

fn policy(rules: &[Value], sections: Value) -> Value {
    let mut policy = json!({"jwt": {"providers": [provider()]}, "rules": rules, "defaultAction": "Deny"});
    merge(&mut policy, sections);
    policy
}

/// Frameworks take the method and the path from headers, where there are such.
fn overriding_headers() -> [Case; 2] {
    const REPORTED: &[&str] = &["RFC 9110 section 9.1: the method is that of the request line"];
    let mut writes = rule("a", "PathPrefix", "/a", with_token());
    writes["matches"][0]["methods"] = json!(["POST"]);
    let rules = [writes];
    let overridden = |method: &str| {
        let overridden =
            request(method, "/a").bearer(&token("alice").sign()).header("X-HTTP-Method-Override", "DELETE");
        overridden.header("X-Original-URL", "/admin").header("X-Rewrite-URL", "/admin")
    };
    let row =
        || pair("a method beside the method", overridden("POST"), overridden("DELETE"), (403, "no_rule"));
    let kept = json!({"requestHeaders": {"keep": ["x-http-method-override"]}});
    [
        Case::new(
            "headers that override what was decided on",
            REPORTED,
            policy(&rules, json!({})),
            vec![row().lacks("x-http-method-override").lacks("x-original-url").lacks("x-rewrite-url")],
        ),
        Case::new(
            "a header that the policy gives back",
            REPORTED,
            policy(&rules, kept),
            vec![
                row().sees("x-http-method-override", "DELETE").lacks("x-original-url").lacks("x-rewrite-url"),
            ],
        ),
    ]
}

/// No upstream gets a token that nobody verified, but where it verifies itself; another scheme is nobody's here.
fn upstreams_own_token() -> Case {
    let legacy = rule("legacy", "PathPrefix", "/legacy", anyone());
    let own = rule("own", "PathPrefix", "/own", json!({"authenticate": {"passThrough": true}}));
    let rest = rule("rest", "PathPrefix", "/", with_token());
    let opaque = |path: &str| get(path).bearer("legacy-opaque");
    let basic = |path: &str| get(path).header("authorization", "Basic bGVnYWN5Og==");
    Case::new(
        "an upstream that authenticates by itself",
        &["RFC 6750 section 5.3: tokens in the wrong hands"],
        policy(&[legacy, own, rest], json!({"apiKeys": {"keys": [api_key_entry("a", json!({}))]}})),
        vec![
            pair(
                "its own bearer token, passed through",
                opaque("/own/x"),
                opaque("/x"),
                (401, "token_malformed"),
            )
            .sees("authorization", "Bearer legacy-opaque"),
            pair(
                "its own key, passed through, and no identity",
                get("/own/x").header("x-api-key", "k").header("x-portcullis-subject", "root"),
                get("/x").header("x-api-key", "k"),
                MISSING,
            )
            .sees("x-api-key", "k")
            .lacks("x-portcullis-subject"),
            pair("its own bearer token", opaque("/legacy/x"), opaque("/x"), (401, "token_malformed"))
                .lacks("authorization"),
            pair("its own password", basic("/legacy/x"), basic("/x"), MISSING)
                .sees("authorization", "Basic bGVnYWN5Og=="),
        ],
    )
}

/// Whoever reads `%2F` as a slash sees another path.
fn encoded_slash() -> [Case; 2] {
    const REPORTED: &[&str] = &["RFC 3986 section 2.2: an escaped delimiter is not the delimiter"];
    let projects = rule("p", "PathTemplate", "/api/v4/projects/{id}", anyone());
    let mut keeping = projects.clone();
    keeping["encodedSlash"] = json!("Keep");
    let project = |id: &str| get(&format!("/api/v4/projects/{id}"));
    let ambiguous = (400, "ambiguous_path");
    [
        Case::new(
            "a slash within a segment",
            REPORTED,
            policy(&[projects], json!({})),
            vec![
                pair("escaped", project("group"), project("group%2Fproject"), ambiguous),
                pair("a backslash", project("group%2dproject"), project("group%5Cproject"), ambiguous)
                    .path("/api/v4/projects/group-project"),
            ],
        ),
        Case::new(
            "a slash within a segment, which is kept",
            REPORTED,
            policy(&[keeping], json!({})),
            vec![
                pair("one", project("group%2Fproject"), project("group%2F..%2Fproject"), ambiguous)
                    .path("/api/v4/projects/group%2Fproject"),
                pair("two", project("group%2fsub%2Fproject"), project("group%2F%2fproject"), ambiguous)
                    .path("/api/v4/projects/group%2Fsub%2Fproject"),
                pair("a slash", project("group%2Fproject"), project("group/project"), (403, "no_rule")),
                pair("a backslash", project("group%2Fproject"), project("group%5Cproject"), ambiguous),
            ],
        ),
    ]
}

/// The table is sent over TLS, which such a rule takes as well.
fn plaintext_of_one_rule() -> Case {
    let acme = plain(rule("acme", "PathPrefix", "/.well-known/acme-challenge", anyone()));
    let mut with_credentials = plain(rule("a", "PathPrefix", "/a", with_token()));
    with_credentials["name"] = json!("a");
    Case::new(
        "plaintext for one rule",
        &["RFC 8555 section 8.3: challenges come over plain HTTP"],
        policy(&[acme], json!({})),
        vec![],
    )
    .refuses(
        policy(&[with_credentials], json!({})),
        "rules[0].transport: takes plain HTTP together with credentials",
    )
}

fn plain(mut rule: Value) -> Value {
    rule["transport"] = json!({"requireTls": false});
    rule
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_as_reported() {
    let documents = Documents::start().await;
    let mut cases = Vec::from(overriding_headers());
    cases.extend(encoded_slash());
    cases.extend([upstreams_own_token(), plaintext_of_one_rule()]);
    hold(cases, &documents).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_challenge_over_plaintext_passes_where_its_rule_says_so() {
    let challenge = get("/.well-known/acme-challenge/tok");
    let beside = get("/.well-known/acme-challenges");
    for (said, redirect) in [(true, true), (true, false), (false, true), (false, false)] {
        let acme = rule("acme", "PathPrefix", "/.well-known/acme-challenge", anyone());
        let mut policy = json!({
            "rules": [if said { plain(acme) } else { acme }, rule("rest", "PathPrefix", "/", anyone())],
            "defaultAction": "Deny",
        });
        if redirect {
            policy["transport"] = json!({"redirectTo": "api.example.com"});
        }
        let refused = if redirect { 308 } else { 403 };
        let gateway = gateway(&policy).start().await;
        let passed = gateway.send_over(Wire::Plain, &challenge).await;
        assert_eq!(passed.status, if said { 200 } else { refused }, "{passed:?}");
        assert_eq!(passed.header("strict-transport-security"), None);
        for other in [
            &beside,
            &request("OPTIONS", "/.well-known/acme-challenges"),
            &get("/.well-known/acme-challenge/../x"),
            &get("/.well-known/acme-challenge/%2e%2e/x"),
        ] {
            let answer = gateway.send_over(Wire::Plain, other).await;
            assert_eq!(
                answer.status,
                if other.method == "GET" { refused } else { 403 },
                "{other:?} {answer:?}"
            );
        }
        assert_eq!(gateway.upstream.count(), usize::from(said));
        assert_eq!(gateway.send(&challenge).await.status, 200);
    }
}

/// A rule may ask for TLS where the others do not, and its neighbour for nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_may_require_what_the_policy_waives() {
    let mut login = rule("login", "Exact", "/login", anyone());
    login["transport"] = json!({"requireTls": true});
    let policy = json!({
        "transport": {"requireTls": false},
        "rules": [login, rule("rest", "PathPrefix", "/", anyone())],
        "defaultAction": "Deny",
    });
    let gateway = gateway(&policy).start().await;
    let answer = gateway.send_over(Wire::Plain, &get("/login")).await;
    assert_eq!((answer.status, answer.reason().as_deref()), (403, Some("tls_required")), "{answer:?}");
    assert_eq!(gateway.send_over(Wire::Plain, &get("/login2")).await.status, 200);
    assert_eq!(gateway.send(&get("/login")).await.status, 200);
}

/// Within what Envoy takes in all headers.
#[tokio::test(flavor = "multi_thread")]
async fn paths_may_be_as_long_as_the_policy_says() {
    for (longest, at) in [(None, 8192), (Some(1024), 1024), (Some(32_768), 32_768)] {
        let mut policy =
            json!({"rules": [rule("all", "PathPrefix", "/a", anyone())], "defaultAction": "Deny"});
        if let Some(longest) = longest {
            policy["maxPathLength"] = json!(longest);
        }
        let gateway = gateway(&policy).start().await;
        let ask = |len: usize| get(&format!("/a?{}", "q".repeat(len - 3)));
        assert_eq!(gateway.send(&ask(at)).await.status, 200, "{longest:?}");
        let answer = gateway.send(&ask(at + 1)).await;
        assert_eq!((answer.status, answer.reason().as_deref()), (414, Some("path_too_long")), "{longest:?}");
    }
}
