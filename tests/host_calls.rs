//! What the built module asks of its host for a request: each call costs, so none may come in unnoticed.
//!
//! Counted by a host that stands in for Envoy, because Envoy does not count. That the calls do in Envoy what they are
//! for is what `tests/e2e` shows. Run by `make test`, which builds the module and says where it is.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a step that fails is a test that fails"
)]

use std::{
    collections::BTreeMap,
    env,
    io::Write as _,
    process::{Command, Stdio},
};

use portcullis::crypto::sha256;
use serde_json::{Value, json};

const TIMES: u64 = 100;

fn api_key(client: usize) -> Value {
    let hash: String = sha256(key(client).as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    json!({"id": format!("client-{client}"), "hash": format!("sha256:{hash}")})
}

fn key(client: usize) -> String {
    format!("key-of-client-{client}-0123456789abcdef")
}

fn policy() -> Value {
    let rule = |name: &str, access: Value| {
        let path = json!({"type": "Exact", "value": format!("/{name}")});
        json!({"name": name, "matches": [{"path": path}], "authenticate": access})
    };
    let limited = |name: &str| {
        let mut rule = rule(name, json!({"anyOf": ["apiKey"]}));
        rule["rateLimits"] = json!([name]);
        rule
    };
    let limit = |name: &str, requests: u32| json!({"name": name, "key": ["principal"], "limits": [{"requests": requests, "unit": "Hour"}]});
    json!({
        "interlock": false,
        "transport": {"requireTls": false},
        // Uses are counted in the module, so they cost no call.
        "apiKeys": {"keys": (0..10).map(api_key).collect::<Value>(), "usage": {"to": "Log"}},
        "identityHeaders": {"send": ["Subject"]},
        // A prepayment of the first is 15,625 requests; the second is too small for any.
        "rateLimits": [limit("large", 1_000_000), limit("small", 100)],
        "rules": [
            limited("large"),
            limited("small"),
            rule("unlimited", json!({"anyOf": ["apiKey"]})),
            rule("open", json!({"anonymous": true})),
        ],
    })
}

fn request(path: &str, client: Option<usize>) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        (":authority", "api.example.com".to_owned()),
        (":path", path.to_owned()),
        (":method", "GET".to_owned()),
        (":scheme", "http".to_owned()),
    ];
    headers.extend(client.map(|client| ("x-api-key", key(client))));
    headers
}

