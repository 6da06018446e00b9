//! A real etcd, Debian's, on this machine alone.

use std::{
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::{NamedTempFile, TempDir};

use super::free_port;

pub(crate) struct Etcd {
    child: Child,
    pub(crate) port: u16,
    peer_port: u16,
    directory: TempDir,
}

impl Etcd {
    /// Starts with nothing in it.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (port, peer_port) = (free_port(), free_port());
        let child = run(&directory, port, peer_port);
        let etcd = Self { child, port, peer_port, directory };
        etcd.wait();
        etcd
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Ends the process at once; what was written is there when it starts again.
    pub(crate) fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts again, where it was.
    pub(crate) fn restart(&mut self) {
        self.stop();
        self.child = run(&self.directory, self.port, self.peer_port);
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
        let done = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .args(["--endpoints", &self.url()])
            .args(arguments)
            .output()
            .expect("etcdctl runs: `make test` installs it");
        assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    /// The names and values of all that is there.
    pub(crate) fn everything(&self) -> String {
        self.ctl(&["get", "--prefix", ""])
    }

    fn wait(&self) {
        let begin = Instant::now();
        let health = || {
            let done = Command::new("etcdctl")
                .env("ETCDCTL_API", "3")
                .args(["--endpoints", &self.url(), "--command-timeout", "1s", "endpoint", "health"])
                .output();
            done.is_ok_and(|done| done.status.success())
        };
        while !health() {
            assert!(begin.elapsed() < Duration::from_secs(20), "etcd does not start");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

fn run(directory: &TempDir, port: u16, peer_port: u16) -> Child {
    let client = format!("http://127.0.0.1:{port}");
    let peer = format!("http://127.0.0.1:{peer_port}");
    Command::new("etcd")
        .args(["--name", "test", "--data-dir"])
        .arg(directory.path().join("data"))
        .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
        .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
        .args(["--initial-cluster", &format!("test={peer}")])
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
