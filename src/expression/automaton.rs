//! Expressions as automata that look at every character once.
//!
//! A tree becomes states that are in force together, and every set of them that can be reached one state of the
//! automaton, all of it when the policy is compiled. What that takes is bounded; an expression that needs more is
//! refused, rather than tried at a cost that depends on what clients send.

use hashbrown::HashMap;

use super::{
    class::Class,
    syntax::{Look, Node},
};

/// Most cells of the table of one automaton, two bytes each.
const MAX_CELLS: usize = 1 << 15;
/// Most states of the tree, and steps of working the automaton out: some milliseconds.
const MAX_STATES: usize = 4096;
const MAX_STEPS: usize = 1 << 21;
/// The row from which nothing matches any more.
const DEAD: u16 = 0;
/// The column for the end of the text.
const END: u16 = 0;
/// What every trial costs, in characters.
const TRIAL: usize = 16;

/// The automaton would be too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// A compiled expression.
#[derive(Debug)]
pub(super) struct Automaton {
    /// The column of each ASCII character.
    ascii: [u8; 128],
    /// Where characters beyond ASCII change their column, ascending; the first is the first of them.
    beyond: Box<[(char, u8)]>,
    /// The rows of the table one behind the other. The cell of a row and a column says where the next row begins. The
    /// first row is dead; the column [`END`] holds something else than [`DEAD`] where the text may end.
    next: Box<[u16]>,
    start: u16,
}

impl Automaton {
    pub(super) fn new(node: &Node) -> Result<Self, TooLarge> {
        let mut states = States::default();
        let end = states.push(State::Match)?;
        let start = states.add(node, end)?;
        Tables::new(&states).automaton(start)
    }

    /// Whether the whole `text` matches. What it costs is taken from `left`; `None`: there is not enough left.
    pub(super) fn matches(&self, text: &str, left: &mut usize) -> Option<bool> {
        left.checked_sub(text.len().saturating_add(TRIAL))?;
        let mut row = self.start;
        let mut tried = text.len();
        for (at, byte) in text.bytes().enumerate() {
            let column = match self.ascii.get(usize::from(byte)) {
                Some(column) => u16::from(*column),
                None => match self.column_beyond(text, at) {
                    Some(column) => column,
                    None => continue,
                },
            };
            row = self.cell(row, column);
            if row == DEAD {
                tried = at;
                break;
            }
        }
        *left = left.saturating_sub(tried.saturating_add(TRIAL));
        Some(self.cell(row, END) != DEAD)
    }

    /// The column of the character that begins at `at`; `None`: none does.
    fn column_beyond(&self, text: &str, at: usize) -> Option<u16> {
        let char = text.get(at..)?.chars().next()?;
        let place = match self.beyond.len() {
            1 => 0,
            _ => self.beyond.partition_point(|(first, _)| *first <= char).checked_sub(1)?,
        };
        self.beyond.get(place).map(|(_, column)| u16::from(*column))
    }

    /// Where reading begins.
    #[cfg(all(feature = "cli", not(target_family = "wasm")))]
    pub(super) fn start(&self) -> u16 {
        self.start
    }

    /// The row after one more character.
    #[cfg(all(feature = "cli", not(target_family = "wasm")))]
    pub(super) fn step(&self, row: u16, char: char) -> u16 {
        self.cell(row, self.column(char))
    }

    /// Whether the text may end at this row.
    #[cfg(all(feature = "cli", not(target_family = "wasm")))]
    pub(super) fn may_end(&self, row: u16) -> bool {
        self.cell(row, END) != DEAD
    }

    /// The column of a character: those of one column are never told apart.
    #[cfg(all(feature = "cli", not(target_family = "wasm")))]
    pub(super) fn column(&self, char: char) -> u16 {
        let ascii = usize::try_from(u32::from(char)).ok().and_then(|at| self.ascii.get(at)).copied();
        let column = ascii.or_else(|| {
            let place = self.beyond.partition_point(|(first, _)| *first <= char).checked_sub(1)?;
            self.beyond.get(place).map(|(_, column)| *column)
        });
        u16::from(column.unwrap_or_default())
    }

    /// The characters beyond ASCII at which the column changes, the first of them included.
    #[cfg(all(feature = "cli", not(target_family = "wasm")))]
    pub(super) fn edges(&self) -> impl Iterator<Item = char> {
        self.beyond.iter().map(|(first, _)| *first)
    }

    fn cell(&self, row: u16, column: u16) -> u16 {
        self.next.get(usize::from(row.wrapping_add(column))).copied().unwrap_or(DEAD)
    }
}

/// A state of the tree; several are in force at once.
enum State {
    /// The whole expression matches here.
    Match,
    /// Takes one of the characters of the class at this place, and goes on.
    Take(usize, usize),
    /// Goes on in all of these.
    Split(Vec<usize>),
    /// Goes on where this holds.
    Look(Look, usize),
}

#[derive(Default)]
struct States {
    states: Vec<State>,
    /// Each once.
    classes: Vec<Class>,
    /// How many parts were added; repetitions of nothing add no state.
    added: usize,
}

