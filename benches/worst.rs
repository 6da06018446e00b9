//! What the costliest requests cost that Envoy's default limits let in (60 KiB of headers, 100 of them), under policies
//! of 10,000 rules and 200 expressions.
//!
//! `cargo bench --bench worst` prints, for each case, the least and the median of several rounds. The goal is that no
//! decision takes more than a millisecond; natively, and a decision in Envoy takes up to twice as long. A word behind
//! `--` prints those cases alone that have it in their names.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a benchmark on its own data"
)]

use std::{hint::black_box, time::Instant};

use ct_codecs::{Base64UrlSafeNoPadding, Encoder};
use portcullis::{
    engine::{Exchange, HostServices, Step, WorkerState},
    policy::Policy,
    request::RequestHead,
    store::MemoryStore,
    time::{Clock, Timestamp},
};
use serde_json::{Value, json};

const ROUNDS: usize = 51;

/// What Envoy lets in of a target, and what the filter reads of it.
const TARGET: usize = 8192;
/// `max_request_headers_kb`, less what the other headers take.
const HEADERS: usize = 59 * 1024;

struct Case {
    name: &'static str,
    policy: Value,
    target: String,
    headers: Vec<(String, String)>,
}

fn anyone(name: impl ToString, matches: Value) -> Value {
    json!({"name": name.to_string(), "authenticate": {"anonymous": true}, "matches": [matches]})
}

fn rules(count: usize, one: impl Fn(usize) -> Value) -> Value {
    json!({"rules": (0..count).map(|n| anyone(n, one(n))).collect::<Vec<_>>()})
}

fn header(name: &str, kind: &str, value: &str) -> Value {
    json!([{"name": name, "type": kind, "value": value}])
}

/// As many of `piece` as fit, numbered.
fn filled(length: usize, between: &str, piece: impl Fn(usize) -> String) -> String {
    let mut text = String::new();
    for n in 0.. {
        let piece = piece(n);
        if text.len() + between.len() + piece.len() > length {
            break;
        }
        if n > 0 {
            text.push_str(between);
        }
        text.push_str(&piece);
    }
    text
}

fn query(piece: impl Fn(usize) -> String) -> String {
    format!("/x?{}", filled(TARGET - 3, "&", piece))
}

