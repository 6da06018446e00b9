//! `envoy/minimal.yaml` as it ships, but for ports and names: what it promises beside the policy.

use std::{fs, io, net::SocketAddr, path::Path, time::Duration};

use serde_json::json;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet};

use crate::harness::{
    artifact, client,
    gateway::Wire,
    http3::Http3,
    issuer::token,
    process::Envoy,
    repository,
    request::{Answer, Request, get, request},
    table::Door,
    tls::{self, CLIENTS, IDENTITY},
    upstream::Upstream,
};

const ORIGIN: &str = "https://app.example.com";

/// An Envoy as a reader of the file would start it, and who never answers its questions for keys.
pub(crate) struct Minimal {
    envoy: Envoy,
    upstream: Upstream,
    /// Over TCP.
    pub(crate) https: SocketAddr,
    /// Over UDP, if it speaks HTTP/3.
    http3: Option<SocketAddr>,
    dir: TempDir,
    _silent: TcpListener,
}

/// What `minimal.yaml` wants beside it.
pub(crate) fn lay_out_material(dir: &Path) {
    let put = |name: &str, text: &str| fs::write(dir.join(name), text).unwrap();
    put("server.pem", &IDENTITY.certificate);
    put("server-key.pem", &IDENTITY.key);
    put("idp-ca.pem", &IDENTITY.certificate);
    put("clients-ca.pem", &CLIENTS.certificate);
    put("minimal-filter.yaml", &filter());
    fs::copy(artifact("PORTCULLIS_WASM"), dir.join("portcullis.wasm")).unwrap();
}

pub(crate) fn filter() -> String {
    fs::read_to_string(repository().join("envoy/minimal-filter.yaml")).unwrap()
}

impl Minimal {
    async fn start() -> Self {
        Self::start_with(&[], &filter()).await
    }

    /// With another filter, and with `changes` of the file, each of which must be of something that stands there.
    pub(crate) async fn start_with(changes: &[(&str, &str)], filter: &str) -> Self {
        let config = fs::read_to_string(repository().join("envoy/minimal.yaml")).unwrap();
        Self::start_as(config, changes, filter).await
    }

    pub(crate) async fn start_without_http3(changes: &[(&str, &str)], filter: &str) -> Self {
        let config = fs::read_to_string(repository().join("envoy/minimal.yaml")).unwrap();
        let (before, rest) = config.split_once("\n  # HTTP/3, ").expect("a listener for HTTP/3");
        let (_, after) = rest.split_once("\n  clusters:\n").expect("clusters");
        Self::start_as(format!("{before}\n  clusters:\n{after}"), changes, filter).await
    }

    async fn start_as(mut config: String, changes: &[(&str, &str)], filter: &str) -> Self {
        let upstream = Upstream::start().await;
        let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let idp = format!("address: 127.0.0.1, port_value: {}", silent.local_addr().unwrap().port());
        let api = format!("port_value: {}", upstream.address.port());
        let places = [
            ("address: 127.0.0.1, port_value: 8443", "address: 127.0.0.1, port_value: 0"),
            ("port_value: 9901", "port_value: 0"),
            ("port_value: 8081", &api),
            ("address: idp.example.com, port_value: 443", &idp),
        ];
        for (shipped, here) in places.iter().chain(changes) {
            assert!(config.contains(shipped), "no `{shipped}` in the file");
            config = config.replace(shipped, here);
        }
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("minimal.yaml"), config).unwrap();
        lay_out_material(dir.path());
        fs::write(dir.path().join("minimal-filter.yaml"), filter).unwrap();
        let envoy = Envoy::start(dir.path(), Path::new("minimal.yaml"), 1).await;
        let envoy = envoy.unwrap_or_else(|log| panic!("{log}"));
        let listeners = envoy.admin().listeners().await;
        let (https, http3) = (listeners["https"], listeners.get("http3").copied());
        Self { envoy, upstream, https, http3, dir, _silent: silent }
    }

    async fn connect(&self) -> client::Http2 {
        client::Http2::connect(self.https, tls::client(&IDENTITY.certificate, "h2")).await.unwrap()
    }

    pub(crate) fn http3_address(&self) -> SocketAddr {
        self.http3.expect("a listener for HTTP/3")
    }

    pub(crate) async fn http3(&self) -> Http3 {
        Http3::connect(self.http3_address(), &tls::client(&IDENTITY.certificate, "h3")).await.unwrap()
    }

    /// Moves a changed filter over the one that is in force, as an operator would.
    pub(crate) fn put_filter(&self, filter: &str) {
        let fresh = self.dir.path().join("fresh.yaml");
        fs::write(&fresh, filter).unwrap();
        fs::rename(fresh, self.dir.path().join("minimal-filter.yaml")).unwrap();
    }
}

impl Door for Minimal {
    async fn ask(&self, wire: Wire, request: &Request) -> Answer {
        let answer = match wire {
            Wire::Http1 => {
                let config = tls::client(&IDENTITY.certificate, "http/1.1");
                client::http1(client::tls(self.https, config).await.unwrap(), request).await
            }
            Wire::Http2 => self.connect().await.send(request).await,
            Wire::Http3 => self.http3().await.send(request).await,
            Wire::Plain => panic!("no listener for plain HTTP"),
        };
        answer.unwrap_or_else(|error| panic!("{wire:?} {request:?}: {error}"))
    }

    async fn passed(&self) -> usize {
        self.upstream.count()
    }
}

fn page_asks(request: Request) -> Request {
    request.header("origin", ORIGIN)
}

