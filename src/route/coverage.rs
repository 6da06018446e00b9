//! Which patterns take every path of another one: sound, not complete. In doubt nothing is covered.

use super::pattern::{Path, Pattern, Segment, has_letters};
use crate::request::path::with_escapes;

/// A segment as far as it is known of every path that a pattern matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KnownSegment<'a> {
    /// This text; empty only as the last one.
    Literal(&'a str),
    /// Any text but none.
    Variable,
}

impl KnownSegment<'_> {
    /// Its text; none of a variable.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Literal(text) => text,
            Self::Variable => "",
        }
    }

    /// The same with another text, where it has one.
    pub(super) fn with_text<'t>(&self, text: &'t str) -> KnownSegment<'t> {
        match self {
            Self::Literal(_) => KnownSegment::Literal(text),
            Self::Variable => KnownSegment::Variable,
        }
    }
}

/// What may follow the known segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    /// Nothing.
    End,
    /// A segment that is not empty, and anything after it.
    Rest,
    /// Anything, also nothing.
    Open,
}

/// The segments that every path of `path` begins with.
pub(super) fn known_segments(path: &Path) -> Vec<KnownSegment<'_>> {
    shape(path).0
}

fn shape(path: &Path) -> (Vec<KnownSegment<'_>>, Tail) {
    match path {
        Path::Exact(text) => (text.split('/').skip(1).map(KnownSegment::Literal).collect(), Tail::End),
        Path::Prefix(segments) => (literals(segments), Tail::Open),
        Path::Regex { anchor, .. } => (literals(anchor), Tail::Open),
        Path::Template { segments, rest } => {
            let known = segments.iter().map(|segment| match segment {
                Segment::Literal(text) => KnownSegment::Literal(text),
                Segment::Variable(_) => KnownSegment::Variable,
            });
            (known.collect(), if rest.is_some() { Tail::Rest } else { Tail::End })
        }
    }
}

fn literals(segments: &[Box<str>]) -> Vec<KnownSegment<'_>> {
    segments.iter().map(|segment| KnownSegment::Literal(segment)).collect()
}

/// Whether `a` matches every path that `b` matches.
pub(super) fn covers(a: &Pattern, b: &Pattern) -> bool {
    match (&a.path, &b.path) {
        (Path::Exact(own), Path::Exact(text)) => return a.is_same_text(own, b, text),
        (Path::Exact(_), _) => return false,
        (Path::Regex { .. }, Path::Exact(text)) if b.ignores_case && has_letters(text) => return false,
        (Path::Regex { expression, .. }, Path::Exact(text)) => {
            return expression.is_match(with_escapes(text).as_deref().unwrap_or(text));
        }
        (Path::Regex { expression: own, .. }, Path::Regex { expression, .. }) => {
            return own.text() == expression.text();
        }
        (Path::Regex { .. }, _) => return false,
        (Path::Prefix(_) | Path::Template { .. }, _) => {}
    }
    let ((own, own_tail), (known, tail)) = (shape(&a.path), shape(&b.path));
    let Some((head, after)) = known.split_at_checked(own.len()) else { return false };
    own.iter().zip(head).all(|(own, known)| segment_covers(a, *own, b, *known))
        && match own_tail {
            Tail::Open => true,
            Tail::End => after.is_empty() && tail == Tail::End,
            // Something must follow that is not empty.
            Tail::Rest => match after.first() {
                Some(first) => *first != KnownSegment::Literal(""),
                None => tail == Tail::Rest,
            },
        }
}

