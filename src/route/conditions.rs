//! What matches ask of headers and query parameters: each name, value and expression kept once.

use std::{fmt, hash::BuildHasher};

use hashbrown::{DefaultHashBuilder, HashTable};

use super::{
    MatchSpec, ValueSpec,
    place::{NONE, at, place_after},
};
use crate::{expression::Expression, fault::Fault, request::alike::AlikeNames};

/// No value of any condition.
pub(super) const NO_VALUE: u32 = NONE;

/// Stands for every value of a name.
pub(super) const ANY_VALUE: u32 = NO_VALUE - 1;

/// Where a condition looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    /// A header.
    Header,
    /// A query parameter.
    Query,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "header",
            Self::Query => "query parameter",
        })
    }
}

/// All conditions of a router. Names, values, expressions and lists of conditions are known by their places.
#[derive(Debug)]
pub(super) struct Conditions {
    hasher: DefaultHashBuilder,
    names: Vec<Name>,
    headers: Looked,
    params: Looked,
    values: Vec<(u32, Box<str>)>,
    by_value: HashTable<u32>,
    /// Each with the place of the name that it is asked of.
    expressions: Vec<(u32, Expression)>,
    by_text: HashTable<u32>,
    conditions: Vec<Condition>,
    /// For each match, where its conditions lie in `conditions`. The first list is empty, for matches that ask for
    /// nothing.
    lists: Vec<std::ops::Range<usize>>,
}

/// The names that are looked for in one part of a request, and their places among all names.
#[derive(Debug, Default)]
pub(super) struct Looked {
    pub(super) names: AlikeNames,
    places: Vec<u32>,
}

impl Looked {
    /// The place among all of the name at `place` here.
    pub(super) fn place(&self, place: usize) -> u32 {
        self.places.get(place).copied().unwrap_or(NO_VALUE)
    }
}

/// A header or parameter that is asked for.
#[derive(Debug)]
pub(super) struct Name {
    pub(super) part: Part,
    pub(super) text: Box<str>,
    /// Length of the longest value that it is compared with.
    longest_value: usize,
}

/// One condition: all of a match must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    pub(super) name: u32,
    pub(super) wanted: Wanted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// This value.
    Exact(u32),
    /// Any.
    Present,
    /// One that this expression matches.
    Expression(u32),
}

impl Conditions {
    pub(super) fn new() -> Self {
        Self {
            hasher: DefaultHashBuilder::default(),
            names: Vec::new(),
            headers: Looked::default(),
            params: Looked::default(),
            values: Vec::new(),
            by_value: HashTable::new(),
            expressions: Vec::new(),
            by_text: HashTable::new(),
            conditions: Vec::new(),
            lists: std::iter::once(0..0).collect(),
        }
    }

    /// Compiles what `spec` asks; its place, 0 for nothing. Faults are relative to it.
    pub(super) fn add(&mut self, spec: &MatchSpec, faults: &mut Vec<Fault>) -> usize {
        let from = self.conditions.len();
        self.add_list(Part::Header, "headers", &spec.headers, faults);
        self.add_list(Part::Query, "queryParams", &spec.query, faults);
        // Expressions last, for they cost most and whatever fails before spares them.
        let own = self.conditions.split_off(from);
        let is_last = |condition: &&Condition| matches!(condition.wanted, Wanted::Expression(_));
        self.conditions.extend(own.iter().filter(|condition| !is_last(condition)));
        self.conditions.extend(own.iter().filter(is_last));
        if from == self.conditions.len() {
            return 0;
        }
        self.lists.push(from..self.conditions.len());
        self.lists.len().saturating_sub(1)
    }

    fn add_list(&mut self, part: Part, list: &str, specs: &[(String, ValueSpec)], faults: &mut Vec<Fault>) {
        for (at, (name, spec)) in specs.iter().enumerate() {
            let expression = match spec {
                ValueSpec::RegularExpression(text) => Expression::compile(text).map(Some),
                ValueSpec::Exact(_) | ValueSpec::Present => Ok(None),
            };
            let expression =
                expression.map_err(|error| faults.push(Fault::new(format!("{list}[{at}].value"), error)));
            if let Ok(expression) = expression {
                let name = self.name(part, name);
                let wanted = match (spec, expression) {
                    (ValueSpec::Exact(text), _) => Wanted::Exact(self.value(name, text)),
                    (_, Some(expression)) => Wanted::Expression(self.expression(name, expression)),
                    (_, None) => Wanted::Present,
                };
                self.conditions.push(Condition { name, wanted });
            }
        }
    }

