//! A file as text, and where its lines are.

use std::{
    io::{self, Read as _},
    ops::Range,
};

/// A file that was read.
pub(super) struct Source {
    /// As it was given on the command line.
    pub(super) name: String,
    pub(super) text: String,
    /// Where each line begins, in bytes; never empty.
    starts: Vec<usize>,
}

/// A place as editors count: from 1, columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) line: usize,
    pub(super) column: usize,
}

impl Source {
    /// Reads a file; `-` is standard input.
    ///
    /// # Errors
    /// Why it cannot be read, or that it is not text.
    pub(super) fn read(name: &str) -> Result<Self, String> {
        let bytes = match name {
            "-" => {
                let mut bytes = Vec::new();
                io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
            }
            _ => std::fs::read(name),
        };
        let bytes = bytes.map_err(|error| error.to_string())?;
        let text = String::from_utf8(bytes).map_err(|_| "not text in UTF-8".to_owned())?;
        Ok(Self::new(name, text))
    }

    pub(super) fn new(name: &str, text: String) -> Self {
        let after = |(at, _): (usize, &str)| at.saturating_add(1);
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(after)).collect();
        Self { name: name.to_owned(), text, starts }
    }

    /// Of the place `at`, in bytes.
    pub(super) fn position(&self, at: usize) -> Position {
        let line = self.starts.partition_point(|start| *start <= at);
        let before = self.text.get(self.start_of(line)..at).unwrap_or_default();
        Position { line, column: before.chars().count().saturating_add(1) }
    }

    /// Where `line` begins, in bytes. Lines count from 1.
    pub(super) fn start_of(&self, line: usize) -> usize {
        self.starts.get(line.saturating_sub(1)).copied().unwrap_or(self.text.len())
    }

    /// The line without its end.
    pub(super) fn line(&self, line: usize) -> &str {
        let end = self.starts.get(line).copied().unwrap_or(self.text.len());
        let text = self.text.get(self.start_of(line)..end).unwrap_or_default();
        text.trim_end_matches(['\n', '\r'])
    }

    /// What of `span` is on its first line, without blanks at its end: a mark goes under one line.
    pub(super) fn first_line_of(&self, span: &Range<usize>) -> Range<usize> {
        let text = self.text.get(span.clone()).unwrap_or_default();
        let first = text.lines().next().unwrap_or_default().trim_end();
        span.start..span.start.saturating_add(first.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_from_one_in_characters() {
        let source = Source::new("-", "a: é€x\r\n\nb".to_owned());
        for (at, line, column) in
            [(0, 1, 1), (3, 1, 4), (5, 1, 5), (8, 1, 6), (11, 2, 1), (12, 3, 1), (13, 3, 2)]
        {
            assert_eq!(source.position(at), Position { line, column }, "{at}");
        }
        assert_eq!([1, 2, 3, 4].map(|line| source.line(line)), ["a: é€x", "", "b", ""]);
        assert_eq!(source.first_line_of(&(3..13)), 3..9);
        assert_eq!(source.first_line_of(&(13..13)), 13..13);
    }
}
