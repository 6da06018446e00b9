//! The host's part without a host: what is asked of it, in which order, and what comes of a call that fails.
#![expect(clippy::arithmetic_side_effects, reason = "test code may panic")]

mod bodies;
mod etcd_watch;
mod failing;
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

/// What GitHub's documentation signs, and the signature there.
const HOOK_SECRET: &str = "It's a Secret to Everybody";
const HOOK: &str = "Hello, World!";
const HOOK_SIGNATURE: (&str, &str) =
    ("x-hub-signature-256", "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17");

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
        "accessLog": {"fields": ["Rule", "Principal", "Reason"]},
        "identityHeaders": {"send": ["Subject", "Rule"]},
        "rateLimits": [{"name": "few", "key": ["principal"], "limits": [{"requests": 100, "unit": "Hour"}]}],
        "hmac": {"sources": [{"name": "hub", "preset": "GitHub", "secrets": [HOOK_SECRET]}]},
        "rules": [
            limited,
            rule("tokens", json!({"anyOf": [{"jwt": "as"}]})),
            rule("hooks", json!({"anyOf": [{"hmac": "hub"}]})),
            rule("both", json!({"allOf": [{"jwt": "as"}, {"hmac": "hub"}]})),
        ],
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

/// Begins a request that is signed with its body, and whether it goes on at once.
fn with_hook(
    host: &StandIn,
    serving: &Rc<Serving<StandIn>>,
    path: &str,
    credential: Option<(&str, &str)>,
) -> (Stream<StandIn>, bool) {
    let mut stream = Stream::new(host.clone(), STREAM, Some(Rc::clone(serving)));
    let headers: Vec<_> = head(path, credential).into_iter().chain([HOOK_SIGNATURE]).collect();
    host.hand_over(STREAM, &headers);
    let goes_on = goes_on(serving, stream.on_request(false));
    (stream, goes_on)
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
