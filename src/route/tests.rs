//! The router against tables, and against a matcher that tries rule after rule.

use proptest::prelude::*;

use super::*;
use crate::{
    fault::Fault,
    request::{RequestHead, path::CanonicalPath},
};

type Pairs = &'static [(&'static str, &'static str)];

type Lines = &'static [&'static [&'static str]];

/// Name, condition, lines that fulfil it, lines that do not, lines of which nobody can tell.
type HeaderRow = (&'static str, ValueSpec, Lines, Lines, Lines);

/// `=` exact, `^` prefix, `~` regex, `*` every path, anything else a template.
fn path(text: &str) -> Option<PathSpec> {
    let rest = || text.get(1..).unwrap().to_owned();
    match text.chars().next().unwrap() {
        '*' => None,
        '=' => Some(PathSpec::Exact(rest())),
        '^' => Some(PathSpec::PathPrefix(rest())),
        '~' => Some(PathSpec::RegularExpression(rest())),
        _ => Some(PathSpec::PathTemplate(text.to_owned())),
    }
}

fn strings(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

fn on(paths: &[&str]) -> RouteSpec {
    let matches = paths.iter().map(|text| MatchSpec { path: path(text), ..MatchSpec::default() });
    RouteSpec { matches: matches.collect(), ..RouteSpec::default() }
}

fn with(hosts: &[&str], methods: &[&str], text: &str) -> RouteSpec {
    let spec = MatchSpec { path: path(text), methods: strings(methods), ..MatchSpec::default() };
    RouteSpec { hostnames: strings(hosts), matches: vec![spec], ..RouteSpec::default() }
}

fn compile(specs: &[RouteSpec]) -> Result<Router, Vec<Fault>> {
    let names: Vec<_> = (0..specs.len()).map(|rule| format!("r{rule}")).collect();
    let rules: Vec<_> = names.iter().map(String::as_str).zip(specs).collect();
    Router::compile(&rules)
}

fn head<'a>(headers: &[(&'a str, &'a [u8])]) -> RequestHead<'a> {
    let headers = headers.iter().map(|(name, value)| (name.as_bytes(), *value)).collect();
    RequestHead { headers, tls: true, ..RequestHead::default() }
}

fn find(router: &Router, host: &str, method: &str, target: &str) -> Option<usize> {
    let parsed = CanonicalPath::parse(target.as_bytes()).unwrap();
    let head = head(&[]);
    let request = RouteRequest { host, method, path: parsed.path(), query: parsed.query(), head: &head };
    router.find(&request).unwrap().map(|found| found.rule)
}

type Choice = Result<Option<usize>, (usize, Doubt)>;

/// The rule, or the one that may apply and why nobody can tell.
fn choose(router: &Router, target: &str, headers: &[(&str, &[u8])]) -> Choice {
    let parsed = CanonicalPath::parse(target.as_bytes()).unwrap();
    let head = head(headers);
    let request =
        RouteRequest { host: "h", method: "GET", path: parsed.path(), query: parsed.query(), head: &head };
    let found = router.find(&request);
    found.map(|found| found.map(|found| found.rule)).map_err(|unclear| (unclear.rule, unclear.doubt))
}

fn asking(headers: &[(&str, ValueSpec)], query: &[(&str, ValueSpec)]) -> RouteSpec {
    let named = |list: &[(&str, ValueSpec)]| {
        list.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    };
    let spec = MatchSpec { headers: named(headers), query: named(query), ..MatchSpec::default() };
    RouteSpec { matches: vec![spec], ..RouteSpec::default() }
}

fn exact(text: &str) -> ValueSpec {
    ValueSpec::Exact(text.into())
}

fn regex(text: &str) -> ValueSpec {
    ValueSpec::RegularExpression(text.into())
}

#[test]
fn every_kind_of_path_matches_what_it_says_and_no_more() {
    let rows: &[(&str, &[&str], &[&str])] = &[
        ("=/a/b", &["/a/b", "//a/./b", "/%61/b"], &["/a/b/", "/a", "/a/bc", "/A/b", "/a/b/c"]),
        ("=/a/", &["/a/", "/a//"], &["/a", "/a/b"]),
        ("=/", &["/", "//", "/a/.."], &["/a"]),
        ("=/a%3Ab", &["/a:b", "/a%3ab"], &["/a%253Ab", "/ab"]),
        ("=/caf%C3%A9", &["/caf%c3%a9"], &["/cafe", "/caf%25C3%25A9"]),
        ("^/a", &["/a", "/a/", "/a/b", "/a/b/c"], &["/ab", "/", "/b/a"]),
        ("^/a/", &["/a", "/a/", "/a/b"], &["/ab", "/"]),
        ("^/", &["/", "/a", "/a/b/"], &[]),
        ("*", &["/", "/a", "/a/b/"], &[]),
        ("/a/{x}", &["/a/b", "/a/%20", "/a/b%3B"], &["/a", "/a/", "/a/b/", "/a/b/c", "/b/b"]),
        ("/a/{x}/", &["/a/b/"], &["/a/b", "/a/b/c", "/a//"]),
        ("/a/{x}/c/{y}", &["/a/b/c/d"], &["/a/b/d/d", "/a/b/c/", "/a/b/c", "/a/b/c/d/e"]),
        ("/{x}", &["/a"], &["/", "/a/"]),
        ("/a/{x=**}", &["/a/b", "/a/b/", "/a/b/c"], &["/a", "/a/", "/b/c"]),
        ("/a/{x}/{y=**}", &["/a/b/c", "/a/b/c/d"], &["/a/b", "/a/b/"]),
        ("~/a/[0-9]+", &["/a/1", "/a/%31%32"], &["/a/", "/a/b", "/a/1/", "/b/a/1", "/a/1x"]),
        ("~/a|/b", &["/a", "/b"], &["/ab", "/a/b", "/"]),
        ("~^/a@x$", &["/a@x", "/a%40x"], &["/a%2540x", "/a@x/"]),
        ("~/a(/b)?", &["/a", "/a/b"], &["/a/", "/ab"]),
        ("~.*", &["/", "/a/b"], &[]),
        ("~(?i)/a/b", &["/A/b"], &["/a"]),
        ("~/a/é+", &["/a/%C3%A9"], &["/a/e"]),
    ];
    for (pattern, yes, no) in rows {
        let router = compile(&[on(&[pattern])]).unwrap();
        for target in *yes {
            assert_eq!(find(&router, "h", "GET", target), Some(0), "{pattern} {target}");
        }
        for target in *no {
            assert_eq!(find(&router, "h", "GET", target), None, "{pattern} {target}");
        }
    }
}

/// In either case behind `i`.
fn cased(patterns: &[&str]) -> RouteSpec {
    let matches = patterns.iter().map(|text| match text.strip_prefix('i') {
        Some(text) => MatchSpec { path: path(text), ignores_case: true, ..MatchSpec::default() },
        None => MatchSpec { path: path(text), ..MatchSpec::default() },
    });
    RouteSpec { matches: matches.collect(), ..RouteSpec::default() }
}

#[test]
fn case_counts_unless_the_match_ignores_it() {
    let rows: &[(&[&str], &str, Option<usize>)] = &[
        (&["i=/Admin"], "/admin", Some(0)),
        (&["i=/Admin"], "/ADMIN", Some(0)),
        (&["i=/Admin"], "/%61dMIN", Some(0)),
        (&["i=/Admin"], "/admin/", None),
        (&["=/Admin"], "/admin", None),
        (&["i^/a/b"], "/A/B/C", Some(0)),
        (&["i^/a/b"], "/A/Bc", None),
        (&["i/a/{x}/b"], "/A/x/B", Some(0)),
        (&["i/a/{x}/b"], "/A/x/c", None),
        (&["i/a/{x=**}"], "/A/x/B", Some(0)),
        // Letters of ASCII alone.
        (&["i=/caf%C3%A9"], "/CAF%C3%A9", Some(0)),
        (&["i=/caf%C3%A9"], "/CAF%C3%89", None),
        (&["i=/a%20b"], "/A%20B", Some(0)),
        // The first rule decides, on either way.
        (&["=/A", "i=/a"], "/A", Some(0)),
        (&["=/A", "i=/a"], "/a", Some(1)),
        (&["i=/a/b", "^/"], "/A/B", Some(0)),
        (&["^/A", "i^/a"], "/A/x", Some(0)),
        (&["^/A", "i^/a"], "/a/x", Some(1)),
        (&["i^/a/b", "/a/{x}", "^/A"], "/A/B", Some(0)),
        (&["i^/a/b", "/a/{x}", "^/A"], "/A/c", Some(2)),
        (&["i^/a/b", "/a/{x}", "^/A"], "/a/c", Some(1)),
    ];
    for (rules, target, expected) in rows {
        let router = compile(&rules.iter().map(|text| cased(&[text])).collect::<Vec<_>>()).unwrap();
        assert_eq!(find(&router, "h", "GET", target), *expected, "{rules:?} {target}");
    }
    // Variables keep the case that was sent.
    let router = compile(&[cased(&["i/users/{name}/{rest=**}"])]).unwrap();
    let head = head(&[]);
    let request =
        RouteRequest { host: "h", method: "GET", path: "/Users/Alice/X%20Y", query: None, head: &head };
    let found = router.find(&request).unwrap().unwrap();
    assert_eq!(found.variables().collect::<Vec<_>>(), [("name", "Alice"), ("rest", "X Y")]);
}

#[test]
fn a_rule_that_ignores_case_takes_those_that_do_not() {
    for (first, second, taken) in [
        ("i=/a", "=/A", true),
        ("i^/a", "=/A/B", true),
        ("i^/a", "i=/A/b", true),
        ("i/a/{x}", "/A/{x}", true),
        ("i^/a", "~/A/x.*", true),
        ("=/a", "i=/a", false),
        ("^/a", "i^/a/b", false),
        ("^/", "i^/a", true),
        ("/{x}", "i=/a", true),
        ("/{x}/7", "i/{y}/7", true),
        ("~/[a-zA-Z]", "i=/a", false),
    ] {
        let faults = compile(&[cased(&[first]), cased(&[second])]).err().unwrap_or_default();
        let message = faults.first().map(|fault| fault.message.as_str()).unwrap_or_default();
        assert_eq!(message.starts_with("unreachable"), taken, "{first} {second} {faults:?}");
    }
    // Both cases taken one by one is not found, and no harm.
    assert!(compile(&[cased(&["=/a"]), cased(&["=/A"]), cased(&["i=/a"])]).is_ok());
}

#[test]
fn the_first_rule_wins_whatever_its_kind() {
    let rows: &[(&[&str], &str, Option<usize>)] = &[
        (&["/a/{x}", "^/a"], "/a/b", Some(0)),
        (&["/a/{x}", "^/a"], "/a/b/c", Some(1)),
        (&["=/a/b", "/a/{x}", "~/a/.*", "^/"], "/a/b", Some(0)),
        (&["=/a/b", "/a/{x}", "~/a/.*", "^/"], "/a/c", Some(1)),
        (&["=/a/b", "/a/{x}", "~/a/.*", "^/"], "/a/c/", Some(2)),
        (&["=/a/b", "/a/{x}", "~/a/.*", "^/"], "/b", Some(3)),
        (&["~/a/[b]+", "=/a/b", "^/"], "/a/b", None),
        (&["/{x}/b", "/a/{x}"], "/a/b", Some(0)),
        (&["/{x}/b", "/a/{x}"], "/a/c", Some(1)),
        (&["/{x}/b/{y}", "/a/{x}/c"], "/a/b/c", Some(0)),
        (&["/{x=**}", "^/a"], "/a", None),
    ];
    for (patterns, target, expected) in rows {
        let specs: Vec<_> = patterns.iter().map(|pattern| on(&[pattern])).collect();
        match (compile(&specs), expected) {
            (Ok(router), expected) => {
                assert_eq!(find(&router, "h", "GET", target), *expected, "{patterns:?} {target}")
            }
            (Err(faults), None) => {
                assert!(faults.iter().all(|fault| fault.message.starts_with("unreachable")))
            }
            (Err(faults), Some(_)) => panic!("{patterns:?}: {faults:?}"),
        }
    }
}

#[test]
fn hosts_match_exactly_by_wildcard_or_always() {
    let specs = [
        with(&["api.example.com", "[::1]"], &[], "^/"),
        with(&["*.example.com"], &["GET"], "^/"),
        with(&["*.com", "localhost"], &[], "^/"),
        with(&[], &["GET"], "=/any"),
    ];
    let router = compile(&specs).unwrap();
    let rows = [
        ("api.example.com", "/", Some(0)),
        ("[::1]", "/", Some(0)),
        ("www.example.com", "/", Some(1)),
        ("a.b.example.com", "/", Some(1)),
        ("v1.api.example.com", "/", Some(1)),
        ("example.com", "/", Some(2)),
        ("xexample.com", "/", Some(2)),
        ("com", "/", None),
        ("localhost", "/", Some(2)),
        ("x.localhost", "/", None),
        ("api.example.org", "/", None),
        ("api.example.org", "/any", Some(3)),
        ("", "/", None),
    ];
    for (host, target, expected) in rows {
        assert_eq!(find(&router, host, "GET", target), expected, "{host}{target}");
    }
    assert_eq!(find(&router, "www.example.com", "POST", "/"), Some(2));
}

#[test]
fn methods_match_exactly() {
    let specs = [with(&[], &["GET", "HEAD"], "^/"), with(&[], &["M-SEARCH"], "^/"), with(&[], &[], "=/a")];
    let router = compile(&specs).unwrap();
    let rows = [
        ("GET", Some(0)),
        ("HEAD", Some(0)),
        ("get", Some(2)),
        ("M-SEARCH", Some(1)),
        ("POST", Some(2)),
        ("", Some(2)),
    ];
    for (method, expected) in rows {
        assert_eq!(find(&router, "h", method, "/a"), expected, "{method}");
    }
    assert_eq!(find(&router, "h", "POST", "/b"), None);
}

#[test]
fn headers_and_query_match_whole_values() {
    let rows: &[HeaderRow] = &[
        (
            "x-a",
            exact("1"),
            // RFC 9110 section 5.5: blanks at the ends are no part of a value.
            &[&["1"], &["1 "], &[" \t1\t"]],
            &[&[], &[""], &["11"], &["1 1"], &["\u{a0}1"], &["2", "3"]],
            &[&["1", "1"], &["2", "1"]],
        ),
        ("x-a", exact("1,2"), &[&["1,2"], &["1", "2"]], &[&["1, 2"], &["2", "1"]], &[&["1,2", ""]]),
        ("x-a", exact(""), &[&[""]], &[&[]], &[&["", ""]]),
        ("cookie", exact("1; 2"), &[&["1", "2"]], &[&["1,2"]], &[]),
        ("x-a", regex("[0-9]|x"), &[&["1"], &["x"]], &[&[], &["1x"], &["ax"], &["y", "z"]], &[&["1", "y"]]),
        ("x-a", regex(".*"), &[&[""], &["a"], &["a", "b"]], &[&[], &["\n"]], &[]),
        ("x-a", ValueSpec::Present, &[&[""], &["1"], &["1", "1"]], &[&[]], &[]),
    ];
    for (name, value, yes, no, unclear) in rows {
        let router = compile(&[asking(&[(name, value.clone())], &[])]).unwrap();
        let found = |lines: &[&str]| {
            let headers: Vec<_> = lines.iter().map(|line| (*name, line.as_bytes())).collect();
            choose(&router, "/", &headers)
        };
        for lines in *yes {
            assert_eq!(found(lines), Ok(Some(0)), "{name} {value:?} {lines:?}");
        }
        for lines in *no {
            assert_eq!(found(lines), Ok(None), "{name} {value:?} {lines:?}");
        }
        for lines in *unclear {
            assert_eq!(found(lines), Err((0, Doubt::Value)), "{name} {value:?} {lines:?}");
        }
    }

    type QueryRow = (ValueSpec, &'static [&'static str], &'static [&'static str], &'static [&'static str]);
    let rows: &[QueryRow] = &[
        (
            exact("1"),
            &["k=1", "a&k=1", "%6b=%31"],
            &["", "k", "k=11", "k=2&k=3", "a=k", "kk=1"],
            &["k=1&k=1", "k=1&k=2", "k=2&k=1", "k=%", "k=1&k=%"],
        ),
        (exact("1,2"), &["k=1,2"], &["k=2&k=1"], &["k=1&k=2"]),
        (exact("a b"), &["k=a+b", "k=a%20b"], &["k=ab"], &[]),
        (regex("1+"), &["k=1", "k=11"], &["k=", "k=12", "k=2&k=3"], &["k=1&k=1", "k=1&k=2", "k=%ff"]),
        (ValueSpec::Present, &["k", "k=", "k=1", "k=1&k=2", "k=%", "k=1;a"], &["", "a=k", "kk"], &[]),
    ];
    for (value, yes, no, unclear) in rows {
        let router = compile(&[asking(&[], &[("k", value.clone())])]).unwrap();
        assert_eq!(choose(&router, "/", &[]), Ok(None));
        let all = yes.iter().map(|query| (query, Ok(Some(0))));
        let all = all.chain(no.iter().map(|query| (query, Ok(None))));
        for (query, expected) in all.chain(unclear.iter().map(|query| (query, Err((0, Doubt::Value))))) {
            assert_eq!(choose(&router, &format!("/?{query}"), &[]), expected, "{value:?} {query}");
        }
    }
    // Not UTF-8, or too long: no text that an expression could be tried on, but present.
    let long = "a".repeat(8193);
    for value in [b"\xff", long.as_bytes()] {
        for (wanted, expected) in
            [(regex(".*"), Err((0, Doubt::Value))), (exact("a"), Ok(None)), (ValueSpec::Present, Ok(Some(0)))]
        {
            let router = compile(&[asking(&[("x-a", wanted)], &[])]).unwrap();
            assert_eq!(choose(&router, "/", &[("x-a", value)]), expected);
        }
    }
    let router = compile(&[asking(&[("x-a", regex(".*"))], &[])]).unwrap();
    assert_eq!(choose(&router, "/", &[("x-a", &long.as_bytes()[1..])]), Ok(Some(0)));
}

