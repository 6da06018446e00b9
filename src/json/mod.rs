//! JSON from outside: read strictly, kept flat.
//!
//! A tree of maps and strings costs an allocation for nearly everything in it, and tokens are read for each request
//! that brings a new one. So a [`FlatJson`] is two pieces of memory, its text and its nodes in the order of the text, and
//! is looked at through [`Json`].

mod read;

use serde_json::{Map, Number, Value};

pub use self::read::JsonFault;
pub(crate) use self::read::{parse_loosely, parse_object, without_byte_order_mark};

/// One value with all that is in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct FlatJson {
    /// Every name and every string, without their quotes and escapes, one behind the other.
    text: String,
    nodes: Vec<Node>,
}

/// What a value or a name is. Those within a list or an object follow it: values, or names each with its value.
#[derive(Clone, Debug)]
enum Node {
    Null,
    Bool(bool),
    Number(Number),
    /// Also the name of a member.
    String(Piece),
    /// `nodes` are all that follow and are in it, at any depth.
    List {
        nodes: usize,
        len: usize,
    },
    Object {
        nodes: usize,
        len: usize,
    },
}

/// A part of the text.
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: usize,
    end: usize,
}

/// An object that stands alone. The default has no members.
#[derive(Clone, Debug, Default)]
pub struct Members(FlatJson);

/// A value within a document.
#[derive(Clone, Copy, Debug)]
pub enum Json<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(&'a Number),
    /// A string.
    String(&'a str),
    /// An array.
    List(List<'a>),
    /// An object.
    Object(Object<'a>),
}

/// The values of an array.
#[derive(Clone, Copy, Debug)]
pub struct List<'a>(Nodes<'a>);

/// The members of an object. Their names all differ, unless it was read by [`parse_loosely`].
#[derive(Clone, Copy, Debug)]
pub struct Object<'a>(Nodes<'a>);

/// What is in a list or an object.
#[derive(Clone, Copy, Debug)]
struct Nodes<'a> {
    text: &'a str,
    nodes: &'a [Node],
    len: usize,
}

impl FlatJson {
    /// The value.
    #[inline]
    pub(crate) fn root(&self) -> Json<'_> {
        self.value_at(0).unwrap_or(Json::Null)
    }

    fn value_at(&self, place: usize) -> Option<Json<'_>> {
        Nodes { text: &self.text, nodes: self.nodes.get(place..)?, len: 1 }.next_value()
    }
}

impl Members {
    /// All members.
    pub fn object(&self) -> Object<'_> {
        match self.0.root() {
            Json::Object(object) => object,
            _ => Object(Nodes { text: "", nodes: &[], len: 0 }),
        }
    }

    /// The value of the member `name`.
    pub fn get(&self, name: &str) -> Option<Json<'_>> {
        self.object().get(name)
    }

    /// The memory that it takes beside itself, in bytes.
    pub(crate) fn memory(&self) -> usize {
        let nodes = self.0.nodes.capacity().saturating_mul(size_of::<Node>());
        nodes.saturating_add(self.0.text.capacity())
    }

    /// The same without members that are null; those of inner objects stay.
    pub(crate) fn without_nulls(self) -> Self {
        if !self.object().iter().any(|(_, value)| matches!(value, Json::Null)) {
            return self;
        }
        let (mut inner, mut len, mut rest) = (Vec::new(), 0_usize, self.object().0);
        while let Some((name, after)) = rest.nodes.split_first() {
            let value = Nodes { nodes: after, ..rest };
            rest = value;
            let is_null = matches!(rest.next_value(), None | Some(Json::Null));
            let taken = after.len().saturating_sub(rest.nodes.len());
            if !is_null {
                inner.push(name.clone());
                inner.extend(after.iter().take(taken).cloned());
                len = len.saturating_add(1);
            }
        }
        inner.insert(0, Node::Object { nodes: inner.len(), len });
        Self(FlatJson { nodes: inner, text: self.0.text })
    }
}

impl<'a> Json<'a> {
    /// The text of a string.
    pub fn as_str(self) -> Option<&'a str> {
        if let Self::String(text) = self { Some(text) } else { None }
    }

    /// The number.
    pub fn as_number(self) -> Option<&'a Number> {
        if let Self::Number(number) = self { Some(number) } else { None }
    }

    /// The values of an array.
    pub fn as_list(self) -> Option<List<'a>> {
        if let Self::List(list) = self { Some(list) } else { None }
    }

    /// The members of an object.
    pub fn as_object(self) -> Option<Object<'a>> {
        if let Self::Object(object) = self { Some(object) } else { None }
    }

    /// The same as a tree.
    pub(crate) fn to_value(self) -> Value {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Number(number) => Value::Number(number.clone()),
            Self::String(text) => Value::String(text.to_owned()),
            Self::List(list) => Value::Array(list.iter().map(Json::to_value).collect()),
            Self::Object(object) => {
                let members = object.iter().map(|(name, value)| (name.to_owned(), value.to_value()));
                Value::Object(members.collect::<Map<_, _>>())
            }
        }
    }
}

impl<'a> List<'a> {
    /// The number of values.
    pub fn len(self) -> usize {
        self.0.len
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The values, in order.
    pub fn iter(self) -> impl Iterator<Item = Json<'a>> {
        let mut rest = self.0;
        std::iter::from_fn(move || rest.next_value())
    }
}

