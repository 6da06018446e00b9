//! The tree of values that a document is, and how it is read: nodes, lists and objects. Every fault is noted with its
//! path, and reading goes on behind it.
//!
//! A function that reads takes a [`Node`]. It gives `None` only after it noted a fault, so a document without faults is
//! complete. Values are moved out of the tree as they are read, which saves copying them.

use std::vec;

use serde_json::{Map, Value};

use super::{
    faults::{Faults, Path},
    input,
    model::{Field, Kind, Presence, Shape},
};
use crate::fault::UNKNOWN_FIELD;

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

    /// Notes that something else stands here than is expected. The value is not shown, for it may be a secret in the
    /// wrong place.
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

    /// Takes the text out of a string. For anything else it notes that `expected` should stand here.
    #[inline(never)]
    pub(super) fn text(&mut self, expected: &str) -> Option<String> {
        match &mut self.value {
            Value::String(text) => Some(std::mem::take(text)),
            _ => self.mismatch(expected),
        }
    }

    /// How many items a list has that may stand apart.
    pub(super) fn count_apart(&self, apart: Option<&[&str]>) -> usize {
        apart.map_or_else(|| self.count(), <[_]>::len)
    }

    /// How many items a list has. Anything else counts as one item, which cannot be read.
    pub(super) fn count(&self) -> usize {
        self.value.as_array().map_or(1, Vec::len)
    }

    /// The object that must stand here. When it is dropped, each member that its `shape` does not declare is noted as a
    /// fault.
    #[inline(never)]
    pub(super) fn object(self, shape: &'static Shape) -> Option<Object<'a>> {
        match self.value {
            Value::Object(members) => Some(Object { members, shape, path: self.path, faults: self.faults }),
            _ => self.mismatch("an object"),
        }
    }

    /// The list that must stand here, with one item at least. An empty list is a fault, and `empty` says what is wrong
    /// with it.
    #[inline(never)]
    pub(super) fn filled(self, empty: &str) -> Option<Items<'a>> {
        match &self.value {
            Value::Array(items) if items.is_empty() => self.fault(empty),
            _ => self.list(),
        }
    }

    /// As [`Self::filled`], with `most` items at most.
    pub(super) fn few(self, most: usize, empty: &str) -> Option<Items<'a>> {
        match &self.value {
            Value::Array(items) if items.len() > most => {
                self.fault(format!("has {} entries; at most {most} are allowed", items.len()))
            }
            _ => self.filled(empty),
        }
    }

    /// The list of two that must stand here; of any other number `other` says what is wrong with it.
    fn pair(self, other: &str) -> Option<Items<'a>> {
        match &self.value {
            Value::Array(items) if items.len() != 2 => self.fault(other),
            _ => self.list(),
        }
    }

    /// The list that must stand here. It may be empty.
    #[inline(never)]
    pub(super) fn list(self) -> Option<Items<'a>> {
        match self.value {
            Value::Array(items) => {
                let items = Source::Values(items.into_iter());
                Some(Items { items, next: 0, list: self.path, faults: self.faults })
            }
            _ => self.mismatch("a list"),
        }
    }

    /// As [`Self::filled`]. `apart` are the items where they stand apart, as text.
    pub(super) fn filled_apart(self, apart: Option<Vec<&'a str>>, empty: &str) -> Option<Items<'a>> {
        match apart {
            Some(items) if !items.is_empty() => {
                let items = Source::Texts(items.into_iter());
                Some(Items { items, next: 0, list: self.path, faults: self.faults })
            }
            _ => self.filled(empty),
        }
    }
}

/// The items of a list, one by one.
pub(super) struct Items<'a> {
    items: Source<'a>,
    next: usize,
    list: Path<'a>,
    faults: &'a Faults,
}

enum Source<'a> {
    Values(vec::IntoIter<Value>),
    /// Each becomes a value when its turn comes.
    Texts(vec::IntoIter<&'a str>),
}

