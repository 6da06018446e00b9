//! The one form of a path that rules are held against and that the upstream must see.
//!
//! Decides nothing about access: it only makes sure that there is a single reading. A path that two
//! parties could read in two ways is refused, not repaired.

mod kept;
#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt};

pub use kept::Kept;
pub(crate) use kept::{decode, with_decoded_slashes, with_escapes, with_slashes, without_parameters};

use kept::ESCAPED_SLASH;

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
/// - encoded slash, unless it is [`Kept`]; encoded or raw backslash;
/// - control characters, raw or encoded, NUL among them; raw spaces and raw non-ASCII;
/// - invalid escapes, and escapes that are not UTF-8;
/// - `#`: a fragment is never sent (RFC 9112 section 3.2);
/// - raw `;`, unless it is [`Kept`]: path parameters, which Tomcat and Jetty drop before matching and others keep as
///   text (so `/admin;x` is `/admin` to some). Send `%3B` where the character is meant. `..%3B` is refused too;
/// - of what is kept: where decoding the slashes, or dropping the parameters, would bring out dot segments or empty
///   ones; slashes within parameters; dot segments that step over either;
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
        Self::parse_as(target, MAX_TARGET, Kept::default())
    }

    /// As [`Self::parse`], of a target of at most `longest` bytes in which `kept` is part of its segments.
    pub fn parse_as(target: &'a [u8], longest: usize, kept: Kept) -> Result<Self, PathError> {
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
                b';' if kept.matrix_parameters => clean = false,
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
        let path = if clean { Cow::Borrowed(sent) } else { resolve(sent, kept)? };
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
fn resolve(sent: &str, kept: Kept) -> Result<Cow<'_, str>, PathError> {
    let escaped = normalize_escapes(sent.as_bytes(), kept)?;
    let resolved = resolve_segments(str::from_utf8(&escaped).map_err(|_| PathError::Ambiguous)?)?;
    if resolved == sent { Ok(Cow::Borrowed(sent)) } else { Ok(Cow::Owned(resolved)) }
}

fn normalize_escapes(path: &[u8], kept: Kept) -> Result<Vec<u8>, PathError> {
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
            b'/' if kept.encoded_slash => {
                out.extend(percent::escaped(byte));
                tail
            }
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

/// RFC 3986 section 5.2.4, then merged slashes; refuses where the order of the two would matter, or what is kept.
fn resolve_segments(path: &str) -> Result<String, PathError> {
    let mut stack: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." => {}
            ".." => {
                if stack.pop().is_none_or(|left| left.is_empty() || !Kept::of(left).is_nothing()) {
                    return Err(PathError::Ambiguous);
                }
            }
            _ if !is_one_segment(segment, is_last) => return Err(PathError::Ambiguous),
            _ => {
                stack.push(segment);
                continue;
            }
        }
        // A dot segment at the end leaves the slash before it.
        if is_last {
            stack.push("");
        }
    }
    let mut out = String::with_capacity(path.len());
    let (last, inner) = stack.split_last().ok_or(PathError::Ambiguous)?;
    for segment in inner.iter().filter(|segment| !segment.is_empty()).chain([last]) {
        out.push('/');
        out.push_str(segment);
    }
    Ok(out)
}

/// Whether nobody finds a dot segment or an empty one in `segment`, be it that they decode slashes or drop parameters,
/// in whatever order.
fn is_one_segment(segment: &str, is_last: bool) -> bool {
    let mut pieces = segment.split(ESCAPED_SLASH).peekable();
    let mut is_first = true;
    while let Some(piece) = pieces.next() {
        let is_final = pieces.peek().is_none();
        let name = piece.split(';').next().unwrap_or_default();
        let dots = name.split("%3B").next().unwrap_or_default();
        // Nothing at all is no segment, which is merged; `a%2F` at the end of a path is `a/` to some.
        let may_be_empty = piece.is_empty() && is_final && (is_first || is_last);
        if matches!(dots, "." | "..") || (name.is_empty() && !may_be_empty) || (!is_final && name != piece) {
            return false;
        }
        is_first = false;
    }
    true
}
