//! What the upstream gets: who is calling, from the filter alone, and nothing that only the filter may know.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::harness::{
    gateway::{Wire, gateway},
    issuer::token,
    policy::{anyone, api_key, api_key_entry, provider, rule, with_api_key, with_token},
    request::{Request, get, post},
    table::{Pair, hold, pair},
};

pub(crate) fn policy() -> Value {
    let mut forwarding = provider();
    forwarding["name"] = json!("forwarding");
    forwarding["issuer"] = json!("https://forwarding.test");
    forwarding["forward"] = json!(true);
    forwarding["claimToHeaders"] = json!([{"claim": "tenant", "header": "x-tenant"}]);
    forwarding["forwardPayload"] = json!("x-payload");
    json!({
        "jwt": {"providers": [provider(), forwarding]},
        "apiKeys": {"keys": [api_key_entry("plain", json!({}))]},
        "rules": [
            rule("open", "PathPrefix", "/open", anyone()),
            rule("token", "Exact", "/token", with_token()),
            rule("key", "Exact", "/key", with_api_key()),
            rule("kept", "Exact", "/kept", json!({"authenticate": {"anyOf": [{"jwt": "forwarding"}]}})),
        ],
        "defaultAction": "Deny",
    })
}

/// Headers that make some server act on another request, and spellings of each.
const OVERRIDING: [(&str, [&str; 2]); 9] = [
    ("x-http-method-override", ["x_http_method_override", "x.http.method-override"]),
    ("x-http-method", ["x_http_method", "x~http!method"]),
    ("x-method-override", ["x_method_override", "x.method.override"]),
    ("x-original-url", ["x_original_url", "x.original-url"]),
    ("x-rewrite-url", ["x_rewrite_url", "x-rewrite.url"]),
    ("x-original-uri", ["x_original_uri", "x.original_uri"]),
    ("path-info", ["path_info", "path.info"]),
    ("script-name", ["script_name", "script~name"]),
    ("proxy", ["x_script_name", "x.accel.mapping"]),
];

const MISSING: (u16, &str) = (401, "credentials_missing");

/// A header that claims to be somebody.
fn smuggling(request: Request) -> Request {
    request.header("x-portcullis-subject", "root")
}

