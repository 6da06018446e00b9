//! One thing that is wrong with a policy document, and where.

use std::{cmp::Ordering, fmt};

/// A fault of the policy document. Compiling is all or nothing and reports every fault. What is odd and does no harm has
/// the same form: [`crate::policy::Policy::warnings`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where: `rules[2].rateLimits[0]`; empty for the document itself.
    pub path: String,
    /// What: lower case, no full stop, never a secret.
    pub message: String,
}

impl Fault {
    /// A fault at `path`.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { path: path.into(), message: message.into() }
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

/// By place, in which numbers count as such: `rules[2]` goes before `rules[10]`.
impl Ord for Fault {
    fn cmp(&self, other: &Self) -> Ordering {
        let by_place = steps(&self.path).cmp(steps(&other.path));
        by_place.then_with(|| self.path.cmp(&other.path)).then_with(|| self.message.cmp(&other.message))
    }
}

impl PartialOrd for Fault {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Of a list or of an object.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Step<'a> {
    Index(usize),
    Name(&'a str),
}

fn steps(path: &str) -> impl Iterator<Item = Step<'_>> {
    let steps = path.split(['.', '[', ']']).filter(|step| !step.is_empty());
    steps.map(|step| step.parse().map_or(Step::Name(step), Step::Index))
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
