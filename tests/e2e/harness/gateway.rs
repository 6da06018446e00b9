//! Envoy with the filter and a policy, and an upstream behind it.

use std::{fs, net::SocketAddr, path::Path, process::ExitStatus, sync::Arc};

use serde_json::Value;
use tempfile::TempDir;
use tokio_rustls::rustls::ClientConfig;

use super::{
    admin::Admin,
    artifact, client,
    envoy_config::{self, ClientCertificates, Cors, FailurePolicy, Form, Options},
    free_port,
    process::{self, Envoy},
    request::{Answer, Request},
    tls::{self, Identity},
    upstream::Upstream,
};

/// How a request travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// HTTP/1.1 over TLS.
    Http1,
    /// HTTP/2 over TLS.
    Http2,
    /// HTTP/3 over QUIC, which `envoy/minimal.yaml` alone has.
    Http3,
    /// HTTP/1.1 without TLS.
    Plain,
}

/// So many requests at once meet every worker, of which there are no more than two.
const AT_ONCE: usize = 8;

/// A gateway to be.
#[derive(Clone, Debug)]
pub(crate) struct Builder {
    options: Options,
    workers: u32,
    /// What a cluster shows.
    shown: Option<Identity>,
}

pub(crate) struct Gateway {
    // Ended before the upstream and its directory are gone.
    envoy: Envoy,
    pub(crate) upstream: Upstream,
    https: SocketAddr,
    http: Option<SocketAddr>,
    options: Options,
    dir: TempDir,
}

/// With `policy`, the module as it ships, one worker, and nothing that Envoy normalizes.
pub(crate) fn gateway(policy: &Value) -> Builder {
    let wasm = artifact("PORTCULLIS_WASM").display().to_string();
    let options = Options {
        name: "portcullis".to_owned(),
        marks: vec!["portcullis".to_owned()],
        behind: None,
        policy: policy.to_string(),
        plain_policy: None,
        form: Form::Json,
        failure_policy: FailurePolicy::Closed,
        wasm,
        fault: None,
        remote: None,
        without_crypto: false,
        bodies_while_waiting: false,
        normalize: false,
        escaped_slashes: "IMPLEMENTATION_SPECIFIC_DEFAULT",
        watched: false,
        lds_port: None,
        disabled_by_route: false,
        https_only: false,
        trusted_hops: 0,
        jwks: None,
        secure_jwks: false,
        revocations: None,
        clusters: Vec::new(),
        balanced_clusters: Vec::new(),
        grpc_cluster: None,
        secure_cluster: None,
        client_certificates: ClientCertificates::Ignored,
        appends_client_cert: false,
        access_log: None,
        upgrades: false,
        http2_upstream: false,
        cors: None,
        request_timeout: "0s",
        redirects: false,
        hosts: Vec::new(),
        stats_tags: Vec::new(),
    };
    Builder { options, workers: 1, shown: None }
}

impl Builder {
    pub(crate) fn workers(mut self, workers: u32) -> Self {
        self.workers = workers;
        self
    }

    pub(crate) fn form(mut self, form: Form) -> Self {
        self.options.form = form;
        self
    }

    /// The policy as text, be it what it may.
    pub(crate) fn policy_text(mut self, text: &str) -> Self {
        text.clone_into(&mut self.options.policy);
        self
    }

    pub(crate) fn normalized_by_envoy(mut self) -> Self {
        self.options.normalize = true;
        self
    }

    /// Envoy's `path_with_escaped_slashes_action`.
    pub(crate) fn escaped_slashes(mut self, action: &'static str) -> Self {
        self.options.escaped_slashes = action;
        self
    }

    /// The policy can be changed while the gateway runs.
    pub(crate) fn watched(mut self) -> Self {
        self.options.watched = true;
        self
    }

    /// The policy can be changed with the listener that holds it, of which there is one.
    pub(crate) fn by_lds(mut self) -> Self {
        self.options.lds_port = Some(free_port());
        self.https_only()
    }

    pub(crate) fn failure_policy(mut self, failure_policy: FailurePolicy) -> Self {
        self.options.failure_policy = failure_policy;
        self
    }

    /// The build of the module that fails on purpose, told how.
    pub(crate) fn fault(mut self, fault: &str) -> Self {
        self.options.wasm = artifact("PORTCULLIS_FAULTS_WASM").display().to_string();
        self.options.fault = Some(fault.to_owned());
        self
    }

    /// An Envoy that verifies no signatures for the module.
    pub(crate) fn without_crypto(mut self) -> Self {
        self.options.without_crypto = true;
        self
    }

    pub(crate) fn wasm(mut self, path: &str) -> Self {
        path.clone_into(&mut self.options.wasm);
        self
    }

