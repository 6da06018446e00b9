//! YAML as trees with places. Aliases are followed within bounds; what readers could take in two ways is a fault.

use std::{borrow::Cow, ops::Range};

use hashbrown::{HashMap, HashSet};
use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::{
    findings::Broken,
    scalar::{Form, Scalar},
    tree::{Member, Node, Value},
};

/// No policy and no file of Envoy is nested deeper, and recursion over the tree ends.
const MAX_DEPTH: usize = 100;

/// So many values may come from aliases: a few lines of them can stand for more than fits into memory.
const MAX_ALIASED: usize = 100_000;

/// What a file holds.
#[derive(Default)]
pub(super) struct Documents {
    /// Those that say something, in order.
    pub(super) documents: Vec<Node>,
    /// Names that an object has twice.
    pub(super) repeated: Vec<Broken>,
}

/// Reads every document of a file.
///
/// # Errors
/// The first place where it is no YAML, or is more than is read.
pub(super) fn read(text: &str) -> Result<Documents, Broken> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text),
        places: (!text.is_ascii()).then(|| places(text)),
        len: text.len(),
        anchors: HashMap::new(),
        aliased: 0,
        found: Documents::default(),
    };
    while let Some((event, span)) = reader.next()? {
        if matches!(event, Event::DocumentStart(_)) {
            reader.document()?;
        } else if matches!(event, Event::StreamEnd) {
            break;
        } else {
            // The start of the stream, and the ends of documents.
            let _ = span;
        }
    }
    Ok(reader.found)
}

/// The slips that are made most often, in words that say what to do.
fn in_words(said: &str) -> &str {
    match said {
        "mapping values are not allowed in this context" => {
            "no name with a value may stand here; is it indented as its neighbours are, or does text with a colon lack quotes?"
        }
        "while scanning a plain scalar, found a tab" => {
            "a tab; only blanks indent, before this or in the next line"
        }
        "invalid indentation in flow construct" => {
            "this stands within a bracket that is not closed before it"
        }
        "invalid indentation in quoted scalar" => "this quote is not closed",
        "while parsing node, found unknown anchor" => "an alias of what is named nowhere before it",
        said => said,
    }
}

