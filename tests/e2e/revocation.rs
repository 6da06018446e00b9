//! What a fetched list revokes is refused by every worker within its poll interval.

use std::{sync::Arc, time::Duration};

use serde_json::json;

use crate::harness::{
    gateway::{Gateway, gateway},
    idp::until,
    issuer::token,
    policy::{anyone, api_key, api_key_entry, provider, rule},
    request::{Request, get},
    revocations::RevocationServer,
};

const WORKERS: u32 = 2;
/// Envoy gives each new one to the worker that has the fewest.
const CONNECTIONS: usize = 4;
/// `pollInterval`, and a while for each worker to take notice, on a machine that is busy.
const WITHIN: Duration = Duration::from_millis(2000);

async fn before(server: &RevocationServer, max_stale: &str) -> Gateway {
    let policy = json!({
        "jwt": {"providers": [provider()]},
        "apiKeys": {"keys": [api_key_entry("good", json!({})), api_key_entry("other", json!({}))]},
        "revocation": server.section(max_stale),
        "rules": [
            rule("open", "Exact", "/open", anyone()),
            rule("closed", "Exact", "/closed", json!({"authenticate": {"anyOf": [{"jwt": "test"}, "apiKey"]}})),
        ],
        "defaultAction": "Deny",
    });
    gateway(&policy).revocations(server.address).https_only().workers(WORKERS).start().await
}

/// Of one request on every connection.
async fn outcomes(
    connections: &mut [crate::harness::client::Http1],
    request: &Request,
) -> Vec<(u16, Option<String>)> {
    let mut outcomes = Vec::new();
    for connection in connections {
        let answer = connection.send(request).await.unwrap();
        outcomes.push((answer.status, answer.reason()));
    }
    outcomes
}

fn all(status: u16, reason: Option<&str>) -> Vec<(u16, Option<String>)> {
    vec![(status, reason.map(str::to_owned)); CONNECTIONS]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_worker_heeds_the_list() {
    let server = RevocationServer::start().await;
    let gateway = Arc::new(before(&server, "30s").await);
    let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| gateway.http1()).collect();
    let bearer = |jti: &str, sid: &str, sub: &str| {
        get("/closed").bearer(&token(sub).claim("jti", jti).claim("sid", sid).sign())
    };
    let (by_jti, by_sid, by_sub) =
        (bearer("t-1", "s-1", "alice"), bearer("t-2", "s-2", "alice"), bearer("t-3", "s-1", "mallory"));
    let (stays, key, other) = (
        bearer("t-4", "s-4", "bob"),
        get("/closed").api_key(&api_key("good")),
        get("/closed").api_key(&api_key("other")),
    );
    // Until the first list is there nobody passes.
    until(WITHIN, async || outcomes(&mut connections, &by_jti).await == all(200, None)).await;
    for request in [&by_jti, &by_sid, &by_sub, &stays, &key, &other] {
        assert_eq!(outcomes(&mut connections, request).await, all(200, None));
    }

    server.publish(&json!({
        "jti": ["t-1"], "sid": ["s-2"], "subjects": [{"sub": "mallory"}], "apiKeys": ["good", "unknown"],
    }));
    let revoked = all(401, Some("token_revoked"));
    let took = until(WITHIN, async || outcomes(&mut connections, &by_jti).await == revoked).await;
    println!("refused by all workers after {took:.2?}");
    assert_eq!(outcomes(&mut connections, &by_sid).await, revoked);
    assert_eq!(outcomes(&mut connections, &by_sub).await, revoked);
    // As the answer to any key that is not good.
    let refused = outcomes(&mut connections, &key).await;
    assert!(
        refused.iter().all(|(status, reason)| *status == 401 && *reason != Some("token_revoked".to_owned())),
        "{refused:?}"
    );
    for request in [&stays, &other] {
        assert_eq!(outcomes(&mut connections, request).await, all(200, None));
    }

    // One fetch for all workers, and an unchanged list is not sent again.
    let before = server.fetches();
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let after = server.fetches();
    assert_eq!(after.0, before.0, "sent again");
    assert!((2..=4).contains(&(after.1 - before.1)), "{before:?} {after:?}");

    // A document that is not understood changes nothing.
    server.publish(&json!({"jti": ["t-4"], "jit": []}));
    tokio::time::sleep(WITHIN).await;
    assert_eq!(outcomes(&mut connections, &stays).await, all(200, None));
    assert_eq!(outcomes(&mut connections, &by_jti).await, revoked);
    server.publish(&json!({}));
    until(WITHIN * 2, async || outcomes(&mut connections, &by_jti).await == all(200, None)).await;
    let log = gateway.log();
    assert!(log.contains("an unknown member \"jit\""), "{log}");
    assert!(!log.contains("Wasm VM failed") && !log.contains("panicked"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_too_old_lets_nobody_pass() {
    let server = RevocationServer::start().await;
    server.fail();
    let gateway = before(&server, "3s").await;
    let good = get("/closed").bearer(&token("alice").claim("jti", "t-1").sign());
    let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| gateway.http1()).collect();
    let unavailable = all(503, Some("revocation_unavailable"));
    // Nobody knows yet what is revoked.
    assert_eq!(outcomes(&mut connections, &good).await, unavailable);
    assert_eq!(outcomes(&mut connections, &get("/open")).await, all(200, None));
    server.publish(&json!({"jti": ["t-2"]}));
    until(Duration::from_secs(5), async || outcomes(&mut connections, &good).await == all(200, None)).await;

    server.fail();
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert_eq!(outcomes(&mut connections, &good).await, all(200, None), "the known list serves on");
    until(Duration::from_secs(4), async || outcomes(&mut connections, &good).await == unavailable).await;
    assert_eq!(outcomes(&mut connections, &get("/open")).await, all(200, None));
    server.publish(&json!({"jti": ["t-2"]}));
    until(Duration::from_secs(6), async || outcomes(&mut connections, &good).await == all(200, None)).await;
    let log = gateway.log();
    assert!(log.contains("status 500"), "{log}");
}
