//! API keys in a real etcd, seen by clients of both workers.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{
    api_key_hash,
    etcd::Etcd,
    gateway::{Gateway, Wire, gateway},
    policy::{api_key, rule, with_api_key},
    request::{Answer, get},
};

pub(crate) fn policy(uri: &str, watch_cluster: Option<&str>) -> Value {
    let mut store = json!({"uri": uri, "cluster": "etcd"});
    if let Some(cluster) = watch_cluster {
        // Were it not for the watch, all would be slow.
        store["watchCluster"] = cluster.into();
        store["pollInterval"] = "3s".into();
    }
    json!({
        "apiKeys": {
            "levels": {"Read": {"permissions": ["orders:read"]}},
            "etcd": store,
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

pub(crate) struct Fleet {
    pub(crate) etcd: Etcd,
    pub(crate) gateway: Arc<Gateway>,
}

impl Fleet {
    async fn start(etcd: Etcd) -> Self {
        Self::start_with(etcd, None).await
    }

    async fn start_with(etcd: Etcd, watch_cluster: Option<&str>) -> Self {
        let policy = policy(&etcd.url(), watch_cluster);
        Self::start_by(etcd, &policy).await
    }

    pub(crate) async fn start_by(etcd: Etcd, policy: &Value) -> Self {
        let address = format!("127.0.0.1:{}", etcd.port).parse().unwrap();
        let gateway = gateway(policy)
            .cluster("etcd", address)
            .grpc_cluster("etcd-grpc", address)
            .https_only()
            .workers(2)
            .start()
            .await;
        Self { etcd, gateway: Arc::new(gateway) }
    }

    pub(crate) fn put(&self, name: &str, fields: Value) {
        put(&self.etcd, name, fields);
    }

    /// Until both workers answer so, each asked a few times.
    pub(crate) async fn becomes(&self, path: &str, key: &str, expected: (u16, &str)) -> Duration {
        becomes(&self.gateway, path, key, expected).await
    }
}

/// See [`Fleet::becomes`].
pub(crate) async fn becomes(gateway: &Gateway, path: &str, key: &str, expected: (u16, &str)) -> Duration {
    becomes_within(Duration::from_secs(10), gateway, path, key, expected).await
}

pub(crate) async fn becomes_within(
    within: Duration,
    gateway: &Gateway,
    path: &str,
    key: &str,
    expected: (u16, &str),
) -> Duration {
    let began = Instant::now();
    let mut alike = 0;
    let request = get(path).api_key(key);
    while alike < 3 {
        let answers = gateway.send_eight(&request).await;
        let is_so =
            |answer: &Answer| (answer.status, answer.reason().unwrap_or_default().as_str()) == expected;
        alike = if answers.iter().all(is_so) { alike + 1 } else { 0 };
        assert!(began.elapsed() < within, "{path}: {answers:?}, not {expected:?}\n{}", gateway.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    began.elapsed()
}

/// As another tool would write it.
pub(crate) fn put(etcd: &Etcd, name: &str, fields: Value) {
    etcd.ctl(&["put", &place(name), &entry(name, fields)]);
}

/// Where etcd has the key.
pub(crate) fn place(name: &str) -> String {
    format!("/portcullis/v1/keys/{name}")
}

pub(crate) fn entry(name: &str, fields: Value) -> String {
    let mut entry = json!({"hash": api_key_hash(&api_key(name))});
    entry.as_object_mut().unwrap().extend(fields.as_object().cloned().unwrap());
    entry.to_string()
}

pub(crate) const PASSES: (u16, &str) = (200, "");
pub(crate) const INVALID: (u16, &str) = (401, "api_key_invalid");

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

/// Runs `portcullis key` on what is below the prefix.
pub(crate) fn try_key(etcd: &Etcd, arguments: &[&str]) -> Result<Value, String> {
    let done = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .arg("key")
        .args(arguments)
        .args(["--output", "json", "--store", &format!("{}/portcullis/", etcd.url())])
        .output()
        .unwrap();
    match done.status.success() {
        true => Ok(serde_json::from_slice(&done.stdout).unwrap()),
        false => Err(String::from_utf8(done.stderr).unwrap()),
    }
}

fn key(etcd: &Etcd, arguments: &[&str]) -> Value {
    try_key(etcd, arguments).unwrap_or_else(|said| panic!("{arguments:?}: {said}"))
}

fn text(made: &Value) -> &str {
    made["key"].as_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_led_through_its_life_by_the_command() {
    let fleet = Fleet::start(Etcd::start()).await;
    let etcd = &fleet.etcd;
    let made = key(etcd, &["new", "--id", "orders", "--level", "Read", "--client", "acme"]);
    fleet.becomes("/read", text(&made), PASSES).await;
    let mistyped = text(&made).replace("_orders_", "_orderz_");
    fleet.becomes("/open", &mistyped, INVALID).await;
    key(etcd, &["disable", "orders"]);
    fleet.becomes("/open", text(&made), INVALID).await;
    key(etcd, &["enable", "orders"]);
    fleet.becomes("/open", text(&made), PASSES).await;
    key(etcd, &["set", "orders", "--remote-address", "192.0.2.0/24"]);
    fleet.becomes("/open", text(&made), (403, "api_key_restricted")).await;
    key(etcd, &["set", "orders", "--unset", "remoteAddress", "--hostnames", "other.test"]);
    fleet.becomes("/open", text(&made), (403, "api_key_restricted")).await;
    key(etcd, &["set", "orders", "--unset", "hostnames"]);
    fleet.becomes("/open", text(&made), PASSES).await;

    // Both work while they overlap, and then the new one.
    let new = key(etcd, &["rotate", "orders", "--overlap", "6s", "--new-id", "orders-2"]);
    fleet.becomes("/read", text(&new), PASSES).await;
    fleet.becomes("/read", text(&made), PASSES).await;
    fleet.becomes("/read", text(&made), (401, "api_key_expired")).await;
    fleet.becomes("/read", text(&new), PASSES).await;
    assert!(try_key(etcd, &["rotate", "orders", "--overlap", "1h"]).is_err());
    key(etcd, &["revoke", "orders-2"]);
    fleet.becomes("/read", text(&new), INVALID).await;
    assert!(try_key(etcd, &["enable", "orders-2"]).unwrap_err().contains("for good"));
    let short = key(etcd, &["new", "--expires", "3s"]);
    fleet.becomes("/open", text(&short), PASSES).await;
    fleet.becomes("/open", text(&short), (401, "api_key_expired")).await;

    let listed = key(etcd, &["list"]);
    let states: Vec<_> =
        listed.as_array().unwrap().iter().map(|key| key["state"].as_str().unwrap()).collect();
    assert_eq!(states.len(), 3, "{listed}");
    for refused in [
        &["new", "--id", "orders"][..],
        &["show", "nobody"],
        &["new", "--remote-address", "10.0.0.1/8"],
        &["new", "--level", "Wrong"],
    ] {
        assert!(try_key(etcd, refused).is_err(), "{refused:?}");
    }
    let everything = etcd.everything();
    for made in [&made, &new, &short] {
        let secret = text(made).rsplit('_').next().unwrap();
        assert!(!everything.contains(secret) && !fleet.gateway.log().contains(secret));
    }
}

/// How many requests a key has of its own its entry says, within the bound of the policy.
#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_etcd_has_numbers_of_its_own() {
    let etcd = Etcd::start();
    let mut policy = policy(&etcd.url(), None);
    let own = |max: u32| json!([{"requests": 2, "unit": "Hour", "ownRequests": {"max": max}}]);
    policy["rateLimits"] = json!([{"name": "per-key", "key": ["apiKey"], "limits": own(9)}]);
    let mut limited = with_api_key();
    limited["rateLimits"] = json!(["per-key"]);
    policy["rules"].as_array_mut().unwrap().push(rule("limited", "Exact", "/limited", limited));
    for (id, numbers) in [
        ("five", &["--own-requests", "per-key=5"][..]),
        ("most", &["--own-requests", "other=3,per-key=1000000"]),
        ("none", &[]),
        ("elsewhere", &["--own-requests", "other=5"]),
        ("later", &[]),
    ] {
        put(&etcd, id, json!({}));
        if !numbers.is_empty() {
            key(&etcd, &[&["set", id], numbers].concat());
        }
    }
    let address = format!("127.0.0.1:{}", etcd.port).parse().unwrap();
    let gateway = gateway(&policy).cluster("etcd", address).https_only().workers(2).start().await;
    let fleet = Fleet { etcd, gateway: Arc::new(gateway) };
    fleet.becomes("/open", &api_key("none"), PASSES).await;
    let admitted = async |id: &str| {
        let requests = vec![get("/limited").api_key(&api_key(id)); 15];
        let answers = fleet.gateway.send_all(Wire::Http1, &requests).await;
        assert!(answers.iter().all(|answer| [200, 429].contains(&answer.status)), "{id}: {answers:?}");
        answers.iter().filter(|answer| answer.status == 200).count()
    };
    for (id, expected) in [("five", 5), ("most", 9), ("none", 2), ("elsewhere", 2)] {
        assert_eq!(admitted(id).await, expected, "{id}");
    }
    // A number that changes counts as soon as the key that it stands in.
    key(&fleet.etcd, &["set", "later", "--own-requests", "per-key=7", "--hostnames", "other.test"]);
    fleet.becomes("/open", &api_key("later"), (403, "api_key_restricted")).await;
    key(&fleet.etcd, &["set", "later", "--unset", "hostnames"]);
    fleet.becomes("/open", &api_key("later"), PASSES).await;
    assert_eq!(admitted("later").await, 7);
    let twice = ["set", "none", "--own-requests", "per-key=1,per-key=2"];
    assert!(try_key(&fleet.etcd, &twice).unwrap_err().contains("names one limit twice"));
}

/// A request or an answer with a length.
fn message(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let mut more = [0; 4096];
        let len = stream.read(&mut more).unwrap();
        bytes.extend_from_slice(&more[..len]);
        let text = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let due = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        if body.len() >= due.trim().parse().unwrap() {
            return bytes;
        }
    }
}

/// The answer to the first write is lost on its way. It is looked up, and not written twice.
#[test]
fn a_write_whose_answer_is_lost_is_told_as_it_is() {
    let etcd = Etcd::start();
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/portcullis/", proxy.local_addr().unwrap());
    let upstream = format!("127.0.0.1:{}", etcd.port);
    std::thread::spawn(move || {
        let mut writes = 0;
        for client in proxy.incoming() {
            let (mut client, mut server) = (client.unwrap(), TcpStream::connect(&upstream).unwrap());
            let request = message(&mut client);
            server.write_all(&request).unwrap();
            let is_write = request.starts_with(b"POST /v3/kv/txn");
            let answer = message(&mut server);
            writes += usize::from(is_write);
            if !is_write || writes > 1 {
                client.write_all(&answer).unwrap();
            }
        }
    });
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .arg("key")
            .args(arguments)
            .args(["--output", "json", "--store", &url])
            .output()
            .unwrap()
    };
    let done = run(&["new", "--id", "k"]);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let told: Value =
        serde_json::from_str(&etcd.ctl(&["get", "/portcullis/v1/keys/k", "--write-out", "json"])).unwrap();
    assert_eq!(told["kvs"][0]["version"], 1);
    assert!(run(&["disable", "k"]).status.success());
    assert_eq!(key(&etcd, &["show", "k"])["state"], "disabled");
    // Of what is too large for the filter nothing is written.
    let scopes = (0..500).map(|n| format!("scope-{n:020}")).collect::<Vec<_>>().join(",");
    assert!(
        try_key(&etcd, &["new", "--id", "large", "--scopes", &scopes]).unwrap_err().contains("8192 bytes")
    );
    assert!(try_key(&etcd, &["show", "large"]).is_err());
}

/// Four operators change one key at once, each another part of it.
#[tokio::test(flavor = "multi_thread")]
async fn no_change_is_lost() {
    const CHANGES: usize = 250;
    let etcd = Etcd::start();
    key(&etcd, &["new", "--id", "k"]);
    std::thread::scope(|scope| {
        for field in ["label", "owner", "tier", "client"] {
            let etcd = &etcd;
            scope.spawn(move || {
                let option = format!("--{field}");
                (0..CHANGES).for_each(|n| _ = key(etcd, &["set", "k", &option, &format!("{field}{n}")]));
            });
        }
    });
    let told = etcd.ctl(&["get", "/portcullis/v1/keys/k", "--write-out", "json"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["kvs"][0]["version"], 1 + 4 * CHANGES, "each was written, and once");
    let last = key(&etcd, &["show", "k"]);
    for field in ["label", "owner", "tier", "client"] {
        assert_eq!(last[field], format!("{field}{}", CHANGES - 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_within_two_seconds() {
    let [_, late] = revoked(None).await;
    assert!(late < Duration::from_secs(2), "{late:?}");
}

/// A poll every three seconds has no part in it.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_within_200_milliseconds_where_etcd_is_watched() {
    let [_, late] = revoked(Some("etcd-grpc")).await;
    assert!(late < Duration::from_millis(200), "{late:?}");
}

/// From the end of what revokes a key to the last request that passes, on whichever worker: median and 99th percentile of 200.
async fn revoked(watch_cluster: Option<&str>) -> [Duration; 2] {
    const RUNS: usize = 200;
    const AT_ONCE: usize = 20;
    let etcd = Etcd::start();
    for n in 0..RUNS {
        put(&etcd, &format!("k{n}"), json!({}));
    }
    let fleet = Arc::new(Fleet::start_with(etcd, watch_cluster).await);
    fleet.becomes("/open", &api_key(&format!("k{}", RUNS - 1)), PASSES).await;
    let mut tasks = tokio::task::JoinSet::new();
    for lane in 0..AT_ONCE {
        let fleet = Arc::clone(&fleet);
        tasks.spawn(async move {
            let mut times = Vec::new();
            for n in (lane..RUNS).step_by(AT_ONCE) {
                let name = format!("k{n}");
                // As other tools do it: the command's own start would cost more than it shows.
                let request = get("/open").api_key(&api_key(&name));
                fleet.put(&name, json!({"revokedAt": "2026-01-01T00:00:00Z"}));
                let (began, mut last, mut refused) = (Instant::now(), Duration::ZERO, 0);
                while refused < 24 {
                    let asked = began.elapsed();
                    match fleet.gateway.send(&request).await.status {
                        200 => (last, refused) = (asked, 0),
                        401 => refused += 1,
                        other => panic!("{other}"),
                    }
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                times.push(last);
            }
            times
        });
    }
    let mut times: Vec<Duration> = tasks.join_all().await.into_iter().flatten().collect();
    times.sort();
    let at = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!("revoked: median {:?}, 99th percentile {:?}, last {:?}", at(50), at(99), at(100));
    assert_eq!(times.len(), RUNS);
    [at(50), at(99)]
}

/// Whatever becomes of the watch, it is there again soon; and without one keys are polled.
#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_ends_begins_anew() {
    let etcd = Etcd::start();
    put(&etcd, "k", json!({}));
    let mut fleet = Fleet::start_with(etcd, Some("etcd-grpc")).await;
    let key = api_key("k");
    let pause = |secs| tokio::time::sleep(Duration::from_secs(secs));
    fleet.becomes("/open", &key, PASSES).await;
    // Of the eight answers that it takes each is 20 ms behind the one before.
    let soon = Duration::from_millis(800);
    for round in 0..2 {
        pause(2).await;
        for _ in 0..3 {
            fleet.put("k", json!({"disabled": true}));
            let took = fleet.becomes("/open", &key, INVALID).await;
            fleet.put("k", json!({}));
            let took = took.max(fleet.becomes("/open", &key, PASSES).await);
            println!("watched, round {round}: {took:?}");
            assert!(took < soon, "{round}: {took:?}\n{}", fleet.gateway.log());
        }
        fleet.etcd.stop();
        pause(4).await;
        fleet.becomes("/open", &key, PASSES).await;
        fleet.etcd.restart();
        fleet.etcd.compact();
        fleet.put("k", json!({"disabled": true}));
        fleet.becomes("/open", &key, INVALID).await;
        fleet.put("k", json!({}));
        fleet.becomes("/open", &key, PASSES).await;
        pause(6).await;
    }
    assert_eq!(fleet.gateway.log().matches("no watch by cluster").count(), 2, "once each time that it went");
}

/// The one that watches goes with its policy, and so do its streams, those that have ended and the one that has not.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_policy_watches_as_the_old_one_did() {
    let mut etcd = Etcd::start();
    put(&etcd, "k", json!({}));
    let address = format!("127.0.0.1:{}", etcd.port).parse().unwrap();
    let mut policy = policy(&etcd.url(), Some("etcd-grpc"));
    let builder = gateway(&policy).cluster("etcd", address).grpc_cluster("etcd-grpc", address).https_only();
    let mut gateway = builder.watched().workers(2).start().await;
    for name in ["first", "second", "third"] {
        tokio::time::sleep(Duration::from_secs(4)).await;
        etcd.restart();
        tokio::time::sleep(Duration::from_secs(4)).await;
        policy["rules"].as_array_mut().unwrap().push(rule(
            name,
            "Exact",
            &format!("/{name}"),
            with_api_key(),
        ));
        assert!(gateway.change_policy(&policy.to_string()).await, "{}", gateway.log());
        // The lease of the one that is gone runs out.
        tokio::time::sleep(Duration::from_secs(5)).await;
        for (fields, expected) in
            [(json!({"disabled": true}), 401), (json!({}), 200), (json!({"disabled": true}), 401)]
        {
            put(&etcd, "k", fields);
            tokio::time::sleep(Duration::from_millis(300)).await;
            let asked = get(&format!("/{name}")).api_key(&api_key("k"));
            for answer in gateway.send_eight(&asked).await {
                assert_eq!(answer.status, expected, "{name}\n{}", gateway.log());
            }
        }
        assert!(gateway.is_running());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cluster_for_the_watch_keys_are_polled() {
    let etcd = Etcd::start();
    // Neither is there, and one of them would be some message, and end Envoy, were it sent by itself.
    for cluster in ["nowhere", "envoy"] {
        put(&etcd, "k", json!({}));
        let address = format!("127.0.0.1:{}", etcd.port).parse().unwrap();
        let gateway = gateway(&policy(&etcd.url(), Some(cluster)))
            .cluster("etcd", address)
            .https_only()
            .workers(2)
            .start()
            .await;
        for (fields, expected) in [(json!({}), 200), (json!({"disabled": true}), 401), (json!({}), 200)] {
            put(&etcd, "k", fields);
            tokio::time::sleep(Duration::from_millis(3500)).await;
            for answer in gateway.send_eight(&get("/open").api_key(&api_key("k"))).await {
                assert_eq!(answer.status, expected, "{}", gateway.log());
            }
        }
        assert_eq!(gateway.log().matches("no watch by cluster").count(), 1, "{}", gateway.log());
    }
}

/// Clients that never pause, while something happens to etcd.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    clients: tokio::task::JoinSet<Vec<u16>>,
}

impl Load {
    pub(crate) fn begin(gateway: &Arc<Gateway>, name: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..2 {
            let request = get("/open").api_key(&api_key(name));
            let (gateway, stop) = (Arc::clone(gateway), Arc::clone(&stop));
            clients.spawn(async move {
                let mut answers = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    answers.push(gateway.send(&request).await.status);
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                answers
            });
        }
        Self { stop, clients }
    }

    /// All answers, each kind once.
    pub(crate) async fn end(self) -> Vec<u16> {
        self.stop.store(true, Ordering::Relaxed);
        let mut answers: Vec<u16> = self.clients.join_all().await.into_iter().flatten().collect();
        assert!(answers.len() > 20, "{}", answers.len());
        answers.sort_unstable();
        answers.dedup();
        answers
    }
}

/// Keys that are known go on working whatever becomes of etcd, and what it says afterwards counts.
#[tokio::test(flavor = "multi_thread")]
async fn etcd_may_stop_be_compacted_and_go_back() {
    let etcd = Etcd::start();
    put(&etcd, "steady", json!({}));
    put(&etcd, "second", json!({}));
    let mut fleet = Fleet::start(etcd).await;
    let pause = || tokio::time::sleep(Duration::from_millis(2500));
    fleet.becomes("/open", &api_key("steady"), PASSES).await;
    fleet.becomes("/open", &api_key("second"), PASSES).await;
    let load = Load::begin(&fleet.gateway, "steady");

    fleet.etcd.stop();
    pause().await;
    // One that no worker has met since it was read is known as well.
    fleet.becomes("/open", &api_key("second"), PASSES).await;
    fleet.becomes("/open", &api_key("nobody"), INVALID).await;
    fleet.etcd.restart();
    put(&fleet.etcd, "second", json!({"disabled": true}));
    fleet.becomes("/open", &api_key("second"), INVALID).await;

    fleet.etcd.compact();
    put(&fleet.etcd, "second", json!({}));
    fleet.becomes("/open", &api_key("second"), PASSES).await;

    // A snapshot of before a key was disabled: as it is restored, it counts.
    let snapshot = fleet.etcd.snapshot();
    put(&fleet.etcd, "second", json!({"disabled": true}));
    put(&fleet.etcd, "third", json!({}));
    fleet.becomes("/open", &api_key("second"), INVALID).await;
    fleet.etcd.restore(&snapshot);
    fleet.becomes("/open", &api_key("second"), PASSES).await;
    fleet.becomes("/open", &api_key("third"), INVALID).await;
    assert_eq!(load.end().await, [200], "no client of a key that was good all the time saw any of it");

    fleet.etcd.wipe();
    fleet.becomes("/open", &api_key("steady"), INVALID).await;
    put(&fleet.etcd, "steady", json!({}));
    fleet.becomes("/open", &api_key("steady"), PASSES).await;
}
