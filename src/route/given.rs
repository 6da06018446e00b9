//! Which headers and query parameters a request has of those that matches ask for: read once, and only when one asks.
//!
//! A condition that some server would see fulfilled never counts as one that is not. Three things leave it in doubt: a
//! name that is only alike to the one asked for; several values of which one alone would do; and a value that cannot be
//! read or is too long to be tried. Where such a doubt decides which rule applies, the request is refused.

use std::borrow::Cow;

use super::{
    conditions::{ANY_VALUE, Conditions, NO_VALUE, Part, Wanted},
    place::at,
};
use crate::request::{
    RequestHead,
    credential::without_blanks,
    query::{self, Parameter},
};

/// Longest value that a regular expression is tried on, in bytes.
const MAX_VALUE: usize = 8192;

/// Why nobody can tell whether a match holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Doubt {
    /// A name that some server reads as the one asked for, and others do not.
    Name,
    /// Several values of which some would do, a value that is no text, or one too long to be tried.
    Value,
    /// The path is too long to be tried on all expressions that ask for it.
    Path,
    /// A path that some server reads as one of this rule, which does not keep encoded slashes.
    EncodedSlash,
    /// The same of matrix parameters.
    MatrixParameters,
}

/// Whether a match holds, as far as headers and parameters go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Yes,
    No,
    /// In doubt, because of the name at this place.
    Doubt(u32, Doubt),
}

/// Every header and parameter that some match asks for and that the request has, by name.
#[derive(Debug)]
pub(super) struct Given<'r> {
    items: Vec<Item<'r>>,
    /// By the place of the name: one more than the place of the item; 0 for none.
    by_name: Vec<u32>,
    /// For each expression whether it matched: `None` until it is tried, `Some(None)` where that is in doubt.
    tried: Vec<Option<Option<bool>>>,
}

/// What the request has under one of those names.
#[derive(Debug)]
struct Item<'r> {
    name: u32,
    /// Every server finds it, however it reads the request.
    is_certain: bool,
    /// Its value; of several, all of them as one.
    value: Result<Cow<'r, [u8]>, Doubt>,
    /// Each value where there are several, else empty.
    several: Vec<Cow<'r, [u8]>>,
    /// The place of the value among those that are compared with.
    place: u32,
    /// The places of the several values, ascending.
    places: Vec<usize>,
}

impl<'r> Given<'r> {
    #[inline(never)]
    pub(super) fn read(conditions: &Conditions, head: &RequestHead<'r>, query: Option<&'r str>) -> Self {
        let mut given =
            Self { items: Vec::new(), by_name: vec![0; conditions.names().len()], tried: Vec::new() };
        let asked = conditions.headers();
        for (name, value) in &head.headers {
            for place in asked.names.alike(name) {
                let is_exact = asked.names.get(place).is_some_and(|own| own.as_bytes() == *name);
                let value =
                    if is_exact { Ok(Cow::Borrowed(without_blanks(value))) } else { Err(Doubt::Name) };
                given.add(Item::new(asked.place(place), is_exact, value));
            }
        }
        if let Some(query) = query.filter(|_| !conditions.params().names.is_empty()) {
            given.read_query(conditions, query);
        }
        for item in &mut given.items {
            item.finish(conditions);
        }
        given
    }

    fn add(&mut self, mut item: Item<'r>) {
        let Some(known) = self.by_name.get_mut(at(item.name)) else { return };
        match known.checked_sub(1).and_then(|known| self.items.get_mut(at(known))) {
            Some(known) => known.take_in(&mut item),
            None => {
                self.items.push(item);
                *known = u32::try_from(self.items.len()).unwrap_or(0);
            }
        }
    }

    /// Adds an item for every parameter that some server finds.
    #[inline(never)]
    fn read_query(&mut self, conditions: &Conditions, query: &'r str) {
        let asked = conditions.params();
        let mut left = query::MAX_LOOKS;
        // The names that some server finds in one piece, each once.
        let mut found: Vec<usize> = Vec::new();
        for whole in query.split('&').filter(|whole| !whole.is_empty()) {
            let mut is_first = true;
            for piece in query::pieces(whole) {
                found.clear();
                let read = query::each_read_as(piece, &asked.names, &mut left, &mut |name| {
                    if !found.contains(&name) {
                        found.push(name);
                    }
                });
                if read.is_none() {
                    // Too much to look through: any parameter may be in it.
                    let names = (0..).zip(conditions.names()).filter(|(_, name)| name.part == Part::Query);
                    names.for_each(|(place, _)| self.add(Item::new(place, false, Err(Doubt::Name))));
                    return;
                }
                let parameter = Parameter::new(piece);
                for name in &found {
                    let is_named = asked.names.get(*name).is_some_and(|own| parameter.is_named(own));
                    let value = match is_named && piece.len() == whole.len() {
                        true => parameter.value().ok_or(Doubt::Value).map(into_bytes),
                        false => Err(Doubt::Name),
                    };
                    // Where a `;` is no end, the value goes on behind it, and the name is the same.
                    self.add(Item::new(asked.place(*name), is_named && is_first, value));
                }
                is_first = false;
            }
        }
    }

