//! Many requests, good and bad ones mixed: each answered as it must be, and nothing wears out.

use std::{sync::Arc, time::Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{
    gateway::gateway,
    issuer::token,
    now,
    policy::{anyone, api_key, api_key_entry, provider, rule, with_token_and},
    request::{Answer, Request, get, post},
};

const REQUESTS: usize = 100_000;
const HTTP2_TASKS: usize = 24;
const HTTP1_TASKS: usize = 8;

pub(crate) fn policy() -> Value {
    let mut read = rule(
        "read",
        "PathTemplate",
        "/orders/{id}",
        json!({
            "authenticate": {"anyOf": [{"jwt": "test"}, "apiKey"]}, "authorize": {"permissions": ["orders:read"]},
        }),
    );
    read["rateLimits"] = json!(["many"]);
    json!({
        "jwt": {"providers": [provider()]},
        "apiKeys": {
            "levels": {"Read": {"permissions": ["orders:read"]}},
            "keys": [
                api_key_entry("reader", json!({"level": "Read"})),
                api_key_entry("disabled", json!({"level": "Read", "disabled": true})),
            ],
        },
        "roles": [{"name": "viewer", "permissions": ["orders:read"]}],
        "rateLimits": [{"name": "many", "key": ["principal"], "limits": [{"requests": 1_000_000, "unit": "Second"}]}],
        "rules": [
            rule("open", "Exact", "/open", anyone()),
            read,
            rule("owner", "PathTemplate", "/users/{user}", with_token_and(json!({"owner": {"pathVariable": "user"}}))),
        ],
        "defaultAction": "Deny",
    })
}

/// A request and the one answer that is right: status, reason, and whom the upstream sees.
pub(crate) struct Expected {
    pub(crate) request: Request,
    status: u16,
    reason: Option<&'static str>,
    subject: Option<&'static str>,
}

pub(crate) fn mix() -> Vec<Expected> {
    let passes = |request: Request, subject| Expected { request, status: 200, reason: None, subject };
    let refused =
        |request: Request, status, reason| Expected { request, status, reason: Some(reason), subject: None };
    let viewer = token("alice").roles(&["viewer"]).sign();
    let rsa = token("bob").algorithm(jsonwebtoken::Algorithm::RS256).roles(&["viewer"]).sign();
    vec![
        passes(get("/open"), None),
        passes(get("/orders/1").bearer(&viewer), Some("alice")),
        passes(get("/orders/2").bearer(&rsa), Some("bob")),
        passes(get("/orders/3").api_key(&api_key("reader")), Some("reader")),
        passes(get("/users/alice").bearer(&viewer), Some("alice")),
        passes(get("/orders/4").bearer(&viewer).header("x-portcullis-subject", "root"), Some("alice")),
        refused(get("/users/bob").bearer(&viewer), 403, "not_owner"),
        refused(get("/orders/1"), 401, "credentials_missing"),
        refused(get("/orders/1").bearer(&token("alice").sign()), 403, "insufficient_permission"),
        refused(
            get("/orders/1").bearer(&token("alice").roles(&["viewer"]).forged().sign()),
            401,
            "token_signature",
        ),
        refused(
            get("/orders/1").bearer(&token("alice").claim("exp", now() - 100).sign()),
            401,
            "token_expired",
        ),
        refused(get("/orders/1").api_key(&api_key("unknown")), 401, "api_key_invalid"),
        refused(get("/orders/1").api_key(&api_key("disabled")), 401, "api_key_invalid"),
        refused(get("/orders/%2f"), 400, "ambiguous_path"),
        refused(get("/nowhere").bearer(&viewer), 403, "no_rule"),
        refused(post("/orders/1/items").bearer(&viewer), 403, "no_rule"),
    ]
}

pub(crate) fn wrong(expected: &Expected, answer: &Answer) -> Option<String> {
    let right = answer.status == expected.status
        && answer.reason().as_deref() == expected.reason
        && (answer.status != 200
            || answer.seen().header("x-portcullis-subject") == expected.subject.as_slice());
    (!right).then(|| format!("{:?} got {answer:?}", expected.request))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_mixed_requests_are_each_answered_rightly() {
    let gateway = gateway(&policy()).workers(2).start().await;
    let mix = Arc::new(mix());
    let each = REQUESTS / (HTTP2_TASKS + HTTP1_TASKS);
    let started = Instant::now();
    let mut tasks = JoinSet::new();
    let mut connections = Vec::new();
    for _ in 0..4 {
        connections.push(gateway.http2().await);
    }
    for task in 0..HTTP2_TASKS {
        let (mix, mut connection) = (mix.clone(), connections[task % connections.len()].clone());
        tasks.spawn(async move {
            for i in 0..each {
                let expected = &mix[(task + i) % mix.len()];
                let answer = connection.send(&expected.request).await.map_err(|error| error.to_string())?;
                wrong(expected, &answer).map_or(Ok(()), Err)?;
            }
            Ok(each)
        });
    }
    for task in 0..HTTP1_TASKS {
        let (mix, mut connection) = (mix.clone(), gateway.http1());
        tasks.spawn(async move {
            for i in 0..each {
                let expected = &mix[(HTTP2_TASKS + task + i) % mix.len()];
                let answer = connection.send(&expected.request).await.map_err(|error| error.to_string())?;
                wrong(expected, &answer).map_or(Ok(()), Err)?;
            }
            Ok::<usize, String>(each)
        });
    }
    let answered: usize =
        tasks.join_all().await.into_iter().map(|task| task.unwrap_or_else(|wrong| panic!("{wrong}"))).sum();
    let elapsed = started.elapsed();
    println!("{answered} requests in {elapsed:.1?}");
    assert_eq!(answered, REQUESTS);
    assert_eq!(gateway.upstream.count(), REQUESTS * 6 / mix.len());

    let stats = gateway.admin().stats().await;
    let sum = |suffix: &str| {
        stats.iter().filter(|(name, _)| name.ends_with(suffix)).map(|(_, count)| count).sum::<u64>()
    };
    assert_eq!(sum("downstream_rq_5xx") - stats.get("http.admin.downstream_rq_5xx").copied().unwrap_or(0), 0);
    assert_eq!(sum("vm_reload"), 0, "a VM has trapped");
    let log = gateway.log();
    assert!(!log.contains("Wasm VM failed") && !log.contains("panicked"), "{log}");
}
