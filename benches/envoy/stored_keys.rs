//! API keys in etcd, a thousand beside as many as are asked for: how long reading them takes, what they hold, and what it
//! costs to look one up.
//!
//! A million take minutes, so this is measured only where it is asked for by name. The same client sends a thousand keys, in
//! turn: first when the worker has forgotten all it knew, because one key of the store was changed, and then once more. Of
//! more keys than a thousand they are others each time, from all over the store.

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use crc::{CRC_32_ISO_HDLC, Crc};
use ct_codecs::{Base64, Encoder as _};
use serde_json::{Value, json};

use crate::{
    envoy_parts,
    gateway::Gateway,
    listeners,
    policies::{self, KEY_HEADER, hash},
    settings::Settings,
};

/// By this name it is asked for.
pub(crate) const NAME: &str = "stored-keys";

/// How many keys are used, and there are at least.
const USED: usize = 1000;

/// How often a thousand are sent, each of both ways.
const PASSES: usize = 20;

/// How often before anything counts.
const WARM_UP: usize = 5;

/// As many as wrk keeps in the other cases.
const CONNECTIONS: usize = 16;

/// In one transaction.
const PUTS: usize = 1000;

/// All keys are read by then.
const READ_WITHIN: Duration = Duration::from_secs(1200);

const PREFIX: &str = "/portcullis/";

pub(crate) struct Measured {
    keys: usize,
    read_seconds: f64,
    read_us_per_key: f64,
    resident_bytes: u64,
    worker_bytes: Option<u64>,
    first_us: f64,
    known_us: f64,
}

/// A thousand, and `settings.keys`.
pub(crate) fn measure(settings: &Settings) -> Result<Vec<Measured>, String> {
    [USED, settings.keys].into_iter().map(|keys| measure_with(settings, keys.max(USED))).collect()
}

fn measure_with(settings: &Settings, keys: usize) -> Result<Measured, String> {
    let etcd = Etcd::start(&settings.dir.join("etcd"))?;
    let began = Instant::now();
    // The last one is changed to make the worker forget.
    let changed = keys;
    etcd.fill(keys)?;
    eprintln!("{keys} keys written in {:.1} s", began.elapsed().as_secs_f64());

    let gateway = Gateway::start(settings, &bootstrap(settings, etcd.address))?;
    let began = Instant::now();
    gateway.admin("POST", "/logging?wasm=error")?;
    let mut client = Client::connect(gateway.address(NAME))?;
    let started = gateway.cpu_nanos()?;
    while client.send(&[request(keys - 1)])? != [200] {
        if began.elapsed() > READ_WITHIN {
            return Err(format!("{keys} keys are not read in {READ_WITHIN:?}"));
        }
        sleep(Duration::from_millis(100));
    }
    let read_seconds = began.elapsed().as_secs_f64();
    let read_nanos = gateway.cpu_nanos()? - started;

    let (apart, mut first, mut known) = (keys / USED, Vec::new(), Vec::new());
    for pass in 0..WARM_UP + PASSES {
        let used: Vec<Vec<u8>> = (0..USED).map(|n| request(n * apart + pass % apart)).collect();
        let (is_disabled, expected) = if pass % 2 == 0 { (true, 401) } else { (false, 200) };
        etcd.put(changed, is_disabled)?;
        while client.send(&[request(changed)])? != [expected] {
            sleep(Duration::from_millis(20));
        }
        let costs = [client.cost(&gateway, &used)?, client.cost(&gateway, &used)?];
        if pass >= WARM_UP {
            first.push(costs[0]);
            known.push(costs[1]);
        }
    }
    let each = |mut nanos: Vec<u64>| {
        nanos.sort_unstable();
        nanos[PASSES / 2] as f64 / 1000.0 / USED as f64
    };
    Ok(Measured {
        keys,
        read_seconds,
        read_us_per_key: read_nanos as f64 / 1000.0 / keys as f64,
        resident_bytes: gateway.resident()?,
        worker_bytes: gateway.stat("wasmcustom.portcullis_memory_bytes")?,
        first_us: each(first),
        known_us: each(known),
    })
}

