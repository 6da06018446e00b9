//! What a regular expression says: its text as a tree.
//!
//! The syntax is that of the crate `regex-lite`, so of RE2 without Unicode classes, but for the flags `x` and `R`.
//! Groups and greed change where a match lies, not whether there is one; they leave no trace here.

use std::{fmt, iter::Peekable, str::Chars};

use super::class::Class;

/// How deep groups and repetitions may nest; bounds every recursion over them.
const MAX_DEPTH: u32 = 50;

/// A part of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// One of these characters.
    Class(Class),
    /// No character, where this holds.
    Look(Look),
    /// All of these in turn; none: no character.
    Sequence(Vec<Self>),
    /// Any one of these.
    Either(Vec<Self>),
    /// From the first to the second number of times; `None`: any number.
    Repeat(Box<Self>, u32, Option<u32>),
}

/// What may be asked of the place between two characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    Start,
    End,
    LineStart,
    LineEnd,
    Word,
    NoWord,
    WordStart,
    WordEnd,
    WordStartHalf,
    WordEndHalf,
}

/// Why a text is no regular expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SyntaxError {
    /// `\1`, as if it stood for what a group matched.
    BackReference,
    /// A class is not closed, or has something in it that cannot be in one.
    Class,
    /// An escape that means nothing.
    Escape,
    /// Flags that are unknown, given twice, or none at all.
    Flags,
    /// `(` and `)` do not pair.
    Group,
    /// The name of a group.
    GroupName,
    /// `(?=`, `(?!`, `(?<=`, `(?<!`.
    LookAround,
    /// Nesting beyond [`MAX_DEPTH`].
    Nesting,
    /// A repetition of nothing, or one that cannot be read.
    Repetition,
    /// `\p{..}`.
    UnicodeClass,
    /// The flag `x` or `R`.
    UnsupportedFlag,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BackReference => "back-references are not supported",
            Self::Class => "a character class that cannot be read",
            Self::Escape => "an escape that means nothing",
            Self::Flags => "flags that cannot be read",
            Self::Group => "parentheses that do not pair",
            Self::GroupName => "a group's name that cannot be read",
            Self::LookAround => "look-around is not supported",
            Self::Nesting => "too deep nesting",
            Self::Repetition => "a repetition of nothing, or one that cannot be read",
            Self::UnicodeClass => "Unicode classes are not supported",
            Self::UnsupportedFlag => "the flags x and R are not supported",
        })
    }
}

/// Reads a whole expression.
pub(super) fn parse(text: &str) -> Result<Node, SyntaxError> {
    let mut parser =
        Parser { chars: text.chars().peekable(), flags: Flags::default(), depth: 0, names: Vec::new() };
    let (node, _) = parser.alternatives()?;
    // Whatever ends it early is a parenthesis too many.
    if parser.chars.next().is_some() { Err(SyntaxError::Group) } else { Ok(node) }
}

#[derive(Clone, Copy, Default)]
struct Flags {
    /// `i`: ASCII letters have no case.
    no_case: bool,
    /// `m`: `^` and `$` hold at every line.
    lines: bool,
    /// `s`: `.` takes a line feed.
    any: bool,
}

struct Parser<'t> {
    chars: Peekable<Chars<'t>>,
    flags: Flags,
    depth: u32,
    names: Vec<String>,
}

/// What an escape stands for.
enum Escape {
    Char(char),
    Class(Class),
    Look(Look),
}

