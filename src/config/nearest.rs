//! Which known name was probably meant. Only ever used in messages.

use std::cell::Cell;

/// Longer names are not compared: their edit distance costs more than a hint is worth.
const MAX_LEN: usize = 64;

/// How many comparisons one document may cost. A document with 10,000 misspelt names out of 10,000 would
/// otherwise need 100 million; past the budget faults are reported without a suggestion.
const BUDGET: usize = 200_000;

/// Finds the nearest of a set of names, at a cost that is bounded per document.
#[derive(Debug)]
pub(super) struct Nearest {
    left: Cell<usize>,
}

impl Default for Nearest {
    fn default() -> Self {
        Self { left: Cell::new(BUDGET) }
    }
}

impl Nearest {
    /// The candidate nearest to `name`, if any is near enough to be a slip: a third of its length, at most 3
    /// edits. Of equally near ones the first in alphabetical order, so that messages do not depend on hashing.
    pub(super) fn find<'c>(
        &self,
        name: &str,
        candidates: impl IntoIterator<Item = &'c str>,
    ) -> Option<&'c str> {
        let wanted = fold(name)?;
        let mut limit = wanted.len().div_ceil(3).min(3);
        let mut best: Option<&str> = None;
        for candidate in candidates {
            let left = self.left.get().checked_sub(1)?;
            self.left.set(left);
            // Characters are at least a byte each, so lengths that are far apart need no folding.
            if candidate.len().saturating_add(limit) < wanted.len() {
                continue;
            }
            let Some(folded) = fold(candidate) else { continue };
            let Some(distance) = distance(&wanted, &folded, limit) else { continue };
            let closer = distance < limit || best.is_none_or(|b| candidate < b);
            if closer {
                (limit, best) = (distance, Some(candidate));
            }
        }
        best
    }
}

/// Names that differ in case only are the same name for this purpose.
fn fold(name: &str) -> Option<Vec<char>> {
    let folded: Vec<char> =
        name.chars().map(|c| c.to_ascii_lowercase()).take(MAX_LEN.saturating_add(1)).collect();
    (folded.len() <= MAX_LEN).then_some(folded)
}

/// The number of insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`, where
/// that is at most `limit` (optimal string alignment distance, three rows at a time).
fn distance(a: &[char], b: &[char], limit: usize) -> Option<usize> {
    if a.len().abs_diff(b.len()) > limit {
        return None;
    }
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    let mut last_a = None;
    for (row, &ca) in a.iter().enumerate() {
        let mut current = Vec::with_capacity(above.len());
        let mut left = row.saturating_add(1);
        current.push(left);
        let mut last_b = None;
        let mut diagonals = above.iter().zip(above.iter().skip(1));
        for (column, &cb) in b.iter().enumerate() {
            let (&diagonal, &up) = diagonals.next()?;
            let replace = diagonal.saturating_add(usize::from(ca != cb));
            let mut cell = replace.min(up.saturating_add(1)).min(left.saturating_add(1));
            if last_a == Some(cb)
                && last_b == Some(ca)
                && let Some(&swapped) = column.checked_sub(1).and_then(|c| before.get(c))
            {
                cell = cell.min(swapped.saturating_add(1));
            }
            current.push(cell);
            left = cell;
            last_b = Some(cb);
        }
        if current.iter().all(|&cell| cell > limit) {
            return None;
        }
        before = std::mem::replace(&mut above, current);
        last_a = Some(ca);
    }
    above.last().copied().filter(|&d| d <= limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_slip_and_nothing_far_fetched() {
        let known = ["issuer", "audiences", "algorithms", "per-user", "Exact", "a"];
        for (name, expected) in [
            ("isuer", Some("issuer")),
            ("issure", Some("issuer")),
            ("Issuer", Some("issuer")),
            ("algoritm", Some("algorithms")),
            ("per-usr", Some("per-user")),
            ("exact", Some("Exact")),
            ("b", Some("a")),
            ("", None),
            ("secret", None),
            ("iss", None),
            ("wholly-different", None),
        ] {
            assert_eq!(Nearest::default().find(name, known), expected, "{name}");
        }
    }

    #[test]
    fn distance_counts_each_kind_of_edit_once() {
        for (a, b, expected) in [
            ("", "", Some(0)),
            ("abc", "abc", Some(0)),
            ("abc", "ab", Some(1)),
            ("ab", "abc", Some(1)),
            ("abc", "axc", Some(1)),
            ("abc", "acb", Some(1)),
            ("abcd", "badc", Some(2)),
            ("abc", "xyz", Some(3)),
            ("abcd", "wxyz", None),
        ] {
            let chars = |s: &str| s.chars().collect::<Vec<_>>();
            assert_eq!(distance(&chars(a), &chars(b), 3), expected, "{a} {b}");
        }
    }

    #[test]
    fn the_budget_ends_the_search() {
        let names: Vec<String> = (0..BUDGET).map(|n| format!("name-{n}")).collect();
        let nearest = Nearest::default();
        assert_eq!(nearest.find("nam-0", names.iter().map(String::as_str)), Some("name-0"));
        assert_eq!(nearest.find("nam-0", names.iter().map(String::as_str)), None);
    }
}