#[test]
fn no_spelling_dodges_a_condition() {
    let header = |value: &ValueSpec| asking(&[("x-debug", value.clone())], &[]);
    let parameter = |value: &ValueSpec| asking(&[], &[("debug", value.clone())]);
    for value in [exact("1"), regex("[0-9]"), ValueSpec::Present] {
        let router = compile(&[header(&value), parameter(&value), on(&["*"])]).unwrap();
        assert_eq!(choose(&router, "/", &[("x-debug", b"1")]), Ok(Some(0)), "{value:?}");
        for name in ["x_debug", "x.debug", "X-Debug", "x!debug", "X_DEBUG"] {
            for sent in ["1", "2"] {
                let headers: &[_] = &[(name, sent.as_bytes())];
                assert_eq!(choose(&router, "/", headers), Err((0, Doubt::Name)), "{name} {value:?}");
            }
        }
        // One that is there for everybody stays so.
        let both: &[(&str, &[u8])] = &[("x_debug", b"1"), ("x-debug", b"1")];
        let expected = if value == ValueSpec::Present { Ok(Some(0)) } else { Err((0, Doubt::Name)) };
        assert_eq!(choose(&router, "/", both), expected, "{value:?}");
        for name in ["xdebug", "x-debug-", "x-debugs", "debug"] {
            assert_eq!(choose(&router, "/", &[(name, b"1")]), Ok(Some(2)), "{name} {value:?}");
        }

        assert_eq!(choose(&router, "/?debug=1", &[]), Ok(Some(1)), "{value:?}");
        for query in [
            "Debug=1",
            "debug[]=1",
            "debug[0]=1",
            "[debug]=1",
            "+debug=1",
            "debug+=1",
            "%20debug=1",
            "debug.x=1",
            "debug.=1",
            "debug:int=1",
            "debug%00=1",
            "debug%5b%5d=1",
            "%2564ebug=1",
            "%u0064ebug=1",
            "a?debug=1",
            "?debug=1",
            "a=1;debug=1",
            "=debug=1",
            ";debug=1",
            "a;debug",
            "a=1&DEBUG",
        ] {
            assert_eq!(
                choose(&router, &format!("/?{query}"), &[]),
                Err((1, Doubt::Name)),
                "{query} {value:?}"
            );
        }
        for query in ["adebug=1", "debugs=1", "a.debug=1", "a[debug]=1", "a=debug", "debug-x=1", "debug_=1"] {
            assert_eq!(choose(&router, &format!("/?{query}"), &[]), Ok(Some(2)), "{query} {value:?}");
        }
    }
    // Where some end a value.
    let router = compile(&[parameter(&exact("1")), on(&["*"])]).unwrap();
    assert_eq!(choose(&router, "/?debug=1;a", &[]), Err((0, Doubt::Name)));
    assert_eq!(choose(&router, "/?debug=1%3Ba", &[]), Ok(Some(1)));
}

