//! Revocations in a real etcd, made and taken back by the command, and seen by clients of both workers.

use std::{
    process::Command,
    time::{Duration, Instant, SystemTime},
};

use serde_json::{Value, json};

use crate::harness::{
    etcd::Etcd,
    gateway::{Gateway, gateway},
    issuer::token,
    now,
    policy::{anyone, api_key, api_key_entry, provider, rule},
    request::{Answer, Request, get},
};

fn policy(etcd: &Etcd, place: Value) -> Value {
    let mut own = json!({"uri": etcd.url(), "cluster": "etcd"});
    own.as_object_mut().unwrap().extend(place.as_object().cloned().unwrap());
    let keys = [api_key_entry("good", json!({})), api_key_entry("other", json!({"client": "acme"}))];
    json!({
        "jwt": {"providers": [provider()]},
        "apiKeys": {"keys": keys},
        "revocation": {"etcd": own},
        "rules": [
            rule("open", "Exact", "/open", anyone()),
            rule("closed", "Exact", "/closed", json!({"authenticate": {"anyOf": [{"jwt": "test"}, "apiKey"]}})),
        ],
    })
}

async fn start(etcd: &Etcd, place: Value) -> Gateway {
    let address = format!("127.0.0.1:{}", etcd.port).parse().unwrap();
    let gateway = gateway(&policy(etcd, place)).cluster("etcd", address).grpc_cluster("etcd-grpc", address);
    gateway.https_only().workers(2).start().await
}

