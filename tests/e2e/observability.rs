//! Every query of `envoy/observability`, asked of a real Prometheus that scrapes real Envoys: one where all is well, and one
//! where much is broken.

use std::{
    fs,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    documentation::stats_tags,
    harness::{
        client,
        envoy_config::FailurePolicy,
        free_port,
        gateway::{Gateway, gateway},
        idp::{form, until},
        issuer::{ISSUER_KEYS, token},
        key_server::KeyServer,
        policy::{anyone, merge, provider, rule, with_token},
        repository,
        request::{get, post},
        revocations::RevocationServer,
    },
};

/// Alerts whose bound is out of a test's reach, and why. What they compare with it is there.
const OUT_OF_REACH: [(&str, &str); 3] = [
    ("PortcullisKeySetOld", "wants half an hour without keys"),
    ("PortcullisRevocationListOld", "wants minutes without a list"),
    ("PortcullisLimitsFull", "wants tens of thousands of clients"),
];

/// Time enough for some scrapes, of which there is one each second.
const SOON: Duration = Duration::from_secs(30);

fn read(file: &str) -> String {
    fs::read_to_string(repository().join("envoy/observability").join(file)).unwrap()
}

/// Ended when it is dropped.
struct Prometheus {
    child: Child,
    api: SocketAddr,
    dir: TempDir,
}

impl Prometheus {
    /// With the configuration and the rules as they are shipped, but for how often, and whom it scrapes.
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let config = read("prometheus.yaml");
        let (times, targets) = ("_interval: 5s", "static_configs:\n  - targets: [\"envoy:9901\"]");
        assert!(config.matches(times).count() == 2 && config.contains(targets), "{config}");
        let watched = "file_sd_configs: [{files: [targets.json], refresh_interval: 1s}]";
        let config = config.replace(times, "_interval: 1s").replace(targets, watched);
        fs::write(dir.path().join("prometheus.yaml"), config).unwrap();
        fs::write(dir.path().join("rules.yaml"), read("rules.yaml")).unwrap();
        fs::write(dir.path().join("targets.json"), "[]").unwrap();
        let api = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let log = fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new("prometheus")
            .args(["--config.file=prometheus.yaml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={api}"))
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("Prometheus starts: `make test` installs it");
        Self { child, api, dir }
    }

    /// Has it scrape these, each by its name.
    fn scrape(&self, gateways: &[(&str, &Gateway)]) {
        let target = |(name, gateway): &(&str, &Gateway)| json!({"targets": [gateway.admin().address().to_string()], "labels": {"instance": name}});
        let targets: Value = gateways.iter().map(target).collect();
        let fresh = self.dir.path().join("fresh.json");
        fs::write(&fresh, targets.to_string()).unwrap();
        fs::rename(fresh, self.dir.path().join("targets.json")).unwrap();
    }

    async fn get(&self, target: &str) -> Value {
        match client::try_http1_plain(self.api, &get(target)).await {
            Ok(answer) => serde_json::from_slice(&answer.body).unwrap_or_default(),
            Err(_) => Value::Null,
        }
    }

    /// What a query answers; a query that does not parse ends the test.
    async fn query(&self, query: &str) -> Vec<Value> {
        let answer = self.get(&format!("/api/v1/query?{}", form(&[("query", query)]))).await;
        assert!(answer["status"] == "success" || answer.is_null(), "{query}: {answer}");
        answer["data"]["result"].as_array().cloned().unwrap_or_default()
    }

    /// Those of `queries` that are still without an answer when there was time enough, by their names.
    async fn unanswered(&self, queries: &[(String, String)]) -> Vec<String> {
        let mut left: Vec<_> = queries.iter().collect();
        for _ in 0..SOON.as_secs() {
            let mut without = Vec::new();
            for query in left {
                if self.query(&query.1).await.is_empty() {
                    without.push(query);
                }
            }
            left = without;
            if left.is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        left.iter().map(|(name, query)| format!("{name}: {query}")).collect()
    }

    /// Rules of this kind, by their names, when all were evaluated.
    async fn rules(&self, kind: &str) -> Vec<(String, String)> {
        let groups = self.get("/api/v1/rules").await;
        let groups = groups["data"]["groups"].as_array().unwrap().clone();
        let rules = groups.iter().flat_map(|group| group["rules"].as_array().unwrap());
        let mut all = Vec::new();
        for rule in rules.filter(|rule| rule["type"] == kind) {
            assert_eq!(rule["health"], "ok", "{rule}");
            let text = |name: &str| rule[name].as_str().unwrap().to_owned();
            all.push((text("name"), text("query")));
        }
        all
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.dir.path().join("log")).unwrap_or_default());
        }
    }
}