#[test]
fn only_a_doubt_that_decides_refuses() {
    let specs = [
        with(&[], &["POST"], "^/post"),
        on(&["=/open"]),
        asking(&[("x-a", exact("1"))], &[]),
        asking(&[("x-a", exact("2")), ("x-b", exact("2"))], &[]),
        on(&["*"]),
    ];
    let router = compile(&specs).unwrap();
    let rows: &[(&str, Pairs, Choice)] = &[
        // In front of it a rule matches.
        ("/open", &[("x_a", "1")], Ok(Some(1))),
        ("/other", &[("x_a", "1")], Err((2, Doubt::Name))),
        // In every reading some condition fails.
        ("/", &[("x-a", "2"), ("x_b", "2")], Err((3, Doubt::Name))),
        ("/", &[("x-a", "3"), ("x_b", "2")], Ok(Some(4))),
        ("/", &[("x_b", "2")], Ok(Some(4))),
        // The clean match behind does not count.
        ("/", &[("x_a", "2"), ("x-b", "2")], Err((2, Doubt::Name))),
    ];
    for (target, headers, expected) in rows {
        let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        assert_eq!(choose(&router, target, &headers), *expected, "{target} {headers:?}");
    }
    let head = head(&[("x_a", b"1")]);
    let request = RouteRequest { host: "h", method: "GET", path: "/", query: None, head: &head };
    assert_eq!(router.find(&request).unwrap_err().to_string(), "header \"x-a\"");
}