    pub(crate) fn disabled_by_route(mut self) -> Self {
        self.options.disabled_by_route = true;
        self
    }

    /// One listener: a second one would load the filter a second time.
    pub(crate) fn https_only(mut self) -> Self {
        self.options.https_only = true;
        self
    }

    /// There are so many proxies in front.
    pub(crate) fn trusted_hops(mut self, hops: u32) -> Self {
        self.options.trusted_hops = hops;
        self
    }

    pub(crate) fn jwks(mut self, address: SocketAddr) -> Self {
        self.options.jwks = Some(address);
        self
    }

    /// The same, over TLS.
    pub(crate) fn secure_jwks(mut self, address: SocketAddr) -> Self {
        self.options.secure_jwks = true;
        self.jwks(address)
    }

    pub(crate) fn revocations(mut self, address: SocketAddr) -> Self {
        self.options.revocations = Some(address);
        self
    }

    /// One cluster more.
    pub(crate) fn cluster(mut self, name: &str, address: SocketAddr) -> Self {
        self.options.clusters.push((name.to_owned(), address));
        self
    }

    /// One more, of several hosts who are asked in turn; `more` are further members of its configuration.
    pub(crate) fn balanced_cluster(mut self, name: &str, addresses: &[SocketAddr], more: Value) -> Self {
        self.options.balanced_clusters.push((name.to_owned(), addresses.to_vec(), more));
        self
    }

    /// One more, which speaks HTTP/2.
    pub(crate) fn grpc_cluster(mut self, name: &str, address: SocketAddr) -> Self {
        self.options.grpc_cluster = Some((name.to_owned(), address));
        self
    }

    /// One more, over TLS, whose server [`tls::CLIENTS`] vouches for; Envoy shows it `certificate`.
    pub(crate) fn secure_cluster(self, name: &str, address: SocketAddr, shown: Option<Identity>) -> Self {
        self.cluster(name, address).secured(name, shown)
    }

    /// The same of a cluster that is there already.
    pub(crate) fn secured(mut self, name: &str, shown: Option<Identity>) -> Self {
        self.options.secure_cluster = Some((name.to_owned(), shown.is_some()));
        self.shown = shown;
        self
    }

    /// What the filter is called in its own configuration.
    pub(crate) fn named(mut self, name: &str) -> Self {
        name.clone_into(&mut self.options.name);
        self
    }

    /// The marks that the interlock asks for.
    pub(crate) fn marks(mut self, marks: &[&str]) -> Self {
        self.options.marks = marks.iter().map(|mark| (*mark).to_owned()).collect();
        self
    }

    /// A second filter behind the first. It is off for paths that begin with `/off`.
    pub(crate) fn behind(mut self, name: &str, policy: &Value) -> Self {
        self.options.behind = Some((name.to_owned(), policy.to_string()));
        self
    }

    /// Another policy for the listener for plain HTTP, in a second filter of the same name and VM.
    pub(crate) fn plain_policy(mut self, policy: &Value) -> Self {
        self.options.plain_policy = Some(policy.to_string());
        self
    }

    /// Of the authority [`tls::CLIENTS`].
    pub(crate) fn client_certificates(mut self, asked: ClientCertificates) -> Self {
        self.options.client_certificates = asked;
        self
    }

    /// Envoy appends what it knows of its client to `x-forwarded-client-cert`.
    pub(crate) fn appends_client_cert(mut self) -> Self {
        self.options.appends_client_cert = true;
        self
    }

    /// Envoy writes a line for each request, in its own format.
    pub(crate) fn access_log(mut self, format: &'static str) -> Self {
        self.options.access_log = Some(format);
        self
    }

    /// Connections may become WebSockets.
    pub(crate) fn upgrades(mut self) -> Self {
        self.options.upgrades = true;
        self
    }

    /// The upstreams speak HTTP/2, which has room for trailers.
    pub(crate) fn http2_upstream(mut self) -> Self {
        self.options.http2_upstream = true;
        self
    }

    pub(crate) fn cors(mut self, place: Cors) -> Self {
        self.options.cors = Some(place);
        self
    }

    /// Envoy answers by itself what takes longer.
    pub(crate) fn request_timeout(mut self, timeout: &'static str) -> Self {
        self.options.request_timeout = timeout;
        self
    }

    /// Envoy gets the module from `uri`, which the cluster `registry` reaches.
    pub(crate) fn remote_module(mut self, uri: &str, sha256: &str) -> Self {
        self.options.remote = Some([uri.to_owned(), sha256.to_owned()]);
        self
    }

    /// Envoy hands bodies over while their requests wait.
    pub(crate) fn bodies_while_waiting(mut self) -> Self {
        self.options.bodies_while_waiting = true;
        self
    }

