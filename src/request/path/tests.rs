//! Canonical form against tables, and its properties.

use proptest::prelude::*;

use super::*;

fn canonical(target: &[u8]) -> Result<String, PathError> {
    CanonicalPath::parse(target).map(|path| path.path().to_owned())
}

#[test]
fn one_reading_is_resolved() {
    let rows = [
        ("/", "/"),
        ("/orders/7", "/orders/7"),
        ("/orders/", "/orders/"),
        ("//", "/"),
        ("//orders///7", "/orders/7"),
        ("/orders//", "/orders/"),
        ("/.", "/"),
        ("/./", "/"),
        ("/a/.", "/a/"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/a/b/../c", "/a/c"),
        ("/a/b/../../c", "/c"),
        ("/a/./b", "/a/b"),
        ("/a//b/../c", "/a/c"),
        ("/a/%2e%2E/b", "/b"),
        ("/a/.%2e/b", "/b"),
        ("/%61dmin", "/admin"),
        ("/%7euser", "/~user"),
        ("/a%2db%5fc%2ed", "/a-b_c.d"),
        ("/a%3ab%40c", "/a%3Ab%40c"),
        ("/a%20b", "/a%20b"),
        ("/%2541", "/%2541"),
        ("/%252f", "/%252f"),
        ("/caf%c3%a9", "/caf%C3%A9"),
        ("/%e2%82%ac/%f0%9f%98%80", "/%E2%82%AC/%F0%9F%98%80"),
        ("/.well-known/jwks.json", "/.well-known/jwks.json"),
        ("/..a/...", "/..a/..."),
        ("/a%3bb", "/a%3Bb"),
        ("/a:b@c!$&'()*+,=", "/a:b@c!$&'()*+,="),
    ];
    for (target, expected) in rows {
        assert_eq!(canonical(target.as_bytes()).as_deref(), Ok(expected), "{target}");
        let path = CanonicalPath::parse(target.as_bytes()).unwrap();
        assert_eq!(path.rewritten(), target != expected, "{target}");
    }
}

#[test]
fn two_readings_are_refused() {
    let rows: &[&[u8]] = &[
        b"",
        b"*",
        b"orders",
        b"?a",
        b"http://h/orders",
        b"/..",
        b"/../a",
        b"/a/../..",
        b"/a/../../b",
        b"/%2e%2e/a",
        b"/a//../b",
        b"//../b",
        b"/a/b//c/../../d",
        b"/a%2fb",
        b"/a%2Fb",
        b"/a%5cb",
        b"/a%5Cb",
        b"/a\\b",
        b"/..\\b",
        b"/a%00",
        b"/a%0a",
        b"/a%0D",
        b"/a%1f",
        b"/a%7f",
        b"/a%C2%85",
        b"/a\0b",
        b"/a\tb",
        b"/a b",
        b"/a\x7f",
        b"/caf\xc3\xa9",
        b"/\xff",
        b"/a%",
        b"/a%2",
        b"/a%zz",
        b"/a%u002f",
        b"/%C3",
        b"/%C3/%A9",
        b"/%C3x",
        b"/%A9",
        b"/%FF",
        b"/%C0%AF",
        b"/%E0%80%AF",
        b"/%ED%A0%80",
        b"/%FF/../a",
        b"/a#b",
        b"/a;b",
        b"/a;jsessionid=1/b",
        b"/a/..;/b",
        b"/a/..%3B/b",
        b"/a/.%3bx/b",
        b"/a?b#c",
        b"/a?b c",
        b"/a?\xc3\xa9",
        b"/a?\0",
    ];
    for target in rows {
        assert_eq!(canonical(target), Err(PathError::Ambiguous), "{}", target.escape_ascii());
    }
}

#[test]
fn the_query_is_cut_off_and_kept_as_sent() {
    let rows: &[(&str, &str, Option<&str>)] = &[
        ("/a", "/a", None),
        ("/a?", "/a", Some("")),
        ("/a?b=%2F;\\&c=//../%zz?d", "/a", Some("b=%2F;\\&c=//../%zz?d")),
        ("/x/../a?../b", "/a", Some("../b")),
    ];
    for (target, path, query) in rows {
        let parsed = CanonicalPath::parse(target.as_bytes()).unwrap();
        assert_eq!((parsed.path(), parsed.query()), (*path, *query), "{target}");
    }
}

#[test]
fn the_length_is_bounded() {
    let longest = format!("/{}", "a".repeat(MAX_TARGET - 1));
    assert!(CanonicalPath::parse(longest.as_bytes()).is_ok());
    assert_eq!(canonical(format!("{longest}a").as_bytes()), Err(PathError::TooLong));
    let query = format!("/?{}", "a".repeat(MAX_TARGET - 1));
    assert_eq!(canonical(query.as_bytes()), Err(PathError::TooLong));
}

#[test]
fn clean_paths_are_borrowed() {
    let path = CanonicalPath::parse(b"/orders/7?x=1").unwrap();
    assert!(matches!(path.path, Cow::Borrowed(_)));
}

fn check(target: &[u8]) -> Result<(), TestCaseError> {
    let Ok(first) = CanonicalPath::parse(target) else { return Ok(()) };
    let again = CanonicalPath::parse(first.path().as_bytes()).unwrap();
    prop_assert_eq!(first.path(), again.path());
    prop_assert!(!again.rewritten());
    let text = format!("{}/", first.path());
    for odd in ["//", "/./", "/../"] {
        prop_assert!(!text.trim_end_matches('/').contains(odd), "{}", first.path());
    }
    let sent = target.split(|byte| *byte == b'?').next().unwrap();
    prop_assert_eq!(first.rewritten(), first.path().as_bytes() != sent);
    // Nothing that decoding brings out has structure of its own.
    let decoded = decode(first.path());
    prop_assert_eq!(decoded.matches('/').count(), first.path().matches('/').count());
    prop_assert!(!decoded.contains(['\\', '\0', '\n']));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn parsing_is_total_and_idempotent_on_bytes(target in proptest::collection::vec(any::<u8>(), 0..60)) {
        check(&target)?;
    }

    #[test]
    fn parsing_is_idempotent_on_what_looks_like_a_path(
        parts in proptest::collection::vec(
            prop_oneof![
                4 => Just("/"), 2 => Just("."), 2 => Just(".."), 2 => Just("a"), 1 => Just("%2e"), 1 => Just("%"),
                1 => Just("%25"), 1 => Just("2e"), 1 => Just("%c3%a9"), 1 => Just("%3b"), 1 => Just("%2F"), 1 => Just("?"),
            ],
            0..14,
        )
    ) {
        check(format!("/{}", parts.concat()).as_bytes())?;
    }
}
