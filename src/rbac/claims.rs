//! What rules ask of claims. Each condition is judged once for each token, when it is verified.

use std::rc::Rc;

use crate::{
    expression::Expression,
    identity::{ClaimPath, MAX_MEMBERS, Principal},
    json::{Json, List},
};

/// What a rule asks of one claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimCondition {
    /// Which claim. API keys and certificates have one, `sub`: their client or name.
    pub claim: ClaimPath,
    /// What it must be.
    pub test: ClaimTest,
}

/// What a claim must be. A claim that is absent or null is none of these.
#[derive(Clone, Debug)]
pub enum ClaimTest {
    /// One of these values. Never empty.
    In(Vec<ClaimValue>),
    /// A list that holds one of these values, or one of them itself. Never empty.
    Contains(Vec<ClaimValue>),
    /// Text that matches as a whole.
    Matches(Rc<Expression>),
    /// Anything.
    Present,
}

impl PartialEq for ClaimTest {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::In(a), Self::In(b)) | (Self::Contains(a), Self::Contains(b)) => a == b,
            (Self::Matches(a), Self::Matches(b)) => a.text() == b.text(),
            (Self::Present, Self::Present) => true,
            _ => false,
        }
    }
}

impl Eq for ClaimTest {}

/// What a claim is compared with. Values of different kinds are never equal: `7` is not `"7"`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClaimValue {
    /// Text, compared exactly.
    Text(String),
    /// A whole number.
    Number(i64),
    /// `true` or `false`.
    Boolean(bool),
}

/// Longest text that is held against an expression, in bytes.
const MAX_TEXT: usize = 8192;

/// What a claim's value says of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It holds.
    Met,
    /// It does not, for sure: only then may `noneOf` pass somebody.
    Unmet,
    /// The value is of another kind than what it is compared with, so that somebody may have meant either.
    Unclear,
}

impl Verdict {
    fn of(met: bool) -> Self {
        if met { Self::Met } else { Self::Unmet }
    }
}

impl ClaimCondition {
    /// How many values the claim is held against.
    pub(super) fn comparisons(&self) -> usize {
        match &self.test {
            ClaimTest::In(values) | ClaimTest::Contains(values) => values.len(),
            ClaimTest::Matches(_) | ClaimTest::Present => 1,
        }
    }

    /// Whether everybody has the claim, whatever they come with.
    pub(super) fn is_of_subject(&self) -> bool {
        self.claim.0 == ["sub"]
    }

    /// Judges the claim of a principal.
    pub(super) fn judge(&self, principal: &Principal) -> Verdict {
        match principal.claim(&self.claim) {
            None | Some(Json::Null) => Verdict::Unmet,
            Some(value) => self.test.judge(value),
        }
    }
}

impl ClaimTest {
    fn judge(&self, value: Json<'_>) -> Verdict {
        match (self, value) {
            (Self::Present, _) => Verdict::Met,
            (Self::Contains(wanted), Json::List(list)) => holds(list, wanted),
            (Self::In(wanted) | Self::Contains(wanted), value) => is_one_of(value, wanted),
            (Self::Matches(expression), Json::String(text)) if text.len() <= MAX_TEXT => {
                Verdict::of(expression.is_match(text))
            }
            (Self::Matches(_), _) => Verdict::Unclear,
        }
    }
}

fn is_one_of(value: Json<'_>, wanted: &[ClaimValue]) -> Verdict {
    let mut verdict = Verdict::Unmet;
    for wanted in wanted {
        match wanted.judge(value) {
            Verdict::Met => return Verdict::Met,
            Verdict::Unclear => verdict = Verdict::Unclear,
            Verdict::Unmet => {}
        }
    }
    verdict
}

fn holds(list: List<'_>, wanted: &[ClaimValue]) -> Verdict {
    let mut verdict = Verdict::Unmet;
    for (place, member) in list.iter().enumerate() {
        match is_one_of(member, wanted) {
            _ if place >= MAX_MEMBERS => return Verdict::Unclear,
            Verdict::Met => return Verdict::Met,
            Verdict::Unclear => verdict = Verdict::Unclear,
            Verdict::Unmet => {}
        }
    }
    verdict
}

