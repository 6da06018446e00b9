//! Opaque tokens of a real authorization server, which is asked about them.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{
    gateway::{Builder, Gateway, gateway},
    idp::{AUDIENCE, Idp, until},
    policy::{anyone, merge, rule, with_token, with_token_and},
    request::{Answer, get, post},
};

/// The endpoint is `https` in every policy; the cluster of these tests reaches it without.
pub(crate) fn introspection(idp: &Idp, members: Value) -> Value {
    let mut introspection = json!({
        "endpoint": format!("https://{}/token/introspection", idp.address),
        "cluster": "jwks",
        "clientId": "gateway",
        "clientSecret": "gateway-secret",
        "cacheDuration": "1s",
        "inactiveCacheDuration": "1s",
    });
    merge(&mut introspection, members);
    introspection
}

fn before(idp: &Idp, members: Value) -> Builder {
    let provider = json!({
        "name": "test",
        "issuer": idp.issuer,
        "audiences": [AUDIENCE],
        "clockSkew": "5s",
        "claims": {"roles": "roles"},
        "claimToHeaders": [{"claim": "tenant", "header": "x-tenant"}],
        "introspection": introspection(idp, members),
    });
    with_provider(idp, &provider)
}

fn with_provider(idp: &Idp, provider: &Value) -> Builder {
    let policy = json!({
        "jwt": {"providers": [provider]},
        "roles": [{"name": "service"}, {"name": "admin"}],
        "rules": [
            rule("open", "Exact", "/open", anyone()),
            rule("closed", "Exact", "/closed", with_token()),
            rule("read", "Exact", "/read", with_token_and(json!({"scopes": ["api:read"], "roles": ["service"]}))),
            rule("admins", "Exact", "/admins", with_token_and(json!({"roles": ["admin"]}))),
        ],
        "defaultAction": "Deny",
    });
    gateway(&policy).jwks(idp.address).https_only()
}

async fn ask(gateway: &Gateway, token: &str) -> Answer {
    gateway.send(&get("/closed").bearer(token)).await
}

async fn reason(gateway: &Gateway, token: &str) -> (u16, Option<String>) {
    let answer = ask(gateway, token).await;
    (answer.status, answer.reason())
}

fn refused(status: u16, reason: &str) -> (u16, Option<String>) {
    (status, Some(reason.to_owned()))
}

