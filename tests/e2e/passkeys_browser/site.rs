//! A site behind the gateway, visited by a browser: what a page's script does step by step, so that each step can go wrong.
//! Passkeys are in etcd, and all the way there is TLS.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::driver::Browser;
use crate::harness::{
    etcd::Etcd,
    gateway::{Gateway, gateway},
    issuer::{ISSUER_KEYS, token},
    policy::{anyone, provider, rule},
    request::request,
    tls::{CLIENTS, IDENTITY},
};

pub(super) const SITE: &str = "https://app.test";
/// Another page of the relying party.
pub(super) const SHOP: &str = "https://shop.app.test";
const PATH: &str = "/.well-known/portcullis/webauthn/";

/// The shortest time that a policy can give to ceremonies.
pub(super) const TIMEOUT_SECONDS: u64 = 30;

fn policy(etcd: &Etcd) -> Value {
    let sessions = json!([{"jwt": "sessions"}]);
    let with_session =
        |authorize: Value| json!({"authenticate": {"anyOf": sessions}, "authorize": authorize});
    let confirmed = |parts: &[&str]| with_session(json!({"stepUp": {"passkey": {"boundTo": parts}}}));
    json!({
        "jwt": {"providers": [provider()]},
        "signingKeys": {"keys": [ISSUER_KEYS.private_jwk(jsonwebtoken::Algorithm::ES256)]},
        "sessions": {"issuer": SITE, "audiences": [SITE], "cookie": {}},
        "passkeys": {
            "relyingParty": {"id": "app.test", "origins": [SITE, SHOP]},
            "registration": {"jwt": "test"},
            "timeout": format!("{TIMEOUT_SECONDS}s"),
            "etcd": {"uri": etcd.url(), "cluster": "etcd"},
        },
        "rules": [
            rule("page", "Exact", "/page", anyone()),
            rule("account", "Exact", "/account", json!({"authenticate": {"anyOf": sessions}})),
            rule("transfers", "Exact", "/transfers", confirmed(&["Method", "Path", "Body"])),
            rule("orders", "PathPrefix", "/orders", confirmed(&["Method", "Path"])),
        ],
        "defaultAction": "Deny",
        "decisionLog": {"denied": "All"},
    })
}

pub(super) struct Site {
    pub(super) gateway: Gateway,
    pub(super) browser: Browser,
    pub(super) etcd: Etcd,
}

/// What came back: status, reason, body.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) status: u64,
    pub(super) reason: String,
    pub(super) headers: Value,
    pub(super) body: Value,
}

impl Site {
    pub(super) async fn start() -> Self {
        let etcd = Etcd::start_secured();
        let address = ([127, 0, 0, 1], etcd.port).into();
        let gateway = gateway(&policy(&etcd))
            .secure_cluster("etcd", address, Some(CLIENTS.identity("gateway.test")))
            .bodies_while_waiting()
            .https_only()
            .workers(2)
            .start()
            .await;
        let mut browser = Browser::start(&IDENTITY.certificate, gateway.https().port());
        browser.step("open", json!({"url": format!("{SITE}/page")}));
        Self { gateway, browser, etcd }
    }

    /// The page that `origin` has.
    pub(super) fn open(&mut self, origin: &str) {
        self.browser.step("open", json!({"url": format!("{origin}/page")}));
    }

    /// A page that the gateway does not serve.
    pub(super) fn open_elsewhere(&mut self, url: &str) {
        self.browser.step("openElsewhere", json!({"url": url}));
    }

    /// What etcd has of `subject`; `None`: nothing.
    pub(super) fn account(&self, subject: &str) -> Option<Value> {
        let everything = self.etcd.everything();
        let mut values = everything.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        values.find(|value| value["subject"] == subject)
    }

    /// As a script of the page asks.
    pub(super) fn ask(&mut self, method: &str, path: &str, headers: Value, body: Option<&Value>) -> Said {
        let mut request = json!({"method": method, "path": path, "headers": headers});
        if let Some(body) = body {
            request["body"] = json!(body.to_string());
            request["headers"]["content-type"] = json!("application/json");
        }
        let said = self.browser.step("ask", request);
        let body = said["body"].as_str().and_then(|body| serde_json::from_str(body).ok()).unwrap_or_default();
        let reason = |body: &Value| body["reason"].as_str().unwrap_or_default().to_owned();
        Said {
            status: said["status"].as_u64().unwrap(),
            reason: reason(&body),
            headers: said["headers"].clone(),
            body,
        }
    }

