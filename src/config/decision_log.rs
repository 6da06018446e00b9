//! `decisionLog`.

use super::{
    RecordNames,
    model::{Bound, Kind, Shape, default, words},
    reader::Object,
};

const LOG_DENIED: [(&str, bool); 2] = [("Sampled", false), ("All", true)];

const NAMES: [(&str, RecordNames); 2] = [("Portcullis", RecordNames::Portcullis), ("Ecs", RecordNames::Ecs)];

pub(super) static DECISION_LOG: Shape = Shape::bound(
    &[
        default("allowed", Kind::Boolean, "false", "Whether allowed requests get a decision record too."),
        default(
            "denied",
            Kind::Choice("a choice", &words(&LOG_DENIED)),
            "Sampled",
            "`All`: every denied request gets a decision record.",
        ),
        default(
            "names",
            Kind::Choice("a choice", &words(&NAMES)),
            "Portcullis",
            "What the members of records are called. `Ecs`: as in the [Elastic Common Schema](#elastic-common-schema).",
        ),
        default(
            "chain",
            Kind::Boolean,
            "false",
            "Whether each record holds the digest of the one before it, see [below](#records-in-a-chain).",
        ),
    ],
    &[Bound::Some(&["allowed", "denied", "names", "chain"])],
);

/// Which decisions are recorded, and how.
#[derive(Default)]
pub(super) struct DecisionLog {
    pub(super) allowed: bool,
    pub(super) all_denied: bool,
    pub(super) names: RecordNames,
    pub(super) chain: bool,
}

/// Reads the section.
pub(super) fn decision_log(mut o: Object<'_>) -> Option<DecisionLog> {
    let allowed = o.boolean("allowed");
    let denied = o.choice("denied", &LOG_DENIED);
    let names = o.choice("names", &NAMES);
    let chain = o.boolean("chain");
    if !o.has_one(&["allowed", "denied", "names", "chain"]) {
        return o.fault("says nothing; leave the field out");
    }
    Some(DecisionLog { allowed, all_denied: denied?, names: names?, chain })
}
