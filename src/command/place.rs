//! From a fault's path to its place in the file.

use std::ops::Range;

use super::{scalar::Dialect, source::Source, tree::Node};
use crate::fault::{Fault, PathStep};

/// A policy within a file.
pub(super) struct Root<'a> {
    pub(super) node: &'a Node,
    /// Of the member whose value it is.
    pub(super) name_span: Option<Range<usize>>,
    pub(super) dialect: Dialect,
}

/// A value, and the name that it stands behind; a value of a list has none.
struct Spot<'a> {
    node: &'a Node,
    name_span: Option<Range<usize>>,
}

impl Root<'_> {
    /// Where the fault stands: its value, its name if that is unknown, or what lacks it if it is not there. Also the value
    /// itself, if it is there.
    pub(super) fn locate(&self, fault: &Fault, source: &Source) -> (Range<usize>, Option<&Node>) {
        let mut spot = Spot { node: self.node, name_span: self.name_span.clone() };
        for step in fault.steps() {
            match spot.step(&step, self.dialect) {
                Some(next) => spot = next,
                None => return (spot.whole(source), None),
            }
        }
        let span = match &spot.name_span {
            Some(name) if fault.is_of_the_name() => name.clone(),
            _ => spot.whole(source),
        };
        (span, Some(spot.node))
    }
}

impl<'a> Spot<'a> {
    fn step(&self, step: &PathStep<'_>, dialect: Dialect) -> Option<Self> {
        match step {
            PathStep::Index(index) => Some(Self { node: self.node.items().get(*index)?, name_span: None }),
            PathStep::Name(name) => {
                // Of a name that is given twice the last one counts.
                let mut members = self.node.members(dialect).into_iter();
                let member = members.rfind(|member| is_called(&member.name.text, name))?;
                Some(Self { node: &member.value, name_span: Some(member.name_span.clone()) })
            }
        }
    }

    /// What is marked where all of it is meant: a value that stands on one line with its name, else the name; of what has
    /// no name, the first line.
    fn whole(&self, source: &Source) -> Range<usize> {
        let span = &self.node.span;
        let is_on_one_line =
            |part: Range<usize>| source.text.get(part).is_some_and(|text| !text.trim_end().contains('\n'));
        match &self.name_span {
            Some(name) if span.is_empty() || !is_on_one_line(name.start..span.end) => name.clone(),
            _ => source.first_line_of(span),
        }
    }
}

/// Whether a step of this name leads to the member `own`. A path has long names cut.
fn is_called(own: &str, name: &str) -> bool {
    const SHOWN: usize = 80;
    let cut = || {
        name.strip_suffix('…').is_some_and(|shown| shown.chars().count() >= SHOWN && own.starts_with(shown))
    };
    own == name || cut()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::yaml;

    #[test]
    fn a_path_leads_to_its_place() {
        let text = "roles: [a, b]\nrules:\n- name: x\n  matches:\n  - {path: 1}\n  \"a b.c[0]\": é\n- {name: y}\nempty:\n";
        let source = Source::new("-", text.to_owned());
        let node = yaml::read(text).unwrap().documents.remove(0);
        let root = Root { node: &node, name_span: None, dialect: Dialect::Envoy };
        for (path, message, marked) in [
            ("", "m", "roles: [a, b]"),
            ("roles", "m", "[a, b]"),
            ("roles[1]", "m", "b"),
            ("roles[2]", "m", "[a, b]"),
            ("rules", "m", "rules"),
            ("rules[0]", "m", "name: x"),
            ("rules[0].name", "m", "x"),
            ("rules[0].name", "unknown field", "name"),
            ("rules[0].name.z", "m", "x"),
            ("rules[0].matches", "m", "matches"),
            ("rules[0].matches[0].path", "m", "1"),
            ("rules[0].matches[0].method", "required", "{path: 1}"),
            ("rules[0][\"a b.c[0]\"]", "m", "é"),
            ("rules[0].authenticate", "required", "name: x"),
            ("rules[1].authenticate", "required", "{name: y}"),
            ("empty", "m", "empty"),
            ("rulez", "required", "roles: [a, b]"),
        ] {
            let (span, _) = root.locate(&Fault::new(path, message), &source);
            assert_eq!(text.get(span).unwrap(), marked, "{path}");
        }
    }
}
