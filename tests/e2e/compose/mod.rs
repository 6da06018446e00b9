//! `envoy/docker-compose.yaml` without an engine: what its services do is done here, by the file itself.

mod project;

use std::{collections::BTreeSet, fs, net::SocketAddr, path::Path, process::Command, time::Duration};

use serde_json::Value;

use project::{cache, file, read, strings};

pub(crate) use project::Project;

use crate::{
    demo::{Front, table::table},
    harness::{
        artifact, client,
        gateway::Wire,
        idp::{form, text, until},
        repository,
        request::{get, post, request},
        table::{Door as _, hold},
        tls,
    },
};

/// The demo with `profiles`. What is built and downloaded is there, as another start finds it, and the module is the one
/// that is quick to build. `checkout` stands in for this one, where the demo looks after its policy.
pub(crate) fn start(profiles: &[&str], checkout: &Path) -> Project {
    let target = repository().join("target");
    let instead = vec![
        ("setup", "/built/cargo", cache("CARGO_HOME", ".cargo")),
        ("setup", "/built/target", target.clone()),
        ("demo", "/built/target", target),
        ("demo", "/portcullis", checkout.to_owned()),
        ("idp", "/idp/npm", cache("npm_config_cache", ".npm")),
    ];
    Project::start(profiles, &[("PORTCULLIS_PROFILE", "faults"), ("PORTCULLIS_FEATURES", "faults")], instead)
}

fn checkout() -> tempfile::TempDir {
    let checkout = tempfile::tempdir().unwrap();
    let demo = checkout.path().join("envoy/demo");
    fs::create_dir_all(&demo).unwrap();
    for name in ["envoy.yaml", "filter.yaml", "policy.yaml"] {
        fs::copy(repository().join("envoy/demo").join(name), demo.join(name)).unwrap();
    }
    checkout
}

