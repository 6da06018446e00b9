//! What stands around the filter in Envoy: the access log, a second filter, the filter for CORS, redirects that Envoy
//! follows itself.

use http_body_util::Full;
use hyper::{Response, body::Bytes};
use serde_json::{Value, json};

use crate::harness::{
    envoy_config::{Cors, ORIGIN},
    gateway::{Wire, gateway},
    issuer::token,
    policy::{anyone, api_key, api_key_entry, provider, rule, with_api_key, with_token},
    request::{get, request},
    serving::Serving,
};

/// Keys in the parameter `key` and in `x-api-key`, `requests` an hour for each client.
fn with_keys(requests: u32) -> Value {
    let mut keyed = rule("r", "PathPrefix", "/", with_api_key());
    keyed["rateLimits"] = json!(["each"]);
    json!({
        "transport": {"requireTls": false},
        "apiKeys": {
            "extractFrom": {"headers": [{"name": "x-api-key"}], "params": ["key"]},
            "keys": [api_key_entry("k1", json!({"client": "acme"}))],
        },
        "rateLimits": [
            {"name": "each", "key": ["principal"], "limits": [{"requests": requests, "unit": "Hour"}]},
        ],
        "rules": [keyed],
        "defaultAction": "Deny",
    })
}

/// In Envoy's own format, which names the path as it is when the request has ended.
#[tokio::test(flavor = "multi_thread")]
async fn no_access_log_holds_what_a_refused_request_brought() {
    const FORMAT: &str = "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %RESPONSE_CODE% \
                          sub=%REQ(x-portcullis-subject)% rule=%REQ(x-portcullis-rule)%";
    let gateway = gateway(&with_keys(1)).access_log(FORMAT).start().await;
    let with_key = get(&format!("/x?a=1&key={}", api_key("k1")));
    let forged = get("/adm").header("x-portcullis-subject", "root").header("x-portcullis-rule", "key");
    for (request, status) in [(&with_key, 200), (&with_key, 429), (&forged, 401)] {
        assert_eq!(gateway.send(request).await.status, status);
    }
    let lines = gateway.access_log(3).await;
    let [passed, limited, refused] = &lines[..] else { panic!("{lines:?}") };
    assert!(passed.starts_with("GET /x?a=1 200 sub=acme rule="), "{passed}");
    assert_eq!(limited, "GET /x?a=1 429 sub=- rule=-");
    assert_eq!(refused, "GET /adm 401 sub=- rule=-");
}

/// Two filters, the second off for a route: the mark of the first must not open the interlock of the second.
#[tokio::test(flavor = "multi_thread")]
async fn a_filter_that_is_off_for_a_route_leaves_it_closed_whatever_stands_before() {
    let open =
        json!({"rules": [rule("edge", "PathPrefix", "/", anyone())], "transport": {"requireTls": false}});
    let gateway = gateway(&open).named("p1").behind("p2", &with_keys(10)).marks(&["p1", "p2"]).start().await;
    let off = gateway.send(&get("/off").api_key(&api_key("k1"))).await;
    assert_eq!((off.status, &*off.body), (403, &b"RBAC: access denied"[..]), "{off:?}");
    assert_eq!(gateway.send(&get("/on")).await.reason().as_deref(), Some("credentials_missing"));
    assert_eq!(gateway.send(&get("/on").api_key(&api_key("k1"))).await.status, 200);
    assert_eq!(gateway.upstream.count(), 1);
}

/// As reported in `https://github.com/istio/istio/issues/29425`,
/// `https://github.com/emissary-ingress/emissary/issues/3279` and `https://github.com/envoyproxy/envoy/issues/26054`.
#[tokio::test(flavor = "multi_thread")]
async fn pages_can_read_refusals_where_the_cors_filter_stands_in_front() {
    for (place, allowed) in [(Cors::InFront, Some(ORIGIN)), (Cors::Behind, None)] {
        let gateway = gateway(&with_keys(1)).cors(place).start().await;
        let page = || get("/x").header("origin", ORIGIN);
        let with_key = || page().api_key(&api_key("k1"));
        for (request, status, allowed) in
            [(page(), 401, allowed), (with_key(), 200, Some(ORIGIN)), (with_key(), 429, allowed)]
        {
            let answer = gateway.send(&request).await;
            let told = answer.header("access-control-allow-origin");
            assert_eq!((answer.status, told), (status, allowed), "{place:?}: {answer:?}");
        }
        let stranger = gateway.send(&get("/x").header("origin", "https://evil.example")).await;
        assert_eq!((stranger.status, stranger.header("access-control-allow-origin")), (401, None));
        // In front it answers preflights; behind, none gets there.
        let preflight =
            request("OPTIONS", "/x").header("origin", ORIGIN).header("access-control-request-method", "GET");
        let status = if place == Cors::InFront { 200 } else { 401 };
        assert_eq!(gateway.send(&preflight).await.status, status, "{place:?}");
    }
}

/// The second pass is a request as any other, and by then the credential is gone, unless it is forwarded.
#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_that_envoy_follows_is_decided_again() {
    let upstream = Serving::start(async |request| {
        let response = Response::builder().header("x-served", request.uri().path());
        let response = match request.uri().path() {
            "/a" => response.status(302).header("location", "http://redirecting.test/b"),
            _ => response,
        };
        response.body(Full::<Bytes>::default()).unwrap()
    })
    .await;
    let mut forwarding = provider();
    forwarding["forward"] = json!(true);
    let mut policy = with_keys(3);
    policy["rules"] = json!([
        rule("token", "Exact", "/b", json!({"authenticate": {"anyOf": [{"jwt": "test"}, "apiKey"]}})),
        rule("a", "Exact", "/a", json!({"authenticate": {"anyOf": [{"jwt": "test"}, "apiKey"]}})),
        rule("other", "Exact", "/c", with_token()),
    ]);
    for rule in policy["rules"].as_array_mut().unwrap() {
        rule["rateLimits"] = json!(["each"]);
    }
    policy["jwt"] = json!({"providers": [forwarding]});
    let gateway = gateway(&policy).redirects().host("redirecting.test", upstream.address).start().await;
    let ask = |path: &str| get(path).authority("redirecting.test");
    let with_key = gateway.send_over(Wire::Plain, &ask("/a").api_key(&api_key("k1"))).await;
    assert_eq!((with_key.status, with_key.reason().as_deref()), (401, Some("credentials_missing")));
    let alice = token("alice").sign();
    let with_token = gateway.send_over(Wire::Plain, &ask("/a").bearer(&alice)).await;
    assert_eq!((with_token.status, with_token.header("x-served")), (200, Some("/b")), "{with_token:?}");
    // Counted twice, so that one of three is left.
    let left = async || gateway.send_over(Wire::Plain, &ask("/c").bearer(&alice)).await.status;
    assert_eq!((left().await, left().await), (200, 429));
}
