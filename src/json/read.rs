//! JSON read strictly: an object that names a member twice is refused, at every depth.
//!
//! Two readers of such an object may each believe another of the two values (RFC 7515 section 4, RFC 7519
//! section 4, RFC 8725 section 2.4). Depth is bounded by serde_json (128), size by the caller.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::{FlatJson, Json, Members, Node, Nodes, Object, Piece};

/// Up to so many members, each name is compared with each other; the work is bounded either way, whoever wrote them.
const FEW: usize = 16;

/// Why bytes are not taken as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonFault {
    /// Not JSON; the answer that brought it says that it is in this coding, which explains it.
    Coded(&'static str),
    /// An object with a member twice.
    DuplicateMember,
    /// Something other than an object.
    NotAnObject,
    /// Not JSON, not UTF-8, nested too deep, or a number out of range.
    Syntax,
}

impl JsonFault {
    /// The same fault of a body that its answer says is in `coding`. The coding is named only where reading failed,
    /// because some servers name one and send plain JSON.
    pub(crate) fn of_body_in(self, coding: Option<&'static str>) -> Self {
        match (self, coding) {
            (Self::Syntax, Some(coding)) => Self::Coded(coding),
            _ => self,
        }
    }
}

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Coded(coding) => {
                return write!(f, "not JSON but in a coding ({coding}), although identity was asked for");
            }
            Self::DuplicateMember => "an object with a member twice",
            Self::NotAnObject => "not a JSON object",
            Self::Syntax => "not JSON",
        })
    }
}

/// The one value that `bytes` hold.
pub(super) fn parse(bytes: &[u8]) -> Result<FlatJson, JsonFault> {
    let document = parse_loosely(bytes)?;
    if document.root().repeats_a_member() { Err(JsonFault::DuplicateMember) } else { Ok(document) }
}

/// The same, but objects may name a member twice: for lists of which each value is judged by itself. Whoever looks
/// into an object asks before whether it repeats one.
pub(crate) fn parse_loosely(bytes: &[u8]) -> Result<FlatJson, JsonFault> {
    let text = str::from_utf8(bytes).map_err(|_| JsonFault::Syntax)?;
    let mut document =
        FlatJson { text: String::with_capacity(text.len()), nodes: Vec::with_capacity(text.len() / 8) };
    let mut source = serde_json::Deserializer::from_str(text);
    let read = Into(&mut document).deserialize(&mut source).and_then(|()| source.end());
    read.map(|()| document).map_err(|_| JsonFault::Syntax)
}

/// RFC 8259 section 8.1: whoever sends JSON leaves out the byte order mark, whoever reads it may pass over one. For
/// documents that are fetched; a token has one form.
pub(crate) fn without_byte_order_mark(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// The one object that `bytes` hold.
pub(crate) fn parse_object(bytes: &[u8]) -> Result<Members, JsonFault> {
    let document = parse(bytes)?;
    match document.root() {
        Json::Object(_) => Ok(Members(document)),
        _ => Err(JsonFault::NotAnObject),
    }
}

/// Puts a value behind what the document has.
struct Into<'d>(&'d mut FlatJson);

impl<'de> DeserializeSeed<'de> for Into<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Into<'_> {
    fn push(self, node: Node) {
        self.0.nodes.push(node);
    }

    /// Puts a place holder; [`Into::close`] says what is in it.
    fn open(&mut self) -> usize {
        let place = self.0.nodes.len();
        self.0.nodes.push(Node::Null);
        place
    }

    /// How many nodes came behind that at `place`.
    fn since(&self, place: usize) -> usize {
        self.0.nodes.len().saturating_sub(place).saturating_sub(1)
    }

    fn close(&mut self, place: usize, node: Node) {
        if let Some(open) = self.0.nodes.get_mut(place) {
            *open = node;
        }
    }
}

impl<'de> Visitor<'de> for Into<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        self.push(Node::Null);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        self.push(Node::Bool(value));
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        self.push(Node::Number(value.into()));
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        self.push(Node::Number(value.into()));
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        self.push(Number::from_f64(value).map_or(Node::Null, Node::Number));
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        let start = self.0.text.len();
        self.0.text.push_str(value);
        let end = self.0.text.len();
        self.push(Node::String(Piece { start, end }));
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        let (place, mut len) = (self.open(), 0_usize);
        while elements.next_element_seed(Into(self.0))?.is_some() {
            len = len.saturating_add(1);
        }
        let nodes = self.since(place);
        self.close(place, Node::List { nodes, len });
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
        let (place, mut len) = (self.open(), 0_usize);
        while members.next_key_seed(Into(self.0))?.is_some() {
            members.next_value_seed(Into(self.0))?;
            len = len.saturating_add(1);
        }
        let nodes = self.since(place);
        self.close(place, Node::Object { nodes, len });
        Ok(())
    }
}

impl Json<'_> {
    /// Whether an object names a member twice, at any depth.
    pub(crate) fn repeats_a_member(self) -> bool {
        match self {
            Self::Object(object) => object.repeats_its_own() || object.0.repeat_a_member(),
            Self::List(list) => list.0.repeat_a_member(),
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) => false,
        }
    }
}

impl Nodes<'_> {
    fn repeat_a_member(self) -> bool {
        let mut rest = self.nodes;
        while let Some((first, after)) = rest.split_first() {
            if let Node::Object { nodes, len } = first
                && after
                    .get(..*nodes)
                    .is_none_or(|nodes| Object(Nodes { text: self.text, nodes, len: *len }).repeats_its_own())
            {
                return true;
            }
            rest = after;
        }
        false
    }
}

