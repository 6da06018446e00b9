//! The mark of a rule that was made of something: a comment that says of what, and how the rule was when it was made.
//!
//! Whoever edits a rule changes what its digest would be, so that it is known and kept. Whoever takes the mark away has a
//! rule of their own.

use std::ops::Range;

use serde_json::Value as Json;

use super::{
    draft::digest,
    written::{CLOSED, MARK},
};
use crate::command::{edit::Writing, policies::Found, source::Source, tree::Node};

/// A rule as it stands in a policy.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct OldRule {
    /// All its lines with their ends, and its mark's.
    pub(super) lines: Range<usize>,
    /// Of the line with its dash.
    pub(super) indentation: String,
    pub(super) value: Json,
    pub(super) mark: Option<Mark>,
}

/// What a mark says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// What the rule was made of.
    pub(super) from: Vec<String>,
    pub(super) digest: String,
    /// The rule is not as it was made.
    pub(super) is_edited: bool,
}

impl OldRule {
    pub(super) fn name(&self) -> &str {
        self.value.get("name").and_then(Json::as_str).unwrap_or_default()
    }
}

/// The rules of a policy; `None`: they do not stand as items on lines of their own.
pub(super) fn old_rules(policy: &Found, source: &Source) -> Option<Vec<OldRule>> {
    let text = source.text.as_str();
    let writing = Writing { text, dialect: policy.dialect, is_json: false };
    let Some(rules) = policy.node.get(policy.dialect, "rules") else { return Some(Vec::new()) };
    if !rules.items().is_empty() && text.get(rules.span.clone())?.starts_with('[') {
        return None;
    }
    rules.items().iter().map(|item| old_rule(item, policy, source, &writing)).collect()
}

fn old_rule(item: &Node, policy: &Found, source: &Source, writing: &Writing<'_>) -> Option<OldRule> {
    let text = source.text.as_str();
    let start = writing.line_start(item.span.start);
    let before = text.get(start..item.span.start)?;
    let indentation = before.strip_suffix("- ").filter(|blanks| blanks.trim().is_empty())?.to_owned();
    let end = writing.line_end(writing.end_of(item, item.span.start)).saturating_add(1).min(text.len());
    let value = item.to_json(policy.dialect);
    let (mark, start) = match mark_above(text, start) {
        Some((mark, place)) => {
            let is_of_people = |line: &str| {
                let comment = line.trim_start().strip_prefix("# ");
                line.contains(" #") || comment.is_some_and(|comment| !comment.starts_with(CLOSED))
            };
            // The mark itself is the first line.
            let is_commented = text.get(place..end)?.lines().skip(1).any(is_of_people);
            let is_edited = is_commented || digest(&value) != mark.digest;
            (Some(Mark { is_edited, ..mark }), place)
        }
        None => (None, start),
    };
    Some(OldRule { lines: start..end, indentation, value, mark })
}

/// The mark in the comments right above the line at `start`, and where its line begins.
fn mark_above(text: &str, start: usize) -> Option<(Mark, usize)> {
    let mut place = start;
    loop {
        let end = place.checked_sub(1)?;
        let begin = text.get(..end)?.rfind('\n').map_or(0, |at| at.saturating_add(1));
        let line = text.get(begin..end)?.trim();
        if let Some(said) = line.strip_prefix(MARK) {
            return Some((read(said)?, begin));
        }
        if !line.starts_with('#') {
            return None;
        }
        place = begin;
    }
}

fn read(said: &str) -> Option<Mark> {
    let (from, digest) = said.strip_suffix(']')?.rsplit_once(" [")?;
    let from = from.split(", ").map(str::to_owned).collect();
    Some(Mark { from, digest: digest.to_owned(), is_edited: false })
}