impl ClaimValue {
    fn judge(&self, value: Json<'_>) -> Verdict {
        match (self, value) {
            (Self::Text(wanted), Json::String(own)) => Verdict::of(own == wanted),
            (Self::Boolean(wanted), Json::Bool(own)) => Verdict::of(own == *wanted),
            // Fractions, and whole numbers beyond 64 bits, may have been rounded.
            (Self::Number(wanted), Json::Number(own)) if own.is_i64() || own.is_u64() => {
                Verdict::of(own.as_i64() == Some(*wanted))
            }
            _ => Verdict::Unclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::identity::PrincipalKind;

    fn text(text: &str) -> ClaimValue {
        ClaimValue::Text(text.to_owned())
    }

    #[test]
    fn values_that_meet_a_condition_and_those_that_do_not() {
        use Verdict::{Met, Unclear, Unmet};
        let one = || ClaimTest::In(vec![text("a")]);
        let either = || ClaimTest::In(vec![text("a"), text("b"), ClaimValue::Number(7)]);
        let number = || ClaimTest::In(vec![ClaimValue::Number(7)]);
        let yes = || ClaimTest::In(vec![ClaimValue::Boolean(true)]);
        let member = || ClaimTest::Contains(vec![text("a")]);
        let matching = || ClaimTest::Matches(Rc::new(Expression::compile("a|b.*").unwrap()));
        let long = |at: usize, of: usize| {
            let mut members = vec!["b"; of];
            members[at] = "a";
            json!(members)
        };
        for (test, value, expected) in [
            (one(), json!("a"), Met),
            (one(), json!("A"), Unmet),
            (one(), json!("a "), Unmet),
            (one(), json!(""), Unmet),
            (one(), json!(null), Unmet),
            (one(), json!(["a"]), Unclear),
            (one(), json!({"a": true}), Unclear),
            (one(), json!(true), Unclear),
            (either(), json!("b"), Met),
            (either(), json!(7), Met),
            (either(), json!("7"), Unclear),
            (either(), json!(8), Unclear),
            (either(), json!(["a", "b"]), Unclear),
            (number(), json!(7), Met),
            (number(), json!(8), Unmet),
            (number(), json!(-7), Unmet),
            (number(), json!(u64::MAX), Unmet),
            (number(), json!(7.0), Unclear),
            (number(), json!(7.5), Unclear),
            (number(), json!("7"), Unclear),
            (yes(), json!(true), Met),
            (yes(), json!(false), Unmet),
            (yes(), json!("true"), Unclear),
            (yes(), json!(1), Unclear),
            (member(), json!(["b", "a"]), Met),
            (member(), json!("a"), Met),
            (member(), json!("b a"), Unmet),
            (member(), json!(["b", "A"]), Unmet),
            (member(), json!([]), Unmet),
            (member(), json!([["a"]]), Unclear),
            (member(), json!([7, "a"]), Met),
            (member(), json!([7]), Unclear),
            (member(), json!({"a": 1}), Unclear),
            (member(), long(MAX_MEMBERS - 1, MAX_MEMBERS), Met),
            (member(), long(MAX_MEMBERS, MAX_MEMBERS + 1), Unclear),
            (matching(), json!("a"), Met),
            (matching(), json!("bcd"), Met),
            (matching(), json!("ab"), Unmet),
            (matching(), json!("b".repeat(MAX_TEXT)), Met),
            (matching(), json!("b".repeat(MAX_TEXT + 1)), Unclear),
            (matching(), json!(["a"]), Unclear),
            (matching(), json!(7), Unclear),
            (ClaimTest::Present, json!(false), Met),
            (ClaimTest::Present, json!(""), Met),
            (ClaimTest::Present, json!([]), Met),
            (ClaimTest::Present, json!(null), Unmet),
        ] {
            let condition = |claim: &str, test| ClaimCondition { claim: ClaimPath::dotted(claim), test };
            let of = Principal::alice(PrincipalKind::Jwt, &json!({"of": {"it": value}}));
            assert_eq!(condition("of.it", test.clone()).judge(&of), expected, "{test:?} {value}");
            assert_eq!(condition("of.other", test.clone()).judge(&of), Unmet);
            for kind in [PrincipalKind::ApiKey, PrincipalKind::ClientCertificate] {
                let nobody = Principal::alice(kind, &json!({}));
                assert_eq!(condition("of.it", test.clone()).judge(&nobody), Unmet);
            }
        }
        let alice =
            ClaimCondition { claim: ClaimPath::dotted("sub"), test: ClaimTest::In(vec![text("alice")]) };
        for kind in [PrincipalKind::ApiKey, PrincipalKind::ClientCertificate] {
            assert_eq!(alice.judge(&Principal::alice(kind, &json!({}))), Met);
        }
        // A token's subject is the claim, whatever claim the provider takes for it.
        assert_eq!(alice.judge(&Principal::alice(PrincipalKind::Jwt, &json!({"sub": "bob"}))), Unmet);
    }
}