impl<'a> Object<'a> {
    /// The number of members.
    pub fn len(self) -> usize {
        self.0.len
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The value of the member `name`.
    pub fn get(self, name: &str) -> Option<Json<'a>> {
        let mut rest = self.0;
        // Passes over values without a look at them.
        while rest.next_name()? != name {
            rest.skip_value()?;
        }
        rest.next_value()
    }

    /// The names, in order.
    pub(crate) fn names(self) -> impl Iterator<Item = &'a str> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let name = rest.next_name()?;
            rest.skip_value()?;
            Some(name)
        })
    }

    /// Whether there is a member `name`.
    pub fn contains(self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Names and values, in order.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Json<'a>)> {
        let mut rest = self.0;
        std::iter::from_fn(move || Some((rest.next_name()?, rest.next_value()?)))
    }
}

impl<'a> Nodes<'a> {
    /// The first value, or name, of what is left.
    fn next_value(&mut self) -> Option<Json<'a>> {
        let (first, after) = self.nodes.split_first()?;
        self.nodes = after;
        Some(match first {
            Node::Null => Json::Null,
            Node::Bool(value) => Json::Bool(*value),
            Node::Number(number) => Json::Number(number),
            Node::String(piece) => Json::String(self.text.get(piece.start..piece.end)?),
            Node::List { nodes, len } => Json::List(List(self.take(*nodes, *len)?)),
            Node::Object { nodes, len } => Json::Object(Object(self.take(*nodes, *len)?)),
        })
    }

    fn next_name(&mut self) -> Option<&'a str> {
        let (Node::String(piece), after) = self.nodes.split_first()? else { return None };
        self.nodes = after;
        self.text.get(piece.start..piece.end)
    }

    fn skip_value(&mut self) -> Option<()> {
        let (first, after) = self.nodes.split_first()?;
        self.nodes = match first {
            Node::List { nodes, .. } | Node::Object { nodes, .. } => after.get(*nodes..)?,
            Node::Null | Node::Bool(_) | Node::Number(_) | Node::String(_) => after,
        };
        Some(())
    }

    fn take(&mut self, nodes: usize, len: usize) -> Option<Self> {
        let (inner, after) = self.nodes.split_at_checked(nodes)?;
        self.nodes = after;
        Some(Self { text: self.text, nodes: inner, len })
    }
}

/// What a test writes as a tree.
#[cfg(test)]
pub(crate) fn members(object: &Value) -> Members {
    parse_object(object.to_string().as_bytes()).unwrap()
}

#[cfg(test)]
mod tests {
    use super::{read::parse, *};
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn members_by_name_and_in_order() {
        let text = r#"{"a":[1,{"b":"x"},[]],"é\n":null,"c":{"a":{"a":"deep"}},"d":"last"}"#;
        let members = parse_object(text.as_bytes()).unwrap();
        let text = |path: &[&str]| {
            let (last, path) = path.split_last().unwrap();
            let inner = path.iter().try_fold(members.object(), |object, name| object.get(name)?.as_object());
            inner?.get(last)?.as_str()
        };
        assert_eq!(text(&["d"]), Some("last"));
        assert_eq!(text(&["c", "a", "a"]), Some("deep"));
        assert_eq!(text(&["c", "a"]), None, "no text");
        assert_eq!(text(&["b"]), None, "of an inner object");
        assert_eq!(text(&["x"]), None, "a value");
        assert_eq!(members.object().iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "é\n", "c", "d"]);
        assert_eq!(members.object().len(), 4);
        let list = members.get("a").and_then(Json::as_list).unwrap();
        assert_eq!(
            list.iter().map(Json::to_value).collect::<Vec<_>>(),
            [json!(1), json!({"b": "x"}), json!([])]
        );
        assert_eq!((list.len(), list.is_empty()), (3, false));
        assert!(Members::default().object().is_empty());
    }

    fn trees() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 64, 20, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::btree_map("[a-c\"\\\\é]{0,3}", inner, 0..20)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_same_as_a_tree(tree in trees(), member in "[a-c]{0,2}") {
            let document = parse(tree.to_string().as_bytes()).unwrap();
            prop_assert_eq!(document.root().to_value(), tree.clone());
            if let (Some(object), Some(expected)) = (document.root().as_object(), tree.as_object()) {
                prop_assert!(object.names().eq(expected.keys()));
                prop_assert_eq!(object.get(&member).map(Json::to_value), expected.get(&member).cloned());
                for (name, value) in expected {
                    prop_assert_eq!(&object.get(name).unwrap().to_value(), value);
                }
                let kept = parse_object(tree.to_string().as_bytes()).unwrap().without_nulls();
                let not_null = expected.iter().filter(|(_, value)| !value.is_null());
                prop_assert!(kept.object().names().eq(not_null.clone().map(|(name, _)| name)));
                let values = kept.object().iter().map(|(_, value)| value.to_value());
                prop_assert!(values.eq(not_null.map(|(_, value)| value.clone())));
            }
        }
    }

    #[test]
    fn nulls_left_out() {
        for (text, expected) in [
            (
                r#"{"a":null,"b":{"c":null},"d":[null],"e":null,"f":"f"}"#,
                json!({"b": {"c": null}, "d": [null], "f": "f"}),
            ),
            (r#"{"a":null}"#, json!({})),
            (r#"{"a":"a"}"#, json!({"a": "a"})),
            ("{}", json!({})),
        ] {
            let found = parse_object(text.as_bytes()).unwrap().without_nulls();
            assert_eq!(found.0.root().to_value(), expected);
            assert_eq!(found.object().len(), expected.as_object().unwrap().len());
        }
    }
}
