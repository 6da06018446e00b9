//! Reads a tree of values field by field, each as it is declared, and notes every fault with its path, instead of
//! stopping at the first.
//!
//! A reading function takes a [`Node`] and gives `None` only after it noted a fault, so a document with no
//! faults is complete. Values are taken out of the tree as they are read.

use std::time::Duration;

use serde_json::{Map, Value};

use super::{
    faults::{Faults, Path},
    form,
    model::{Field, Kind, Presence, Shape},
    scalar,
    urls::{url, urls},
};
use crate::{fault::UNKNOWN_FIELD, identity::ClaimPath, time::Timestamp, url::Url};

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
    pub(super) fn count(&self) -> usize {
        self.value.as_array().map_or(1, Vec::len)
    }

    /// The object that is due here. What its `shape` does not know is refused when it goes out of use.
    #[inline(never)]
    pub(super) fn object(self, shape: &'static Shape) -> Option<Object<'a>> {
        match self.value {
            Value::Object(members) => Some(Object { members, shape, path: self.path, faults: self.faults }),
            _ => self.mismatch("an object"),
        }
    }

    /// The list that is due here; for an empty one notes `empty`, which says what an empty list would mean.
    #[inline(never)]
    pub(super) fn filled(self, empty: &str) -> Option<Items<'a>> {
        match &self.value {
            Value::Array(items) if items.is_empty() => self.fault(empty),
            _ => self.list(),
        }
    }

    /// As [`Self::filled`], with at most so many items.
    pub(super) fn few(self, most: usize, empty: &str) -> Option<Items<'a>> {
        match &self.value {
            Value::Array(items) if items.len() > most => {
                self.fault(format!("has {} entries; at most {most} are allowed", items.len()))
            }
            _ => self.filled(empty),
        }
    }

    /// The list that is due here, which may be empty.
    #[inline(never)]
    pub(super) fn list(self) -> Option<Items<'a>> {
        match self.value {
            Value::Array(items) => {
                Some(Items { items: items.into_iter(), next: 0, list: self.path, faults: self.faults })
            }
            _ => self.mismatch("a list"),
        }
    }
}

/// The items of a list, one by one.
pub(super) struct Items<'a> {
    items: std::vec::IntoIter<Value>,
    next: usize,
    list: Path<'a>,
    faults: &'a Faults,
}

impl Items<'_> {
    /// The next item.
    #[inline(never)]
    pub(super) fn next(&mut self) -> Option<Node<'_>> {
        let value = self.items.next()?;
        let path = Path::Index(&self.list, self.next);
        self.next = self.next.saturating_add(1);
        Some(Node { value, path, faults: self.faults })
    }

    /// How many are left.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Every item as `read` has it; `None` if one is faulty.
    pub(super) fn all<T>(mut self, mut read: impl FnMut(Node<'_>) -> Option<T>) -> Option<Vec<T>> {
        let mut all = Some(Vec::with_capacity(self.len()));
        while let Some(item) = self.next() {
            match (read(item), &mut all) {
                (Some(item), Some(all)) => all.push(item),
                _ => all = None,
            }
        }
        all
    }

    /// Items that are worth judging one by one: `None` in the place of each that has a fault.
    pub(super) fn each<T>(mut self, mut read: impl FnMut(usize, Node<'_>) -> Option<T>) -> Vec<Option<T>> {
        let faults = self.faults;
        let mut all = Vec::with_capacity(self.len());
        while let Some(item) = self.next() {
            let before = faults.count();
            let item = read(all.len(), item);
            // With a fault in it an item may read as something else: without its conditions, say.
            all.push(item.filter(|_| faults.count() == before));
        }
        all
    }
}

/// An object whose members are read one by one, by what its shape says of them.
pub(super) struct Object<'a> {
    members: Map<String, Value>,
    pub(super) shape: &'static Shape,
    pub(super) path: Path<'a>,
    pub(super) faults: &'a Faults,
}

