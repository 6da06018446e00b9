//! The demo keeps its contract: `demo run` with ports from the environment, tokens, keys and key set from the same
//! command that `make` calls, and every row of the demo's table, both ways, over HTTPS; over plain HTTP nothing.

use std::{
    fs::File,
    net::{SocketAddr, TcpListener},
    os::unix::fs::PermissionsExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{
    admin::Admin,
    artifact, client,
    gateway::Wire,
    repository,
    request::{Answer, Request, get, post, request},
    table::{Door, Pair, hold, pair},
    tls,
};

/// The demo's tool, which cargo builds with the tests.
fn tool() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let tool = test.ancestors().nth(2).unwrap().join("examples/demo");
    assert!(tool.exists(), "{} is not built: run `make test`", tool.display());
    tool
}

fn command(dir: &TempDir, what: &str) -> Command {
    let mut command = Command::new(tool());
    command
        .arg(what)
        .current_dir(repository())
        .env("PORTCULLIS_DEMO_DIR", dir.path())
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
    output(command(&dir, "setup"));
    dir
}

struct Demo {
    child: Child,
    https: SocketAddr,
    http: SocketAddr,
    admin: Admin,
    authority: String,
    dir: TempDir,
}

/// Below the range that the system hands out by itself.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = u16::try_from(std::process::id() % 8000).unwrap();
    loop {
        let port = 20_000 + (offset + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl Demo {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [https, http, admin, upstream] = [(); 4].map(|()| free_port());
        let log = File::create(dir.path().join("log")).unwrap();
        let mut command = command(&dir, "run");
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
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let authority = std::fs::read_to_string(dir.path().join("ca.pem")).unwrap();
        Self {
            child,
            https: local(https),
            http: local(http),
            admin: Admin::new(local(admin)),
            authority,
            dir,
        }
    }

    /// `make token NAME=value...`
    fn token(&self, variables: &[(&str, &str)]) -> String {
        token(&self.dir, variables)
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

impl Door for Demo {
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
            Wire::Plain => client::try_http1_plain(self.http, request).await,
        };
        answer.unwrap_or_else(|error| panic!("{wire:?} {request:?}: {error}"))
    }

    async fn passed(&self) -> usize {
        usize::try_from(self.admin.stat("cluster.upstream.upstream_rq_total").await).unwrap()
    }
}

fn token(dir: &TempDir, variables: &[(&str, &str)]) -> String {
    let mut command = command(dir, "token");
    command.envs(variables.iter().copied());
    let printed = output(command);
    let token = printed.strip_suffix('\n').expect("one line").to_owned();
    assert_eq!(token.split('.').count(), 3, "{token}");
    assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)), "{token}");
    token
}

fn api_key(dir: &TempDir, name: &str) -> String {
    let keys = output(command(dir, "keys"));
    let line = keys.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.unwrap_or_else(|| panic!("no key {name}")).to_owned()
}

/// The demo's rules, as its documentation has them. Principals differ between rows, so that no row uses up the
/// requests of another.
fn table(dir: &TempDir) -> Vec<Pair> {
    let mut rows = orders(dir);
    rows.extend(roles_and_owners(dir));
    rows.extend(credentials(dir));
    rows
}

const MISSING: (u16, &str) = (401, "credentials_missing");
const NO_RULE: (u16, &str) = (403, "no_rule");
const PERMISSION: (u16, &str) = (403, "insufficient_permission");
const ROLE: (u16, &str) = (403, "insufficient_role");
const INVALID_KEY: (u16, &str) = (401, "api_key_invalid");