    /// Envoy follows redirects itself.
    pub(crate) fn redirects(mut self) -> Self {
        self.options.redirects = true;
        self
    }

    /// What is asked of `host` goes to `address`.
    pub(crate) fn host(mut self, host: &'static str, address: SocketAddr) -> Self {
        self.options.hosts.push((host, address));
        self
    }

    /// Envoy takes these labels out of the names of stats: a name and a regular expression for each.
    pub(crate) fn stats_tags(mut self, tags: Vec<(String, String)>) -> Self {
        self.options.stats_tags = tags;
        self
    }

    pub(crate) async fn start(self) -> Gateway {
        match self.try_start().await {
            Ok(gateway) => gateway,
            Err(log) => panic!("Envoy gave up; its log:\n{log}"),
        }
    }

    /// The log of an Envoy that refuses its configuration is the error.
    pub(crate) async fn try_start(self) -> Result<Gateway, String> {
        let upstream = Upstream::start_as(self.options.http2_upstream).await;
        let dir = self.lay_out(upstream.address);
        let envoy = Envoy::start(dir.path(), Path::new("envoy.json"), self.workers).await?;
        let listeners = envoy.admin().listeners().await;
        let (https, http) = (listeners["https"], listeners.get("http").copied());
        Ok(Gateway { envoy, upstream, https, http, options: self.options, dir })
    }

    /// Envoy's verdict on the configuration, without starting; and its log.
    pub(crate) fn validate(&self) -> (ExitStatus, String) {
        let dir = self.lay_out(([127, 0, 0, 1], 9).into());
        process::validate(dir.path(), Path::new("envoy.json"))
    }

    fn lay_out(&self, upstream: SocketAddr) -> TempDir {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("server.pem", &tls::IDENTITY.certificate);
        write("server-key.pem", &tls::IDENTITY.key);
        if self.options.client_certificates != ClientCertificates::Ignored
            || self.options.secure_cluster.is_some()
        {
            write("clients-ca.pem", &tls::CLIENTS.certificate);
        }
        if let Some(shown) = &self.shown {
            write("shown.pem", &shown.certificate);
            write("shown-key.pem", &shown.key);
        }
        write("envoy.json", &envoy_config::bootstrap(&self.options, upstream).to_string());
        if self.options.watched {
            write("filter.json", &envoy_config::watched_filter(&self.options).to_string());
        }
        if self.options.lds_port.is_some() {
            write("listeners.json", &envoy_config::watched_listeners(&self.options).to_string());
        }
        dir
    }
}

impl Gateway {
    /// Sends over HTTP/1.1 and TLS.
    pub(crate) async fn send(&self, request: &Request) -> Answer {
        self.send_over(Wire::Http1, request).await
    }

    pub(crate) async fn send_over(&self, wire: Wire, request: &Request) -> Answer {
        let authority = &tls::IDENTITY.certificate;
        let answer = match wire {
            Wire::Http1 => {
                let stream = client::tls(self.https, tls::client(authority, "http/1.1")).await.unwrap();
                client::http1(stream, request).await
            }
            Wire::Http2 => self.http2().await.send(request).await,
            Wire::Http3 => panic!("no listener for HTTP/3"),
            Wire::Plain => {
                client::try_http1_plain(self.http.expect("a listener for plain HTTP"), request).await
            }
        };
        answer.unwrap_or_else(|error| panic!("{wire:?} {request:?}: {error}"))
    }

    /// Sends it eight times at once, so that every worker has some: of connections that come one by one, one may take all.
    pub(crate) async fn send_eight(&self, request: &Request) -> [Answer; AT_ONCE] {
        self.send_eight_over(Wire::Http1, request).await
    }

    pub(crate) async fn send_eight_over(&self, wire: Wire, request: &Request) -> [Answer; AT_ONCE] {
        let send = || self.send_over(wire, request);
        tokio::join!(send(), send(), send(), send(), send(), send(), send(), send()).into()
    }

    /// Sends all, eight at a time, for the same reason; the answers in the order of requests.
    pub(crate) async fn send_all(&self, wire: Wire, requests: &[Request]) -> Vec<Answer> {
        let mut answers = Vec::with_capacity(requests.len());
        for some in requests.chunks(AT_ONCE) {
            let send = async |place: usize| match some.get(place) {
                Some(request) => Some(self.send_over(wire, request).await),
                None => None,
            };
            let sent: [_; AT_ONCE] =
                tokio::join!(send(0), send(1), send(2), send(3), send(4), send(5), send(6), send(7)).into();
            answers.extend(sent.into_iter().flatten());
        }
        answers
    }

    /// Over HTTP/1.1 as `client`; an error where Envoy does not let it connect.
    pub(crate) async fn send_as(
        &self,
        client: Arc<ClientConfig>,
        request: &Request,
    ) -> std::io::Result<Answer> {
        client::http1(client::tls(self.https, client).await?, request).await
    }

