//! Rate limits over real workers and real time.

use std::{collections::BTreeMap, time::Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{
    gateway::{Gateway, gateway},
    issuer::token,
    policy::{anyone, api_key, api_key_entry, merge, provider, rule},
    request::{Answer, Request, get, post},
};

const ADMITTED: usize = 50;

/// So many a second that workers charge four ahead for each client.
const PREPAID: usize = 256;

fn limited(limits: &[&str], access: Value) -> Value {
    let mut members = access;
    merge(&mut members, json!({"rateLimits": limits}));
    members
}

fn either() -> Value {
    json!({"authenticate": {"anyOf": [{"jwt": "test"}, "apiKey"]}})
}

/// Hours, so that nothing is refilled while a test runs.
pub(crate) fn policy() -> Value {
    let hourly = |requests: usize| json!([{"requests": requests, "unit": "Hour"}]);
    json!({
        "jwt": {"providers": [{
            "name": "test",
            "issuer": provider()["issuer"],
            "audiences": provider()["audiences"],
            "algorithms": ["ES256"],
            "claims": {"tier": "plan"},
            "jwks": provider()["jwks"],
        }]},
        "apiKeys": {"keys": [
            api_key_entry("old", json!({"client": "partner"})),
            api_key_entry("new", json!({"client": "partner"})),
            api_key_entry("gold", json!({"tier": "gold"})),
        ]},
        "rateLimits": [
            {"name": "burst", "key": ["route"], "limits": hourly(ADMITTED)},
            {"name": "prepaid", "key": ["route"], "limits": [{"requests": PREPAID, "unit": "Second"}]},
            {"name": "caller", "key": ["principal"], "limits": hourly(3), "tiers": [
                {"name": "gold", "limits": hourly(6)}, {"name": "2", "limits": hourly(4)},
            ]},
            {"name": "writes", "key": ["principal"], "limits": hourly(2), "methods": ["POST", "PUT"]},
            {"name": "header", "key": ["route", {"header": "x-tenant"}], "limits": hourly(2)},
            {"name": "tenant", "key": [{"claim": "org.tenant"}], "limits": hourly(2)},
            {"name": "order", "key": [{"pathVariable": "order"}], "limits": hourly(2)},
            {"name": "host", "key": ["host"], "limits": hourly(2)},
            {"name": "outside", "key": ["route"], "limits": hourly(1), "exempt": {"remoteAddress": ["127.0.0.0/8"]}},
            {"name": "inside", "key": ["route"], "limits": hourly(1), "exempt": {"remoteAddress": ["10.0.0.0/8"]}},
            {"name": "wide", "key": ["route"], "limits": hourly(4)},
            {"name": "narrow", "key": [{"header": "x-tenant"}], "limits": hourly(1)},
            {"name": "windows", "key": ["route"], "limits": [
                {"requests": 100, "unit": "Hour"}, {"requests": 1, "unit": "Second", "burst": 2},
            ]},
        ],
        "rules": [
            rule("burst", "Exact", "/burst", limited(&["burst"], anyone())),
            rule("prepaid", "Exact", "/prepaid", limited(&["prepaid"], anyone())),
            rule("caller", "Exact", "/caller", limited(&["caller"], either())),
            rule("reads-and-writes", "Exact", "/writes", limited(&["writes"], either())),
            rule("header", "Exact", "/header", limited(&["header"], anyone())),
            rule("tenant", "Exact", "/tenant", limited(&["tenant"], either())),
            rule("order", "PathTemplate", "/orders/{order}", limited(&["order"], anyone())),
            rule("host", "Exact", "/host", limited(&["host"], anyone())),
            rule("outside", "Exact", "/outside", limited(&["outside"], anyone())),
            rule("inside", "Exact", "/inside", limited(&["inside"], anyone())),
            rule("both", "Exact", "/both", limited(&["narrow", "wide"], anyone())),
            rule("windows", "Exact", "/windows", limited(&["windows"], anyone())),
        ],
        "defaultAction": "Deny",
    })
}

async fn statuses(gateway: &Gateway, requests: impl IntoIterator<Item = Request>) -> Vec<u16> {
    let mut statuses = Vec::new();
    for request in requests {
        statuses.push(gateway.send(&request).await.status);
    }
    statuses
}

fn times(request: Request, count: usize) -> Vec<Request> {
    vec![request; count]
}

/// How often each status was answered to so many requests over each of 16 connections.
async fn burst(gateway: &Gateway, path: &'static str, each: usize) -> BTreeMap<u16, usize> {
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let mut connection = gateway.http1();
        tasks.spawn(async move {
            let mut statuses = Vec::new();
            for _ in 0..each {
                statuses.push(connection.send(&get(path)).await.unwrap().status);
            }
            statuses
        });
    }
    let mut counts = BTreeMap::new();
    for status in tasks.join_all().await.into_iter().flatten() {
        *counts.entry(status).or_default() += 1;
    }
    // Both workers had a part in it.
    let stats = gateway.admin().stats().await;
    for worker in ["worker_0", "worker_1"] {
        let served = stats.iter().any(|(name, count)| {
            name.starts_with("listener.")
                && name.ends_with(&format!("{worker}.downstream_cx_total"))
                && *count > 0
        });
        assert!(served, "{worker} served nothing");
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn each_tenant_order_and_host_has_a_count_of_its_own() {
    let gateway = gateway(&policy()).start().await;
    let tenant = |sub: &str, tenant: Value| {
        get("/tenant").bearer(&token(sub).claim("org", json!({"tenant": tenant})).sign())
    };
    let key = |name: &str| get("/tenant").header("x-api-key", api_key(name));
    let of_tenants = [
        tenant("alice", json!("a")),
        tenant("bob", json!("a")),
        tenant("carol", json!("a")),
        tenant("carol", json!("b")),
        tenant("carol", json!(["a"])),
        // Whoever has no tenant shares one count.
        tenant("alice", Value::Null),
        key("old"),
        key("gold"),
    ];
    assert_eq!(statuses(&gateway, of_tenants).await, [200, 200, 429, 200, 200, 200, 200, 429]);
    let orders = ["/orders/7", "/orders/%37", "/orders/7?x=1", "/orders/8", "/orders/07"].map(get);
    assert_eq!(statuses(&gateway, orders).await, [200, 200, 429, 200, 200]);
    let hosts = ["api.test", "API.test", "api.test:8443", "b.test"].map(|host| get("/host").authority(host));
    assert_eq!(statuses(&gateway, hosts).await, [200, 200, 429, 200]);
}

/// The client is this machine, whatever it says.
#[tokio::test(flavor = "multi_thread")]
async fn exempt_addresses_are_not_limited() {
    let gateway = gateway(&policy()).start().await;
    let claimed = |path: &str| get(path).header("x-forwarded-for", "10.0.0.1");
    assert_eq!(statuses(&gateway, times(get("/outside"), 3)).await, [200, 200, 200]);
    assert_eq!(statuses(&gateway, times(claimed("/inside"), 2)).await, [200, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_concurrent_burst_exactly_as_many_pass_as_the_limit_says() {
    let gateway = gateway(&policy()).workers(2).start().await;
    let counts = burst(&gateway, "/burst", 25).await;
    assert_eq!(counts, BTreeMap::from([(200, ADMITTED), (429, 16 * 25 - ADMITTED)]));
    assert_eq!(gateway.upstream.count(), ADMITTED);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_limit_that_is_charged_ahead_no_more_pass_than_it_promises() {
    let gateway = gateway(&policy()).workers(2).start().await;
    let began = Instant::now();
    let counts = burst(&gateway, "/prepaid", 100).await;
    let millis = usize::try_from(began.elapsed().as_millis()).unwrap() + 1;
    let promised = PREPAID + PREPAID * millis / 1000;
    let admitted = gateway.upstream.count();
    assert_eq!(counts.get(&200), Some(&admitted));
    assert!(counts.contains_key(&429) && counts.len() == 2, "{counts:?}");
    // At least all of the burst, but for what the other worker held, and the gap before it.
    assert!((PREPAID - 4 - 1..=promised).contains(&admitted), "{admitted} of {promised}");
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_count_what_their_key_says() {
    let gateway = gateway(&policy()).start().await;
    let as_user = |user: &str, path: &str| get(path).bearer(&token(user).sign());
    // Every principal for itself, over all its tokens and keys.
    let alice = [
        as_user("alice", "/caller"),
        as_user("alice", "/caller"),
        as_user("alice", "/caller"),
        as_user("alice", "/caller"),
    ];
    assert_eq!(statuses(&gateway, alice).await, [200, 200, 200, 429]);
    assert_eq!(statuses(&gateway, [as_user("bob", "/caller")]).await, [200]);
    // A client's keys are one principal, and not the one of a token with the same subject.
    let partner = ["old", "new", "old", "new"].map(|name| get("/caller").api_key(&api_key(name)));
    assert_eq!(statuses(&gateway, partner).await, [200, 200, 200, 429]);
    assert_eq!(statuses(&gateway, [as_user("partner", "/caller")]).await, [200]);
    // A tier has its own windows.
    let gold = times(get("/caller").api_key(&api_key("gold")), 7);
    assert_eq!(statuses(&gateway, gold).await, [200, 200, 200, 200, 200, 200, 429]);
    let claimed = get("/caller").bearer(&token("gina").claim("plan", "gold").sign());
    assert_eq!(statuses(&gateway, times(claimed, 7)).await, [200, 200, 200, 200, 200, 200, 429]);
    let numbered = get("/caller").bearer(&token("nina").claim("plan", 2).sign());
    assert_eq!(statuses(&gateway, times(numbered, 5)).await, [200, 200, 200, 200, 429]);
    // Reads do not count as writes.
    let write = post("/writes").bearer(&token("alice").sign());
    assert_eq!(statuses(&gateway, times(write, 3)).await, [200, 200, 429]);
    assert_eq!(statuses(&gateway, times(as_user("alice", "/writes"), 3)).await, [200, 200, 200]);
    // A header's values are counted apart; those without share one count.
    let tenant = |tenant: &str| get("/header").header("x-tenant", tenant);
    assert_eq!(statuses(&gateway, times(tenant("a"), 3)).await, [200, 200, 429]);
    assert_eq!(statuses(&gateway, [tenant("b")]).await, [200]);
    assert_eq!(statuses(&gateway, times(get("/header"), 3)).await, [200, 200, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_request_is_charged_to_no_limit() {
    let gateway = gateway(&policy()).start().await;
    let tenant = |tenant: &str| get("/both").header("x-tenant", tenant);
    // `narrow` refuses the second of each tenant; `wide` must not have been charged for it.
    let asked = ["a", "a", "a", "b", "b", "c", "d", "e"].map(tenant);
    assert_eq!(statuses(&gateway, asked).await, [200, 429, 429, 200, 429, 200, 200, 429]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_used_up_comes_back_with_time() {
    let gateway = gateway(&policy()).start().await;
    assert_eq!(statuses(&gateway, times(get("/windows"), 2)).await, [200, 200]);
    let refused = gateway.send(&get("/windows")).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header("retry-after"), Some("1"));
    tokio::time::sleep(std::time::Duration::from_millis(1050)).await;
    assert_eq!(gateway.send(&get("/windows")).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_says_when_to_come_back() {
    let gateway = gateway(&policy()).start().await;
    let answers: Vec<Answer> = {
        let mut answers = Vec::new();
        for _ in 0..4 {
            answers.push(gateway.send(&get("/caller").bearer(&token("alice").sign())).await);
        }
        answers
    };
    let refused = answers.last().unwrap();
    assert_eq!((refused.status, refused.reason().as_deref()), (429, Some("rate_limited")), "{refused:?}");
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=1200).contains(&seconds), "a third of an hour at most, not {seconds} s");
    for header in ["ratelimit", "ratelimit-policy"] {
        assert!(
            refused.header(header).is_some_and(|value| value.contains("caller")),
            "{header}: {refused:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_before_authentication_counts_bad_credentials_too() {
    let mut policy = policy();
    let throttle = json!({
        "name": "throttle", "key": ["remoteAddress"], "before": "Authentication",
        "limits": [{"requests": 5, "unit": "Hour"}],
    });
    policy["rateLimits"].as_array_mut().unwrap().push(throttle);
    let gateway = gateway(&policy).start().await;
    let forged = |_| get("/caller").bearer(&token("alice").forged().sign());
    assert_eq!(statuses(&gateway, (0..6).map(forged)).await, [401, 401, 401, 401, 401, 429]);
    assert_eq!(statuses(&gateway, [get("/nowhere")]).await, [429]);
    // The address is the connection's: nobody talks themselves out of it.
    let elsewhere =
        get("/nowhere").header("x-forwarded-for", "203.0.113.7").header("x-real-ip", "203.0.113.7");
    assert_eq!(statuses(&gateway, [elsewhere]).await, [429]);
}