impl Object<'_> {
    /// Whether the member is given.
    #[inline(never)]
    pub(super) fn has(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// Whether one of these members is given.
    pub(super) fn has_one(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.has(name))
    }

    /// Where a member stands, or would.
    pub(super) fn at<'n>(&'n self, name: &'n str) -> Path<'n> {
        Path::Field(&self.path, name)
    }

    /// Takes the value of a member; notes a fault where it must be there and is not.
    #[inline(never)]
    pub(super) fn take(&mut self, name: &'static str) -> Option<Node<'_>> {
        let field = self.field(name)?;
        match self.members.get_mut(name) {
            Some(value) => {
                let value = value.take();
                Some(Node { value, path: Path::Field(&self.path, field.name), faults: self.faults })
            }
            None if field.presence == Presence::Required => self.fault_at(name, "required"),
            None => None,
        }
    }

    /// What the shape says of a field. One that is read and not declared would be an error of ours: it is refused.
    #[inline(never)]
    fn field(&self, name: &str) -> Option<&'static Field> {
        self.shape.field(name).or_else(|| self.fault_at(name, "is read and not declared"))
    }

    /// A field and its value, of which there is none where the field is left out.
    fn get(&mut self, name: &'static str) -> Option<(&'static Field, Option<Node<'_>>)> {
        Some((self.field(name)?, self.take(name)))
    }

    /// The default of a field that is left out.
    pub(super) fn left_out(&self, name: &str) -> Option<&'static str> {
        match self.field(name)?.presence {
            Presence::Default(text) if !self.has(name) => Some(text),
            _ => None,
        }
    }

    /// Text of the form that is declared. `None`, here and below: absent without a default, or faulty and noted.
    #[inline(never)]
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        match self.get(name)? {
            (Field { kind: Kind::Text(form), .. }, Some(node)) => form::text(node, *form),
            (Field { presence: Presence::Default(text), .. }, None) => Some((*text).to_owned()),
            _ => None,
        }
    }

    /// A list of different texts of the form that is declared.
    pub(super) fn texts(&mut self, name: &'static str) -> Option<Vec<String>> {
        self.texts_that(name, &mut |_, _, _| Some(()))
    }

    /// As [`Self::texts`], each of which `judge` passes: `None` after it noted a fault.
    #[inline(never)]
    pub(super) fn texts_that(&mut self, name: &'static str, judge: form::Judge<'_>) -> Option<Vec<String>> {
        match self.get(name)? {
            (Field { kind: Kind::List(empty, Kind::Text(form)), .. }, Some(node)) => {
                form::texts(node, empty, *form, judge)
            }
            _ => None,
        }
    }

    /// `true` or `false`; absent without a default, `false`.
    #[inline(never)]
    pub(super) fn boolean(&mut self, name: &'static str) -> bool {
        let Some((field, node)) = self.get(name) else { return false };
        let default = field.presence == Presence::Default("true");
        node.and_then(scalar::boolean).unwrap_or(default)
    }

    /// A member that can be nothing but `true`.
    #[inline(never)]
    pub(super) fn only_true(&mut self, name: &'static str) -> Option<()> {
        match self.get(name)? {
            (Field { kind: Kind::True(otherwise), .. }, Some(node)) => scalar::only_true(node, otherwise),
            _ => None,
        }
    }

    /// A whole number within its range.
    #[inline(never)]
    pub(super) fn number(&mut self, name: &'static str) -> Option<u32> {
        match self.get(name)? {
            (Field { kind: Kind::Number(least, most), .. }, Some(node)) => {
                scalar::number(node, *least, *most)
            }
            (Field { presence: Presence::Default(text), .. }, None) => text.parse().ok(),
            _ => None,
        }
    }

    /// A duration within its range.
    #[inline(never)]
    pub(super) fn duration(&mut self, name: &'static str) -> Option<Duration> {
        match self.get(name)? {
            (Field { kind: Kind::Duration(least, most), .. }, Some(node)) => {
                scalar::duration(node, *least, *most)
            }
            (Field { presence: Presence::Default(text), .. }, None) => scalar::parse_duration(text),
            _ => None,
        }
    }

    /// A point in time.
    pub(super) fn time(&mut self, name: &'static str) -> Option<Timestamp> {
        scalar::timestamp(self.take(name)?)
    }

    /// What the word means that stands there, of the `choices` that are declared.
    pub(super) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &'static [(&'static str, T)],
    ) -> Option<T> {
        choices.get(self.word(name)?).map(|(_, value)| *value)
    }

    /// Which of the declared words stands there.
    #[inline(never)]
    fn word(&mut self, name: &'static str) -> Option<usize> {
        match self.get(name)? {
            (Field { kind: Kind::Choice(what, words), .. }, Some(node)) => scalar::word(node, what, words),
            (Field { kind: Kind::Choice(_, words), presence: Presence::Default(word), .. }, None) => {
                words.iter().position(|other| other == word)
            }
            _ => None,
        }
    }

    /// An absolute URL.
    pub(super) fn url(&mut self, name: &'static str) -> Option<Url> {
        match self.get(name)? {
            (Field { kind: Kind::Url { https }, .. }, Some(node)) => url(node, *https),
            _ => None,
        }
    }

    /// A list of different URLs.
    pub(super) fn urls(&mut self, name: &'static str) -> Option<Vec<Url>> {
        match self.get(name)? {
            (Field { kind: Kind::List(empty, Kind::Url { https }), .. }, Some(node)) => {
                urls(node, empty, *https)
            }
            _ => None,
        }
    }

    /// The way to a claim.
    pub(super) fn claim(&mut self, name: &'static str) -> Option<ClaimPath> {
        match self.get(name)? {
            (_, Some(node)) => scalar::claim_path(node),
            (Field { presence: Presence::Default(claim), .. }, None) => Some(ClaimPath::dotted(claim)),
            _ => None,
        }
    }

    /// An object of the shape that is declared.
    #[inline(never)]
    pub(super) fn object(&mut self, name: &'static str) -> Option<Object<'_>> {
        match self.get(name)? {
            (Field { kind: Kind::Object(shape), .. }, Some(node)) => node.object(shape),
            _ => None,
        }
    }

    /// As [`Self::object`]; where it is left out, one without members, so that each field has its default.
    #[inline(never)]
    pub(super) fn object_or_defaults(&mut self, name: &'static str) -> Option<Object<'_>> {
        match self.field(name)? {
            Field { kind: Kind::Object(shape), name, .. } if !self.has(name) => {
                let path = Path::Field(&self.path, name);
                Some(Object { members: Map::new(), shape, path, faults: self.faults })
            }
            _ => self.object(name),
        }
    }

    /// As [`Self::object`]; `expected` says what is due instead of something else.
    #[inline(never)]
    pub(super) fn object_like(&mut self, name: &'static str, expected: &str) -> Option<Object<'_>> {
        match self.get(name)? {
            (Field { kind: Kind::Object(shape), .. }, Some(node)) if node.value.is_object() => {
                node.object(shape)
            }
            (_, Some(node)) => node.mismatch(expected),
            _ => None,
        }
    }

    /// The items of a list, of which there is at least one.
    #[inline(never)]
    pub(super) fn list(&mut self, name: &'static str) -> Option<Items<'_>> {
        match self.get(name)? {
            (Field { kind: Kind::List(empty, _), .. }, Some(node)) => node.filled(empty),
            (Field { kind: Kind::Few(most, empty, _), .. }, Some(node)) => node.few(*most, empty),
            _ => None,
        }
    }

    /// The objects of a list, of the shape that is declared; `None` if one is faulty.
    pub(super) fn objects<T>(
        &mut self,
        name: &'static str,
        mut read: impl FnMut(Object<'_>) -> Option<T>,
    ) -> Option<Vec<T>> {
        let shape = self.shape_of_items(name)?;
        self.list(name)?.all(|node| read(node.object(shape)?))
    }

    /// The shape of the objects that the list `name` holds.
    pub(super) fn shape_of_items(&self, name: &str) -> Option<&'static Shape> {
        match self.field(name)?.kind {
            Kind::List(_, Kind::Object(shape)) | Kind::Few(_, _, Kind::Object(shape)) => Some(shape),
            _ => None,
        }
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

    /// What may be given here, as far as that is not long.
    #[cold]
    fn known_fields(&self) -> String {
        const FEW: usize = 12;
        match self.shape.fields.len() {
            0 => "; nothing may be given here".to_owned(),
            1..=FEW => {
                let known: Vec<&str> = self.shape.fields.iter().map(|field| field.name).collect();
                format!("; known here: {}", known.join(", "))
            }
            _ => String::new(),
        }
    }
}

/// An unknown field is refused, for a misspelt condition that is passed over silently would let requests through.
impl Drop for Object<'_> {
    #[inline(never)]
    fn drop(&mut self) {
        for name in self.members.keys().filter(|name| self.shape.field(name).is_none()) {
            let mut hint = self.faults.hint(name, self.shape.fields.iter().map(|field| field.name));
            if hint.is_empty() {
                hint = self.known_fields();
            }
            self.faults.add(&Path::Field(&self.path, name), format!("{UNKNOWN_FIELD}{hint}"));
        }
    }
}
