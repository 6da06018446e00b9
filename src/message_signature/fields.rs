//! Structured fields (RFC 9651), as far as signatures need them: dictionaries, whose members are values or lists of values,
//! each with parameters.
//!
//! **Read strictly.** What is signed is a field's one serialization (RFC 9421 section 2.3), so a text that is another one
//! but for its blanks is refused: numbers with leading zeros, `;a=?1` for `;a`, base64 without its padding. So are names
//! that are given twice. Decimals, dates and display strings stand in none of these fields, and are refused too.
//!
//! **Bounds:** [`MAX_FIELD`], and the numbers beside it.

use std::borrow::Cow;

use crate::{
    request::{RequestHead, credential::without_blanks},
    text::base64,
};

/// The longest field, all its lines together, in bytes.
pub const MAX_FIELD: usize = 8192;

/// Most members of a dictionary. Whoever passes a request on may add a signature.
const MAX_MEMBERS: usize = 16;

/// Most values of a list.
const MAX_ITEMS: usize = 32;

/// Most parameters of one value or list.
const MAX_PARAMETERS: usize = 16;

/// A value without its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    Integer(i64),
    Text(Cow<'a, str>),
    Bytes(Vec<u8>),
    Token(&'a str),
    Flag(bool),
}

/// Names, each once, with their values, in order.
pub type Parameters<'a> = Vec<(&'a str, Value<'a>)>;

/// A value with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    pub value: Value<'a>,
    pub parameters: Parameters<'a>,
    /// All of it as it is serialized.
    pub text: &'a str,
}

/// What a name of a dictionary stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    One(Value<'a>),
    List(Vec<Item<'a>>),
}

/// A member of a dictionary.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    pub name: &'a str,
    pub entry: Entry<'a>,
    /// Of the list, or of the value.
    pub parameters: Parameters<'a>,
    /// All behind the name, as it is serialized.
    pub text: &'a str,
}

/// The value called `name`.
pub fn parameter<'p, 'a>(parameters: &'p Parameters<'a>, name: &str) -> Option<&'p Value<'a>> {
    parameters.iter().find(|(own, _)| *own == name).map(|(_, value)| value)
}

/// All lines of the field `name`, joined (RFC 9110 section 5.3), with no more blanks than their serialization has; `None`
/// where the request has no such field.
///
/// # Errors
/// It is too long, or has characters that no structured field has.
pub fn field(head: &RequestHead<'_>, name: &str) -> Result<Option<String>, &'static str> {
    let length = head.values(name).fold(0, |all: usize, line| all.saturating_add(line.len()));
    if length > MAX_FIELD {
        return Err("a field is too long");
    }
    let lines: Vec<_> = head.values(name).map(without_blanks).collect();
    if lines.is_empty() {
        return Ok(None);
    }
    let joined = lines.join(&b", "[..]);
    match str::from_utf8(&joined) {
        Ok(text) if text.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) => {
            Ok(Some(serialized(text)))
        }
        _ => Err("a field has characters that stand in none"),
    }
}

/// `text`, which is ASCII, without the blanks that may stand around commas, behind semicolons and within the brackets of
/// lists, and with one between the values of a list. Blanks that may stand nowhere stay, to be refused.
fn serialized(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let (mut is_text, mut is_escaped) = (false, false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if is_text || !matches!(character, ' ' | '\t') {
            is_text = match character {
                '"' if !is_escaped => !is_text,
                _ => is_text,
            };
            is_escaped = is_text && character == '\\' && !is_escaped;
            out.push(character);
            continue;
        }
        // A tab may stand around commas alone.
        let mut has_tab = character == '\t';
        while let Some(blank) = characters.next_if(|next| matches!(next, ' ' | '\t')) {
            has_tab |= blank == '\t';
        }
        let (before, after) = (out.chars().next_back(), characters.peek());
        let by_comma = before == Some(',') || after == Some(&',');
        if by_comma || (!has_tab && (matches!(before, Some('(' | ';')) || after == Some(&')'))) {
            continue;
        }
        out.push(if has_tab { '\t' } else { ' ' });
    }
    out
}

