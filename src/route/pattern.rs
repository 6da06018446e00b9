//! Path patterns: from what is configured to what is matched, refused where it would not mean what it says.

use std::borrow::Cow;

use super::{MatchSpec, PathSpec};
use crate::{
    expression::Expression,
    request::path::{self, CanonicalPath, Kept},
};

/// Most segments of a pattern. Bounds the depth of the index, and so the recursion over it.
pub(super) const MAX_SEGMENTS: usize = 64;

/// What a match asks of the path.
#[derive(Debug)]
pub(super) struct Pattern {
    pub(super) path: Path,
    /// Literal text is in lower case, and stands for either.
    pub(super) ignores_case: bool,
}

impl Pattern {
    /// Compiles what `spec`, of a rule that keeps `kept`, says of the path; the error is the message of a fault.
    pub(super) fn compile(spec: &MatchSpec, kept: Kept) -> Result<Self, String> {
        let mut path = Path::compile(spec.path.as_ref(), kept)?;
        if spec.ignores_case {
            path.make_lower_case();
        }
        Ok(Self { path, ignores_case: spec.ignores_case })
    }

    /// Whether its literal text `own` is `text` in every path that `other` matches with it.
    pub(super) fn is_same_text(&self, own: &str, other: &Self, text: &str) -> bool {
        match (self.ignores_case, other.ignores_case) {
            (true, _) => own.eq_ignore_ascii_case(text),
            (false, true) => own == text && !has_letters(text),
            (false, false) => own == text,
        }
    }
}

/// Whether there is another case of it.
pub(super) fn has_letters(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// A compiled path pattern. All literal text is decoded.
#[derive(Debug)]
pub(super) enum Path {
    /// The whole path.
    Exact(Box<str>),
    /// Whole segments from the start; none means every path.
    Prefix(Box<[Box<str>]>),
    /// At least one variable or a rest.
    Template { segments: Box<[Segment]>, rest: Option<Box<str>> },
    /// The whole path matches. INVARIANT: what matches begins with the segments of `anchor`, each followed by a slash.
    Regex { anchor: Box<[Box<str>]>, expression: Expression },
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// May be empty as the last one: the path ends with a slash.
    Literal(Box<str>),
    /// One non-empty segment.
    Variable(Box<str>),
}

impl Path {
    /// Compiles `spec` of a rule that keeps `kept`; the error is the message of a fault.
    pub(super) fn compile(spec: Option<&PathSpec>, kept: Kept) -> Result<Self, String> {
        match spec {
            None => Ok(Self::Prefix(Box::default())),
            Some(PathSpec::Exact(text)) => Ok(Self::Exact(literal(text, kept)?.into())),
            Some(PathSpec::PathPrefix(text)) => {
                let text = literal(text, kept)?;
                let text = text.strip_suffix('/').unwrap_or(&text);
                Ok(Self::Prefix(text.split('/').skip(1).map(Box::from).collect()))
            }
            Some(PathSpec::PathTemplate(text)) => template(text, kept),
            Some(PathSpec::RegularExpression(text)) => {
                let expression = Expression::compile(text)?;
                let anchor = anchor(text).split('/').skip(1).map(Box::from).collect::<Vec<_>>();
                // The last piece may go on in what follows the literal text.
                let whole = anchor.len().saturating_sub(1).min(MAX_SEGMENTS);
                let anchor = anchor.into_iter().take(whole).collect();
                Ok(Self::Regex { anchor, expression })
            }
        }
    }

    /// Expressions are left as they are.
    fn make_lower_case(&mut self) {
        match self {
            Self::Exact(text) => text.make_ascii_lowercase(),
            Self::Prefix(segments) => segments.iter_mut().for_each(|text| text.make_ascii_lowercase()),
            Self::Template { segments, .. } => {
                for segment in segments {
                    if let Segment::Literal(text) = segment {
                        text.make_ascii_lowercase();
                    }
                }
            }
            Self::Regex { .. } => {}
        }
    }

    /// Whether some path with an encoded slash matches.
    pub(super) fn may_hold_encoded_slash(&self) -> bool {
        match self {
            Self::Exact(text) => path::with_slashes(text).is_some(),
            Self::Prefix(_) | Self::Template { .. } | Self::Regex { .. } => true,
        }
    }

    /// Whether some path with matrix parameters matches.
    pub(super) fn may_hold_parameters(&self) -> bool {
        !matches!(self, Self::Exact(_))
    }

    /// The names of its variables, in order.
    pub(super) fn variables(&self) -> impl Iterator<Item = &str> {
        let (segments, rest) = match self {
            Self::Template { segments, rest } => (&**segments, rest.as_deref()),
            _ => (&[][..], None),
        };
        let names = segments.iter().filter_map(|segment| match segment {
            Segment::Literal(_) => None,
            Segment::Variable(name) => Some(&**name),
        });
        names.chain(rest)
    }

    /// The variables and their values: what `text` has where they stand in `path`, which this pattern matched. Both are
    /// decoded, and the same but for encoded slashes.
    pub(super) fn values<'a>(
        &'a self,
        path: &'a str,
        text: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let (segments, mut rest) = match self {
            Self::Template { segments, rest } => (&**segments, rest.as_deref()),
            _ => (&[][..], None),
        };
        let mut segments = segments.iter();
        let mut left = path.strip_prefix('/').zip(text.strip_prefix('/'));
        std::iter::from_fn(move || {
            for segment in segments.by_ref() {
                let (path, text) = left?;
                let (own, after) = split_segment(path);
                let (value, text) = text.split_at_checked(own.len())?;
                left = after.zip(text.strip_prefix('/'));
                if let Segment::Variable(name) = segment {
                    return Some((&**name, value));
                }
            }
            Some((rest.take()?, left?.1))
        })
    }
}