impl Items<'_> {
    /// The next item.
    #[inline(never)]
    pub(super) fn next(&mut self) -> Option<Node<'_>> {
        let value = match &mut self.items {
            Source::Values(values) => values.next()?,
            // They are good JSON, or nothing would be read.
            Source::Texts(texts) => input::item(texts.next()?).unwrap_or_default(),
        };
        let path = Path::Index(&self.list, self.next);
        self.next = self.next.saturating_add(1);
        Some(Node { value, path, faults: self.faults })
    }

    /// How many are left.
    pub(super) fn len(&self) -> usize {
        match &self.items {
            Source::Values(values) => values.len(),
            Source::Texts(texts) => texts.len(),
        }
    }

    /// What `read` makes of the items. `None` if one of them has a fault; the others are read all the same, for their
    /// faults.
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

    /// What `read` makes of each item, with `None` in the place of each that has a fault. So a feature can judge the
    /// good items of a list although others are bad.
    pub(super) fn each<T>(mut self, mut read: impl FnMut(usize, Node<'_>) -> Option<T>) -> Vec<Option<T>> {
        let faults = self.faults;
        let mut all = Vec::with_capacity(self.len());
        while let Some(item) = self.next() {
            let before = faults.count();
            let item = read(all.len(), item);
            // An item with a fault may have been read as something that was not meant, such as a rule without the
            // condition that has the fault.
            all.push(item.filter(|_| faults.count() == before));
        }
        all
    }
}

/// An object, whose members are read one by one as its shape declares them.
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

    /// The members that are not read yet.
    pub(super) fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// An object with these members in the place of the one that is declared as `name`, whose faults go to `faults`.
    pub(super) fn in_place_of<'n>(
        &'n self,
        name: &'static str,
        members: Map<String, Value>,
        faults: &'n Faults,
    ) -> Option<Object<'n>> {
        match self.field(name)?.kind {
            Kind::Object(shape) => {
                Some(Object { members, shape, path: Path::Field(&self.path, name), faults })
            }
            _ => None,
        }
    }

    /// Whether one of these members is given.
    pub(super) fn has_one(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.has(name))
    }

    /// The path of a member, whether or not it is given.
    pub(super) fn at<'n>(&'n self, name: &'n str) -> Path<'n> {
        Path::Field(&self.path, name)
    }

    /// Takes the value of a member. `None` where it is not given, which is a fault if it is required.
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

    /// What the shape says of a field. To read a field that is not declared is a mistake in this program, and a policy in
    /// which that happens is refused.
    #[inline(never)]
    fn field(&self, name: &str) -> Option<&'static Field> {
        self.shape.field(name).or_else(|| self.fault_at(name, "is read and not declared"))
    }

    /// What is declared of a field, and its value where it is given.
    pub(super) fn get(&mut self, name: &'static str) -> Option<(&'static Field, Option<Node<'_>>)> {
        Some((self.field(name)?, self.take(name)))
    }

    /// The default of a field, as declared, if the field is left out.
    pub(super) fn left_out(&self, name: &str) -> Option<&'static str> {
        match self.field(name)?.presence {
            Presence::Default(text) if !self.has(name) => Some(text),
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

    /// As [`Self::object`]. Where it is left out, it is an object without members, whose fields have their defaults.
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

    /// As [`Self::object`], where the fault of anything else says that `expected` should stand there.
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

    /// The items of a list, in the number that is declared: at least one.
    #[inline(never)]
    pub(super) fn list(&mut self, name: &'static str) -> Option<Items<'_>> {
        match self.get(name)? {
            (Field { kind: Kind::List(empty, _), .. }, Some(node)) => node.filled(empty),
            (Field { kind: Kind::Few(most, empty, _), .. }, Some(node)) => node.few(*most, empty),
            (Field { kind: Kind::Pair(other, _), .. }, Some(node)) => node.pair(other),
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

    /// Forgets the members that were not read, so that none of them is told as unknown beside a fault of the whole object.
    pub(super) fn pass_over_the_rest(&mut self) {
        self.members.clear();
    }

    /// Names all fields of the object, for a fault. Nothing where they are too many to help.
    #[cold]
    fn known_fields(&self) -> String {
        const FEW: usize = 15;
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

/// Notes every member that is not declared. A condition whose name is misspelt would otherwise be passed over, and let
/// requests through.
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
