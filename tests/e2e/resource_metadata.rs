//! How a client that knows nothing but the API's URL finds its way in (RFC 9728), and what a browser asks before it
//! lets a page in (CORS).

use serde_json::{Value, json};

use crate::harness::{
    gateway::{Gateway, gateway},
    idp::Idp,
    policy::{anyone, merge, rule, with_token_and},
    request::{Request, get, request},
};

const RESOURCE: &str = "https://api.example.com/trips";
const METADATA: &str = "/.well-known/oauth-protected-resource/trips";

async fn before(idp: &Idp) -> Gateway {
    let mut provider = idp.provider(json!({}));
    merge(&mut provider, json!({"audiences": [RESOURCE]}));
    let mut trips = with_token_and(json!({"scopes": ["api:read"]}));
    merge(
        &mut trips,
        json!({"corsPreflight": "Allow", "matches": [
            {"path": {"type": "PathPrefix", "value": "/trips"}, "methods": ["GET", "PUT"]},
        ]}),
    );
    let mut closed = with_token_and(json!({"scopes": ["api:write"]}));
    merge(&mut closed, json!({"matches": [{"path": {"type": "Exact", "value": "/closed"}}]}));
    let policy = json!({
        "jwt": {"providers": [provider]},
        "protectedResource": {"resource": RESOURCE, "resourceName": "Trips"},
        "rules": [
            rule("open", "Exact", "/open", anyone()),
            rule("trips", "Exact", "/trips", trips),
            rule("closed", "Exact", "/closed", closed),
        ],
        "defaultAction": "Deny",
    });
    gateway(&policy).jwks(idp.address).https_only().start().await
}

fn asked(method: &str, target: &str) -> Request {
    request(method, target).authority("api.example.com")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_finds_its_way_in() {
    let idp = Idp::start().await;
    let gateway = before(&idp).await;
    let refused = gateway.send(&asked("GET", "/trips")).await;
    assert_eq!(refused.status, 401, "{refused:?}");
    let named = format!("resource_metadata=\"https://api.example.com{METADATA}\"");
    assert!(refused.header("www-authenticate").unwrap().contains(&named), "{refused:?}");

    let answer = gateway.send(&asked("GET", METADATA)).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some("application/json")), "{answer:?}");
    let document: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        document,
        json!({
            "resource": RESOURCE,
            "authorization_servers": [idp.issuer],
            "scopes_supported": ["api:read", "api:write"],
            "bearer_methods_supported": ["header"],
            "resource_name": "Trips",
        })
    );
    // The server that it names gives a token for what it names.
    let token = idp.token(document["resource"].as_str().unwrap()).await;
    assert_eq!(gateway.send(&asked("GET", "/trips").bearer(&token)).await.status, 200);
    let lacks = gateway.send(&asked("GET", "/closed").bearer(&token)).await;
    assert_eq!(lacks.status, 403, "{lacks:?}");
    let challenge = lacks.header("www-authenticate").unwrap();
    assert!(challenge.contains("scope=\"api:write\"") && challenge.contains(&named), "{challenge}");

    let head = gateway.send(&asked("HEAD", METADATA)).await;
    assert_eq!((head.status, head.body.len()), (200, 0), "{head:?}");
    // Pages read it, of whatever origin and with whatever headers they ask.
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{answer:?}");
    let preflight = |method: &str| {
        asked("OPTIONS", METADATA)
            .header("origin", "https://app.example.com")
            .header("access-control-request-method", method)
            .header("access-control-request-headers", "mcp-protocol-version")
    };
    let allowed = gateway.send(&preflight("GET")).await;
    assert_eq!(
        (allowed.status, allowed.header("access-control-allow-headers")),
        (204, Some("*")),
        "{allowed:?}"
    );
    // Only there, only so.
    let reached = gateway.upstream.count();
    for other in [
        asked("POST", METADATA),
        asked("OPTIONS", METADATA),
        preflight("POST"),
        asked("GET", METADATA).authority("elsewhere.test"),
        asked("GET", "/.well-known/oauth-protected-resource"),
        asked("GET", &format!("{METADATA}/")),
    ] {
        let answer = gateway.send(&other).await;
        assert_eq!((answer.status, answer.reason().is_some()), (403, true), "{other:?}: {answer:?}");
    }
    assert_eq!(gateway.upstream.count(), reached);
}

#[tokio::test(flavor = "multi_thread")]
async fn preflights_go_on_where_the_rule_says_so() {
    let idp = Idp::start().await;
    let gateway = before(&idp).await;
    let preflight = |target: &str, method: &str| {
        asked("OPTIONS", target)
            .header("origin", "https://app.example.com")
            .header("access-control-request-method", method)
    };
    for passes in [preflight("/trips", "GET"), preflight("/trips/7?x=y", "PUT"), preflight("/open", "GET")] {
        let passes = passes.header("x-portcullis-subject", "alice");
        let answer = gateway.send(&passes).await;
        assert_eq!(answer.status, 200, "{passes:?}: {answer:?}");
        assert!(answer.seen().header("x-portcullis-subject").is_empty(), "{answer:?}");
    }
    let reached = gateway.upstream.count();
    for refused in [
        // Of a method that no rule has, of a rule that does not say so, and of none.
        preflight("/trips", "DELETE"),
        preflight("/closed", "GET"),
        preflight("/nowhere", "GET"),
        // No preflights.
        asked("OPTIONS", "/trips").header("origin", "https://app.example.com"),
        asked("OPTIONS", "/trips").header("access-control-request-method", "GET"),
        preflight("/trips", "GET").body("a body"),
        preflight("/trips", "GET").header("x-http-method-override", "GET"),
        preflight("/trips", "GET").header("access-control-request-method", "PUT"),
        get("/trips").authority("api.example.com").header("origin", "https://app.example.com"),
    ] {
        let answer = gateway.send(&refused).await;
        assert!((401..=403).contains(&answer.status), "{refused:?}: {answer:?}");
    }
    assert_eq!(gateway.upstream.count(), reached);
}