fn orders(dir: &TempDir) -> Vec<Pair> {
    let jwt = |subject: &str, role: &str| token(dir, &[("SUB", subject), ("ROLES", role)]);
    let (viewer, editor, admin) = (jwt("vera", "viewer"), jwt("eddie", "editor"), jwt("ada", "admin"));
    let plain = token(dir, &[("SUB", "paul"), ("SCOPE", "orders:read")]);
    let [reader, writer, operator] = ["reader", "writer", "operator"].map(|name| api_key(dir, name));
    let put = |path| request("PUT", path).body("{}");
    let patch = |path| request("PATCH", path).body("{}");
    vec![
        pair("health", get("/health"), post("/health"), NO_RULE),
        pair("health, and nothing near it", get("/health"), get("/healthz"), NO_RULE),
        pair("health is for GET", get("/health"), request("HEAD", "/health"), NO_RULE),
        pair("read all", get("/orders").bearer(&viewer), get("/orders"), MISSING)
            .sees("x-portcullis-subject", "vera")
            .sees("x-portcullis-rule", "read-orders"),
        pair("read one", get("/orders/7").bearer(&viewer), get("/orders/7/items").bearer(&viewer), NO_RULE),
        pair("HEAD all", request("HEAD", "/orders").bearer(&viewer), request("HEAD", "/orders"), MISSING),
        pair(
            "HEAD one",
            request("HEAD", "/orders/7").bearer(&viewer),
            request("HEAD", "/orders/7").bearer(&plain),
            PERMISSION,
        ),
        pair(
            "a scope is no permission",
            get("/orders").bearer(&editor),
            get("/orders").bearer(&plain),
            PERMISSION,
        ),
        pair(
            "read with a key",
            get("/orders").api_key(&reader),
            get("/orders").api_key("pk_demo_x"),
            INVALID_KEY,
        )
        .lacks("x-api-key"),
        pair(
            "read with an expired key",
            get("/orders/7").api_key(&reader),
            get("/orders/7").api_key(&api_key(dir, "expired")),
            (401, "api_key_expired"),
        ),
        pair(
            "read with a disabled key",
            get("/orders/7").api_key(&operator),
            get("/orders/7").api_key(&api_key(dir, "disabled")),
            INVALID_KEY,
        ),
        pair("create", post("/orders").bearer(&editor), post("/orders").bearer(&viewer), PERMISSION),
        pair(
            "create with a key",
            post("/orders").api_key(&writer),
            post("/orders").api_key(&reader),
            PERMISSION,
        ),
        pair("create as admin", post("/orders").bearer(&admin), post("/orders"), MISSING),
        pair("create, not one", post("/orders").bearer(&editor), post("/orders/7").bearer(&editor), NO_RULE),
        pair("replace", put("/orders/7").bearer(&editor), put("/orders/7").bearer(&viewer), PERMISSION),
        pair(
            "replace, not all",
            put("/orders/7").api_key(&operator),
            put("/orders").api_key(&operator),
            NO_RULE,
        ),
        pair("change", patch("/orders/7").api_key(&writer), patch("/orders/7").api_key(&reader), PERMISSION),
        pair(
            "delete",
            request("DELETE", "/orders/7").bearer(&admin),
            request("DELETE", "/orders/7").bearer(&editor),
            ROLE,
        ),
        pair(
            "delete takes a token",
            request("DELETE", "/orders/8").bearer(&admin),
            request("DELETE", "/orders/8").api_key(&operator),
            MISSING,
        ),
        pair(
            "delete one",
            request("DELETE", "/orders/7").bearer(&admin),
            request("DELETE", "/orders").bearer(&admin),
            NO_RULE,
        ),
    ]
}

fn roles_and_owners(dir: &TempDir) -> Vec<Pair> {
    let alice = token(dir, &[("SUB", "alice")]);
    let editor = token(dir, &[("SUB", "eve"), ("ROLES", "editor")]);
    let admin = token(dir, &[("SUB", "root"), ("ROLES", "admin")]);
    let both = token(dir, &[("SUB", "ben"), ("ROLES", "viewer,admin")]);
    let scoped = token(dir, &[("SUB", "sam"), ("SCOPE", "reports:read")]);
    let [reader, writer, operator] = ["reader", "writer", "operator"].map(|name| api_key(dir, name));
    vec![
        pair(
            "own profile",
            get("/users/alice/profile").bearer(&alice),
            get("/users/bob/profile").bearer(&alice),
            (403, "not_owner"),
        ),
        pair(
            "anyone's profile as admin",
            get("/users/bob/profile").bearer(&admin),
            get("/users/bob/profile").bearer(&editor),
            (403, "not_owner"),
        ),
        pair(
            "own profile takes a token",
            get("/users/alice/profile").bearer(&alice),
            get("/users/reader/profile").api_key(&reader),
            MISSING,
        ),
        pair(
            "own profile only to read",
            get("/users/alice/profile").bearer(&alice),
            post("/users/alice/profile").bearer(&alice),
            NO_RULE,
        ),
        pair(
            "reports",
            get("/reports/march").api_key(&reader),
            get("/reports/march").api_key(&writer),
            (403, "insufficient_scope"),
        ),
        pair(
            "reports take that scope and no level",
            get("/reports/march").api_key(&reader),
            get("/reports/march").api_key(&operator),
            (403, "insufficient_scope"),
        ),
        pair(
            "reports take a key",
            get("/reports/march").api_key(&reader),
            get("/reports/march").bearer(&scoped),
            MISSING,
        ),
        pair(
            "reports by name",
            get("/reports/march").api_key(&reader),
            get("/reports").api_key(&reader),
            NO_RULE,
        ),
        pair("the admin area", get("/admin").bearer(&admin), get("/admin").bearer(&editor), ROLE),
        pair("below the admin area", post("/admin/users/7").bearer(&admin), post("/admin/users/7"), MISSING),
        pair(
            "not beside it",
            request("DELETE", "/admin/x").bearer(&both),
            get("/administrator").bearer(&both),
            NO_RULE,
        ),
        pair(
            "the admin area takes a token",
            get("/admin").bearer(&both),
            get("/admin").api_key(&operator),
            MISSING,
        ),
        pair(
            "the admin area by a detour",
            get("/health/../admin").bearer(&admin),
            get("/health/../admin"),
            MISSING,
        )
        .path("/admin"),
        pair("everything else", get("/health"), get("/").bearer(&admin), NO_RULE),
    ]
}