    /// One of the gateway's endpoints.
    pub(super) fn endpoint(&mut self, method: &str, endpoint: &str, body: Option<&Value>) -> Said {
        self.ask(method, &format!("{PATH}{endpoint}"), json!({}), body)
    }

    /// That it was refused for this, and the log says why.
    pub(super) fn refuses(&self, said: &Said, why: &str) {
        assert_eq!((said.status, said.reason.as_str()), (403, "passkey_refused"), "{said:?}");
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let log = self.gateway.log();
            let last = log.lines().rev().find(|line| line.contains(r#""decision":"deny""#));
            if last.is_some_and(|line| line.contains(&format!(r#""detail":"{why}"#))) {
                return;
            }
            assert!(Instant::now() < deadline, "not for `{why}`: {last:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn options(&mut self, what: &str, body: Value) -> Value {
        let said = self.endpoint("POST", &format!("{what}/options"), Some(&body));
        assert_eq!(said.status, 200, "{said:?}");
        said.body
    }

    /// A passkey for `subject`, who has a token.
    pub(super) fn register(&mut self, subject: &str) -> Value {
        let authorization = json!({"authorization": format!("Bearer {}", token(subject).sign())});
        let options = format!("{PATH}registration/options");
        let options = self.ask("POST", &options, authorization.clone(), Some(&json!({})));
        assert_eq!(options.status, 200, "{options:?}");
        let mut made = self.browser.step("create", json!({"options": options.body}));
        made["label"] = json!(format!("{subject}'s"));
        let said = self.ask("POST", &format!("{PATH}registration"), authorization, Some(&made));
        assert_eq!(said.status, 201, "{said:?}");
        assert_eq!(said.body["id"], made["id"]);
        said.body
    }

    pub(super) fn sign_in_options(&mut self) -> Value {
        self.options("authentication", json!({}))
    }

    /// The same for a program, which is of no origin.
    pub(super) async fn sign_in_options_of_a_program(&self) -> Value {
        let request = request("POST", &format!("{PATH}authentication/options"));
        let answer = self.gateway.send(&request.header("content-type", "application/json").body("{}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_slice(&answer.body).unwrap()
    }

    pub(super) fn step_up_options(&mut self, operation: Value) -> Value {
        self.options("step-up", operation)
    }

    /// What a passkey says to `options`.
    pub(super) fn touch(&mut self, options: &Value) -> Value {
        self.browser.step("get", json!({"options": options}))
    }

    pub(super) fn sign_in_with(&mut self, assertion: &Value) -> Said {
        self.endpoint("POST", "authentication", Some(assertion))
    }

    /// With the passkey that is there.
    pub(super) fn sign_in(&mut self) -> Said {
        let options = self.sign_in_options();
        let assertion = self.touch(&options);
        self.sign_in_with(&assertion)
    }

    /// With the passkey `id`, of all that are there.
    pub(super) fn sign_in_as(&mut self, id: &Value) -> Said {
        let options = self.sign_in_options();
        let assertion = self.touch_as(id, &options);
        self.sign_in_with(&assertion)
    }

    /// What the passkey `id` says to `options`, whichever they allow.
    pub(super) fn touch_as(&mut self, id: &Value, options: &Value) -> Value {
        let mut options = options.clone();
        options["allowCredentials"] = json!([{"type": "public-key", "id": id}]);
        self.touch(&options)
    }

    /// Sends an operation with what a passkey said.
    pub(super) fn confirmed(&mut self, method: &str, path: &str, body: &Value, assertion: &Value) -> Said {
        let header = json!({"portcullis-passkey": base64url_of(assertion.to_string().as_bytes())});
        self.ask(method, path, header, Some(body))
    }
}

pub(super) fn base64url_of(bytes: &[u8]) -> String {
    crate::harness::signing::base64url(bytes).unwrap()
}