fn bootstrap(settings: &Settings, etcd: SocketAddr) -> Value {
    let policy = policies::stored(&format!("http://{etcd}"), "etcd", PREFIX);
    let mut bootstrap = listeners::of(vec![listeners::portcullis(NAME, &settings.wasm, &policy)]);
    let endpoint = json!({"endpoint": {"address": envoy_parts::address(etcd)}});
    bootstrap["static_resources"]["clusters"] = json!([{
        "name": "etcd",
        "type": "STATIC",
        "load_assignment": {"cluster_name": "etcd", "endpoints": [{"lb_endpoints": [endpoint]}]},
    }]);
    bootstrap
}

/// As `portcullis key` makes them.
fn key(n: usize) -> String {
    let mut key = format!("pcl_key-{n:07}_{:032}", n * 7919);
    let mut checksum = Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(key.as_bytes());
    let mut digits = [b'0'; 6];
    for digit in digits.iter_mut().rev() {
        const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        *digit = DIGITS[usize::try_from(checksum % 62).unwrap_or_default()];
        checksum /= 62;
    }
    key.extend(digits.map(char::from));
    key
}

fn place(n: usize) -> String {
    format!("{PREFIX}v1/keys/key-{n:07}")
}

/// Some 230 bytes.
fn entry(n: usize, is_disabled: bool) -> Value {
    let mut entry = json!({
        "hash": hash(&key(n)), "level": "Read", "client": format!("client-{n}"), "expiresAt": "2100-01-01T00:00:00Z",
        "label": "a label of some length", "owner": "team@example.com",
    });
    if is_disabled {
        entry["disabled"] = true.into();
    }
    entry
}

fn request(n: usize) -> Vec<u8> {
    let key = key(n);
    format!("GET /orders/4711 HTTP/1.1\r\nhost: bench.example\r\n{KEY_HEADER}: {key}\r\n\r\n").into_bytes()
}

struct Etcd {
    child: Child,
    address: SocketAddr,
}