    /// How many names were found.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// The name at `at`, and the place of the `nth` value that it may have for some server among those that conditions
    /// compare it with: [`NO_VALUE`] for no such one, [`ANY_VALUE`] where it is in doubt. `None`: there are no more.
    pub(super) fn value(&self, at: usize, nth: usize) -> Option<(u32, u32)> {
        let item = self.items.get(at)?;
        let place = match (nth.checked_sub(1), item.value.is_ok()) {
            (None, true) => item.place,
            (None, false) => ANY_VALUE,
            (Some(nth), _) => u32::try_from(*item.places.get(nth)?).unwrap_or(NO_VALUE),
        };
        Some((item.name, place))
    }

    /// Whether the match with the conditions at `place` holds. What expressions cost is taken from `left`.
    pub(super) fn hold(&mut self, conditions: &Conditions, place: u32, left: &mut usize) -> Held {
        let mut held = Held::Yes;
        for condition in conditions.list(place) {
            let found = self.by_name.get(at(condition.name)).and_then(|place| place.checked_sub(1));
            let Some(item) = found.and_then(|place| self.items.get(at(place))) else { return Held::No };
            let value = match (&item.value, condition.wanted) {
                (_, Wanted::Present) if item.is_certain => continue,
                (_, Wanted::Present) => Err(Doubt::Name),
                (Err(doubt), _) => Err(*doubt),
                (Ok(_), Wanted::Exact(wanted)) => item.is(conditions, wanted).ok_or(Doubt::Value),
                (Ok(_), Wanted::Expression(place)) => {
                    let matches = match self.tried.get(at(place)) {
                        Some(Some(known)) => *known,
                        _ => {
                            let matches = item.matches(conditions, place, left);
                            note(&mut self.tried, at(place), matches);
                            matches
                        }
                    };
                    matches.ok_or(Doubt::Value)
                }
            };
            match value {
                Ok(true) => {}
                Ok(false) => return Held::No,
                Err(doubt) => held = Held::Doubt(condition.name, doubt),
            }
        }
        held
    }
}

fn note(tried: &mut Vec<Option<Option<bool>>>, at: usize, matches: Option<bool>) {
    if tried.len() <= at {
        tried.resize(at.saturating_add(1), None);
    }
    if let Some(tried) = tried.get_mut(at) {
        *tried = Some(matches);
    }
}

impl<'r> Item<'r> {
    fn new(name: u32, is_certain: bool, value: Result<Cow<'r, [u8]>, Doubt>) -> Self {
        Self { name, is_certain, value, several: Vec::new(), place: NO_VALUE, places: Vec::new() }
    }

    /// Adds a value that the same name has further behind.
    fn take_in(&mut self, next: &mut Self) {
        self.is_certain |= next.is_certain;
        match (&mut self.value, &mut next.value) {
            (Ok(first), Ok(next)) => {
                if self.several.is_empty() {
                    self.several.push(first.clone());
                }
                self.several.push(std::mem::take(next));
            }
            (Err(doubt), Err(next)) => *doubt = (*next).min(*doubt),
            (Ok(_), Err(doubt)) => self.value = Err(*doubt),
            (Err(_), Ok(_)) => {}
        }
    }

    /// To be called once every value was added.
    fn finish(&mut self, conditions: &Conditions) {
        let Ok(value) = &mut self.value else { return };
        if !self.several.is_empty() {
            // RFC 6265 section 5.4 for cookies, RFC 9110 section 5.3 for everything else.
            let is_cookie = conditions.name_at(self.name).is_some_and(|name| *name.text == *"cookie");
            let separator: &[u8] = if is_cookie { b"; " } else { b"," };
            *value = Cow::Owned(self.several.join(separator));
        }
        let name = self.name;
        self.place = conditions.find_value(name, value);
        let each = self.several.iter().map(|value| conditions.find_value(name, value));
        self.places = each.filter(|place| *place != NO_VALUE).map(at).collect();
        self.places.sort_unstable();
        self.places.dedup();
    }

    /// Whether it is the value at `wanted`; `None` when that is in doubt.
    fn is(&self, conditions: &Conditions, wanted: u32) -> Option<bool> {
        if self.place == wanted {
            return self.as_one(conditions);
        }
        if self.places.binary_search(&at(wanted)).is_ok() { None } else { Some(false) }
    }

    /// Whether the expression at `place` matches it; `None` when that is in doubt.
    fn matches(&self, conditions: &Conditions, place: u32, left: &mut usize) -> Option<bool> {
        let expression = conditions.expression_at(place)?;
        let mut matches = |value: &[u8]| {
            let value = Some(value).filter(|value| value.len() <= MAX_VALUE)?;
            expression.matches(str::from_utf8(value).ok()?, left)
        };
        if matches(self.value.as_ref().ok()?)? {
            return self.as_one(conditions);
        }
        for value in &self.several {
            if matches(value)? {
                return None;
            }
        }
        Some(false)
    }

    /// True where all its values as one are its value: lines of a header are (RFC 9110 section 5.3), parameters to some
    /// servers alone.
    fn as_one(&self, conditions: &Conditions) -> Option<bool> {
        let is_header = || conditions.name_at(self.name).is_some_and(|name| name.part == Part::Header);
        (self.several.is_empty() || is_header()).then_some(true)
    }
}

fn into_bytes(text: Cow<'_, str>) -> Cow<'_, [u8]> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
        Cow::Owned(text) => Cow::Owned(text.into_bytes()),
    }
}