fn sent(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn x() -> Value {
    json!({"type": "Exact", "value": "/x"})
}

/// Rules of one path that differ in headers or query alone.
fn conditions() -> Vec<Case> {
    let by_parameter = |n: usize| json!({"path": x(), "queryParams": header(&format!("p{n}"), "Exact", "1")});
    let by_tenant =
        |n: usize| json!({"path": x(), "headers": header("x-tenant", "Exact", &format!("tenant-{n}"))});
    // Every combination of 13 headers that are 0 or 1.
    let flags = |n: usize| {
        let asked =
            (0..13).map(|bit| json!({"name": format!("x-f{bit}"), "value": (n >> bit & 1).to_string()}));
        json!({"path": x(), "headers": asked.collect::<Vec<_>>()})
    };
    let all_flags = |value: &str| (0..13).map(|bit| sent(&format!("x-f{bit}"), value)).collect::<Vec<_>>();
    let present = |n: usize| {
        json!({"path": x(), "headers": [
        {"name": "x-a", "type": "Present"}, {"name": format!("x-{n}"), "type": "Present"}]})
    };
    vec![
        Case {
            name: "2,000 parameters, none asked for",
            policy: rules(2000, by_parameter),
            target: query(|n| format!("q{n}=1")),
            headers: vec![],
        },
        Case {
            name: "2,000 parameters, all asked for",
            policy: rules(2000, by_parameter),
            target: query(|n| format!("p{n}=2")),
            headers: vec![],
        },
        Case {
            name: "2,000 parameters, escaped",
            policy: rules(2000, by_parameter),
            target: query(|n| format!("%70{}=%32", n % 2000)),
            headers: vec![],
        },
        Case {
            name: "10,000 rules, parameters of one letter",
            policy: rules(10_000, by_parameter),
            target: query(|_| "p".to_owned()),
            headers: vec![],
        },
        Case {
            name: "a query begun anew all over",
            policy: rules(
                10_000,
                |n| json!({"path": x(), "queryParams": header(&format!("{n}{}", "p".repeat(100)), "Exact", "1")}),
            ),
            target: query(|_| "?p.".to_owned()).replace('&', ""),
            headers: vec![],
        },
        Case {
            name: "10,000 values of one header, the last",
            policy: rules(10_000, by_tenant),
            target: "/x".into(),
            headers: vec![sent("x-tenant", "tenant-9999")],
        },
        Case {
            name: "10,000 values of one header, in 90 lines",
            policy: rules(10_000, by_tenant),
            target: "/x".into(),
            headers: (0..90).map(|n| sent("x-tenant", &format!("tenant-{n}x"))).collect(),
        },
        Case {
            name: "10,000 values of one header, another spelling",
            policy: rules(10_000, by_tenant),
            target: "/x".into(),
            headers: vec![sent("x_tenant", "tenant-9999")],
        },
        Case {
            name: "8,192 combinations of 13 headers, none of them",
            policy: rules(8192, flags),
            target: "/x".into(),
            headers: all_flags("2"),
        },
        Case {
            name: "8,192 combinations of 13 headers, the last",
            policy: rules(8192, flags),
            target: "/x".into(),
            headers: all_flags("1"),
        },
        Case {
            name: "8,192 combinations of 13 headers, twelve and a spelling",
            policy: rules(8192, flags),
            target: "/x".into(),
            headers: {
                let mut headers = all_flags("1");
                headers[12].1 = "2".into();
                headers[0].0 = "x_f0".into();
                headers
            },
        },
        Case {
            name: "10,000 pairs of headers that must be there",
            policy: rules(10_000, present),
            target: "/x".into(),
            headers: vec![sent("x-a", "1")],
        },
    ]
}

/// 200 expressions.
fn expressions() -> Vec<Case> {
    let on_header = |n: usize| json!({"path": x(), "headers": header("x-value", "RegularExpression", &format!("(.*[a-z])?{n}"))});
    let on_headers = |n: usize| json!({"path": x(), "headers": header(&format!("x-v{}", n % 90), "RegularExpression", &format!("(.*[a-z])?{n}"))});
    let on_path =
        |n: usize| json!({"path": {"type": "RegularExpression", "value": format!("(/.*[a-z])?{n}")}});
    vec![
        Case {
            name: "200 expressions on one value of 8 KiB",
            policy: rules(200, on_header),
            target: "/x".into(),
            headers: vec![sent("x-value", &"a".repeat(8192))],
        },
        Case {
            name: "200 expressions on one value of 1 KiB",
            policy: rules(200, on_header),
            target: "/x".into(),
            headers: vec![sent("x-value", &"a".repeat(1024))],
        },
        Case {
            name: "200 expressions on one value, not ASCII",
            policy: rules(200, on_header),
            target: "/x".into(),
            headers: vec![sent("x-value", &"é".repeat(600))],
        },
        Case {
            name: "200 expressions on 90 values of 650 bytes",
            policy: rules(200, on_headers),
            target: "/x".into(),
            headers: (0..90).map(|n| sent(&format!("x-v{n}"), &"a".repeat(650))).collect(),
        },
        Case {
            name: "200 expressions on a path of 8 KiB",
            policy: rules(200, on_path),
            target: format!("/{}", "a".repeat(TARGET - 1)),
            headers: vec![],
        },
        Case {
            name: "200 expressions on a path of 1 KiB",
            policy: rules(200, on_path),
            target: format!("/{}", "a".repeat(1023)),
            headers: vec![],
        },
    ]
}

/// Patterns and hosts.
fn patterns() -> Vec<Case> {
    let path = |kind: &str, value: String| json!({"path": {"type": kind, "value": value}});
    // Each of the first segments may go two ways.
    let forks = |ways: usize, rest: &'static str| {
        move |n: usize| {
            let segment =
                |bit: usize| if n >> bit & 1 == 0 { "/a".to_owned() } else { format!("/{{v{bit}}}") };
            path("PathTemplate", (0..ways).map(segment).collect::<String>() + rest)
        }
    };
    let long = "l".repeat(600);
    let labels: Vec<_> = (0..126).map(|n| ["a", "b"][n % 2]).collect();
    let wildcards = json!({"rules": (1..126).map(|n| json!({
        "name": n.to_string(), "authenticate": {"anonymous": true},
        "hostnames": [format!("*.{}", labels[n..].join("."))],
        "matches": [{"path": {"type": "Exact", "value": "/y"}}, {"path": {"type": "PathTemplate", "value": "/{a}/{b}/z"}}],
    })).collect::<Vec<_>>()});
    vec![
        Case {
            name: "8,192 templates of thirteen forks",
            policy: rules(8192, forks(13, "")),
            target: format!("{}x", "/a".repeat(13)),
            headers: vec![],
        },
        Case {
            name: "2,048 templates of eleven forks",
            policy: rules(2048, forks(11, "/end")),
            target: format!("{}/x", "/a".repeat(11)),
            headers: vec![],
        },
        Case {
            name: "2,048 templates of eleven forks, a long end",
            policy: rules(2048, forks(11, "/end")),
            target: format!("{}/{}", "/a".repeat(11), "x".repeat(8000)),
            headers: vec![],
        },
        Case {
            name: "1,024 templates of ten forks, a long way after",
            policy: rules(1024, forks(10, "/b/b/b/b/b/b/b/b/b/b/b/b/b/end")),
            target: format!("{}{}/x", "/a".repeat(10), "/b".repeat(13)),
            headers: vec![],
        },
        Case {
            name: "templates of 64 segments",
            policy: rules(10_000, |n| path("PathTemplate", format!("/{{v}}{}/{n}", "/a".repeat(62)))),
            target: format!("/x{}/x", "/a".repeat(62)),
            headers: vec![],
        },
        Case {
            name: "segments of 600 bytes, forked ten times",
            policy: rules(1024, |n| {
                let segment =
                    |bit: usize| if n >> bit & 1 == 0 { format!("/{long}") } else { format!("/{{v{bit}}}") };
                path("PathTemplate", (0..6).map(segment).collect::<String>() + &format!("/end{n}"))
            }),
            target: format!("/{long}").repeat(6) + &format!("/{long}"),
            headers: vec![],
        },
        Case {
            name: "a host of 126 labels, each a wildcard",
            policy: wildcards,
            target: format!("/a/b/{}", "x".repeat(8000)),
            headers: vec![sent(":authority", &labels.join("."))],
        },
    ]
}

