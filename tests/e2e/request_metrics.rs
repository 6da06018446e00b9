//! What Envoy's stats say of requests beside their decisions: by rule, by limit, tokens that were remembered, and how many
//! wait.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{
    documentation::stats_tags,
    harness::{
        endless::Endless,
        gateway::{Gateway, Wire, gateway},
        idp::until,
        issuer::token,
        policy::{anyone, merge, provider, rule, with_token},
        request::{Request, get, post},
    },
};

/// Of whatever names may have, and as Prometheus gets it: dots at the end would be lost.
const ODD: [&str; 2] = ["..orders:read/all@v1.x__y-z._rule.", "..orders:read/all@v1.x__y-z._rule_"];

fn policy(members: Value) -> Value {
    let mut limited = rule("limited", "Exact", "/limited", anyone());
    limited["rateLimits"] = json!(["wide", "narrow.one"]);
    let limit = |name: &str, requests: u32| json!({"name": name, "key": ["route"], "limits": [{"requests": requests, "unit": "Hour"}]});
    let mut policy = json!({
        "jwt": {"providers": [provider()]},
        "rateLimits": [limit("wide", 1000), limit("narrow.one", 4), limit("unused", 1)],
        "rules": [
            rule("open", "Exact", "/open", anyone()),
            rule(ODD[0], "Exact", "/odd", with_token()),
            rule(&"long".repeat(32), "Exact", "/long", anyone()),
            limited,
        ],
        "defaultAction": "Deny",
    });
    merge(&mut policy, members);
    policy
}

/// What Prometheus is given of `metric`, by its labels.
async fn shown(gateway: &Gateway, metric: &str) -> BTreeMap<String, u64> {
    let stats = gateway.admin().text("/stats/prometheus").await;
    let read = |line: &str| {
        let (labels, value) = line.strip_prefix(metric)?.strip_prefix('{')?.rsplit_once("} ")?;
        Some((labels.to_owned(), value.parse().ok()?))
    };
    stats.lines().filter_map(read).collect()
}

/// Counts are handed on every 250 ms, by each worker.
async fn handed_on() {
    tokio::time::sleep(Duration::from_secs(1)).await;
}

