//! The index over the matches of one host name: a map of exact paths and a trie of segments.
//!
//! Matches are numbered in rule order, so the first rule that matches is the lowest number found, and
//! whatever cannot hold a lower one than the best so far is skipped.

use hashbrown::HashMap;

use super::{
    conditions::Conditions,
    coverage::Step,
    pattern::{Path, Segment, split_segment},
    router::RouteRequest,
};

/// One match where the index found its path; what else it asks is checked here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Its number, in rule order over the whole router.
    pub(super) id: u32,
    /// Its place among the router's conditions; 0 for none.
    pub(super) conditions: u32,
    /// A bit for each of the router's methods.
    pub(super) methods: u64,
}

/// Ascending by id.
type Entries = Vec<Entry>;

#[derive(Debug)]
pub(super) struct Index {
    /// The lowest id in here.
    first: u32,
    exact: HashMap<Box<str>, Entries>,
    root: Node,
}

#[derive(Debug)]
struct Node {
    /// The lowest id at or below this node.
    first: u32,
    literals: HashMap<Box<str>, Node>,
    variable: Option<Box<Node>>,
    /// Patterns that end here and take whatever follows, also nothing.
    prefixes: Entries,
    /// Patterns that end here and take a rest that is not empty.
    rests: Entries,
    /// Patterns that end here.
    ends: Entries,
    /// Regular expressions whose matches all go through here.
    regexes: Entries,
}

/// What the index needs to know to check a candidate.
#[derive(Debug)]
pub(super) struct Candidates<'r> {
    /// By id.
    pub(super) paths: &'r [Path],
    /// By place.
    pub(super) conditions: &'r [Conditions],
}

/// A request on its way through the index.
#[derive(Debug)]
pub(super) struct Search<'r> {
    pub(super) candidates: Candidates<'r>,
    pub(super) request: &'r RouteRequest<'r>,
    /// Decoded.
    pub(super) path: &'r str,
    /// The bit of the request's method.
    pub(super) method: u64,
    /// The lowest id that matches so far; `u32::MAX` for none.
    pub(super) best: u32,
}

impl Index {
    /// An empty index whose first match will be `id`.
    pub(super) fn starting_with(id: u32) -> Self {
        Self { first: id, exact: HashMap::new(), root: Node::starting_with(id) }
    }

    /// Adds a match; ids must not descend.
    pub(super) fn insert(&mut self, path: &Path, entry: Entry) {
        let entries = match path {
            Path::Exact(text) => self.exact.entry(text.clone()).or_default(),
            Path::Prefix(segments) => &mut self.root.descend(segments, entry.id).prefixes,
            Path::Regex { anchor, .. } => &mut self.root.descend(anchor, entry.id).regexes,
            Path::Template { segments, rest } => {
                let mut node = &mut self.root;
                for segment in segments {
                    node = match segment {
                        Segment::Literal(text) => node.literal(text, entry.id),
                        Segment::Variable(_) => {
                            node.variable.get_or_insert_with(|| Box::new(Node::starting_with(entry.id)))
                        }
                    };
                }
                if rest.is_some() { &mut node.rests } else { &mut node.ends }
            }
        };
        entries.push(entry);
    }

    /// Lowers `search.best` to the lowest id in here that matches.
    pub(super) fn search(&self, search: &mut Search<'_>) {
        if self.first >= search.best {
            return;
        }
        if let Some(entries) = self.exact.get(search.path) {
            search.try_all(entries, false);
        }
        self.root.search(search.path.strip_prefix('/'), search);
    }

    /// Calls `visit` with the entries that may match all that `segments` (and what follows them) match;
    /// stops when it returns false. `exact` is the text of a path that has no variable parts.
    pub(super) fn survey(
        &self,
        exact: Option<&str>,
        segments: &[Step<'_>],
        visit: &mut dyn FnMut(&[Entry]) -> bool,
    ) -> bool {
        let exact = exact.and_then(|text| self.exact.get(text));
        exact.is_none_or(|entries| visit(entries)) && self.root.survey(segments, visit)
    }
}

impl Node {
    fn starting_with(id: u32) -> Self {
        Self {
            first: id,
            literals: HashMap::new(),
            variable: None,
            prefixes: Vec::new(),
            rests: Vec::new(),
            ends: Vec::new(),
            regexes: Vec::new(),
        }
    }

    fn literal(&mut self, text: &str, id: u32) -> &mut Self {
        self.literals.entry(text.into()).or_insert_with(|| Self::starting_with(id))
    }

    fn descend(&mut self, segments: &[Box<str>], id: u32) -> &mut Self {
        segments.iter().fold(self, |node, segment| node.literal(segment, id))
    }

    /// `rest` is the path below this node; `None` where it ends here. Recursion is bounded by the depth
    /// of the patterns (`pattern::MAX_SEGMENTS`), not by the path.
    fn search(&self, rest: Option<&str>, search: &mut Search<'_>) {
        if self.first >= search.best {
            return;
        }
        search.try_all(&self.prefixes, false);
        match rest {
            None => search.try_all(&self.ends, false),
            Some(text) => {
                let (segment, rest) = split_segment(text);
                if !self.literals.is_empty()
                    && let Some(node) = self.literals.get(segment)
                {
                    node.search(rest, search);
                }
                // Canonical paths have empty segments at the end only.
                if !segment.is_empty() {
                    search.try_all(&self.rests, false);
                    if let Some(node) = &self.variable {
                        node.search(rest, search);
                    }
                }
            }
        }
        // Last, for they cost most and a better match spares them.
        search.try_all(&self.regexes, true);
    }

    fn survey(&self, segments: &[Step<'_>], visit: &mut dyn FnMut(&[Entry]) -> bool) -> bool {
        if ![&self.prefixes, &self.rests, &self.ends, &self.regexes].into_iter().all(|entries| visit(entries))
        {
            return false;
        }
        let Some((step, rest)) = segments.split_first() else { return true };
        let literal = match step {
            Step::Literal(text) => self.literals.get(*text),
            Step::Variable => None,
        };
        literal.is_none_or(|node| node.survey(rest, visit))
            && self.variable.as_deref().is_none_or(|node| node.survey(rest, visit))
    }
}

impl Search<'_> {
    /// `regexes`: the path is not settled by the way through the index alone.
    fn try_all(&mut self, entries: &[Entry], regexes: bool) {
        for entry in entries {
            if entry.id >= self.best {
                return;
            }
            if entry.methods & self.method != 0
                && (!regexes || self.regex_matches(entry.id))
                && self.conditions_hold(entry.conditions)
            {
                self.best = entry.id;
                return;
            }
        }
    }

    fn regex_matches(&self, id: u32) -> bool {
        match usize::try_from(id).ok().and_then(|id| self.candidates.paths.get(id)) {
            Some(Path::Regex { regex, .. }) => regex.is_match(self.path),
            _ => false,
        }
    }

    fn conditions_hold(&self, place: u32) -> bool {
        if place == 0 {
            return true;
        }
        let conditions = usize::try_from(place).ok().and_then(|place| self.candidates.conditions.get(place));
        conditions.is_some_and(|conditions| conditions.hold(self.request.head, self.request.query))
    }
}
