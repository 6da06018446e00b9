//! What a request may have under the name of a header or parameter, and what conditions make of it.

use super::{
    patterns::{Pattern, Searched, Universe, search},
    rules::Condition,
};
use crate::{
    request::alike::is_alike,
    route::{Part, ValueSpec},
};

/// What a request has under a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given {
    Nothing,
    One(String),
    /// Twice.
    Two(String, String),
    /// Under a name that only some servers read as this one.
    Alike,
    /// Longer than an expression is tried on.
    Long,
}

/// Whether a condition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Held {
    No,
    /// Some server sees it fulfilled: the request is refused.
    Doubt,
    Yes,
}

/// Longest value that an expression is tried on, and one byte more.
const LONG: usize = 8193;

/// Most values of one name that are told apart, and most patterns that are.
const MOST_VALUES: usize = 48;
const MOST_PATTERNS: usize = 32;

impl Condition {
    pub(super) fn judge(&self, given: &Given) -> Held {
        let fits = |text: &str| self.pattern.is_match(text);
        let plain = |holds: bool| if holds { Held::Yes } else { Held::No };
        match (given, &self.spec) {
            (Given::Nothing, _) => Held::No,
            (Given::Alike, _) => Held::Doubt,
            (Given::One(text), _) => plain(fits(text)),
            (Given::Two(..) | Given::Long, ValueSpec::Present) => Held::Yes,
            (Given::Long, ValueSpec::RegularExpression(_)) => Held::Doubt,
            (Given::Long, ValueSpec::Exact(_)) => Held::No,
            (Given::Two(one, other), _) => {
                let separator = if self.name == "cookie" { "; " } else { "," };
                let as_one = fits(&[one, separator, other].concat());
                match self.part {
                    Part::Header if as_one => Held::Yes,
                    _ if as_one || fits(one) || fits(other) => Held::Doubt,
                    _ => Held::No,
                }
            }
        }
    }
}

/// What is under a name.
pub(super) type Named = (Part, String, Given);

/// What can stand under `name`, one of each kind that `conditions` on it tell apart; the flag says whether there may be
/// kinds more. `own` are those of the lines that the request is to fall under.
pub(super) fn kinds(part: Part, name: &str, own: &[&Condition], others: &[&Condition]) -> (Vec<Given>, bool) {
    let mut patterns: Vec<&Pattern> = Vec::new();
    let mut texts: Vec<&ValueSpec> = Vec::new();
    for condition in own.iter().chain(others) {
        // A value that only others name is one more that they match.
        let is_own = own.iter().any(|own| own.spec == condition.spec);
        let counts = match &condition.spec {
            ValueSpec::Present => false,
            ValueSpec::Exact(_) => is_own,
            ValueSpec::RegularExpression(_) => true,
        };
        if counts && !texts.contains(&&condition.spec) {
            texts.push(&condition.spec);
            patterns.push(&condition.pattern);
        }
    }
    let avoided: Vec<&Pattern> = others
        .iter()
        .filter(|condition| matches!(condition.spec, ValueSpec::Exact(_)))
        .map(|condition| &*condition.pattern)
        .filter(|pattern| !patterns.iter().any(|own| std::ptr::eq(*own, *pattern)))
        .take(MOST_PATTERNS)
        .collect();
    let mut may_be_more = patterns.len() > MOST_PATTERNS;
    patterns.truncate(MOST_PATTERNS);
    let told = patterns.len();
    patterns.extend(avoided);
    let mut seen: Vec<Vec<bool>> = Vec::new();
    let mut values: Vec<String> = Vec::new();
    let mut left = 400_000;
    let done = search(Universe::Values, &[], &patterns, &[], &mut left, &mut |text, hits| {
        let (own, avoided) = hits.split_at_checked(told).unwrap_or_default();
        if !avoided.contains(&true) && !seen.iter().any(|known| known == own) {
            seen.push(own.to_vec());
            values.push(text.to_owned());
        }
        values.len() >= MOST_VALUES
    });
    may_be_more |= done != Searched::Nothing;
    for condition in own {
        // The search leaves out what no client sends unescaped.
        if let ValueSpec::Exact(text) = &condition.spec
            && !values.contains(text)
        {
            values.push(text.clone());
        }
    }
    let fresh = values
        .iter()
        .find(|text| !own.iter().any(|own| own.spec != ValueSpec::Present && own.pattern.is_match(text)));
    let fresh = fresh.cloned().unwrap_or_else(|| "other".to_owned());
    let twice = values.iter().map(|text| Given::Two(text.clone(), fresh.clone()));
    let mut kinds: Vec<Given> =
        std::iter::once(Given::Nothing).chain(values.iter().cloned().map(Given::One)).collect();
    kinds.extend(twice);
    if part == Part::Header {
        if alike(name).is_some() {
            kinds.push(Given::Alike);
        }
        kinds.push(Given::Long);
    }
    (kinds, may_be_more)
}

/// Another name that some servers read as this header's.
fn alike(name: &str) -> Option<String> {
    let other = name.replace('-', "_");
    (other != name && is_alike(other.as_bytes(), name.as_bytes())).then_some(other)
}

/// The lines of a header, or the parameters, that say so.
pub(super) fn written((_, name, given): &Named) -> Vec<(String, String)> {
    let named = |value: &str| (name.clone(), value.to_owned());
    match given {
        Given::Nothing => Vec::new(),
        Given::One(value) => vec![named(value)],
        Given::Two(one, other) => vec![named(one), named(other)],
        Given::Alike => alike(name).map(|name| (name, "any".to_owned())).into_iter().collect(),
        Given::Long => vec![named(&"a".repeat(LONG))],
    }
}