impl Etcd {
    /// With nothing in it.
    fn start(dir: &Path) -> Result<Self, String> {
        let failed = |error: std::io::Error| format!("cannot start etcd: {error}");
        let _ = fs::remove_dir_all(dir);
        let free = || TcpListener::bind("127.0.0.1:0")?.local_addr();
        let (address, peer) = (free().map_err(failed)?, free().map_err(failed)?);
        let (client, peer) = (format!("http://{address}"), format!("http://{peer}"));
        let child = Command::new("etcd")
            .args(["--name", "bench", "--data-dir"])
            .arg(dir)
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer])
            .args(["--initial-cluster", &format!("bench={peer}")])
            .args(["--max-txn-ops", &PUTS.to_string(), "--quota-backend-bytes", &(8_u64 << 30).to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let etcd = Self { child, address };
        let began = Instant::now();
        while etcd.post("/v3/kv/range", &json!({"key": "AA=="})).is_err() {
            if began.elapsed() > Duration::from_secs(20) {
                return Err("etcd does not start".to_owned());
            }
            sleep(Duration::from_millis(100));
        }
        Ok(etcd)
    }

    fn fill(&self, keys: usize) -> Result<(), String> {
        let all: Vec<usize> = (0..keys).collect();
        for some in all.chunks(PUTS) {
            let puts = some.iter().map(|n| json!({"request_put": put(*n, false)}));
            self.post("/v3/kv/txn", &json!({"success": puts.collect::<Value>()}))?;
        }
        Ok(())
    }

    fn put(&self, n: usize, is_disabled: bool) -> Result<(), String> {
        self.post("/v3/kv/put", &put(n, is_disabled))
    }

    fn post(&self, path: &str, body: &Value) -> Result<(), String> {
        let exchange = || -> std::io::Result<Vec<u8>> {
            let mut stream = TcpStream::connect(self.address)?;
            stream.set_read_timeout(Some(Duration::from_secs(60)))?;
            let body = body.to_string();
            let (host, length) = (self.address, body.len());
            let head = format!("POST {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
            stream.write_all(format!("{head}content-length: {length}\r\n\r\n{body}").as_bytes())?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer)?;
            Ok(answer)
        };
        let answer = exchange().map_err(|error| format!("etcd: {path}: {error}"))?;
        match answer.starts_with(b"HTTP/1.1 200 ") {
            true => Ok(()),
            false => Err(format!("etcd: {path}: {}", String::from_utf8_lossy(&answer))),
        }
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn put(n: usize, is_disabled: bool) -> Value {
    let base64 = |text: String| Base64::encode_to_string(text).expect("it fits");
    json!({"key": base64(place(n)), "value": base64(entry(n, is_disabled).to_string())})
}

/// Sends so many requests at once as it has connections.
struct Client(Vec<TcpStream>);

impl Client {
    fn connect(to: SocketAddr) -> Result<Self, String> {
        let connect = |_| {
            let stream = TcpStream::connect(to)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            Ok(stream)
        };
        let connections: std::io::Result<_> = (0..CONNECTIONS).map(connect).collect();
        connections.map(Self).map_err(|error| format!("{to}: {error}"))
    }

    /// The statuses of the answers.
    fn send(&mut self, requests: &[Vec<u8>]) -> Result<Vec<u16>, String> {
        let mut exchange = || -> std::io::Result<Vec<u16>> {
            let mut statuses = Vec::with_capacity(requests.len());
            for some in requests.chunks(CONNECTIONS) {
                for (stream, request) in self.0.iter_mut().zip(some) {
                    stream.write_all(request)?;
                }
                for stream in self.0.iter_mut().take(some.len()) {
                    statuses.push(status(stream)?);
                }
            }
            Ok(statuses)
        };
        exchange().map_err(|error| format!("a request to Envoy: {error}"))
    }

    /// The processor time that Envoy takes for these, all of which are let in.
    fn cost(&mut self, gateway: &Gateway, requests: &[Vec<u8>]) -> Result<u64, String> {
        let before = gateway.cpu_nanos()?;
        let refused = self.send(requests)?.iter().filter(|status| **status != 200).count();
        match refused {
            0 => Ok(gateway.cpu_nanos()? - before),
            _ => Err(format!("{refused} requests with good keys were refused")),
        }
    }
}

/// Of the one answer that is due.
fn status(stream: &mut TcpStream) -> std::io::Result<u16> {
    let (mut answer, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let size = stream.read(&mut buffer)?;
        answer.extend_from_slice(&buffer[..size]);
        let text = String::from_utf8_lossy(&answer);
        if size == 0 {
            return Err(std::io::Error::other(format!("the connection ended behind {text:?}")));
        }
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
            return status.ok_or_else(|| std::io::Error::other(format!("no status: {head:?}")));
        }
    }
}

/// What a key more takes in Envoy.
fn bytes_per_key(measured: &[Measured]) -> Option<f64> {
    let [few, many] = measured else { return None };
    let keys = many.keys.checked_sub(few.keys).filter(|keys| *keys > 0)?;
    Some(many.resident_bytes.saturating_sub(few.resident_bytes) as f64 / keys as f64)
}

pub(crate) fn text(measured: &[Measured]) -> String {
    let mut text = format!(
        "\n{:>9} {:>9} {:>10} {:>12} {:>10} {:>14} {:>14}\n",
        "keys", "read in", "us a key", "Envoy holds", "a worker", "us, first met", "us, met before"
    );
    for one in measured {
        let megabytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
        let _ = writeln!(
            text,
            "{:>9} {:>7.1} s {:>10.2} {:>12} {:>10} {:>14.2} {:>14.2}",
            one.keys,
            one.read_seconds,
            one.read_us_per_key,
            megabytes(one.resident_bytes),
            one.worker_bytes.map_or("unknown".to_owned(), megabytes),
            one.first_us,
            one.known_us,
        );
    }
    if let Some(bytes) = bytes_per_key(measured) {
        let _ = writeln!(text, "a key more: {bytes:.0} bytes");
    }
    text
}

pub(crate) fn to_json(measured: &[Measured]) -> Value {
    let stores = measured.iter().map(|one| {
        json!({
            "keys": one.keys, "readSeconds": one.read_seconds, "readUsPerKey": one.read_us_per_key,
            "residentBytes": one.resident_bytes, "workerBytes": one.worker_bytes,
            "firstUs": one.first_us, "knownUs": one.known_us,
        })
    });
    json!({"stores": stores.collect::<Value>(), "bytesPerKey": bytes_per_key(measured)})
}