#[test]
fn variables_are_those_of_the_winner() {
    let specs = [on(&["/t/{tenant}/o/{order}", "/o/{order}"]), on(&["/f/{name}/{path=**}"]), on(&["^/"])];
    let router = compile(&specs).unwrap();
    let rows: &[(&str, usize, Pairs)] = &[
        ("/t/a/o/7", 0, &[("tenant", "a"), ("order", "7")]),
        ("/o/7", 0, &[("order", "7")]),
        ("/o/a%40b%20c", 0, &[("order", "a@b c")]),
        ("/o/%252F", 0, &[("order", "%2F")]),
        ("/f/a/b", 1, &[("name", "a"), ("path", "b")]),
        ("/f/a/b/c/", 1, &[("name", "a"), ("path", "b/c/")]),
        ("/f/a/", 2, &[]),
    ];
    for (target, rule, expected) in rows {
        let parsed = CanonicalPath::parse(target.as_bytes()).unwrap();
        let head = head(&[]);
        let request =
            RouteRequest { host: "h", method: "GET", path: parsed.path(), query: None, head: &head };
        let found = router.find(&request).unwrap().unwrap();
        assert_eq!(
            (found.rule, found.variables().collect::<Vec<_>>()),
            (*rule, expected.to_vec()),
            "{target}"
        );
        assert_eq!(
            found.variable("order"),
            expected.iter().find(|(name, _)| *name == "order").map(|(_, value)| *value)
        );
    }
    assert_eq!(router.variables_of(0), ["order"]);
    assert_eq!(router.variables_of(1), ["name", "path"]);
    assert_eq!(router.variables_of(2), [""; 0]);
    assert_eq!(router.variables_of(3), [""; 0]);
}