    /// Sends a request and goes away when `patience` is over.
    pub(crate) async fn send_and_leave(&self, request: &Request, patience: std::time::Duration) {
        let answer = tokio::time::timeout(patience, self.send(request)).await;
        assert!(answer.is_err(), "an answer before the client left: {answer:?}");
    }

    /// Writes the head of a request over HTTP/1.1; the rest is written later.
    pub(crate) async fn upload(&self, head: &str) -> client::Upload {
        let config = tls::client(&tls::IDENTITY.certificate, "http/1.1");
        let mut upload = client::Upload::new(client::tls(self.https, config).await.unwrap());
        upload.write(head.as_bytes()).await;
        upload
    }

    /// Writes bytes that need not be HTTP and reads what comes back.
    pub(crate) async fn send_raw(&self, bytes: &[u8]) -> Vec<u8> {
        let stream =
            client::tls(self.https, tls::client(&tls::IDENTITY.certificate, "http/1.1")).await.unwrap();
        client::raw(stream, bytes).await.unwrap()
    }

    /// The same, without TLS.
    pub(crate) async fn send_raw_plain(&self, bytes: &[u8]) -> Vec<u8> {
        let stream =
            tokio::net::TcpStream::connect(self.http.expect("a listener for plain HTTP")).await.unwrap();
        client::raw(stream, bytes).await.unwrap()
    }

    /// Without TLS.
    pub(crate) fn plain(&self) -> client::Plain {
        client::Plain::new(self.http.expect("a listener for plain HTTP"))
    }

    pub(crate) fn http1(&self) -> client::Http1 {
        client::Http1::new(self.https, tls::client(&tls::IDENTITY.certificate, "http/1.1"))
    }

    pub(crate) async fn http2(&self) -> client::Http2 {
        client::Http2::connect(self.https, tls::client(&tls::IDENTITY.certificate, "h2")).await.unwrap()
    }

    /// A client that takes heads of answers and nothing of their bodies.
    pub(crate) async fn http2_without_room(&self) -> client::Http2 {
        let config = tls::client(&tls::IDENTITY.certificate, "h2");
        client::Http2::connect_with_window(self.https, config, 0).await.unwrap()
    }

    /// Where it listens for HTTPS.
    pub(crate) fn https(&self) -> SocketAddr {
        self.https
    }

    pub(crate) fn admin(&self) -> &Admin {
        self.envoy.admin()
    }

    pub(crate) fn log(&self) -> String {
        self.envoy.log()
    }

    /// The lines of the access log, when there are `count` of them.
    pub(crate) async fn access_log(&self, count: usize) -> Vec<String> {
        for _ in 0..400 {
            let log = fs::read_to_string(self.dir.path().join("access.log")).unwrap_or_default();
            let lines: Vec<_> = log.lines().map(str::to_owned).collect();
            if lines.len() >= count && log.ends_with('\n') {
                return lines;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("the access log has less than {count} lines");
    }

    pub(crate) fn resident(&self) -> u64 {
        self.envoy.resident()
    }

    pub(crate) fn has_plain_http(&self) -> bool {
        self.http.is_some()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.envoy.is_running()
    }

    /// Hands Envoy another policy and waits for its verdict: whether the policy is in force.
    pub(crate) async fn change_policy(&self, policy: &str) -> bool {
        const ECDS: &str = "extension_config_discovery.http_filter.portcullis";
        let by_lds = self.options.lds_port.is_some();
        let counts = async || {
            let stats = self.admin().stats().await;
            let count = |name: &str| stats.get(name).copied().unwrap_or(0);
            if by_lds {
                (count("listener_manager.lds.update_success"), count("listener_manager.lds.update_rejected"))
            } else {
                (count(&format!("{ECDS}.config_reload")), count(&format!("{ECDS}.config_fail")))
            }
        };
        let (reloads, failures) = counts().await;
        let options = Options { policy: policy.to_owned(), ..self.options.clone() };
        let (file, changed) = if by_lds {
            ("listeners.json", envoy_config::watched_listeners(&options))
        } else {
            ("filter.json", envoy_config::watched_filter(&options))
        };
        let fresh = self.dir.path().join("fresh.json");
        fs::write(&fresh, changed.to_string()).unwrap();
        fs::rename(&fresh, self.dir.path().join(file)).unwrap();
        for _ in 0..400 {
            let (reloads_now, failures_now) = counts().await;
            if failures_now > failures {
                return false;
            }
            if reloads_now > reloads {
                return true;
            }
            tokio::time::sleep(std::time::Duration::from_millis(25)).await;
        }
        panic!("Envoy took no notice of the new policy");
    }
}
