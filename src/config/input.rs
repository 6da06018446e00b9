//! The bytes of a policy to a tree of values: JSON text, or a serialized `google.protobuf.Struct`.
//!
//! Envoy hands a `StringValue` over as its text and a `Struct` (plain YAML in `envoy.yaml`) as protobuf.

use prost::Message;
use prost_types::{Struct, Value as ProtoValue, value::Kind};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value, value::RawValue};

use super::faults::{Faults, Path, quoted};
use crate::fault::Fault;

/// Largest policy in bytes: room for some 300,000 API keys, and a bound on what configuring can allocate.
pub const MAX_POLICY_BYTES: usize = 64 << 20;

/// Field 1, length-delimited: what every non-empty `Struct` begins with. It is also a line feed, with which
/// JSON text may begin.
const STRUCT_TAG: u8 = 0x0a;

/// A document as it is read.
pub(super) struct Input<'t> {
    /// Lists that stand apart are empty here.
    pub(super) value: Value,
    pub(super) apart: Apart<'t>,
}

/// The lists of which each item is left as text until it is read: as values they take many times their room, and there may
/// be hundreds of thousands. `None`: there is no such list, or it stands in the value.
#[derive(Default)]
pub(super) struct Apart<'t> {
    pub(super) keys: Option<Vec<&'t str>>,
    pub(super) rules: Option<Vec<&'t str>>,
}

/// A good JSON object with these lists apart, whose items are not looked at. `None`: it is something else.
pub(super) fn apart(bytes: &[u8]) -> Option<Input<'_>> {
    if bytes.len() > MAX_POLICY_BYTES {
        return None;
    }
    let mut apart = Apart::default();
    let value = good(bytes, Place::Document(&mut apart)).filter(Value::is_object)?;
    Some(Input { value, apart })
}

/// An item of a list that stands apart. `None`: it is not good JSON, or repeats a member.
pub(super) fn item(text: &str) -> Option<Value> {
    good(text.as_bytes(), Place::Other)
}

fn good<'t>(bytes: &'t [u8], place: Place<'_, 't>) -> Option<Value> {
    let mut repeated = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Tree { repeated: &mut repeated, place }.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    repeated.is_empty().then_some(value)
}

/// Reads the tree. `None`: nothing could be read, and a fault says why.
pub(super) fn parse(bytes: &[u8], faults: &Faults) -> Option<Value> {
    let fault = |message: String| {
        faults.add(&Path::Root, message);
        None
    };
    if bytes.len() > MAX_POLICY_BYTES {
        return fault(format!(
            "the policy is {} bytes long; the most that is read is {MAX_POLICY_BYTES}",
            bytes.len()
        ));
    }
    let Some(first) = bytes.iter().find(|b| !b" \t\r\n".contains(b)) else {
        return fault("a policy is required: the filter's configuration is empty".into());
    };
    // An entry of 123 bytes makes a Struct begin with a line feed and `{`, so JSON that does not parse may
    // still be a Struct.
    let json = (*first == b'{').then(|| json(bytes, faults));
    if let Some(Ok(value)) = json {
        return Some(value);
    }
    if bytes.first() == Some(&STRUCT_TAG)
        && let Ok(message) = Struct::decode(bytes)
    {
        return Some(object(message, &Path::Root, faults));
    }
    match json {
        Some(Err(error)) => fault(format!("not valid JSON: {error}")),
        _ if serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_ok() => {
            fault("the policy must be a JSON object".into())
        }
        _ => fault("the policy is neither JSON nor a protobuf Struct".into()),
    }
}

/// Strict JSON; repeated members are faults, for readers differ in which of them counts (RFC 8259 section 4).
fn json(bytes: &[u8], faults: &Faults) -> Result<Value, serde_json::Error> {
    let mut repeated = Vec::new();
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = Tree { repeated: &mut repeated, place: Place::Other }.deserialize(&mut deserializer)?;
    deserializer.end()?;
    for Fault { path, message } in repeated {
        faults.add_at(path, message);
    }
    Ok(value)
}

/// Builds a value and notes repeated members. serde_json bounds the depth at 128.
struct Tree<'r, 't> {
    /// Paths are relative to the value being read.
    repeated: &'r mut Vec<Fault>,
    place: Place<'r, 't>,
}

