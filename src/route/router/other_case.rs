//! Which rules take the paths of a rule written in the other case, as an upstream may read them that ignores it.

use super::{Entry, Host, Path, Pattern, RouteSpec, Router, at};
use crate::{
    request::path::with_escapes,
    route::{
        coverage::covers,
        pattern::{Segment, has_letters},
    },
};

/// A rule that takes a path in the other case.
#[derive(Debug)]
pub(crate) struct Taker {
    /// Its place in the list of rules.
    pub(crate) rule: usize,
    /// The path, or the pattern of the paths.
    pub(crate) path: String,
}

impl Router {
    /// The rules that decide requests of the rule at `rule`, which is `spec`, if their paths come in the other case; some
    /// of them more than once. Those of expressions are not known. What looking costs is taken from `left`; where too
    /// little is left, nothing is found.
    #[cold]
    #[inline(never)]
    pub(crate) fn takers_in_other_case(&self, rule: usize, spec: &RouteSpec, left: &mut usize) -> Vec<Taker> {
        let mut takers = Vec::new();
        for id in self.matches.get(rule).cloned().unwrap_or_default() {
            let (Some(pattern), Some(entry)) = (self.patterns.get(id), self.index.entry(id)) else {
                continue;
            };
            for other in in_other_case(pattern) {
                for host in Host::all(spec) {
                    let rules = self.deciding(host, &other, entry, left);
                    takers.extend(rules.into_iter().map(|rule| Taker { rule, path: shown(&other.path) }));
                }
            }
        }
        takers
    }

    /// The rules that decide what `pattern` matches on `host` with the methods and conditions of `entry`.
    fn deciding(&self, host: Host<'_>, pattern: &Pattern, entry: &Entry, left: &mut usize) -> Vec<usize> {
        let mut found = Vec::new();
        self.survey(host, pattern, &mut |candidate| {
            *left = left.saturating_sub(1);
            if let Some(candidate) = candidate
                && candidate.methods & entry.methods != 0
                && self.conditions.cover(candidate.conditions, entry.conditions)
                && self.patterns.get(at(candidate.id)).is_some_and(|own| covers(own, pattern))
            {
                found.push(*candidate);
            }
            *left != 0
        });
        if *left == 0 {
            return Vec::new();
        }
        found.sort_unstable_by_key(|entry| entry.id);
        let mut methods = entry.methods;
        found.retain(|entry| {
            let decides = entry.methods & methods != 0;
            methods &= !entry.methods;
            decides
        });
        found.into_iter().map(|entry| at(entry.rule)).collect()
    }
}

/// What matches the paths of `pattern` with all letters of its literal text in the other case: of a prefix, the path
/// itself and all below it. Nothing where there is no other case, or it is taken already.
fn in_other_case(pattern: &Pattern) -> Vec<Pattern> {
    let paths = match &pattern.path {
        _ if pattern.ignores_case => return Vec::new(),
        Path::Regex { .. } => return Vec::new(),
        Path::Exact(text) if has_letters(text) => vec![Path::Exact(other_case(text))],
        Path::Prefix(texts) if texts.iter().any(|text| has_letters(text)) => {
            let texts: Vec<_> = texts.iter().map(|text| other_case(text)).collect();
            let exact = texts.iter().flat_map(|text| ["/", text]).collect::<String>();
            let segments = texts.into_iter().map(Segment::Literal).collect();
            vec![Path::Exact(exact.into()), Path::Template { segments, rest: Some("rest".into()) }]
        }
        Path::Template { segments, rest } => {
            let mut has_other = false;
            let mut other = |segment: &Segment| match segment {
                Segment::Literal(text) => {
                    has_other |= has_letters(text);
                    Segment::Literal(other_case(text))
                }
                Segment::Variable(name) => Segment::Variable(name.clone()),
            };
            let segments = segments.iter().map(&mut other).collect();
            if has_other { vec![Path::Template { segments, rest: rest.clone() }] } else { return Vec::new() }
        }
        Path::Exact(_) | Path::Prefix(_) => return Vec::new(),
    };
    paths.into_iter().map(|path| Pattern { path, ignores_case: false }).collect()
}

fn other_case(text: &str) -> Box<str> {
    let has_lower = text.bytes().any(|byte| byte.is_ascii_lowercase());
    if has_lower { text.to_ascii_uppercase().into() } else { text.to_ascii_lowercase().into() }
}

/// As it is written in a policy, but for escapes other than those of slashes.
fn shown(path: &Path) -> String {
    let text = match path {
        Path::Exact(text) => text.to_string(),
        Path::Template { segments, rest } => {
            let mut text = String::new();
            for segment in segments {
                match segment {
                    Segment::Literal(literal) => text.extend(["/", literal]),
                    Segment::Variable(name) => text.extend(["/{", name, "}"]),
                }
            }
            text.extend(rest.iter().flat_map(|name| ["/{", name, "=**}"]));
            text
        }
        Path::Prefix(_) | Path::Regex { .. } => String::new(),
    };
    with_escapes(&text).unwrap_or(text)
}
