//! `docs/migration.md`: what it shows of others and what it puts in its place decide alike, but for what it says.

mod envoy;
mod istio;
mod kong;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Debug,
    fs,
    net::SocketAddr,
    path::Path,
};

use proptest::{
    strategy::{Strategy, ValueTree as _},
    test_runner::TestRunner,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    documentation::block,
    harness::{
        artifact,
        client::Plain,
        envoy_parts::{self as parts, Plugin},
        issuer::ISSUER_KEYS,
        process::Envoy,
        repository,
        request::Request,
        upstream::Upstream,
    },
    manifests,
};

const REQUESTS: usize = 500;

fn page() -> String {
    fs::read_to_string(repository().join("docs/migration.md")).unwrap()
}

/// The documents in the block of the page that begins with `first`.
fn shown(first: &str) -> Vec<Value> {
    manifests::documents(&block(&page(), first, 0))
}

/// The policy in such a block, with the issuer's keys in it where they would be fetched.
fn policy(first: &str) -> Value {
    let mut policy = shown(first).remove(0);
    for provider in policy["jwt"]["providers"].as_array_mut().unwrap() {
        if let Some(jwks) = provider.get_mut("jwks") {
            *jwks = json!({"inline": ISSUER_KEYS.jwks()});
        }
    }
    policy
}

/// A request, and the name of the difference that it is to show; `None`: both decide alike.
#[derive(Clone, Debug)]
struct Asked {
    request: Request,
    shows: Option<&'static str>,
}

/// Decided in one way before, and in another by us.
struct Difference {
    name: &'static str,
    before: u16,
    ours: u16,
}

const fn difference(name: &'static str, before: u16, ours: u16) -> Difference {
    Difference { name, before, ours }
}

/// The same ones in each run.
fn generated<T: Debug>(strategy: &impl Strategy<Value = T>) -> Vec<T> {
    let mut runner = TestRunner::deterministic();
    (0..REQUESTS).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// One Envoy with two listeners, which differ in their filters alone.
struct SideBySide {
    // Ended before its directory is gone.
    _envoy: Envoy,
    upstream: Upstream,
    before: Plain,
    ours: Plain,
    _dir: TempDir,
}

impl SideBySide {
    /// `routes` lead to the cluster `upstream`.
    async fn start(before: Vec<Value>, policy: &Value, routes: &Value) -> Self {
        let upstream = Upstream::start().await;
        let dir = tempfile::tempdir().unwrap();
        let module = artifact("PORTCULLIS_WASM").display().to_string();
        let filter = Plugin::new(&module).typed_config(parts::as_struct(policy));
        let ours =
            vec![json!({"name": "portcullis", "typed_config": filter}), parts::interlock(&["portcullis"])];
        let to_upstream = json!([{"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}]);
        let bootstrap = json!({
            "admin": {"address": parts::address(parts::any_port())},
            "static_resources": {
                "listeners": [listener("before", before, routes), listener("ours", ours, &to_upstream)],
                "clusters": [{
                    "name": "upstream",
                    "type": "STATIC",
                    "load_assignment": {"cluster_name": "upstream", "endpoints": [{"lb_endpoints": [
                        {"endpoint": {"address": parts::address(upstream.address)}},
                    ]}]},
                }],
            },
        });
        fs::write(dir.path().join("envoy.json"), bootstrap.to_string()).unwrap();
        let envoy = match Envoy::start(dir.path(), Path::new("envoy.json"), 1).await {
            Ok(envoy) => envoy,
            Err(log) => panic!("Envoy gave up; its log:\n{log}"),
        };
        let listeners: BTreeMap<String, SocketAddr> = envoy.admin().listeners().await;
        let client = |name: &str| Plain::new(listeners[name]);
        Self { before: client("before"), ours: client("ours"), _envoy: envoy, upstream, _dir: dir }
    }

    /// Asks both, one request after the other. Those that show a difference show exactly that one, and all others are
    /// decided alike; of each difference and each of `statuses` there are some.
    async fn compare(mut self, asked: &[Asked], differences: &[Difference], statuses: &[u16]) {
        let (mut alike, mut met) = (BTreeMap::<u16, usize>::new(), BTreeSet::new());
        let (mut faults, mut passed) = (Vec::new(), 0);
        for Asked { request, shows } in asked {
            let before = self.before.send(request).await.unwrap().status;
            let answer = self.ours.send(request).await.unwrap();
            let ours = answer.status;
            passed += [before, ours].iter().filter(|status| **status == 200).count();
            let expected = shows.map(|name| differences.iter().find(|known| known.name == name).expect(name));
            match expected {
                None if before == ours => *alike.entry(ours).or_default() += 1,
                Some(known) if (before, ours) == (known.before, known.ours) => {
                    met.insert(known.name);
                }
                _ => faults
                    .push(format!("{before} before, {ours} {:?}: {shows:?} {request:?}", answer.reason())),
            }
        }
        assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
        assert_eq!(
            self.upstream.count(),
            passed,
            "what is not answered with 200 has not reached the upstream"
        );
        assert_eq!(met, differences.iter().map(|known| known.name).collect());
        for status in statuses {
            assert!(alike.get(status).is_some_and(|count| *count >= 10), "{status}: {alike:?}");
        }
        assert_eq!(alike.len(), statuses.len(), "{alike:?}");
    }
}

fn listener(name: &str, mut filters: Vec<Value>, routes: &Value) -> Value {
    filters.push(parts::router());
    let connection_manager = json!({
        "stat_prefix": name,
        "use_remote_address": true,
        "xff_num_trusted_hops": 1,
        "normalize_path": true,
        "merge_slashes": true,
        "stream_idle_timeout": "20s",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "http_filters": filters,
    });
    parts::listener(name, parts::any_port(), connection_manager)
}

/// The page tells these differences, and no others, in the table below `heading`.
fn hold_to_the_page(heading: &str, differences: &[Difference]) {
    let page = page();
    let section = page.split(heading).nth(1).unwrap_or_else(|| panic!("no heading {heading}"));
    let table = section.split("| request | before | Portcullis | why |\n|---|---|---|---|\n").nth(1).unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let told: BTreeSet<Vec<&str>> =
        rows.map(|row| row.trim_matches('|').split('|').map(str::trim).take(3).collect()).collect();
    let codes: Vec<_> =
        differences.iter().map(|known| (known.before.to_string(), known.ours.to_string())).collect();
    let known = differences.iter().zip(&codes);
    let known =
        known.map(|(known, (before, ours))| vec![known.name, before.as_str(), ours.as_str()]).collect();
    assert_eq!(told, known);
}