pub(crate) fn table() -> Vec<Pair> {
    let alice = token("alice").scope("a b").roles(&["viewer", "editor"]).sign();
    let as_alice = || get("/token").bearer(&alice);
    let kept = token("bob").claim("iss", "https://forwarding.test");
    let kept_token = kept.sign();
    let mut rows = vec![
        pair("identity", as_alice(), smuggling(get("/token")), MISSING)
            .sees("x-portcullis-subject", "alice")
            .sees("x-portcullis-kind", "jwt")
            .sees("x-portcullis-scopes", "a b")
            .sees("x-portcullis-roles", "viewer,editor")
            .sees("x-portcullis-rule", "token")
            .lacks("authorization"),
        pair("nobody's identity", smuggling(get("/open")), smuggling(get("/closed")), (403, "no_rule"))
            .lacks("x-portcullis-subject"),
        pair("a smuggled subject", smuggling(as_alice()), smuggling(get("/token")), MISSING)
            .sees("x-portcullis-subject", "alice"),
        pair("twice", smuggling(smuggling(as_alice())), smuggling(smuggling(get("/token"))), MISSING)
            .sees("x-portcullis-subject", "alice"),
        pair(
            "with an empty value first",
            as_alice().header("x-portcullis-roles", "").header("x-portcullis-roles", "admin"),
            get("/token").header("x-portcullis-roles", "admin"),
            MISSING,
        )
        .sees("x-portcullis-roles", "viewer,editor"),
        pair(
            "a credential that nobody asked for",
            get("/open").bearer(&alice).api_key(&api_key("plain")),
            get("/closed").bearer(&alice),
            (403, "no_rule"),
        )
        .lacks("authorization")
        .lacks("x-api-key")
        .lacks("x-portcullis-subject"),
        pair(
            "a token beside the key",
            get("/key").api_key(&api_key("plain")),
            get("/key").bearer(&alice),
            MISSING,
        )
        .lacks("x-api-key"),
        pair(
            "a long head",
            smuggling(as_alice().header("x-long", "a".repeat(20_000))),
            smuggling(get("/token").header("x-long", "a".repeat(20_000))),
            MISSING,
        )
        .sees("x-portcullis-subject", "alice")
        .sees("x-long", &"a".repeat(20_000))
        .lacks("authorization"),
        pair(
            "a token that is kept",
            get("/kept").bearer(&kept_token),
            get("/token").bearer(&kept_token),
            (401, "token_issuer"),
        )
        .sees("authorization", &format!("Bearer {kept_token}")),
        pair(
            "a claim as a header",
            get("/kept").bearer(&kept.clone().claim("tenant", "t1").sign()).header("x-tenant", "t2"),
            get("/kept").header("x-tenant", "t2"),
            MISSING,
        )
        .sees("x-tenant", "t1"),
        pair(
            "a claim that is missing",
            get("/kept").bearer(&kept.sign()).header("x-tenant", "t2"),
            get("/kept"),
            MISSING,
        )
        .lacks("x-tenant"),
        pair(
            "a claim with a line break",
            get("/kept").bearer(&kept.clone().claim("tenant", "t1\r\nx-evil: 1").sign()),
            get("/kept"),
            MISSING,
        )
        .lacks("x-evil"),
        pair(
            "a subject with a line break",
            as_alice(),
            get("/token").bearer(&token("a\r\nx-evil: 1").sign()),
            (401, "token_claims"),
        )
        .lacks("x-evil"),
        pair(
            "a subject that is not ASCII",
            get("/token").bearer(&token("žofie").sign()),
            get("/token"),
            MISSING,
        ),
        pair(
            "other headers stay",
            get("/open").header("x-other", "1").header("x_other", "2"),
            get("/closed"),
            (403, "no_rule"),
        )
        .sees("x-other", "1")
        .sees("x_other", "2"),
        pair("cookies stay", get("/open").header("cookie", "a=1; b=2"), get("/closed"), (403, "no_rule"))
            .sees("cookie", "a=1; b=2"),
    ];
    // Servers that read `_` as `-`, or names without regard to case, must not find one either.
    for name in [
        "X-Portcullis-Subject",
        "X-PORTCULLIS-SUBJECT",
        "x_portcullis_subject",
        "x-portcullis_subject",
        "X_Portcullis-SUBJECT",
        "X.Portcullis.Subject",
        "x~portcullis!subject",
        "x|portcullis^subject",
    ] {
        rows.push(
            pair(
                "another spelling",
                as_alice().header(name, "root"),
                get("/token").header(name, "root"),
                MISSING,
            )
            .sees("x-portcullis-subject", "alice")
            .lacks("x_portcullis_subject")
            .lacks("x-portcullis_subject")
            .lacks("x_portcullis-subject")
            .lacks("x.portcullis.subject")
            .lacks("x~portcullis!subject")
            .lacks("x|portcullis^subject"),
        );
    }
    for name in ["X_Api_Key", "x.api.key", "x~api-key"] {
        let key = api_key("plain");
        rows.push(
            pair(
                "a credential in a spelling of its own",
                get("/open").header(name, &key),
                get("/closed").header(name, &key),
                (403, "no_rule"),
            )
            .lacks("x_api_key")
            .lacks("x.api.key")
            .lacks("x~api-key"),
        );
    }
    for (name, others) in OVERRIDING {
        let sent = |target: &str| {
            others
                .iter()
                .fold(get(target).header(name, "/admin"), |asked, other| asked.header(other, "/admin"))
        };
        let row =
            pair("another request", sent("/open").header("x-other", "1"), sent("/closed"), (403, "no_rule"));
        let row = others.iter().fold(row.sees("x-other", "1").lacks(name), |row, other| row.lacks(other));
        rows.push(row);
    }
    for name in ["x-portcullis-kind", "x-portcullis-scopes", "x-portcullis-roles", "x-portcullis-rule"] {
        rows.push(
            pair(
                "each of the headers",
                get("/open").header(name, "root"),
                get("/closed").header(name, "root"),
                (403, "no_rule"),
            )
            .lacks("x-portcullis-kind")
            .lacks("x-portcullis-scopes")
            .lacks("x-portcullis-roles")
            .sees("x-portcullis-rule", "open"),
        );
    }
    rows
}

