//! What one decision costs as a whole, in a small policy and in a large one, and what compiling them costs.
//!
//! `cargo bench --bench decision` alternates rounds between the two policies and prints medians, so that a busy
//! machine slows both alike. With spread traffic every rule and key is as likely as any other, and the figures
//! include the cache misses of that; steady traffic asks for the same ten.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    reason = "a benchmark on its own data"
)]

use std::{hint::black_box, time::Instant};

use ct_codecs::{Encoder, Hex};
use portcullis::{
    crypto::sha256,
    engine::{Exchange, HostServices, Step, WorkerState},
    policy::Policy,
    request::RequestHead,
    store::MemoryStore,
    time::{Clock, Timestamp},
};
use serde_json::{Value, json};

const ROUNDS: usize = 41;
const DECISIONS: usize = 20_000;

/// What a policy has of each.
struct Size {
    rules: usize,
    keys: usize,
}

const SMALL: Size = Size { rules: 10, keys: 10 };
const LARGE: Size = Size { rules: 10_000, keys: 100_000 };

fn key_text(n: usize) -> String {
    format!("key-{n}-0123456789abcdef0123456789abcdef")
}

fn target(n: usize) -> String {
    match n % 5 {
        0 => format!("/v1/s{n}/status"),
        1 => format!("/v1/s{n}/files/a/b"),
        _ => format!("/v1/s{n}/orders/4711"),
    }
}

/// Rule `n`: for anyone where `n` is even, else for callers with a key.
fn rule(n: usize) -> Value {
    let (kind, path) = match n % 5 {
        0 => ("Exact", target(n)),
        1 => ("PathPrefix", format!("/v1/s{n}/files")),
        _ => ("PathTemplate", format!("/v1/s{n}/orders/{{id}}")),
    };
    let open = n.is_multiple_of(2);
    let mut rule = json!({"name": format!("rule-{n}"),
        "matches": [{"path": {"type": kind, "value": path}, "methods": ["GET", "HEAD"]}]});
    rule["authenticate"] = if open { json!({"anonymous": true}) } else { json!({"anyOf": ["apiKey"]}) };
    if !open {
        rule["authorize"] = json!({"permissions": [format!("p{}:read", n % 100)]});
    }
    rule
}

fn document(size: &Size) -> Vec<u8> {
    let keys = (0..size.keys).map(|n| {
        let hash = Hex::encode_to_string(sha256(key_text(n).as_bytes())).unwrap();
        json!({"id": format!("k{n}"), "hash": format!("sha256:{hash}"), "level": "Admin"})
    });
    let document = json!({
        "apiKeys": {"levels": {"Admin": {"permissions": ["*"]}}, "keys": keys.collect::<Vec<_>>()},
        "rules": (0..size.rules).map(rule).collect::<Vec<_>>(),
    });
    document.to_string().into_bytes()
}

fn worker(document: &[u8]) -> WorkerState {
    let policy = Policy::compile(document, "bench").unwrap_or_else(|faults| panic!("{faults:?}"));
    WorkerState::new(policy, "bench")
}

/// A request as bytes of its own, as the host hands it over.
struct Sent {
    target: String,
    key: Option<String>,
}

impl Sent {
    fn head(&self) -> RequestHead<'_> {
        let mut headers: Vec<(&[u8], &[u8])> = vec![
            (b":authority", b"api.example.com"),
            (b":path", self.target.as_bytes()),
            (b":method", b"GET"),
            (b":scheme", b"https"),
            (b"user-agent", b"bench/1.0"),
            (b"accept", b"*/*"),
            (b"x-forwarded-proto", b"https"),
            (b"x-request-id", b"2f0c6c4e-9d0b-4b8e-8f6e-0c2f4d1b7a11"),
        ];
        headers.extend(self.key.as_ref().map(|key| (&b"x-api-key"[..], key.as_bytes())));
        RequestHead { headers, remote_address: None, tls: true, ..RequestHead::default() }
    }
}

/// Requests for any of the first `rules` rules, with any of the first `keys` keys where `with_key`.
fn requests(rules: usize, keys: usize, with_key: bool) -> Vec<Sent> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = |among: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as usize % among
    };
    let mut sent = Vec::with_capacity(DECISIONS);
    while sent.len() < DECISIONS {
        let n = next(rules);
        // Odd rules ask for a key, even ones are open.
        if n.is_multiple_of(2) != with_key {
            sent.push(Sent { target: target(n), key: with_key.then(|| key_text(next(keys))) });
        }
    }
    sent
}

/// Nanoseconds for each decision.
fn round(worker: &WorkerState, sent: &[Sent]) -> f64 {
    let store = MemoryStore::default();
    let services = HostServices {
        may_wait: &|| true,
        ..HostServices::new(Clock::at(Timestamp::from_secs(1_800_000_000)), &store, &|| Some([7; 16]))
    };
    let heads: Vec<_> = sent.iter().map(Sent::head).collect();
    let start = Instant::now();
    for head in &heads {
        let mut exchange = Exchange::default();
        let decision = exchange.on_request(worker, black_box(head), &services);
        assert!(matches!(decision.step, Step::Forward(_)), "{:?}", decision.record);
        black_box(&decision);
    }
    start.elapsed().as_nanos() as f64 / sent.len() as f64
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    let large_document = document(&LARGE);
    let start = Instant::now();
    let large = worker(&large_document);
    println!(
        "compiling {} rules and {} keys ({:.1} MB): {:.0} ms",
        LARGE.rules,
        LARGE.keys,
        large_document.len() as f64 / 1e6,
        start.elapsed().as_secs_f64() * 1e3
    );
    let small = worker(&document(&SMALL));

    println!("{:>10} {:>8} {:>10} {:>10} {:>7}", "caller", "traffic", "small ns", "large ns", "ratio");
    for (caller, with_key) in [("API key", true), ("anonymous", false)] {
        let asked = requests(SMALL.rules, SMALL.keys, with_key);
        let spread = requests(LARGE.rules, LARGE.keys, with_key);
        for (traffic, asked_of_large) in [("steady", &asked), ("spread", &spread)] {
            let (mut of_small, mut of_large) = (Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                of_small.push(round(&small, &asked));
                of_large.push(round(&large, asked_of_large));
            }
            let (of_small, of_large) = (median(&mut of_small), median(&mut of_large));
            println!(
                "{caller:>10} {traffic:>8} {of_small:>10.0} {of_large:>10.0} {:>6.2}x",
                of_large / of_small
            );
        }
    }
}