fn credentials(dir: &TempDir) -> Vec<Pair> {
    let jwt = |variables: &[(&str, &str)]| {
        let mut all = vec![("SUB", "carol"), ("ROLES", "viewer")];
        all.extend(variables);
        get("/orders").bearer(&token(dir, &all))
    };
    let mut broken = token(dir, &[("SUB", "carol"), ("ROLES", "viewer")]);
    let at = broken.len() - 20;
    let replacement = if broken.as_bytes()[at] == b'A' { "B" } else { "A" };
    broken.replace_range(at..=at, replacement);
    vec![
        pair("expiry", jwt(&[("EXP", "60")]), jwt(&[("EXP", "-60")]), (401, "token_expired")),
        pair("just expired", jwt(&[]), jwt(&[("EXP", "-1")]), (401, "token_expired")),
        pair(
            "audience",
            jwt(&[("AUD", "https://api.example/orders")]),
            jwt(&[("AUD", "https://api.example")]),
            (401, "token_audience"),
        ),
        pair(
            "issuer",
            jwt(&[("ISS", "https://issuer.example")]),
            jwt(&[("ISS", "https://issuer.example.test")]),
            (401, "token_issuer"),
        ),
        pair("RS256", jwt(&[("ALG", "RS256")]), get("/orders").bearer(&broken), (401, "token_signature")),
        pair("EdDSA", jwt(&[("ALG", "EdDSA")]), get("/orders").bearer("x"), (401, "token_malformed")),
        pair(
            "ES256",
            jwt(&[("ALG", "ES256")]),
            get("/orders").header("authorization", "Basic eDp5"),
            MISSING,
        ),
        pair(
            "a smuggled identity",
            jwt(&[]).header("X-Portcullis-Roles", "admin"),
            get("/admin").header("X_Portcullis_Roles", "admin"),
            MISSING,
        )
        .sees("x-portcullis-roles", "viewer"),
    ]
}

/// The number of rows, which do not depend on the material.
pub(crate) fn rows() -> usize {
    let dir = set_up();
    table(&dir).len()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demos_table_holds() {
    let demo = Demo::start().await;
    let table = table(&demo.dir);
    hold(&demo, &[Wire::Http1, Wire::Http2], &table).await;
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
    let before = demo.passed().await;
    for request in requests {
        let answer = demo.ask(Wire::Plain, &request).await;
        assert_eq!((answer.status, answer.reason().as_deref()), (403, Some("tls_required")), "{answer:?}");
    }
    assert_eq!(demo.passed().await, before);
    let answer = demo.ask(Wire::Http2, &get("/health")).await;
    assert!(answer.header("strict-transport-security").is_some(), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demos_limits_hold() {
    let demo = Demo::start().await;
    let editor = demo.token(&[("SUB", "busy"), ("ROLES", "editor")]);
    let mut statuses = Vec::new();
    let mut connection = client::Http1::new(demo.https, tls::client(&demo.authority, "http/1.1"));
    for _ in 0..40 {
        statuses.push(connection.send(&post("/orders").bearer(&editor)).await.unwrap().status);
    }
    let passed = statuses.iter().filter(|status| **status == 200).count();
    // 30 a minute: one more comes free every other second.
    assert!((30..=33).contains(&passed), "{statuses:?}");
    assert!(statuses.iter().all(|status| [200, 429].contains(status)), "{statuses:?}");
    // Reads are counted apart, and so is everybody else.
    assert_eq!(demo.ask(Wire::Http2, &get("/orders").bearer(&editor)).await.status, 200);
    let other = demo.token(&[("SUB", "idle"), ("ROLES", "editor")]);
    assert_eq!(demo.ask(Wire::Http2, &post("/orders").bearer(&other)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_ends_as_one() {
    let mut demo = Demo::start().await;
    demo.interrupt();
    // Whoever listened is gone.
    for address in [demo.https, demo.http] {
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
    output(command(&dir, "setup"));
    assert!(before == private.map(read));
    for name in private {
        let mode = std::fs::metadata(dir.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let keys = output(command(&dir, "keys"));
    let names: Vec<&str> = keys.lines().filter_map(|line| line.split(' ').next()).collect();
    assert_eq!(names, ["reader", "writer", "operator", "expired", "disabled"]);
    // Only public members (RFC 7518 section 6).
    let jwks: Value = serde_json::from_str(&output(command(&dir, "jwks"))).unwrap();
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
        let output = command(&dir, what).output().unwrap();
        assert!(!output.status.success() && output.stdout.is_empty(), "{what}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("make run"), "{what}");
    }
    let dir = set_up();
    for (variable, value) in [("ALG", "HS256"), ("EXP", "soon")] {
        let output = command(&dir, "token").env(variable, value).output().unwrap();
        assert!(!output.status.success() && output.stdout.is_empty(), "{variable}");
    }
}