/// How often the module calls each function, for each round of `requests` on average, which must be a whole number.
fn calls(requests: &[Vec<(&'static str, String)>], warm_up: u64, times: u64) -> BTreeMap<String, u64> {
    calls_of(&policy(), requests, warm_up, times)
}

fn calls_of(
    policy: &Value,
    requests: &[Vec<(&'static str, String)>],
    warm_up: u64,
    times: u64,
) -> BTreeMap<String, u64> {
    let module =
        env::var("PORTCULLIS_WASM").expect("PORTCULLIS_WASM names the built module; see `make test`");
    let host = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/host_calls/host.mjs");
    let mut child = Command::new("node")
        .args([host, &module])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("Node (node) runs the module");
    let work = json!({"policy": policy, "requests": requests, "warmUp": warm_up, "times": times});
    child.stdin.take().unwrap().write_all(work.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "the host failed");
    let counted: BTreeMap<String, u64> = serde_json::from_slice(&output.stdout).unwrap();
    let each = |(name, count): (String, u64)| {
        assert!(count.is_multiple_of(times), "{name}: {count} calls in {times} rounds");
        (name, count.checked_div(times).unwrap())
    };
    counted.into_iter().map(each).collect()
}

fn expected<const N: usize>(calls: [(&str, u64); N]) -> BTreeMap<String, u64> {
    calls.map(|(name, count)| (name.to_owned(), count)).into()
}

const HEADERS: &str = "proxy_get_header_map_pairs";
const CLOCK: &str = "proxy_get_current_time_nanoseconds";
const REMOVE: &str = "proxy_remove_header_map_value";
const ADD: &str = "proxy_add_header_map_value";
const READ: &str = "proxy_get_shared_data";
const WRITE: &str = "proxy_set_shared_data";
const SET: &str = "proxy_set_property";
const ANSWER: &str = "proxy_send_local_response";

#[test]
fn a_request_costs_the_calls_that_its_decision_needs() {
    let passing = [(HEADERS, 1), (REMOVE, 1), (ADD, 1)];
    for (path, client, calls_of_each) in [
        ("/open", None, expected([(HEADERS, 1)])),
        ("/unlimited", Some(1), expected(passing)),
        // Of refusals alike the first is recorded, and the others are counted.
        ("/large", None, expected([(HEADERS, 1), (ANSWER, 1)])),
        ("/no-rule", None, expected([(HEADERS, 1), (ANSWER, 1)])),
        // What no upstream may see is taken out of a request before its answer.
        ("/no-rule", Some(1), expected([(HEADERS, 1), (REMOVE, 1), (ANSWER, 1)])),
    ] {
        assert_eq!(calls(&[request(path, client)], 1, TIMES), calls_of_each, "{path}");
    }
    let charged = expected([(HEADERS, 1), (CLOCK, 1), (READ, 1), (WRITE, 1), (REMOVE, 1), (ADD, 1)]);
    assert_eq!(calls(&[request("/small", Some(1))], 1, 50), charged);
}

/// One for each field that has something to say, and none for others.
#[test]
fn an_access_log_costs_a_call_for_each_field() {
    let all = ["Rule", "Reason", "Principal", "Kind", "Authority", "Credential", "Limit"];
    for (fields, of_allowed, of_refused) in
        [(&["Rule"][..], 1, 0), (&["Reason"], 0, 1), (&["Kind", "Principal"], 2, 0), (&all, 4, 1)]
    {
        let mut policy = policy();
        policy["accessLog"] = json!({"fields": fields});
        let of = |path: &str, client| calls_of(&policy, &[request(path, client)], 1, TIMES);
        let allowed = of("/unlimited", Some(1));
        assert_eq!(allowed.get(SET).copied().unwrap_or_default(), of_allowed, "{fields:?}: {allowed:?}");
        let refused = of("/no-rule", None);
        assert_eq!(refused.get(SET).copied().unwrap_or_default(), of_refused, "{fields:?}: {refused:?}");
    }
}

/// Decisions are counted by rule in the module, and handed on with a tick.
#[test]
fn counting_by_rule_costs_no_call() {
    let mut by_rule = policy();
    by_rule["metrics"] = json!({"byRule": true});
    for (path, client) in [
        ("/open", None),
        ("/unlimited", Some(1)),
        ("/large", None),
        ("/no-rule", None),
        ("/no-rule", Some(1)),
    ] {
        let asked = [request(path, client)];
        assert_eq!(calls_of(&by_rule, &asked, 1, TIMES), calls(&asked, 1, TIMES), "{path}");
    }
}

/// Their headers come in memory that is kept from one to the next, where they fit.
#[test]
fn requests_of_any_size_in_turn_are_read_alike() {
    let with_head_of = |size: usize| {
        let mut request = request("/unlimited", Some(1));
        // A count, then two sizes, two texts and their ends for each header.
        let so_far: usize = request.iter().map(|(name, value)| name.len() + value.len() + 10).sum();
        request.push(("x-long", "a".repeat(size - 4 - so_far - "x-long".len() - 10)));
        request
    };
    let sizes = [300, 4095, 4096, 4097, 300, 60_000, 4096, 300];
    let requests = sizes.map(with_head_of);
    assert_eq!(calls(&requests, 2, TIMES), expected([(HEADERS, 8), (REMOVE, 8), (ADD, 8)]));
}

#[test]
fn clients_in_turn_each_keep_what_was_charged_ahead_for_them() {
    let requests: Vec<_> = (0..10).map(|client| request("/large", Some(client))).collect();
    let each_once = expected([(HEADERS, 10), (CLOCK, 10), (REMOVE, 10), (ADD, 10)]);
    assert_eq!(calls(&requests, 1, TIMES), each_once);
}

/// Rules of a shadow ask the host for nothing that the rules in force did not ask for; limits are charged as others.
#[test]
fn a_shadow_costs_what_its_limits_cost() {
    let of = |policy: &Value, path: &str, client| calls_of(policy, &[request(path, client)], 1, 50);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut policy = policy();
        change(&mut policy);
        policy
    };
    let next = with(&|policy| policy["shadow"] = json!({"rules": policy["rules"].clone()}));
    let own = with(&|policy| policy["rules"][2]["shadow"] = json!({"authenticate": {"anonymous": true}}));
    for (path, client) in [
        ("/open", None),
        ("/unlimited", Some(1)),
        ("/small", Some(1)),
        ("/unlimited", None),
        ("/no-rule", None),
    ] {
        let without = of(&policy(), path, client);
        assert_eq!(of(&next, path, client), without, "{path}");
        assert_eq!(of(&own, path, client), without, "{path}");
    }
    let limited = with(&|policy| {
        policy["rateLimits"][1]["shadow"] = true.into();
        policy["rules"][2]["rateLimits"] = json!(["small"]);
    });
    let charged = expected([(HEADERS, 1), (CLOCK, 1), (READ, 1), (WRITE, 1), (REMOVE, 1), (ADD, 1)]);
    assert_eq!(of(&limited, "/unlimited", Some(1)), charged);
    assert_eq!(of(&limited, "/open", None), of(&policy(), "/open", None));
}
