//! What decides beside what is in force, in Envoy: clients and upstreams notice nothing, operators are told.

use std::{fs, time::Duration};

use serde_json::{Value, json};

use crate::{
    documentation::stats_tags,
    harness::{
        gateway::{Gateway, gateway},
        issuer::token,
        policy::{anyone, api_key, api_key_entry, merge, provider, rule, with_api_key, with_token},
        request::{Request, get},
    },
    offline::{command, records},
};

fn policy(members: Value) -> Value {
    let mut keys = rule("keys", "PathPrefix", "/keys", with_api_key());
    keys["rateLimits"] = json!(["now", "next"]);
    let limit = |name: &str, requests: u32| json!({"name": name, "key": ["principal"], "limits": [{"requests": requests, "unit": "Hour"}]});
    let mut next = limit("next", 2);
    next["shadow"] = true.into();
    let mut policy = json!({
        "apiKeys": {"keys": [api_key_entry("reader", json!({}))]},
        "rateLimits": [limit("now", 4), next],
        "rateLimitHeaders": "Always",
        "rules": [keys],
    });
    merge(&mut policy, members);
    policy
}

/// What Prometheus is given, with the tags that README.md shows.
async fn counted(gateway: &Gateway, outcome: &str, reason: &str) -> u64 {
    // Counts are handed on every 250 ms.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let stats = gateway.admin().text("/stats/prometheus?filter=portcullis_shadow").await;
    let name = format!("portcullis_shadow_decisions{{outcome=\"{outcome}\",reason=\"{reason}\"}} ");
    let count = stats.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok());
    count.unwrap_or_else(|| panic!("no {name}in {stats}"))
}

/// What the records in the log say of shadows, with how many requests each stands for, and at which level.
fn recorded(gateway: &Gateway) -> Vec<Value> {
    let log = gateway.log();
    let records = log.lines().filter_map(|line| Some(line.split_at(line.find("{\"decision\":")?)));
    let told = records.map(|(before, record)| {
        let mut record: Value = serde_json::from_str(record).unwrap();
        record["level"] = before.contains("[warning]").into();
        record
    });
    told.filter(|record| record.get("shadow").is_some()).collect()
}

