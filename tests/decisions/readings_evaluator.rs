//! Paths that hold encoded slashes or matrix parameters, held against an evaluator that is slow and obvious: it reads the
//! policy's JSON, and knows nothing of indexes and of characters that stand for others.

use portcullis::{
    answer::Reason::{self, AmbiguousPath, NoRule, RuleDenied},
    engine::{Exchange, HostServices, WorkerState},
    policy::Policy,
    store::MemoryStore,
    time::{Clock, Timestamp},
};
use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

use crate::{
    readings::{anyone, rule},
    world::Ask,
};

/// A path that holds something or other, as its segments.
fn any_path() -> impl Strategy<Value = Vec<String>> {
    let name = || select(&["a", "b", "A"][..]);
    let odd = select(&["a", "a", "b", "b", "A", "A", "a", "", "..", ".", "..a"][..]);
    let slashed = prop::collection::vec(odd, 2..4).prop_map(|pieces| pieces.join("%2F"));
    let parameters = select(&["", "", "", ";x", ";x=.;y", ";x%2Fb", ";"][..]);
    let segment = prop_oneof![2 => name().prop_map(str::to_owned), 1 => slashed.boxed()];
    let segment = (segment, parameters).prop_map(|(segment, parameters)| segment + parameters);
    let end = prop::option::weighted(0.2, Just(String::new()));
    (prop::collection::vec(segment, 1..4), end).prop_map(|(mut path, end)| {
        path.extend(end);
        path
    })
}

fn any_rule() -> impl Strategy<Value = Value> {
    let segment = select(&["a", "b", "A", "{v}", "a%2Fb"][..]);
    let kind = select(&["Exact", "PathPrefix", "PathTemplate"][..]);
    let flags =
        (any::<bool>(), prop::bool::weighted(0.6), prop::bool::weighted(0.3), prop::bool::weighted(0.3));
    (kind, prop::collection::vec(segment, 0..3), any::<bool>(), flags).prop_map(
        |(kind, segments, rest, (slashes, parameters, denies, ignores_case))| {
            let mut text: String = segments
                .iter()
                .enumerate()
                .map(|(at, segment)| match *segment {
                    "{v}" if kind == "PathTemplate" => format!("/{{v{at}}}"),
                    "{v}" => "/b".to_owned(),
                    "a%2Fb" if !slashes => "/a".to_owned(),
                    segment => format!("/{segment}"),
                })
                .collect();
            if kind == "PathTemplate" && (rest || !text.contains('{')) {
                text += "/{rest=**}";
            }
            let text = if text.is_empty() { "/".to_owned() } else { text };
            let mut rule =
                rule("", kind, &text, if denies { json!({"action": "Deny"}) } else { anyone(json!({})) });
            rule["matches"][0]["path"]["caseSensitive"] = json!(!ignores_case);
            if slashes && (kind != "Exact" || text.contains("%2F")) {
                rule["encodedSlash"] = "Keep".into();
            }
            if parameters && kind != "Exact" {
                rule["matrixParameters"] = "Keep".into();
            }
            rule
        },
    )
}

/// Whether the rule's pattern matches these segments.
fn matches(rule: &Value, path: &[String]) -> bool {
    let pattern = &rule["matches"][0]["path"];
    let same = |own: &str, text: &str| {
        if pattern["caseSensitive"] == true { own == text } else { own.eq_ignore_ascii_case(text) }
    };
    let own: Vec<&str> = pattern["value"].as_str().unwrap()[1..].split('/').collect();
    let fits = |own: &str, text: &str| if own.starts_with('{') { !text.is_empty() } else { same(own, text) };
    let begins =
        |own: &[&str]| own.len() <= path.len() && own.iter().zip(path).all(|(own, text)| fits(own, text));
    match own.split_last() {
        _ if pattern["type"] == "PathPrefix" => own == [""] || begins(&own),
        Some((last, own)) if last.ends_with("=**}") => {
            begins(own) && path.get(own.len()).is_some_and(|next| !next.is_empty())
        }
        _ => own.len() == path.len() && begins(&own),
    }
}

/// What is to become of a request, said as plainly as can be: the reason why it is refused.
fn obvious(rules: &[Value], path: &[String]) -> Option<Reason> {
    let keeps = |rule: usize, field: &str| rules[rule][field] == "Keep";
    let any_keeps = |field| (0..rules.len()).any(|rule| keeps(rule, field));
    let has = |text: &str| path.iter().any(|segment| segment.contains(text));
    let (slash, parameter) = (has("%2F"), has(";"));
    if (slash && !any_keeps("encodedSlash")) || (parameter && !any_keeps("matrixParameters")) {
        return Some(AmbiguousPath);
    }
    for (at, segment) in path.iter().enumerate() {
        let (text, parameters) = segment.split_once(';').map_or((&**segment, None), |(a, b)| (a, Some(b)));
        let pieces: Vec<&str> = text.split("%2F").collect();
        for (n, piece) in pieces.iter().enumerate() {
            let ends_the_path = at + 1 == path.len() && n + 1 == pieces.len() && parameters.is_none();
            if matches!(*piece, "." | "..") || (piece.is_empty() && !ends_the_path) {
                return Some(AmbiguousPath);
            }
        }
        if pieces == ["", ""] || parameters.is_some_and(|text| text.contains("%2F")) {
            return Some(AmbiguousPath);
        }
    }
    let decides = |path: &[String]| rules.iter().position(|rule| matches(rule, path));
    let strip = |path: &[String]| -> Vec<String> {
        path.iter().map(|segment| segment.split(';').next().unwrap().to_owned()).collect()
    };
    let Some(rule) = decides(path) else { return Some(NoRule) };
    if (slash && !keeps(rule, "encodedSlash")) || (parameter && !keeps(rule, "matrixParameters")) {
        return Some(AmbiguousPath);
    }
    if rules[rule]["action"] == "Deny" {
        return Some(RuleDenied);
    }
    let opened: Vec<String> =
        path.iter().flat_map(|segment| segment.split("%2F")).map(str::to_owned).collect();
    let other = decides(&opened);
    let opens_another =
        slash && other.is_some_and(|other| !keeps(other, "encodedSlash") || rules[other]["action"] == "Deny");
    let changes = decides(&strip(path)) != Some(rule) || decides(&strip(&opened)) != other;
    (opens_another || (parameter && changes)).then_some(AmbiguousPath)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, max_global_rejects: 1_000_000, ..ProptestConfig::default() })]

    #[test]
    fn kept_paths_are_decided_as_the_obvious_evaluator_does(
        mut rules in prop::collection::vec(any_rule(), 1..5),
        paths in prop::collection::vec(any_path(), 50),
    ) {
        for (n, rule) in rules.iter_mut().enumerate() {
            rule["name"] = json!(format!("r{n}"));
        }
        // Rules that no request reaches are faults.
        let document = json!({"transport": {"requireTls": false}, "rules": rules});
        let policy = Policy::compile(document.to_string().as_bytes(), "test");
        prop_assume!(policy.is_ok());
        let worker = WorkerState::new(policy.unwrap(), "test");
        let store = MemoryStore::default();
        let services = HostServices::new(Clock::at(Timestamp::from_secs(1_800_000_000)), &store, &|| None);
        for path in &paths {
            let ask = Ask::get(&format!("/{}", path.join("/")));
            let decided = Exchange::default().on_request(&worker, &ask.head(), &services).reason;
            prop_assert_eq!(decided, obvious(&rules, path), "{:?} {}", path, document);
        }
    }
}
