//! JSON read strictly: an object that names a member twice is refused, at every depth.
//!
//! Two readers of such an object may each believe another of the two values (RFC 7515 section 4, RFC 7519
//! section 4, RFC 8725 section 2.4). Depth is bounded by serde_json (128), size by the caller.

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Why bytes are not taken as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JsonFault {
    /// An object with a member twice.
    DuplicateMember,
    /// Something other than an object.
    NotAnObject,
    /// Not JSON, not UTF-8, nested too deep, or a number out of range.
    Syntax,
}

impl fmt::Display for JsonFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DuplicateMember => "an object with a member twice",
            Self::NotAnObject => "not a JSON object",
            Self::Syntax => "not JSON",
        })
    }
}

/// The one value that `bytes` hold.
pub(crate) fn parse(bytes: &[u8]) -> Result<Value, JsonFault> {
    match serde_json::from_slice::<Strict>(bytes) {
        Ok(Strict(value)) => Ok(value),
        // The visitor below takes every type, so a fault in the data is one that it raised itself.
        Err(error) if error.is_data() => Err(JsonFault::DuplicateMember),
        Err(_) => Err(JsonFault::Syntax),
    }
}

/// The one object that `bytes` hold.
pub(crate) fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, JsonFault> {
    match parse(bytes)? {
        Value::Object(members) => Ok(members),
        _ => Err(JsonFault::NotAnObject),
    }
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(element)) = elements.next_element()? {
            list.push(element);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some((name, Strict(value))) = members.next_entry::<String, Strict>()? {
            if object.insert(name, value).is_some() {
                return Err(A::Error::custom("duplicate member"));
            }
        }
        Ok(Value::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn same_as_serde_json_but_for_duplicates() {
        for (text, expected) in [
            (
                r#"{"a":1,"b":[null,true,"x",-2,1.5,{"c":{}}]}"#,
                Ok(json!({"a":1,"b":[null,true,"x",-2,1.5,{"c":{}}]})),
            ),
            (r#""text""#, Ok(json!("text"))),
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
            ("", Err(JsonFault::Syntax)),
            ("{\"a\":\"\u{0}\"}", Err(JsonFault::Syntax)),
            ("\u{feff}{}", Err(JsonFault::Syntax)),
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text}");
        }
        assert_eq!(parse(b"{\"a\":\"\xff\"}"), Err(JsonFault::Syntax));
    }

    #[test]
    fn objects_only() {
        assert_eq!(parse_object(b"{}"), Ok(Map::new()));
        for text in ["[]", "null", "1", "\"{}\""] {
            assert_eq!(parse_object(text.as_bytes()), Err(JsonFault::NotAnObject), "{text}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(100).as_bytes()).is_ok());
        assert_eq!(parse(nested(100_000).as_bytes()), Err(JsonFault::Syntax));
        assert_eq!(parse("{\"a\":".repeat(100_000).as_bytes()), Err(JsonFault::Syntax));
    }
}
