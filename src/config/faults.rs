//! All faults of one document, and how they say where they are and what was there.

use std::{
    cell::{Cell, RefCell},
    fmt,
};

use super::nearest::Nearest;
use crate::fault::Fault;

/// Faults beyond this many are counted only: enough to repair any document that a person wrote.
const MAX_FAULTS: usize = 10_000;

/// All faults of one document.
#[derive(Debug, Default)]
pub(super) struct Faults {
    list: RefCell<Vec<Fault>>,
    beyond: Cell<usize>,
    pub(super) nearest: Nearest,
}

impl Faults {
    /// Notes a fault at `path`.
    pub(super) fn add(&self, path: &Path<'_>, message: impl AsRef<str>) {
        self.add_text(path, message.as_ref());
    }

    // Out of line, as are the other hot spots of reading: inlined into every field they triple the module.
    #[cold]
    #[inline(never)]
    fn add_text(&self, path: &Path<'_>, message: &str) {
        self.add_at(path.to_string(), message.to_owned());
    }

    /// Notes a fault at a path that is text already.
    pub(super) fn add_at(&self, path: String, message: String) {
        let mut list = self.list.borrow_mut();
        if list.len() < MAX_FAULTS {
            list.push(Fault::new(path, message));
        } else {
            self.beyond.set(self.beyond.get().saturating_add(1));
        }
    }

    /// `; did you mean "x"?` where a candidate is near, else nothing.
    pub(super) fn hint<'c>(&self, name: &str, candidates: impl IntoIterator<Item = &'c str>) -> String {
        match self.nearest.find(name, candidates) {
            Some(nearest) => format!("; did you mean {}?", quoted(nearest)),
            None => String::new(),
        }
    }

    /// How many there are so far.
    pub(super) fn count(&self) -> usize {
        self.list.borrow().len().saturating_add(self.beyond.get())
    }

    /// Those that were noted behind the first `count`.
    pub(super) fn since(&self, count: usize) -> Vec<Fault> {
        self.list.borrow().iter().skip(count).cloned().collect()
    }

    /// What was read, if nothing was wrong with it.
    pub(super) fn judge<T>(self, read: Option<T>) -> Result<T, Vec<Fault>> {
        let mut list = self.list.into_inner();
        match (read, list.is_empty()) {
            (Some(value), true) => Ok(value),
            (None, true) => Err(vec![Fault::new("", "the policy could not be read")]),
            (_, false) => {
                if self.beyond.get() > 0 {
                    list.push(Fault::new("", format!("and {} more faults", self.beyond.get())));
                }
                Err(list)
            }
        }
    }
}

/// Where a value stands. Lives on the stack and becomes text only in a fault.
#[derive(Clone, Copy, Debug)]
pub(super) enum Path<'a> {
    Root,
    Field(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl Path<'_> {
    /// A member's name as a step of a path: bare where it is an ordinary name, else in brackets and quotes.
    pub(super) fn step(name: &str) -> String {
        let ordinary = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !name.is_empty() && name.len() <= 64 && name.chars().all(ordinary) {
            name.to_owned()
        } else {
            format!("[{}]", quoted(name))
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Root => Ok(()),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
            Self::Field(parent, name) => {
                parent.fmt(f)?;
                let step = Self::step(name);
                let dot = !matches!(parent, Self::Root) && !step.starts_with('[');
                write!(f, "{}{step}", if dot { "." } else { "" })
            }
        }
    }
}

/// Text from the document within a message: quoted, escaped and cut, so that it stays on one short line.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 80;
    let mut shown: String = text.chars().take(SHOWN).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    format!("{shown:?}")
}
