//! A real etcd, Debian's, on this machine alone.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

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
    /// After so many seconds without a question it knows a token no more.
    token_secs: u32,
}

impl Etcd {
    /// Starts with nothing in it.
    pub(crate) fn start() -> Self {
        Self::start_as(None, 300)
    }

    /// The same with tokens that are soon known no more.
    pub(crate) fn start_with_tokens_of(secs: u32) -> Self {
        Self::start_as(None, secs)
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
        Self::start_as(Some(directory), 300)
    }

    fn start_as(secured: Option<TempDir>, token_secs: u32) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (port, peer_port) = (free_port(), free_port());
        let child = run(&directory, secured.as_ref(), port, peer_port, token_secs);
        let etcd = Self { child, port, peer_port, directory, secured, user: None, token_secs };
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
        for arguments in [
            &["user", "add", "root:root-password"][..],
            &["user", "grant-role", "root", "root"],
            &["user", "add", "gateway:gateway-password"],
            &["role", "add", "reader"],
            &["role", "grant-permission", "--prefix=true", "reader", "read", prefix],
            &["user", "grant-role", "gateway", "reader"],
            &["auth", "enable"],
        ] {
            self.ctl(arguments);
        }
        self.user = Some("root:root-password");
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
        self.child = run(&self.directory, secured, self.port, self.peer_port, self.token_secs);
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
        let done = self.command().args(arguments).output().expect("etcdctl runs: `make test` installs it");
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
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

fn run(directory: &TempDir, secured: Option<&TempDir>, port: u16, peer_port: u16, token_secs: u32) -> Child {
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
        .args(["--auth-token-ttl", &token_secs.to_string()])
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