fn front(project: &Project) -> Front {
    let authority = project.exec("demo", &["demo", "ca"]);
    assert!(authority.status.success(), "{authority:?}");
    Front::new(
        [8443, 8080, 9901].map(|port| project.port(port)),
        String::from_utf8(authority.stdout).unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_comes_up_with_nothing_but_the_compose_file() {
    let checkout = checkout();
    let project = start(&[], checkout.path());
    let front = front(&project);
    hold(&front, &[Wire::Http1, Wire::Http2], &table(&project.volume("demo"))).await;
    until(Duration::from_secs(10), async || project.log("demo").contains("Portcullis is up")).await;

    // A policy that is saved is in force at once.
    let policy = checkout.path().join("envoy/demo/policy.yaml");
    let shipped = fs::read_to_string(&policy).unwrap();
    assert_eq!(front.ask(Wire::Http2, &get("/status")).await.status, 403);
    fs::write(&policy, shipped.replace("value: /health}", "value: /status}")).unwrap();
    until(Duration::from_secs(10), async || front.ask(Wire::Http2, &get("/status")).await.status == 200)
        .await;
    assert_eq!(front.ask(Wire::Http2, &get("/health")).await.status, 403);
}

/// What the README shows is what one gets, in the order of the page.
#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_requests_are_answered_as_it_shows() {
    let checkout = checkout();
    let project = start(&[], checkout.path());
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let page = readme.split("\n### Ask\n").nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut script = format!(
        "demo() {{ PORTCULLIS_DEMO_DIR={} {} \"$@\"; }}\n",
        project.volume("demo").display(),
        repository().join("target/debug/examples/demo").display()
    );
    let mut shown = Vec::new();
    for line in page.split("```console\n").skip(1).flat_map(|rest| rest.split("```").next().unwrap().lines())
    {
        match line.strip_prefix("$ ") {
            Some(line) if line.starts_with("demo()") => {}
            Some(line) => {
                let line = [8443, 8080].iter().fold(line.to_owned(), |line, port| {
                    line.replace(&format!("localhost:{port}"), &format!("localhost:{}", project.port(*port)))
                });
                // Bodies end without an end of line.
                script.push_str(&format!("{line}\necho\n"));
            }
            None => shown.push(settled(line)),
        }
    }
    let output = Command::new("bash").arg("-c").arg(&script).current_dir(dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let mut rest = said.lines().map(settled);
    for line in shown.iter().filter(|line| !line.is_empty()) {
        assert!(rest.any(|said| said == *line), "not at its place: {line}\n{script}{said}");
    }
    assert!(shown.len() > 40, "{shown:?}");
}

/// A line without what differs from run to run, and without the comma that depends on what follows.
fn settled(line: &str) -> String {
    let line = line.trim_end().trim_end_matches(',');
    let varies =
        ["retry-after:", "ratelimit:"].iter().any(|name| line.starts_with(name)) || line.ends_with(" 200");
    line.chars().filter(|c| !varies || !c.is_ascii_digit()).collect()
}

/// A token of the profile's authorization server, by client credentials, as `docs/demo.md` shows.
pub(crate) async fn machine_token(project: &Project, resource: &str, scope: &str) -> String {
    let said = |command: &str| {
        let output = project.exec("demo", &["demo", command]);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let (secret, authority, port) = (said("secret"), said("ca"), project.published("idp"));
    let form = form(&[
        ("grant_type", "client_credentials"),
        ("client_id", "batch"),
        ("client_secret", secret.trim()),
        ("resource", resource),
        ("scope", scope),
    ]);
    let stream =
        client::tls(([127, 0, 0, 1], port).into(), tls::client(&authority, "http/1.1")).await.unwrap();
    let request =
        request("POST", "/token").header("content-type", "application/x-www-form-urlencoded").body(form);
    let answer = client::http1(stream, &request.authority(&format!("localhost:{port}"))).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    text(&serde_json::from_slice(&answer.body).unwrap(), "access_token")
}

/// Its tokens are the demo's, of which the policy need not know where they come from.
#[tokio::test(flavor = "multi_thread")]
async fn the_authorization_servers_tokens_open_the_demos_api() {
    let project = start(&["idp"], repository());
    let front = front(&project);
    let token = machine_token(&project, "https://api.example/orders", "orders:read").await;
    let answer = front.ask(Wire::Http2, &post("/orders").bearer(&token)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.seen().header("x-portcullis-subject"), ["batch"]);
    // One for another API, and one that is none.
    let other = machine_token(&project, "https://api.example.com/trips", "trips:read").await;
    for (token, reason) in [(other, "token_audience"), (format!("{token}x"), "token_malformed")] {
        let answer = front.ask(Wire::Http2, &post("/orders").bearer(&token)).await;
        assert_eq!((answer.status, answer.reason().as_deref()), (401, Some(reason)), "{answer:?}");
    }
}

/// Prometheus has what Envoy counted, under the names that the rules ask for.
#[tokio::test(flavor = "multi_thread")]
async fn prometheus_records_what_envoy_counts() {
    let project = start(&["metrics"], repository());
    let front = front(&project);
    let api = SocketAddr::from(([127, 0, 0, 1], project.published("prometheus")));
    let asked = async |target: &str| -> Value {
        match client::try_http1_plain(api, &get(target)).await {
            Ok(answer) => serde_json::from_slice(&answer.body).unwrap_or_default(),
            Err(_) => Value::Null,
        }
    };
    let counted = async |query: &str| -> f64 {
        let answer = asked(&format!("/api/v1/query?{}", form(&[("query", query)]))).await;
        answer["data"]["result"][0]["value"][1].as_str().map_or(0.0, |value| value.parse().unwrap())
    };
    assert_eq!(front.ask(Wire::Http2, &get("/orders")).await.status, 401);
    let within = Duration::from_secs(60);
    let refused = r#"portcullis_requests{decision="deny",reason="credentials_missing"}"#;
    until(within, async || counted(refused).await >= 1.0).await;
    until(within, async || counted("count(portcullis:requests:rate5m)").await > 0.0).await;
    let groups = asked("/api/v1/rules").await;
    for rule in groups["data"]["groups"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|group| group["rules"].as_array().unwrap())
    {
        assert_eq!(rule["health"], "ok", "{rule}");
    }

    // What the rules ask for is there, or told in the README, whose names other tests hold.
    let stats = front.admin.text("/stats/prometheus").await;
    let told = stats + &fs::read_to_string(repository().join("README.md")).unwrap();
    let rules = fs::read_to_string(repository().join("envoy/observability/rules.yaml")).unwrap();
    let words = rules.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != ':');
    let names: BTreeSet<&str> =
        words.filter(|word| ["portcullis_", "envoy_"].iter().any(|start| word.starts_with(start))).collect();
    assert!(names.len() >= 9, "{names:?}");
    let unknown: Vec<_> = names.iter().filter(|name| !told.contains(*name)).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

/// Of each alert what raises it and what does not, by Prometheus' own means.
#[test]
fn alerts_are_raised_when_they_should_be() {
    let tests = repository().join("tests/e2e/compose/rules_test.yaml");
    let config = repository().join("envoy/observability/prometheus.yaml");
    for (arguments, file) in [(["check", "config"], config), (["test", "rules"], tests)] {
        let checked = Command::new("promtool").args(arguments).arg(file).output();
        let checked = checked.expect("promtool starts: `make test` installs it");
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    }
}

#[test]
fn two_checkers_take_the_compose_file() {
    let mut schema = Command::new(artifact("PORTCULLIS_COMPOSE_CHECK"));
    schema.args(["--builtin-schema", "vendor.compose-spec"]);
    let mut style = Command::new(artifact("PORTCULLIS_DCLINT"));
    style.args(["--max-warnings", "0", "-c"]).arg(repository().join("tests/e2e/compose/dclint.yaml"));
    for mut checker in [schema, style] {
        let checked = checker.arg(file()).output().unwrap();
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
    }
}

/// What no schema asks for: images by their version, nothing that runs as root, no file of the checkout written, and a
/// folder for every mount, since Docker makes what is missing, as root.
#[test]
fn services_are_confined() {
    for (name, service) in read()["services"].as_object().unwrap() {
        let (_, tag) = service["image"].as_str().unwrap().split_once(':').expect("a tag");
        assert!(
            tag.starts_with(|c: char| c.is_ascii_digit() || c == 'v') && tag.contains(['.', '-']),
            "{name}: {tag}"
        );
        assert_eq!(service["cap_drop"], serde_json::json!(["ALL"]), "{name}");
        assert_eq!(strings(&service["security_opt"]), ["no-new-privileges:true"], "{name}");
        assert_eq!(service["read_only"].as_bool(), Some(name != "setup"), "{name}");
        assert_eq!(service["user"], if name == "volumes" { "root" } else { "1000:1000" }, "{name}");
        for mount in strings(&service["volumes"]).iter().filter(|mount| mount.starts_with('.')) {
            let source = mount.strip_suffix(":ro").unwrap_or_else(|| panic!("{name} could write {mount}"));
            let folder = repository().join("envoy").join(source.split(':').next().unwrap());
            // A file that is mounted stays the old one when it is moved over.
            assert!(folder.is_dir(), "{name}: {mount}");
        }
    }
}