fn is_sound(gateway: &Gateway) {
    let log = gateway.log();
    assert!(!log.contains("Wasm VM failed") && !log.contains("panicked"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn active_tokens_pass_until_they_are_revoked() {
    let idp = Idp::start().await;
    let gateway = before(&idp, json!({})).workers(2).start().await;
    let token = idp.token("urn:api:opaque").await;
    assert!(!token.contains('.'), "opaque");
    // The whole request waits for the answer, with its body.
    idp.turns("introspection", "late").await;
    let started = Instant::now();
    let answer = gateway.send(&post("/read").body("a body").bearer(&token)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(started.elapsed() >= Duration::from_millis(650), "{:?}", started.elapsed());
    let seen = answer.seen();
    assert_eq!(seen.body(), "a body");
    assert_eq!(seen.header("x-portcullis-subject"), ["m2m"]);
    assert_eq!(seen.header("x-portcullis-scopes"), ["api:read"]);
    assert_eq!(seen.header("x-portcullis-roles"), ["service"]);
    assert_eq!(seen.header("x-tenant"), ["t1"]);
    assert!(seen.header("authorization").is_empty(), "the token itself goes no further");
    idp.turns("introspection", "ok").await;
    let answer = gateway.send(&get("/admins").bearer(&token)).await;
    assert_eq!(answer.reason().as_deref(), Some("insufficient_role"));

    idp.revoke(&token).await;
    // `cacheDuration`, with room for a machine that is busy.
    let inactive = refused(401, "token_inactive");
    let deadline = Instant::now() + Duration::from_millis(2000);
    // Each worker keeps the issuer's word by itself, so one that refuses says nothing of the other.
    let answer = loop {
        let answer = ask(&gateway, &token).await;
        if answer.status == 401 {
            break answer;
        }
        assert!(Instant::now() < deadline, "{answer:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(answer.reason().as_deref(), Some("token_inactive"));
    assert!(answer.header("www-authenticate").unwrap().contains("error=\"invalid_token\""), "{answer:?}");
    assert_eq!(reason(&gateway, "never-issued-at-all").await, inactive);
    assert_eq!(reason(&gateway, &idp.token("urn:api:opaque").await).await, (200, None));
    is_sound(&gateway);
}

/// JWTs are verified with the keys, and only the others cost a question.
#[tokio::test(flavor = "multi_thread")]
async fn beside_keys() {
    let idp = Idp::start().await;
    let mut provider = idp.provider(json!({}));
    provider["introspection"] = introspection(&idp, json!({}));
    let gateway = with_provider(&idp, &provider).start().await;
    assert_eq!(reason(&gateway, &idp.token("urn:api:es256").await).await, (200, None));
    assert_eq!(idp.count("introspection").await, 0);
    assert_eq!(reason(&gateway, &idp.token("urn:api:opaque").await).await, (200, None));
    assert_eq!(idp.count("introspection").await, 1);
}

/// Those who wait for one token share one call, on each worker; what is known is not asked again.
#[tokio::test(flavor = "multi_thread")]
async fn one_call_for_all_who_wait() {
    let idp = Idp::start().await;
    for workers in [1, 2] {
        idp.turns("introspection", "late").await;
        let before_any = idp.count("introspection").await;
        let gateway = before(&idp, json!({"cacheDuration": "1m"})).workers(workers).start().await;
        let token = idp.token("urn:api:opaque").await;
        let mut connections = Vec::new();
        // Envoy gives each new one to the worker that has the fewest.
        for _ in 0..4 {
            connections.push(gateway.http2().await);
        }
        for _ in 0..2 {
            let mut asked = JoinSet::new();
            for index in 0..100 {
                let (mut connection, request) =
                    (connections[index % 4].clone(), get("/closed").bearer(&token));
                asked.spawn(async move { connection.send(&request).await.unwrap().status });
            }
            assert_eq!(asked.join_all().await, [200; 100], "{workers} workers");
            let calls = idp.count("introspection").await - before_any;
            assert_eq!(calls, u64::from(workers), "{workers} workers");
        }
        is_sound(&gateway);
    }
}

/// Envoy may hand a body over while its request waits; one that passed would take the request along, undecided.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_waits_with_its_request() {
    let idp = Idp::start().await;
    let gateway = before(&idp, json!({})).bodies_while_waiting().start().await;
    idp.turns("introspection", "late").await;
    let body = "x".repeat(10_000);
    let post = |token: &str| post("/closed").bearer(token).body(body.clone());
    let answer = gateway.send(&post("forged")).await;
    assert_eq!((answer.status, answer.reason().as_deref()), (401, Some("token_inactive")), "{answer:?}");
    assert_eq!(gateway.upstream.count(), 0);
    let answer = gateway.send(&post(&idp.token("urn:api:opaque").await)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.seen().body().len(), body.len());
    assert_eq!(gateway.upstream.count(), 1);
    is_sound(&gateway);
}

/// The first asks on behalf of the others, and leaves before the answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_takes_nobody_with_it() {
    let idp = Idp::start().await;
    let gateway = Arc::new(before(&idp, json!({})).start().await);
    let token = idp.token("urn:api:opaque").await;
    idp.turns("introspection", "late").await;
    let leaver = {
        let (gateway, request) = (gateway.clone(), get("/closed").bearer(&token));
        tokio::spawn(async move { gateway.send_and_leave(&request, Duration::from_millis(400)).await })
    };
    tokio::time::sleep(Duration::from_millis(150)).await;
    let started = Instant::now();
    let mut asked = JoinSet::new();
    for _ in 0..10 {
        let (gateway, token) = (gateway.clone(), token.clone());
        asked.spawn(async move { ask(&gateway, &token).await.status });
    }
    leaver.await.unwrap();
    assert_eq!(asked.join_all().await, [200; 10]);
    // The rest of the first call, whose answer is heard though who asked has gone, and a while to take notice.
    assert!(started.elapsed() < Duration::from_millis(1500), "{:?}", started.elapsed());
    assert_eq!(idp.count("introspection").await, 1);
    is_sound(&gateway);
}

/// Neither calls that hang nor such that fail on account of one client's tokens are in the way of others.
#[tokio::test(flavor = "multi_thread")]
async fn forged_tokens_of_one_client_starve_no_other() {
    let idp = Idp::start().await;
    let gateway = before(&idp, json!({"timeout": "8s"})).trusted_hops(1).start().await;
    let from = |address: &str, token: &str| get("/closed").bearer(token).header("x-forwarded-for", address);
    let good = [
        idp.token("urn:api:opaque").await,
        idp.token("urn:api:opaque").await,
        idp.token("urn:api:opaque").await,
    ];
    let unavailable = refused(503, "introspection_unavailable");
    let reason = async |address: &str, token: &str| {
        let answer = gateway.send(&from(address, token)).await;
        (answer.status, answer.reason())
    };

    idp.turns("introspection", "slow").await;
    let mut flood = JoinSet::new();
    let connection = gateway.http2().await;
    for index in 0..130 {
        let (mut connection, request) =
            (connection.clone(), from("203.0.113.1", &format!("made-up-{index}")));
        flood.spawn(async move { connection.send(&request).await.unwrap().status });
    }
    until(Duration::from_secs(5), async || idp.count("introspection").await >= 43).await;
    idp.turns("introspection", "ok").await;
    assert_eq!(reason("203.0.113.1", &good[0]).await, unavailable);
    assert_eq!(idp.count("introspection").await, 43);
    let started = Instant::now();
    assert_eq!(reason("203.0.113.2", &good[0]).await, (200, None));
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert_eq!(flood.join_all().await, [503; 130]);

    idp.turns("introspection", "down").await;
    for index in 0..3 {
        assert_eq!(reason("203.0.113.3", &format!("made-up-{index}-more")).await, unavailable);
    }
    idp.turns("introspection", "ok").await;
    assert_eq!(reason("203.0.113.3", &good[1]).await, unavailable);
    assert_eq!(reason("203.0.113.2", &good[1]).await, (200, None));
    // Whoever waits finds out after a while.
    until(Duration::from_secs(3), async || reason("203.0.113.3", &good[2]).await == (200, None)).await;
    is_sound(&gateway);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_cannot_be_asked() {
    let idp = Idp::start().await;
    let gateway = before(&idp, json!({"timeout": "300ms", "cacheDuration": "1m"})).start().await;
    let known = idp.token("urn:api:opaque").await;
    assert_eq!(reason(&gateway, &known).await, (200, None));
    let unavailable = refused(503, "introspection_unavailable");
    for (mode, said) in [
        ("down", "introspection of \"test\": status 503"),
        ("slow", "introspection of \"test\": status 504"),
        ("404", "introspection of \"test\": status 404"),
        ("garbage", "introspection of \"test\": "),
        ("redirect", "introspection of \"test\": status 302"),
        ("10mb", "introspection of \"test\": an answer longer than"),
    ] {
        idp.turns("introspection", mode).await;
        let fresh = idp.token("urn:api:opaque").await;
        let answer = ask(&gateway, &fresh).await;
        assert_eq!((answer.status, answer.reason()), unavailable, "{mode}: {answer:?}");
        assert_eq!(reason(&gateway, &known).await, (200, None), "{mode}");
        assert_eq!(gateway.send(&get("/open")).await.status, 200, "{mode}");
        assert!(gateway.log().contains(said), "{mode}: {}", gateway.log());
        idp.turns("introspection", "ok").await;
        until(Duration::from_secs(3), async || reason(&gateway, &fresh).await == (200, None)).await;
    }

    // A lost server is not asked for every request.
    idp.turns("introspection", "down").await;
    let before = idp.count("introspection").await;
    for index in 0..100 {
        assert_eq!(reason(&gateway, &format!("made-up-{index}")).await, unavailable);
    }
    let asked = idp.count("introspection").await - before;
    assert!((3..=10).contains(&asked), "{asked}");
    is_sound(&gateway);
}

/// Envoy answers by a time-out of its own, and the client takes nothing of that answer, so that the stream stays. What
/// the issuer says then comes too late for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_envoy_answered_is_not_decided_any_more() {
    const ALLOWED: &str = "wasmcustom.portcullis_requests._decision=allow_._reason=none_";
    let idp = Idp::start().await;
    let gateway = before(&idp, json!({"cacheDuration": "1m"})).request_timeout("0.3s").start().await;
    let token = idp.token("urn:api:opaque").await;
    idp.turns("introspection", "late").await;
    let mut connection = gateway.http2_without_room().await;
    let (status, _answer) = connection.begin(&get("/closed").bearer(&token)).await.unwrap();
    assert_eq!(status, 504);
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(idp.count("introspection").await, 1);
    assert_eq!(gateway.admin().stat(ALLOWED).await, 0);
    assert_eq!(gateway.upstream.count(), 0);
    assert!(!gateway.log().contains("envoy bug failure"), "{}", gateway.log());
    // The answer is heard all the same.
    assert_eq!(reason(&gateway, &token).await, (200, None));
    assert_eq!(idp.count("introspection").await, 1);
    until(Duration::from_secs(2), async || gateway.admin().stat(ALLOWED).await == 1).await;
    is_sound(&gateway);
}

/// Envoy lets one go on from within the other, so a second filter hears of many before the first has sent its headers.
#[tokio::test(flavor = "multi_thread")]
async fn all_that_were_woken_together_reach_the_next_filter() {
    let idp = Idp::start().await;
    let open = json!({"rules": [rule("all", "PathPrefix", "/", anyone())], "defaultAction": "Deny"});
    let gateway = before(&idp, json!({})).named("edge").behind("tenants", &open).marks(&["edge", "tenants"]);
    let gateway = gateway.start().await;
    let token = idp.token("urn:api:opaque").await;
    idp.turns("introspection", "late").await;
    let connection = gateway.http2().await;
    let mut asked = JoinSet::new();
    for _ in 0..20 {
        let (mut connection, request) = (connection.clone(), get("/closed").bearer(&token));
        asked.spawn(async move {
            let answer = connection.send(&request).await.unwrap();
            (answer.status, answer.reason())
        });
    }
    assert_eq!(asked.join_all().await, vec![(200, None); 20]);
    is_sound(&gateway);
}