/// The members of a field that [`field`] gave, in order. `None` where it is no dictionary, or one out of bounds.
pub fn dictionary(text: &str) -> Option<Vec<Member<'_>>> {
    let mut reader = Reader { rest: text };
    let mut members: Vec<Member<'_>> = Vec::new();
    loop {
        let name = reader.name()?;
        if members.len() >= MAX_MEMBERS || members.iter().any(|member| member.name == name) {
            return None;
        }
        let member = if reader.takes('=') {
            let from = reader.rest;
            let entry = match reader.takes('(') {
                true => Entry::List(reader.list()?),
                false => Entry::One(reader.value()?),
            };
            let parameters = reader.parameters()?;
            Member { name, entry, parameters, text: reader.since(from) }
        } else {
            let from = reader.rest;
            let parameters = reader.parameters()?;
            Member { name, entry: Entry::One(Value::Flag(true)), parameters, text: reader.since(from) }
        };
        members.push(member);
        if reader.rest.is_empty() {
            return Some(members);
        }
        if !reader.takes(',') {
            return None;
        }
    }
}

/// What is left to be read, ASCII.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn takes(&mut self, sign: char) -> bool {
        let rest = self.rest.strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// What was read since `from` was left.
    fn since(&self, from: &'a str) -> &'a str {
        from.get(..from.len().saturating_sub(self.rest.len())).unwrap_or_default()
    }

    fn take_while(&mut self, is: impl Fn(u8) -> bool) -> &'a str {
        let end = self.rest.bytes().position(|byte| !is(byte)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or_default();
        self.rest = rest;
        taken
    }

    fn name(&mut self) -> Option<&'a str> {
        let name =
            self.take_while(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*'));
        name.starts_with(|first: char| first.is_ascii_lowercase() || first == '*').then_some(name)
    }

    /// What follows the bracket that opens a list, up to the one that closes it.
    fn list(&mut self) -> Option<Vec<Item<'a>>> {
        let mut items = Vec::new();
        if self.takes(')') {
            return Some(items);
        }
        while items.len() < MAX_ITEMS {
            let from = self.rest;
            let (value, parameters) = (self.value()?, self.parameters()?);
            items.push(Item { value, parameters, text: self.since(from) });
            if self.takes(')') {
                return Some(items);
            }
            if !self.takes(' ') {
                return None;
            }
        }
        None
    }

    fn parameters(&mut self) -> Option<Parameters<'a>> {
        let mut parameters = Parameters::new();
        while self.takes(';') {
            let name = self.name()?;
            if parameters.len() >= MAX_PARAMETERS || parameter(&parameters, name).is_some() {
                return None;
            }
            let value = if self.takes('=') { self.value()? } else { Value::Flag(true) };
            parameters.push((name, value));
        }
        Some(parameters)
    }

    fn value(&mut self) -> Option<Value<'a>> {
        match self.rest.bytes().next()? {
            b'"' => self.text().map(Value::Text),
            b':' => {
                self.takes(':');
                let text = self.take_while(|byte| byte != b':');
                let bytes = base64::decode(text)?;
                self.takes(':').then_some(Value::Bytes(bytes))
            }
            b'?' => {
                self.takes('?');
                // What is true is left out, in parameters and in dictionaries.
                self.takes('0').then_some(Value::Flag(false))
            }
            b'-' | b'0'..=b'9' => self.integer().map(Value::Integer),
            b'a'..=b'z' | b'A'..=b'Z' | b'*' => {
                let is = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~:/".contains(&byte);
                Some(Value::Token(self.take_while(is)))
            }
            _ => None,
        }
    }

    fn text(&mut self) -> Option<Cow<'a, str>> {
        self.takes('"');
        let mut text = Cow::Borrowed(self.take_while(|byte| !matches!(byte, b'"' | b'\\')));
        while self.takes('\\') {
            let escaped = self.rest.chars().next().filter(|next| matches!(next, '"' | '\\'))?;
            self.takes(escaped);
            let text = text.to_mut();
            text.push(escaped);
            text.push_str(self.take_while(|byte| !matches!(byte, b'"' | b'\\')));
        }
        (self.takes('"') && text.bytes().all(|byte| matches!(byte, b' '..=b'~'))).then_some(text)
    }

    /// RFC 9651 section 3.3.1.
    fn integer(&mut self) -> Option<i64> {
        const MAX_DIGITS: usize = 15;
        let from = self.rest;
        let is_negative = self.takes('-');
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        let is_one_form = match digits.strip_prefix('0') {
            Some(rest) => rest.is_empty() && !is_negative,
            None => !digits.is_empty(),
        };
        if !is_one_form || digits.len() > MAX_DIGITS || self.rest.starts_with('.') {
            return None;
        }
        self.since(from).parse().ok()
    }
}
