//! Envoy's own filters, as the page shows them, beside the policy that takes their place.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use jsonwebtoken::Algorithm;
use proptest::{prelude::*, strategy::Union};
use serde_json::{Value, json};

use super::{Asked, Difference, SideBySide, difference, generated, hold_to_the_page, policy, shown};
use crate::harness::{
    issuer::{ISSUER_KEYS, Token, token},
    now,
    request::{Request, get, post, request},
};

const DIFFERENCES: [Difference; 13] = [
    difference("a token without `exp`", 200, 401),
    difference("a token without `sub`", 200, 401),
    difference("a token with `typ: JOSE`", 200, 401),
    difference("a token by RS512", 200, 401),
    difference("a token for another audience", 403, 401),
    difference("a token with `roles: \"viewer\"`", 403, 200),
    difference("a token with `department: 7`", 200, 403),
    difference("a token with `department: [\"contractors\"]`", 200, 403),
    difference("two good tokens", 200, 400),
    difference("two lines `x-api-key`", 200, 400),
    difference("`GET /orders/a%2Fb`", 200, 400),
    difference("`GET /ordersX`", 200, 403),
    difference("`DELETE /orders` without a token", 401, 403),
];

const READERS: [&str; 3] = ["rita", "ron", "ruth"];
const WRITERS: [&str; 3] = ["walt", "wendy", "will"];

fn viewer(subject: &str) -> Token {
    token(subject).roles(&["viewer"])
}

fn editor(subject: &str) -> Token {
    token(subject).roles(&["employee", "editor"])
}

fn with_credential(credential: usize, person: usize, request: Request) -> Request {
    let (reader, writer) = (READERS[person], WRITERS[person]);
    match credential {
        0 => request,
        1 | 2 => request.bearer(&viewer(reader).sign()),
        3..=7 => request.bearer(&editor(writer).sign()),
        8 => request.bearer(&editor("carl").claim("department", "contractors").sign()),
        9 => request.bearer(&token("nora").sign()),
        10 => request.bearer(&editor(writer).claim("exp", now() - 600).sign()),
        11 => request.bearer(&editor(writer).forged().sign()),
        12 => request.bearer(&editor(writer).claim("iss", "https://other.test").sign()),
        13 => request.bearer("nonsense"),
        14 | 15 => request.api_key(["partner-key", "auditor-key", "partner-key"][person]),
        16 => request.api_key("intern-key"),
        17 => request.api_key("unknown-key"),
        18 => with_parameter(&request, &viewer(reader).sign()),
        _ => request.bearer(&viewer(reader).sign()).api_key("partner-key"),
    }
}

fn with_parameter(given: &Request, token: &str) -> Request {
    let between = if given.target.contains('?') { '&' } else { '?' };
    let target = format!("{}{between}access_token={token}", given.target);
    Request { target, ..given.clone() }
}

fn alike() -> impl Strategy<Value = Asked> {
    let requests = vec![
        (1, get("/health")),
        (1, post("/health")),
        (2, get("/catalogue/3?page=2")),
        (2, get("/orders")),
        (2, get("/orders/7")),
        (1, get("/a/../orders//7")),
        (8, post("/orders")),
        (4, get("/reports/march")),
        (1, get("/internal/x")),
        (1, get("/nowhere")),
        (1, request("DELETE", "/nowhere")),
    ];
    let requests =
        Union::new_weighted(requests.into_iter().map(|(weight, request)| (weight, Just(request))).collect());
    let addresses = prop_oneof![
        5 => Just("192.0.2.7"),
        1 => Just("10.1.2.3"),
        1 => Just("203.0.113.9"),
        1 => Just("203.0.113.9, 192.0.2.7"),
    ];
    (requests, 0..20_usize, 0..3_usize, addresses).prop_map(|(request, credential, person, address)| Asked {
        request: with_credential(credential, person, request).header("x-forwarded-for", address),
        shows: None,
    })
}

fn shown_by(which: usize, subject: &str) -> Request {
    let read = |token: Token| get("/orders/7").bearer(&token.sign());
    let write = |token: Token| post("/orders").bearer(&token.sign());
    let (viewer, editor) = (viewer(subject), editor(subject));
    match which {
        0 => read(viewer.claim("exp", Value::Null)),
        1 => read(viewer.claim("sub", Value::Null)),
        2 => read(viewer.header("typ", "JOSE")),
        3 => read(viewer.algorithm(Algorithm::RS512)),
        4 => read(viewer.claim("aud", "https://other.test")),
        5 => read(viewer.claim("roles", "viewer")),
        6 => write(editor.claim("department", 7)),
        7 => write(editor.claim("department", json!(["contractors"]))),
        8 => get(&format!("/orders/7?access_token={}", viewer.sign())).bearer(&editor.sign()),
        9 => get("/reports/march").api_key("partner-key").api_key("auditor-key"),
        10 => get("/orders/a%2Fb").bearer(&viewer.sign()),
        11 => get("/ordersX").bearer(&viewer.sign()),
        _ => request("DELETE", "/orders"),
    }
}

/// Each by somebody else, whom no limit has counted.
fn different() -> impl Strategy<Value = Asked> {
    (0..DIFFERENCES.len(), 0..1_000_000_u32).prop_map(|(which, n)| Asked {
        request: shown_by(which, &format!("odd-{n}")),
        shows: Some(DIFFERENCES[which].name),
    })
}

/// Those of the page, with the issuer's keys in place of where they would be fetched.
fn filters_and_routes() -> (Vec<Value>, Value) {
    let mut before = shown("# Envoy's own filters").remove(0);
    let provider = before["http_filters"][0]["typed_config"]["providers"]["corp"].as_object_mut().unwrap();
    provider.remove("remote_jwks").unwrap();
    provider.insert("local_jwks".to_owned(), json!({"inline_string": ISSUER_KEYS.jwks().to_string()}));
    (before["http_filters"].as_array().unwrap().clone(), before["routes"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_envoys_own_filters_decide_is_decided_alike() {
    let (filters, routes) = filters_and_routes();
    let policy = policy("# Instead of Envoy's own filters");
    let envoy = SideBySide::start(filters, &policy, &routes).await;
    let asked = generated(&prop_oneof![8 => alike(), 1 => different()]);
    envoy.compare(&asked, &DIFFERENCES, &[200, 401, 403, 429]).await;
}

/// The policy that `portcullis import envoy` makes of them, with the issuer's keys in it, and over plain HTTP as here.
fn imported() -> Value {
    let page = super::page();
    let filters = page.split("```yaml\n# Envoy's own filters\n").nth(1).unwrap().split("```").next().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_portcullis"))
        .args(["import", "envoy", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(filters.as_bytes()).unwrap();
    let made = child.wait_with_output().unwrap();
    let made = String::from_utf8(made.stdout).unwrap();
    let mut policy = crate::manifests::documents(&made).remove(0);
    policy["jwt"]["providers"][0]["jwks"] = json!({"inline": ISSUER_KEYS.jwks()});
    policy["transport"] = json!({"requireTls": false});
    policy
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_imported_of_envoys_own_filters_decides_alike() {
    let (filters, routes) = filters_and_routes();
    let envoy = SideBySide::start(filters, &imported(), &routes).await;
    let asked = generated(&prop_oneof![8 => alike(), 1 => different()]);
    envoy.compare(&asked, &DIFFERENCES, &[200, 401, 403, 429]).await;
}

#[test]
fn the_page_tells_where_it_differs_from_envoys_own_filters() {
    hold_to_the_page("\n## Envoy's own filters, run side by side\n", &DIFFERENCES);
}
