//! The one form of a path that rules are held against and that the upstream must see.
//!
//! Decides nothing about access: it only makes sure that there is a single reading. A path that two
//! parties could read in two ways is refused, not repaired.

use std::{borrow::Cow, fmt};

use crate::{answer::Reason, text::percent};

/// Longest request target (path and query) that is read, in bytes.
///
/// RFC 9110 section 4.1 asks for at least 8000; the bound keeps matching cheap.
pub const MAX_TARGET: usize = 8192;

/// Why a request target is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// It can be read in more than one way, or is no path at all.
    Ambiguous,
    /// It is longer than it may be.
    TooLong,
}

impl PathError {
    /// The stable reason.
    pub fn reason(self) -> Reason {
        match self {
            Self::Ambiguous => Reason::AmbiguousPath,
            Self::TooLong => Reason::PathTooLong,
        }
    }
}

/// A path in canonical form, with the query that came with it.
///
/// Canonical means: begins with `/`; escapes of unreserved characters are decoded (RFC 3986 section
/// 6.2.2.2), other escapes have upper-case digits; no dot segments (section 5.2.4) and no repeated
/// slashes. A slash at the end is significant and kept. Decoding happens once: `%2541` stays `%2541`.
///
/// Refused, because some server reads each of them differently than another does:
/// - encoded slash or backslash, raw backslash;
/// - control characters, raw or encoded, NUL among them; raw spaces and raw non-ASCII;
/// - invalid escapes, and escapes that are not UTF-8;
/// - `#`: a fragment is never sent (RFC 9112 section 3.2);
/// - raw `;`: path parameters, which Tomcat and Jetty drop before matching and others keep as text (so
///   `/admin;x` is `/admin` to some). Send `%3B` where the character is meant. `..%3B` is refused too;
/// - dot segments that leave the root, or that step over an empty segment: `/a//../b` is `/a/b` where
///   dots go first and `/b` where slashes are merged first.
///
/// Its `Debug` does not show the query: it may hold credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct CanonicalPath<'a> {
    // INVARIANT: owned only where it differs from what was sent.
    path: Cow<'a, str>,
    query: Option<&'a str>,
}

impl fmt::Debug for CanonicalPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CanonicalPath").field("path", &self.path).finish_non_exhaustive()
    }
}

impl<'a> CanonicalPath<'a> {
    /// Reads a request target in origin form, as `:path` carries it.
    ///
    /// Total: every input gives a path or an error. Allocates only where the path has escapes, dots
    /// after a slash, or repeated slashes.
    ///
    /// ```
    /// use portcullis::request::path::CanonicalPath;
    ///
    /// let canonical = |target: &str| CanonicalPath::parse(target.as_bytes()).map(|path| path.path().to_owned());
    /// assert_eq!(canonical("/a/./b//c?d=e"), Ok("/a/b/c".to_owned()));
    /// assert_eq!(canonical("/%61dmin"), Ok("/admin".to_owned()));
    /// assert!(canonical("/a%2Fb").is_err(), "one segment or two: servers differ");
    /// ```
    pub fn parse(target: &'a [u8]) -> Result<Self, PathError> {
        Self::parse_within(target, MAX_TARGET)
    }

    /// As [`Self::parse`], of a target of at most `longest` bytes.
    pub fn parse_within(target: &'a [u8], longest: usize) -> Result<Self, PathError> {
        if target.len() > longest {
            return Err(PathError::TooLong);
        }
        if target.first() != Some(&b'/') {
            return Err(PathError::Ambiguous);
        }
        let mut clean = true;
        let mut previous = 0;
        let mut end = target.len();
        for (at, &byte) in target.iter().enumerate() {
            match byte {
                b'?' => {
                    end = at;
                    break;
                }
                b'/' | b'.' => clean &= previous != b'/',
                b'%' => clean = false,
                b'#' | b';' | b'\\' => return Err(PathError::Ambiguous),
                b'!'..=b'~' => {}
                _ => return Err(PathError::Ambiguous),
            }
            previous = byte;
        }
        let (path, rest) = target.split_at_checked(end).ok_or(PathError::Ambiguous)?;
        let sent = str::from_utf8(path).map_err(|_| PathError::Ambiguous)?;
        let query = match rest.split_first() {
            Some((_, query)) => Some(visible(query)?),
            None => None,
        };
        let path = if clean { Cow::Borrowed(sent) } else { resolve(sent)? };
        Ok(Self { path, query })
    }

