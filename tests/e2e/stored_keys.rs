//! API keys in a real etcd, seen by clients of both workers.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{
    api_key_hash,
    etcd::Etcd,
    gateway::{Gateway, gateway},
    policy::{api_key, rule, with_api_key},
    request::get,
};

fn policy(etcd: &Etcd) -> Value {
    json!({
        "apiKeys": {
            "levels": {"Read": {"permissions": ["orders:read"]}},
            "etcd": {"uri": etcd.url(), "cluster": "etcd"},
        },
        "rules": [
            rule("open", "Exact", "/open", with_api_key()),
            rule("read", "Exact", "/read", json!({
                "authenticate": {"anyOf": ["apiKey"]}, "authorize": {"permissions": ["orders:read"]},
            })),
        ],
        "decisionLog": {"denied": "All"},
    })
}

struct Fleet {
    etcd: Etcd,
    gateway: Gateway,
}

impl Fleet {
    async fn start(etcd: Etcd) -> Self {
        let address = format!("127.0.0.1:{}", etcd.port).parse().unwrap();
        let gateway = gateway(&policy(&etcd)).cluster("etcd", address).https_only().workers(2).start().await;
        Self { etcd, gateway }
    }

    fn put(&self, name: &str, fields: Value) {
        put(&self.etcd, name, fields);
    }

    /// Until both workers answer so, each asked a few times.
    async fn becomes(&self, path: &str, key: &str, expected: (u16, &str)) -> Duration {
        let began = Instant::now();
        let mut alike = 0;
        while alike < 8 {
            let answer = self.gateway.send(&get(path).api_key(key)).await;
            let reason = answer.reason().unwrap_or_default();
            alike = if (answer.status, reason.as_str()) == expected { alike + 1 } else { 0 };
            assert!(
                began.elapsed() < Duration::from_secs(10),
                "{path}: {} {reason}, not {expected:?}\n{}",
                answer.status,
                self.gateway.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        began.elapsed()
    }
}

/// As another tool would write it.
fn put(etcd: &Etcd, name: &str, fields: Value) {
    let mut entry = json!({"hash": api_key_hash(&api_key(name))});
    entry.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap());
    etcd.ctl(&["put", &format!("/portcullis/v1/keys/{name}"), &entry.to_string()]);
}

const PASSES: (u16, &str) = (200, "");
const INVALID: (u16, &str) = (401, "api_key_invalid");

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_etcd_is_known_to_both_workers_soon() {
    let etcd = Etcd::start();
    put(&etcd, "first", json!({"level": "Read", "client": "acme"}));
    let fleet = Fleet::start(etcd).await;
    let first = api_key("first");
    fleet.becomes("/read", &first, PASSES).await;
    fleet.becomes("/open", &api_key("later"), INVALID).await;
    fleet.put("later", json!({}));
    fleet.becomes("/open", &api_key("later"), PASSES).await;
    fleet.becomes("/read", &api_key("later"), (403, "insufficient_permission")).await;
    fleet.put("later", json!({"level": "Read"}));
    fleet.becomes("/read", &api_key("later"), PASSES).await;
    fleet.put("later", json!({"disabled": true}));
    fleet.becomes("/open", &api_key("later"), INVALID).await;
    fleet.put("later", json!({"hostnames": ["other.test"]}));
    fleet.becomes("/open", &api_key("later"), (403, "api_key_restricted")).await;
    // What cannot be read is no key, and the log says why.
    fleet.put("later", json!({"hostname": ["other.test"]}));
    fleet.becomes("/open", &api_key("later"), INVALID).await;
    assert!(fleet.gateway.log().contains("hostname: unknown field"), "{}", fleet.gateway.log());
    fleet.etcd.ctl(&["del", "/portcullis/v1/keys/first"]);
    fleet.becomes("/open", &first, INVALID).await;
    assert!(!fleet.gateway.log().contains(&first));
}
