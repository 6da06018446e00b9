//! Patterns of paths and of values as automata, walked character by character.

use std::{collections::BTreeSet, rc::Rc};

use hashbrown::HashSet;

use crate::{
    expression::Expression,
    request::path,
    route::{PathSpec, ValueSpec},
};

/// A pattern, as an automaton that is in one state at a time.
#[derive(Clone, Debug)]
pub(super) enum Pattern {
    /// Literal text and variables.
    Steps { steps: Vec<Step>, ignores_case: bool, segments: Vec<Segment> },
    /// The whole text matches.
    Expression(Rc<Expression>),
}

/// A segment of a path's pattern, as far as it tells which others are apart from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    Literal(String),
    Variable,
    /// Nothing, or more segments.
    More,
}

/// What a pattern takes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// This character.
    Char(char),
    /// Any character but a slash: the first of a variable.
    First,
    /// Any number of them: the rest of a variable.
    More,
    /// Nothing, or a slash with whatever follows it.
    Below,
    /// Whatever there is.
    Any,
}

/// Where a pattern is; [`DEAD`] where nothing that follows can make it match.
pub(super) type State = u32;

/// Nothing that follows makes it match.
pub(super) const DEAD: State = State::MAX;

impl Pattern {
    /// That of a path; `None`: the pattern has a fault.
    pub(super) fn of_path(spec: Option<&PathSpec>, ignores_case: bool) -> Option<Self> {
        let literal = |text: &str| text.chars().map(Step::Char).collect::<Vec<_>>();
        let steps = match spec {
            None => vec![Step::Below],
            Some(PathSpec::Exact(text)) => literal(&path::decode(text)),
            Some(PathSpec::PathPrefix(text)) => {
                let text = path::decode(text);
                let mut steps = literal(text.strip_suffix('/').unwrap_or(&text));
                steps.push(Step::Below);
                steps
            }
            Some(PathSpec::PathTemplate(text)) => {
                let mut steps = Vec::new();
                for segment in text.split('/').skip(1) {
                    steps.push(Step::Char('/'));
                    if segment.starts_with('{') {
                        let rest = if segment.contains("=**") { Step::Any } else { Step::More };
                        steps.extend([Step::First, rest]);
                    } else {
                        steps.extend(literal(&path::decode(segment)));
                    }
                }
                steps
            }
            Some(PathSpec::RegularExpression(text)) => {
                return Some(Self::Expression(Rc::new(Expression::compile(text).ok()?)));
            }
        };
        Some(Self::of_steps(steps, ignores_case))
    }

    pub(super) fn of_steps(steps: Vec<Step>, ignores_case: bool) -> Self {
        let mut segments: Vec<Segment> = Vec::new();
        for step in &steps {
            match (step, segments.last_mut()) {
                (Step::Char('/'), _) => segments.push(Segment::Literal(String::new())),
                (Step::Char(char), Some(Segment::Literal(text))) => text.push(*char),
                (Step::First, Some(last)) => *last = Segment::Variable,
                (Step::Below | Step::Any, _) => segments.push(Segment::More),
                _ => {}
            }
        }
        Self::Steps { steps, ignores_case, segments }
    }

    /// That of a header's or parameter's value; `None`: the pattern has a fault.
    pub(super) fn of_value(spec: &ValueSpec) -> Option<Self> {
        match spec {
            ValueSpec::Exact(text) => Some(Self::of_steps(text.chars().map(Step::Char).collect(), false)),
            ValueSpec::RegularExpression(text) => {
                Some(Self::Expression(Rc::new(Expression::compile(text).ok()?)))
            }
            ValueSpec::Present => Some(Self::of_steps(vec![Step::Any], false)),
        }
    }

    /// Where reading begins.
    pub(super) fn start(&self) -> State {
        match self {
            Self::Steps { .. } => 0,
            Self::Expression(expression) => State::from(expression.walk().start()),
        }
    }

    /// The state after one more character.
    pub(super) fn step(&self, state: State, char: char) -> State {
        if state == DEAD {
            return DEAD;
        }
        match self {
            Self::Steps { steps, ignores_case, .. } => stepped(steps, *ignores_case, state, char),
            Self::Expression(expression) => {
                match u16::try_from(state).map(|row| expression.walk().step(row, char)) {
                    Ok(0) | Err(_) => DEAD,
                    Ok(row) => State::from(row),
                }
            }
        }
    }