/// Until both workers answer so, each asked a few times.
async fn becomes(gateway: &Gateway, request: &Request, expected: (u16, &str)) {
    let (began, mut alike) = (Instant::now(), 0);
    let ask = || gateway.send(request);
    while alike < 3 {
        // At once: of connections that come one by one, one worker may take all.
        let answers: [_; 8] = tokio::join!(ask(), ask(), ask(), ask(), ask(), ask(), ask(), ask()).into();
        let is_so =
            |answer: &Answer| (answer.status, answer.reason().unwrap_or_default().as_str()) == expected;
        alike = if answers.iter().all(is_so) { alike + 1 } else { 0 };
        let log = || gateway.log();
        assert!(began.elapsed() < Duration::from_secs(20), "{answers:?}, not {expected:?}\n{}", log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const PASSES: (u16, &str) = (200, "");
const REVOKED: (u16, &str) = (401, "token_revoked");
const KEY_REVOKED: (u16, &str) = (401, "api_key_invalid");
const UNKNOWN: (u16, &str) = (503, "revocation_unavailable");

/// Runs `portcullis revocation` on what is below the prefix.
fn try_revocation(etcd: &Etcd, arguments: &[&str]) -> Result<Value, String> {
    let done = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .arg("revocation")
        .args(arguments)
        .args(["--output", "json", "--store", &format!("{}/portcullis/", etcd.url())])
        .output()
        .unwrap();
    match done.status.success() {
        true => Ok(serde_json::from_slice(&done.stdout).unwrap()),
        false => Err(String::from_utf8(done.stderr).unwrap()),
    }
}

fn revocation(etcd: &Etcd, arguments: &[&str]) -> Value {
    try_revocation(etcd, arguments).unwrap_or_else(|said| panic!("{arguments:?}: {said}"))
}

fn bearer(sub: &str, claim: &str, value: &str) -> Request {
    get("/closed").bearer(&token(sub).claim(claim, value).sign())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_command_revokes_and_takes_back_both_workers_heed() {
    let etcd = Etcd::start();
    let gateway = start(&etcd, json!({})).await;
    let (good, other) = (get("/closed").api_key(&api_key("good")), get("/closed").api_key(&api_key("other")));
    let rows = [
        (["--jti", "t 1/\u{fc}"], bearer("alice", "jti", "t 1/\u{fc}"), REVOKED),
        (["--sid", "s-1"], bearer("alice", "sid", "s-1"), REVOKED),
        (["--client-id", "c-1"], bearer("alice", "azp", "c-1"), REVOKED),
        (["--passkey", "cC0x"], bearer("alice", "credential", "cC0x"), REVOKED),
        (["--sub", "mallory"], bearer("mallory", "jti", "t-2"), REVOKED),
        (["--api-key", "good"], good, KEY_REVOKED),
        (["--client-id", "acme"], other, KEY_REVOKED),
    ];
    let stays = bearer("alice", "jti", "t-3");
    for (_, request, _) in &rows {
        becomes(&gateway, request, PASSES).await;
    }
    for (named, _, _) in &rows {
        let told = revocation(&etcd, &[&["add"], &named[..], &["--note", "stolen"]].concat());
        assert_eq!((&told["state"], &told["note"]), (&json!("revoked"), &json!("stolen")), "{told}");
    }
    for (_, request, refused) in &rows {
        becomes(&gateway, request, *refused).await;
    }
    becomes(&gateway, &stays, PASSES).await;
    becomes(&gateway, &get("/open"), PASSES).await;
    let listed = revocation(&etcd, &["list"]);
    assert_eq!(listed.as_array().unwrap().len(), rows.len(), "{listed}");
    for (named, request, _) in &rows {
        revocation(&etcd, &[&["undo"], &named[..]].concat());
        becomes(&gateway, request, PASSES).await;
    }
    assert_eq!(revocation(&etcd, &["list"]), json!([]));
    let refused = try_revocation(&etcd, &["undo", "--jti", "t-9"]).unwrap_err();
    assert!(refused.contains("no entry revokes the jti \"t-9\""), "{refused}");
    for wrong in [
        &["add"][..],
        &["add", "--jti", ""],
        &["add", "--jti", "a", "--sid", "b"],
        &["add", "--jti", "a", "--issued-before", "0s"],
        &["add", "--jti", "a", "--until", "2020-01-01T00:00:00Z"],
    ] {
        assert!(try_revocation(&etcd, wrong).is_err(), "{wrong:?}");
    }
    assert_eq!(etcd.everything(), "");
}

/// A subject's new tokens pass, and a token that has expired anyway need not be remembered.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_has_limits() {
    let etcd = Etcd::start();
    let gateway = start(&etcd, json!({})).await;
    let issued = |secs: i64| get("/closed").bearer(&token("mallory").claim("iat", secs).sign());
    let (before, after) = (issued(now() - 600), issued(now() - 5));
    let between = humantime::format_rfc3339_seconds(SystemTime::now() - Duration::from_secs(300)).to_string();
    let short = bearer("alice", "jti", "t-1");
    for request in [&before, &after, &short] {
        becomes(&gateway, request, PASSES).await;
    }
    revocation(&etcd, &["add", "--sub", "mallory", "--issued-before", &between]);
    revocation(&etcd, &["add", "--jti", "t-1", "--until", "5s", "--dry-run"]);
    becomes(&gateway, &before, REVOKED).await;
    becomes(&gateway, &after, PASSES).await;
    becomes(&gateway, &short, PASSES).await;
    revocation(&etcd, &["add", "--jti", "t-1", "--until", "5s"]);
    becomes(&gateway, &short, REVOKED).await;
    becomes(&gateway, &short, PASSES).await;
    let states = || {
        let listed = revocation(&etcd, &["list"]);
        let listed = listed.as_array().unwrap().iter();
        listed.map(|entry| entry["state"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(states(), ["over", "revoked"]);
    assert_eq!(revocation(&etcd, &["prune", "--dry-run"]).as_array().unwrap().len(), 1);
    assert_eq!(revocation(&etcd, &["prune"])[0]["jti"], "t-1");
    assert_eq!(states(), ["revoked"]);
    // Whoever revokes it again does not revoke less.
    revocation(&etcd, &["add", "--sub", "mallory", "--issued-before", "0s"]);
    becomes(&gateway, &after, REVOKED).await;
    revocation(&etcd, &["add", "--sub", "mallory"]);
    let told = revocation(&etcd, &["add", "--sub", "mallory", "--issued-before", "0s", "--until", "1h"]);
    assert_eq!((told.get("issuedBefore"), told.get("until")), (None, None), "{told}");
    becomes(&gateway, &after, REVOKED).await;
}

/// Nobody passes before it is known what is revoked; then etcd may come and go. Users log in, and the watch tells at once.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_is_known_whatever_becomes_of_etcd() {
    let mut etcd = Etcd::start();
    let (good, bad) = (bearer("alice", "jti", "t-1"), bearer("alice", "jti", "t-2"));
    revocation(&etcd, &["add", "--jti", "t-2"]);
    etcd.require_login("/portcullis/");
    etcd.stop();
    // Were it not for the watch, a change would take a minute.
    let place = json!({"user": "gateway", "password": "gateway-password", "watchCluster": "etcd-grpc",
        "pollInterval": "1m"});
    let gateway = start(&etcd, place).await;
    for _ in 0..3 {
        becomes(&gateway, &good, UNKNOWN).await;
        becomes(&gateway, &get("/open"), PASSES).await;
    }
    etcd.restart();
    becomes(&gateway, &good, PASSES).await;
    becomes(&gateway, &bad, REVOKED).await;
    let set = |jti: &str, value: Option<&str>| {
        let name = format!("/portcullis/v1/revocations/jti/{jti}");
        match value {
            Some(value) => etcd.ctl(&["put", &name, value]),
            None => etcd.ctl(&["del", &name]),
        }
    };
    // As any tool may write it.
    set("t-1", Some(""));
    becomes(&gateway, &good, REVOKED).await;
    set("t-1", None);
    becomes(&gateway, &good, PASSES).await;
    set("t-1", Some("{\"until\": \"soon\"}"));
    becomes(&gateway, &good, REVOKED).await;
    set("t-1", None);
    becomes(&gateway, &good, PASSES).await;
    etcd.stop();
    tokio::time::sleep(Duration::from_secs(3)).await;
    becomes(&gateway, &good, PASSES).await;
    becomes(&gateway, &bad, REVOKED).await;
    assert!(!gateway.log().contains("gateway-password"), "{}", gateway.log());
}