fn key(path: &str) -> Request {
    get(path).api_key(&api_key("reader"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_in_the_shadow_is_seen_by_operators_alone() {
    let gateway = gateway(&policy(json!({}))).stats_tags(stats_tags()).start().await;
    for n in 0..6 {
        let answer = gateway.send(&key("/keys")).await;
        assert_eq!(answer.status, if n < 4 { 200 } else { 429 }, "{answer:?}");
        let told = answer.header("ratelimit-policy").unwrap_or_default();
        assert!(told.contains("\"now\"") && !told.contains("next"), "{told}");
    }
    let told = recorded(&gateway);
    assert_eq!(told.len(), 1, "{told:?}");
    for (name, expected) in [
        ("decision", json!("allow")),
        ("shadow", json!("would_deny")),
        ("shadowReason", json!("rate_limited")),
        ("shadowLimit", json!("next")),
        ("principal", json!("reader")),
        ("level", json!(true)),
    ] {
        assert_eq!(told[0][name], expected, "{told:?}");
    }
    assert_eq!(counted(&gateway, "would_deny", "rate_limited").await, 2);
}

/// Rules in force, and a shadow of each.
fn with_shadows() -> Value {
    let mut keys = rule("keys", "PathPrefix", "/keys", with_api_key());
    keys["shadow"] = json!({"authorize": {"scopes": ["read"]}});
    let mut tokens = rule("tokens", "PathPrefix", "/tokens", with_token());
    tokens["shadow"] = with_api_key();
    let mut open = rule("open", "PathPrefix", "/open", anyone());
    open["shadow"] = json!({"action": "Deny"});
    let mut closed = rule("closed", "PathPrefix", "/closed", json!({"action": "Deny"}));
    closed["shadow"] = json!({"action": "Allow", "authenticate": {"anonymous": true}});
    json!({
        "jwt": {"providers": [provider()]},
        "apiKeys": {"keys": [
            api_key_entry("reader", json!({"scopes": ["read"]})),
            api_key_entry("writer", json!({})),
        ]},
        "decisionLog": {"allowed": true, "denied": "All"},
        "rules": [keys, tokens, open, closed],
    })
}

/// The same rules as the shadows of [`with_shadows`] are, as a list.
fn with_next() -> Value {
    let mut policy = with_shadows();
    let mut next = policy["rules"].clone();
    for (in_force, next) in
        policy["rules"].as_array_mut().unwrap().iter_mut().zip(next.as_array_mut().unwrap())
    {
        in_force.as_object_mut().unwrap().remove("shadow");
        let shadow = next.as_object_mut().unwrap().remove("shadow").unwrap();
        if shadow["action"] == "Deny" {
            next.as_object_mut().unwrap().remove("authenticate");
        }
        merge(next, shadow);
        next["name"] = format!("next-{}", next["name"].as_str().unwrap()).into();
    }
    policy["shadow"] = json!({"rules": next});
    policy
}

/// What is asked, as it is sent and for the command; the decision, and what the shadow says of it.
fn asked() -> Vec<(Request, Value, Option<&'static str>, [Value; 2])> {
    let deny = |reason: &str| [json!("would_deny"), json!(reason)];
    let (allow, agreed) = ([json!("would_allow"), Value::Null], [Value::Null, Value::Null]);
    let with_key = |path: &str, key: &str| {
        (get(path).api_key(&api_key(key)), json!({"url": format!("https://localhost{path}"), "apiKey": key}))
    };
    let bare = |path: &str| (get(path), json!({"url": format!("https://localhost{path}")}));
    let alice = (
        get("/tokens").bearer(&token("alice").sign()),
        json!({"url": "https://localhost/tokens", "token": "alice"}),
    );
    let rows = [
        (with_key("/keys", "reader"), None, agreed.clone()),
        (with_key("/keys", "writer"), None, deny("insufficient_scope")),
        (bare("/keys"), Some("credentials_missing"), agreed.clone()),
        (alice, None, deny("credentials_missing")),
        (with_key("/tokens", "reader"), Some("credentials_missing"), allow.clone()),
        (bare("/open"), None, deny("rule_denied")),
        (bare("/closed"), Some("rule_denied"), allow),
        (bare("/nowhere"), Some("no_rule"), agreed),
    ];
    rows.into_iter().map(|((sent, case), reason, told)| (sent, case, reason, told)).collect()
}

/// Envoy, `portcullis test` and `portcullis explain` say the same of each request, and so do shadows of rules and a list of
/// the same rules.
#[tokio::test(flavor = "multi_thread")]
async fn rules_in_the_shadow_decide_beside_and_commands_say_how() {
    for (policy, is_list) in [(with_shadows(), false), (with_next(), true)] {
        let gateway = gateway(&policy).https_only().workers(1).stats_tags(stats_tags()).start().await;
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("policy.json"), policy.to_string()).unwrap();
        let mut cases = Vec::new();
        for (sent, case, reason, [outcome, why]) in asked() {
            let before = gateway.log().len();
            let answer = gateway.send(&sent).await;
            assert_eq!(answer.reason().as_deref(), reason, "{sent:?}");
            let told = records(&gateway, before);
            let told = told.last().expect("each request has a record");
            assert_eq!((&told["shadow"], &told["shadowReason"]), (&outcome, &why), "{told}");
            let rule = told["rule"].as_str().map(|rule| format!("next-{rule}"));
            let rule = rule.filter(|_| is_list && !outcome.is_null());
            assert_eq!(told["shadowRule"].as_str(), rule.as_deref(), "{told}");
            let mut expect =
                json!({"decision": if reason.is_some() { "Deny" } else { "Allow" }, "shadow": outcome});
            if let Some(why) = why.as_str() {
                expect["shadowReason"] = why.into();
            }
            cases.push(json!({"name": case["url"], "request": case, "expect": expect}));
        }
        let tokens = json!({"alice": {"provider": "test", "claims": {"sub": "alice"}}});
        let suite = json!({"policy": "policy.json", "tokens": tokens, "cases": cases});
        fs::write(folder.path().join("suite.json"), suite.to_string()).unwrap();
        let tested = command(folder.path(), &["test", "suite.json"]);
        assert!(tested.status.success(), "{}", String::from_utf8_lossy(&tested.stdout));
        let url = "https://localhost/keys";
        let told = command(
            folder.path(),
            &["explain", "-p", "policy.json", "--output", "json", url, "--api-key", "writer"],
        );
        let told: Value = serde_json::from_slice(&told.stdout).unwrap();
        assert_eq!(told["record"]["shadow"], "would_deny");
        assert_eq!(counted(&gateway, "would_deny", "credentials_missing").await, 1);
        assert_eq!(counted(&gateway, "would_allow", "rule_denied").await, 1);
    }
}

/// What a client and an upstream get does not show whether there is a shadow.
#[tokio::test(flavor = "multi_thread")]
async fn clients_and_upstreams_see_no_shadow() {
    let mut plain = with_next();
    plain.as_object_mut().unwrap().remove("shadow");
    let mut seen = Vec::new();
    for policy in [plain, with_shadows(), with_next()] {
        let gateway = gateway(&policy).https_only().workers(1).start().await;
        let mut answers = Vec::new();
        for (sent, ..) in asked() {
            let answer = gateway.send(&sent).await;
            let upstream = (answer.status == 200).then(|| {
                let seen = answer.seen();
                // Envoy's own, which is another for each request.
                let names = seen.header_names().into_iter().filter(|name| *name != "x-request-id");
                names.map(|name| format!("{name}: {:?}", seen.header(name))).collect::<Vec<_>>()
            });
            answers.push((answer.status, answer.reason(), upstream));
        }
        seen.push(answers);
    }
    assert_eq!(seen[0], seen[1]);
    assert_eq!(seen[0], seen[2]);
}

/// Where there is none, no counter is defined.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_without_a_shadow_has_no_counter_of_them() {
    let none = policy(json!({"rateLimits": [
        {"name": "now", "key": ["principal"], "limits": [{"requests": 4, "unit": "Hour"}]},
        {"name": "next", "key": ["principal"], "limits": [{"requests": 2, "unit": "Hour"}]},
    ]}));
    let gateway = gateway(&none).start().await;
    assert_eq!(gateway.send(&key("/keys")).await.status, 200);
    let stats = gateway.admin().stats().await;
    assert!(!stats.keys().any(|name| name.contains("portcullis_shadow")));
}
