//! `shadow`: the next list of rules, which decides beside the one in force.

use super::{
    RuleSpec,
    model::{Kind, Shape, required},
    names::Definitions,
    reader::Object,
    rules::{NEXT_RULE, next_rules},
};

pub(super) static SHADOW: Shape = Shape::new(&[required(
    "rules",
    Kind::List("no rules; leave the field out", &Kind::Object(&NEXT_RULE)),
    "Rules as in [rules](#rules), without `shadow`. Their names are their own.",
)]);

/// The next list of rules. `in_force` have none of their own then.
pub(super) fn shadow_rules(
    document: &mut Object<'_>,
    in_force: &[Option<RuleSpec>],
    defs: &mut Definitions,
) -> Vec<Option<RuleSpec>> {
    if !document.has("shadow") {
        return Vec::new();
    }
    let has_own = |rule: &Option<RuleSpec>| rule.as_ref().is_some_and(|rule| rule.shadow.is_some());
    if let Some(place) = in_force.iter().position(has_own) {
        let message =
            format!("contradicts rules[{place}].shadow; give the next list whole, or shadows of rules");
        document.fault_at::<()>("shadow", message);
    }
    document.object("shadow").map(|shadow| next_rules(shadow, defs)).unwrap_or_default()
}