/// As the issuer signed it, and not as a client made it up.
#[tokio::test(flavor = "multi_thread")]
async fn the_payload_goes_upstream_where_the_policy_says_so() {
    let gateway = gateway(&policy()).start().await;
    let kept =
        token("bob").claim("iss", "https://forwarding.test").claim("org", json!({"ids": [1, "é"]})).sign();
    let forged = |request: Request| request.header("x-payload", "e30").header("X_Payload", "e30");
    let seen = gateway.send(&forged(get("/kept").bearer(&kept))).await.seen();
    let payloads = seen.header("x-payload");
    assert_eq!(payloads.len(), 1, "{payloads:?}");
    let decode = |text: &str| -> Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).expect("base64url")).expect("JSON")
    };
    let signed = kept.split('.').nth(1).expect("a payload");
    assert_eq!(decode(payloads[0]), decode(signed));
    for request in [get("/open"), get("/token").bearer(&token("alice").sign())] {
        let seen = gateway.send(&forged(request)).await.seen();
        assert!(seen.header("x-payload").is_empty() && seen.header("x_payload").is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_sees_what_the_table_says() {
    let gateway = gateway(&policy()).start().await;
    hold(&gateway, &[Wire::Http1, Wire::Http2], &table()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_arrive_whole() {
    let gateway = gateway(&policy()).start().await;
    let body = "x".repeat(200_000);
    let answer = gateway.send(&post("/open/upload").body(&body)).await;
    assert_eq!(answer.status, 200);
    assert!(answer.seen().body() == body);
    let refused = gateway.send(&post("/token").body("x".repeat(1000))).await;
    assert_eq!(refused.status, 401);
    assert_eq!(gateway.upstream.count(), 1);
}

/// What is removed by default is given back by name, and more is taken out.
#[tokio::test(flavor = "multi_thread")]
async fn headers_can_be_kept_and_removed() {
    let mut policy = policy();
    policy["requestHeaders"] = json!({"remove": ["x-debug"], "keep": ["SCRIPT_NAME", "x-original-url"]});
    let gateway = gateway(&policy).start().await;
    let sent =
        ["script_name", "script-name", "x-original-url", "x_original_url", "x_debug", "x-debugs", "proxy"];
    let answer = gateway.send(&sent.iter().fold(get("/open"), |asked, name| asked.header(name, "1"))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = answer.seen();
    let arrived: Vec<_> = sent.into_iter().filter(|name| !seen.header(name).is_empty()).collect();
    assert_eq!(arrived, ["script_name", "x-original-url", "x-debugs"]);
}

/// Names may be chosen; the ones that are not sent are still taken out.
#[tokio::test(flavor = "multi_thread")]
async fn identity_headers_can_be_named() {
    let mut policy = policy();
    policy["identityHeaders"] = json!({"subject": "x-user", "send": ["Subject"]});
    let gateway = gateway(&policy).start().await;
    let request = get("/token")
        .bearer(&token("alice").sign())
        .header("x_user", "root")
        .header("x-portcullis-kind", "k");
    let answer = gateway.send(&request).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let seen = answer.seen();
    assert_eq!(seen.header("x-user"), ["alice"]);
    let left: Vec<&str> = seen
        .header_names()
        .into_iter()
        .filter(|name| name.contains("portcullis") || *name == "x_user")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