fn readable_by(answer: &Answer) -> Option<&str> {
    answer.header("access-control-allow-origin")
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_read_refusals_and_names_with_underscores_are_refused() {
    let minimal = Minimal::start().await;
    let connection = minimal.connect().await;
    let send = async |request: &Request| connection.clone().send(request).await.unwrap();

    let refused = send(&page_asks(get("/orders"))).await;
    assert_eq!(
        (refused.status, refused.reason().as_deref()),
        (401, Some("credentials_missing")),
        "{refused:?}"
    );
    assert_eq!(readable_by(&refused), Some(ORIGIN), "{refused:?}");
    assert!(
        refused.header("access-control-expose-headers").is_some_and(|names| names.contains("retry-after"))
    );
    let elsewhere = send(&get("/orders").header("origin", "https://elsewhere.example")).await;
    assert_eq!((elsewhere.status, readable_by(&elsewhere)), (401, None), "{elsewhere:?}");

    let preflight = |origin: &str| {
        let asked = request("OPTIONS", "/orders").header("origin", origin);
        asked.header("access-control-request-method", "POST")
    };
    let allowed = send(&preflight(ORIGIN)).await;
    assert_eq!((allowed.status, readable_by(&allowed)), (200, Some(ORIGIN)), "{allowed:?}");
    let refused = send(&preflight("https://elsewhere.example")).await;
    assert_eq!((refused.status, readable_by(&refused)), (403, None), "{refused:?}");

    // Envoy says so over HTTP/1.1 and resets the stream of HTTP/2.
    let misread = get("/orders").header("x_portcullis_roles", "admin");
    assert!(connection.clone().send(&misread).await.is_err());
    let stream = client::tls(minimal.https, tls::client(&IDENTITY.certificate, "http/1.1")).await.unwrap();
    let answer = client::http1(stream, &misread).await.unwrap();
    assert_eq!((answer.status, answer.reason()), (400, None), "{answer:?}");

    // A burst of 100 for each address.
    let mut limited = None;
    for _ in 0..300 {
        let answer = send(&page_asks(get("/orders"))).await;
        if answer.status == 429 {
            limited = Some(answer);
            break;
        }
    }
    let limited = limited.expect("300 requests at once are too many");
    assert_eq!(readable_by(&limited), Some(ORIGIN), "{limited:?}");
    assert_eq!(minimal.upstream.count(), 0);
}

/// With the filter in the listener, connections that are open would go on under the old policy for a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_policy_is_in_force_at_once_on_open_connections() {
    let minimal = Minimal::start().await;
    let connection = minimal.connect().await;
    let status = async || connection.clone().send(&get("/health")).await.unwrap().status;
    assert_eq!(status().await, 403);
    let open = "          - name: health\n            matches: [{path: {type: Exact, value: /health}}]\n            \
                authenticate: {anonymous: true}\n";
    let changed = filter().replace("          rules:\n", &format!("          rules:\n{open}"));
    minimal.put_filter(&changed);
    let mut statuses = Vec::new();
    while statuses.last() != Some(&200) {
        assert!(statuses.len() < 400, "the new policy is not in force: {}", minimal.envoy.log());
        tokio::time::sleep(Duration::from_millis(25)).await;
        statuses.push(status().await);
    }
    // One with a fault is told of and changes nothing.
    minimal.put_filter(&changed.replace("defaultAction: Deny", "defaultAction: Allow"));
    while !minimal.envoy.log().contains("policy refused: defaultAction: must be Deny") {
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(status().await, 200);
    minimal.put_filter(&filter());
    while status().await != 403 {
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
}

/// Requests that wait for keys hold what has arrived of their bodies.
#[tokio::test(flavor = "multi_thread")]
async fn bodies_of_waiting_requests_stay_with_their_clients() {
    let minimal = Minimal::start().await;
    let connection = minimal.connect().await;
    let held = minimal
        .held_by_waiting(|request| {
            let mut connection = connection.clone();
            async move { connection.send(&request).await }
        })
        .await;
    assert!(held < 16 << 20, "{held} bytes were held");
}

impl Minimal {
    /// The memory that 160 MB of bodies come to, whose requests wait for keys.
    pub(crate) async fn held_by_waiting<A>(&self, send: impl Fn(Request) -> A) -> u64
    where
        A: Future<Output = io::Result<Answer>> + Send + 'static,
    {
        let claims =
            [("iss", json!("https://idp.example.com")), ("aud", json!("https://api.example.com/orders"))];
        let token =
            claims.into_iter().fold(token("alice"), |token, (name, value)| token.claim(name, value)).sign();
        let allocated = async || self.envoy.admin().stats().await["server.memory_allocated"];
        let before = allocated().await;
        let mut waiting = JoinSet::new();
        for _ in 0..40 {
            waiting.spawn(send(request("POST", "/orders").bearer(&token).body(vec![b'x'; 4 << 20])));
        }
        let mut most = before;
        let (mut answers, mut waited) = (Vec::new(), 0);
        while !waiting.is_empty() {
            tokio::select! {
                answer = waiting.join_next() => answers.extend(answer),
                () = tokio::time::sleep(Duration::from_millis(100)) => {
                    waited += 1;
                    most = most.max(allocated().await);
                }
            }
        }
        // They did wait: two seconds, by the policy's default.
        assert!(waited >= 10, "{waited}: {answers:?}");
        assert_eq!(self.upstream.count(), 0);
        most.saturating_sub(before)
    }
}
