//! The index over all matches: a map of exact paths and, per host name, a trie of segments.
//!
//! Matches are numbered in rule order, so the first rule that matches is the lowest number found, and
//! whatever cannot hold a lower one than the best so far is skipped.
//!
//! Everything lies in a few flat lists and refers by place, because with thousands of rules a look-up
//! costs what it misses in the caches: an edge, its text and its node for each segment, no more.

mod by_value;
mod cost;
mod search;

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

pub(super) use self::{
    cost::{Cost, MAX_TRIED},
    search::Search,
};

use self::by_value::ByValue;
use super::{
    conditions::Conditions,
    coverage::KnownSegment,
    pattern::{Path, Segment},
    place::{NONE, at, place_after},
};

/// One match where the index found its path; what else it asks is checked here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Its number, in rule order over the whole router.
    pub(super) id: u32,
    /// Its rule.
    pub(super) rule: u32,
    /// The place of its list of conditions; 0 for none.
    pub(super) conditions: u32,
    /// The next in the same list.
    next: u32,
    /// A bit for each of the router's methods.
    pub(super) methods: u64,
}

impl Entry {
    pub(super) fn new(id: u32, rule: u32, conditions: u32, methods: u64) -> Self {
        Self { id, rule, conditions, next: NONE, methods }
    }
}

/// Entries chained in ascending order of their ids.
#[derive(Clone, Copy, Debug)]
struct Chain {
    first: u32,
    last: u32,
}

impl Chain {
    const EMPTY: Self = Self { first: NONE, last: NONE };
}

/// Where a text lies in the index.
#[derive(Clone, Copy, Debug)]
struct Span {
    from: u32,
    to: u32,
}

/// Where the trie of one host name begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Root(u32);

#[derive(Debug)]
pub(super) struct Index {
    hasher: DefaultHashBuilder,
    exact: HashTable<Exact>,
    edges: HashTable<Edge>,
    nodes: Vec<Node>,
    entries: Vec<Entry>,
    /// Long chains by what their matches ask for, under the first entry of each.
    by_value: HashMap<u32, ByValue>,
    text: Vec<u8>,
    /// Length of the longest whole path, and of the longest segment: what is longer need not be looked for.
    longest_path: usize,
    longest_segment: usize,
}

/// The matches of one whole path.
#[derive(Debug)]
struct Exact {
    root: u32,
    path: Span,
    entries: Chain,
}

/// The way from a node by a literal segment.
#[derive(Debug)]
struct Edge {
    parent: u32,
    segment: Span,
    child: u32,
}

#[derive(Debug)]
struct Node {
    /// The lowest id at or below this node; for a root, of all matches of the host name.
    first: u32,
    /// The way by a variable.
    variable: u32,
    /// Patterns that end here and take whatever follows, also nothing.
    prefixes: Chain,
    /// Patterns that end here and take a rest that is not empty.
    rests: Chain,
    /// Patterns that end here.
    ends: Chain,
    /// Regular expressions whose matches all go through here.
    regexes: Chain,
}