    /// The canonical path; begins with `/`, ASCII only.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// What followed the first `?`, as sent; `Some("")` where nothing followed it.
    pub fn query(&self) -> Option<&'a str> {
        self.query
    }

    /// The path differs from what was sent, so the upstream must be given this one.
    pub fn rewritten(&self) -> bool {
        matches!(self.path, Cow::Owned(_))
    }
}

/// A canonical path with the escapes that are left decoded, as an application behind us reads it.
///
/// `%2F`, `%5C` and controls never survive canonical form, so decoding adds no structure. Text that is
/// not canonical and cannot be decoded is returned as it is.
pub(crate) fn decode(canonical: &str) -> Cow<'_, str> {
    percent::decode(canonical, false).unwrap_or(Cow::Borrowed(canonical))
}

/// A query may hold what a path may not (`/`, `?`, `;`), but nothing that is no part of a URI at all.
fn visible(query: &[u8]) -> Result<&str, PathError> {
    let odd = |byte: &u8| !matches!(byte, b'!'..=b'~') || *byte == b'#';
    if query.iter().any(odd) {
        return Err(PathError::Ambiguous);
    }
    str::from_utf8(query).map_err(|_| PathError::Ambiguous)
}

/// The slow road, for paths with anything to resolve.
#[cold]
fn resolve(sent: &str) -> Result<Cow<'_, str>, PathError> {
    let escaped = normalize_escapes(sent.as_bytes())?;
    let resolved = resolve_segments(&escaped)?;
    if resolved == sent.as_bytes() {
        return Ok(Cow::Borrowed(sent));
    }
    String::from_utf8(resolved).map(Cow::Owned).map_err(|_| PathError::Ambiguous)
}

fn normalize_escapes(path: &[u8]) -> Result<Vec<u8>, PathError> {
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&first, tail)) = rest.split_first() {
        if first != b'%' {
            out.push(first);
            rest = tail;
            continue;
        }
        let (byte, tail) = percent::escape(rest).ok_or(PathError::Ambiguous)?;
        rest = match byte {
            b'/' | b'\\' | 0..=0x1f | 0x7f => return Err(PathError::Ambiguous),
            // RFC 3986 section 2.3.
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(byte);
                tail
            }
            0x20..=0x7e => {
                out.extend(percent::escaped(byte));
                tail
            }
            0x80.. => character(byte, rest, &mut out)?,
        };
    }
    Ok(out)
}

/// Copies one escaped non-ASCII character from the front of `rest`; returns what follows it.
fn character<'a>(lead: u8, rest: &'a [u8], out: &mut Vec<u8>) -> Result<&'a [u8], PathError> {
    // RFC 3629 section 4.
    let width = match lead {
        0xc2..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0..=0xf4 => 4,
        _ => return Err(PathError::Ambiguous),
    };
    let mut bytes = [0; 4];
    let bytes = bytes.get_mut(..width).ok_or(PathError::Ambiguous)?;
    let mut rest = rest;
    for byte in bytes.iter_mut() {
        (*byte, rest) = percent::escape(rest).ok_or(PathError::Ambiguous)?;
        out.extend(percent::escaped(*byte));
    }
    let text = str::from_utf8(bytes).map_err(|_| PathError::Ambiguous)?;
    // U+0080 to U+009F are controls too.
    if text.chars().any(char::is_control) { Err(PathError::Ambiguous) } else { Ok(rest) }
}

/// RFC 3986 section 5.2.4, then merged slashes; refuses where the order of the two would matter.
fn resolve_segments(path: &[u8]) -> Result<Vec<u8>, PathError> {
    let mut stack: Vec<&[u8]> = Vec::new();
    let mut segments = path.split(|byte| *byte == b'/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            b"." => {}
            b".." => {
                if stack.pop().is_none_or(<[u8]>::is_empty) {
                    return Err(PathError::Ambiguous);
                }
            }
            _ if segment.starts_with(b".%3B") || segment.starts_with(b"..%3B") => {
                return Err(PathError::Ambiguous);
            }
            _ => {
                stack.push(segment);
                continue;
            }
        }
        // A dot segment at the end leaves the slash before it.
        if segments.peek().is_none() {
            stack.push(b"");
        }
    }
    let mut out = Vec::with_capacity(path.len());
    let (last, inner) = stack.split_last().ok_or(PathError::Ambiguous)?;
    for segment in inner.iter().filter(|segment| !segment.is_empty()).chain([last]) {
        out.push(b'/');
        out.extend_from_slice(segment);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
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
}
