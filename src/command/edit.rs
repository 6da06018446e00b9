//! Changes to a file that leave everything else as it is written: comments, order, blanks.
//!
//! Where they would go astray (an alias, text within text), whoever made them reads the file again and finds another
//! document than was meant.

use std::ops::Range;

use serde_json::Value as Json;

use super::{
    scalar::{Dialect, Form, Scalar},
    tree::{Member, Node, Value},
};

/// One place of the text, and what stands there instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) at: Range<usize>,
    pub(super) text: String,
}

impl Edit {
    /// `text` with this in it.
    pub(super) fn apply(&self, text: &str) -> String {
        let (before, after) = (text.get(..self.at.start), text.get(self.at.end..));
        [before.unwrap_or_default(), &self.text, after.unwrap_or_default()].concat()
    }
}

/// A file, and who reads it.
#[derive(Clone, Copy)]
pub(super) struct Writing<'a> {
    pub(super) text: &'a str,
    pub(super) dialect: Dialect,
    /// Names and texts are in quotes, all of them.
    pub(super) is_json: bool,
}

impl Writing<'_> {
    /// Gives the member `name` of `object` this value, whether it is there or not.
    pub(super) fn set(&self, object: &Node, name: &str, value: &Json) -> Option<Edit> {
        let Some(member) = object.member(self.dialect, name) else { return self.add(object, name, value) };
        let (name, value_at) = (&member.name_span, member.value.span.start);
        let colon = name.end.checked_add(self.text.get(name.end..)?.find(':')?.checked_add(1)?)?;
        let end = self.end_of(&member.value, colon);
        // A value on its name's line is replaced as it stands; of any other, all that is behind the colon.
        let is_beside = value_at > colon && !self.text.get(colon..value_at)?.contains('\n');
        let (start, blank) = if is_beside { (value_at, "") } else { (colon, " ") };
        Some(Edit { at: start..end, text: format!("{blank}{}", self.flow(value)) })
    }

    /// Takes the member `name` of `object` away, and its line with it where nothing else stands there.
    pub(super) fn remove(&self, object: &Node, name: &str) -> Option<Edit> {
        let Value::Object(members) = &object.value else { return None };
        let place = members.iter().position(|member| member.name.text == name)?;
        let member = members.get(place)?;
        let (start, end) = (member.name_span.start, self.end_of(&member.value, member.name_span.end));
        if !self.is_flow(object) {
            let line = self.line_start(start);
            // `- id: x`: what follows takes the place of the first.
            if self.text.get(line..start)?.trim().is_empty() {
                return Some(Edit {
                    at: line..self.line_end(end).saturating_add(1).min(self.text.len()),
                    text: String::new(),
                });
            }
            let next = members.get(place.checked_add(1)?)?;
            return Some(Edit { at: start..next.name_span.start, text: String::new() });
        }
        let before = place.checked_sub(1).and_then(|place| members.get(place));
        let at = match (before, members.get(place.saturating_add(1))) {
            (Some(before), _) => self.end_of(&before.value, before.name_span.end)..end,
            (None, Some(next)) => start..next.name_span.start,
            (None, None) => start..end,
        };
        Some(Edit { at, text: String::new() })
    }

    fn add(&self, object: &Node, name: &str, value: &Json) -> Option<Edit> {
        let Value::Object(members) = &object.value else { return None };
        let pair = format!("{}: {}", self.name(name), self.flow(value));
        self.add_written(object, members, &pair)
    }

    /// Adds a pair as it is to be written; its further lines are indented by whoever wrote it.
    fn add_written(&self, object: &Node, members: &[Member], pair: &str) -> Option<Edit> {
        let Some(last) = members.last() else {
            return Some(Edit { at: object.span.clone(), text: format!("{{{pair}}}") });
        };
        let end = self.end_of(&last.value, last.name_span.end);
        if self.is_flow(object) {
            let text = match self.own_line(last.name_span.start) {
                Some(indentation) => format!(",\n{indentation}{pair}"),
                None => format!(", {pair}"),
            };
            return Some(Edit { at: end..end, text });
        }
        let at = self.line_end(end);
        let indentation = self.column(last.name_span.start);
        let pair = pair.replace('\n', &format!("\n{indentation}"));
        Some(Edit { at: at..at, text: format!("\n{indentation}{pair}") })
    }

    /// Adds objects to the end of `list`.
    pub(super) fn append(&self, list: &Node, items: &[Json]) -> Option<Edit> {
        let is_flow = self.text.get(list.span.clone())?.starts_with('[');
        let Some(last) = list.items().last() else {
            return Some(Edit { at: list.span.clone(), text: self.flow(&Json::Array(items.to_vec())) });
        };
        let end = self.end_of(last, last.span.start);
        if is_flow {
            let separator = match self.own_line(last.span.start) {
                Some(indentation) => format!(",\n{indentation}"),
                None => ", ".to_owned(),
            };
            let text = items.iter().map(|item| format!("{separator}{}", self.flow(item))).collect();
            return Some(Edit { at: end..end, text });
        }
        let line = self.line_start(last.span.start);
        let dash = self.text.get(line..last.span.start)?.rfind('-')?;
        let indentation = self.column(line.checked_add(dash)?);
        let at = self.line_end(end);
        let written = |item: &Json| match self.is_flow(last) {
            true => format!("\n{indentation}- {}", self.flow(item)),
            false => format!("\n{indentation}- {}", self.block(item, &format!("\n{indentation}  "))),
        };
        Some(Edit { at: at..at, text: items.iter().map(written).collect() })
    }

    /// Adds the member `names` to `object`, an object within the other, and in the last of them this list.
    pub(super) fn add_list(&self, object: &Node, names: &[&str], items: &[Json]) -> Option<Edit> {
        let Value::Object(members) = &object.value else { return None };
        let (first, inner) = names.split_first()?;
        if self.is_flow(object) || members.is_empty() {
            let wrap =
                |inner: Json, name: &&str| Json::Object([((*name).to_owned(), inner)].into_iter().collect());
            let value = inner.iter().rev().fold(Json::Array(items.to_vec()), wrap);
            return self.add(object, first, &value);
        }
        let mut pair = format!("{first}:");
        let mut line = String::from("\n");
        for name in inner {
            line.push_str("  ");
            pair.push_str(&format!("{line}{name}:"));
        }
        for item in items {
            pair.push_str(&format!("{line}  - {}", self.block(item, &format!("{line}    "))));
        }
        self.add_written(object, members, &pair)
    }

    /// An object as lines, each but the first begun by `line`.
    fn block(&self, value: &Json, line: &str) -> String {
        let Json::Object(members) = value else { return self.flow(value) };
        let pairs = members.iter().map(|(name, value)| format!("{name}: {}", self.flow(value)));
        pairs.collect::<Vec<_>>().join(line)
    }

    /// A value on one line.
    pub(super) fn flow(&self, value: &Json) -> String {
        let join = |parts: Vec<String>| parts.join(", ");
        match value {
            Json::String(text) if !self.is_json && self.needs_no_quotes(text) => text.clone(),
            Json::Array(items) => format!("[{}]", join(items.iter().map(|item| self.flow(item)).collect())),
            Json::Object(members) => {
                let pair =
                    |(name, value): (&String, &Json)| format!("{}: {}", self.name(name), self.flow(value));
                format!("{{{}}}", join(members.iter().map(pair).collect()))
            }
            other => other.to_string(),
        }
    }

    fn name(&self, name: &str) -> String {
        if self.is_json { Json::from(name).to_string() } else { name.to_owned() }
    }

    /// Whether text may stand as it is, where YAML stands for itself and where it stands in brackets.
    fn needs_no_quotes(&self, text: &str) -> bool {
        let is_plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
            && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:/@".contains(c))
            && !text.ends_with(':');
        let scalar = Scalar { text: text.to_owned(), form: Form::Plain, tag: None };
        is_plain && scalar.read(self.dialect).as_str() == Some(text)
    }

    fn is_flow(&self, node: &Node) -> bool {
        self.text.get(node.span.clone()).is_some_and(|text| text.starts_with('{'))
    }

    /// Where a value ends, without the blanks and comments that its place may hold, too; `at_least`, where it is empty.
    pub(super) fn end_of(&self, node: &Node, at_least: usize) -> usize {
        let (start, written) = (node.span.start, self.text.get(node.span.clone()).unwrap_or_default());
        let last = match &node.value {
            Value::Scalar(scalar) => {
                let len = match scalar.form {
                    Form::Quoted => closing_quote(written),
                    Form::Plain => written.find(" #").unwrap_or(written.len()),
                    _ => written.len(),
                };
                let written = written.get(..len).unwrap_or(written).trim_end();
                return start.saturating_add(written.len()).max(at_least);
            }
            Value::List(items) => items.last().map(|last| self.end_of(last, last.span.start)),
            Value::Object(members) => members.last().map(|last| self.end_of(&last.value, last.name_span.end)),
        };
        let bracket = match written.chars().next() {
            Some('[') => Some(']'),
            Some('{') => Some('}'),
            _ => None,
        };
        let last = last.unwrap_or_else(|| start.saturating_add(1));
        bracket.map_or(last, |bracket| self.behind(last, bracket)).max(at_least)
    }

    /// The place behind the next `bracket`, where nothing but blanks, comments and a comma stands before it.
    fn behind(&self, from: usize, bracket: char) -> usize {
        let mut is_comment = false;
        let rest = self.text.get(from..).unwrap_or_default().char_indices();
        for (at, c) in rest {
            match c {
                '\n' => is_comment = false,
                '#' => is_comment = true,
                _ if c == bracket && !is_comment => return from.saturating_add(at).saturating_add(1),
                _ => {}
            }
        }
        from
    }

    pub(super) fn line_start(&self, at: usize) -> usize {
        self.text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |end| end.saturating_add(1))
    }

    /// Where the line ends, before its line feed.
    pub(super) fn line_end(&self, at: usize) -> usize {
        let rest = self.text.get(at..).unwrap_or_default();
        let end = rest.find('\n').map_or(self.text.len(), |end| at.saturating_add(end));
        match self.text.get(at..end) {
            Some(line) if line.ends_with('\r') => end.saturating_sub(1),
            _ => end,
        }
    }

    /// Blanks as wide as what stands before `at` on its line.
    pub(super) fn column(&self, at: usize) -> String {
        let before = self.text.get(self.line_start(at)..at).unwrap_or_default();
        " ".repeat(before.chars().count())
    }

    /// The blanks before `at`, where nothing else stands before it on its line.
    fn own_line(&self, at: usize) -> Option<&str> {
        let before = self.text.get(self.line_start(at)..at)?;
        before.trim().is_empty().then_some(before)
    }
}

/// How long text in quotes is, quotes and all.
fn closing_quote(written: &str) -> usize {
    let Some(quote) = written.chars().next() else { return 0 };
    let mut chars = written.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        let is_doubled = quote == '\'' && c == quote && chars.peek().is_some_and(|(_, next)| *next == quote);
        if is_doubled || (quote == '"' && c == '\\') {
            chars.next();
        } else if c == quote {
            return at.saturating_add(1);
        }
    }
    written.len()
}
