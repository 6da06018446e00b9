//! A real etcd, Debian's, on this machine alone.

use std::{
    io::Write as _,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::{NamedTempFile, TempDir};

use super::{
    free_port,
    tls::{CLIENTS, Identity},
};

pub(crate) struct Etcd {
    child: Child,
    pub(crate) port: u16,
    peer_port: u16,
    directory: TempDir,
    /// Its certificate and keys; `None`: it speaks without TLS.
    secured: Option<TempDir>,
    /// As whom we speak to it, once users have to log in.
    user: Option<&'static str>,
    /// What else it is told to do, as on its command line.
    options: Vec<String>,
}

impl Etcd {
    /// Starts with nothing in it.
    pub(crate) fn start() -> Self {
        Self::start_as(None, &[])
    }

    /// The same with tokens that it knows no more after so many seconds without a question.
    pub(crate) fn start_with_tokens_of(secs: u32) -> Self {
        Self::start_as(None, &["--auth-token-ttl", &secs.to_string()])
    }

    /// The same, with room for so many bytes.
    pub(crate) fn start_with_room(bytes: u64) -> Self {
        Self::start_as(None, &["--quota-backend-bytes", &bytes.to_string()])
    }

    /// The same over TLS, for clients that show a certificate of [`CLIENTS`].
    pub(crate) fn start_secured() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
        let write_both = |name: &str, identity: &Identity| {
            write(&format!("{name}.pem"), &identity.certificate);
            write(&format!("{name}-key.pem"), &identity.key);
        };
        write("ca.pem", &CLIENTS.certificate);
        write_both("server", &CLIENTS.identity("localhost"));
        write_both("client", &CLIENTS.identity("operator.test"));
        write_both("nameless", &CLIENTS.nameless("operator.test"));
        Self::start_as(Some(directory), &[])
    }

    fn start_as(secured: Option<TempDir>, options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (port, peer_port) = (free_port(), free_port());
        let options: Vec<_> = options.iter().map(|option| (*option).to_owned()).collect();
        let child = run(&directory, secured.as_ref(), port, peer_port, &options);
        let etcd = Self { child, port, peer_port, directory, secured, user: None, options };
        etcd.wait();
        etcd
    }

    pub(crate) fn url(&self) -> String {
        match self.secured {
            Some(_) => format!("https://localhost:{}", self.port),
            None => format!("http://127.0.0.1:{}", self.port),
        }
    }

    /// The path of a file of [`Etcd::start_secured`].
    pub(crate) fn file(&self, name: &str) -> String {
        self.secured.as_ref().unwrap().path().join(name).display().to_string()
    }

    /// From now on users have to log in: `root`, and `gateway`, who may read what begins with `prefix`.
    pub(crate) fn require_login(&mut self, prefix: &str) {
        require_login(prefix, |arguments| _ = self.ctl(arguments));
        self.user = Some(ROOT);
    }

    /// Ends the process at once; what was written is there when it starts again.
    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts again, where it was.
    pub(crate) fn restart(&mut self) {
        self.stop();
        let secured = self.secured.as_ref();
        self.child = run(&self.directory, secured, self.port, self.peer_port, &self.options);
        self.wait();
    }

    /// Starts again with nothing in it.
    pub(crate) fn wipe(&mut self) {
        self.stop();
        self.directory = tempfile::tempdir().unwrap();
        self.restart();
    }

    /// All that is there now, as a file.
    pub(crate) fn snapshot(&self) -> NamedTempFile {
        let file = NamedTempFile::new().unwrap();
        self.ctl(&["snapshot", "save", file.path().to_str().unwrap()]);
        file
    }

    /// Starts again as it was then.
    pub(crate) fn restore(&mut self, snapshot: &NamedTempFile) {
        self.stop();
        self.directory = tempfile::tempdir().unwrap();
        let peer = format!("http://127.0.0.1:{}", self.peer_port);
        let done = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["snapshot", "restore", snapshot.path().to_str().unwrap(), "--name", "test"])
            .args(["--initial-cluster", &format!("test={peer}"), "--initial-advertise-peer-urls", &peer])
            .arg("--data-dir")
            .arg(self.directory.path().join("data"))
            .output()
            .unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        self.restart();
    }

    /// Runs `etcdctl`.
    pub(crate) fn ctl(&self, arguments: &[&str]) -> String {
        self.try_ctl(arguments, b"").unwrap_or_else(|said| panic!("{arguments:?}: {said}"))
    }

    /// The same with `input`: the value of a `put` that has none. The error is what it said.
    pub(crate) fn try_ctl(&self, arguments: &[&str], input: &[u8]) -> Result<String, String> {
        let child = self
            .command()
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = child.expect("etcdctl runs: `make test` installs it");
        child.stdin.take().unwrap().write_all(input).unwrap();
        let done = child.wait_with_output().unwrap();
        match done.status.success() {
            true => Ok(String::from_utf8(done.stdout).unwrap()),
            false => Err(String::from_utf8_lossy(&done.stderr).into_owned()),
        }
    }

    /// Forgets what was before, and gives back the room that it took.
    pub(crate) fn compact(&self) {
        let told: Value =
            serde_json::from_str(&self.ctl(&["endpoint", "status", "--write-out", "json"])).unwrap();
        self.ctl(&["compact", &told[0]["Status"]["header"]["revision"].to_string()]);
        self.ctl(&["defrag"]);
    }

    /// The names and values of all that is there.
    pub(crate) fn everything(&self) -> String {
        self.ctl(&["get", "--prefix", ""])
    }

    fn command(&self) -> Command {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &self.url()]);
        if self.secured.is_some() {
            command.args(["--cacert", &self.file("ca.pem"), "--cert", &self.file("client.pem")]);
            command.args(["--key", &self.file("client-key.pem")]);
        }
        command.args(self.user.iter().flat_map(|user| ["--user", user]));
        command
    }

    fn wait(&self) {
        let begin = Instant::now();
        let health = || {
            let done = self.command().args(["--command-timeout", "1s", "endpoint", "health"]).output();
            done.is_ok_and(|done| done.status.success())
        };
        while !health() {
            assert!(begin.elapsed() < Duration::from_secs(20), "etcd does not start");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// As whom `etcdctl` logs in.
pub(super) const ROOT: &str = "root:root-password";

/// What [`Etcd::require_login`] has `etcdctl` do.
pub(super) fn require_login(prefix: &str, ctl: impl Fn(&[&str])) {
    for arguments in [
        &["user", "add", ROOT][..],
        &["user", "grant-role", "root", "root"],
        &["user", "add", "gateway:gateway-password"],
        &["role", "add", "reader"],
        &["role", "grant-permission", "--prefix=true", "reader", "read", prefix],
        &["user", "grant-role", "gateway", "reader"],
        &["auth", "enable"],
    ] {
        ctl(arguments);
    }
}

fn run(
    directory: &TempDir,
    secured: Option<&TempDir>,
    port: u16,
    peer_port: u16,
    options: &[String],
) -> Child {
    let scheme = if secured.is_some() { "https" } else { "http" };
    let client = format!("{scheme}://127.0.0.1:{port}");
    let peer = format!("http://127.0.0.1:{peer_port}");
    let mut command = Command::new("etcd");
    if let Some(secured) = secured {
        let file = |name: &str| secured.path().join(name);
        command.arg("--client-cert-auth").arg("--trusted-ca-file").arg(file("ca.pem"));
        command.arg("--cert-file").arg(file("server.pem")).arg("--key-file").arg(file("server-key.pem"));
    }
    command
        .args(["--name", "test", "--data-dir"])
        .arg(directory.path().join("data"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("test={peer}")])
        .args(options)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("etcd starts: `make test` installs it")
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.stop();
    }
}
