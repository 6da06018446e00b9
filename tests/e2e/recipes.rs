//! The recipes in `docs/recipes`, each with its own policy and its own parts of Envoy's configuration in
//! `envoy/minimal.yaml`. What their policies decide is said by their suites, which are run without Envoy.

use std::{fs, io, net::SocketAddr, path::Path, sync::Arc};

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_rustls::rustls::ClientConfig;

use crate::{
    documentation::block,
    harness::{
        client,
        issuer::{ISSUER_KEYS, Token, token},
        now,
        process::Envoy,
        repository,
        request::{Answer, Request, get, post},
        tls::{self, CLIENTS, IDENTITY, STRANGERS, client_with},
        upstream::Upstream,
        web_sockets::WebSockets,
        webhooks,
    },
    minimal_config::{filter, lay_out_material},
};

/// An Envoy as a reader of the page would start it.
struct Kitchen {
    page: String,
    envoy: Envoy,
    https: SocketAddr,
    _dir: TempDir,
}

/// Where the parts of a page stand in `minimal.yaml`: what they take the place of, and how far they are indented.
const TIMEOUTS: (&str, usize) = (
    "          stream_idle_timeout: 30s\n          request_timeout: 30s\n          request_headers_timeout: 10s\n",
    10,
);
const ROUTE: (&str, usize) =
    ("              - match: {prefix: /}\n                route: {cluster: api}\n", 14);
const ADDRESS: (&str, usize) = ("          use_remote_address: true\n", 10);
const UNDERSCORES: (&str, usize) = ("            headers_with_underscores_action: REJECT_REQUEST\n", 12);
const BUFFER: (&str, usize) = ("    per_connection_buffer_limit_bytes: 32768\n    filter_chains:\n", 4);
const TLS: (&str, usize) =
    ("          common_tls_context:\n            alpn_protocols: [h2, http/1.1]\n", 10);

impl Kitchen {
    /// With the parts of the page that begin so, each in its place.
    async fn start(name: &str, upstream: SocketAddr, parts: &[(&str, (&str, usize))]) -> Self {
        let page = fs::read_to_string(repository().join("docs/recipes").join(name)).unwrap();
        let mut config = fs::read_to_string(repository().join("envoy/minimal.yaml")).unwrap();
        let (before, rest) = config.split_once("\n  # HTTP/3, ").unwrap();
        let (_, after) = rest.split_once("\n  clusters:\n").unwrap();
        config = format!("{before}\n  clusters:\n{after}");
        for (begins, (place, indent)) in parts {
            let mut part = block(&page, begins, *indent);
            // What is more than lines in place of lines.
            match *place {
                place if place == BUFFER.0 => part.push_str("    filter_chains:\n"),
                place if place == TLS.0 => part.push_str("            alpn_protocols: [h2, http/1.1]\n"),
                _ => {}
            }
            assert_eq!(config.matches(place).count(), 1, "{name}: {place}");
            config = config.replace(place, &part);
        }
        if page.contains("\n- name: api\n") {
            let (head, _) = config.split_once("  - name: api\n").unwrap();
            let (_, tail) = config.split_once("\n  # Where the keys that tokens").unwrap();
            config =
                format!("{head}{}\n  # Where the keys that tokens{tail}", block(&page, "- name: api\n", 2));
        }
        let port = format!("port_value: {}", upstream.port());
        for (shipped, here) in [
            ("address: 127.0.0.1, port_value: 8443", "address: 127.0.0.1, port_value: 0"),
            ("port_value: 9901", "port_value: 0"),
            ("port_value: 8081", &port),
            ("address: idp.example.com, port_value: 443", "address: 127.0.0.1, port_value: 9"),
        ] {
            assert!(config.contains(shipped), "{name}: {shipped}");
            config = config.replace(shipped, here);
        }
        let dir = tempfile::tempdir().unwrap();
        lay_out_material(dir.path());
        fs::write(dir.path().join("minimal.yaml"), config).unwrap();
        fs::write(dir.path().join("minimal-filter.yaml"), filter_of(&page)).unwrap();
        let envoy = Envoy::start(dir.path(), Path::new("minimal.yaml"), 1).await;
        let envoy = envoy.unwrap_or_else(|log| panic!("{name}: {log}"));
        let https = envoy.admin().listeners().await["https"];
        Self { page, envoy, https, _dir: dir }
    }

    async fn try_as(&self, client: Arc<ClientConfig>, request: &Request) -> io::Result<Answer> {
        client::http1(client::tls(self.https, client).await?, request).await
    }

    /// By a client that shows no certificate.
    async fn ask(&self, request: &Request) -> Answer {
        self.try_as(tls::client(&IDENTITY.certificate, "http/1.1"), request).await.unwrap()
    }