/// Where each character begins, in bytes.
fn places(text: &str) -> Vec<usize> {
    text.char_indices().map(|(at, _)| at).collect()
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    /// `None`: characters are bytes.
    places: Option<Vec<usize>>,
    len: usize,
    /// Each with the number of values in it.
    anchors: HashMap<usize, (Node, usize)>,
    aliased: usize,
    found: Documents,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Result<Option<(Event<'t>, Range<usize>)>, Broken> {
        match self.parser.next_event() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, self.bytes(span)))),
            Some(Err(error)) => Err(self.not_yaml(&error)),
        }
    }

    fn due(&mut self) -> Result<(Event<'t>, Range<usize>), Broken> {
        let end = self.len;
        self.next()?.ok_or_else(|| Broken::new(end..end, "not valid YAML: the document is not finished"))
    }

    fn at(&self, character: usize) -> usize {
        match &self.places {
            None => character.min(self.len),
            Some(places) => places.get(character).copied().unwrap_or(self.len),
        }
    }

    fn bytes(&self, span: Span) -> Range<usize> {
        self.at(span.start.index())..self.at(span.end.index())
    }

    fn not_yaml(&self, error: &ScanError) -> Broken {
        let at = self.at(error.marker().index());
        Broken::new(at..at, format!("not valid YAML: {}", in_words(error.info())))
    }

    fn document(&mut self) -> Result<(), Broken> {
        self.anchors.clear();
        let (event, span) = self.due()?;
        let is_empty = matches!(&event, Event::Scalar(text, ScalarStyle::Plain, 0, None) if text.is_empty());
        let (node, _) = self.node(event, span, 0)?;
        if !is_empty {
            self.found.documents.push(node);
        }
        Ok(())
    }

    /// The value that `event` begins, and how many values it comes to.
    fn node(&mut self, event: Event<'t>, span: Range<usize>, depth: usize) -> Result<(Node, usize), Broken> {
        if depth > MAX_DEPTH {
            return Err(Broken::new(
                span,
                format!("nested deeper than {MAX_DEPTH} levels, which is not read"),
            ));
        }
        let (node, anchor, size) = match event {
            Event::Alias(anchor) => return self.alias(anchor, &span),
            Event::Scalar(text, style, anchor, tag) => {
                let value = Value::Scalar(scalar(text, style, tag));
                (Node { span, value }, anchor, 1)
            }
            Event::SequenceStart(anchor, _) => {
                let (node, size) = self.list(span, depth)?;
                (node, anchor, size)
            }
            Event::MappingStart(anchor, _) => {
                let (node, size) = self.object(span, depth)?;
                (node, anchor, size)
            }
            _ => return Err(Broken::new(span, "not valid YAML: a value is due here")),
        };
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), size));
        }
        Ok((node, size))
    }

    fn alias(&mut self, anchor: usize, span: &Range<usize>) -> Result<(Node, usize), Broken> {
        let Some((node, size)) = self.anchors.get(&anchor) else {
            return Err(Broken::new(
                span.clone(),
                "an alias within what it stands for, which would have no end",
            ));
        };
        self.aliased = self.aliased.saturating_add(*size);
        if self.aliased > MAX_ALIASED {
            let message = format!("aliases come to more than {MAX_ALIASED} values; write out what is meant");
            return Err(Broken::new(span.clone(), message));
        }
        Ok((node.clone(), *size))
    }

    fn list(&mut self, start: Range<usize>, depth: usize) -> Result<(Node, usize), Broken> {
        let (mut items, mut total) = (Vec::new(), 1_usize);
        loop {
            let (event, span) = self.due()?;
            if matches!(event, Event::SequenceEnd) {
                let last = items.last().map(|item: &Node| item.span.end);
                let span = start.start..end(&span, last.unwrap_or(start.end));
                return Ok((Node { span, value: Value::List(items) }, total));
            }
            let (item, size) = self.node(event, span, depth.saturating_add(1))?;
            total = total.saturating_add(size);
            items.push(item);
        }
    }

    fn object(&mut self, start: Range<usize>, depth: usize) -> Result<(Node, usize), Broken> {
        /// Up to so many names each is compared with each other.
        const FEW: usize = 16;
        let (mut members, mut total) = (Vec::<Member>::new(), 1_usize);
        let mut names = HashSet::new();
        loop {
            let (event, span) = self.due()?;
            if matches!(event, Event::MappingEnd) {
                let last = members.last().map(|member| member.value.span.end);
                let span = start.start..end(&span, last.unwrap_or(start.end));
                return Ok((Node { span, value: Value::Object(members) }, total));
            }
            let (name, _) = self.node(event, span, depth.saturating_add(1))?;
            let Value::Scalar(mut text) = name.value else {
                return Err(Broken::new(name.span, "a list or an object stands where a name is due"));
            };
            if text.form == Form::Plain && matches!(text.text.as_str(), "" | "~") {
                "null".clone_into(&mut text.text);
            }
            let is_repeated = match members.len() {
                0..FEW => members.iter().any(|member| member.name.text == text.text),
                FEW => {
                    names.extend(members.iter().map(|member| member.name.text.clone()));
                    !names.insert(text.text.clone())
                }
                _ => !names.insert(text.text.clone()),
            };
            if is_repeated {
                let message = format!("{:?} is given more than once", text.text);
                self.found.repeated.push(Broken::new(name.span.clone(), message));
            }
            let (event, span) = self.due()?;
            let (value, size) = self.node(event, span, depth.saturating_add(1))?;
            total = total.saturating_add(size);
            members.push(Member { name: text, name_span: name.span, value });
        }
    }
}

/// Only what has brackets says itself where it ends.
fn end(bracket: &Range<usize>, last: usize) -> usize {
    if bracket.is_empty() { last } else { bracket.end }
}

