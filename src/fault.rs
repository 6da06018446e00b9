//! One thing that is wrong with a policy document, and where.

use std::{borrow::Cow, cmp::Ordering, fmt};

/// A fault of the policy document. Compiling is all or nothing and reports every fault. What is odd and does no harm has
/// the same form: [`crate::policy::Policy::warnings`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where: `rules[2].rateLimits[0]`; empty for the document itself.
    pub path: String,
    /// What: lower case, no full stop, never a secret.
    pub message: String,
}

/// What a fault begins with that is about a field's name.
pub(crate) const UNKNOWN_FIELD: &str = "unknown field";

impl Fault {
    /// A fault at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
    }

    /// Whether it is about the name of the field at its path, not about the value.
    #[cfg(feature = "cli")]
    pub(crate) fn is_of_the_name(&self) -> bool {
        self.message.starts_with(UNKNOWN_FIELD)
    }

    /// The same fault seen from one level further out: `within("rules[2]")` turns `name` into `rules[2].name`.
    #[must_use]
    pub fn within(mut self, parent: &str) -> Self {
        self.path = match (parent.is_empty(), self.path.is_empty()) {
            (true, _) => self.path,
            (_, true) => parent.to_owned(),
            // An index joins without a dot: `rules` + `[2]`.
            _ if self.path.starts_with('[') => format!("{parent}{}", self.path),
            _ => format!("{parent}.{}", self.path),
        };
        self
    }
}

/// One step of a path: into a list or into an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PathStep<'a> {
    /// The place of an item, counted from zero.
    Index(usize),
    /// The name of a member; cut, with an ellipsis at the end, where it is longer than 80 characters.
    Name(Cow<'a, str>),
}

/// The steps of a path, outermost first.
#[derive(Clone, Debug)]
pub struct PathSteps<'a> {
    rest: &'a str,
}

impl Fault {
    /// The steps of its path: for `rules[2].name` they are `rules`, 2 and `name`.
    pub fn steps(&self) -> PathSteps<'_> {
        PathSteps { rest: &self.path }
    }
}

impl<'a> Iterator for PathSteps<'a> {
    type Item = PathStep<'a>;

    fn next(&mut self) -> Option<PathStep<'a>> {
        let rest = self.rest.strip_prefix('.').unwrap_or(self.rest);
        if rest.is_empty() {
            return None;
        }
        // What is no ordinary name stands in quotes within the brackets.
        if let Some(quoted) = rest.strip_prefix("[\"") {
            let (name, after) = unquoted(quoted);
            self.rest = after.strip_prefix(']').unwrap_or(after);
            return Some(PathStep::Name(Cow::Owned(name)));
        }
        if let Some((index, after)) = rest.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            self.rest = after;
            return Some(index.parse().map_or(PathStep::Name(Cow::Borrowed(index)), PathStep::Index));
        }
        let end = rest.char_indices().skip(1).find(|(_, c)| matches!(c, '.' | '['));
        let (name, after) = rest.split_at_checked(end.map_or(rest.len(), |(at, _)| at))?;
        self.rest = after;
        Some(PathStep::Name(Cow::Borrowed(name)))
    }
}

/// The text up to the next quote, as it was before it was escaped, and what follows the quote.
fn unquoted(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => break,
            '\\' => match chars.next() {
                Some('n') => name.push('\n'),
                Some('r') => name.push('\r'),
                Some('t') => name.push('\t'),
                Some('0') => name.push('\0'),
                Some('u') => {
                    let digits: String = chars.by_ref().skip(1).take_while(|c| *c != '}').collect();
                    name.extend(u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32));
                }
                other => name.extend(other),
            },
            _ => name.push(c),
        }
    }
    (name, chars.as_str())
}

/// By place, in which numbers count as such: `rules[2]` goes before `rules[10]`.
impl Ord for Fault {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_place = self.steps().cmp(other.steps());
        by_place.then_with(|| self.path.cmp(&other.path)).then_with(|| self.message.cmp(&other.message))
    }
}

impl PartialOrd for Fault {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.message),
            path => write!(f, "{path}: {}", self.message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_a_path() {
        let name = |name: &'static str| PathStep::Name(Cow::Borrowed(name));
        for (path, expected) in [
            ("", vec![]),
            ("rules", vec![name("rules")]),
            ("rules[2].name", vec![name("rules"), PathStep::Index(2), name("name")]),
            ("[3]", vec![PathStep::Index(3)]),
            ("a[0][1].b-c", vec![name("a"), PathStep::Index(0), PathStep::Index(1), name("b-c")]),
            // A member that is called by a number is no item.
            ("rules.7", vec![name("rules"), name("7")]),
            (r#"a["b.c[0]"].d"#, vec![name("a"), name("b.c[0]"), name("d")]),
            (r#"["\"]\\\n\u{7f}é"][1]"#, vec![name("\"]\\\n\u{7f}é"), PathStep::Index(1)]),
            (r#"a[""]"#, vec![name("a"), name("")]),
        ] {
            assert_eq!(Fault::new(path, "m").steps().collect::<Vec<_>>(), expected, "{path}");
        }
    }

    #[test]
    fn numbers_of_a_path_are_numbers() {
        let ordered = [
            "",
            "jwt.providers[0]",
            "jwt.providers[0].algorithms[1]",
            "jwt.providers[0].issuer",
            "jwt.providers[1].algorithms[0]",
            "rules",
            "rules[2]",
            "rules[2].name",
            "rules[10]",
            "rules[10].matches[9].path",
            "rules[10].matches[11].path",
            "rules[100]",
            "rules[1x]",
        ];
        let faults = ordered.map(|path| Fault::new(path, "m"));
        let mut sorted = faults.clone();
        sorted.reverse();
        sorted.sort();
        assert_eq!(sorted, faults);
        // No two that differ are equal.
        assert_ne!(Fault::new("rules[1]", "m").cmp(&Fault::new("rules[01]", "m")), Ordering::Equal);
    }
}
