//! How a client that knows nothing but the API's URL finds its way in (RFC 9728), and what a browser asks before it
//! lets a page in (CORS).

use serde_json::{Value, json};

use crate::harness::{
    gateway::{Gateway, Wire, gateway},
    idp::{AUDIENCE, Idp},
    policy::{anyone, api_key, api_key_entry, merge, rule, with_token_and},
    request::{Request, get, request},
    table::{hold, pair},
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

const HOTELS: &str = "https://api.example.com/hotels";

/// Trips and hotels, of one issuer, and what belongs to neither.
async fn before_two(idp: &Idp) -> Gateway {
    let mut provider = idp.provider(json!({}));
    merge(&mut provider, json!({"audiences": [RESOURCE, HOTELS, AUDIENCE]}));
    let of = |resource: &str, anyone_of: Value| json!({"protectedResource": resource, "authenticate": {"anyOf": anyone_of}});
    let (token, both) = (json!([{"jwt": "test"}]), json!([{"jwt": "test"}, "apiKey"]));
    let mut trips_write = of("trips", token.clone());
    merge(&mut trips_write, json!({"authorize": {"scopes": ["api:write"]}}));
    let neither = json!({"anyAudience": true, "authenticate": {"anyOf": token}});
    let policy = json!({
        "jwt": {"providers": [provider]},
        "apiKeys": {"keys": [api_key_entry("good", json!({}))]},
        "protectedResources": [
            {"name": "trips", "resource": RESOURCE, "resourceName": "Trips"},
            {"name": "hotels", "resource": HOTELS},
        ],
        "rules": [
            rule("trips-write", "PathPrefix", "/trips/write", trips_write),
            rule("trips", "PathPrefix", "/trips", of("trips", both)),
            rule("hotels", "PathPrefix", "/hotels", of("hotels", json!([{"jwt": "test"}]))),
            rule("neither", "PathPrefix", "/neither", neither),
        ],
        "defaultAction": "Deny",
    });
    gateway(&policy).jwks(idp.address).https_only().start().await
}

fn metadata_of(resource: &str) -> String {
    let path = resource.strip_prefix("https://api.example.com").unwrap();
    format!("/.well-known/oauth-protected-resource{path}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_for_one_api_opens_no_other() {
    let idp = Idp::start().await;
    let gateway = before_two(&idp).await;
    let (trips, hotels) = (idp.token(RESOURCE).await, idp.token(HOTELS).await);
    let general = idp.token("urn:api:es256").await;
    const OTHER: (u16, &str) = (401, "token_audience");
    let with = |path: &str, token: &str| asked("GET", path).bearer(token);
    hold(
        &gateway,
        &[Wire::Http1, Wire::Http2],
        &[
            pair("trips", with("/trips", &trips), with("/trips", &hotels), OTHER),
            pair("hotels", with("/hotels", &hotels), with("/hotels", &trips), OTHER),
            pair("both were seen", with("/trips/7", &trips), with("/hotels/7", &trips), OTHER),
            pair("of the issuer alone", with("/neither", &general), with("/trips", &general), OTHER),
            pair("of both", with("/neither", &hotels), with("/hotels", &general), OTHER),
            pair(
                "no token",
                asked("GET", "/trips").header("x-api-key", api_key("good")),
                asked("GET", "/hotels").header("x-api-key", api_key("good")),
                (401, "credentials_missing"),
            ),
        ],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_finds_its_way_into_each_api() {
    let idp = Idp::start().await;
    let gateway = before_two(&idp).await;
    // With a token for the other one at first, as whoever went there before.
    for (resource, path, other, told) in [
        (RESOURCE, "/trips", HOTELS, json!({"scopes_supported": ["api:write"], "resource_name": "Trips"})),
        (HOTELS, "/hotels", RESOURCE, json!({})),
    ] {
        let wrong = idp.token(other).await;
        let named = format!("resource_metadata=\"https://api.example.com{}\"", metadata_of(resource));
        for refused in [asked("GET", path), asked("GET", path).bearer(&wrong)] {
            let answer = gateway.send(&refused).await;
            let challenge = answer.header("www-authenticate").unwrap();
            assert_eq!(answer.status, 401, "{answer:?}");
            assert!(challenge.contains(&named), "{refused:?}: {challenge}");
        }
        let answer = gateway.send(&asked("GET", &metadata_of(resource))).await;
        let document: Value = serde_json::from_slice(&answer.body).unwrap();
        let mut expected = json!({"resource": resource, "authorization_servers": [idp.issuer],
                                  "bearer_methods_supported": ["header"]});
        merge(&mut expected, told);
        assert_eq!((answer.status, &document), (200, &expected));
        let token = idp.token(document["resource"].as_str().unwrap()).await;
        assert_eq!(gateway.send(&asked("GET", path).bearer(&token)).await.status, 200);

        let head = gateway.send(&asked("HEAD", &metadata_of(resource))).await;
        assert_eq!((head.status, head.body.len()), (200, 0), "{head:?}");
        let preflight = asked("OPTIONS", &metadata_of(resource))
            .header("origin", "https://app.example.com")
            .header("access-control-request-method", "GET");
        assert_eq!(gateway.send(&preflight).await.status, 204);
    }
    let lacks = gateway.send(&asked("GET", "/trips/write").bearer(&idp.token(RESOURCE).await)).await;
    assert_eq!(lacks.status, 403, "{lacks:?}");
    let challenge = lacks.header("www-authenticate").unwrap();
    assert!(challenge.contains(&metadata_of(RESOURCE)), "{challenge}");
    let neither = gateway.send(&asked("GET", "/neither")).await;
    assert_eq!(neither.status, 401, "{neither:?}");
    assert!(!neither.header("www-authenticate").unwrap().contains("resource_metadata"), "{neither:?}");
    for nowhere in ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/trips/7"]
    {
        assert_eq!(gateway.send(&asked("GET", nowhere)).await.status, 403, "{nowhere}");
    }
    let elsewhere = asked("GET", &metadata_of(HOTELS)).authority("elsewhere.test");
    assert_eq!(gateway.send(&elsewhere).await.status, 403);
}
