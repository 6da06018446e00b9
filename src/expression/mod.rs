//! Regular expressions, at a cost that nobody who sends values can raise.
//!
//! Values are matched as a whole, and all that is asked is whether they match. So an expression is an automaton that
//! looks at each character once, in one to two nanoseconds, whatever the expression; one that would be too large an
//! automaton is refused. `regex-lite`, which is what the tests hold this against, takes 40 to 900 for a byte.

mod automaton;
mod class;
mod syntax;
#[cfg(test)]
mod tests;

use automaton::Automaton;

/// Longest regular expression, in bytes.
const MAX_TEXT: usize = 1024;

/// A regular expression that whole values are held against.
#[derive(Debug)]
pub struct Expression {
    text: Box<str>,
    automaton: Automaton,
}

impl Expression {
    /// Compiles `text`; the error is the message of a fault.
    pub(crate) fn compile(text: &str) -> Result<Self, String> {
        if text.len() > MAX_TEXT {
            return Err(format!("regular expression longer than {MAX_TEXT} bytes"));
        }
        let node = syntax::parse(text).map_err(|error| format!("bad regular expression: {error}"))?;
        let automaton = Automaton::new(&node).map_err(|automaton::TooLarge| {
            "bad regular expression: it would take too much memory to match in bounded time; a counted repetition \
             behind what matches anything, as in `.*a.{50}`, takes the most"
        })?;
        Ok(Self { text: text.into(), automaton })
    }

    /// As it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether the whole `value` matches, whatever that takes.
    pub(crate) fn is_match(&self, value: &str) -> bool {
        self.automaton.matches(value, &mut usize::MAX.clone()) == Some(true)
    }

    /// The automaton itself, to be walked character by character.
    #[cfg(all(feature = "cli", not(target_family = "wasm")))]
    pub(crate) fn walk(&self) -> Walk<'_> {
        Walk(&self.automaton)
    }

    /// Whether the whole `value` matches. What trying costs, about a byte of the value, is taken from `left`;
    /// `None`: there is not enough left to try.
    pub(crate) fn matches(&self, value: &str, left: &mut usize) -> Option<bool> {
        self.automaton.matches(value, left)
    }
}

/// An expression's automaton, for what compares whole languages rather than one value with them.
#[cfg(all(feature = "cli", not(target_family = "wasm")))]
#[derive(Clone, Copy)]
pub(crate) struct Walk<'e>(&'e Automaton);

#[cfg(all(feature = "cli", not(target_family = "wasm")))]
impl<'e> Walk<'e> {
    /// Where reading begins.
    pub(crate) fn start(self) -> u16 {
        self.0.start()
    }

    /// The state after one more character; 0: whatever follows, nothing matches any more.
    pub(crate) fn step(self, state: u16, char: char) -> u16 {
        self.0.step(state, char)
    }

    /// Whether what was read so far matches.
    pub(crate) fn may_end(self, state: u16) -> bool {
        self.0.may_end(state)
    }

    /// What a character is to the expression: those of one class are never told apart.
    pub(crate) fn class(self, char: char) -> u16 {
        self.0.column(char)
    }

    /// Characters beyond ASCII at which the class changes.
    pub(crate) fn edges(self) -> impl Iterator<Item = char> + 'e {
        self.0.edges()
    }
}
