//! A document as a tree whose every value and name knows its place in the file.
//!
//! Scalars stay as they are written: what they mean depends on who reads the document ([`super::scalar`]).

use std::ops::Range;

use serde_json::{Map, Value as Json};

use super::scalar::{Dialect, Scalar};

/// A value. Places are in bytes of the file.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) span: Range<usize>,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Scalar(Scalar),
    List(Vec<Node>),
    Object(Vec<Member>),
}

/// A name with its value. An object holds all that it is given, a name that is repeated too.
#[derive(Clone, Debug)]
pub(super) struct Member {
    pub(super) name: Scalar,
    pub(super) name_span: Range<usize>,
    pub(super) value: Node,
}

impl Node {
    /// The members as `dialect` has them: those that count, in order. Empty where it is no object.
    pub(super) fn members(&self, dialect: Dialect) -> Vec<&Member> {
        let Value::Object(own) = &self.value else { return Vec::new() };
        let mut members: Vec<&Member> = Vec::with_capacity(own.len());
        let mut merged: Vec<&Node> = Vec::new();
        for member in own {
            if dialect.ignores(&member.name) {
                continue;
            }
            if !dialect.merges(&member.name) {
                members.push(member);
                continue;
            }
            match &member.value.value {
                Value::List(nodes) => merged.extend(nodes),
                _ => merged.push(&member.value),
            }
        }
        for inherited in merged.into_iter().flat_map(|node| node.members(dialect)) {
            if !members.iter().any(|member| member.name.text == inherited.name.text) {
                members.push(inherited);
            }
        }
        members
    }

    /// The member that counts of those of this name: the last.
    pub(super) fn member(&self, dialect: Dialect, name: &str) -> Option<&Member> {
        let Value::Object(own) = &self.value else { return None };
        if own.iter().any(|member| dialect.merges(&member.name)) {
            return self.members(dialect).into_iter().rfind(|member| member.name.text == name);
        }
        own.iter().rfind(|member| member.name.text == name && !dialect.ignores(&member.name))
    }

    /// Its value.
    pub(super) fn get(&self, dialect: Dialect, name: &str) -> Option<&Self> {
        self.member(dialect, name).map(|member| &member.value)
    }

    /// The values of a list; none where it is no list.
    pub(super) fn items(&self) -> &[Self] {
        if let Value::List(items) = &self.value { items } else { &[] }
    }

    pub(super) fn scalar(&self) -> Option<&Scalar> {
        if let Value::Scalar(scalar) = &self.value { Some(scalar) } else { None }
    }

    /// The text, whatever it is read as.
    pub(super) fn text(&self) -> Option<&str> {
        self.scalar().map(|scalar| scalar.text.as_str())
    }

    pub(super) fn is_object(&self) -> bool {
        matches!(self.value, Value::Object(_))
    }

    /// What `dialect` makes of it. Of a repeated name the last value counts, as in Envoy; that it is repeated is a
    /// fault that is told when the document is read.
    pub(super) fn to_json(&self, dialect: Dialect) -> Json {
        match &self.value {
            Value::Scalar(scalar) => scalar.read(dialect),
            Value::List(items) => Json::Array(items.iter().map(|item| item.to_json(dialect)).collect()),
            Value::Object(_) => {
                let members = self.members(dialect).into_iter();
                let pairs = members.map(|member| (member.name.text.clone(), member.value.to_json(dialect)));
                Json::Object(pairs.collect::<Map<_, _>>())
            }
        }
    }

    /// Moves every place within.
    pub(super) fn relocate(&mut self, to: &dyn Fn(Range<usize>) -> Range<usize>) {
        self.span = to(self.span.clone());
        match &mut self.value {
            Value::Scalar(_) => {}
            Value::List(items) => items.iter_mut().for_each(|item| item.relocate(to)),
            Value::Object(members) => {
                for member in members {
                    member.name_span = to(member.name_span.clone());
                    member.value.relocate(to);
                }
            }
        }
    }
}