fn of_rule(decision: &str, reason: &str, rule: &str) -> String {
    format!("decision=\"{decision}\",reason=\"{reason}\",rule=\"{rule}\"")
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rules_decisions_are_counted_over_all_workers() {
    let policy = policy(json!({"metrics": {"byRule": true}}));
    let gateway = gateway(&policy).workers(2).stats_tags(stats_tags()).start().await;
    let (alice, forged) = (token("alice").sign(), token("alice").forged().sign());
    let long = "long".repeat(16);
    let all = [
        (get("/open"), 3, of_rule("allow", "none", "open")),
        (get("/odd").bearer(&alice), 4, of_rule("allow", "none", ODD[1])),
        (get("/odd").bearer(&forged), 2, of_rule("deny", "token_signature", ODD[1])),
        (get("/odd"), 1, of_rule("deny", "credentials_missing", ODD[1])),
        (get("/long"), 1, of_rule("allow", "none", &long)),
        (post("/nowhere"), 2, of_rule("deny", "no_rule", "none")),
        (get("/open/%2f"), 1, of_rule("deny", "ambiguous_path", "none")),
    ];
    for (asked, eights, _) in &all {
        for _ in 0..*eights {
            gateway.send_eight(asked).await;
        }
    }
    // Four of them pass.
    gateway.send_eight(&get("/limited")).await;
    assert_eq!(gateway.send_over(Wire::Plain, &get("/open")).await.status, 403);
    handed_on().await;
    let mut expected: BTreeMap<String, u64> =
        all.into_iter().map(|(_, eights, labels)| (labels, eights * 8)).collect();
    expected.insert(of_rule("allow", "none", "limited"), 4);
    expected.insert(of_rule("deny", "rate_limited", "limited"), 4);
    expected.insert(of_rule("deny", "tls_required", "none"), 1);
    assert_eq!(shown(&gateway, "portcullis_rule_decisions").await, expected);
    let narrow = BTreeMap::from([("limit=\"narrow.one\"".to_owned(), 4)]);
    assert_eq!(shown(&gateway, "portcullis_limit_hits").await, narrow);
    // Whatever worker is asked first has to verify a token; one that is forged is never remembered.
    let tokens = shown(&gateway, "portcullis_token_cache").await;
    let (hits, misses) = (tokens["result=\"hit\""], tokens["result=\"miss\""]);
    assert_eq!(hits + misses, 48, "{tokens:?}");
    assert!((17..=18).contains(&misses), "{tokens:?}");
    // Those of before are what they were.
    let requests = shown(&gateway, "portcullis_requests").await;
    assert_eq!(requests["decision=\"allow\",reason=\"none\""], 68);
    assert_eq!(requests["decision=\"deny\",reason=\"no_rule\""], 16);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_defined_for_what_is_not_asked_for_and_does_not_happen() {
    for members in [json!({}), json!({"metrics": {"byRule": false}})] {
        let gateway = gateway(&policy(members)).stats_tags(stats_tags()).start().await;
        for asked in [get("/open"), post("/nowhere"), get("/limited")] {
            gateway.send(&asked).await;
        }
        handed_on().await;
        let stats = gateway.admin().stats().await;
        let none = |name: &str| stats.keys().all(|key| !key.contains(name));
        assert!(none("portcullis_rule_decisions") && none("portcullis_limit_hits"), "{stats:?}");
        assert_eq!(stats.get("wasmcustom.portcullis_requests._decision=allow_._reason=none_"), Some(&2));
        assert_eq!(stats.get("wasmcustom.portcullis_requests_waiting"), Some(&0));
    }
}

/// With more pairs of rules and reasons than are told apart, none is lost.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_much_is_counted_as_of_others() {
    let rules: Vec<Value> =
        (0..1100).map(|n| rule(&format!("r{n}"), "Exact", &format!("/r{n}"), anyone())).collect();
    let policy = json!({"metrics": {"byRule": true}, "rules": rules, "defaultAction": "Deny"});
    let gateway = gateway(&policy).https_only().stats_tags(stats_tags()).start().await;
    let requests: Vec<Request> = (0..1100).map(|n| get(&format!("/r{n}"))).collect();
    let connection = gateway.http2().await;
    let mut asked = JoinSet::new();
    for some in requests.chunks(110) {
        let (mut connection, some) = (connection.clone(), some.to_vec());
        asked.spawn(async move {
            for request in &some {
                assert_eq!(connection.send(request).await.unwrap().status, 200, "{request:?}");
            }
        });
    }
    asked.join_all().await;
    handed_on().await;
    let counted = shown(&gateway, "portcullis_rule_decisions").await;
    assert_eq!(counted.len(), 1001);
    assert_eq!(counted[&of_rule("allow", "none", "other")], 100);
    assert_eq!(counted.values().sum::<u64>(), 1100);
}

/// Those that both workers have, and none when they were answered.
#[tokio::test(flavor = "multi_thread")]
async fn requests_that_wait_are_told_over_all_workers() {
    let issuer = Endless::start(false).await;
    let policy = json!({
        "jwt": {"providers": [{"name": "opaque", "issuer": "https://as.test", "audiences": ["api"],
            "introspection": {"endpoint": "https://as.test/unanswered", "cluster": "as", "clientId": "a",
                "clientSecret": "b", "timeout": "4s"}}]},
        "rules": [rule("opaque", "Exact", "/opaque", json!({"authenticate": {"anyOf": [{"jwt": "opaque"}]}}))],
        "defaultAction": "Deny",
    });
    let gateway = gateway(&policy).workers(2).cluster("as", issuer.address).start().await;
    let waiting = async || gateway.admin().stat("wasmcustom.portcullis_requests_waiting").await;
    assert_eq!(waiting().await, 0);
    let asked = get("/opaque").bearer("abc");
    let all = async { tokio::join!(gateway.send_eight(&asked), gateway.send_eight(&asked)) };
    let seen = async { until(Duration::from_secs(3), async || waiting().await == 16).await };
    let ((first, second), _) = tokio::join!(all, seen);
    for answer in first.iter().chain(&second) {
        assert_eq!(answer.reason().as_deref(), Some("introspection_unavailable"), "{answer:?}");
    }
    until(Duration::from_secs(3), async || waiting().await == 0).await;
}