/// The first segment of `text`, and what follows its slash; `None` where it has none.
pub(super) fn split_segment(text: &str) -> (&str, Option<&str>) {
    match text.bytes().position(|byte| byte == b'/').and_then(|at| text.split_at_checked(at)) {
        Some((segment, rest)) => (segment, rest.strip_prefix('/')),
        None => (text, None),
    }
}

/// The decoded text of a pattern without variables.
fn literal(text: &str, kept: Kept) -> Result<Cow<'_, str>, String> {
    let decoded = canonical(text, kept)?;
    if text.contains(['{', '}']) {
        return Err("`{` and `}` stand for themselves here: use PathTemplate, or write %7B and %7D".into());
    }
    if text.split('/').any(|segment| matches!(segment, "*" | "**")) {
        return Err("`*` stands for itself here: use PathPrefix or PathTemplate, or write %2A".into());
    }
    Ok(decoded)
}

/// Decodes a pattern that has the form which request paths are brought to; others would never match.
fn canonical(text: &str, kept: Kept) -> Result<Cow<'_, str>, String> {
    if !text.starts_with('/') {
        return Err("must begin with `/`".into());
    }
    if text.contains('?') {
        return Err("a path has no query: use the query matchers, or write %3F".into());
    }
    // Parameters differ from request to request: no rule is found by them.
    let literal = Kept { matrix_parameters: false, ..kept };
    let read = |kept| CanonicalPath::parse_as(text.as_bytes(), path::MAX_TARGET, kept);
    let parsed = read(literal).map_err(|error| match error {
        path::PathError::TooLong => format!("longer than {} bytes", path::MAX_TARGET),
        path::PathError::Ambiguous => {
            let hint = match read(Kept { encoded_slash: true, matrix_parameters: false }) {
                Ok(_) => ", but for rules with encodedSlash: Keep",
                Err(_) => "",
            };
            format!("matches no request: paths that can be read in two ways are refused{hint}")
        }
    })?;
    if parsed.rewritten() {
        return Err(format!("not in canonical form: write `{}`", parsed.path()));
    }
    if text.split('/').skip(1).count() > MAX_SEGMENTS {
        return Err(format!("more than {MAX_SEGMENTS} segments"));
    }
    Ok(path::decode(text))
}

fn template(text: &str, kept: Kept) -> Result<Path, String> {
    canonical(text, kept)?;
    let mut names: Vec<&str> = Vec::new();
    let mut segments = Vec::new();
    let mut rest = None;
    for segment in text.split('/').skip(1) {
        if rest.is_some() {
            return Err("`**` must be the last segment".into());
        }
        if matches!(segment, "*" | "**") {
            return Err(format!("`{segment}` needs a name: write {{name}} or {{name=**}}"));
        }
        let Some(inner) = segment.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) else {
            match (segment.matches('{').count(), segment.matches('}').count()) {
                (0, 0) => segments.push(Segment::Literal(path::decode(segment).into())),
                (open, close) if open != close => return Err(format!("unbalanced brace in `{segment}`")),
                _ => return Err(format!("a variable must be a whole segment: `{segment}`")),
            }
            continue;
        };
        let (name, kind) = inner.split_once('=').map_or((inner, None), |(name, kind)| (name, Some(kind)));
        let mut letters = name.bytes();
        if !letters.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
            || !letters.all(|letter| letter.is_ascii_alphanumeric() || letter == b'_')
        {
            return Err(format!("bad variable name `{name}`: letters, digits and `_`, no digit first"));
        }
        if names.contains(&name) {
            return Err(format!("duplicate variable `{name}`"));
        }
        names.push(name);
        match kind {
            None => segments.push(Segment::Variable(name.into())),
            Some("**") => rest = Some(name.into()),
            Some(kind) => {
                return Err(format!("unknown kind of variable `={kind}`: write {{name}} or {{name=**}}"));
            }
        }
    }
    if names.is_empty() {
        return Ok(Path::Exact(path::decode(text).into()));
    }
    Ok(Path::Template { segments: segments.into(), rest })
}