#[test]
fn every_fault_is_reported_with_its_path() {
    let mut bad = with(&["*.ok.com"], &["GET"], "=a");
    bad.matches.push(MatchSpec {
        path: path("/{a"),
        headers: vec![
            ("x".into(), ValueSpec::Present),
            ("y".into(), ValueSpec::RegularExpression("(".into())),
        ],
        query: vec![("k".into(), ValueSpec::RegularExpression("[".into()))],
        ..MatchSpec::default()
    });
    let faults = compile(&[on(&["=/ok"]), bad, on(&["=/a//b"])]).unwrap_err();
    let expected = [
        ("[1].matches[0].path.value", "must begin with `/`"),
        ("[1].matches[1].path.value", "unbalanced brace"),
        ("[1].matches[1].headers[1].value", "bad regular expression"),
        ("[1].matches[1].queryParams[0].value", "bad regular expression"),
        ("[2].matches[0].path.value", "write `/a/b`"),
    ];
    for (fault, (path, message)) in faults.iter().zip(expected) {
        assert_eq!(fault.path, path);
        assert!(fault.message.contains(message), "{fault}");
    }
    assert_eq!(faults.len(), expected.len(), "{faults:?}");

    let methods: Vec<_> = (0..64).map(|n| format!("M{n}")).collect();
    let methods: Vec<_> = methods.iter().map(String::as_str).collect();
    assert!(compile(&[with(&[], &methods[..63], "*")]).is_ok());
    assert!(compile(&[with(&[], &methods, "*")]).is_err());
}

#[test]
fn rules_keep_what_some_path_of_theirs_can_hold() {
    use crate::request::path::Kept;
    let slashes = Kept { encoded_slash: true, matrix_parameters: false };
    let parameters = Kept { encoded_slash: false, matrix_parameters: true };
    for (paths, kept, fault) in [
        (&["=/a"][..], slashes, Some("[0].encodedSlash")),
        (&["/a/b"], slashes, Some("[0].encodedSlash")),
        (&["=/a%2Fb"], slashes, None),
        (&["=/a", "=/a%2Fb"], slashes, None),
        (&["=/a", "/a/{x}"], slashes, None),
        (&["^/"], slashes, None),
        (&["~/a"], slashes, None),
        (&[], slashes, None),
        (&["=/a"], parameters, Some("[0].matrixParameters")),
        (&["/a/{x}"], parameters, None),
        (&["*"], parameters, None),
    ] {
        let spec = RouteSpec { kept, ..on(paths) };
        let found = compile(std::slice::from_ref(&spec)).err().unwrap_or_default();
        assert_eq!(found.first().map(|fault| fault.path.as_str()), fault, "{paths:?} {found:?}");
    }
}

#[test]
fn unreachable_rules_are_named_and_reachable_ones_are_not() {
    let header = |value: ValueSpec| {
        let spec =
            MatchSpec { path: path("^/a"), headers: vec![("x".into(), value)], ..MatchSpec::default() };
        RouteSpec { matches: vec![spec], ..RouteSpec::default() }
    };
    let exact = |text: &str| header(ValueSpec::Exact(text.into()));
    let one = |name: &str| Some(format!("unreachable: every request it matches is taken by rule \"{name}\""));
    let rows: Vec<(Vec<RouteSpec>, Option<String>)> = vec![
        (vec![on(&["^/a"]), on(&["=/a/b"])], one("r0")),
        (vec![on(&["=/a/b"]), on(&["^/a"])], None),
        (vec![on(&["/a/{x}"]), on(&["=/a/b"])], one("r0")),
        (vec![on(&["/a/{x}"]), on(&["=/a/b", "=/a/b/"])], None),
        (vec![on(&["/a/{x}", "=/a/b/"]), on(&["=/a/b", "=/a/b/"])], one("r0")),
        (
            vec![on(&["=/a"]), on(&["=/b"]), on(&["=/a", "=/b"])],
            Some("unreachable: every request it matches is taken by rules \"r0\", \"r1\"".into()),
        ),
        (vec![on(&["=/a", "=/a"])], None),
        (vec![with(&[], &["GET"], "^/"), with(&[], &["GET", "POST"], "=/a")], None),
        (
            vec![with(&[], &["GET"], "^/"), with(&[], &["POST"], "=/a"), with(&[], &["GET", "POST"], "=/a")],
            Some("unreachable: every request it matches is taken by rules \"r0\", \"r1\"".into()),
        ),
        (vec![with(&[], &["GET"], "^/"), with(&[], &[], "=/a")], None),
        (vec![with(&[], &[], "^/"), with(&[], &["GET"], "=/a")], one("r0")),
        (vec![with(&["a.x"], &[], "^/"), with(&[], &[], "=/a")], None),
        (vec![with(&["a.x"], &[], "^/"), with(&["b.x"], &[], "=/a")], None),
        (vec![with(&["a.x"], &[], "^/"), with(&["a.x", "b.x"], &[], "=/a")], None),
        (vec![with(&["a.x", "b.x"], &[], "^/"), with(&["a.x", "b.x"], &[], "=/a")], one("r0")),
        (vec![with(&["*.x"], &[], "^/"), with(&["a.x", "*.b.x"], &[], "=/a")], one("r0")),
        (vec![with(&["*.x"], &[], "^/"), with(&["x"], &[], "=/a")], None),
        (vec![with(&["*.a.x"], &[], "^/"), with(&["*.x"], &[], "=/a")], None),
        (vec![with(&["*.x"], &[], "^/"), with(&["*.x"], &[], "=/a")], one("r0")),
        (vec![with(&[], &[], "*"), with(&["*.x"], &[], "~.*")], one("r0")),
        (vec![exact("1"), exact("2")], None),
        (vec![exact("1"), exact("1")], one("r0")),
        (vec![exact("1"), on(&["^/a"])], None),
        (vec![on(&["^/a"]), exact("1")], one("r0")),
        (vec![header(ValueSpec::Present), exact("1")], one("r0")),
        (vec![exact("1"), header(ValueSpec::Present)], None),
        (vec![header(ValueSpec::RegularExpression("[0-9]".into())), exact("1")], one("r0")),
        (vec![header(ValueSpec::RegularExpression("[0-9]".into())), exact("10")], None),
        (vec![on(&["~/a/.*"]), on(&["~/a/.*"])], one("r0")),
        (vec![RouteSpec::default(), on(&["=/a"])], one("r0")),
    ];
    for (specs, expected) in rows {
        let faults = compile(&specs).err().unwrap_or_default();
        let place = format!("[{}]", specs.len() - 1);
        let expected: Vec<_> = expected.into_iter().map(|message| Fault::new(&place, message)).collect();
        assert_eq!(faults, expected, "{specs:?}");
    }
}