impl States {
    fn push(&mut self, state: State) -> Result<usize, TooLarge> {
        if self.states.len() >= MAX_STATES {
            return Err(TooLarge);
        }
        self.states.push(state);
        Ok(self.states.len().saturating_sub(1))
    }

    /// Adds `node` in front of `next`; where it begins. Recursion is bounded by the depth of the tree.
    fn add(&mut self, node: &Node, next: usize) -> Result<usize, TooLarge> {
        self.added = self.added.saturating_add(1);
        if self.added > MAX_STATES {
            return Err(TooLarge);
        }
        match node {
            Node::Class(class) => {
                let place = self.classes.iter().position(|own| own == class);
                let place = place.unwrap_or_else(|| {
                    self.classes.push(class.clone());
                    self.classes.len().saturating_sub(1)
                });
                self.push(State::Take(place, next))
            }
            Node::Look(look) => self.push(State::Look(*look, next)),
            Node::Sequence(nodes) => nodes.iter().rev().try_fold(next, |next, node| self.add(node, next)),
            Node::Either(nodes) => {
                let starts = nodes.iter().map(|node| self.add(node, next)).collect::<Result<_, _>>()?;
                self.push(State::Split(starts))
            }
            Node::Repeat(node, min, max) => {
                let mut start = match max {
                    None => self.any_number(node, next)?,
                    Some(max) => {
                        let mut start = next;
                        for _ in *min..*max {
                            let once = self.add(node, start)?;
                            start = self.push(State::Split(vec![once, next]))?;
                        }
                        start
                    }
                };
                for _ in 0..*min {
                    start = self.add(node, start)?;
                }
                Ok(start)
            }
        }
    }

    fn any_number(&mut self, node: &Node, next: usize) -> Result<usize, TooLarge> {
        let again = self.push(State::Split(Vec::new()))?;
        let once = self.add(node, again)?;
        if let Some(State::Split(ways)) = self.states.get_mut(again) {
            *ways = vec![once, next];
        }
        Ok(again)
    }

    fn has_looks(&self) -> bool {
        self.states.iter().any(|state| matches!(state, State::Look(..)))
    }
}

/// What stands beside a place, as far as looks ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Beside {
    /// Nothing: the text begins or ends.
    Edge,
    LineFeed,
    Word,
    Other,
}

impl Beside {
    fn of(char: char) -> Self {
        match char {
            '\n' => Self::LineFeed,
            char if char.is_ascii_alphanumeric() || char == '_' => Self::Word,
            _ => Self::Other,
        }
    }
}

impl Look {
    fn holds(self, before: Beside, after: Beside) -> bool {
        let (word_before, word_after) = (before == Beside::Word, after == Beside::Word);
        match self {
            Self::Start => before == Beside::Edge,
            Self::End => after == Beside::Edge,
            Self::LineStart => matches!(before, Beside::Edge | Beside::LineFeed),
            Self::LineEnd => matches!(after, Beside::Edge | Beside::LineFeed),
            Self::Word => word_before != word_after,
            Self::NoWord => word_before == word_after,
            Self::WordStart => !word_before && word_after,
            Self::WordEnd => word_before && !word_after,
            Self::WordStartHalf => !word_before,
            Self::WordEndHalf => !word_after,
        }
    }
}

/// What a state of the automaton is: the states that are in force, and what was read last.
type Set = (Vec<usize>, Beside);

/// Characters that nothing in the expression tells apart.
struct Column {
    /// Any one of them.
    char: char,
    beside: Beside,
}

struct Tables<'s> {
    states: &'s States,
    has_looks: bool,
    columns: Vec<Column>,
    /// Where characters change their column, ascending, from the first character on.
    changes: Vec<(char, u8)>,
    next: Vec<u16>,
    /// The row of each set.
    rows: HashMap<Set, u16>,
    /// Sets in the order of their rows.
    sets: Vec<Set>,
    steps: usize,
}

impl<'s> Tables<'s> {
    fn new(states: &'s States) -> Self {
        Self {
            states,
            has_looks: states.has_looks(),
            columns: Vec::new(),
            changes: Vec::new(),
            next: Vec::new(),
            rows: HashMap::new(),
            sets: Vec::new(),
            steps: 0,
        }
    }

    fn automaton(mut self, start: usize) -> Result<Automaton, TooLarge> {
        self.find_columns()?;
        self.next = vec![DEAD; self.width()];
        let start = self.row((vec![start], Beside::Edge))?;
        let mut done = 0_usize;
        while let Some(set) = self.sets.get(done).cloned() {
            done = done.saturating_add(1);
            self.fill(&set)?;
        }
        let column_of = |char: char| {
            let place = self.changes.partition_point(|(first, _)| *first <= char).saturating_sub(1);
            self.changes.get(place).map_or(0, |(_, column)| *column)
        };
        let mut ascii = [0; 128];
        for (char, column) in (0_u8..).map(char::from).zip(&mut ascii) {
            *column = column_of(char);
        }
        const BEYOND: char = '\u{80}';
        let later = self.changes.iter().filter(|(first, _)| *first > BEYOND).copied();
        let beyond = std::iter::once((BEYOND, column_of(BEYOND))).chain(later).collect();
        Ok(Automaton { ascii, beyond, next: self.next.into(), start })
    }

