//! `envoy/oauth2-login.yaml`, as the compose file's profile `login` starts it, with a user in front: Chromium is sent to the identity provider, the user logs in
//! and consents, and what the browser then asks for reaches the application under the user's name.

use std::{
    fs,
    path::Path,
    process::{Command, ExitStatus},
};

use serde_json::{Value, json};

use crate::{
    compose,
    harness::{
        artifact, client, envoy_version,
        idp::text,
        process::validate,
        repository,
        request::{Answer, Request, get},
        tls::{self, IDENTITY},
    },
};

/// What the file wants beside it.
fn lay_out_material(dir: &Path) {
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

/// Envoy's judgement of the file as it is shipped.
pub(crate) fn validate_shipped() -> (ExitStatus, String) {
    let dir = tempfile::tempdir().unwrap();
    lay_out_material(dir.path());
    validate(dir.path(), &repository().join("envoy/oauth2-login.yaml"))
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
    if !envoy_version::has_browser_logins() {
        // It does not start with half of a login.
        let (status, log) = validate_shipped();
        assert!(!status.success() && envoy_version::refuses_browser_logins(&log), "{log}");
        return;
    }
    let project = compose::start(&["login"], repository());
    let [port, idp] = ["login", "idp"].map(|service| project.published(service));
    let (app, idp) = (format!("https://localhost:{port}"), format!("https://localhost:{idp}"));
    let browser = tokio::task::spawn_blocking({
        let app = app.clone();
        move || browse(&app)
    });
    let seen = browser.await.unwrap();

    // Nobody: pages lead to the login, scripts are told, and what is open is open.
    let login = seen["before"]["page"]["headers"]["location"].as_str().unwrap();
    assert_eq!(seen["before"]["page"]["status"], 302);
    assert!(login.starts_with(&format!("{idp}/auth?")), "{login}");
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
    assert!(seen["loginUrl"].as_str().unwrap().starts_with(&format!("{idp}/interaction/")));
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
    assert!(seen["logoutUrl"].as_str().unwrap().starts_with(&format!("{idp}/session/end?")));
    assert_eq!(seen["left"], json!([]));
    assert!(seen["afterLogout"]["url"].as_str().unwrap().starts_with(&idp));
    refused(&seen["afterLogout"]["api"], 401, "credentials_missing");

    // Who has a token needs no login; the token must be a good one.
    let authority = fs::read_to_string(project.volume("demo").join("ca.pem")).unwrap();
    let ask = async |request: Request| ask(&authority, port, request).await;
    let token = compose::machine_token(&project, "https://api.example.com/trips", "trips:read").await;
    let answer = ask(get("/api/trips").bearer(&token)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    arrived(&String::from_utf8_lossy(&answer.body), "/api/trips", "batch", "read-trips");
    let answer = ask(get("/api/trips").bearer(&format!("{token}x"))).await;
    assert_eq!(answer.status, 401, "{answer:?}");
    // Not even in the name of a cookie: it is neither signed nor encrypted by this Envoy.
    let answer = ask(get("/api/trips").header("cookie", format!("BearerToken={token}"))).await;
    assert_eq!(answer.reason().as_deref(), Some("credentials_missing"), "{answer:?}");
    let answer = ask(get("/api/trips").bearer(&token).authority("evil.test")).await;
    assert_eq!(answer.status, 404, "another host: {answer:?}");

    assert!(!project.log("login").contains("Wasm VM failed"));
}

fn refused(answer: &Value, status: u16, reason: &str) {
    let problem: Value = serde_json::from_str(&text(answer, "body")).unwrap_or_default();
    assert_eq!((&answer["status"], &problem["reason"]), (&json!(status), &json!(reason)), "{answer}");
}

/// What the application says that it got: who is calling, and nothing to call as that user with.
fn arrived(body: &str, path: &str, subject: &str, rule: &str) {
    let seen: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{body}"));
    assert_eq!(seen["path"], path);
    assert_eq!(seen["headers"]["x-portcullis-subject"], json!(subject));
    assert_eq!(seen["headers"]["x-portcullis-rule"], json!(rule));
    for header in ["authorization", "cookie"] {
        assert_eq!(seen["headers"][header], Value::Null, "{header}");
    }
}

async fn ask(authority: &str, port: u16, request: Request) -> Answer {
    let request = if request.authority == "localhost" {
        request.authority(&format!("localhost:{port}"))
    } else {
        request
    };
    let config = tls::client(authority, "http/1.1");
    let stream = client::tls(([127, 0, 0, 1], port).into(), config).await.unwrap();
    client::http1(stream, &request).await.unwrap()
}
