//! `metrics`.

use super::{
    model::{Bound, Kind, Shape, default},
    reader::Object,
};

pub(super) static METRICS: Shape = Shape::bound(
    &[default(
        "byRule",
        Kind::Boolean,
        "false",
        "Whether decisions are counted by rule and reason, too: `portcullis_rule_decisions`, see [below](#decisions-by-rule).",
    )],
    &[Bound::Some(&["byRule"])],
);

/// Whether decisions are counted by rule, too.
pub(super) fn metrics(mut o: Object<'_>) -> Option<bool> {
    let by_rule = o.boolean("byRule");
    if !o.has_one(&["byRule"]) {
        return o.fault("says nothing; leave the field out");
    }
    Some(by_rule)
}
