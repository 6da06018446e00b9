//! How often keys are used: the sum over workers and gateways in a real etcd, and lines of the log.

use std::{
    collections::BTreeMap,
    process::Command,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{
    api_key_hash,
    etcd::Etcd,
    gateway::{Gateway, Wire, gateway},
    idp::until,
    policy::{api_key, api_key_entry, rule, with_api_key},
    request::get,
};

fn policy(etcd: &Etcd, usage: Value) -> Value {
    json!({
        "apiKeys": {
            "keys": [api_key_entry("in-file", json!({}))],
            "etcd": {"uri": etcd.url(), "cluster": "etcd"},
            "usage": usage,
        },
        "rules": [
            rule("open", "Exact", "/open", with_api_key()),
            rule("roles", "Exact", "/roles", json!({
                "authenticate": {"anyOf": ["apiKey"]}, "authorize": {"scopes": ["all"]},
            })),
        ],
    })
}

fn put(etcd: &Etcd, name: &str, more: &[(&str, Value)]) {
    let mut entry = json!({"hash": api_key_hash(&api_key(name))});
    more.iter().for_each(|(field, value)| entry[field] = value.clone());
    etcd.ctl(&["put", &format!("/portcullis/v1/keys/{name}"), &entry.to_string()]);
}

async fn start(etcd: &Etcd, usage: Value) -> Gateway {
    let address = format!("127.0.0.1:{}", etcd.port).parse().unwrap();
    gateway(&policy(etcd, usage)).watched().cluster("etcd", address).https_only().workers(2).start().await
}

/// Asks until both workers know the keys, which each looks after a few times in a second; the uses that this takes.
async fn ready(gateway: &Gateway, name: &str) -> u64 {
    let began = Instant::now();
    let (mut uses, mut alike) = (0, 0);
    while alike < 3 {
        let answers = gateway.send_eight(&get("/open").api_key(&api_key(name))).await;
        let passed = answers.iter().filter(|answer| answer.status == 200).count();
        uses += u64::try_from(passed).unwrap();
        alike = if passed == answers.len() { alike + 1 } else { 0 };
        assert!(began.elapsed() < Duration::from_secs(20), "{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    uses
}

fn list(etcd: &Etcd, arguments: &[&str]) -> BTreeMap<String, Value> {
    let store = format!("{}/portcullis/", etcd.url());
    let mut all = vec!["key", "list", "--output", "json"];
    all.extend(arguments);
    if !arguments.contains(&"--store") {
        all.extend(["--store", &store]);
    }
    let done = Command::new(env!("CARGO_BIN_EXE_portcullis")).args(all).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let keys: Vec<Value> = serde_json::from_slice(&done.stdout).unwrap();
    keys.into_iter().map(|key| (key["id"].as_str().unwrap().to_owned(), key)).collect()
}

async fn uses_become(etcd: &Etcd, id: &str, expected: u64, gateways: &[&Gateway]) {
    let began = Instant::now();
    loop {
        let noted = list(etcd, &[])[id]["uses"].as_u64().unwrap();
        assert!(noted <= expected, "{id}: {noted} of {expected}");
        if noted == expected {
            return;
        }
        let logs = || gateways.iter().map(|gateway| gateway.log()).collect::<String>();
        assert!(began.elapsed() < Duration::from_secs(30), "{id}: {noted} of {expected}\n{}", logs());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn send(gateway: &Gateway, times: u64, path: &str, name: &str, expected: u16) {
    let requests = vec![get(path).api_key(&api_key(name)); usize::try_from(times).unwrap()];
    for answer in gateway.send_all(Wire::Http1, &requests).await {
        assert_eq!(answer.status, expected, "{path} {name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_uses_on_all_gateways_are_one_sum() {
    const INTERVAL: u64 = 5;
    let etcd = Etcd::start();
    put(&etcd, "hot", &[]);
    put(&etcd, "cold", &[]);
    put(&etcd, "off", &[("disabled", json!(true))]);
    let usage = json!({"to": "Etcd", "interval": format!("{INTERVAL}s")});
    let began = Instant::now();
    let gateways = [start(&etcd, usage.clone()).await, start(&etcd, usage).await];
    let mut sent = 1000;
    for gateway in &gateways {
        // Those that were refused before the keys were read are no uses.
        sent += ready(gateway, "hot").await + 3;
        send(gateway, 3, "/roles", "hot", 403).await;
        send(gateway, 3, "/open", "off", 401).await;
        send(gateway, 3, "/open", "nobody", 401).await;
        send(gateway, 3, "/open", "in-file", 200).await;
    }
    let [first, second] = &gateways;
    tokio::join!(
        send(first, 250, "/open", "hot", 200),
        send(first, 250, "/open", "hot", 200),
        send(second, 250, "/open", "hot", 200),
        send(second, 250, "/open", "hot", 200),
    );
    uses_become(&etcd, "hot", sent, &[first, second]).await;
    tokio::time::sleep(Duration::from_secs(INTERVAL + 2)).await;
    let keys = list(&etcd, &[]);
    assert_eq!(keys["hot"]["uses"], sent, "nothing counts twice");
    assert_eq!((&keys["cold"]["uses"], &keys["off"]["uses"]), (&json!(0), &json!(0)));
    assert!(keys["cold"].get("lastUsedAt").is_none() && keys["hot"]["lastUsedAt"].is_string());

    // What it cost: each worker wrote the entry once in an interval at most, and no key was touched.
    let version = |name: &str| {
        let told = etcd.ctl(&["get", &format!("/portcullis/v1/{name}"), "--write-out", "json"]);
        serde_json::from_str::<Value>(&told).unwrap()["kvs"][0]["version"].as_u64().unwrap()
    };
    let intervals = began.elapsed().as_secs() / INTERVAL + 1;
    println!("{sent} uses in {} writes, {intervals} intervals of 4 workers", version("used/hot"));
    assert!(version("used/hot") <= 4 * intervals);
    assert_eq!((version("keys/hot"), version("keys/cold"), version("keys/off")), (1, 1, 1));

    // What to revoke.
    let unused: Vec<_> = list(&etcd, &["--unused", "1h"]).into_keys().collect();
    assert_eq!(unused, ["cold", "off"]);
    assert_eq!(list(&etcd, &["--unused", "0s"]).len(), 3);
    put(&etcd, "off", &[("revokedAt", json!("2026-01-01T00:00:00Z"))]);
    assert_eq!(list(&etcd, &["--unused", "1h"]).into_keys().collect::<Vec<_>>(), ["cold"]);

    // Keys of a file, whose uses are in etcd.
    let file = tempfile::NamedTempFile::with_suffix(".json").unwrap();
    std::fs::write(file.path(), policy(&etcd, json!({"to": "Etcd"})).to_string()).unwrap();
    let uses = format!("{}/portcullis/", etcd.url());
    let keys = list(&etcd, &["--store", file.path().to_str().unwrap(), "--uses", &uses]);
    assert_eq!(keys["in-file"]["uses"], 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_while_etcd_is_gone_is_written_later() {
    let mut etcd = Etcd::start();
    put(&etcd, "k", &[]);
    let gateway = start(&etcd, json!({"to": "Etcd", "interval": "2s"})).await;
    let sent = ready(&gateway, "k").await;
    uses_become(&etcd, "k", sent, &[&gateway]).await;
    etcd.stop();
    let began = Instant::now();
    let mut more = 0;
    while began.elapsed() < Duration::from_secs(7) {
        send(&gateway, 10, "/open", "k", 200).await;
        more += 10;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(gateway.log().contains("uses of API keys: "), "{}", gateway.log());
    etcd.restart();
    uses_become(&etcd, "k", sent + more, &[&gateway]).await;
}

/// Those beyond the bound are one number, which no key has a part in.
#[tokio::test(flavor = "multi_thread")]
async fn uses_of_more_keys_than_are_counted_apart_are_told_together() {
    /// As docs/policy.md has it, of one worker.
    const APART: usize = 16_384;
    const OTHERS: usize = 30;
    let name = |n: usize| format!("k{n}");
    let keys = (0..APART + OTHERS).map(|n| api_key_entry(&name(n), json!({})));
    let mut policy = json!({
        "apiKeys": {"keys": keys.collect::<Value>(), "usage": {"to": "Log", "interval": "1h"}},
        "rules": [rule("open", "Exact", "/open", with_api_key())],
    });
    let gateway = gateway(&policy).watched().https_only().start().await;
    let mut connection = gateway.http1();
    for n in (0..APART + OTHERS).chain(0..5) {
        let answer = connection.send(&get("/open").api_key(&api_key(&name(n)))).await.unwrap();
        assert_eq!(answer.status, 200, "{n}");
    }
    policy["realm"] = "next".into();
    assert!(gateway.change_policy(&policy.to_string()).await);
    let said = format!("{{\"keysUsed\":{{}},\"others\":{OTHERS}}}");
    until(Duration::from_secs(60), async || gateway.log().contains(&said)).await;
    let told = told(&gateway.log());
    assert_eq!((told.len(), told.values().sum::<u64>()), (APART, u64::try_from(APART).unwrap() + 5));
    assert!(!told.contains_key(&name(APART)) && told[&name(0)] == 2);
}

/// The uses in the lines of a log, by key.
fn told(log: &str) -> BTreeMap<String, u64> {
    let mut sums = BTreeMap::new();
    for line in log.lines().filter_map(|line| line.find("{\"keysUsed\"").and_then(|at| line.get(at..))) {
        let line: Value = serde_json::Deserializer::from_str(line).into_iter().next().unwrap().unwrap();
        for (id, uses) in line["keysUsed"].as_object().unwrap() {
            *sums.entry(id.clone()).or_default() += uses["uses"].as_u64().unwrap();
        }
    }
    sums
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_has_uses_and_what_is_left_of_a_policy_that_ends() {
    for (usage, is_soon) in [
        (json!({"to": "Log", "interval": "1s"}), true),
        (json!({"to": "Log", "interval": "1h"}), false),
        (json!({"to": "Etcd", "interval": "1h"}), false),
    ] {
        let etcd = Etcd::start();
        put(&etcd, "k", &[]);
        let gateway = start(&etcd, usage.clone()).await;
        let expected = ready(&gateway, "k").await + 20;
        send(&gateway, 20, "/open", "k", 200).await;
        send(&gateway, 3, "/open", "in-file", 200).await;
        if !is_soon {
            assert_eq!(told(&gateway.log()), BTreeMap::new());
            let mut next = policy(&etcd, usage.clone());
            next["realm"] = "next".into();
            assert!(gateway.change_policy(&next.to_string()).await);
        }
        let began = Instant::now();
        let expected = BTreeMap::from([("k".to_owned(), expected), ("in-file".to_owned(), 3)]);
        while told(&gateway.log()) != expected {
            assert!(began.elapsed() < Duration::from_secs(15), "{usage}: {}", gateway.log());
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert!(!gateway.log().contains(&api_key("k")));
    }
}