fn segment_covers(a: &Pattern, own: KnownSegment<'_>, b: &Pattern, known: KnownSegment<'_>) -> bool {
    match (own, known) {
        (KnownSegment::Variable, known) => known != KnownSegment::Literal(""),
        (KnownSegment::Literal(own), KnownSegment::Literal(known)) => a.is_same_text(own, b, known),
        (KnownSegment::Literal(_), KnownSegment::Variable) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{MatchSpec, PathSpec},
        *,
    };
    use crate::request::path::Kept;

    /// `=` exact, `^` prefix, `~` regex, anything else a template; behind `i` in either case.
    fn path(text: &str) -> Pattern {
        let (ignores_case, text) = text.strip_prefix('i').map_or((false, text), |text| (true, text));
        let rest = || text.get(1..).unwrap().to_owned();
        let spec = match text.chars().next().unwrap() {
            '=' => PathSpec::Exact(rest()),
            '^' => PathSpec::PathPrefix(rest()),
            '~' => PathSpec::RegularExpression(rest()),
            _ => PathSpec::PathTemplate(text.to_owned()),
        };
        let spec = MatchSpec { path: Some(spec), ignores_case, ..MatchSpec::default() };
        Pattern::compile(&spec, Kept::default()).unwrap()
    }

    #[test]
    fn coverage_holds_both_ways_of_every_kind() {
        let rows = [
            ("=/a", "=/a", true),
            ("=/a", "=/a/", false),
            ("=/a", "^/a", false),
            ("=/a", "~/a", false),
            ("^/", "=/a", true),
            ("^/", "~.*", true),
            ("^/", "/{x=**}", true),
            ("^/a", "=/a", true),
            ("^/a", "=/a/", true),
            ("^/a", "=/ab", false),
            ("^/a/b", "=/a", false),
            ("^/a", "^/a/b", true),
            ("^/a/b", "^/a", false),
            ("^/a", "/a/{x}", true),
            ("^/a", "/{x}/a", false),
            ("^/a", "/a/{x=**}", true),
            ("^/a", "~/a/b.*", true),
            ("^/a", "~/a.*", false),
            ("^/a", "~/a", false),
            ("/{x}", "=/a", true),
            ("/{x}", "=/", false),
            ("/{x}", "=/a/", false),
            ("/{x}", "^/a", false),
            ("/{x}/", "=/a/", true),
            ("/{x}", "/{y}", true),
            ("/{x}/b", "/{y}/b", true),
            ("/{x}/b", "/a/b/{y}", false),
            ("/a/{x}", "/{y}/{x}", false),
            ("/{y}/{x}", "/a/{x}", true),
            ("/{x}", "/{y=**}", false),
            ("/{x}", "~/[a-z]+", false),
            ("/{x=**}", "/{y}", true),
            ("/{x=**}", "/{y}/", true),
            ("/{x=**}", "/{y}/{z=**}", true),
            ("/{y}/{z=**}", "/{x=**}", false),
            ("/{x=**}", "/{y=**}", true),
            ("/{x=**}", "=/", false),
            ("/{x=**}", "=/a", true),
            ("/{x=**}", "^/a", true),
            ("/{x=**}", "^/", false),
            ("/a/{x=**}", "^/a", false),
            ("/a/{x=**}", "=/a/", false),
            ("/a/{x=**}", "=/a/b/", true),
            ("/a/{x=**}", "/a/{y}/", true),
            ("/a/{x=**}", "~/a/b/.*", true),
            ("/a/{x=**}", "~/a/.*", false),
            ("~/a/[a-z]", "=/a/b", true),
            ("~/a/[a-z]", "=/a/bb", false),
            ("~/a/[a-z]", "~/a/[a-z]", true),
            ("~/a/[a-z]+", "~/a/[a-z]", false),
            ("~.*", "^/", false),
            ("i=/a", "=/A", true),
            ("i=/A", "i=/a", true),
            ("i=/a", "=/b", false),
            ("=/a", "i=/a", false),
            ("=/7", "i=/7", true),
            ("i^/a", "=/A/b", true),
            ("i^/a", "^/A/b", true),
            ("i^/a", "^/Ab", false),
            ("^/a", "i^/a/b", false),
            ("^/", "i=/a", true),
            ("i/a/{x}/b", "/A/{x}/B", true),
            ("i/a/{x}/b", "/A/{x}/c", false),
            ("/{x}/b", "i/a/b", false),
            ("/{x}/7", "i/a/7", true),
            ("/{x=**}", "i=/a/b", true),
            ("~/[a-z]", "i=/a", false),
            ("~/[0-9]", "i=/7", true),
        ];
        for (a, b, expected) in rows {
            assert_eq!(covers(&path(a), &path(b)), expected, "{a} covers {b}");
        }
    }
}
