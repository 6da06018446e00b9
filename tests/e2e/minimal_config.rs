//! `envoy/minimal.yaml` as it ships, but for ports and names: what it promises beside the policy.

use std::{fs, net::SocketAddr, path::Path, time::Duration};

use serde_json::json;
use tempfile::TempDir;
use tokio::{net::TcpListener, task::JoinSet};

use crate::harness::{
    artifact, client,
    issuer::token,
    process::Envoy,
    repository,
    request::{Answer, Request, get, request},
    tls::{self, IDENTITY},
    upstream::Upstream,
};

const ORIGIN: &str = "https://app.example.com";

/// An Envoy as a reader of the file would start it, and who never answers its questions for keys.
struct Minimal {
    envoy: Envoy,
    upstream: Upstream,
    https: SocketAddr,
    dir: TempDir,
    _silent: TcpListener,
}

/// What `minimal.yaml` wants beside it.
pub(crate) fn lay_out_material(dir: &Path) {
    let put = |name: &str, text: &str| fs::write(dir.join(name), text).unwrap();
    put("server.pem", &IDENTITY.certificate);
    put("server-key.pem", &IDENTITY.key);
    put("idp-ca.pem", &IDENTITY.certificate);
    put("minimal-filter.yaml", &filter());
    fs::copy(artifact("PORTCULLIS_WASM"), dir.join("portcullis.wasm")).unwrap();
}

fn filter() -> String {
    fs::read_to_string(repository().join("envoy/minimal-filter.yaml")).unwrap()
}

impl Minimal {
    async fn start() -> Self {
        let upstream = Upstream::start().await;
        let silent = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let mut config = fs::read_to_string(repository().join("envoy/minimal.yaml")).unwrap();
        for (shipped, here) in [
            ("address: 127.0.0.1, port_value: 8443", "address: 127.0.0.1, port_value: 0".to_owned()),
            ("port_value: 9901", "port_value: 0".to_owned()),
            ("port_value: 8081", format!("port_value: {}", upstream.address.port())),
            (
                "address: idp.example.com, port_value: 443",
                format!("address: 127.0.0.1, port_value: {}", silent.local_addr().unwrap().port()),
            ),
        ] {
            assert!(config.contains(shipped), "no `{shipped}` in the file");
            config = config.replace(shipped, &here);
        }
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("minimal.yaml"), config).unwrap();
        lay_out_material(dir.path());
        let envoy = Envoy::start(dir.path(), Path::new("minimal.yaml"), 1).await;
        let envoy = envoy.unwrap_or_else(|log| panic!("{log}"));
        let https = envoy.admin().listeners().await["https"];
        Self { envoy, upstream, https, dir, _silent: silent }
    }

    async fn connect(&self) -> client::Http2 {
        client::Http2::connect(self.https, tls::client(&IDENTITY.certificate, "h2")).await.unwrap()
    }

    /// Moves a changed filter over the one that is in force, as an operator would.
    fn put_filter(&self, filter: &str) {
        let fresh = self.dir.path().join("fresh.yaml");
        fs::write(&fresh, filter).unwrap();
        fs::rename(fresh, self.dir.path().join("minimal-filter.yaml")).unwrap();
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
    const REQUESTS: usize = 40;
    const BODY: usize = 4 << 20;
    let minimal = Minimal::start().await;
    let connection = minimal.connect().await;
    let claims =
        [("iss", json!("https://idp.example.com")), ("aud", json!("https://api.example.com/orders"))];
    let token =
        claims.into_iter().fold(token("alice"), |token, (name, value)| token.claim(name, value)).sign();
    let before = minimal.envoy.admin().stats().await["server.memory_allocated"];
    let mut waiting = JoinSet::new();
    for _ in 0..REQUESTS {
        let (mut connection, post) = (connection.clone(), request("POST", "/orders").bearer(&token));
        waiting.spawn(async move { connection.send(&post.body(vec![b'x'; BODY])).await });
    }
    let mut most = before;
    let (mut answers, mut waited) = (Vec::new(), 0);
    while !waiting.is_empty() {
        tokio::select! {
            answer = waiting.join_next() => answers.extend(answer),
            () = tokio::time::sleep(Duration::from_millis(100)) => {
                waited += 1;
                most = most.max(minimal.envoy.admin().stats().await["server.memory_allocated"]);
            }
        }
    }
    // They did wait: two seconds, by the policy's default.
    assert!(waited >= 10, "{waited}: {answers:?}");
    let held = most.saturating_sub(before);
    assert!(held < 16 << 20, "{held} bytes were held of {}", REQUESTS * BODY);
    assert_eq!(minimal.upstream.count(), 0);
}
