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

const SLASHES: Kept = Kept { encoded_slash: true, matrix_parameters: false };
const PARAMETERS: Kept = Kept { encoded_slash: false, matrix_parameters: true };

fn kept(target: &str, kept: Kept) -> Result<String, PathError> {
    CanonicalPath::parse_as(target.as_bytes(), MAX_TARGET, kept).map(|path| path.path().to_owned())
}

#[test]
fn what_is_kept_is_part_of_its_segment() {
    let rows = [
        (SLASHES, "/a%2Fb", "/a%2Fb"),
        (SLASHES, "/a%2fb", "/a%2Fb"),
        (SLASHES, "/a%2fb%2Fc/d", "/a%2Fb%2Fc/d"),
        (SLASHES, "/a%2F", "/a%2F"),
        (SLASHES, "/a/./b//c%2Fd", "/a/b/c%2Fd"),
        (SLASHES, "/x/../a%2Fb", "/a%2Fb"),
        (SLASHES, "/a%2F..b/c%2F...", "/a%2F..b/c%2F..."),
        (SLASHES, "/a%252Fb", "/a%252Fb"),
        (SLASHES, "/a%3Bb%2Fc", "/a%3Bb%2Fc"),
        (PARAMETERS, "/a;x=1/b", "/a;x=1/b"),
        (PARAMETERS, "/a;x=1;y=%7e,2/b;", "/a;x=1;y=~,2/b;"),
        (PARAMETERS, "/a;../b", "/a;../b"),
        (PARAMETERS, "/a%3Bb", "/a%3Bb"),
        (PARAMETERS, "/a;x?b;c", "/a;x"),
        (Kept::ALL, "/a%2Fb;x=1/c", "/a%2Fb;x=1/c"),
    ];
    for (allowed, target, expected) in rows {
        assert_eq!(kept(target, allowed).as_deref(), Ok(expected), "{target}");
        let unlike = if allowed == SLASHES { PARAMETERS } else { SLASHES };
        let others = allowed != Kept::ALL && Kept::of(expected).is_nothing();
        assert_eq!(kept(target, unlike).is_ok(), others, "{target}");
    }
    // Nothing is copied that stays.
    let path = CanonicalPath::parse_as(b"/a%2Fb;x", MAX_TARGET, Kept::ALL).unwrap();
    assert!(matches!(path.path, Cow::Borrowed(_)) && !path.rewritten());
}

#[test]
fn what_is_kept_hides_no_structure() {
    for target in [
        // Decoded they have empty segments or dot segments.
        "/%2F",
        "/%2Fa",
        "/a/%2Fb",
        "/a%2F/b",
        "/a%2F%2Fb",
        "/a%2F%2F",
        "/%2F..",
        "/..%2F",
        "/..%2fa",
        "/.%2Fa",
        "/a%2F..",
        "/a%2F.",
        "/a%2F%2e%2E%2Fb",
        "/a%2F..%2Fb",
        "/a%2F..%3Bx%2Fb",
        // Steps over what is one segment to some and two to others.
        "/a%2Fb/../c",
        "/a;x/../c",
        // Without parameters they have empty segments or dot segments.
        "/;",
        "/;x/a",
        "/a/;x",
        "/..;/a",
        "/a/..;x=1/b",
        "/a/.;/b",
        "/a/%2e%2e;/b",
        "/a%2F..;x",
        "/a%2F;x",
        // A slash in a parameter.
        "/a;x=%2F",
        "/a;x=1%2Fb",
        // These are nobody's to keep.
        "/a%5Cb",
        "/a\\b",
        "/a%00",
        "/a%0a",
        "/a%2Fb%5C..%5Cc",
        "/..%3B/a",
        "/a%2",
        "/a#b",
    ] {
        assert_eq!(kept(target, Kept::ALL), Err(PathError::Ambiguous), "{target}");
    }
}

#[test]
fn others_read_what_is_kept_as_they_do() {
    for (path, decoded, stripped) in [
        ("/a%2Fb", "/a/b", "/a%2Fb"),
        ("/a%2Fb%2F", "/a/b/", "/a%2Fb%2F"),
        ("/a;x=1/b;y", "/a;x=1/b;y", "/a/b"),
        ("/a;x;y/", "/a;x;y/", "/a/"),
        ("/a%2Fb;x/c%3Bd", "/a/b;x/c%3Bd", "/a%2Fb/c%3Bd"),
        ("/a%252Fb", "/a%252Fb", "/a%252Fb"),
        ("/", "/", "/"),
    ] {
        assert_eq!(with_decoded_slashes(path), decoded);
        assert_eq!(without_parameters(path), stripped);
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

fn check_kept(target: &[u8]) -> Result<(), TestCaseError> {
    let read = |target: &[u8], kept| {
        CanonicalPath::parse_as(target, MAX_TARGET, kept).map(|path| path.path().to_owned())
    };
    let Ok(path) = read(target, Kept::ALL) else {
        prop_assert!(canonical(target).is_err(), "keeping more takes less");
        return Ok(());
    };
    let again = |path: &str, kept| read(path.as_bytes(), kept);
    prop_assert_eq!(again(&path, Kept::ALL), Ok(path.clone()));
    // Kept as it is, or refused where it is not.
    let needed = Kept::of(&path);
    prop_assert_eq!(again(&path, needed), Ok(path.clone()));
    prop_assert_eq!(canonical(path.as_bytes()).is_ok(), needed.is_nothing());
    // As many segments as it has slashes of its own, however its escapes are decoded.
    let (decoded, slashes) = (decode(&path), path.matches('/').count());
    prop_assert_eq!(decoded.matches('/').count(), slashes);
    let written = with_escapes(&decoded).unwrap_or_else(|| decoded.clone().into_owned());
    prop_assert_eq!(written.matches('/').count(), slashes);
    prop_assert!(with_slashes(&decoded).is_none_or(|text| text.len() == decoded.len()));
    // What others read is canonical, and reading it so once more changes nothing.
    let (opened, stripped) = (with_decoded_slashes(&path), without_parameters(&path));
    prop_assert_eq!(again(&opened, PARAMETERS), Ok(opened.clone()));
    prop_assert_eq!(again(&stripped, SLASHES), Ok(stripped.clone()));
    prop_assert_eq!(without_parameters(&stripped), stripped.clone());
    prop_assert_eq!(stripped.matches('/').count(), slashes);
    prop_assert_eq!(without_parameters(&opened), with_decoded_slashes(&stripped));
    prop_assert_eq!(canonical(without_parameters(&opened).as_bytes()), Ok(without_parameters(&opened)));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn parsing_is_total_and_idempotent_on_bytes(target in proptest::collection::vec(any::<u8>(), 0..60)) {
        check(&target)?;
        check_kept(&target)?;
    }

    #[test]
    fn parsing_is_idempotent_on_what_looks_like_a_path(
        parts in proptest::collection::vec(
            prop_oneof![
                4 => Just("/"), 2 => Just("."), 2 => Just(".."), 2 => Just("a"), 1 => Just("%2e"), 1 => Just("%"),
                1 => Just("%25"), 1 => Just("2e"), 1 => Just("%c3%a9"), 1 => Just("%3b"), 1 => Just("%2F"), 1 => Just("?"),
                1 => Just(";"), 1 => Just("%2f"),
            ],
            0..14,
        )
    ) {
        let target = format!("/{}", parts.concat());
        check(target.as_bytes())?;
        check_kept(target.as_bytes())?;
    }
}