    /// The place of a name, added where it is new.
    fn name(&mut self, part: Part, text: &str) -> u32 {
        let Looked { names, places } = self.looked_mut(part);
        let known = names.add(text);
        if let Some(place) = places.get(known) {
            return *place;
        }
        let place = place_after(&self.names);
        self.looked_mut(part).places.push(place);
        self.names.push(Name { part, text: text.into(), longest_value: 0 });
        place
    }

    fn looked_mut(&mut self, part: Part) -> &mut Looked {
        match part {
            Part::Header => &mut self.headers,
            Part::Query => &mut self.params,
        }
    }

    fn value(&mut self, name: u32, text: &str) -> u32 {
        if let Some(own) = self.names.get_mut(at(name)) {
            own.longest_value = own.longest_value.max(text.len());
        }
        match self.find_value(name, text.as_bytes()) {
            NO_VALUE => {}
            known => return known,
        }
        let place = place_after(&self.values);
        self.values.push((name, text.into()));
        let (values, hasher) = (&self.values, &self.hasher);
        let hash = |place: &u32| {
            values.get(at(*place)).map_or(0, |(name, text)| text_hash(hasher, *name, text.as_bytes()))
        };
        self.by_value.insert_unique(hash(&place), place, hash);
        place
    }

    fn expression(&mut self, name: u32, expression: Expression) -> u32 {
        let hash_of = |(name, own): &(u32, Expression)| text_hash(&self.hasher, *name, own.text().as_bytes());
        let new = (name, expression);
        let hash = hash_of(&new);
        let is_same = |place: &u32| {
            let known = self.expressions.get(at(*place));
            known.is_some_and(|(name, own)| (*name, own.text()) == (new.0, new.1.text()))
        };
        if let Some(known) = self.by_text.find(hash, is_same) {
            return *known;
        }
        let place = place_after(&self.expressions);
        let expressions = &self.expressions;
        self.by_text.insert_unique(hash, place, |place| expressions.get(at(*place)).map_or(0, hash_of));
        self.expressions.push(new);
        place
    }

    /// The place of a value that some condition compares `name` with; [`NO_VALUE`] when none does.
    pub(super) fn find_value(&self, name: u32, text: &[u8]) -> u32 {
        if self.names.get(at(name)).is_none_or(|name| text.len() > name.longest_value) {
            return NO_VALUE;
        }
        let is_same = |place: &u32| {
            self.values.get(at(*place)).is_some_and(|(own, value)| *own == name && value.as_bytes() == text)
        };
        let hash = text_hash(&self.hasher, name, text);
        self.by_value.find(hash, is_same).copied().unwrap_or(NO_VALUE)
    }

    /// The headers that are asked for.
    pub(super) fn headers(&self) -> &Looked {
        &self.headers
    }

    /// The parameters that are asked for.
    pub(super) fn params(&self) -> &Looked {
        &self.params
    }

    pub(super) fn name_at(&self, place: u32) -> Option<&Name> {
        self.names.get(at(place))
    }

    /// All names, by place.
    pub(super) fn names(&self) -> &[Name] {
        &self.names
    }

    pub(super) fn expression_at(&self, place: u32) -> Option<&Expression> {
        self.expressions.get(at(place)).map(|(_, expression)| expression)
    }

    /// What the match at `place` asks.
    pub(super) fn list(&self, place: u32) -> &[Condition] {
        self.lists.get(at(place)).and_then(|list| self.conditions.get(list.clone())).unwrap_or_default()
    }

    /// The expressions among what the match at `place` asks.
    pub(super) fn expressions(&self, place: u32) -> impl Iterator<Item = u32> {
        self.list(place).iter().filter_map(|condition| match condition.wanted {
            Wanted::Expression(expression) => Some(expression),
            Wanted::Exact(_) | Wanted::Present => None,
        })
    }

    /// Whether those at `own` hold wherever those at `other` do. False when in doubt.
    pub(super) fn cover(&self, own: u32, other: u32) -> bool {
        let other = self.list(other);
        self.list(own).iter().all(|own| other.iter().any(|other| self.covers(own, other)))
    }

    fn covers(&self, own: &Condition, other: &Condition) -> bool {
        own.name == other.name
            && match (own.wanted, other.wanted) {
                (Wanted::Present, _) => true,
                (Wanted::Expression(own), Wanted::Exact(value)) => {
                    let value = self.values.get(at(value));
                    let expression = self.expression_at(own);
                    value.zip(expression).is_some_and(|((_, value), expression)| expression.is_match(value))
                }
                (own, other) => own == other,
            }
    }
}

fn text_hash(hasher: &DefaultHashBuilder, name: u32, text: &[u8]) -> u64 {
    hasher.hash_one((name, text))
}
