//! The life of keys, led by the command and seen by clients of both workers.

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{
    gateway::{Gateway, gateway},
    policy::{api_key_entry, rule, with_api_key},
    request::{Request, get},
};

/// A policy's file that operators change, and a gateway that is given it after each change.
struct Fleet {
    gateway: Gateway,
    policy: PathBuf,
    _directory: tempfile::TempDir,
}

impl Fleet {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let policy = directory.path().join("policy.json");
        let document = json!({
            "apiKeys": {
                "levels": {"Read": {"permissions": ["orders:read"]}, "Write": {"permissions": ["orders:write"]}},
                "keys": [api_key_entry("bystander", json!({"level": "Read"}))],
            },
            "rules": [
                rule("open", "Exact", "/open", with_api_key()),
                rule("read", "Exact", "/read", json!({
                    "authenticate": {"anyOf": ["apiKey"]}, "authorize": {"permissions": ["orders:read"]},
                })),
            ],
        });
        let gateway = gateway(&document).watched().https_only().workers(2).start().await;
        std::fs::write(&policy, format!("{document:#}\n")).unwrap();
        Self { gateway, policy, _directory: directory }
    }

    /// Runs `portcullis key` and gives the gateway what became of the policy.
    async fn key(&self, arguments: &[&str]) -> Value {
        let before = std::fs::read_to_string(&self.policy).unwrap();
        let done = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .arg("key")
            .args(arguments)
            .args(["--output", "json", "--store"])
            .arg(&self.policy)
            .output()
            .unwrap();
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        let policy = std::fs::read_to_string(&self.policy).unwrap();
        assert!(policy == before || self.gateway.change_policy(&policy).await, "{arguments:?}");
        serde_json::from_slice(&done.stdout).unwrap()
    }

    /// The one answer of both workers, each asked a few times.
    async fn answer(&self, request: &Request) -> (u16, String) {
        let asked = self.gateway.send_eight(request).await;
        let mut answers: Vec<_> =
            asked.into_iter().map(|answer| (answer.status, answer.reason().unwrap_or_default())).collect();
        answers.dedup();
        assert_eq!(answers.len(), 1, "{answers:?}");
        answers.remove(0)
    }

    async fn is(&self, path: &str, made: &Value, expected: (u16, &str)) {
        let answer = self.answer(&get(path).api_key(made["key"].as_str().unwrap())).await;
        assert_eq!((answer.0, answer.1.as_str()), expected, "{path} {}", made["id"]);
    }
}

const PASSES: (u16, &str) = (200, "");
const INVALID: (u16, &str) = (401, "api_key_invalid");
const EXPIRED: (u16, &str) = (401, "api_key_expired");
const RESTRICTED: (u16, &str) = (403, "api_key_restricted");

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_made_used_changed_and_revoked() {
    let fleet = Fleet::start().await;
    let made = fleet.key(&["new", "--id", "orders", "--level", "Write"]).await;
    fleet.is("/open", &made, PASSES).await;
    fleet.is("/read", &made, (403, "insufficient_permission")).await;
    fleet.key(&["set", "orders", "--level", "Read"]).await;
    fleet.is("/read", &made, PASSES).await;
    // Nobody has such a key, and whoever mistypes one is told no more.
    let mut mistyped = made.clone();
    mistyped["key"] = json!(made["key"].as_str().unwrap().replace("_orders_", "_orderz_"));
    fleet.is("/open", &mistyped, INVALID).await;

    fleet.key(&["disable", "orders"]).await;
    fleet.is("/open", &made, INVALID).await;
    fleet.key(&["enable", "orders"]).await;
    fleet.is("/open", &made, PASSES).await;
    fleet.key(&["revoke", "orders"]).await;
    fleet.is("/open", &made, INVALID).await;
    let log = fleet.gateway.log();
    for reason in ["api_key_unknown", "api_key_disabled", "api_key_revoked"] {
        assert!(log.contains(&format!("\"reason\":\"{reason}\"")), "{reason}: {log}");
    }
    assert!(!log.contains(made["key"].as_str().unwrap()) && !log.contains(mistyped["key"].as_str().unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_a_key_is_rotated_both_work_and_then_the_new_one() {
    const OVERLAP: Duration = Duration::from_secs(5);
    let fleet = Fleet::start().await;
    let old = fleet.key(&["new", "--id", "old", "--level", "Read"]).await;
    fleet.is("/read", &old, PASSES).await;
    let began = Instant::now();
    let new = fleet.key(&["rotate", "old", "--overlap", "5s", "--new-id", "new"]).await;
    fleet.is("/read", &old, PASSES).await;
    fleet.is("/read", &new, PASSES).await;
    tokio::time::sleep((OVERLAP + Duration::from_secs(1)).saturating_sub(began.elapsed())).await;
    fleet.is("/read", &old, EXPIRED).await;
    fleet.is("/read", &new, PASSES).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_good_in_its_time_and_where_it_may_be_used() {
    let fleet = Fleet::start().await;
    let here = fleet.key(&["new", "--id", "here", "--remote-address", "127.0.0.0/8,::1"]).await;
    let elsewhere = fleet.key(&["new", "--id", "elsewhere", "--remote-address", "192.0.2.0/24"]).await;
    let host = fleet.key(&["new", "--id", "host", "--hostnames", "api.test,*.example"]).await;
    let later = fleet.key(&["new", "--id", "later", "--not-before", "1h"]).await;
    let short = fleet.key(&["new", "--id", "short", "--expires", "3s"]).await;
    fleet.is("/open", &here, PASSES).await;
    fleet.is("/open", &elsewhere, RESTRICTED).await;
    fleet.is("/open", &later, INVALID).await;
    for (authority, expected) in [
        ("api.test", PASSES),
        ("API.test:8443", PASSES),
        ("a.b.example", PASSES),
        ("other.test", RESTRICTED),
        ("example", RESTRICTED),
        ("api.test.other.test", RESTRICTED),
    ] {
        let request = get("/open").api_key(host["key"].as_str().unwrap()).authority(authority);
        let answer = fleet.answer(&request).await;
        assert_eq!((answer.0, answer.1.as_str()), expected, "{authority}");
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    fleet.is("/open", &short, EXPIRED).await;
    fleet.key(&["set", "elsewhere", "--unset", "remoteAddress"]).await;
    fleet.is("/open", &elsewhere, PASSES).await;
}
