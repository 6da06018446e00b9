//! The demo keeps its contract: `demo run` with ports from the environment, tokens, keys and key set from the same
//! command that `make` calls, and every row of the demo's table, both ways, over HTTPS; over plain HTTP nothing.

pub(crate) mod table;

use std::{
    fs::File,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{
    admin::Admin,
    artifact, client, free_port,
    gateway::Wire,
    repository,
    request::{Answer, Request, get, post},
    table::{Door, hold},
    tls,
};

/// The demo's tool, which cargo builds with the tests.
fn tool() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let tool = test.ancestors().nth(2).unwrap().join("examples/demo");
    assert!(tool.exists(), "{} is not built: run `make test`", tool.display());
    tool
}

fn command(dir: &Path, what: &str) -> Command {
    let mut command = Command::new(tool());
    command
        .arg(what)
        .current_dir(repository())
        .env("PORTCULLIS_DEMO_DIR", dir)
        .env("PORTCULLIS_WASM", artifact("PORTCULLIS_WASM"))
        .env("PORTCULLIS_ENVOY", artifact("PORTCULLIS_ENVOY"));
    for variable in ["SUB", "ROLES", "SCOPE", "AUD", "ISS", "EXP", "ALG"] {
        command.env_remove(variable);
    }
    command
}

/// Standard output of a command that must succeed.
fn output(mut command: Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A folder with everything that the demo makes at set-up.
pub(crate) fn set_up() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    output(command(dir.path(), "setup"));
    dir
}

pub(crate) struct Demo {
    child: Child,
    pub(crate) front: Front,
    dir: TempDir,
}

/// Where a demo is asked, whoever started it.
pub(crate) struct Front {
    pub(crate) https: SocketAddr,
    pub(crate) http: SocketAddr,
    pub(crate) admin: Admin,
    /// Who signed its certificate.
    pub(crate) authority: String,
}

impl Front {
    /// On this machine.
    pub(crate) fn new([https, http, admin]: [u16; 3], authority: String) -> Self {
        let [https, http, admin] = [https, http, admin].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        Self { https, http, admin: Admin::new(admin), authority }
    }
}

impl Demo {
    pub(crate) async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [https, http, admin, upstream] = [(); 4].map(|()| free_port());
        let log = File::create(dir.path().join("log")).unwrap();
        let mut command = command(dir.path(), "run");
        for (variable, port) in [("HTTPS", https), ("HTTP", http), ("ADMIN", admin), ("UPSTREAM", upstream)] {
            command.env(format!("PORTCULLIS_{variable}_PORT"), port.to_string());
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("the demo starts");
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let said = std::fs::read_to_string(dir.path().join("log")).unwrap();
            if said.contains("Portcullis is up") {
                break;
            }
            assert!(child.try_wait().unwrap().is_none(), "the demo gave up:\n{said}");
            assert!(Instant::now() < deadline, "the demo was not up in time:\n{said}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let authority = std::fs::read_to_string(dir.path().join("ca.pem")).unwrap();
        Self { child, front: Front::new([https, http, admin], authority), dir }
    }

    /// `make token NAME=value...`
    fn token(&self, variables: &[(&str, &str)]) -> String {
        token(self.dir.path(), variables)
    }

    /// `make passkeys`: the address of the page for passkeys, with a token.
    pub(crate) fn link(&self) -> String {
        let mut command = command(self.dir.path(), "passkeys");
        command.env("PORTCULLIS_HTTPS_PORT", self.front.https.port().to_string());
        output(command).trim_end().to_owned()
    }

    /// A file that it made at set-up.
    pub(crate) fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap()
    }

    /// Ends it as Ctrl-C does: by a signal to the demo alone, which has to end the others.
    fn interrupt(&mut self) {
        let status = Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
        let deadline = Instant::now() + Duration::from_secs(20);
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < deadline, "the demo does not end");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.interrupt();
        }
        if std::thread::panicking() {
            eprintln!(
                "--- the demo\n{}---",
                std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
            );
        }
    }
}

impl Door for Front {
    async fn ask(&self, wire: Wire, request: &Request) -> Answer {
        let answer = match wire {
            Wire::Http1 => {
                let stream = client::tls(self.https, tls::client(&self.authority, "http/1.1")).await.unwrap();
                client::http1(stream, request).await
            }
            Wire::Http2 => {
                let config = tls::client(&self.authority, "h2");
                client::Http2::connect(self.https, config).await.unwrap().send(request).await
            }
            Wire::Http3 => panic!("no listener for HTTP/3"),
            Wire::Plain => client::try_http1_plain(self.http, request).await,
        };
        answer.unwrap_or_else(|error| panic!("{wire:?} {request:?}: {error}"))
    }

    async fn passed(&self) -> usize {
        usize::try_from(self.admin.stat("cluster.upstream.upstream_rq_total").await).unwrap()
    }
}

fn token(dir: &Path, variables: &[(&str, &str)]) -> String {
    let mut command = command(dir, "token");
    command.envs(variables.iter().copied());
    let printed = output(command);
    let token = printed.strip_suffix('\n').expect("one line").to_owned();
    assert_eq!(token.split('.').count(), 3, "{token}");
    assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{token}");
    token
}

