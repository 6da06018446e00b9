//! `decisionLog`.

use super::{
    model::{Bound, Kind, Shape, default, words},
    reader::Object,
};

const LOG_DENIED: [(&str, bool); 2] = [("Sampled", false), ("All", true)];

pub(super) static DECISION_LOG: Shape = Shape::bound(
    &[
        default("allowed", Kind::Boolean, "false", "Whether allowed requests get a decision record too."),
        default(
            "denied",
            Kind::Choice("a choice", &words(&LOG_DENIED)),
            "Sampled",
            "`All`: every denied request gets a decision record.",
        ),
    ],
    &[Bound::Some(&["allowed", "denied"])],
);

/// Whether allowed requests get a decision record, and whether every denied one does.
pub(super) fn decision_log(mut o: Object<'_>) -> Option<(bool, bool)> {
    let allowed = o.boolean("allowed");
    let denied = o.choice("denied", &LOG_DENIED);
    if !o.has_one(&["allowed", "denied"]) {
        return o.fault("says nothing; leave the field out");
    }
    Some((allowed, denied?))
}