fn scalar(text: Cow<'_, str>, style: ScalarStyle, tag: Option<Cow<'_, Tag>>) -> Scalar {
    let form = match style {
        ScalarStyle::Plain => Form::Plain,
        ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => Form::Quoted,
        ScalarStyle::Literal => Form::Literal,
        ScalarStyle::Folded => Form::Folded,
    };
    let tag = tag.map(|tag| format!("{}{}", tag.handle, tag.suffix));
    Scalar { text: text.into_owned(), form, tag }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::scalar::Dialect;
    use serde_json::json;

    fn json_of(text: &str) -> Vec<serde_json::Value> {
        read(text).unwrap().documents.iter().map(|node| node.to_json(Dialect::Envoy)).collect()
    }

    #[test]
    fn documents_are_what_envoy_makes_of_them() {
        for (text, expected) in [
            ("a: 1\n---\nb: 2\n...\n", vec![json!({"a": 1}), json!({"b": 2})]),
            ("# nothing\n", vec![]),
            ("---\n---\na: x\n", vec![json!({"a": "x"})]),
            ("a: &x {p: [y]}\nb: *x\n", vec![json!({"a": {"p": [true]}, "b": {"p": [true]}})]),
            ("a: &x {p: 1}\nb: {<<: *x}\n", vec![json!({"a": {"p": 1}, "b": {"<<": {"p": 1}}})]),
            ("{!ignore z: 5, w: 6, ~: 7, 0x10: 8}", vec![json!({"w": 6, "null": 7, "0x10": 8})]),
            ("a: [! 5, !!str no, !own 5]", vec![json!({"a": ["5", false, 5]})]),
            ("a: |\n  x\n   y\nb: >-\n  x\n  y\n", vec![json!({"a": "x\n y\n", "b": "x y"})]),
        ] {
            assert_eq!(json_of(text), expected, "{text}");
        }
    }

    #[test]
    fn kubernetes_merges_what_envoy_does_not() {
        let text = "a: &x {p: 1, q: 2}\nb: {<<: [*x, {q: 5, r: 3}], p: 4}\n\"c\": {\"<<\": 1}\n";
        let node = read(text).unwrap().documents.remove(0);
        let expected = json!({"a": {"p": 1, "q": 2}, "b": {"p": 4, "q": 2, "r": 3}, "c": {"<<": 1}});
        assert_eq!(node.to_json(Dialect::Kubernetes), expected);
    }

    #[test]
    fn places_are_bytes_of_the_file() {
        let text = "é: x\nb:\n- {k: \"ü\"}\n- m: 1\n  n: [2,\n    3]\nc: |\n  é\n  x\n";
        let node = read(text).unwrap().documents.remove(0);
        let shown = |node: &Node| text.get(node.span.clone()).unwrap().to_owned();
        let member = |node: &Node, name: &str| node.get(Dialect::Envoy, name).unwrap().clone();
        let items = member(&node, "b");
        assert_eq!(shown(&member(&node, "é")), "x");
        assert_eq!(shown(&items), "{k: \"ü\"}\n- m: 1\n  n: [2,\n    3]");
        assert_eq!(shown(items.items().first().unwrap()), "{k: \"ü\"}");
        assert_eq!(shown(&member(items.items().first().unwrap(), "k")), "\"ü\"");
        assert_eq!(shown(items.items().last().unwrap()), "m: 1\n  n: [2,\n    3]");
        assert_eq!(shown(&member(&node, "c")), "é\n  x\n");
    }

    #[test]
    fn what_readers_could_take_in_two_ways_is_a_fault() {
        for (text, at, message) in [
            ("a: 1\nb: [2\n", 11, "not valid YAML"),
            ("a: 'é\n", 3, "not valid YAML"),
            ("? [a]\n: 1\n", 2, "where a name is due"),
            ("a: &x [*x]\n", 7, "would have no end"),
        ] {
            let broken = read(text).err().unwrap();
            assert!(broken.message.contains(message), "{text}: {}", broken.message);
            assert_eq!(broken.span.start, at, "{text}");
        }
        for names in [15, 16, 17, 40] {
            let many: String = (0..names).map(|n| format!("n{n}: 1\n")).collect();
            assert_eq!(read(&many).unwrap().repeated.len(), 0);
            for again in ["n0", "n14"] {
                assert_eq!(read(&format!("{many}{again}: 2\n")).unwrap().repeated.len(), 1, "{names}");
            }
        }
        let repeated = read("a: 1\nb: {c: 1, c: 2, d: 3}\na: 2\n").unwrap().repeated;
        assert_eq!(repeated.iter().map(|broken| broken.span.clone()).collect::<Vec<_>>(), [15..16, 27..28]);
    }

    #[test]
    fn what_aliases_and_brackets_come_to_is_bounded() {
        let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..9 {
            let inner = format!("*a{}, ", level - 1).repeat(10);
            laughs.push_str(&format!("a{level}: &a{level} [{inner}]\n"));
        }
        assert!(read(&laughs).err().unwrap().message.contains("aliases come to more than"));
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(read(&deep(MAX_DEPTH)).is_ok());
        assert!(read(&deep(MAX_DEPTH + 2)).err().unwrap().message.contains("nested deeper"));
        assert!(read(&deep(5000)).is_err());
    }
}
