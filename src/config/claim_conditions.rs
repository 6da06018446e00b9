//! What rules ask of claims.

use std::rc::Rc;

use serde_json::Value;

use super::{
    form,
    model::{Bound, Form, Kind, Shape, optional, required},
    reader::{Node, Object},
};
use crate::{
    expression::Expression,
    rbac::{ClaimCondition, ClaimTest, ClaimValue},
};

const TESTS: [&str; 6] = ["equals", "in", "contains", "containsAny", "matches", "present"];

const VALUES: Kind = Kind::List("no value would do; leave the condition out", &Kind::Value);

pub(super) static CLAIM_CONDITION: Shape = Shape::bound(
    &[
        required(
            "claim",
            Kind::Claim,
            "The claim; of an API key its client, of a certificate its name: `sub`.",
        ),
        optional("equals", Kind::Value, "", "It is this value."),
        optional("in", VALUES, "", "It is one of these values."),
        optional("contains", Kind::Value, "", "It is a list that holds this value, or is this value."),
        optional(
            "containsAny",
            VALUES,
            "",
            "It is a list that holds one of these values, or is one of them.",
        ),
        optional(
            "matches",
            Kind::Text(Form::Any),
            "",
            "It is text that this regular expression matches as a whole.",
        ),
        optional(
            "present",
            Kind::True(
                "write noneOf: [{claims: [{claim: .., present: true}]}] for a claim that must not be there",
            ),
            "",
            "It is there and not null, whatever it is.",
        ),
    ],
    &[Bound::One(&TESTS)],
);

/// One condition: a claim and what it must be.
pub(super) fn claim_condition(mut o: Object<'_>) -> Option<ClaimCondition> {
    let claim = o.claim("claim");
    let tests = [
        o.take("equals").and_then(value).map(|value| ClaimTest::In(vec![value])),
        o.list("in").and_then(|items| items.all(value)).map(ClaimTest::In),
        o.take("contains").and_then(value).map(|value| ClaimTest::Contains(vec![value])),
        o.list("containsAny").and_then(|items| items.all(value)).map(ClaimTest::Contains),
        o.take("matches").and_then(expression).map(ClaimTest::Matches),
        o.only_true("present").map(|()| ClaimTest::Present),
    ];
    match TESTS.iter().filter(|test| o.has(test)).count() {
        0 => o.fault("asks for nothing; give equals, in, contains, containsAny, matches or present"),
        1 => Some(ClaimCondition { claim: claim?, test: tests.into_iter().flatten().next()? }),
        _ => o.fault("asks for several things; write a condition for each"),
    }
}

/// Text, a whole number or a boolean.
fn value(node: Node<'_>) -> Option<ClaimValue> {
    match &node.value {
        Value::Bool(value) => Some(ClaimValue::Boolean(*value)),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Some(ClaimValue::Number(number)),
            None => node.mismatch("text, a whole number, true or false"),
        },
        Value::String(_) => form::text(node, Form::Any).map(ClaimValue::Text),
        _ => node.mismatch("text, a whole number, true or false"),
    }
}

fn expression(node: Node<'_>) -> Option<Rc<Expression>> {
    let (path, faults) = (node.path, node.faults);
    let text = form::text(node, Form::Any)?;
    match Expression::compile(&text) {
        Ok(expression) => Some(Rc::new(expression)),
        Err(message) => {
            faults.add(&path, message);
            None
        }
    }
}
