//! `accessLog`.

use super::{
    AccessLogField,
    model::{Kind, Shape, required, words},
    reader::Object,
    scalar::word,
};

const FIELDS: [(&str, AccessLogField); 7] = [
    ("Rule", AccessLogField::Rule),
    ("Reason", AccessLogField::Reason),
    ("Principal", AccessLogField::Principal),
    ("Kind", AccessLogField::Kind),
    ("Authority", AccessLogField::Authority),
    ("Credential", AccessLogField::Credential),
    ("Limit", AccessLogField::Limit),
];

pub(super) static ACCESS_LOG: Shape = Shape::new(&[required(
    "fields",
    Kind::List("says nothing; leave accessLog out", &Kind::Choice("a field", &words(&FIELDS))),
    "What each decision leaves as filter state, each once.",
)]);

/// Reads the section.
pub(super) fn access_log(mut o: Object<'_>) -> Option<Vec<AccessLogField>> {
    let mut seen = Vec::new();
    o.list("fields")?.all(|n| {
        let (path, faults) = (n.path, n.faults);
        let (_, field) = FIELDS.get(word(n, "a field", &words(&FIELDS))?)?;
        if seen.contains(field) {
            faults.add(&path, "is listed twice");
            return None;
        }
        seen.push(*field);
        Some(*field)
    })
}