fn provider(n: usize, more: Value) -> Value {
    let mut provider = json!({"name": format!("p{n}"), "issuer": format!("https://i{n}.example"), "anyAudience": true,
        "algorithms": ["HS256"], "symmetricKeys": [{"kid": "k", "secret": "A".repeat(43)}]});
    provider.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    provider
}

fn with_tokens(providers: Vec<Value>) -> Value {
    let any: Vec<_> = providers.iter().map(|provider| json!({"jwt": provider["name"]})).collect();
    json!({
        "jwt": {"providers": providers},
        "rules": [
            {"name": "tokens", "authenticate": {"anyOf": any}, "matches": [{"path": x()}]},
            anyone("rest", json!({"path": {"type": "PathPrefix", "value": "/"}})),
        ],
    })
}

fn token(claims: &str) -> String {
    let part = |text: &str| Base64UrlSafeNoPadding::encode_to_string(text).unwrap();
    [part(r#"{"alg":"HS256","kid":"k"}"#), part(claims), part(&"s".repeat(32))].join(".")
}

/// Credentials, and what is removed.
fn credentials() -> Vec<Case> {
    let places = |kind: &'static str, count: usize| {
        with_tokens(
            (0..count)
                .map(|n| {
                    let place = match kind {
                        "headers" => json!([{"name": format!("x-token-{n}")}]),
                        _ => json!([format!("token{n}")]),
                    };
                    provider(n, json!({"extractFrom": {kind: place}, "maxTokenSize": 65536}))
                })
                .collect(),
        )
    };
    let large = |claims: String| {
        let policy = with_tokens(vec![provider(0, json!({"maxTokenSize": 65536}))]);
        let headers = vec![sent("authorization", &format!("Bearer {}", token(&claims)))];
        (policy, headers)
    };
    let most = HEADERS / 4 * 3 - 200;
    let claims = |more: &str| format!(r#"{{"iss":"https://i0.example","sub":"a","exp":9999999999{more}}}"#);
    let members = claims(&filled(most - 100, "", |n| format!(r#","{n}":1"#)));
    let same = claims(&filled(most - 100, "", |_| r#","a":1"#.to_owned()));
    let list = claims(&format!(r#","scope":[{}]"#, filled(most - 200, ",", |n| format!(r#""{n}""#))));
    let deep = claims(&format!(r#","x":{}1{}"#, "[".repeat(120), "]".repeat(120)));
    let certificates = json!({
        "clientCertificates": {"forwardedClientCert": {"trustedHops": 1}},
        "rules": [{"name": "certificates", "authenticate": {"anyOf": ["clientCertificate"]}, "matches": [{"path": x()}]}],
    });
    let mut cases = vec![
        Case {
            name: "20 cookies for tokens, 59 KiB of cookies",
            policy: places("cookies", 20),
            target: "/x".into(),
            headers: vec![sent("cookie", &filled(HEADERS, "; ", |n| format!("c{n}=1")))],
        },
        Case {
            name: "20 cookies for tokens, 59 KiB of names alike",
            policy: places("cookies", 20),
            target: "/x".into(),
            headers: vec![sent("cookie", &filled(HEADERS, "; ", |_| "%74oken".to_owned()))],
        },
        Case {
            name: "the same, removed under an anonymous rule",
            policy: places("cookies", 20),
            target: "/y".into(),
            headers: vec![sent("cookie", &filled(HEADERS, "; ", |n| format!("TOKEN{}=1", n % 20)))],
        },
        Case {
            name: "20 parameters for tokens, 8 KiB of others",
            policy: places("params", 20),
            target: query(|_| "a".into()),
            headers: vec![],
        },
        Case {
            name: "20 parameters for tokens, 8 KiB of escapes",
            policy: places("params", 20),
            target: query(|_| "%74".into()),
            headers: vec![],
        },
        Case {
            name: "20 parameters for tokens, a query begun anew",
            policy: places("params", 20),
            target: query(|_| "?token".into()).replace('&', ""),
            headers: vec![],
        },
        Case {
            name: "20 headers for tokens, 90 headers",
            policy: places("headers", 20),
            target: "/x".into(),
            headers: (0..90).map(|n| sent(&format!("x.token.{n}"), &"a".repeat(600))).collect(),
        },
        Case {
            name: "forwarded certificates, 59 KiB of elements",
            policy: certificates,
            target: "/x".into(),
            headers: vec![sent("x-forwarded-client-cert", &filled(HEADERS, ",", |_| "Hash=a".to_owned()))],
        },
    ];
    for (name, claims) in [
        ("a forged token of many members", members),
        ("a forged token with one member over and over", same),
        ("a forged token with a long list", list),
        ("a forged token that nests deep", deep),
    ] {
        let (policy, headers) = large(claims);
        cases.push(Case { name, policy, target: "/x".into(), headers });
    }
    cases
}

/// Whatever else is looked through.
fn others() -> Vec<Case> {
    let in_authorization =
        |prefix: &str| json!({"headers": [{"name": "authorization", "valuePrefix": prefix}]});
    let mut schemes = with_tokens(vec![
        provider(0, json!({"extractFrom": in_authorization("Bearer ")})),
        provider(1, json!({"extractFrom": in_authorization("Token ")})),
        provider(2, json!({"extractFrom": in_authorization("DPoP ")})),
    ]);
    let key = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    schemes["apiKeys"] =
        json!({"keys": [{"id": "a", "hash": key}], "extractFrom": in_authorization("ApiKey ")});
    schemes["rules"][0]["authenticate"]["anyOf"].as_array_mut().unwrap().push("apiKey".into());
    let sockets = with_tokens(vec![provider(
        0,
        json!({"extractFrom": {"headers": [
            {"name": "sec-websocket-protocol", "valuePrefix": "bearer, "},
        ]}}),
    )]);
    let limits = |count: usize| {
        let limit = |n: usize| {
            json!({"name": format!("l{n}"), "key": [{"header": "x-tenant"}],
            "limits": [{"requests": 1_000_000, "unit": "Hour"}]})
        };
        let names: Vec<_> = (0..count).map(|n| format!("l{n}")).collect();
        let mut rule = anyone("x", json!({"path": x()}));
        rule["rateLimits"] = json!(names);
        json!({"rateLimits": (0..count).map(limit).collect::<Vec<_>>(), "rules": [rule]})
    };
    let keys = json!({
        "apiKeys": {"keys": [{"id": "a", "hash": key}]},
        "rules": [{"name": "keys", "authenticate": {"anyOf": ["apiKey"]}, "matches": [{"path": x()}]}],
    });
    let open = || json!({"rules": [anyone("x", json!({"path": x()}))]});
    let pieces = |between: &str, piece: &'static str| filled(HEADERS, between, |_| piece.to_owned());
    let case = |name, policy, header: &str, value: String| Case {
        name,
        policy,
        target: "/x".into(),
        headers: vec![sent(header, &value)],
    };
    vec![
        case(
            "four schemes in 59 KiB of authorization",
            schemes.clone(),
            "authorization",
            pieces(",", "Beare"),
        ),
        case("four schemes in 59 KiB of one word", schemes, "authorization", "a".repeat(HEADERS)),
        case(
            "59 KiB of WebSocket protocols",
            sockets.clone(),
            "sec-websocket-protocol",
            pieces(",", "a.b.c"),
        ),
        case("one WebSocket protocol of 59 KiB", sockets, "sec-websocket-protocol", pieces(".", "eyA")),
        case("59 KiB of options of the connection", open(), "connection", pieces(",", "x-portcullis-role")),
        case("a key of 59 KiB", keys, "x-api-key", "k".repeat(HEADERS)),
        case("one limit by a header of 59 KiB", limits(1), "x-tenant", "t".repeat(HEADERS)),
        case("16 limits by a header of 59 KiB", limits(16), "x-tenant", "t".repeat(HEADERS)),
        Case {
            name: "90 headers",
            policy: open(),
            target: "/x".into(),
            headers: (0..90).map(|n| sent(&format!("x-portcullis-{n}"), &"a".repeat(600))).collect(),
        },
        Case {
            name: "a path of 8 KiB, escaped",
            policy: open(),
            target: format!("/x{}", "%C3%A9".repeat(1360)),
            headers: vec![],
        },
        Case {
            name: "a path of 8 KiB, rewritten",
            policy: open(),
            target: format!("/x{}", "/.".repeat(4090)),
            headers: vec![],
        },
        Case {
            name: "a path of 8 KiB, back and forth",
            policy: open(),
            target: format!("/x{}", "/a/..".repeat(1630)),
            headers: vec![],
        },
    ]
}

fn worker(policy: &Value) -> WorkerState {
    let mut document = json!({"transport": {"requireTls": false}});
    document.as_object_mut().unwrap().extend(policy.as_object().unwrap().clone());
    let policy = Policy::compile(document.to_string().as_bytes(), "bench");
    let policy = policy.unwrap_or_else(|faults| panic!("{:?}", &faults[..faults.len().min(3)]));
    WorkerState::new(policy, "bench")
}

/// Microseconds for each decision, and what came of it.
fn measure(case: &Case) -> (Vec<f64>, String) {
    let worker = worker(&case.policy);
    let store = MemoryStore::default();
    let services = HostServices {
        may_wait: &|| true,
        ..HostServices::new(Clock::at(Timestamp::from_secs(1_800_000_000)), &store, &|| Some([7; 16]))
    };
    let mut headers: Vec<(&[u8], &[u8])> = vec![(b":path", case.target.as_bytes()), (b":method", b"GET")];
    if !case.headers.iter().any(|(name, _)| name == ":authority") {
        headers.push((b":authority", b"api.example.com"));
    }
    headers.extend(case.headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));
    let size: usize = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert!(size <= 60 * 1024 && headers.len() <= 100, "{}: {size} {}", case.name, headers.len());
    let head = RequestHead { headers, ..RequestHead::default() };
    let mut outcome = String::new();
    let figures = (0..ROUNDS).map(|_| {
        let mut exchange = Exchange::default();
        let start = Instant::now();
        let decision = exchange.on_request(&worker, black_box(&head), &services);
        let took = start.elapsed().as_nanos() as f64 / 1e3;
        outcome = match (&decision.step, decision.reason) {
            (Step::Forward(_), _) => "passes".to_owned(),
            (_, reason) => reason.map_or("waits", |reason| reason.code()).to_owned(),
        };
        took
    });
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    (figures, outcome)
}

fn main() {
    println!("{:>57} {:>10} {:>10}", "", "least us", "median us");
    let cases = [conditions(), expressions(), patterns(), credentials(), others()].into_iter().flatten();
    let only = std::env::args().nth(1).filter(|only| !only.starts_with('-'));
    for case in cases.filter(|case| only.as_ref().is_none_or(|only| case.name.contains(&**only))) {
        let (figures, outcome) = measure(&case);
        let (least, median) = (figures[0], figures[figures.len() / 2]);
        let mark = if median > 1000.0 { "  more than a millisecond" } else { "" };
        println!("{:>57} {least:>10.0} {median:>10.0}  {outcome}{mark}", case.name);
    }
}