    #[track_caller]
    fn shows(&self, text: &str) {
        assert!(self.page.contains(text), "the page does not show {text}");
    }

    #[track_caller]
    fn is(&self, answer: &Answer, status: u16, reason: Option<&str>) {
        let found = (answer.status, answer.reason());
        assert_eq!((found.0, found.1.as_deref()), (status, reason), "{answer:?}\n{}", self.envoy.log());
    }
}

/// The filter of `minimal-filter.yaml` with the page's policy, whose provider has the keys of ours at hand, and with what the
/// page adds to its configuration.
fn filter_of(page: &str) -> String {
    let policies = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let policy = policies.into_iter().find(|block| block.contains("\nrules:\n")).unwrap();
    let policy: String = policy
        .lines()
        .map(|line| match line.trim_start().strip_prefix("jwks: {uri:") {
            Some(_) => format!("          {}jwks: {{inline: {}}}\n", " ".repeat(4), keys(policy)),
            None => format!("          {line}\n"),
        })
        .collect();
    let filter = filter();
    let (before, _) = filter.split_once("        value:\n").unwrap();
    let before = match page.contains("```yaml\nallow_on_headers_stop_iteration") {
        true => {
            let added = block(page, "allow_on_headers_stop_iteration", 6);
            before.replace(
                "      name: portcullis\n      #",
                &format!("      name: portcullis\n{added}      #"),
            )
        }
        false => before.to_owned(),
    };
    format!("{before}        value:\n{policy}")
}

fn keys(policy: &str) -> Value {
    let listed = policy.split("algorithms: [").nth(1).unwrap().split(']').next().unwrap();
    let key = |name: &str| match name {
        "ES256" => ISSUER_KEYS.jwk(Algorithm::ES256),
        "RS256" => ISSUER_KEYS.jwk(Algorithm::RS256),
        other => panic!("no key for {other}"),
    };
    json!({"keys": listed.split(", ").map(key).collect::<Vec<_>>()})
}

/// A token of the page's issuer.
fn issued(subject: &str, audience: &str, scope: &str) -> Token {
    token(subject).claim("iss", "https://idp.example.com").claim("aud", audience).scope(scope)
}

