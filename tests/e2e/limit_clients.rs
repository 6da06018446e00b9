//! What counts as one client of a limit, over both workers: each request comes over a connection of its own. Hours, so
//! that nothing is earned back while a test runs.

use serde_json::{Value, json};

use crate::harness::{
    gateway::{Gateway, gateway},
    issuer::token,
    policy::{anyone, api_key, api_key_entry, merge, provider, rule},
    request::{Request, get},
};

fn limited(name: &str, mut members: Value) -> Value {
    merge(&mut members, json!({"rateLimits": [name]}));
    rule(name, "Exact", &format!("/{name}"), members)
}

pub(crate) fn policy() -> Value {
    let either = || json!({"authenticate": {"anyOf": [{"jwt": "test"}, {"jwt": "plain"}, "apiKey"]}});
    let hourly = |requests: usize| json!([{"requests": requests, "unit": "Hour"}]);
    let mut with_header = provider();
    merge(&mut with_header, json!({"claimToHeaders": [{"claim": "org", "header": "x-org"}]}));
    let mut plain = provider();
    merge(&mut plain, json!({"name": "plain", "issuer": "https://plain.test"}));
    json!({
        "jwt": {"providers": [with_header, plain]},
        "apiKeys": {"keys": [api_key_entry("old", json!({})), api_key_entry("new", json!({}))]},
        "rateLimits": [
            {"name": "cookie", "key": [{"cookie": "sid"}], "limits": hourly(3)},
            {"name": "query", "key": [{"query": "app"}], "limits": hourly(3)},
            {"name": "header", "key": [{"header": "x-org"}], "limits": hourly(3)},
            {"name": "early", "key": [{"cookie": "early"}, {"query": "early"}], "before": "Authentication",
             "limits": hourly(500)},
        ],
        "rules": [
            limited("cookie", anyone()),
            limited("query", anyone()),
            limited("header", either()),
        ],
        "defaultAction": "Deny",
    })
}

async fn start() -> Gateway {
    gateway(&policy()).workers(2).start().await
}

/// How many of these pass; the others are over a limit.
async fn admitted(gateway: &Gateway, requests: impl IntoIterator<Item = Request>) -> usize {
    let mut admitted = 0;
    for request in requests {
        let answer = gateway.send(&request).await;
        assert!([200, 429].contains(&answer.status), "{request:?}: {answer:?}");
        admitted += usize::from(answer.status == 200);
    }
    admitted
}

/// The same request so many times.
fn times(request: Request, count: usize) -> Vec<Request> {
    vec![request; count]
}

/// Whoever asks all day meets both workers.
async fn meets_both(gateway: &Gateway) {
    for _ in 0..200 {
        let stats = gateway.admin().stats().await;
        let served = |worker: &str| {
            stats.iter().any(|(name, count)| {
                name.starts_with("listener.")
                    && name.ends_with(&format!("{worker}.downstream_cx_total"))
                    && *count > 0
            })
        };
        if served("worker_0") && served("worker_1") {
            return;
        }
        gateway.send(&get("/nowhere")).await;
    }
    panic!("one worker served nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_value_of_a_cookie_has_a_count_of_its_own_however_it_is_spelt() {
    let gateway = start().await;
    let sent = |cookie: &str| get("/cookie").header("cookie", cookie);
    // The same cookie, and nobody else's.
    let spelt = ["sid=1", "a=0; sid=1", "sid=\"1\"", "Sid=1", "%73id=1", "sid[]=1", "x=0 sid=1"].map(sent);
    assert_eq!(admitted(&gateway, spelt).await, 3);
    assert_eq!(admitted(&gateway, times(sent("sid=2"), 4)).await, 3);
    // Two together are a value of their own.
    assert_eq!(admitted(&gateway, times(sent("sid=1; sid=2"), 4)).await, 3);
    // Whoever has none shares one count.
    let none = [get("/cookie"), sent("sid="), sent("sids=1"), sent("a=0"), get("/cookie")];
    assert_eq!(admitted(&gateway, none).await, 3);
    meets_both(&gateway).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_value_of_a_parameter_has_a_count_of_its_own_however_it_is_spelt() {
    let gateway = start().await;
    let sent = |query: &str| get(&format!("/query?{query}"));
    let spelt = ["app=1", "a=0&app=1", "app=%31", "App=1", "%61pp=1", "app[]=1", "x=0;app=1"].map(sent);
    assert_eq!(admitted(&gateway, spelt).await, 3);
    assert_eq!(admitted(&gateway, times(sent("app=2"), 4)).await, 3);
    assert_eq!(admitted(&gateway, times(sent("app=1&app=2"), 4)).await, 3);
    let none = [get("/query"), sent("app="), sent("apps=1"), sent("app"), sent("a=0")];
    assert_eq!(admitted(&gateway, none).await, 3);
    meets_both(&gateway).await;
}

/// What the client sends under that name counts for nothing, and does not reach the upstream.
#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_is_set_from_a_claim_counts_as_the_claim() {
    let gateway = start().await;
    let of = |sub: &str, org: &str, sent: &str| {
        get("/header").bearer(&token(sub).claim("org", org).sign()).header("x-org", sent)
    };
    let of_one = ["1", "2", "3", "4", "5"].map(|n| of(&format!("user-{n}"), "acme", n));
    assert_eq!(admitted(&gateway, of_one).await, 3);
    assert_eq!(admitted(&gateway, times(of("user-1", "other", "acme"), 4)).await, 3);
    // Whoever has no such claim, or is known by something else, shares one count.
    let key = |name: &str| get("/header").api_key(&api_key(name)).header("x-org", name);
    let plain = token("user-1").claim("org", "third").claim("iss", "https://plain.test");
    let none = [
        get("/header").bearer(&token("user-2").sign()).header("x-org", "a"),
        key("old"),
        get("/header").bearer(&plain.sign()).header("x-org", "third"),
        key("new"),
        get("/header").bearer(&token("user-3").sign()),
    ];
    assert_eq!(admitted(&gateway, none).await, 3);
    assert_eq!(admitted(&gateway, [of("user-9", "third", "b")]).await, 1);
    meets_both(&gateway).await;
}