    /// One column for the end, and one for each kind of characters.
    fn width(&self) -> usize {
        self.columns.len().saturating_add(1)
    }

    fn find_columns(&mut self) -> Result<(), TooLarge> {
        let beside: &[char] = match self.has_looks {
            true => &['\0', '\n', '\x0b', '0', ':', 'A', '[', '_', '`', 'a', '{'],
            false => &['\0'],
        };
        let mut edges: Vec<char> = beside.to_vec();
        for edge in self.states.classes.iter().flat_map(Class::edges) {
            if let Err(at) = edges.binary_search(&edge) {
                edges.insert(at, edge);
            }
        }
        let mut known: Vec<(Vec<bool>, Beside)> = Vec::new();
        for char in edges {
            let within: Vec<_> = self.states.classes.iter().map(|class| class.contains(char)).collect();
            self.step(within.len())?;
            let beside = if self.has_looks { Beside::of(char) } else { Beside::Other };
            let kind = (within, beside);
            self.step(known.len())?;
            let place = known.iter().position(|own| *own == kind).unwrap_or_else(|| {
                known.push(kind);
                self.columns.push(Column { char, beside });
                known.len().saturating_sub(1)
            });
            // The first column stands for the end of the text.
            let column = u8::try_from(place.saturating_add(1)).map_err(|_| TooLarge)?;
            self.changes.push((char, column));
        }
        Ok(())
    }

    /// The row of `set`, made if it is new.
    fn row(&mut self, set: Set) -> Result<u16, TooLarge> {
        if set.0.is_empty() {
            return Ok(DEAD);
        }
        if let Some(row) = self.rows.get(&set) {
            return Ok(*row);
        }
        let from = self.next.len();
        let to = from.saturating_add(self.width());
        if to > MAX_CELLS {
            return Err(TooLarge);
        }
        self.next.resize(to, DEAD);
        let row = u16::try_from(from).map_err(|_| TooLarge)?;
        self.rows.insert(set.clone(), row);
        self.sets.push(set);
        Ok(row)
    }

    /// Works out where every character leads from `set`.
    fn fill(&mut self, set: &Set) -> Result<(), TooLarge> {
        let row = self.row(set.clone())?;
        let ends = self
            .reached(set, Beside::Edge)?
            .iter()
            .any(|state| matches!(self.states.states.get(*state), Some(State::Match)));
        // Any row but the dead one says that the text may end.
        self.set_cell(row, END, if ends { row } else { DEAD });
        let mut reached: Vec<(Beside, Vec<usize>)> = Vec::new();
        for column in 0..self.columns.len() {
            let Some(Column { char, beside }) = self.columns.get(column) else { continue };
            let (char, beside) = (*char, *beside);
            let in_force = match reached.iter().find(|(own, _)| *own == beside) {
                Some((_, known)) => known.clone(),
                None => {
                    let found = self.reached(set, beside)?;
                    reached.push((beside, found.clone()));
                    found
                }
            };
            self.step(in_force.len())?;
            let mut targets: Vec<usize> = in_force
                .iter()
                .filter_map(|state| match self.states.states.get(*state)? {
                    State::Take(class, next) => {
                        self.states.classes.get(*class)?.contains(char).then_some(*next)
                    }
                    _ => None,
                })
                .collect();
            targets.sort_unstable();
            targets.dedup();
            let next = self.row((targets, beside))?;
            let column = u16::try_from(column.saturating_add(1)).map_err(|_| TooLarge)?;
            self.set_cell(row, column, next);
        }
        Ok(())
    }

    fn set_cell(&mut self, row: u16, column: u16, to: u16) {
        if let Some(cell) = self.next.get_mut(usize::from(row.wrapping_add(column))) {
            *cell = to;
        }
    }

    /// All states that are in force with those of `set`, where `after` comes next.
    fn reached(&mut self, (set, before): &Set, after: Beside) -> Result<Vec<usize>, TooLarge> {
        let mut seen = vec![false; self.states.states.len()];
        let mut open = set.clone();
        let mut found = Vec::new();
        while let Some(state) = open.pop() {
            self.step(1)?;
            if seen.get_mut(state).is_none_or(|seen| std::mem::replace(seen, true)) {
                continue;
            }
            match self.states.states.get(state) {
                Some(State::Match | State::Take(..)) => found.push(state),
                Some(State::Split(ways)) => open.extend(ways),
                Some(State::Look(look, next)) if look.holds(*before, after) => open.push(*next),
                Some(State::Look(..)) | None => {}
            }
        }
        Ok(found)
    }

    fn step(&mut self, steps: usize) -> Result<(), TooLarge> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > MAX_STEPS { Err(TooLarge) } else { Ok(()) }
    }
}