impl Parser<'_> {
    /// Up to the end of the group, whose parenthesis stays; with how deep it nests.
    fn alternatives(&mut self) -> Result<(Node, u32), SyntaxError> {
        let mut all = Vec::new();
        let mut deepest = 0;
        let mut sequence: Vec<(Node, u32)> = Vec::new();
        while let Some(char) = self.chars.next_if(|char| *char != ')') {
            let (node, depth) = match char {
                '|' => {
                    all.push(sequence_of(std::mem::take(&mut sequence)));
                    continue;
                }
                '(' => match self.group()? {
                    Some(found) => found,
                    None => continue,
                },
                '*' | '+' | '?' | '{' => {
                    let (node, depth) = sequence.pop().ok_or(SyntaxError::Repetition)?;
                    let (min, max) = self.repetition(char)?;
                    (Node::Repeat(Box::new(node), min, max), depth.saturating_add(1))
                }
                _ => (self.primitive(char)?, 0),
            };
            if depth > MAX_DEPTH {
                return Err(SyntaxError::Nesting);
            }
            deepest = depth.max(deepest);
            sequence.push((node, depth));
        }
        all.push(sequence_of(sequence));
        let node = if all.len() == 1 { all.remove(0) } else { Node::Either(all) };
        Ok((node, deepest))
    }

    fn primitive(&mut self, char: char) -> Result<Node, SyntaxError> {
        let look = |one, lines| Node::Look(if self.flags.lines { lines } else { one });
        Ok(match char {
            '[' => Node::Class(self.class()?),
            '.' if self.flags.any => Node::Class(Class::all()),
            '.' => Node::Class(Class::one('\n').negated()),
            '^' => look(Look::Start, Look::LineStart),
            '$' => look(Look::End, Look::LineEnd),
            '\\' => match self.escape()? {
                Escape::Char(char) => self.char(char),
                Escape::Class(class) => Node::Class(class),
                Escape::Look(look) => Node::Look(look),
            },
            char => self.char(char),
        })
    }

    fn char(&self, char: char) -> Node {
        let class = Class::one(char);
        Node::Class(if self.flags.no_case { class.without_case() } else { class })
    }

    /// What follows `(`, with the closing parenthesis; `None` for flags alone.
    fn group(&mut self) -> Result<Option<(Node, u32)>, SyntaxError> {
        let outer = self.flags;
        let mut found = None;
        if self.chars.next_if_eq(&'?').is_none() {
            found = Some(self.inner()?);
        } else {
            match self.chars.peek().copied() {
                Some('=' | '!') => return Err(SyntaxError::LookAround),
                Some('P' | '<') => {
                    if self.chars.next_if_eq(&'P').is_some() && self.chars.peek() != Some(&'<') {
                        return Err(SyntaxError::Flags);
                    }
                    self.chars.next();
                    self.name()?;
                    found = Some(self.inner()?);
                }
                _ if self.read_flags()? => found = Some(self.inner()?),
                _ => {}
            }
        }
        if found.is_some() {
            self.flags = outer;
        }
        self.chars.next_if_eq(&')').ok_or(SyntaxError::Group)?;
        Ok(found)
    }

    fn inner(&mut self) -> Result<(Node, u32), SyntaxError> {
        if self.depth >= MAX_DEPTH {
            return Err(SyntaxError::Nesting);
        }
        self.depth = self.depth.saturating_add(1);
        let (node, depth) = self.alternatives()?;
        self.depth = self.depth.saturating_sub(1);
        Ok((node, depth.saturating_add(1)))
    }

    fn name(&mut self) -> Result<(), SyntaxError> {
        if matches!(self.chars.peek(), Some('=' | '!')) {
            return Err(SyntaxError::LookAround);
        }
        let mut name = String::new();
        while let Some(char) = self.chars.next_if(|char| *char != '>') {
            let fits = match char {
                '_' => true,
                '.' | '[' | ']' => !name.is_empty(),
                char if name.is_empty() => char.is_alphabetic(),
                char => char.is_alphanumeric(),
            };
            if !fits {
                return Err(SyntaxError::GroupName);
            }
            name.push(char);
        }
        if self.chars.next().is_none() || name.is_empty() || self.names.contains(&name) {
            return Err(SyntaxError::GroupName);
        }
        self.names.push(name);
        Ok(())
    }

    /// Flags up to `)`, which stays, or `:`: whether a group follows.
    fn read_flags(&mut self) -> Result<bool, SyntaxError> {
        let (mut seen, mut on) = (String::new(), true);
        while let Some(flag) = self.chars.next_if(|char| !matches!(char, ':' | ')')) {
            if seen.contains(flag) {
                return Err(SyntaxError::Flags);
            }
            seen.push(flag);
            match flag {
                '-' => on = false,
                'i' => self.flags.no_case = on,
                'm' => self.flags.lines = on,
                's' => self.flags.any = on,
                // Greed changes no answer, and nothing here is Unicode but characters themselves.
                'U' | 'u' => {}
                'x' | 'R' => return Err(SyntaxError::UnsupportedFlag),
                _ => return Err(SyntaxError::Flags),
            }
        }
        let is_group = self.chars.next_if_eq(&':').is_some();
        if seen.ends_with('-') || (seen.is_empty() && !is_group) {
            Err(SyntaxError::Flags)
        } else {
            Ok(is_group)
        }
    }

    /// How often what stands before `operator` is repeated.
    fn repetition(&mut self, operator: char) -> Result<(u32, Option<u32>), SyntaxError> {
        let (min, max) = match operator {
            '*' => (0, None),
            '+' => (1, None),
            '?' => (0, Some(1)),
            _ => {
                let min = self.number()?;
                let max = match self.chars.next_if_eq(&',') {
                    None => Some(min),
                    Some(_) if self.chars.peek() == Some(&'}') => None,
                    Some(_) => Some(self.number()?),
                };
                self.chars.next_if_eq(&'}').ok_or(SyntaxError::Repetition)?;
                (min, max)
            }
        };
        self.chars.next_if_eq(&'?');
        if max.is_some_and(|max| max < min) { Err(SyntaxError::Repetition) } else { Ok((min, max)) }
    }

    fn number(&mut self) -> Result<u32, SyntaxError> {
        while self.chars.next_if(|char| char.is_whitespace()).is_some() {}
        let mut number: Option<u32> = None;
        while let Some(digit) = self.chars.peek().and_then(|char| char.to_digit(10)) {
            self.chars.next();
            let tens = number.unwrap_or(0).checked_mul(10).ok_or(SyntaxError::Repetition)?;
            number = Some(tens.checked_add(digit).ok_or(SyntaxError::Repetition)?);
        }
        while self.chars.next_if(|char| char.is_whitespace()).is_some() {}
        number.ok_or(SyntaxError::Repetition)
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<Escape, SyntaxError> {
        let char = self.chars.next().ok_or(SyntaxError::Escape)?;
        let named = |name| Class::named(name).unwrap_or_default();
        Ok(match char {
            '0'..='9' => return Err(SyntaxError::BackReference),
            'p' | 'P' => return Err(SyntaxError::UnicodeClass),
            'd' => Escape::Class(named("digit")),
            'D' => Escape::Class(named("digit").negated()),
            's' => Escape::Class(named("space")),
            'S' => Escape::Class(named("space").negated()),
            'w' => Escape::Class(named("word")),
            'W' => Escape::Class(named("word").negated()),
            'x' => Escape::Char(self.hex(2)?),
            'u' => Escape::Char(self.hex(4)?),
            'U' => Escape::Char(self.hex(8)?),
            'a' => Escape::Char('\x07'),
            'f' => Escape::Char('\x0c'),
            't' => Escape::Char('\t'),
            'n' => Escape::Char('\n'),
            'r' => Escape::Char('\r'),
            'v' => Escape::Char('\x0b'),
            'A' => Escape::Look(Look::Start),
            'z' => Escape::Look(Look::End),
            'B' => Escape::Look(Look::NoWord),
            'b' => Escape::Look(self.word_boundary()?),
            '<' => Escape::Look(Look::WordStart),
            '>' => Escape::Look(Look::WordEnd),
            char if char.is_ascii() && !char.is_ascii_alphanumeric() => Escape::Char(char),
            _ => return Err(SyntaxError::Escape),
        })
    }

    /// What follows `\b`: `{start}` and the like, or a repetition, or nothing of it.
    fn word_boundary(&mut self) -> Result<Look, SyntaxError> {
        let mut ahead = self.chars.clone();
        let is_named = ahead.next() == Some('{')
            && ahead.next().is_some_and(|char| char.is_ascii_alphabetic() || char == '-');
        if !is_named {
            return Ok(Look::Word);
        }
        self.chars.next();
        let mut name = String::new();
        while let Some(char) = self.chars.next_if(|char| *char != '}') {
            name.push(char);
        }
        self.chars.next_if_eq(&'}').ok_or(SyntaxError::Escape)?;
        match name.as_str() {
            "start" => Ok(Look::WordStart),
            "end" => Ok(Look::WordEnd),
            "start-half" => Ok(Look::WordStartHalf),
            "end-half" => Ok(Look::WordEndHalf),
            _ => Err(SyntaxError::Escape),
        }
    }

    /// A character by its number: `digits` of them, or any number in braces.
    fn hex(&mut self, digits: usize) -> Result<char, SyntaxError> {
        let in_braces = self.chars.next_if_eq(&'{').is_some();
        let (mut value, mut count) = (0_u32, 0_usize);
        while in_braces || count < digits {
            let char = self.chars.next().ok_or(SyntaxError::Escape)?;
            if in_braces && char == '}' {
                break;
            }
            let digit = char.to_digit(16).ok_or(SyntaxError::Escape)?;
            value = value.checked_mul(16).ok_or(SyntaxError::Escape)? | digit;
            count = count.saturating_add(1);
        }
        char::from_u32(value).filter(|_| count > 0).ok_or(SyntaxError::Escape)
    }

    /// What follows `[`.
    fn class(&mut self) -> Result<Class, SyntaxError> {
        let mut class = Class::default();
        let is_negated = self.chars.next_if_eq(&'^').is_some();
        // In front, these stand for themselves.
        let mut is_first = true;
        while self.chars.next_if_eq(&'-').is_some() {
            class.add('-', '-');
            is_first = false;
        }
        if is_first && self.chars.next_if_eq(&']').is_some() {
            class.add(']', ']');
        }
        loop {
            let char = self.chars.next().ok_or(SyntaxError::Class)?;
            match char {
                ']' => break,
                '[' => {
                    let named = self.posix_class()?;
                    class.join(&named);
                }
                // Operations on classes in other syntaxes.
                '&' | '-' | '~' if self.chars.peek() == Some(&char) => return Err(SyntaxError::Class),
                _ => self.class_item(char, &mut class)?,
            }
        }
        if self.flags.no_case {
            class = class.without_case();
        }
        Ok(if is_negated { class.negated() } else { class })
    }

    /// A character that is in a class, or a range that begins with it.
    fn class_item(&mut self, char: char, class: &mut Class) -> Result<(), SyntaxError> {
        let item =
            |parser: &mut Self, char| if char == '\\' { parser.escape() } else { Ok(Escape::Char(char)) };
        let first = item(self, char)?;
        let mut ahead = self.chars.clone();
        let is_range = ahead.next() == Some('-') && !matches!(ahead.peek(), None | Some(']' | '-'));
        match first {
            Escape::Look(_) => Err(SyntaxError::Class),
            Escape::Class(_) if is_range => Err(SyntaxError::Class),
            Escape::Class(named) => {
                class.join(&named);
                Ok(())
            }
            Escape::Char(first) if is_range => {
                self.chars.next();
                let char = self.chars.next().ok_or(SyntaxError::Class)?;
                match item(self, char)? {
                    Escape::Char(last) if first <= last => {
                        class.add(first, last);
                        Ok(())
                    }
                    _ => Err(SyntaxError::Class),
                }
            }
            Escape::Char(char) => {
                class.add(char, char);
                Ok(())
            }
        }
    }

    /// What follows the second `[` of `[[:alpha:]]`. No other class is in a class.
    fn posix_class(&mut self) -> Result<Class, SyntaxError> {
        self.chars.next_if_eq(&':').ok_or(SyntaxError::Class)?;
        let is_negated = self.chars.next_if_eq(&'^').is_some();
        let mut name = String::new();
        while let Some(letter) = self.chars.next_if(char::is_ascii_lowercase) {
            name.push(letter);
        }
        let class = Class::named(&name).ok_or(SyntaxError::Class)?;
        if self.chars.next() != Some(':') || self.chars.next() != Some(']') {
            return Err(SyntaxError::Class);
        }
        Ok(if is_negated { class.negated() } else { class })
    }
}

fn sequence_of(nodes: Vec<(Node, u32)>) -> Node {
    let mut nodes: Vec<_> = nodes.into_iter().map(|(node, _)| node).collect();
    if nodes.len() == 1 { nodes.remove(0) } else { Node::Sequence(nodes) }
}