impl Object<'_> {
    /// Whether it names a member of its own twice.
    pub(crate) fn repeats_its_own(self) -> bool {
        if self.len() <= FEW {
            let is_earlier = |(place, name)| self.names().take(place).any(|other| other == name);
            return self.names().enumerate().any(is_earlier);
        }
        let mut sorted: Vec<&str> = self.names().collect();
        sorted.sort_unstable();
        sorted.array_windows().any(|[a, b]| a == b)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn tree(text: &[u8]) -> Result<Value, JsonFault> {
        parse(text).map(|document| document.root().to_value())
    }

    #[test]
    fn same_as_serde_json_but_for_duplicates() {
        for (text, expected) in [
            (
                r#"{"a":1,"b":[null,true,"x",-2,1.5,{"c":{}}]}"#,
                Ok(json!({"a":1,"b":[null,true,"x",-2,1.5,{"c":{}}]})),
            ),
            (r#""text""#, Ok(json!("text"))),
            (r#""\"\\\u00e9\ud83d\ude00""#, Ok(json!("\"\\é😀"))),
            (r#"{"a":1,"a":1}"#, Err(JsonFault::DuplicateMember)),
            // The same name, once escaped.
            (r#"{"a":1,"\u0061":2}"#, Err(JsonFault::DuplicateMember)),
            (r#"{"a":1,"A":2}"#, Ok(json!({"a":1,"A":2}))),
            (r#"[{"x":{"a":1,"b":2,"a":3}}]"#, Err(JsonFault::DuplicateMember)),
            (r#"[{"a":1},{"a":2}]"#, Ok(json!([{"a":1},{"a":2}]))),
            (r#"{"a":1}{"#, Err(JsonFault::Syntax)),
            (r#"{"a":1,}"#, Err(JsonFault::Syntax)),
            (r#"{"a":1e999}"#, Err(JsonFault::Syntax)),
            (r#"{"a":NaN}"#, Err(JsonFault::Syntax)),
            (r#"{"a":"\ud83d"}"#, Err(JsonFault::Syntax)),
            (r#"{1:1}"#, Err(JsonFault::Syntax)),
            ("", Err(JsonFault::Syntax)),
            ("{\"a\":\"\u{0}\"}", Err(JsonFault::Syntax)),
            ("\u{feff}{}", Err(JsonFault::Syntax)),
        ] {
            assert_eq!(tree(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(tree(b"{\"a\":\"\xff\"}"), Err(JsonFault::Syntax));
    }

    #[test]
    fn a_member_twice_among_many() {
        let object = |names: &mut dyn Iterator<Item = usize>| {
            let members: Vec<_> = names.map(|n| format!("\"n{n}\":{{\"n{n}\":1}}")).collect();
            format!("{{{}}}", members.join(","))
        };
        for count in [FEW - 1, FEW, FEW + 1, 1000] {
            assert!(tree(object(&mut (0..count)).as_bytes()).is_ok(), "{count}");
            for twice in [0, count / 2, count - 1] {
                let text = object(&mut (0..count).chain([twice]));
                assert_eq!(tree(text.as_bytes()), Err(JsonFault::DuplicateMember), "{twice} of {count}");
            }
        }
    }

    #[test]
    fn each_value_judged_by_itself() {
        let text = r#"{"a":{"x":1,"x":2},"b":[{"c":{"x":1,"x":2}}],"c":[{"x":1},{"x":1}],"d":{"x":{"x":{}}},"e":"x"}"#;
        let document = parse_loosely(text.as_bytes()).unwrap();
        let object = document.root().as_object().unwrap();
        assert!(!object.repeats_its_own() && document.root().repeats_a_member());
        let repeating = object.iter().filter(|(_, value)| value.repeats_a_member()).map(|(name, _)| name);
        assert_eq!(repeating.collect::<Vec<_>>(), ["a", "b"]);
        let own = |name| object.get(name).and_then(Json::as_object).map(Object::repeats_its_own);
        assert_eq!((own("a"), own("d"), own("b")), (Some(true), Some(false), None));
        assert_eq!(parse_loosely(b"{\"a\":1,}").err(), Some(JsonFault::Syntax));
    }

    #[test]
    fn a_byte_order_mark() {
        for (bytes, rest) in [
            (&b"\xef\xbb\xbf{}"[..], &b"{}"[..]),
            (b"{}", b"{}"),
            (b"", b""),
            // One, in front, in UTF-8.
            (b"\xef\xbb\xbf\xef\xbb\xbf{}", b"\xef\xbb\xbf{}"),
            (b" \xef\xbb\xbf{}", b" \xef\xbb\xbf{}"),
            (b"\xfe\xff{}", b"\xfe\xff{}"),
        ] {
            assert_eq!(without_byte_order_mark(bytes), rest, "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn objects_only() {
        assert!(parse_object(b"{}").is_ok_and(|members| members.object().is_empty()));
        for text in ["[]", "null", "1", "\"{}\""] {
            assert_eq!(parse_object(text.as_bytes()).err(), Some(JsonFault::NotAnObject), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(100).as_bytes()).is_ok());
        assert_eq!(parse(nested(100_000).as_bytes()).err(), Some(JsonFault::Syntax));
        assert_eq!(parse("{\"a\":".repeat(100_000).as_bytes()).err(), Some(JsonFault::Syntax));
    }
}
