//! `envoy/oauth2-login.yaml` with a user in front of it: Chromium is sent to the identity provider, the user logs in
//! and consents, and what the browser then asks for reaches the application under the user's name.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{
    artifact, client, free_port,
    idp::{Idp, text},
    process::Envoy,
    repository,
    request::{Answer, Request, get},
    tls::{self, IDENTITY},
    upstream::Upstream,
};

/// Puts `replacements` into the shipped file, each of which must be for something that stands there.
fn lay_out(replacements: &[(&str, String)]) -> TempDir {
    let mut config = fs::read_to_string(repository().join("envoy/oauth2-login.yaml")).unwrap();
    for (shipped, here) in replacements {
        assert!(config.contains(shipped), "no `{shipped}` in the file");
        config = config.replace(shipped, here);
    }
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    put("envoy.yaml", &config);
    lay_out_material(dir.path());
    dir
}

/// What the file wants beside it.
pub(crate) fn lay_out_material(dir: &Path) {
    let put = |name: &str, text: &str| fs::write(dir.join(name), text).unwrap();
    put("server.pem", &IDENTITY.certificate);
    put("server-key.pem", &IDENTITY.key);
    put("idp-ca.pem", &IDENTITY.certificate);
    for (name, secret) in
        [("client-secret", "web-secret"), ("cookie-secret", "a-secret-that-only-this-envoy-knows")]
    {
        let secret = json!({"resources": [{
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
            "name": name,
            "generic_secret": {"secret": {"inline_string": secret}},
        }]});
        put(&format!("{name}.yaml"), &secret.to_string());
    }
    fs::copy(artifact("PORTCULLIS_WASM"), dir.join("portcullis.wasm")).unwrap();
}