/// The queries of the dashboard, each by its panel, as Grafana asks them.
fn dashboard() -> Vec<(String, String)> {
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter().chain(
        dashboard["annotations"]["list"].as_array().unwrap().iter().filter(|list| list.get("expr").is_some()),
    );
    let queries = panels.flat_map(|panel| {
        let name = panel.get("title").or_else(|| panel.get("name")).unwrap().as_str().unwrap();
        let targets = panel["targets"].as_array().cloned().unwrap_or_else(|| vec![panel.clone()]);
        let of_panel = targets.into_iter().filter_map(|target| target["expr"].as_str().map(str::to_owned));
        of_panel.map(|query| (name.to_owned(), query)).collect::<Vec<_>>()
    });
    let filled = |query: &str| {
        let query = query.replace("$__rate_interval", "20s").replace("$__interval", "20s");
        query.replace("$instance", ".*")
    };
    let queries: Vec<_> = queries.map(|(name, query)| (name, filled(&query))).collect();
    assert!(queries.iter().all(|(_, query)| !query.contains('$')), "{queries:?}");
    queries
}

/// With something of all that is counted.
fn sound(keys: &str, lists: &RevocationServer) -> Value {
    let (mut fetched, mut asked) = (provider(), provider());
    fetched["name"] = "fetched".into();
    fetched["jwks"] = json!({"uri": keys, "cluster": "jwks"});
    merge(
        &mut asked,
        json!({"name": "opaque", "issuer": "https://as.test", "introspection": {
        "endpoint": "https://as.test/introspect", "cluster": "jwks", "clientId": "a", "clientSecret": "b"}}),
    );
    for unused in ["jwks", "algorithms"] {
        asked.as_object_mut().unwrap().remove(unused);
    }
    let by = |provider: &str| json!({"authenticate": {"anyOf": [{"jwt": provider}]}});
    let (mut limited, mut closed) =
        (rule("limited", "Exact", "/limited", anyone()), rule("closed", "Exact", "/closed", by("fetched")));
    limited["rateLimits"] = json!(["few", "tried"]);
    closed["endStreams"] = true.into();
    let limit = |name: &str, requests: u32, shadow: bool| json!({"name": name, "key": ["route"], "limits": [{"requests": requests, "unit": "Hour"}], "shadow": shadow});
    json!({
        "jwt": {"providers": [fetched, asked]},
        "revocation": lists.section("5m"),
        "rateLimits": [limit("few", 2, false), limit("tried", 1, true)],
        "metrics": {"byRule": true},
        "rules": [closed, rule("opaque", "Exact", "/opaque", by("opaque")), limited],
        "defaultAction": "Deny",
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_is_answered_by_what_a_gateway_tells() {
    let (keys, lists) = (KeyServer::start().await, RevocationServer::start().await);
    keys.publish(&ISSUER_KEYS.jwks());
    lists.publish(&json!({}));
    let policy = sound("http://keys.test/keys?v=1", &lists);
    let well = gateway(&policy)
        .https_only()
        .watched()
        .failure_policy(FailurePolicy::Reload)
        .jwks(keys.address)
        .revocations(lists.address)
        .stats_tags(stats_tags())
        .start()
        .await;
    let prometheus = Prometheus::start();
    prometheus.scrape(&[("well", &well)]);
    until(SOON, async || !prometheus.query(r#"up{instance="well"} == 1"#).await.is_empty()).await;

    // A change of the policy is one of what is told.
    let mut changed = policy.clone();
    changed["realm"] = "changed".into();
    assert!(well.change_policy(&changed.to_string()).await);
    let alice = token("alice").sign();
    until(SOON, async || well.send(&get("/closed").bearer(&alice)).await.status == 200).await;
    for asked in [get("/closed").bearer(&alice), get("/closed"), get("/limited"), post("/nowhere")] {
        for _ in 0..4 {
            well.send(&asked).await;
        }
    }
    let unanswered = prometheus.unanswered(&dashboard()).await;
    assert!(unanswered.is_empty(), "{unanswered:#?}");
    let (recorded, alerts) = (prometheus.rules("recording").await, prometheus.rules("alerting").await);
    assert!(recorded.len() >= 3 && alerts.len() >= 10, "{recorded:?} {alerts:?}");
    let unanswered = prometheus.unanswered(&recorded).await;
    assert!(unanswered.is_empty(), "{unanswered:#?}");
    for (name, query) in &alerts {
        assert_eq!(prometheus.query(query).await, Vec::<Value>::new(), "{name}: {query}");
    }

    // Now where it is not. The interlock wants a mark that nobody sets.
    let (mut lost, mut known) = (provider(), provider());
    lost["name"] = "lost".into();
    lost["issuer"] = "https://lost.test".into();
    lost["jwks"] = json!({"uri": "http://keys.test/keys?v=1", "cluster": "nowhere"});
    known["name"] = "test".into();
    let closed = |name: &str, provider: &str| {
        rule(name, "Exact", &format!("/{name}"), json!({"authenticate": {"anyOf": [{"jwt": provider}]}}))
    };
    let policy = json!({
        "jwt": {"providers": [lost, known]},
        "revocation": lists.section("5m"),
        "rules": [closed("lost", "lost"), rule("closed", "Exact", "/closed", with_token()), rule("open", "Exact", "/open", anyone())],
        "defaultAction": "Deny",
    });
    let broken = gateway(&policy)
        .https_only()
        .watched()
        .fault("trap-on-request")
        .failure_policy(FailurePolicy::Reload)
        .marks(&["portcullis", "nobodys"])
        .revocations(lists.address)
        .stats_tags(stats_tags())
        .start()
        .await;
    prometheus.scrape(&[("well", &well), ("broken", &broken)]);
    let scraped = r#"count_over_time(portcullis_requests{instance="broken",decision="allow"}[1m]) > 1"#;
    until(SOON, async || !prometheus.query(scraped).await.is_empty()).await;
    assert!(!broken.change_policy(r#"{"rules": []}"#).await);
    assert_eq!(broken.send(&get("/open")).await.status, 403);
    assert_eq!(broken.send(&get("/open").header("x-fault", "trap")).await.status, 503);
    let unavailable = token("alice").claim("iss", "https://lost.test").sign();
    until(SOON, async || {
        let answer = broken.send(&get("/lost").bearer(&unavailable)).await;
        answer.reason().as_deref() == Some("keys_unavailable")
    })
    .await;
    // Many enough for one a second over five minutes.
    let mut connection = broken.http2().await;
    for _ in 0..600 {
        assert_eq!(connection.send(&get("/closed").bearer("a.b.c")).await.unwrap().status, 401);
    }
    let out_of_reach = |name: &str| OUT_OF_REACH.iter().any(|(other, _)| *other == name);
    let asked: Vec<_> = alerts
        .iter()
        .map(|(name, query)| match query.rsplit_once(" > ") {
            Some((compared, _)) if out_of_reach(name) => (name.clone(), compared.to_owned()),
            _ => (name.clone(), query.clone()),
        })
        .collect();
    let unanswered = prometheus.unanswered(&asked).await;
    assert!(unanswered.is_empty(), "{unanswered:#?}");
    // None of them for the gateway where all is well, but that it has another policy.
    for (name, query) in alerts.iter().filter(|(name, _)| name != "PortcullisPoliciesDiffer") {
        let raised = prometheus.query(query).await;
        let of_well = raised.iter().find(|sample| sample["metric"]["instance"] == "well");
        assert!(of_well.is_none(), "{name}: {raised:?}");
    }
}

/// It is of no Grafana in particular, and whole.
#[test]
fn the_dashboard_can_be_imported_anywhere() {
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    assert!(dashboard.get("id").is_none() && dashboard.get("uid").is_none());
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    assert_eq!((&variables[0]["name"], &variables[0]["type"]), (&json!("datasource"), &json!("datasource")));
    let panels = dashboard["panels"].as_array().unwrap();
    let of_prometheus = json!({"type": "prometheus", "uid": "${datasource}"});
    let (mut ids, mut places, mut queries) = (Vec::new(), Vec::new(), 0);
    for panel in panels {
        assert!(!ids.contains(&panel["id"]), "{panel}");
        ids.push(panel["id"].clone());
        let [x, y, w, h] = ["x", "y", "w", "h"].map(|name| panel["gridPos"][name].as_u64().unwrap());
        assert!(x + w <= 24, "{panel}");
        let overlaps = |(ox, oy, ow, oh): &(u64, u64, u64, u64)| {
            x < ox + ow && *ox < x + w && y < oy + oh && *oy < y + h
        };
        assert!(!places.iter().any(overlaps), "{panel}");
        places.push((x, y, w, h));
        if panel["type"] == "row" {
            continue;
        }
        assert_eq!(panel["datasource"], of_prometheus, "{panel}");
        assert!(panel["title"].is_string() && panel["description"].is_string(), "{panel}");
        for target in panel["targets"].as_array().unwrap() {
            assert_eq!(target["datasource"], of_prometheus, "{target}");
            assert!(target["expr"].as_str().unwrap().contains("instance=~\"$instance\""), "{target}");
            queries += 1;
        }
    }
    assert!(queries >= 25, "{queries}");
    // Nothing is shown that no page tells of.
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    for (name, query) in self::dashboard() {
        let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
        for metric in words.filter(|word| word.starts_with("portcullis_")) {
            assert!(readme.contains(metric), "{name}: {metric}");
        }
    }
}
