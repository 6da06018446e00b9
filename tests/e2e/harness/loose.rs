//! Services that read requests loosely, as they stand behind gateways. Each answers with what it makes of a request:
//! the programs are in `tests/e2e/upstreams`.

use std::{
    fs::File,
    net::SocketAddr,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::NamedTempFile;
use tokio::net::TcpStream;

use super::{artifact, free_port, repository};

const START_WITHIN: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    /// PHP's own server: names as CGI has them, `.` and `[` in names of parameters and cookies as `_`.
    Php,
    /// gunicorn with a WSGI application.
    Wsgi,
    Aiohttp,
}

impl Reader {
    pub(crate) const ALL: [Self; 3] = [Self::Php, Self::Wsgi, Self::Aiohttp];

    /// The host under which the gateway reaches it.
    pub(crate) const fn host(self) -> &'static str {
        match self {
            Self::Php => "php.test",
            Self::Wsgi => "wsgi.test",
            Self::Aiohttp => "aiohttp.test",
        }
    }

    fn command(self, port: u16) -> Command {
        let address = format!("127.0.0.1:{port}");
        let python = || Command::new(artifact("PORTCULLIS_PYTHON"));
        let mut command = match self {
            Self::Php => Command::new("php"),
            Self::Wsgi | Self::Aiohttp => python(),
        };
        match self {
            Self::Php => command.env("PHP_CLI_SERVER_WORKERS", "4").args(["-S", &address, "cgi.php"]),
            Self::Wsgi => command.args(["-m", "gunicorn", "--bind", &address, "--no-control-socket"]).args([
                "--worker-class",
                "gthread",
                "--threads",
                "4",
                "--keep-alive",
                "60",
                // Older ones know no other way.
                "--header-map",
                "dangerous",
                "wsgi",
            ]),
            Self::Aiohttp => command.args(["handler.py", &port.to_string()]),
        };
        command
    }
}

/// A running one, ended when it is dropped.
pub(crate) struct Loose {
    pub(crate) reader: Reader,
    pub(crate) address: SocketAddr,
    child: Child,
    log: NamedTempFile,
}

impl Loose {
    pub(crate) async fn start(reader: Reader) -> Self {
        let port = free_port();
        let log = NamedTempFile::new().unwrap();
        let output = File::create(log.path()).unwrap();
        let child = reader
            .command(port)
            .current_dir(programs())
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            // It has workers, which end with it.
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{reader:?} does not start (run `make test`): {error}"));
        let mut loose = Self { reader, address: ([127, 0, 0, 1], port).into(), child, log };
        let deadline = Instant::now() + START_WITHIN;
        while TcpStream::connect(loose.address).await.is_err() {
            let gone = loose.child.try_wait().unwrap().is_some() || Instant::now() > deadline;
            assert!(!gone, "{reader:?} did not start (run `make test`); it said:\n{}", loose.said());
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        loose
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.log.path()).unwrap_or_default()
    }
}

impl Drop for Loose {
    fn drop(&mut self) {
        let group = format!("-{}", self.child.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.child.wait();
        if std::thread::panicking() {
            // PHP tells of every connection.
            let said = self.said();
            let lines: Vec<&str> =
                said.lines().filter(|line| !line.ends_with("ing") && !line.ends_with("ed")).collect();
            eprintln!("--- {:?}\n{}\n---", self.reader, lines.join("\n"));
        }
    }
}

fn programs() -> PathBuf {
    repository().join("tests/e2e/upstreams")
}