    /// Whether what was read so far matches.
    pub(super) fn may_end(&self, state: State) -> bool {
        match self {
            Self::Steps { .. } if state == ANYTHING => true,
            Self::Steps { steps, .. } => match usize::try_from(state).ok().map(|at| steps.get(at..)) {
                Some(Some(rest)) => {
                    rest.is_empty() || matches!(rest, [Step::More] | [Step::Below] | [Step::Any])
                }
                _ => false,
            },
            Self::Expression(expression) => {
                u16::try_from(state).is_ok_and(|row| expression.walk().may_end(row))
            }
        }
    }

    /// Whether it matches, whatever follows.
    pub(super) fn is_sure(&self, state: State) -> bool {
        match self {
            Self::Steps { .. } if state == ANYTHING => true,
            Self::Steps { steps, .. } => {
                usize::try_from(state).ok().and_then(|at| steps.get(at)) == Some(&Step::Any)
            }
            Self::Expression(_) => false,
        }
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.may_end(text.chars().fold(self.start(), |state, char| self.step(state, char)))
    }

    /// What a character is to it: those of one class are never told apart.
    fn class(&self, char: char, own: &BTreeSet<char>) -> u32 {
        match self {
            Self::Steps { ignores_case, .. } => {
                let char = if *ignores_case { char.to_ascii_lowercase() } else { char };
                if char == '/' || own.contains(&char) { u32::from(char) } else { 0 }
            }
            Self::Expression(expression) => u32::from(expression.walk().class(char)),
        }
    }

    /// The characters that it names.
    fn named(&self) -> BTreeSet<char> {
        match self {
            Self::Steps { steps, ignores_case, .. } => {
                let named = steps.iter().filter_map(|step| match step {
                    Step::Char(char) if *ignores_case => Some(char.to_ascii_lowercase()),
                    Step::Char(char) => Some(*char),
                    _ => None,
                });
                named.collect()
            }
            Self::Expression(expression) => expression.walk().edges().collect(),
        }
    }

    /// Whether no text matches both, by their literal text alone. False when in doubt.
    pub(super) fn are_apart(&self, other: &Self) -> bool {
        let (
            Self::Steps { segments: own, ignores_case: a, .. },
            Self::Steps { segments: other, ignores_case: b, .. },
        ) = (self, other)
        else {
            return false;
        };
        let is_same = |one: &str, other: &str| match *a || *b {
            true => one.eq_ignore_ascii_case(other),
            false => one == other,
        };
        let (mut own, mut other) = (own.iter(), other.iter());
        loop {
            match (own.next(), other.next()) {
                (None, None) | (Some(Segment::More), _) | (_, Some(Segment::More)) => return false,
                (None, Some(_)) | (Some(_), None) => return true,
                (Some(Segment::Literal(one)), Some(Segment::Literal(other))) if !is_same(one, other) => {
                    return true;
                }
                (Some(Segment::Literal(text)), Some(Segment::Variable))
                | (Some(Segment::Variable), Some(Segment::Literal(text)))
                    if text.is_empty() =>
                {
                    return true;
                }
                _ => {}
            }
        }
    }
}

fn stepped(steps: &[Step], ignores_case: bool, state: State, char: char) -> State {
    let Ok(at) = usize::try_from(state) else { return DEAD };
    let next = state.saturating_add(1);
    match steps.get(at) {
        Some(Step::Char(own)) => {
            let fits = *own == char || (ignores_case && own.eq_ignore_ascii_case(&char));
            if fits { next } else { DEAD }
        }
        Some(Step::First) => {
            if char == '/' {
                DEAD
            } else {
                next
            }
        }
        Some(Step::More) if char != '/' => state,
        // What follows a variable begins with a slash.
        Some(Step::More) if steps.get(at.saturating_add(1)) == Some(&Step::Char('/')) => {
            state.saturating_add(2)
        }
        // From here on nothing is refused: the end of the steps stands for that, one behind.
        Some(Step::Below) if char == '/' => ANYTHING,
        Some(Step::Any) => state,
        None if state == ANYTHING => ANYTHING,
        _ => DEAD,
    }
}

/// Behind the slash of [`Step::Below`].
const ANYTHING: State = State::MAX - 1;

/// What texts there can be, beside what patterns ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Universe {
    /// Canonical paths, decoded.
    Paths,
    /// Values of headers and parameters.
    Values,
}

impl Universe {
    const fn start(self) -> u8 {
        0
    }

    /// 0: a path must begin; 1: a segment must; 2, 3: it is one dot, two; 4: within one. 255: there is no such text.
    fn step(self, state: u8, char: char) -> u8 {
        if self == Self::Values {
            return 4;
        }
        match (state, char) {
            (0, '/') => 1,
            (0, _) | (1..=3, '/') => 255,
            (_, '/') => 1,
            (1, '.') => 2,
            (2, '.') => 3,
            _ => 4,
        }
    }

