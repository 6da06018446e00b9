//! The host's part without a host: what is asked of it, in which order, and what comes of a call that fails.
#![expect(clippy::arithmetic_side_effects, reason = "test code may panic")]

mod failing;
mod key_watch;
mod policy_stats;
mod stand_in;
mod stats;
mod stream;
mod waiting;

use std::{fmt::Write as _, rc::Rc};

use serde_json::{Value, json};
use stand_in::{Done, StandIn, later};

use super::{
    carry_out, root,
    serving::{Decided, Serving},
    stream::Stream,
};
use crate::crypto::sha256;

const KEY: &str = "reader-secret";
const STREAM: u32 = 7;

/// What answers headers get, and every road to the upstream: by a key, by what an issuer says of a token, by nothing.
fn policy() -> Value {
    let hash = sha256(KEY.as_bytes()).iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    });
    let rule = |path: &str, access: Value| json!({"name": path, "authenticate": access, "matches": [{"path": {"type": "Exact", "value": format!("/{path}")}}]});
    let mut limited = rule("keys", json!({"anyOf": ["apiKey"]}));
    limited["rateLimits"] = json!(["few"]);
    json!({
        "transport": {"hsts": {"maxAge": "1h"}},
        "jwt": {"providers": [{
            "name": "as", "issuer": "https://as.example", "audiences": ["api"],
            "introspection": {"endpoint": "https://as.example/introspect", "cluster": "as",
                "clientId": "gateway", "clientSecret": "gateway-secret"},
        }]},
        "apiKeys": {"keys": [{"id": "reader", "hash": format!("sha256:{hash}")}]},
        "identityHeaders": {"send": ["Subject", "Rule"]},
        "rateLimits": [{"name": "few", "key": ["principal"], "limits": [{"requests": 100, "unit": "Hour"}]}],
        "rules": [limited, rule("tokens", json!({"anyOf": [{"jwt": "as"}]}))],
    })
}

/// The filter, configured.
fn filter() -> (StandIn, Rc<Serving<StandIn>>) {
    let host = StandIn::new(policy().to_string());
    let serving = root::configure(&host).unwrap();
    (host, Rc::new(serving))
}

fn head<'a>(path: &'a str, credential: Option<(&'a str, &'a str)>) -> Vec<(&'a str, &'a str)> {
    let line = [(":method", "GET"), (":scheme", "https"), (":authority", "api.example"), (":path", path)];
    line.into_iter().chain([("x-portcullis-rule", "forged")]).chain(credential).collect()
}

/// Whether a request goes on at once. What it asks for in order to wait is sent.
fn goes_on(serving: &Serving<StandIn>, decided: Decided) -> bool {
    if decided == Decided::Wait {
        serving.send_calls();
    }
    decided == Decided::Forward
}

/// Begins a request with a key, or with none.
fn with_key(host: &StandIn, serving: &Serving<StandIn>, key: Option<&str>) -> bool {
    host.hand_over(STREAM, &head("/keys", key.map(|key| ("x-api-key", key))));
    goes_on(serving, serving.on_request(STREAM, true))
}

/// Begins a request whose token the issuer is asked about.
fn with_token(host: &StandIn, serving: &Serving<StandIn>, stream: u32, token: &str) -> bool {
    let credential = format!("Bearer {token}");
    host.hand_over(stream, &head("/tokens", Some(("authorization", &credential))));
    goes_on(serving, serving.on_request(stream, true))
}

fn is_active(active: bool) -> String {
    json!({"active": active, "iss": "https://as.example", "sub": "alice", "aud": "api", "exp": 1_900_000_000})
        .to_string()
}

/// Answers the last call.
fn answer_call(host: &StandIn, serving: &Serving<StandIn>, body: &str) {
    host.server_says(body);
    serving.on_call_response(host.sent(), 1, host.body_size());
}
