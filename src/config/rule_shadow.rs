//! `shadow` of a rule: how it would decide, beside how it does.

use serde_json::{Map, Value};

use super::{
    authenticate::AUTHENTICATE,
    deciding::{ACTIONS, Decides, RULE_TRANSPORT, UNDER_DENY_IN_SHADOW, decides},
    faults::Faults,
    model::{Bound, Form, Kind, Shape, optional, words},
    names::Definitions,
    reader::{Node, Object},
    requirement::AUTHORIZE,
};
use crate::fault::Fault;

/// The members by which a rule decides.
const DECIDING: [&str; 7] =
    ["action", "authenticate", "protectedResource", "anyAudience", "authorize", "rateLimits", "transport"];

const AS_IN_THE_RULE: &str = "absent: as in the rule";

pub(super) static RULE_SHADOW: Shape = Shape::bound(
    &[
        optional("action", Kind::Choice("an action", &words(&ACTIONS)), AS_IN_THE_RULE, "What it would do."),
        optional("authenticate", Kind::Object(&AUTHENTICATE), AS_IN_THE_RULE, "Who would pass."),
        optional(
            "protectedResource",
            Kind::Text(Form::Name),
            AS_IN_THE_RULE,
            "Which of `protectedResources` it would belong to.",
        ),
        optional(
            "anyAudience",
            Kind::True("only true is allowed; name one of protectedResources instead"),
            AS_IN_THE_RULE,
            "It would belong to none of `protectedResources`.",
        ),
        optional(
            "authorize",
            Kind::Object(&AUTHORIZE),
            "absent: as in the rule; nothing, where `authenticate` stands here and lets requests without a credential pass",
            "What the principal would need.",
        ),
        optional(
            "rateLimits",
            Kind::List("no limits; leave the field out", &Kind::Text(Form::LimitName)),
            "absent: as in the rule; none, where `authenticate` stands here and lets requests without a credential pass",
            "Names of `rateLimits` that would apply.",
        ),
        optional(
            "transport",
            Kind::Object(&RULE_TRANSPORT),
            AS_IN_THE_RULE,
            "Whether its requests would have to come over TLS.",
        ),
    ],
    &[
        Bound::Some(&DECIDING),
        Bound::Apart(&["protectedResource", "anyAudience"]),
        Bound::Where("action", "Deny", UNDER_DENY_IN_SHADOW, &[]),
    ],
);

/// How a rule would decide, and what is wrong with that.
pub(super) struct Next {
    decides: Option<Decides>,
    faults: Vec<Fault>,
}

/// What the shadow of a rule says, of which no member is read yet; `None`: it has none.
///
/// Members that are left out are those of the rule: so what is wrong with those shows here once more.
pub(super) fn next_of_rule(rule: &Object<'_>, defs: &Definitions) -> Option<Next> {
    // A rule that decides beside others has no such field.
    rule.shape.field("shadow")?;
    let shadow = rule.members().get("shadow")?;
    let faults = Faults::default();
    let decides = match shadow {
        Value::Object(own) if !DECIDING.iter().any(|name| own.contains_key(*name)) => {
            let bare = rule.in_place_of("shadow", own.clone(), &faults)?;
            bare.fault(format!("says nothing; give one of {}", DECIDING.join(", ")))
        }
        Value::Object(own) => {
            let mut members = inherited(rule.members(), own);
            members.extend(own.clone());
            let mut next = rule.in_place_of("shadow", members, &faults)?;
            Some(decides(&mut next, defs))
        }
        other => {
            Node { value: other.clone(), path: rule.at("shadow"), faults: &faults }.mismatch("an object")
        }
    };
    Some(Next { decides, faults: faults.since(0) })
}

impl Next {
    /// How it would decide, if nothing is wrong with it. Faults that the rule has itself are told of the rule alone, which was
    /// read when `before` faults were noted.
    pub(super) fn told(self, before: usize, rule: &Object<'_>) -> Option<Decides> {
        let (own, place) = (rule.faults.since(before), rule.path.to_string());
        let of_rule = |fault: &Fault| {
            let rest = fault.path.strip_prefix(&place).and_then(|rest| rest.strip_prefix(".shadow"));
            own.iter().any(|own| own.path.strip_prefix(&place) == rest && own.message == fault.message)
        };
        let is_good = self.faults.is_empty();
        for fault in self.faults.into_iter().filter(|fault| !of_rule(fault)) {
            rule.faults.add_at(fault.path, fault.message);
        }
        self.decides.filter(|_| is_good)
    }
}

/// The members of `rule` that its shadow `own` has, too.
fn inherited(rule: &Map<String, Value>, own: &Map<String, Value>) -> Map<String, Value> {
    let says = |members: &Map<String, Value>, name: &str| members.contains_key(name);
    if own.get("action").and_then(Value::as_str) == Some("Deny") {
        return Map::new();
    }
    let ways = own.get("authenticate");
    let lets_unknown_pass = ["anonymous", "passThrough", "optional"]
        .iter()
        .any(|name| ways.and_then(|ways| ways.get(name)).is_some());
    let takes_tokens = ways.or_else(|| rule.get("authenticate")).is_some_and(|ways| {
        let lists = ["anyOf", "allOf"].map(|list| ways.get(list).and_then(Value::as_array));
        lists.into_iter().flatten().flatten().any(|way| way.get("jwt").is_some())
    });
    let names_resource = says(own, "protectedResource") || says(own, "anyAudience");
    let inherits = |name: &str| match name {
        "protectedResource" | "anyAudience" => takes_tokens && !names_resource,
        "authorize" | "rateLimits" => !lets_unknown_pass,
        _ => true,
    };
    let inherited = DECIDING.into_iter().filter(|name| inherits(name));
    inherited.filter_map(|name| Some((name.to_owned(), rule.get(name)?.clone()))).collect()
}