/// Where a value stands, as far as it matters for what is left as text.
enum Place<'r, 't> {
    Document(&'r mut Apart<'t>),
    ApiKeys(&'r mut Apart<'t>),
    /// What stands here is left as text, if it is a list.
    List(&'r mut Option<Vec<&'t str>>),
    Other,
}

impl<'t> Place<'_, 't> {
    /// The place of a member.
    fn of(&mut self, name: &str) -> Place<'_, 't> {
        match (self, name) {
            (Self::Document(apart), "apiKeys") => Place::ApiKeys(apart),
            (Self::Document(apart), "rules") => Place::List(&mut apart.rules),
            (Self::ApiKeys(apart), "keys") => Place::List(&mut apart.keys),
            _ => Place::Other,
        }
    }
}

/// A bound on what a hostile document can make us note; the first one already fails it.
const MAX_REPEATED: usize = 100;

/// Notes the step to a value one level further in, in what was noted within it since `before`.
fn name_step(repeated: &mut [Fault], before: usize, step: impl FnOnce() -> String) {
    if repeated.len() > before {
        let step = step();
        for fault in repeated.iter_mut().skip(before) {
            *fault = std::mem::replace(fault, Fault::new("", "")).within(&step);
        }
    }
}

impl<'de> DeserializeSeed<'de> for Tree<'_, 'de> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_, 'de> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }

    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }

    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::Number(v.into()))
    }

    fn visit_f64<E: Error>(self, v: f64) -> Result<Value, E> {
        number(v).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }

    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::String(v.to_owned()))
    }

    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::String(v))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        if let Place::List(list) = self.place {
            let mut texts = Vec::new();
            while let Some(item) = items.next_element::<&RawValue>()? {
                texts.push(item.get());
            }
            *list = Some(texts);
            return Ok(Value::Array(Vec::new()));
        }
        let mut list = Vec::new();
        loop {
            let before = self.repeated.len();
            let item =
                items.next_element_seed(Tree { repeated: &mut *self.repeated, place: Place::Other })?;
            name_step(self.repeated, before, || format!("[{}]", list.len()));
            match item {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let before = self.repeated.len();
            let place = self.place.of(&name);
            let value = entries.next_value_seed(Tree { repeated: &mut *self.repeated, place })?;
            name_step(self.repeated, before, || Path::step(&name));
            if !map.contains_key(&name) {
                map.insert(name, value);
            } else if self.repeated.len() < MAX_REPEATED {
                let message = format!("{} is given more than once", quoted(&name));
                self.repeated.push(Fault::new(Path::step(&name), message));
            }
        }
        Ok(Value::Object(map))
    }
}

/// A whole number where the double is one exactly, so that `5`, `5.0` and a Struct's 5 are the same number.
fn number(v: f64) -> Option<Number> {
    /// 2^53: from here on doubles skip integers, so that what was written is not known.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if v.fract() == 0.0 && v.abs() < EXACT {
        #[expect(clippy::as_conversions, reason = "whole and below 2^53: exact")]
        return Some((v as i64).into());
    }
    Number::from_f64(v)
}

/// prost bounds the depth of messages at 100, so this recursion ends.
fn object(message: Struct, path: &Path<'_>, faults: &Faults) -> Value {
    let members = message.fields.into_iter().map(|(name, value)| {
        let value = proto_value(value, &Path::Field(path, &name), faults);
        (name, value)
    });
    Value::Object(members.collect())
}

fn proto_value(value: ProtoValue, path: &Path<'_>, faults: &Faults) -> Value {
    match value.kind {
        // A value without a kind is invalid in a Struct; null is refused wherever a value is due.
        None | Some(Kind::NullValue(_)) => Value::Null,
        Some(Kind::BoolValue(v)) => Value::Bool(v),
        Some(Kind::StringValue(v)) => Value::String(v),
        Some(Kind::StructValue(v)) => object(v, path, faults),
        Some(Kind::ListValue(list)) => {
            let items = list.values.into_iter().enumerate();
            Value::Array(items.map(|(i, v)| proto_value(v, &Path::Index(path, i), faults)).collect())
        }
        Some(Kind::NumberValue(v)) => number(v).map_or_else(
            || {
                faults.add(path, "not a finite number");
                Value::Null
            },
            Value::Number,
        ),
    }
}
