//! JSON as a tree with places. Whether it is JSON says serde_json, as in the module.

use std::ops::Range;

use hashbrown::HashSet;
use serde_json::Value as Json;

use super::{
    findings::Broken,
    scalar::{Form, Scalar},
    tree::{Member, Node, Value},
};

/// Reads the one value of `text`, and notes names that an object has twice.
///
/// # Errors
/// The first place where it is no JSON.
pub(super) fn read(text: &str) -> Result<(Node, Vec<Broken>), Broken> {
    // A tree, for that bounds the depth.
    if let Err(error) = serde_json::from_str::<Json>(text) {
        return Err(not_json(text, &error));
    }
    let mut reader = Reader { text, at: 0, repeated: Vec::new() };
    match reader.value() {
        Some(node) => Ok((node, reader.repeated)),
        None => Err(Broken::new(0..0, "not valid JSON")),
    }
}

fn not_json(text: &str, error: &serde_json::Error) -> Broken {
    let line = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum::<usize>();
    let mut at = line.saturating_add(error.column().saturating_sub(1)).min(text.len());
    while !text.is_char_boundary(at) {
        at = at.saturating_sub(1);
    }
    // It ends with the place, which is shown otherwise.
    let message = error.to_string();
    let message = message.split(" at line ").next().unwrap_or_default();
    let hint = match error.classify() {
        serde_json::error::Category::Eof => "; the text ends too early",
        _ if text.get(at..).is_some_and(|rest| rest.starts_with("//") || rest.starts_with("/*")) => {
            "; JSON has no comments"
        }
        _ => "",
    };
    Broken::new(at..at, format!("not valid JSON: {message}{hint}"))
}

/// Reads what is known to be JSON. `None` would mean that it is not.
struct Reader<'t> {
    text: &'t str,
    at: usize,
    repeated: Vec<Broken>,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip(&mut self, is_skipped: impl Fn(char) -> bool) {
        let rest = self.rest();
        let len = rest.find(|c| !is_skipped(c)).unwrap_or(rest.len());
        self.at = self.at.saturating_add(len);
    }

    /// The next character that says something.
    fn peek(&mut self) -> Option<char> {
        self.skip(|c| " \t\r\n".contains(c));
        self.rest().chars().next()
    }

    fn take(&mut self, wanted: char) -> bool {
        let found = self.peek() == Some(wanted);
        if found {
            self.at = self.at.saturating_add(wanted.len_utf8());
        }
        found
    }

    fn value(&mut self) -> Option<Node> {
        let first = self.peek()?;
        let start = self.at;
        let value = match first {
            '{' => self.object()?,
            '[' => self.list()?,
            '"' => Value::Scalar(self.string()?.0),
            _ => {
                self.skip(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
                let text = self.text.get(start..self.at)?.to_owned();
                Value::Scalar(Scalar { text, form: Form::Json, tag: None })
            }
        };
        Some(Node { span: start..self.at, value })
    }

    fn list(&mut self) -> Option<Value> {
        let mut items = Vec::new();
        self.take('[');
        while !self.take(']') {
            items.push(self.value()?);
            self.take(',');
        }
        Some(Value::List(items))
    }

    fn object(&mut self) -> Option<Value> {
        let (mut members, mut names) = (Vec::new(), HashSet::new());
        self.take('{');
        while !self.take('}') {
            self.peek()?;
            let (name, name_span) = self.string()?;
            if !names.insert(name.text.clone()) {
                let message = format!("{:?} is given more than once", name.text);
                self.repeated.push(Broken::new(name_span.clone(), message));
            }
            self.take(':');
            let value = self.value()?;
            members.push(Member { name, name_span, value });
            self.take(',');
        }
        Some(Value::Object(members))
    }

    fn string(&mut self) -> Option<(Scalar, Range<usize>)> {
        let start = self.at;
        let mut escaped = false;
        let inner = self.rest().get(1..)?;
        let close = inner.find(|c| {
            let closes = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            closes
        })?;
        self.at = start.saturating_add(close).saturating_add(2);
        let text = serde_json::from_str(self.text.get(start..self.at)?).ok()?;
        Some((Scalar { text, form: Form::Quoted, tag: None }, start..self.at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::scalar::Dialect;
    use proptest::prelude::*;

    #[test]
    fn places_are_bytes_of_the_text() {
        let text = r#" {"é\n": [1, -2.5e+3 ,true], "b" : {"\u0062\\": "\"}"} , "c":[] ,"d":{}}"#;
        let (node, _) = read(text).unwrap();
        let shown = |node: &Node| text.get(node.span.clone()).unwrap().to_owned();
        let first = node.get(Dialect::Envoy, "é\n").unwrap();
        assert_eq!(first.items().iter().map(shown).collect::<Vec<_>>(), ["1", "-2.5e+3", "true"]);
        let inner = node.get(Dialect::Envoy, "b").unwrap().member(Dialect::Envoy, "b\\").unwrap();
        assert_eq!(text.get(inner.name_span.clone()).unwrap(), r#""\u0062\\""#);
        assert_eq!((inner.value.text(), shown(&inner.value).as_str()), (Some("\"}"), r#""\"}""#));
    }

    #[test]
    fn what_is_no_json_has_its_place() {
        for (text, at, message) in [
            ("", 0, "not valid JSON: EOF while parsing a value; the text ends too early"),
            ("{\"a\": 1,\n \"é\": x}", 16, "not valid JSON: expected value"),
            ("{\"a\": 1 \"b\": 2}", 8, "not valid JSON: expected `,` or `}`"),
            ("{} {}", 3, "not valid JSON: trailing characters"),
        ] {
            let broken = read(text).err().unwrap();
            assert_eq!((broken.span.start, broken.message.as_str()), (at, message), "{text}");
        }
        assert!(read(&"[".repeat(100_000)).is_err());
        let (_, repeated) = read(r#"{"a": 1, "b": {"c": 1, "\u0063": 2}, "a": 3}"#).unwrap();
        assert_eq!(repeated.iter().map(|broken| broken.span.start).collect::<Vec<_>>(), [23, 37]);
    }

    fn trees() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<String>().prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 64, 20, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
                prop::collection::btree_map(any::<String>(), inner, 0..6)
                    .prop_map(|members| Json::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_same_as_serde_json_reads(tree in trees(), pretty: bool) {
            let text = if pretty { serde_json::to_string_pretty(&tree) } else { serde_json::to_string(&tree) };
            let (node, repeated) = read(&text.unwrap()).unwrap();
            prop_assert_eq!(node.to_json(Dialect::Envoy), tree);
            prop_assert!(repeated.is_empty());
        }
    }
}
