//! What choosing a rule costs, by number of rules, and what compiling them costs.
//!
//! `cargo bench --bench route` prints medians of several rounds. With spread traffic the figures include
//! the cache misses of a policy that is used all over; steady traffic shows the work alone.

#![expect(
    clippy::unwrap_used,
    clippy::as_conversions,
    clippy::arithmetic_side_effects,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a benchmark on its own data"
)]

use std::{hint::black_box, time::Instant};

use portcullis::{
    request::{RequestHead, path::CanonicalPath},
    route::{MatchSpec, PathSpec, RouteRequest, RouteSpec, Router},
};

const HOSTS: usize = 8;
const ROUNDS: usize = 31;
const LOOKUPS: usize = 20_000;

struct Request {
    host: String,
    method: &'static str,
    target: String,
}

/// Rule `n` of a mixed policy and a request that it takes.
fn rule(n: usize) -> (RouteSpec, Request) {
    let service = n / 10;
    let host = format!("api{}.example.com", n % HOSTS);
    let (path, target) = match n % 10 {
        0..=2 => (PathSpec::Exact(format!("/v1/s{service}/status{n}")), format!("/v1/s{service}/status{n}")),
        3 | 4 => {
            (PathSpec::PathPrefix(format!("/v1/s{service}/files{n}")), format!("/v1/s{service}/files{n}/a/b"))
        }
        5..=7 => (
            PathSpec::PathTemplate(format!("/v1/s{service}/orders{n}/{{id}}")),
            format!("/v1/s{service}/orders{n}/4711"),
        ),
        8 => (
            PathSpec::PathTemplate(format!("/v1/s{service}/tree{n}/{{tenant}}/{{path=**}}")),
            format!("/v1/s{service}/tree{n}/acme/x/y"),
        ),
        _ => (
            PathSpec::RegularExpression(format!("/v1/s{service}/items{n}/[0-9]+")),
            format!("/v1/s{service}/items{n}/4711"),
        ),
    };
    let methods = vec!["GET".to_owned(), "HEAD".to_owned()];
    let spec = MatchSpec { path: Some(path), methods, ..MatchSpec::default() };
    // One rule in five stands for every host.
    let hostnames = if n.is_multiple_of(5) { Vec::new() } else { vec![host.clone()] };
    (
        RouteSpec { hostnames, matches: vec![spec], ..RouteSpec::default() },
        Request { host, method: "GET", target },
    )
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn compile(rules: &[(RouteSpec, Request)]) -> Router {
    let names: Vec<_> = (0..rules.len()).map(|n| format!("rule-{n}")).collect();
    let list: Vec<_> = names.iter().map(String::as_str).zip(rules.iter().map(|(spec, _)| spec)).collect();
    Router::compile(&list).unwrap()
}

/// A request as it lies in memory when the host has just handed it over: close by, not beside its rule.
struct Sent<'a> {
    rule: usize,
    host: &'a str,
    method: &'static str,
    target: &'a str,
}

/// Which rules are asked for, in order: any of the first `among` of these kinds.
fn order(among: usize, kinds: &[usize]) -> Vec<usize> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut order = Vec::with_capacity(LOOKUPS);
    while order.len() < LOOKUPS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let n = (state >> 11) as usize % among;
        if kinds.contains(&(n % 10)) {
            order.push(n);
        }
    }
    order
}

/// Nanoseconds for reading the path alone, and for reading it and choosing the rule.
fn decide(router: &Router, rules: &[(RouteSpec, Request)], order: &[usize]) -> (f64, f64) {
    let head = RequestHead { tls: true, ..RequestHead::default() };
    let mut text = String::new();
    for n in order {
        let request = &rules[*n].1;
        text.extend([&*request.host, &*request.target]);
    }
    let mut at = 0;
    let mut take = |len: usize| {
        let from = at;
        at += len;
        &text[from..at]
    };
    let sent: Vec<_> = order
        .iter()
        .map(|n| {
            let request = &rules[*n].1;
            let (host, target) = (take(request.host.len()), take(request.target.len()));
            Sent { rule: *n, host, method: request.method, target }
        })
        .collect();
    let per = |start: Instant| start.elapsed().as_nanos() as f64 / sent.len() as f64;
    let (mut parse, mut both) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for sent in &sent {
            black_box(CanonicalPath::parse(black_box(sent.target.as_bytes())).unwrap());
        }
        parse.push(per(start));
        let start = Instant::now();
        for sent in &sent {
            let path = CanonicalPath::parse(black_box(sent.target.as_bytes())).unwrap();
            let (path, query) = (path.path(), path.query());
            let request = RouteRequest { host: sent.host, method: sent.method, path, query, head: &head };
            let found = router.find(&request).unwrap().unwrap();
            assert_eq!(found.rule, sent.rule);
            black_box(&found);
        }
        both.push(per(start));
    }
    (median(parse), median(both))
}

fn main() {
    let kinds: &[(&str, &[usize])] = &[
        ("mixed", &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ("exact", &[0, 1, 2]),
        ("prefix", &[3, 4]),
        ("template", &[5, 6, 7]),
        ("rest", &[8]),
        ("regex", &[9]),
    ];
    println!("steady: requests for the same ten rules; spread: every rule as likely as any other");
    println!("{:>7} {:>7} {:>9} {:>8} {:>13}", "rules", "traffic", "requests", "path ns", "path+rule ns");
    let mut ten = vec![0.0; kinds.len()];
    for count in [10, 1_000, 10_000] {
        let rules: Vec<_> = (0..count).map(rule).collect();
        let router = compile(&rules);
        for (traffic, among) in [("steady", 10), ("spread", count)] {
            for ((name, kinds), ten) in kinds.iter().zip(&mut ten) {
                let (parse, both) = decide(&router, &rules, &order(among, kinds));
                if count == 10 {
                    *ten = both;
                }
                println!(
                    "{count:>7} {traffic:>7} {name:>9} {parse:>8.0} {both:>13.0}   {:.2} x of 10 rules",
                    both / *ten
                );
            }
        }
        let took = (0..5).map(|_| {
            let start = Instant::now();
            black_box(compile(&rules));
            start.elapsed().as_secs_f64() * 1e3
        });
        println!("{count:>7} compile {:.2} ms", median(took.collect()));
    }
}