/// What the rules mean, said as plainly as can be.
mod naive {
    use super::*;

    pub(super) fn first(
        specs: &[RouteSpec],
        host: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Option<usize> {
        specs.iter().position(|spec| {
            (spec.hostnames.is_empty() || spec.hostnames.iter().any(|name| host_matches(name, host)))
                && (spec.matches.is_empty()
                    || spec.matches.iter().any(|spec| matches(spec, method, path, headers)))
        })
    }

    fn host_matches(name: &str, host: &str) -> bool {
        match name.strip_prefix('*') {
            Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
            None => name == host,
        }
    }

    fn matches(spec: &MatchSpec, method: &str, path: &str, headers: &[(&str, &str)]) -> bool {
        (spec.methods.is_empty() || spec.methods.iter().any(|own| own == method))
            && spec.path.as_ref().is_none_or(|own| match spec.ignores_case {
                true => path_matches(own, &path.to_ascii_lowercase()),
                false => path_matches(own, path),
            })
            && spec.headers.iter().all(|(name, value)| {
                let given = headers.iter().find(|(own, _)| own == name).map(|(_, value)| *value);
                match value {
                    ValueSpec::Exact(text) => given == Some(text),
                    ValueSpec::Present => given.is_some(),
                    ValueSpec::RegularExpression(_) => unreachable!(),
                }
            })
    }

    pub(super) fn path_matches(spec: &PathSpec, path: &str) -> bool {
        match spec {
            PathSpec::Exact(text) => text == path,
            PathSpec::PathPrefix(text) => {
                let text = text.trim_end_matches('/');
                path == text || path.starts_with(&format!("{text}/"))
            }
            PathSpec::RegularExpression(text) => {
                regex_lite::Regex::new(&format!("^(?:{text})$")).unwrap().is_match(path)
            }
            PathSpec::PathTemplate(text) => {
                // Variables as regular expressions.
                let text = text.split('/').map(|segment| match segment {
                    segment if segment.ends_with("=**}") => "[^/].*",
                    segment if segment.starts_with('{') => "[^/]+",
                    segment => segment,
                });
                let text = text.collect::<Vec<_>>().join("/");
                regex_lite::Regex::new(&format!("^{text}$")).unwrap().is_match(path)
            }
        }
    }
}

fn any_path() -> impl Strategy<Value = Option<PathSpec>> {
    let segment = || prop_oneof![Just("a"), Just("b"), Just("ab")];
    let plain = || {
        (proptest::collection::vec(segment(), 0..4), any::<bool>()).prop_map(|(segments, slash)| {
            let text = format!("/{}", segments.join("/"));
            if slash && text.len() > 1 { format!("{text}/") } else { text }
        })
    };
    let part = prop_oneof![4 => Just("a"), 2 => Just("b"), 2 => Just("{V}")];
    let template = (
        proptest::collection::vec(part, 0..4),
        prop_oneof![3 => Just(""), 1 => Just("/"), 1 => Just("/{r=**}")],
    )
        .prop_map(|(parts, end)| {
            let mut text = String::new();
            for (at, part) in parts.iter().enumerate() {
                text.push('/');
                text.push_str(&part.replace('V', &format!("v{at}")));
            }
            text.push_str(end);
            if text.is_empty() { "/{v}".to_owned() } else { text }
        });
    let regex = prop_oneof![
        Just("/a/.*"),
        Just("/a/b?"),
        Just("/a|/b"),
        Just(".*"),
        Just("/a/b/[ab]*"),
        Just("/(a|b)/a"),
        Just("/a/(a|b/a)"),
        Just("/a/?"),
        Just("/a/*b"),
        Just(r"/a\/b"),
        Just("/ab/?.*b"),
        Just("(?i)/A/.*"),
        Just("/a/[^/]+/"),
        Just("/a{2}/.*"),
    ];
    prop_oneof![
        1 => Just(None),
        3 => plain().prop_map(|text| Some(PathSpec::Exact(text))),
        2 => plain().prop_map(|text| Some(PathSpec::PathPrefix(text))),
        4 => template.prop_map(|text| Some(PathSpec::PathTemplate(text))),
        2 => regex.prop_map(|text| Some(PathSpec::RegularExpression(text.to_owned()))),
    ]
}

fn any_rule() -> impl Strategy<Value = RouteSpec> {
    let methods = prop_oneof![
        2 => Just(strings(&[])), 1 => Just(strings(&["GET"])), 1 => Just(strings(&["POST"])), 1 => Just(strings(&["GET", "POST"])),
    ];
    let headers = prop_oneof![
        4 => Just(vec![]),
        1 => Just(vec![("x".to_owned(), ValueSpec::Present)]),
        1 => Just(vec![("x".to_owned(), ValueSpec::Exact("1".into()))]),
    ];
    let ignores_case = prop::bool::weighted(0.25);
    let spec =
        (any_path(), ignores_case, methods, headers).prop_map(|(path, ignores_case, methods, headers)| {
            MatchSpec {
                ignores_case: ignores_case && !matches!(path, Some(PathSpec::RegularExpression(_))),
                path,
                methods,
                headers,
                query: vec![],
            }
        });
    let host = prop_oneof![Just("a.x"), Just("b.a.x"), Just("*.x"), Just("*.a.x"), Just("x")];
    let hosts = prop_oneof![3 => Just(vec![]), 2 => proptest::collection::vec(host, 1..3)];
    (hosts, proptest::collection::vec(spec, 1..3)).prop_map(|(hosts, matches)| RouteSpec {
        hostnames: strings(&hosts),
        matches,
        ..RouteSpec::default()
    })
}

/// Every request over a small alphabet.
fn requests() -> Vec<(&'static str, &'static str, String, Pairs)> {
    let mut paths = vec!["/".to_owned()];
    let mut last = vec![String::new()];
    for _ in 0..4 {
        last = last
            .iter()
            .flat_map(|path| ["a", "b", "ab"].map(|segment| format!("{path}/{segment}")))
            .collect();
        paths.extend(last.iter().flat_map(|path| [path.clone(), format!("{path}/")]));
    }
    // Some of them in another case.
    for (path, capital) in paths.iter_mut().zip([('a', "A"), ('b', "B"), ('x', "")].into_iter().cycle()) {
        *path = path.replacen(capital.0, capital.1, 1);
    }
    let hosts = ["a.x", "b.a.x", "x", "c.x", "y"];
    let heads: [Pairs; 3] = [&[], &[("x", "1")], &[("x", "2")]];
    // Not the whole product: each path and host with some methods and headers.
    let mut methods = ["GET", "POST", "PUT"].into_iter().cycle();
    let mut heads = [0, 1, 2, 2, 0, 1, 1, 2, 0].into_iter().cycle().map(|at: usize| heads[at]);
    let mut all = Vec::new();
    for path in paths {
        for host in hosts.into_iter().chain(hosts) {
            all.push((host, methods.next().unwrap(), path.clone(), heads.next().unwrap()));
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn the_router_agrees_with_the_naive_matcher(specs in proptest::collection::vec(any_rule(), 1..8)) {
        // Rules that are found unreachable are taken out, which must change nothing.
        let mut kept = specs.clone();
        let mut places: Vec<usize> = (0..specs.len()).collect();
        let router = loop {
            match compile(&kept) {
                Ok(router) => break router,
                Err(faults) => {
                    let last = faults.last().unwrap();
                    prop_assert!(last.message.starts_with("unreachable"), "{last}");
                    let at: usize = last.path.trim_matches(['[', ']']).parse().unwrap();
                    kept.remove(at);
                    places.remove(at);
                }
            }
        };
        for (host, method, path, headers) in requests() {
            let pairs: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
            let head = head(&pairs);
            let request = RouteRequest { host, method, path: &path, query: None, head: &head };
            let found = router.find(&request).unwrap();
            let rule = found.as_ref().map(|found| places[found.rule]);
            prop_assert_eq!(rule, naive::first(&specs, host, method, &path, headers), "{} {} {}", method, host, &path);
            if let Some(found) = &found {
                let bound: Vec<_> = found.variables().map(|(name, _)| name).collect();
                prop_assert!(router.variables_of(found.rule).iter().all(|name| bound.contains(name)));
                prop_assert!(found.variables().all(|(_, value)| !value.is_empty()));
            }
        }
    }
}

/// Whether a condition holds, said as plainly as can be; `None` when nobody can tell.
fn holds(value: &ValueSpec, exact: &[&str], has_alike: bool, joins: bool) -> Option<bool> {
    let one = |text: &str| match value {
        ValueSpec::Exact(own) => own == text,
        ValueSpec::RegularExpression(own) => {
            regex_lite::Regex::new(&format!("^(?:{own})$")).unwrap().is_match(text)
        }
        ValueSpec::Present => true,
    };
    if *value == ValueSpec::Present {
        return if !exact.is_empty() {
            Some(true)
        } else if has_alike {
            None
        } else {
            Some(false)
        };
    }
    let joined = exact.join(",");
    match exact {
        _ if has_alike => None,
        [] => Some(false),
        [only] => Some(one(only)),
        _ if joins && one(&joined) => Some(true),
        all if one(&joined) || all.iter().any(|text| one(text)) => None,
        _ => Some(false),
    }
}

fn any_conditions() -> impl Strategy<Value = RouteSpec> {
    let value = || {
        prop_oneof![
            3 => "[12]".prop_map(ValueSpec::Exact), 1 => Just(exact("1,2")), 1 => Just(regex("1,?2?")), 1 => Just(ValueSpec::Present),
        ]
    };
    let list = |names: [&'static str; 3]| {
        let named = (prop::sample::select(names.to_vec()), value());
        proptest::collection::vec(named, 0..3).prop_map(|mut list| {
            list.sort_by_key(|(name, _)| *name);
            list.dedup_by_key(|(name, _)| *name);
            list
        })
    };
    (list(["x-a", "x_a", "x-b"]), list(["a", "A", "b"])).prop_map(|(headers, query)| asking(&headers, &query))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn conditions_agree_with_what_they_say(
        specs in proptest::collection::vec(any_conditions(), 1..60),
        requests in proptest::collection::vec((
            proptest::collection::vec(("x[-_][ab]", "[123]"), 0..4),
            proptest::collection::vec(("[aAb]", "[123]"), 0..4),
        ), 1..20),
    ) {
        let mut kept = specs;
        let router = loop {
            match compile(&kept) {
                Ok(router) => break router,
                Err(faults) => {
                    let last = faults.last().unwrap();
                    kept.remove(last.path.trim_matches(['[', ']']).parse().unwrap());
                }
            }
        };
        for (headers, query) in requests {
            let text: Vec<_> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
            let pairs: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
            let found = choose(&router, &format!("/?{}", text.join("&")), &pairs);
            let of = |list: &[(String, String)], own: &str, joins: bool, value: &ValueSpec| {
                let named = |wanted: &str| list.iter().filter(|(name, _)| name == wanted).map(|(_, value)| value.clone()).collect::<Vec<_>>();
                let exact = named(own);
                let has_alike = list.iter().any(|(name, _)| name != own && crate::request::alike::is_alike(name.as_bytes(), own.as_bytes()));
                holds(value, &exact.iter().map(String::as_str).collect::<Vec<_>>(), has_alike, joins)
            };
            let expected = kept.iter().enumerate().find_map(|(rule, spec)| {
                let spec = &spec.matches[0];
                let all = spec.headers.iter().map(|(name, value)| of(&headers, name, true, value));
                let all: Vec<_> = all.chain(spec.query.iter().map(|(name, value)| of(&query, name, false, value))).collect();
                if all.contains(&Some(false)) {
                    None
                } else {
                    Some(if all.contains(&None) { Err(rule) } else { Ok(Some(rule)) })
                }
            });
            prop_assert_eq!(found.map_err(|(rule, _)| rule), expected.unwrap_or(Ok(None)), "{:?} {:?}", headers, text);
        }
    }
}

#[test]
fn many_rules_may_share_a_path() {
    let header = |n: usize| {
        let headers = vec![("x".to_owned(), ValueSpec::Exact(n.to_string()))];
        let spec = MatchSpec { path: path("^/"), headers, ..MatchSpec::default() };
        RouteSpec { matches: vec![spec], ..RouteSpec::default() }
    };
    let same_path: Vec<_> = (0..5_000).map(header).collect();
    let regexes: Vec<_> = (0..1_000).map(|n| on(&[&format!("~.*/{n}")])).collect();
    // Each segment may go two ways.
    let forks: Vec<_> = (0..1024_usize)
        .map(|n| {
            let segment =
                |bit: usize| if n >> bit & 1 == 0 { "/a".to_owned() } else { format!("/{{v{bit}}}") };
            on(&[&(0..10).map(segment).collect::<String>()])
        })
        .collect();
    for (rules, expected) in [(same_path, None), (regexes, None), (forks, Some(512))] {
        let router = compile(&rules).unwrap();
        assert_eq!(find(&router, "h", "GET", "/a/a/a/a/a/a/a/a/a/b"), expected);
    }
}

#[test]
fn what_a_request_could_cost_is_bounded() {
    // Each of the first segments may go two ways.
    let forks = |ways: usize, rest: &str| -> Vec<RouteSpec> {
        let segment = |n: usize, bit: usize| {
            if n >> bit & 1 == 0 { "/a".to_owned() } else { format!("/{{v{bit}}}") }
        };
        (0..1_usize << ways)
            .map(|n| on(&[&((0..ways).map(|bit| segment(n, bit)).collect::<String>() + rest)]))
            .collect()
    };
    let expressions =
        |count: usize, one: &dyn Fn(usize) -> RouteSpec| (0..count).map(one).collect::<Vec<_>>();
    let of_path = |n: usize| on(&[&format!("~.*/{n}")]);
    let of_header = |n: usize| asking(&[("x", regex(&format!("{n}.*")))], &[]);
    let elsewhere = |n: usize| {
        let mut spec = of_header(n);
        spec.matches[0].path = path(&format!("/{n}/{{x}}"));
        spec
    };
    let on_hosts = |n: usize| {
        let mut spec = of_header(n);
        spec.hostnames = vec![format!("h{n}.example.com")];
        spec
    };
    let one_for_all = |n: usize| asking(&[("x", regex("a.*")), ("y", exact(&n.to_string()))], &[]);
    let (much, more) = ("one request may meet 65 regular", "one request may meet 1025 regular");
    let rows = [
        (forks(11, "/end"), None, None),
        (forks(13, ""), None, None),
        (forks(10, &"/b".repeat(12)), None, None),
        (forks(10, &"/b".repeat(20)), Some("too many matches: 9"), None),
        (expressions(64, &of_path), None, None),
        (expressions(65, &of_path), None, Some(much)),
        (expressions(65, &of_header), None, Some(much)),
        (expressions(1025, &of_path), Some(more), None),
        (expressions(1025, &of_header), Some(more), None),
        (expressions(1025, &elsewhere), None, None),
        (expressions(1025, &on_hosts), None, None),
        (expressions(1025, &one_for_all), None, None),
    ];
    for (at, (specs, fault, warning)) in rows.into_iter().enumerate() {
        let (faults, warnings) = match compile(&specs) {
            Ok(router) => (Vec::new(), router.warnings()),
            Err(faults) => (faults, Vec::new()),
        };
        for (found, expected) in [(faults, fault), (warnings, warning)] {
            assert_eq!(found.len(), expected.iter().len(), "{at}: {found:?}");
            assert!(
                found.iter().zip(expected).all(|(found, expected)| found.message.contains(expected)),
                "{found:?}"
            );
        }
    }
    // A request may come by several hosts' rules.
    let mut specs = expressions(40, &of_header);
    specs.extend(
        (0..25).map(|n| RouteSpec { hostnames: vec!["*.example.com".into()], ..of_header(1000 + n) }),
    );
    assert!(compile(&specs).unwrap().warnings()[0].message.contains(much));
}
