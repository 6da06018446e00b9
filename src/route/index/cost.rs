//! What a request may cost at most, whatever it is.
//!
//! From each place in the trie a request goes on both by its next segment and by the variable. So it reaches all of the
//! patterns that differ in where they have variables. No request is held against more than what is counted here.

use hashbrown::HashMap;

use super::{Chain, Index, Root};
use crate::route::{conditions::Conditions, place::at};

/// What trying expressions may cost one request, in bytes that are looked at, each time they are: about a quarter of a
/// millisecond. 16 of them can be tried on 8 KiB, 200 on what headers commonly hold.
pub(in crate::route) const MAX_TRIED: usize = 1 << 17;

/// Most steps that choosing a rule may take for one request, of about 6 ns each: less than half a millisecond.
const MAX_STEPS: usize = 1 << 16;
/// Steps that one place of the trie counts for.
const PLACE: usize = 4;
/// Most expressions that one request may meet: each can be tried on 128 bytes.
const MAX_EXPRESSIONS: usize = MAX_TRIED >> 7;
/// Up to this many, each can be tried on 2 KiB, which is more than most values have. From there on the operator is
/// warned.
const MANY_EXPRESSIONS: usize = MAX_TRIED >> 11;

/// What one request may cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::route) struct Cost {
    /// For the places of the trie that it reaches, and for the matches there that only its headers and parameters rule
    /// out.
    steps: usize,
    /// Expressions that are tried on it.
    expressions: usize,
}

impl Cost {
    pub(in crate::route) fn plus(self, other: Self) -> Self {
        Self {
            steps: self.steps.saturating_add(other.steps),
            expressions: self.expressions.saturating_add(other.expressions),
        }
    }

    pub(in crate::route) fn most(self, other: Self) -> Self {
        Self { steps: self.steps.max(other.steps), expressions: self.expressions.max(other.expressions) }
    }

    /// The message of a fault where it is too much.
    pub(in crate::route) fn fault(self) -> Option<String> {
        let Self { steps, expressions } = self;
        if steps > MAX_STEPS {
            return Some(format!(
                "one request may be held against too many matches: {steps} steps, at most {MAX_STEPS}; most are \
                 caused by many patterns that differ in where they have variables"
            ));
        }
        (expressions > MAX_EXPRESSIONS).then(|| {
            format!("one request may meet {expressions} regular expressions, at most {MAX_EXPRESSIONS}")
        })
    }

    /// The message of a warning where it is much.
    pub(in crate::route) fn warning(self) -> Option<String> {
        let each = MAX_TRIED.checked_div(self.expressions)?;
        (self.expressions > MANY_EXPRESSIONS).then(|| {
            format!(
                "one request may meet {} regular expressions; it is refused where they are tried on more than {each} \
                 bytes each",
                self.expressions
            )
        })
    }
}

impl Index {
    /// What a request costs at most under each root.
    pub(in crate::route) fn costs(&self, conditions: &Conditions) -> Costs {
        let tried = |chain: Chain| self.tried(chain, conditions);
        let mut costs: Vec<_> = self
            .nodes
            .iter()
            .map(|node| {
                let paths = Cost { steps: PLACE, expressions: self.chain(node.regexes).count() };
                let chains = [node.prefixes, node.rests, node.ends, node.regexes];
                chains.into_iter().map(tried).fold(paths, Cost::plus)
            })
            .collect();
        // The place before each place, and whether a literal segment leads from there.
        let mut ways = vec![None; costs.len()];
        let variables = (0..).zip(&self.nodes).map(|(parent, node)| (node.variable, (parent, false)));
        let literals = self.edges.iter().map(|edge| (edge.child, (edge.parent, true)));
        for (child, way) in variables.chain(literals) {
            if let Some(own) = ways.get_mut(at(child)) {
                *own = Some(way);
            }
        }
        // Of the literal segments at a place a request takes one, so the costliest of them counts.
        let mut literals = vec![Cost::default(); costs.len()];
        // Begins with the last place, because whatever a place leads to was added after it.
        for (child, way) in ways.into_iter().enumerate().rev() {
            let below = literals.get(child).copied().unwrap_or_default();
            let Some(cost) = costs.get_mut(child) else { continue };
            *cost = cost.plus(below);
            let cost = *cost;
            match way {
                None => {}
                Some((parent, true)) => {
                    if let Some(most) = literals.get_mut(at(parent)) {
                        *most = most.most(cost);
                    }
                }
                Some((parent, false)) => {
                    if let Some(parent) = costs.get_mut(at(parent)) {
                        *parent = parent.plus(cost);
                    }
                }
            }
        }
        // A request has one whole path, so the costliest of them counts.
        let mut exact: HashMap<u32, Cost> = HashMap::new();
        for path in &self.exact {
            let most = exact.entry(path.root).or_default();
            *most = most.most(tried(path.entries));
        }
        Costs { costs, exact }
    }

    /// What the matches of a chain cost.
    fn tried(&self, chain: Chain, conditions: &Conditions) -> Cost {
        let mut all: Vec<usize> =
            self.chain(chain).flat_map(|entry| conditions.expressions(entry.conditions)).map(at).collect();
        all.sort_unstable();
        all.dedup();
        // Where matches are found by value, those that ask for one value alone are not tried one after the other.
        let is_tried =
            |list: u32| !self.by_value.contains_key(&chain.first) || conditions.list(list).len() != 1;
        let steps =
            self.chain(chain).filter(|entry| entry.conditions != 0 && is_tried(entry.conditions)).count();
        Cost { steps, expressions: all.len() }
    }
}

/// What a request costs at most, by the root of its host.
#[derive(Debug)]
pub(in crate::route) struct Costs {
    costs: Vec<Cost>,
    exact: HashMap<u32, Cost>,
}

impl Costs {
    pub(in crate::route) fn of(&self, root: Root) -> Cost {
        let exact = self.exact.get(&root.0).copied().unwrap_or_default();
        self.costs.get(at(root.0)).copied().unwrap_or_default().plus(exact)
    }
}
