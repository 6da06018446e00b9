//! The authorization server that tests stand before: `oidc-provider`, as `tests/e2e/idp/server.mjs` sets it up.

use std::{
    collections::BTreeMap,
    fs::File,
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::{
    client, repository,
    request::{Answer, Request, get, request},
    signing::base64url,
    tls,
};

/// Of every token but those for `urn:api:other`.
pub(crate) const AUDIENCE: &str = "https://api.test";
/// Where a browser would be sent back to. Nobody listens: the code stands in the URL.
const CALLBACK: &str = "http://127.0.0.1:9/callback";
const START_WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct Idp {
    child: Child,
    pub(crate) issuer: String,
    pub(crate) address: SocketAddr,
    /// What it says of itself when something is wrong.
    log: NamedTempFile,
}

impl Idp {
    /// Over plain HTTP.
    pub(crate) async fn start() -> Self {
        Self::start_with(json!({})).await
    }

    /// `options` as `server.mjs` explains them.
    pub(crate) async fn start_with(options: Value) -> Self {
        let log = NamedTempFile::new().unwrap();
        let output = File::create(log.path()).unwrap();
        let mut child = Command::new("node")
            .arg(repository().join("tests/e2e/idp/server.mjs"))
            .arg(options.to_string())
            .stdin(Stdio::piped())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .expect("node starts");
        let deadline = Instant::now() + START_WITHIN;
        let issuer = loop {
            let said = std::fs::read_to_string(log.path()).unwrap();
            // A line that is whole.
            if let Some((line, _)) = said.split_once("ready ").and_then(|(_, rest)| rest.split_once('\n')) {
                break line.to_owned();
            }
            let gone = child.try_wait().unwrap().is_some() || Instant::now() > deadline;
            assert!(!gone, "the authorization server did not start (run `make test`); it said:\n{said}");
            tokio::time::sleep(Duration::from_millis(25)).await;
        };
        let port: u16 = issuer.rsplit(':').next().unwrap().parse().unwrap();
        Self { child, issuer, address: ([127, 0, 0, 1], port).into(), log }
    }

    /// The provider `test` of a policy: every algorithm, keys from the cluster `jwks`.
    pub(crate) fn provider(&self, jwks: Value) -> Value {
        let mut provider = json!({
            "name": "test",
            "issuer": self.issuer,
            "audiences": [AUDIENCE],
            "algorithms": ["RS256", "PS256", "ES256", "EdDSA"],
            "clockSkew": "0s",
            "claims": {"roles": "roles"},
            "jwks": {"uri": format!("{}/jwks", self.issuer), "cluster": "jwks"},
        });
        super::policy::merge(&mut provider["jwks"], jwks);
        provider
    }

    /// An access token by client credentials.
    pub(crate) async fn token(&self, resource: &str) -> String {
        text(&self.tokens(&client_credentials("m2m", "m2m-secret", resource)).await, "access_token")
    }

    /// One that is bound to a key, of which `proof` shows possession to the token endpoint (RFC 9449 section 5).
    pub(crate) async fn token_bound_to_key(&self, resource: &str, proof: &str) -> String {
        let form = client_credentials("m2m", "m2m-secret", resource);
        let answer = self.send(&posted("/token", &form).header("dpop", proof)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer["token_type"], "DPoP");
        text(&answer, "access_token")
    }

    /// One that is bound to the certificate that `client` shows to the token endpoint (RFC 8705 section 3).
    pub(crate) async fn token_bound_to_certificate(
        &self,
        resource: &str,
        client: Arc<tokio_rustls::rustls::ClientConfig>,
    ) -> String {
        let form = client_credentials("m2m-mtls", "m2m-mtls-secret", resource);
        let request = posted("/token", &form).authority(self.issuer.split_once("://").unwrap().1);
        let stream = client::tls(self.address, client).await.unwrap();
        let answer = client::http1(stream, &request).await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        text(&serde_json::from_slice(&answer.body).unwrap(), "access_token")
    }

    /// The token endpoint's answer, which must be a good one.
    pub(crate) async fn tokens(&self, form: &[(&str, &str)]) -> Value {
        let answer = self.send(&posted("/token", form)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_slice(&answer.body).unwrap()
    }

    /// Authorization code with PKCE (RFC 7636): `account` logs in and consents. Answers all tokens.
    pub(crate) async fn log_in(&self, account: &str, resource: &str) -> Value {
        let verifier = "a-verifier-of-enough-letters-for-the-specification";
        let challenge = base64url(digest(&SHA256, verifier.as_bytes()).as_ref()).unwrap();
        let asked = form(&[
            ("client_id", "spa"),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid offline_access api:read"),
            ("resource", resource),
            ("prompt", "consent"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
            ("nonce", "n"),
        ]);
        let mut cookies = BTreeMap::new();
        let mut target = format!("/auth?{asked}");
        for _ in 0..12 {
            let mut answer = self.visit(&mut cookies, get(&target)).await;
            if answer.status == 200 {
                let page = String::from_utf8_lossy(&answer.body).into_owned();
                let prompt = page.split("name=\"prompt\" value=\"").nth(1).expect("a form");
                let prompt = prompt.split('"').next().unwrap();
                let filled = [("prompt", prompt), ("login", account), ("password", "any")];
                answer = self.visit(&mut cookies, posted(&target, &filled)).await;
            }
            let location = answer.header("location").unwrap_or_else(|| panic!("{answer:?}")).to_owned();
            if let Some((CALLBACK, query)) = location.split_once('?') {
                let code = query.split('&').find_map(|pair| pair.strip_prefix("code="));
                let code = code.unwrap_or_else(|| panic!("no code: {location}"));
                return self
                    .tokens(&[
                        ("grant_type", "authorization_code"),
                        ("client_id", "spa"),
                        ("code", code),
                        ("redirect_uri", CALLBACK),
                        ("code_verifier", verifier),
                        ("resource", resource),
                    ])
                    .await;
            }
            target = location.strip_prefix(&self.issuer).unwrap_or(&location).to_owned();
        }
        panic!("no end of redirects at {target}");
    }

    /// New keys sign from now on, those of one algorithm.
    pub(crate) async fn rotate(&self, algorithm: &str) {
        self.control("POST", &format!("/test/rotate?alg={algorithm}")).await;
    }

    /// Only the newest key of each algorithm stays published.
    pub(crate) async fn retire(&self) {
        self.control("POST", "/test/retire").await;
    }

    /// What the key set's URL does from now on.
    pub(crate) async fn keys_are(&self, mode: &str) {
        self.turns("jwks", mode).await;
    }

    /// What becomes of `endpoint`, by its name in `server.mjs`, from now on.
    pub(crate) async fn turns(&self, endpoint: &str, mode: &str) {
        self.control("POST", &format!("/test/mode?{endpoint}={mode}")).await;
    }

    /// How often the key set was asked for.
    pub(crate) async fn fetches(&self) -> u64 {
        self.count("jwks").await
    }

    /// How often `endpoint` was asked.
    pub(crate) async fn count(&self, endpoint: &str) -> u64 {
        self.control("GET", "/test/count").await[endpoint].as_u64().unwrap()
    }

    /// Ends a token (RFC 7009).
    pub(crate) async fn revoke(&self, token: &str) {
        let client = [("client_id", "gateway"), ("client_secret", "gateway-secret"), ("token", token)];
        let answer = self.send(&posted("/token/revocation", &client)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }

    async fn control(&self, method: &str, target: &str) -> Value {
        let answer = self.send(&request(method, target)).await;
        assert_eq!(answer.status, 200, "{target}: {answer:?}");
        serde_json::from_slice(&answer.body).unwrap()
    }

    pub(crate) async fn send(&self, request: &Request) -> Answer {
        let (scheme, authority) = self.issuer.split_once("://").unwrap();
        let request = request.clone().authority(authority);
        let answer = if scheme == "https" {
            let config = tls::client(&tls::IDENTITY.certificate, "http/1.1");
            client::http1(client::tls(self.address, config).await.unwrap(), &request).await
        } else {
            client::try_http1_plain(self.address, &request).await
        };
        answer.unwrap()
    }

    /// As a browser: with the cookies that it was given.
    async fn visit(&self, cookies: &mut BTreeMap<String, String>, request: Request) -> Answer {
        let jar: Vec<String> = cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let answer = self.send(&request.header("cookie", jar.join("; "))).await;
        for (_, cookie) in answer.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let pair = cookie.split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            if value.is_empty() {
                cookies.remove(name);
            } else {
                cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        answer
    }
}

impl Drop for Idp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = std::fs::read_to_string(self.log.path()).unwrap_or_default();
            eprintln!("--- the authorization server\n{log}---");
        }
    }
}

pub(crate) fn text(object: &Value, member: &str) -> String {
    object[member].as_str().unwrap_or_else(|| panic!("no {member}: {object}")).to_owned()
}

/// The same token under another `kid`. Its signature is worth nothing then, as nobody can know.
pub(crate) fn with_kid(token: &str, kid: &str) -> String {
    let (_, rest) = token.split_once('.').unwrap();
    let header = json!({"alg": "ES256", "typ": "at+jwt", "kid": kid}).to_string();
    format!("{}.{rest}", base64url(header.as_bytes()).unwrap())
}

fn client_credentials<'a>(id: &'a str, secret: &'a str, resource: &'a str) -> [(&'a str, &'a str); 5] {
    [
        ("grant_type", "client_credentials"),
        ("client_id", id),
        ("client_secret", secret),
        ("scope", "api:read"),
        ("resource", resource),
    ]
}

fn posted(target: &str, pairs: &[(&str, &str)]) -> Request {
    request("POST", target).header("content-type", "application/x-www-form-urlencoded").body(form(pairs))
}

/// `application/x-www-form-urlencoded`.
pub(crate) fn form(pairs: &[(&str, &str)]) -> String {
    let encode = |text: &str| -> String {
        let keep = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
        text.bytes().map(|b| if keep(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
    };
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value))).collect();
    pairs.join("&")
}

/// Asks until `done`, at most for `within`; answers how long it took.
pub(crate) async fn until(within: Duration, mut done: impl AsyncFnMut() -> bool) -> Duration {
    let started = Instant::now();
    while !done().await {
        assert!(started.elapsed() < within, "not within {within:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    started.elapsed()
}