    fn may_end(self, state: u8) -> bool {
        match self {
            Self::Paths => matches!(state, 1 | 4),
            // Nothing at all is a value, too, but servers drop such headers.
            Self::Values => state == 4,
        }
    }

    fn has(self, char: char) -> bool {
        match self {
            Self::Paths => !char.is_control() && char != '\\',
            Self::Values => matches!(char, '!'..='~'),
        }
    }
}

/// What became of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Searched {
    /// Whoever was shown what was found is content.
    Content,
    /// There is no more to find.
    Nothing,
    /// There was too much to look through.
    Exhausted,
}

/// Searches texts that match all of `required`, the shortest first; each is shown to `found` with which of `others` it
/// matches, once for every state of all these automata. A text that one of `sure` (places in `others`) would match whatever
/// follows is not gone on with. What it costs is taken from `left`.
pub(super) fn search(
    universe: Universe,
    required: &[&Pattern],
    others: &[&Pattern],
    sure: &[usize],
    left: &mut usize,
    found: &mut dyn FnMut(&str, &[bool]) -> bool,
) -> Searched {
    let all: Vec<&Pattern> = required.iter().chain(others).copied().collect();
    let letters = letters(universe, &all);
    let start: (u8, Vec<State>) = (universe.start(), all.iter().map(|pattern| pattern.start()).collect());
    let mut seen: HashSet<(u8, Vec<State>)> = HashSet::new();
    seen.insert(start.clone());
    let mut open: Vec<Reached> = vec![(start, usize::MAX, '\0')];
    let mut next = 0_usize;
    while let Some(((place, states), ..)) = open.get(next).cloned() {
        let (own, rest) = states.split_at_checked(required.len()).unwrap_or_default();
        let ends = |(pattern, state): (&&Pattern, &State)| pattern.may_end(*state);
        if universe.may_end(place) && required.iter().zip(own).all(ends) {
            let hits: Vec<bool> = others.iter().zip(rest).map(ends).collect();
            if found(&text_of(&open, next), &hits) {
                return Searched::Content;
            }
        }
        for letter in &letters {
            match left.checked_sub(all.len().saturating_add(1)) {
                Some(rest) => *left = rest,
                None => return Searched::Exhausted,
            }
            let place = universe.step(place, *letter);
            if place == 255 {
                continue;
            }
            let states: Vec<State> =
                all.iter().zip(&states).map(|(pattern, state)| pattern.step(*state, *letter)).collect();
            if states.iter().take(required.len()).any(|state| *state == DEAD) {
                continue;
            }
            let is_sure = |at: &usize| {
                let state = states.get(required.len().saturating_add(*at));
                state.zip(others.get(*at)).is_some_and(|(state, pattern)| pattern.is_sure(*state))
            };
            if sure.iter().any(is_sure) {
                continue;
            }
            let reached = (place, states);
            if seen.insert(reached.clone()) {
                open.push((reached, next, *letter));
            }
        }
        next = next.saturating_add(1);
    }
    Searched::Nothing
}

/// States of all automata, the place of the text that it goes on from, and the letter.
type Reached = ((u8, Vec<State>), usize, char);

fn text_of(open: &[Reached], at: usize) -> String {
    let mut letters = Vec::new();
    let mut at = at;
    while let Some((_, from, letter)) = open.get(at) {
        if *from == usize::MAX {
            break;
        }
        letters.push(*letter);
        at = *from;
    }
    letters.into_iter().rev().collect()
}

/// One character of each kind that the patterns tell apart; those first that people would take.
fn letters(universe: Universe, patterns: &[&Pattern]) -> Vec<char> {
    let named: Vec<BTreeSet<char>> = patterns.iter().map(|pattern| pattern.named()).collect();
    let plain = ('a'..='z').rev().chain('0'..='9').chain('A'..='Z').chain(['/', '-', '_', '.']);
    let rest = ('!'..='~').chain([' ', '\u{e9}', '\u{4e2d}', '\u{10ffff}']);
    let all = plain.chain(rest).chain(named.iter().flatten().copied());
    let mut seen: HashSet<Vec<u32>> = HashSet::new();
    let mut letters: Vec<char> = Vec::new();
    for char in all.filter(|char| universe.has(*char)) {
        let mut kinds: Vec<u32> =
            patterns.iter().zip(&named).map(|(pattern, named)| pattern.class(char, named)).collect();
        // Dots make segments that no path has.
        kinds.push(if matches!(char, '.' | '/') { u32::from(char) } else { 0 });
        if seen.insert(kinds) {
            letters.push(char);
        }
    }
    letters
}
