//! The Envoy that is measured, and how much of the processor it has used.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::settings::Settings;

const START_WITHIN: Duration = Duration::from_secs(120);
/// `USER_HZ`: of the times in /proc, on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// A running Envoy, ended when it is dropped.
pub(crate) struct Gateway {
    child: Child,
    admin: SocketAddr,
    log: PathBuf,
    listeners: BTreeMap<String, SocketAddr>,
}

impl Gateway {
    /// Starts Envoy with one worker and waits until it serves.
    pub(crate) fn start(settings: &Settings, bootstrap: &Value) -> Result<Self, String> {
        let file = |name: &str| settings.dir.join(name);
        let (config, log, address) = (file("envoy.json"), file("envoy.log"), file("admin-address"));
        let failed = |error: std::io::Error| format!("cannot start Envoy: {error}");
        let _ = fs::remove_file(&address);
        fs::write(&config, bootstrap.to_string()).map_err(failed)?;
        let output = File::create(&log).map_err(failed)?;
        let child = Command::new(&settings.envoy)
            .arg("--config-path")
            .arg(&config)
            .args(["--concurrency", "1", "--disable-hot-restart"])
            .args(["--log-level", "warning", "--component-log-level", "wasm:info"])
            .arg("--admin-address-path")
            .arg(&address)
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(failed)?)
            .stderr(output)
            .spawn()
            .map_err(failed)?;
        let mut gateway = Self { child, admin: ([127, 0, 0, 1], 0).into(), log, listeners: BTreeMap::new() };
        gateway.wait(&address)?;
        Ok(gateway)
    }

    fn wait(&mut self, address: &Path) -> Result<(), String> {
        let deadline = Instant::now() + START_WITHIN;
        loop {
            let admin = fs::read_to_string(address).ok().and_then(|text| text.trim().parse().ok());
            if let Some(admin) = admin {
                self.admin = admin;
                if self.admin("GET", "/ready").is_ok_and(|answer| answer.status == 200) {
                    break;
                }
            }
            let ended = self.child.try_wait().map_err(|error| error.to_string())?;
            if ended.is_some() || Instant::now() > deadline {
                return Err(format!("Envoy did not start; its log:\n{}", self.log()));
            }
            sleep(Duration::from_millis(50));
        }
        let listeners = self.admin("GET", "/listeners?format=json")?;
        let listeners: Value = serde_json::from_str(&listeners.body).map_err(|error| error.to_string())?;
        for listener in listeners["listener_statuses"].as_array().into_iter().flatten() {
            let address = &listener["local_address"]["socket_address"];
            let address =
                format!("{}:{}", address["address"].as_str().unwrap_or_default(), address["port_value"]);
            let name = listener["name"].as_str().unwrap_or_default().to_owned();
            self.listeners.insert(name, address.parse().map_err(|_| format!("no address: {address}"))?);
        }
        Ok(())
    }

    pub(crate) fn address(&self, listener: &str) -> SocketAddr {
        self.listeners[listener]
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn admin(&self, method: &str, path: &str) -> Result<Answer, String> {
        send(self.admin, method, path, &[])
    }

    /// A counter or gauge; `None` if Envoy has no such.
    pub(crate) fn stat(&self, name: &str) -> Result<Option<u64>, String> {
        let stats = self.admin("GET", "/stats")?.body;
        let value = stats.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        Ok(value.and_then(|value| value.parse().ok()))
    }

    /// Nanoseconds that the process has run, on all of its threads.
    pub(crate) fn cpu_nanos(&self) -> Result<u64, String> {
        let path = format!("/proc/{}/task", self.child.id());
        let failed = |error: std::io::Error| format!("{path}: {error}");
        let mut nanos = 0;
        for thread in fs::read_dir(&path).map_err(failed)? {
            let stat =
                fs::read_to_string(thread.map_err(failed)?.path().join("schedstat")).map_err(failed)?;
            nanos += stat.split(' ').next().and_then(|first| first.parse::<u64>().ok()).unwrap_or(0);
        }
        Ok(nanos)
    }

    /// Bytes of memory that the process holds.
    pub(crate) fn resident(&self) -> Result<u64, String> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
        line.and_then(|kb| kb.parse::<u64>().ok()).map(|kb| kb * 1024).ok_or(format!("{path} does not say"))
    }

    /// Seconds that the process has run, in user and in kernel mode, on all of its threads.
    pub(crate) fn cpu_seconds(&self) -> Result<f64, String> {
        let path = format!("/proc/{}/stat", self.child.id());
        let stat = fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        // The command's name, in parentheses, may hold anything; fields 14 and 15 follow it.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        match ticks.as_slice() {
            [user, kernel] => Ok((user + kernel) / TICKS_PER_SECOND),
            _ => Err(format!("{path} does not say")),
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

/// One HTTP/1.1 request on a connection of its own.
pub(crate) fn send(
    to: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> Result<Answer, String> {
    let exchange = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(to)?;
        stream.set_read_timeout(Some(Duration::from_secs(10)))?;
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let request =
            format!("{method} {path} HTTP/1.1\r\nhost: bench.example\r\nconnection: close\r\n{headers}\r\n");
        stream.write_all(request.as_bytes())?;
        let (mut answer, mut buffer) = (Vec::new(), [0; 65536]);
        // Envoy may leave the connection open for a while after the answer.
        while !is_whole(&answer) {
            match stream.read(&mut buffer)? {
                0 => break,
                size => answer.extend_from_slice(&buffer[..size]),
            }
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    };
    let answer = exchange().map_err(|error| format!("{to}{path}: {error}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("an answer that is not HTTP")?;
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers: BTreeMap<_, _> =
        headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let chunked = headers.contains_key("transfer-encoding");
    let body = if chunked { unchunked(body) } else { body.to_owned() };
    Ok(Answer { status: status.ok_or("an answer without status")?, headers, body })
}

/// Whether the answer states its length and is that long.
fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else { return false };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
    length.is_some_and(|length| answer.len() >= end + 4 + length) || answer.ends_with(b"\r\n0\r\n\r\n")
}

/// RFC 9112 section 7.1, as far as Envoy uses it.
fn unchunked(mut body: &str) -> String {
    let mut whole = String::new();
    while let Some((size, rest)) = body.split_once("\r\n")
        && let Ok(size @ 1..) = usize::from_str_radix(size, 16)
        && let Some((chunk, rest)) = rest.split_at_checked(size)
    {
        whole.push_str(chunk);
        body = rest.trim_start_matches("\r\n");
    }
    whole
}
