//! Rules that no request reaches, because earlier ones take every request that they match: found by comparing patterns,
//! never claimed wrongly, and not always found.

use super::{Entry, Host, Path, Pattern, RouteSpec, Router, at};
use crate::route::coverage::{self, covers};

/// How many candidates are looked at to find what covers one match. Above that a rule passes as reachable.
const MAX_SURVEY: usize = 1024;

impl Router {
    /// The rules in the index that take everything that `entries` match on `hosts`; none when in doubt.
    pub(super) fn takers(&self, hosts: &[Host<'_>], entries: &[Entry]) -> Vec<usize> {
        let mut takers = Vec::new();
        for entry in entries {
            for host in hosts {
                if !self.taken(*host, entry, &mut takers) {
                    return Vec::new();
                }
            }
        }
        takers.sort_unstable();
        takers.dedup();
        takers
    }

    /// Whether the index takes all that `entry` matches on `host`; adds by which rules.
    fn taken(&self, host: Host<'_>, entry: &Entry, takers: &mut Vec<usize>) -> bool {
        let Some(pattern) = self.patterns.get(at(entry.id)) else { return false };
        let mut left = MAX_SURVEY;
        let mut methods = entry.methods;
        self.survey(host, pattern, &mut |candidate| {
            left = left.saturating_sub(1);
            if let Some(candidate) = candidate
                && candidate.methods & methods != 0
                && self.conditions.cover(candidate.conditions, entry.conditions)
                && self.patterns.get(at(candidate.id)).is_some_and(|own| covers(own, pattern))
            {
                methods &= !candidate.methods;
                takers.push(at(candidate.rule));
            }
            methods != 0 && left != 0
        });
        methods == 0
    }
}

impl Router {
    /// Visits the entries that may match on `host` all that `pattern` does, and `None` for every step on the way; stops
    /// when `visit` returns false.
    pub(super) fn survey(
        &self,
        host: Host<'_>,
        pattern: &Pattern,
        visit: &mut dyn FnMut(Option<&Entry>) -> bool,
    ) {
        let exact = match &pattern.path {
            Path::Exact(text) => Some(&**text),
            _ => None,
        };
        let known = coverage::known_segments(&pattern.path);
        let go_on = self.hosts.visit(host, |root| self.index.survey(root, exact, &known, visit));
        if !go_on || self.hosts_without_case.is_empty() {
            return;
        }
        let exact = exact.map(str::to_ascii_lowercase);
        let texts: Vec<_> = known.iter().map(|known| known.text().to_ascii_lowercase()).collect();
        let known: Vec<_> = known.iter().zip(&texts).map(|(known, text)| known.with_text(text)).collect();
        self.hosts_without_case.visit(host, |root| self.index.survey(root, exact.as_deref(), &known, visit));
    }
}

/// What is wrong with a rule all of whose requests the rules at `takers` take.
pub(super) fn message(rules: &[(&str, &RouteSpec)], takers: &[usize]) -> String {
    /// Enough to find the cause.
    const NAMED: usize = 3;
    let names = takers.iter().take(NAMED).filter_map(|rule| rules.get(*rule));
    let names: Vec<_> = names.map(|(name, _)| format!("\"{name}\"")).collect();
    let kind = if takers.len() == 1 { "rule" } else { "rules" };
    let more = match takers.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!("unreachable: every request it matches is taken by {kind} {}{more}", names.join(", "))
}
