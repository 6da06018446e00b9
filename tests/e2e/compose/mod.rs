//! `envoy/docker-compose.yaml` without an engine: what its services do is done here, by the file itself.

mod project;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use project::{Project, cargo_home, file, read, strings};

use crate::{
    demo::{Front, table::table},
    harness::{
        artifact,
        gateway::Wire,
        idp::until,
        repository,
        request::get,
        table::{Door as _, hold},
    },
};

/// The volume with what is built, as another start finds it; and a checkout whose policy can be changed.
fn instead(checkout: &Path) -> Vec<(&'static str, &'static str, PathBuf)> {
    let target = repository().join("target");
    vec![
        ("setup", "/built/cargo", cargo_home()),
        ("setup", "/built/target", target.clone()),
        ("demo", "/built/target", target),
        ("demo", "/portcullis", checkout.to_owned()),
    ]
}

/// As `envoy/demo/setup.sh` would build it here. The module that tests load is quick to build.
const QUICK: [(&str, &str); 2] = [("PORTCULLIS_PROFILE", "faults"), ("PORTCULLIS_FEATURES", "faults")];

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
    let project = Project::start(&[], &QUICK, instead(checkout.path()));
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
    let project = Project::start(&[], &QUICK, instead(checkout.path()));
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
