//! Reads a tree of values field by field and notes every fault with its path, instead of stopping at the first.
//!
//! A reading function takes a [`Node`] and gives `None` only after it noted a fault, so a document with no
//! faults is complete. Values are taken out of the tree as they are read.

use std::{
    cell::{Cell, RefCell},
    fmt,
};

use serde_json::{Map, Value};

use super::nearest::Nearest;
use crate::fault::{Fault, UNKNOWN_FIELD};

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
    fn count(&self) -> usize {
        self.list.borrow().len().saturating_add(self.beyond.get())
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

/// A value, where it stands, and where its faults go.
pub(super) struct Node<'a> {
    pub(super) value: Value,
    pub(super) path: Path<'a>,
    pub(super) faults: &'a Faults,
}

impl<'a> Node<'a> {
    /// Notes a fault here.
    pub(super) fn fault<T>(&self, message: impl AsRef<str>) -> Option<T> {
        self.faults.add(&self.path, message);
        None
    }

    /// Notes that something else stands here. Never shows the value: it may be a secret in the wrong place.
    pub(super) fn mismatch<T>(&self, expected: &str) -> Option<T> {
        self.note_mismatch(expected);
        None
    }

    #[cold]
    #[inline(never)]
    fn note_mismatch(&self, expected: &str) {
        let found = match &self.value {
            Value::Null => "null; leave the field out where nothing is to be said",
            Value::Bool(_) => "a boolean",
            Value::Number(n) if n.is_f64() => "a number with a fraction or out of range",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        self.faults.add(&self.path, format!("expected {expected}, found {found}"));
    }

    /// The text of a string, which is left empty here.
    #[inline(never)]
    pub(super) fn text(&mut self, expected: &str) -> Option<String> {
        match &mut self.value {
            Value::String(text) => Some(std::mem::take(text)),
            _ => self.mismatch(expected),
        }
    }

    /// How many items a list has; 1 for anything else.
    pub(super) fn items(&self) -> usize {
        self.value.as_array().map_or(1, Vec::len)
    }

    /// Reads an object with `read`, then reports what `read` did not ask for.
    pub(super) fn object<T>(self, read: impl FnOnce(&mut Object<'a>) -> Option<T>) -> Option<T> {
        match self.value {
            Value::Object(members) => {
                let known = Vec::with_capacity(12);
                let mut object = Object { members, known, path: self.path, faults: self.faults };
                let result = read(&mut object);
                object.refuse_the_rest();
                result
            }
            _ => self.mismatch("an object"),
        }
    }

    /// Reads every item of a list, which may be empty; `None` if one is faulty.
    pub(super) fn list<T>(self, mut read: impl FnMut(Node<'_>) -> Option<T>) -> Option<Vec<T>> {
        match self.value {
            Value::Array(items) => {
                let mut list = Some(Vec::with_capacity(items.len()));
                for (index, value) in items.into_iter().enumerate() {
                    let item = Node { value, path: Path::Index(&self.path, index), faults: self.faults };
                    match (read(item), &mut list) {
                        (Some(item), Some(list)) => list.push(item),
                        _ => list = None,
                    }
                }
                list
            }
            _ => self.mismatch("a list"),
        }
    }

    /// Reads a list whose items are worth judging one by one: `None` in the place of each that has a fault.
    /// Empty where it is no list, and where the list is empty, for which it notes `empty`.
    pub(super) fn each<T>(
        self,
        empty: &str,
        mut read: impl FnMut(usize, Node<'_>) -> Option<T>,
    ) -> Vec<Option<T>> {
        let faults = self.faults;
        let mut index = 0_usize;
        let items = self.filled(empty, |node| {
            let (this, before) = (index, faults.count());
            index = index.saturating_add(1);
            let item = read(this, node);
            // With a fault in it an item may read as something else: without its conditions, say.
            Some(item.filter(|_| faults.count() == before))
        });
        items.unwrap_or_default()
    }

    /// As [`Self::list`]; for an empty one notes `empty`, which says what an empty list would mean.
    pub(super) fn filled<T>(self, empty: &str, read: impl FnMut(Node<'_>) -> Option<T>) -> Option<Vec<T>> {
        match &self.value {
            Value::Array(items) if items.is_empty() => self.fault(empty),
            _ => self.list(read),
        }
    }
}

/// An object whose members are taken out one by one.
pub(super) struct Object<'a> {
    members: Map<String, Value>,
    known: Vec<&'static str>,
    pub(super) path: Path<'a>,
    pub(super) faults: &'a Faults,
}

impl Object<'_> {
    /// Whether the member is given and has not been read yet.
    #[inline(never)]
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Reads a member that may be absent. `None`: it is absent, or faulty and noted.
    pub(super) fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Node<'_>) -> Option<T>,
    ) -> Option<T> {
        read(self.take(name)?)
    }

    #[inline(never)]
    fn take(&mut self, name: &'static str) -> Option<Node<'_>> {
        self.known.push(name);
        let value = self.members.shift_remove(name)?;
        Some(Node { value, path: Path::Field(&self.path, name), faults: self.faults })
    }

    /// Reads a member that must be there.
    pub(super) fn required<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(Node<'_>) -> Option<T>,
    ) -> Option<T> {
        if !self.has(name) {
            self.known.push(name);
            return self.fault_at(name, "required");
        }
        self.optional(name, read)
    }

    /// Notes a fault of the whole object.
    pub(super) fn fault<T>(&self, message: impl AsRef<str>) -> Option<T> {
        self.faults.add(&self.path, message);
        None
    }

    /// Notes a fault of one member.
    pub(super) fn fault_at<T>(&self, name: &str, message: impl AsRef<str>) -> Option<T> {
        self.note_at(name, message.as_ref());
        None
    }

    #[cold]
    #[inline(never)]
    fn note_at(&self, name: &str, message: &str) {
        self.faults.add(&Path::Field(&self.path, name), message);
    }

    /// To be called where a fault says all there is to say of the object.
    pub(super) fn pass_over_the_rest(&mut self) {
        self.members.clear();
    }

    /// What is left was not asked for: an unknown field is refused, for a misspelt condition that is passed
    /// over silently would let requests through.
    #[inline(never)]
    fn refuse_the_rest(self) {
        for name in self.members.keys() {
            let mut hint = self.faults.hint(name, self.known.iter().copied());
            if hint.is_empty() {
                hint = self.known_fields();
            }
            self.faults.add(&Path::Field(&self.path, name), format!("{UNKNOWN_FIELD}{hint}"));
        }
    }

    /// What may be given here, as far as that is not long.
    #[cold]
    fn known_fields(&self) -> String {
        const FEW: usize = 12;
        let mut known: Vec<&str> = Vec::new();
        for name in &self.known {
            if !known.contains(name) {
                known.push(name);
            }
        }
        match known.len() {
            0 => "; nothing may be given here".to_owned(),
            1..=FEW => format!("; known here: {}", known.join(", ")),
            _ => String::new(),
        }
    }
}