/// Those whose point is the policy alone: what passes, and its nearest that does not.
#[tokio::test(flavor = "multi_thread")]
async fn policies_alone_decide_in_envoy_too() {
    let upstream = Upstream::start().await;
    let viewer = issued("vera", "https://api.example.com", "").roles(&["viewer"]).sign();
    let read = get("/orders/7").bearer(&viewer);
    let write = post("/orders").bearer(&viewer);
    let of_tenant = |tenant: &str| {
        let token = issued("ada", "https://docs.example.com", "").algorithm(Algorithm::RS256);
        let token =
            token.claim("iss", format!("https://login.example.com/{tenant}/v2.0")).claim("tid", tenant);
        get("/tenants/acme/documents/7").bearer(&token.sign())
    };
    let session = issued("alice", "https://app.example.com/api", "trips:write").claim("auth_time", now());
    let session = format!("__Host-token={}", session.sign());
    let book = |origin: &str| {
        let book = post("/api/trips").authority("app.example.com").header("origin", origin);
        book.header("cookie", &session)
    };
    for (name, passes, refused, reason) in [
        ("jwt-or-api-key.md", read, write, "insufficient_permission"),
        ("tenants.md", of_tenant("acme"), of_tenant("globex"), "not_owner"),
        (
            "browser-app.md",
            book("https://app.example.com"),
            book("https://evil.example"),
            "cross_site_request",
        ),
    ] {
        let kitchen = Kitchen::start(name, upstream.address, &[]).await;
        let before = upstream.count();
        let answer = kitchen.ask(&passes).await;
        kitchen.is(&answer, 200, None);
        for withheld in ["authorization", "cookie"] {
            assert_eq!(answer.seen().header(withheld), [""; 0], "{name}");
        }
        kitchen.is(&kitchen.ask(&refused).await, 403, Some(reason));
        assert_eq!(upstream.count(), before + 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_finds_its_way_to_the_mcp_server() {
    let upstream = Upstream::start().await;
    let parts = [("stream_idle_timeout", TIMEOUTS), ("- match:", ROUTE)];
    let kitchen = Kitchen::start("mcp-server.md", upstream.address, &parts).await;
    let call = |path: &str| {
        post(path).authority("mcp.example.com").header("content-type", "application/json").body("{}")
    };
    let refused = kitchen.ask(&call("/notes")).await;
    kitchen.is(&refused, 401, Some("credentials_missing"));
    let challenge = refused.header("www-authenticate").unwrap();
    let metadata = challenge.split("resource_metadata=\"https://mcp.example.com").nth(1).unwrap();
    let metadata = metadata.split('"').next().unwrap();
    let told = kitchen.ask(&get(metadata).authority("mcp.example.com")).await;
    let document: Value = serde_json::from_slice(&told.body).unwrap();
    assert_eq!(document["resource"], "https://mcp.example.com/notes");
    assert_eq!(document["scopes_supported"], json!(["notes:use"]));
    let notes = issued("vera", "https://mcp.example.com/notes", "notes:use").sign();
    kitchen.is(&kitchen.ask(&call("/notes").bearer(&notes)).await, 200, None);
    kitchen.is(&kitchen.ask(&call("/mail").bearer(&notes)).await, 401, Some("token_audience"));
    assert_eq!(upstream.count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_is_refused_in_its_own_words() {
    let upstream = Upstream::start_as(true).await;
    let parts = [
        ("headers_with_underscores_action", UNDERSCORES),
        ("stream_idle_timeout", TIMEOUTS),
        ("- match:", ROUTE),
    ];
    let kitchen = Kitchen::start("grpc.md", upstream.address, &parts).await;
    let client =
        client::Http2::connect(kitchen.https, tls::client(&IDENTITY.certificate, "h2")).await.unwrap();
    let reader = issued("vera", "https://grpc.example.com", "orders:read").sign();
    let call = |method: &str| {
        let call = post(method).header("content-type", "application/grpc").header("te", "trailers");
        call.header("x_trace_hint", "7").body([0; 5])
    };
    for (method, token, expected) in [
        ("/grpc.health.v1.Health/Check", None, None),
        ("/shop.v1.Orders/Get", Some(&reader), None),
        ("/shop.v1.Orders/Get", None, Some(("16", "credentials_missing"))),
        ("/shop.v1.Orders/Create", Some(&reader), Some(("7", "insufficient_scope"))),
        ("/shop.v1.Admin/Drop", Some(&reader), Some(("7", "no_rule"))),
    ] {
        let asked = token.iter().fold(call(method), |call, token| call.bearer(token));
        let before = upstream.count();
        let answer = client.clone().send(&asked).await.unwrap();
        assert_eq!(answer.status, 200, "{method}: {answer:?}");
        match expected {
            None => assert!(upstream.count() == before + 1 && answer.seen().path().ends_with(method)),
            Some((status, reason)) => {
                assert_eq!(answer.header("grpc-status"), Some(status), "{method}: {answer:?}");
                assert!(answer.header("grpc-message").unwrap().contains(reason), "{method}: {answer:?}");
                assert_eq!(upstream.count(), before, "{method}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_opens_with_a_token_among_its_protocols() {
    let sockets = WebSockets::start().await;
    let kitchen = Kitchen::start("websocket.md", sockets.address, &[("upgrade_configs", TIMEOUTS)]).await;
    let token = issued("vera", "https://live.example.com", "live:read").sign();
    kitchen.shows("[\"bearer\", token, \"live.v1\"]");
    for (protocols, expected) in [
        (format!("bearer, {token}, live.v1"), "101"),
        ("live.v1".to_owned(), "401"),
        (format!("bearer, {token}x, live.v1"), "401"),
    ] {
        let asked = get("/live")
            .authority("live.example.com")
            .header("connection", "Upgrade")
            .header("upgrade", "websocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
            .header("sec-websocket-protocol", protocols);
        let mut stream =
            client::tls(kitchen.https, tls::client(&IDENTITY.certificate, "http/1.1")).await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, &client::http1_bytes(&asked, false)).await.unwrap();
        let mut head = vec![0; 4096];
        let read = tokio::io::AsyncReadExt::read(&mut stream, &mut head).await.unwrap();
        let head = String::from_utf8_lossy(&head[..read]).into_owned();
        assert!(head.starts_with(&format!("HTTP/1.1 {expected} ")), "{head}");
    }
    assert_eq!(sockets.count(), 1);
    assert_eq!(sockets.last("sec-websocket-protocol"), ["live.v1, bearer"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_reach_the_upstream_with_the_body_that_was_signed() {
    let upstream = Upstream::start().await;
    let kitchen =
        Kitchen::start("webhooks.md", upstream.address, &[("per_connection_buffer_limit_bytes", BUFFER)])
            .await;
    kitchen.shows("secrets: [github-ThisIsNoSecret]");
    let hook = |signed: &str, body: &str| {
        let tag = webhooks::tag(b"github-ThisIsNoSecret", signed.as_bytes());
        let hook = post("/hooks/github").header("content-type", "application/json");
        hook.header(webhooks::HUB_HEADER, format!("sha256={tag}")).body(body)
    };
    // As long as the page lets one be, and far longer than the buffer that the file ships with.
    let long = format!("{{\"note\":\"{}\"}}", "x".repeat((1 << 20) - 11));
    for body in ["{\"action\":\"opened\",\"number\":7}", &long] {
        let answer = kitchen.ask(&hook(body, body)).await;
        kitchen.is(&answer, 200, None);
        assert_eq!(answer.seen().body(), body);
    }
    let answer = kitchen.ask(&hook("{\"number\":7}", "{\"number\":8}")).await;
    kitchen.is(&answer, 403, Some("signature_invalid"));
    assert_eq!(upstream.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn services_are_known_by_their_spiffe_ids() {
    let upstream = Upstream::start().await;
    let kitchen =
        Kitchen::start("mesh-spiffe.md", upstream.address, &[("require_client_certificate", TLS)]).await;
    let ask =
        async |id: &str, request: &Request| kitchen.try_as(client_with(&CLIENTS.identity(id)), request).await;
    let checkout = "spiffe://example.org/ns/shop/sa/checkout";
    let answer = ask(checkout, &get("/orders/7")).await.unwrap();
    assert_eq!(answer.seen().header("x-portcullis-subject"), [checkout]);
    let answer = ask("spiffe://example.org/ns/shop/sa/catalogue", &post("/orders")).await.unwrap();
    kitchen.is(&answer, 403, Some("insufficient_permission"));
    let answer = ask("spiffe://example.org/ns/pay/sa/checkout", &get("/orders/7")).await.unwrap();
    kitchen.is(&answer, 403, Some("client_certificate_unknown"));
    let clerk = issued("clara", "https://orders.internal", "refunds").sign();
    let answer = ask(checkout, &post("/orders/7/refund").bearer(&clerk)).await.unwrap();
    assert_eq!(answer.seen().header("x-portcullis-actor"), [checkout]);
    // Of another trust domain, of another authority, and without any: refused in the handshake.
    assert!(ask("spiffe://example.net/ns/shop/sa/checkout", &get("/orders/7")).await.is_err());
    let stranger = client_with(&STRANGERS.identity(checkout));
    assert!(kitchen.try_as(stranger, &get("/orders/7")).await.is_err());
    let nobody = tls::client(&IDENTITY.certificate, "http/1.1");
    assert!(kitchen.try_as(nobody, &get("/orders/7")).await.is_err());
    assert_eq!(upstream.count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_word_of_a_cdn_counts_and_nobody_elses() {
    let upstream = Upstream::start().await;
    let parts = [("use_remote_address", ADDRESS), ("require_client_certificate", TLS)];
    let kitchen = Kitchen::start("behind-a-cdn.md", upstream.address, &parts).await;
    let edge = client_with(&CLIENTS.identity("edge.cdn.example"));
    let asked = |path: &str, proto: &str, addresses: &str| {
        get(path)
            .authority("api.example.com")
            .header("x-forwarded-proto", proto)
            .header("x-forwarded-for", addresses)
    };
    let ask = async |request: &Request| kitchen.try_as(edge.clone(), request).await.unwrap();
    let office = "203.0.113.9, 198.51.100.7";
    let answer = ask(&asked("/status", "https", office)).await;
    kitchen.is(&answer, 200, None);
    // What stands before the address that the CDN appended is whatever the client wrote.
    let answer = ask(&asked("/status", "https", "198.51.100.7, 203.0.113.9")).await;
    kitchen.is(&answer, 403, Some("address_not_allowed"));
    let answer = ask(&asked("/status", "http", office)).await;
    kitchen.is(&answer, 403, Some("tls_required"));
    let partner = format!("Hash={};DNS=build.partners.example.com", "0c2f".repeat(16));
    kitchen.shows(&partner);
    let answer =
        ask(&asked("/partners/7", "https", office).header("x-forwarded-client-cert", &partner)).await;
    assert_eq!(answer.seen().header("x-portcullis-subject"), ["build.partners.example.com"]);
    // The certificate of the connection is the CDN's.
    let answer = ask(&asked("/partners/7", "https", office)).await;
    kitchen.is(&answer, 403, Some("client_certificate_missing"));
    // Each address has a burst of its own.
    let mut limited = 0;
    for _ in 0..40 {
        let answer = ask(&asked("/orders/7", "https", "203.0.113.50")).await;
        limited += usize::from(answer.reason().as_deref() == Some("rate_limited"));
    }
    assert!(limited > 0);
    let answer = ask(&asked("/orders/7", "https", "203.0.113.51")).await;
    kitchen.is(&answer, 401, Some("credentials_missing"));
    // Nobody but the CDN reaches the listener.
    let nobody = tls::client(&IDENTITY.certificate, "http/1.1");
    assert!(kitchen.try_as(nobody, &asked("/status", "https", office)).await.is_err());
}
