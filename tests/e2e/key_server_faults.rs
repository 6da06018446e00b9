//! A real authorization server that answers for its keys with something else, or not at all: the keys that are
//! known serve on for `maxStale`, then nothing passes, and all is well again once the server is.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{
    gateway::{Gateway, gateway},
    idp::{Idp, until, with_kid},
    policy::{anyone, rule, with_token},
    request::get,
};

const MAX_STALE: Duration = Duration::from_secs(4);
/// A set was fetched at most so long ago while all was well.
const AGE: Duration = Duration::from_millis(1600);

/// The set's URL turns to `mode`; the log must say `said` of it.
async fn outlives(mode: &str, said: &str) {
    let idp = Idp::start().await;
    let jwks =
        json!({"cacheDuration": "1s", "minRefetchInterval": "1s", "timeout": "500ms", "maxStale": "4s"});
    let policy = json!({
        "jwt": {"providers": [idp.provider(jwks)]},
        "rules": [rule("open", "Exact", "/open", anyone()), rule("closed", "Exact", "/closed", with_token())],
        "defaultAction": "Deny",
    });
    let gateway = gateway(&policy).jwks(idp.address).https_only().workers(2).start().await;
    let token = idp.token("urn:api:es256").await;
    let (good, unknown) = (get("/closed").bearer(&token), get("/closed").bearer(&with_kid(&token, "nobody")));
    assert_eq!(gateway.send(&good).await.status, 200);

    idp.keys_are(mode).await;
    let (broken, fetched) = (Instant::now(), idp.fetches().await);
    // Tokens of keys that nobody has: a server in trouble is not asked more often for them.
    let mut connection = gateway.http1();
    let bogus = tokio::spawn(async move {
        while broken.elapsed() < MAX_STALE - AGE {
            let answer = connection.send(&unknown).await.unwrap();
            assert_eq!(answer.reason().as_deref(), Some("token_key"), "{answer:?}");
        }
    });
    while broken.elapsed() < MAX_STALE - AGE {
        assert_eq!(gateway.send(&good).await.status, 200, "{:?} after {mode}", broken.elapsed());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    bogus.await.unwrap();
    let fetches = idp.fetches().await - fetched;
    assert!((1..=4).contains(&fetches), "{fetches} fetches in {:?}", broken.elapsed());

    tokio::time::sleep((MAX_STALE + Duration::from_millis(50)).saturating_sub(broken.elapsed())).await;
    let refusals = tokio::join!(
        unavailable(&gateway, &token),
        unavailable(&gateway, &token),
        unavailable(&gateway, &token)
    );
    assert_eq!(refusals, ((), (), ()));
    assert_eq!(gateway.send(&get("/open")).await.status, 200, "what needs no keys still passes");

    idp.keys_are("ok").await;
    until(Duration::from_secs(4), async || gateway.send(&good).await.status == 200).await;
    let log = gateway.log();
    assert!(log.contains(&format!("key set of \"test\": {said}")), "{log}");
    assert!(!log.contains("Wasm VM failed") && !log.contains("panicked"), "{log}");
}

async fn unavailable(gateway: &Gateway, token: &str) {
    let answer = gateway.send(&get("/closed").bearer(token)).await;
    assert_eq!((answer.status, answer.reason().as_deref()), (503, Some("keys_unavailable")), "{answer:?}");
    let retry_after = answer.header("retry-after").and_then(|seconds| seconds.parse().ok());
    assert!(retry_after.is_some_and(|seconds: u32| seconds > 0), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_down() {
    outlives("down", "status 503").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_answer() {
    outlives("slow", "status 504").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_garbage() {
    outlives("garbage", "no usable key set").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_has_no_keys_there() {
    outlives("404", "status 404").await;
}

/// Where it leads there is a good set: it is not followed.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_redirects() {
    outlives("redirect", "status 302").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_answers_ten_megabytes() {
    outlives("10mb", "no usable key set").await;
}