impl Index {
    pub(super) fn new() -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            exact: HashTable::new(),
            edges: HashTable::new(),
            nodes: Vec::new(),
            entries: Vec::new(),
            by_value: HashMap::new(),
            text: Vec::new(),
            longest_path: 0,
            longest_segment: 0,
        }
    }

    /// To be called when every match was added: makes the long chains ready to be searched by what their matches ask
    /// for.
    pub(super) fn finish(&mut self, conditions: &Conditions) {
        let of_nodes =
            self.nodes.iter().flat_map(|node| [node.prefixes, node.rests, node.ends, node.regexes]);
        let chains = of_nodes.chain(self.exact.iter().map(|exact| exact.entries));
        let by_value = chains.filter_map(|chain| {
            let entries: Vec<_> =
                self.places(chain.first).map(|(place, entry)| (place, entry.conditions)).collect();
            Some((chain.first, ByValue::new(&entries, conditions)?))
        });
        self.by_value = by_value.collect();
    }

    /// A new trie whose first match will be `id`.
    pub(super) fn add_root(&mut self, id: u32) -> Root {
        Root(self.add_node(id))
    }

    /// Adds a match; ids must not descend.
    pub(super) fn insert(&mut self, root: Root, path: &Path, entry: Entry) {
        let place = place_after(&self.entries);
        self.entries.push(entry);
        let mut node = root.0;
        match path {
            Path::Exact(text) => return self.insert_exact(node, text, place),
            Path::Prefix(segments) | Path::Regex { anchor: segments, .. } => {
                for segment in segments {
                    node = self.literal(node, segment, entry.id);
                }
            }
            Path::Template { segments, .. } => {
                for segment in segments {
                    node = match segment {
                        Segment::Literal(text) => self.literal(node, text, entry.id),
                        Segment::Variable(_) => self.variable(node, entry.id),
                    };
                }
            }
        }
        let Some(node) = self.nodes.get_mut(at(node)) else { return };
        let chain = match path {
            Path::Exact(_) => return,
            Path::Prefix(_) => &mut node.prefixes,
            Path::Regex { .. } => &mut node.regexes,
            Path::Template { rest: Some(_), .. } => &mut node.rests,
            Path::Template { rest: None, .. } => &mut node.ends,
        };
        append(&mut self.entries, chain, place);
    }

    fn insert_exact(&mut self, root: u32, path: &str, place: u32) {
        self.longest_path = self.longest_path.max(path.len());
        let hash = hash_of(&self.hasher, root, path.as_bytes());
        let text = &self.text;
        let same = |exact: &Exact| exact.root == root && read(text, exact.path) == path.as_bytes();
        if let Some(exact) = self.exact.find_mut(hash, same) {
            append(&mut self.entries, &mut exact.entries, place);
            return;
        }
        let exact =
            Exact { root, path: write(&mut self.text, path), entries: Chain { first: place, last: place } };
        let (hasher, text) = (&self.hasher, &self.text);
        self.exact.insert_unique(hash, exact, |exact| hash_of(hasher, exact.root, read(text, exact.path)));
    }

    fn add_node(&mut self, first: u32) -> u32 {
        let place = place_after(&self.nodes);
        self.nodes.push(Node {
            first,
            variable: NONE,
            prefixes: Chain::EMPTY,
            rests: Chain::EMPTY,
            ends: Chain::EMPTY,
            regexes: Chain::EMPTY,
        });
        place
    }

    fn literal(&mut self, parent: u32, segment: &str, id: u32) -> u32 {
        if let Some(child) = self.find_literal(parent, segment) {
            return child;
        }
        self.longest_segment = self.longest_segment.max(segment.len());
        let child = self.add_node(id);
        let edge = Edge { parent, segment: write(&mut self.text, segment), child };
        let (hasher, text) = (&self.hasher, &self.text);
        let hash = hash_of(hasher, parent, segment.as_bytes());
        self.edges.insert_unique(hash, edge, |edge| hash_of(hasher, edge.parent, read(text, edge.segment)));
        child
    }

    fn variable(&mut self, parent: u32, id: u32) -> u32 {
        match self.nodes.get(at(parent)) {
            Some(node) if node.variable != NONE => return node.variable,
            _ => {}
        }
        let child = self.add_node(id);
        if let Some(node) = self.nodes.get_mut(at(parent)) {
            node.variable = child;
        }
        child
    }

    fn find_literal(&self, parent: u32, segment: &str) -> Option<u32> {
        if segment.len() > self.longest_segment {
            return None;
        }
        let hash = hash_of(&self.hasher, parent, segment.as_bytes());
        let same =
            |edge: &Edge| edge.parent == parent && read(&self.text, edge.segment) == segment.as_bytes();
        self.edges.find(hash, same).map(|edge| edge.child)
    }

    fn find_exact(&self, root: u32, path: &str) -> Option<Chain> {
        if path.len() > self.longest_path {
            return None;
        }
        let hash = hash_of(&self.hasher, root, path.as_bytes());
        let same = |exact: &Exact| exact.root == root && read(&self.text, exact.path) == path.as_bytes();
        self.exact.find(hash, same).map(|exact| exact.entries)
    }

    /// An entry of the match `id`; all of them ask the same.
    pub(super) fn entry(&self, id: usize) -> Option<&Entry> {
        let first = self.entries.partition_point(|entry| at(entry.id) < id);
        self.entries.get(first).filter(|entry| at(entry.id) == id)
    }

    fn chain(&self, chain: Chain) -> impl Iterator<Item = &Entry> {
        self.places(chain.first).map(|(_, entry)| entry)
    }

    /// The entry at `first` and those behind it, with their places.
    fn places(&self, first: u32) -> impl Iterator<Item = (u32, &Entry)> {
        let mut next = first;
        std::iter::from_fn(move || {
            let place = next;
            let entry = self.entries.get(at(place))?;
            next = entry.next;
            Some((place, entry))
        })
    }

    /// Visits the entries under `root` that may match all that the segments `known` (and what follows them) match, and
    /// `None` for every step on the way; stops when `visit` returns false. `exact` is the text of a path
    /// that has no variable parts.
    pub(super) fn survey(
        &self,
        root: Root,
        exact: Option<&str>,
        known: &[KnownSegment<'_>],
        visit: &mut dyn FnMut(Option<&Entry>) -> bool,
    ) -> bool {
        let exact = exact.and_then(|text| self.find_exact(root.0, text)).unwrap_or(Chain::EMPTY);
        self.chain(exact).all(|entry| visit(Some(entry))) && self.survey_node(root.0, known, visit)
    }

    fn survey_node(
        &self,
        node: u32,
        known: &[KnownSegment<'_>],
        visit: &mut dyn FnMut(Option<&Entry>) -> bool,
    ) -> bool {
        let Some(found) = self.nodes.get(at(node)) else { return true };
        let chains = [found.prefixes, found.rests, found.ends, found.regexes];
        if !visit(None)
            || !chains.into_iter().flat_map(|chain| self.chain(chain)).all(|entry| visit(Some(entry)))
        {
            return false;
        }
        let Some((segment, rest)) = known.split_first() else { return true };
        let literal = match segment {
            KnownSegment::Literal(text) => self.find_literal(node, text),
            KnownSegment::Variable => None,
        };
        literal.is_none_or(|child| self.survey_node(child, rest, visit))
            && self.survey_node(found.variable, rest, visit)
    }
}

/// One hash for a place and a text.
fn hash_of(hasher: &DefaultHashBuilder, place: u32, text: &[u8]) -> u64 {
    hasher.hash_one((place, text))
}

fn read(text: &[u8], span: Span) -> &[u8] {
    text.get(at(span.from)..at(span.to)).unwrap_or_default()
}

fn write(text: &mut Vec<u8>, new: &str) -> Span {
    let from = place_after(text);
    text.extend_from_slice(new.as_bytes());
    Span { from, to: place_after(text) }
}

fn append(entries: &mut [Entry], chain: &mut Chain, place: u32) {
    match entries.get_mut(at(chain.last)) {
        Some(last) => last.next = place,
        None => chain.first = place,
    }
    chain.last = place;
}