/// Literal text that every match of `regex` (which is valid) begins with; empty when in doubt.
fn anchor(regex: &str) -> String {
    if has_alternatives(regex) {
        return String::new();
    }
    let mut text = String::new();
    let mut chars = regex.strip_prefix('^').unwrap_or(regex).chars().peekable();
    while let Some(char) = chars.next() {
        let literal = match char {
            // `\<` and `\>` are the ends of words.
            '\\' => chars.next().filter(|c| c.is_ascii_punctuation() && !matches!(c, '<' | '>')),
            _ => Some(char).filter(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '~')),
        };
        let Some(literal) = literal else { break };
        // A quantifier may repeat it or leave it out.
        if matches!(chars.peek(), Some('*' | '?' | '+' | '{')) {
            break;
        }
        text.push(literal);
    }
    text
}

/// Whether `regex` (which is valid) may have alternatives outside of any group; true when in doubt.
fn has_alternatives(regex: &str) -> bool {
    let mut depth = 0_usize;
    let mut chars = regex.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '\\' => {
                chars.next();
            }
            '(' => {
                depth = depth.saturating_add(1);
                if chars.next_if_eq(&'?').is_some() && !matches!(chars.peek(), Some(':' | 'P' | '<')) {
                    // Flags: what follows reads differently.
                    return true;
                }
            }
            ')' => match depth.checked_sub(1) {
                Some(outer) => depth = outer,
                None => return true,
            },
            '|' if depth == 0 => return true,
            '[' => {
                chars.next_if_eq(&'^');
                chars.next_if_eq(&']');
                loop {
                    match chars.next() {
                        Some(']') => break,
                        Some('\\') => {
                            chars.next();
                        }
                        // `[[:alpha:]]` and whatever else.
                        Some('[') | None => return true,
                        Some(_) => {}
                    }
                }
            }
            _ => {}
        }
    }
    depth != 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_patterns_are_refused_with_a_reason() {
        let exact = |text: &str| PathSpec::Exact(text.into());
        let prefix = |text: &str| PathSpec::PathPrefix(text.into());
        let template = |text: &str| PathSpec::PathTemplate(text.into());
        let regex = |text: &str| PathSpec::RegularExpression(text.into());
        let rows = [
            (exact(""), "must begin with `/`"),
            (exact("orders"), "must begin with `/`"),
            (prefix("orders"), "must begin with `/`"),
            (template("{id}"), "must begin with `/`"),
            (exact("/a?b"), "a path has no query"),
            (exact("/a//b"), "not in canonical form: write `/a/b`"),
            (exact("/%61dmin"), "not in canonical form: write `/admin`"),
            (exact("/a%3ab"), "not in canonical form: write `/a%3Ab`"),
            (prefix("/a/../b/"), "not in canonical form: write `/b/`"),
            (template("/a/./{id}"), "not in canonical form: write `/a/{id}`"),
            (exact("/a b"), "matches no request"),
            (exact("/a%2Fb"), "refused, but for rules with encodedSlash: Keep"),
            (template("/a%2Fb/{id}"), "refused, but for rules with encodedSlash: Keep"),
            (exact("/a;b"), "matches no request"),
            (exact("/é"), "matches no request"),
            (exact("/a/{id}"), "use PathTemplate"),
            (prefix("/a/*"), "use PathPrefix or PathTemplate"),
            (exact("/a/**/b"), "use PathPrefix or PathTemplate"),
            (template("/a/*"), "`*` needs a name"),
            (template("/a/**"), "`**` needs a name"),
            (template("/a/{id"), "unbalanced brace in `{id`"),
            (template("/a/id}"), "unbalanced brace in `id}`"),
            (template("/a/{id/b}"), "unbalanced brace in `{id`"),
            (template("/a/v{id}"), "a variable must be a whole segment: `v{id}`"),
            (template("/a/{id}.json"), "a variable must be a whole segment: `{id}.json`"),
            (template("/{a}{b}"), "bad variable name `a}{b`"),
            (template("/{}"), "bad variable name ``"),
            (template("/{1a}"), "bad variable name `1a`"),
            (template("/{a-b}"), "bad variable name `a-b`"),
            (template("/{a}/{a}"), "duplicate variable `a`"),
            (template("/{a}/{a=**}"), "duplicate variable `a`"),
            (template("/{a=**}/b"), "`**` must be the last segment"),
            (template("/{a=**}/"), "`**` must be the last segment"),
            (template("/{a=*}"), "unknown kind of variable `=*`"),
            (regex("/a("), "bad regular expression: "),
            (regex("/a)|(b"), "bad regular expression: "),
            (regex("/(?=a)"), "bad regular expression: "),
            (regex("(?x)/a#"), "bad regular expression: "),
            (regex(r"/(\w{100}){100}"), "bad regular expression: "),
        ];
        for (spec, message) in rows {
            let error = Path::compile(Some(&spec), Kept::default()).unwrap_err();
            assert!(error.starts_with(message) || error.contains(message), "{spec:?}: {error}");
        }
        assert!(Path::compile(Some(&regex(&format!("/{}", "a".repeat(1024)))), Kept::default()).is_err());
        assert!(Path::compile(Some(&exact(&"/a".repeat(MAX_SEGMENTS))), Kept::default()).is_ok());
        assert!(Path::compile(Some(&exact(&"/a".repeat(MAX_SEGMENTS + 1))), Kept::default()).is_err());
    }

    #[test]
    fn a_regex_hangs_where_every_match_begins() {
        let rows: &[(&str, &[&str])] = &[
            ("/orders/[0-9]+", &["orders"]),
            ("^/orders/[0-9]+$", &["orders"]),
            (r"/v1/orders\.json/.*", &["v1", "orders.json"]),
            ("/v1/orders", &["v1"]),
            ("/v1/orders/", &["v1", "orders"]),
            ("/v1/orders?", &["v1"]),
            ("/v1/?x", &[]),
            ("/v1/*x", &[]),
            ("/v1/+x", &[]),
            ("/v1/{2}x", &[]),
            ("/v1/{0}x", &[]),
            (r"/v1\/*x", &[]),
            ("/v1/(a|b)/c", &["v1"]),
            ("/v1/(?:a|b)/c", &["v1"]),
            ("/v1/(?P<n>a|b)/c", &["v1"]),
            ("/v1/[|(]/c", &["v1"]),
            ("/v1/[]|(]/c", &["v1"]),
            (r"/v1/[\]|(]/c", &["v1"]),
            (r"/v1/\|/c", &["v1", "|"]),
            ("/v1/a|/v2/b", &[]),
            ("/v1/(a)|/v2/(b)", &[]),
            (r"/v1/\(a|b\)", &[]),
            (r"/v1/\<a\>/c", &["v1"]),
            (r"/v1\</a", &[]),
            ("/v1/[[:alpha:]]/c", &[]),
            ("(?i)/v1/a", &[]),
            ("/v1/(?i)a", &[]),
            (r"/v1\d/a", &[]),
            (".*", &[]),
            ("(/v1/a)", &[]),
            ("", &[]),
            ("v1/a/b", &["a"]),
        ];
        for (text, expected) in rows {
            let Ok(Path::Regex { anchor, .. }) =
                Path::compile(Some(&PathSpec::RegularExpression((*text).into())), Kept::default())
            else {
                panic!("{text}");
            };
            assert_eq!(anchor.iter().map(|segment| &**segment).collect::<Vec<_>>(), *expected, "{text}");
        }
    }

    #[test]
    fn rules_that_keep_encoded_slashes_may_name_them() {
        let compile = |spec: &PathSpec| Path::compile(Some(spec), Kept::ALL);
        let exact = |text: &str| compile(&PathSpec::Exact(text.into()));
        assert!(matches!(exact("/a%2Fb"), Ok(Path::Exact(text)) if &*text == "/a\0b"));
        assert!(matches!(exact("/a%252Fb"), Ok(Path::Exact(text)) if &*text == "/a%2Fb"));
        for (text, message) in [
            ("/a%2fb", "not in canonical form: write `/a%2Fb`"),
            ("/a%2F..%2Fb", "matches no request: paths that can be read in two ways are refused"),
            // No rule is found by parameters.
            ("/a;b", "matches no request: paths that can be read in two ways are refused"),
        ] {
            assert_eq!(exact(text).unwrap_err(), message);
        }
        let prefix = compile(&PathSpec::PathPrefix("/a%2Fb/c".into()));
        assert!(matches!(prefix, Ok(Path::Prefix(segments)) if segments.len() == 2));
    }

    #[test]
    fn a_template_without_variables_is_exact() {
        let path = Path::compile(Some(&PathSpec::PathTemplate("/a%20b/c".into())), Kept::default());
        assert!(matches!(path, Ok(Path::Exact(text)) if &*text == "/a b/c"));
    }
}
