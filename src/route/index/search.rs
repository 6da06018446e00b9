//! The way of a request through the index.

use super::{Chain, Entry, Index, Root};
use crate::route::{
    conditions::Conditions,
    given::{Doubt, Given, Held},
    pattern::{Path, Pattern, split_segment},
    place::{NONE, at},
    request::RouteRequest,
};

/// A request on its way through the index.
#[derive(Debug)]
pub(in crate::route) struct Search<'r> {
    /// By id.
    pub(in crate::route) patterns: &'r [Pattern],
    pub(in crate::route) conditions: &'r Conditions,
    pub(in crate::route) request: &'r RouteRequest<'r>,
    /// The decoded path; in lower case where the way leads through patterns that ignore it.
    pub(in crate::route) path: &'r str,
    /// The path as expressions see it.
    pub(in crate::route) text: &'r str,
    /// The bit of the request's method.
    pub(in crate::route) method: u64,
    /// What the request has of the headers and parameters that matches ask for; read when one asks.
    pub(in crate::route) given: Option<Given<'r>>,
    /// What trying expressions may still cost.
    pub(in crate::route) left: usize,
    /// The match with the lowest id so far.
    pub(in crate::route) best: Option<Entry>,
    /// Why nobody can tell whether that one holds, and the name of the condition.
    pub(in crate::route) doubt: Option<(u32, Doubt)>,
    /// Where long segments end, by the length of the path from their beginning on, because one may be reached on many
    /// ways through the trie.
    pub(in crate::route) ends: Vec<(usize, usize)>,
}

impl Index {
    /// Finds the match with the lowest id under `root`, if it is lower than `search.best`.
    pub(in crate::route) fn search(&self, root: Root, search: &mut Search<'_>) {
        if !self.nodes.get(at(root.0)).is_some_and(|node| search.may_improve(node.first)) {
            return;
        }
        if let Some(chain) = self.find_exact(root.0, search.path) {
            self.try_all(chain, search);
        }
        self.search_node(root.0, search.path.strip_prefix('/'), search);
    }

    /// `rest` is the path below this node; `None` where it ends here. Recursion is bounded by the depth
    /// of the patterns (`pattern::MAX_SEGMENTS`), not by the path.
    fn search_node(&self, node: u32, rest: Option<&str>, search: &mut Search<'_>) {
        let Some(found) = self.nodes.get(at(node)).filter(|found| search.may_improve(found.first)) else {
            return;
        };
        self.try_all(found.prefixes, search);
        match rest {
            None => self.try_all(found.ends, search),
            Some(text) => {
                let (segment, rest) = search.split(text);
                if let Some(child) = self.find_literal(node, segment) {
                    self.search_node(child, rest, search);
                }
                // Canonical paths have empty segments at the end only.
                if !segment.is_empty() {
                    self.try_all(found.rests, search);
                    if found.variable != NONE {
                        self.search_node(found.variable, rest, search);
                    }
                }
            }
        }
        // Expressions cost most. They are tried last, because a match with a lower id makes them unnecessary.
        if found.regexes.first != NONE {
            self.try_asking(found.regexes.first, found.regexes.first, search);
        }
    }

    /// Tries the entries of a chain, whose path the way through the index has matched.
    fn try_all(&self, chain: Chain, search: &mut Search<'_>) {
        for (place, entry) in self.places(chain.first) {
            if !search.may_improve(entry.id) {
                return;
            }
            if entry.methods & search.method != 0 {
                if entry.conditions == 0 {
                    search.found(entry, None);
                } else {
                    self.try_asking(chain.first, place, search);
                }
                return;
            }
        }
    }

    /// Tries the entries from the place `from` on in the chain that begins at `first`. This is a function of its own
    /// because few matches ask for anything but their path.
    #[inline(never)]
    fn try_asking(&self, first: u32, from: u32, search: &mut Search<'_>) {
        let Some(by_value) = self.by_value.get(&first) else {
            return search.try_each(self.places(from).map(|(_, entry)| entry));
        };
        let entry = |place: &u32| self.entries.get(at(*place));
        for item in 0..search.given().len() {
            let mut nth = 0_usize;
            while let Some((name, value)) = search.given().value(item, nth) {
                nth = nth.saturating_add(1);
                search.try_each(by_value.asking(name, value).iter().filter_map(entry));
            }
        }
        search.try_each(by_value.others().iter().filter_map(entry));
    }
}

/// Where more bytes of the path are left, its next segment is split off once and remembered.
const LONG: usize = 256;

impl<'r> Search<'r> {
    fn split<'t>(&mut self, text: &'t str) -> (&'t str, Option<&'t str>) {
        if text.len() <= LONG { split_segment(text) } else { self.split_long(text) }
    }

    #[inline(never)]
    fn split_long<'t>(&mut self, text: &'t str) -> (&'t str, Option<&'t str>) {
        let known = self.ends.iter().find(|(length, _)| *length == text.len());
        match known.and_then(|(_, end)| text.split_at_checked(*end)) {
            Some((segment, rest)) => (segment, rest.strip_prefix('/')),
            None => {
                let split = split_segment(text);
                self.ends.push((text.len(), split.0.len()));
                split
            }
        }
    }

    fn may_improve(&self, id: u32) -> bool {
        self.best.is_none_or(|best| id < best.id)
    }

    fn found(&mut self, entry: &Entry, doubt: Option<(u32, Doubt)>) {
        self.best = Some(*entry);
        self.doubt = doubt;
    }

    fn given(&mut self) -> &mut Given<'r> {
        let (conditions, request) = (self.conditions, self.request);
        self.given.get_or_insert_with(|| Given::read(conditions, request.head, request.query))
    }

    /// Takes the first of `entries`, ascending in their ids, that holds or may hold.
    fn try_each<'e>(&mut self, entries: impl Iterator<Item = &'e Entry>) {
        for entry in entries {
            if !self.may_improve(entry.id) {
                return;
            }
            if entry.methods & self.method == 0 {
                continue;
            }
            match self.try_one(entry) {
                Held::No => {}
                Held::Yes => return self.found(entry, None),
                Held::Doubt(name, doubt) => return self.found(entry, Some((name, doubt))),
            }
        }
    }

    fn try_one(&mut self, entry: &Entry) -> Held {
        let held = match entry.conditions {
            0 => Held::Yes,
            list => {
                let (conditions, mut left) = (self.conditions, self.left);
                let held = self.given().hold(conditions, list, &mut left);
                self.left = left;
                held
            }
        };
        // The expression comes last, because it costs most.
        match self.patterns.get(at(entry.id)).map(|pattern| &pattern.path) {
            Some(Path::Regex { expression, .. }) if held != Held::No => {
                match expression.matches(self.text, &mut self.left) {
                    Some(true) => held,
                    Some(false) => Held::No,
                    None => Held::Doubt(NONE, Doubt::Path),
                }
            }
            _ => held,
        }
    }
}
