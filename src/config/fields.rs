//! Fields of an object, each read as it is declared: by its kind and within its range, or else its default.
//!
//! `None` says that a field is left out and has no default, or that a fault was noted.

use std::time::Duration;

use super::{
    form,
    model::{Field, Kind, Presence},
    reader::Object,
    scalar,
    urls::{url, urls},
};
use crate::{identity::ClaimPath, time::Timestamp, url::Url};

impl Object<'_> {
    /// Text of the form that is declared.
    #[inline(never)]
    pub(super) fn text(&mut self, name: &'static str) -> Option<String> {
        match self.get(name)? {
            (Field { kind: Kind::Text(form), .. }, Some(node)) => form::text(node, *form),
            (Field { presence: Presence::Default(text), .. }, None) => Some((*text).to_owned()),
            _ => None,
        }
    }

    /// A list of different texts of the form that is declared.
    pub(super) fn texts(&mut self, name: &'static str) -> Option<Vec<String>> {
        self.texts_that(name, &mut |_, _, _| Some(()))
    }

    /// As [`Self::texts`], where `judge` looks at each text too, and notes a fault where it gives `None`.
    #[inline(never)]
    pub(super) fn texts_that(&mut self, name: &'static str, judge: form::Judge<'_>) -> Option<Vec<String>> {
        match self.get(name)? {
            (Field { kind: Kind::List(empty, Kind::Text(form)), .. }, Some(node)) => {
                form::texts(node, empty, *form, judge)
            }
            _ => None,
        }
    }

    /// `true` or `false`. Its default where it is left out or has a fault; without a default, `false`.
    #[inline(never)]
    pub(super) fn boolean(&mut self, name: &'static str) -> bool {
        let Some((field, node)) = self.get(name) else { return false };
        let default = field.presence == Presence::Default("true");
        node.and_then(scalar::boolean).unwrap_or(default)
    }

    /// A field in which nothing but `true` may stand.
    #[inline(never)]
    pub(super) fn only_true(&mut self, name: &'static str) -> Option<()> {
        match self.get(name)? {
            (Field { kind: Kind::True(otherwise), .. }, Some(node)) => scalar::only_true(node, otherwise),
            _ => None,
        }
    }

    /// A whole number within its range.
    #[inline(never)]
    pub(super) fn number(&mut self, name: &'static str) -> Option<u32> {
        match self.get(name)? {
            (Field { kind: Kind::Number(least, most), .. }, Some(node)) => {
                scalar::number(node, *least, *most)
            }
            (Field { presence: Presence::Default(text), .. }, None) => text.parse().ok(),
            _ => None,
        }
    }

    /// A duration within its range.
    #[inline(never)]
    pub(super) fn duration(&mut self, name: &'static str) -> Option<Duration> {
        match self.get(name)? {
            (Field { kind: Kind::Duration(least, most), .. }, Some(node)) => {
                scalar::duration(node, *least, *most)
            }
            (Field { presence: Presence::Default(text), .. }, None) => scalar::parse_duration(text),
            _ => None,
        }
    }

    /// A point in time.
    pub(super) fn time(&mut self, name: &'static str) -> Option<Timestamp> {
        scalar::timestamp(self.take(name)?)
    }

    /// What the word means that stands there, of the `choices` that are declared.
    pub(super) fn choice<T: Copy>(
        &mut self,
        name: &'static str,
        choices: &'static [(&'static str, T)],
    ) -> Option<T> {
        choices.get(self.word(name)?).map(|(_, value)| *value)
    }

    /// Which of the declared words stands there.
    #[inline(never)]
    fn word(&mut self, name: &'static str) -> Option<usize> {
        match self.get(name)? {
            (Field { kind: Kind::Choice(what, words), .. }, Some(node)) => scalar::word(node, what, words),
            (Field { kind: Kind::Choice(_, words), presence: Presence::Default(word), .. }, None) => {
                words.iter().position(|other| other == word)
            }
            _ => None,
        }
    }

    /// An absolute URL.
    pub(super) fn url(&mut self, name: &'static str) -> Option<Url> {
        match self.get(name)? {
            (Field { kind: Kind::Url { https }, .. }, Some(node)) => url(node, *https),
            _ => None,
        }
    }

    /// A list of different URLs.
    pub(super) fn urls(&mut self, name: &'static str) -> Option<Vec<Url>> {
        match self.get(name)? {
            (Field { kind: Kind::List(empty, Kind::Url { https }), .. }, Some(node)) => {
                urls(node, empty, *https)
            }
            _ => None,
        }
    }

    /// The way to a claim.
    pub(super) fn claim(&mut self, name: &'static str) -> Option<ClaimPath> {
        match self.get(name)? {
            (_, Some(node)) => scalar::claim_path(node),
            (Field { presence: Presence::Default(claim), .. }, None) => Some(ClaimPath::dotted(claim)),
            _ => None,
        }
    }
}