/// What a browser saw of `app`.
fn browse(app: &str) -> Value {
    let output = Command::new("node")
        .arg(repository().join("tests/e2e/idp/browser.mjs"))
        .arg(app)
        .output()
        .expect("node starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen["error"], Value::Null, "{seen:#}");
    seen
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_logs_in_and_uses_the_api() {
    let port = free_port();
    let app = format!("https://localhost:{port}");
    let options = json!({"certificate": IDENTITY.certificate, "key": IDENTITY.key, "app": app});
    let (idp, upstream) = (Idp::start_with(options).await, Upstream::start().await);
    let dir = lay_out(&[
        ("app.example.com:8443", format!("localhost:{port}")),
        ("address: 127.0.0.1, port_value: 8443", format!("address: 127.0.0.1, port_value: {port}")),
        ("port_value: 9901", "port_value: 0".to_owned()),
        ("port_value: 8081", format!("port_value: {}", upstream.address.port())),
        ("https://idp.example.com", idp.issuer.clone()),
        (
            "address: idp.example.com, port_value: 443",
            format!("address: 127.0.0.1, port_value: {}", idp.address.port()),
        ),
        ("idp.example.com", "localhost".to_owned()),
    ]);
    let envoy =
        Envoy::start(dir.path(), Path::new("envoy.yaml"), 2).await.unwrap_or_else(|log| panic!("{log}"));
    let browser = tokio::task::spawn_blocking({
        let app = app.clone();
        move || browse(&app)
    });
    let seen = browser.await.unwrap();

    // Nobody: pages lead to the login, scripts are told, and what is open is open.
    let login = seen["before"]["page"]["headers"]["location"].as_str().unwrap();
    assert_eq!(seen["before"]["page"]["status"], 302);
    assert!(login.starts_with(&format!("{}/auth?", idp.issuer)), "{login}");
    for parameter in [
        "response_type=code",
        "code_challenge_method=S256",
        "scope=openid%20trips%3Aread",
        "resource=https%3A%2F%2Fapi.example.com%2Ftrips",
        &format!("redirect_uri=https%3A%2F%2Flocalhost%3A{port}%2Fcallback"),
    ] {
        assert!(login.split(['?', '&']).any(|pair| pair == parameter), "no {parameter}: {login}");
    }
    refused(&seen["before"]["api"], 401, "credentials_missing");
    assert_eq!(seen["before"]["health"]["status"], 200);

    // Redirect, login, consent, and back to where the user wanted to go.
    assert!(seen["loginUrl"].as_str().unwrap().starts_with(&format!("{}/interaction/", idp.issuer)));
    assert!(seen["consentText"].as_str().unwrap().contains("trips:read"));
    assert_eq!(seen["page"]["url"], format!("{app}/?from=a+bookmark"));
    arrived(seen["page"]["body"].as_str().unwrap(), "/?from=a+bookmark", "alice", "pages");
    // The API answers the page's script.
    assert_eq!(seen["api"]["status"], 200, "{seen:#}");
    arrived(seen["api"]["body"].as_str().unwrap(), "/api/trips", "alice", "read-trips");
    // The user consented to reading.
    refused(&seen["booking"], 403, "insufficient_scope");

    // Scripts and other sites get nothing of the session, and the browser holds no token that it could read.
    let cookies = seen["cookies"].as_array().unwrap();
    let mut names: Vec<&str> = cookies.iter().map(|cookie| cookie["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["BearerToken", "IdToken", "OauthExpires", "OauthHMAC"]);
    for cookie in cookies {
        assert_eq!(
            (&cookie["secure"], &cookie["httpOnly"], &cookie["sameSite"]),
            (&json!(true), &json!(true), &json!("Lax")),
            "{cookie}"
        );
        assert_ne!(text(cookie, "value").split('.').count(), 3, "a token in the clear: {cookie}");
    }
    assert_eq!(seen["scriptCookies"], "");
    refused(&seen["crossSite"], 401, "credentials_missing");
    refused(&seen["altered"]["api"], 401, "credentials_missing");
    assert_eq!(seen["altered"]["page"]["status"], 302);
    assert_eq!(seen["restored"]["status"], 200);

    // Out, here and at the identity provider, which asks for a password again.
    assert!(seen["logoutUrl"].as_str().unwrap().starts_with(&format!("{}/session/end?", idp.issuer)));
    assert_eq!(seen["left"], json!([]));
    assert!(seen["afterLogout"]["url"].as_str().unwrap().starts_with(&idp.issuer));
    refused(&seen["afterLogout"]["api"], 401, "credentials_missing");

    // Who has a token needs no login; the token must be a good one.
    let token = machine_token(&idp).await;
    let ask = async |request: Request| ask(port, request).await;
    let answer = ask(get("/api/trips").bearer(&token)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    arrived(&String::from_utf8_lossy(&answer.body), "/api/trips", "m2m", "read-trips");
    let answer = ask(get("/api/trips").bearer(&format!("{token}x"))).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    // Not even in the name of a cookie: it is neither signed nor encrypted by this Envoy.
    let answer = ask(get("/api/trips").header("cookie", format!("BearerToken={token}"))).await;
    assert_eq!(answer.reason().as_deref(), Some("credentials_missing"), "{answer:?}");
    let answer = ask(get("/api/trips").bearer(&token).authority("evil.test")).await;
    assert_eq!(answer.status, 404, "another host: {answer:?}");

    assert!(!envoy.log().contains("Wasm VM failed"));
}

fn refused(answer: &Value, status: u16, reason: &str) {
    let problem: Value = serde_json::from_str(&text(answer, "body")).unwrap_or_default();
    assert_eq!((&answer["status"], &problem["reason"]), (&json!(status), &json!(reason)), "{answer}");
}

/// What the application says that it got: who is calling, and nothing to call as that user with.
fn arrived(body: &str, path: &str, subject: &str, rule: &str) {
    let seen: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{body}"));
    assert_eq!(seen["path"], path);
    assert_eq!(seen["headers"]["x-portcullis-subject"], json!([subject]));
    assert_eq!(seen["headers"]["x-portcullis-rule"], json!([rule]));
    for header in ["authorization", "cookie"] {
        assert_eq!(seen["headers"][header], Value::Null, "{header}");
    }
}

async fn machine_token(idp: &Idp) -> String {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", "m2m"),
        ("client_secret", "m2m-secret"),
        ("scope", "trips:read"),
        ("resource", "https://api.example.com/trips"),
    ];
    text(&idp.tokens(&form).await, "access_token")
}

async fn ask(port: u16, request: Request) -> Answer {
    let request = if request.authority == "localhost" {
        request.authority(&format!("localhost:{port}"))
    } else {
        request
    };
    let config = tls::client(&IDENTITY.certificate, "http/1.1");
    let stream = client::tls(([127, 0, 0, 1], port).into(), config).await.unwrap();
    client::http1(stream, &request).await.unwrap()
}