fn api_key(dir: &Path, name: &str) -> String {
    let keys = output(command(dir, "keys"));
    let line = keys.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no key {name}")).to_owned()
}

/// The policy, with the keys that were made.
pub(crate) fn policy(dir: &Path) -> Value {
    let mut python = Command::new(artifact("PORTCULLIS_PYTHON"));
    python.args(["-c", "import json, sys, yaml; print(json.dumps(yaml.safe_load(open(sys.argv[1]))))"]);
    python.arg(dir.join("policy.yaml"));
    serde_json::from_str(&output(python)).unwrap()
}

/// The number of rows, which do not depend on the material.
pub(crate) fn rows() -> usize {
    let dir = set_up();
    table::table(dir.path()).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demos_table_holds() {
    let demo = Demo::start().await;
    let table = table::table(demo.dir.path());
    hold(&demo.front, &[Wire::Http1, Wire::Http2], &table).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_refuses_plain_http_altogether() {
    let demo = Demo::start().await;
    let admin = demo.token(&[("ROLES", "admin")]);
    let requests = [
        get("/health"),
        get("/orders").bearer(&admin),
        post("/orders").bearer(&admin),
        get("/admin").bearer(&admin),
        get("/x"),
    ];
    let before = demo.front.passed().await;
    for request in requests {
        let answer = demo.front.ask(Wire::Plain, &request).await;
        assert_eq!((answer.status, answer.reason().as_deref()), (403, Some("tls_required")), "{answer:?}");
    }
    assert_eq!(demo.front.passed().await, before);
    let answer = demo.front.ask(Wire::Http2, &get("/health")).await;
    assert!(answer.header("strict-transport-security").is_some(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demos_limits_hold() {
    let demo = Demo::start().await;
    let editor = demo.token(&[("SUB", "busy"), ("ROLES", "editor")]);
    let mut statuses = Vec::new();
    let mut connection = client::Http1::new(demo.front.https, tls::client(&demo.front.authority, "http/1.1"));
    for _ in 0..40 {
        statuses.push(connection.send(&post("/orders").bearer(&editor)).await.unwrap().status);
    }
    let passed = statuses.iter().filter(|status| **status == 200).count();
    // 30 a minute: one more comes free every other second.
    assert!((30..=33).contains(&passed), "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
    // Reads are counted apart, and so is everybody else.
    assert_eq!(demo.front.ask(Wire::Http2, &get("/orders").bearer(&editor)).await.status, 200);
    let other = demo.token(&[("SUB", "idle"), ("ROLES", "editor")]);
    assert_eq!(demo.front.ask(Wire::Http2, &post("/orders").bearer(&other)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_ends_as_one() {
    let mut demo = Demo::start().await;
    demo.interrupt();
    // Whoever listened is gone.
    for address in [demo.front.https, demo.front.http] {
        assert!(tokio::net::TcpStream::connect(address).await.is_err());
    }
}

#[test]
fn set_up_keeps_what_is_there_and_keeps_it_private() {
    let dir = set_up();
    let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
    let private = [
        "api-keys",
        "server-key.pem",
        "issuer-es256-key.pem",
        "issuer-rs256-key.pem",
        "issuer-eddsa-key.pem",
    ];
    let before: Vec<Vec<u8>> = private.map(read).into();
    output(command(dir.path(), "setup"));
    assert!(before == private.map(read));
    for name in private {
        let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let keys = output(command(dir.path(), "keys"));
    let names: Vec<&str> = keys.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["reader", "writer", "operator", "expired", "disabled"]);
    // Only public members (RFC 7518 section 6).
    let jwks: Value = serde_json::from_str(&output(command(dir.path(), "jwks"))).unwrap();
    let jwks = jwks["keys"].as_array().unwrap();
    assert_eq!(jwks.len(), 3);
    assert!(
        jwks.iter()
            .all(|key| ["d", "p", "q", "dp", "dq", "qi", "k"].iter().all(|member| key.get(member).is_none()))
    );
    // What Envoy and the policy get holds no key.
    for name in ["policy.yaml", "filter.yaml", "envoy.yaml"] {
        let text = String::from_utf8(read(name)).unwrap();
        assert!(
            keys.lines().filter_map(|line| line.split(' ').nth(1)).all(|key| !text.contains(key)),
            "{name}"
        );
    }
}

#[test]
fn without_set_up_the_tools_say_so_on_standard_error_alone() {
    let dir = tempfile::tempdir().unwrap();
    for what in ["token", "keys", "jwks"] {
        let output = command(dir.path(), what).output().unwrap();
        assert!(!output.status.success() && output.stdout.is_empty(), "{what}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("make run"), "{what}");
    }
    let dir = set_up();
    for (variable, value) in [("ALG", "HS256"), ("EXP", "soon")] {
        let output = command(dir.path(), "token").env(variable, value).output().unwrap();
        assert!(!output.status.success() && output.stdout.is_empty(), "{variable}");
    }
}
