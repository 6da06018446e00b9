//! Why a request is decided as it is, by experiment: policies with one condition each are compiled, and the engine decides
//! the same request by them. So no condition has a second meaning here.

use serde_json::{Map, Value, json};

use crate::{
    command::offline::{Asked, Gateway, Outcome, Prepared},
    fault::Fault,
    time::Timestamp,
};

/// All that experiments start from.
pub(in crate::command) struct Scene<'a> {
    /// The policy.
    pub(in crate::command) prepared: &'a Prepared,
    pub(in crate::command) now: Timestamp,
    /// The request, with its credentials.
    pub(in crate::command) asked: &'a Asked,
}

/// What became of one condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::command) enum Verdict {
    Holds,
    Fails,
    /// It cannot stand alone, so nothing was found out.
    Unknown,
}

/// One condition.
#[derive(Clone, Debug)]
pub(in crate::command) struct Check {
    /// Where it stands in the policy.
    pub(in crate::command) path: String,
    /// As it stands there.
    pub(super) asked: Value,
    pub(in crate::command) verdict: Verdict,
    /// The code of the reason that it is refused for; `None` where it holds, and for conditions of `matches`.
    pub(super) reason: Option<&'static str>,
    /// What whoever asks lacks.
    pub(super) missing: Vec<String>,
    /// More about it.
    pub(super) detail: Option<String>,
}

impl Scene<'_> {
    /// What `document` makes of the request in place of the policy, and the gateway that decided.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(super) fn decide(&self, document: Value) -> Result<(Outcome, Gateway), Vec<Fault>> {
        let gateway = self.prepared.with(document).gateway(&[], self.now)?;
        Ok((gateway.decide(self.asked), gateway))
    }

    fn rule(&self, place: usize) -> Option<&Map<String, Value>> {
        self.prepared.document.get("rules")?.get(place)?.as_object()
    }

    /// How the conditions of each of the rule's matches hold; those of `hostnames` stand first in each.
    pub(super) fn matches(&self, place: usize) -> Vec<Vec<Check>> {
        let Some(rule) = self.rule(place) else { return Vec::new() };
        let hosts = rule.get("hostnames").map(|hosts| {
            let holds = self.is_matched(rule, json!({"hostnames": hosts}));
            check(format!("rules[{place}].hostnames"), hosts, holds)
        });
        let entries = rule.get("matches").and_then(Value::as_array);
        let none = [json!({})];
        let entries = entries.map_or(&none[..], Vec::as_slice);
        let each = entries.iter().enumerate().map(|(at, entry)| {
            let mut checks: Vec<_> = hosts.iter().cloned().collect();
            for (name, value) in entry.as_object().into_iter().flatten() {
                let path = format!("rules[{place}].matches[{at}].{name}");
                match value.as_array().filter(|items| items.iter().any(Value::is_object)) {
                    Some(items) => checks.extend(items.iter().enumerate().map(|(n, item)| {
                        let holds = self.is_matched(rule, json!({"matches": [{name: [item]}]}));
                        check(format!("{path}[{n}]"), item, holds)
                    })),
                    None => {
                        let holds = self.is_matched(rule, json!({"matches": [{name: value}]}));
                        checks.push(check(path, value, holds));
                    }
                }
            }
            checks
        });
        each.collect()
    }

    /// Whether a rule with these members alone takes the request; `None`: there can be no such rule.
    fn is_matched(&self, rule: &Map<String, Value>, members: Value) -> Option<bool> {
        let mut alone = members;
        let object = alone.as_object_mut()?;
        for name in ["encodedSlash", "matrixParameters"] {
            if let Some(kept) = rule.get(name) {
                object.insert(name.to_owned(), kept.clone());
            }
        }
        object.insert("name".to_owned(), "alone".into());
        object.insert("authenticate".to_owned(), json!({"anonymous": true}));
        let mut document = json!({"transport": {"requireTls": false}, "rules": [alone]});
        let found = self.decide(document.clone()).ok().or_else(|| {
            // A path that keeps nothing may not say that it does.
            let rule = document.pointer_mut("/rules/0")?.as_object_mut()?;
            rule.retain(|name, _| !["encodedSlash", "matrixParameters"].contains(&name.as_str()));
            self.decide(document).ok()
        });
        found.map(|(outcome, _)| outcome.is_allowed())
    }

    /// How the credential fares under each way to authenticate that the rule takes, taken alone.
    pub(in crate::command) fn ways(&self, place: usize) -> Vec<Check> {
        let Some(rule) = self.rule(place) else { return Vec::new() };
        let Some(ways) = rule.get("authenticate").and_then(Value::as_object) else { return Vec::new() };
        let mut checks = Vec::new();
        for kind in ["anyOf", "allOf"] {
            let list = ways.get(kind).and_then(Value::as_array).into_iter().flatten();
            for (at, way) in list.enumerate() {
                let path = format!("rules[{place}].authenticate.{kind}[{at}]");
                let outcome = self.with_rule(rule, &json!({"anyOf": [way]}), None);
                checks.push(judged(path, way, outcome));
            }
        }
        checks
    }

    /// How each condition of each alternative of `authorize` holds, taken alone.
    pub(in crate::command) fn alternatives(&self, place: usize) -> Vec<Vec<Check>> {
        let Some(rule) = self.rule(place) else { return Vec::new() };
        let (Some(ways), Some(authorize)) = (rule.get("authenticate"), rule.get("authorize")) else {
            return Vec::new();
        };
        let path = format!("rules[{place}].authorize");
        let listed = authorize.get("anyOf").and_then(Value::as_array);
        let alternatives: Vec<_> = match listed {
            Some(listed) => {
                listed.iter().enumerate().map(|(n, asked)| (format!("{path}.anyOf[{n}]"), asked)).collect()
            }
            None => vec![(path, authorize)],
        };
        let one = |path: String, asked: &Value, alone: &Value| {
            judged(path, asked, self.with_rule(rule, ways, Some(alone)))
        };
        let each =
            alternatives.into_iter().map(|(path, asked)| {
                let mut checks = Vec::new();
                for (name, value) in asked.as_object().into_iter().flatten() {
                    let items = value.as_array().filter(|_| matches!(name.as_str(), "claims" | "noneOf"));
                    match items {
                        Some(items) => checks.extend(items.iter().enumerate().map(|(n, item)| {
                            one(format!("{path}.{name}[{n}]"), item, &json!({name: [item]}))
                        })),
                        None => checks.push(one(format!("{path}.{name}"), value, &json!({name: value}))),
                    }
                }
                checks
            });
        each.collect()
    }

    /// What becomes of the request by this rule alone, with these ways to authenticate and these conditions.
    fn with_rule(
        &self,
        rule: &Map<String, Value>,
        ways: &Value,
        authorize: Option<&Value>,
    ) -> Result<Outcome, Vec<Fault>> {
        let mut alone = rule.clone();
        alone.shift_remove("rateLimits");
        alone.shift_remove("authorize");
        alone.shift_remove("shadow");
        alone.insert("authenticate".to_owned(), ways.clone());
        if let Some(authorize) = authorize {
            alone.insert("authorize".to_owned(), authorize.clone());
        }
        let mut document = self.prepared.document.clone();
        if let Some(members) = document.as_object_mut() {
            members.insert("rules".to_owned(), json!([alone]));
            members.shift_remove("shadow");
        }
        self.decide(document).map(|(outcome, _)| outcome)
    }
}

fn check(path: String, asked: &Value, holds: Option<bool>) -> Check {
    let verdict = match holds {
        Some(true) => Verdict::Holds,
        Some(false) => Verdict::Fails,
        None => Verdict::Unknown,
    };
    Check { path, asked: asked.clone(), verdict, reason: None, missing: Vec::new(), detail: None }
}

fn judged(path: String, asked: &Value, outcome: Result<Outcome, Vec<Fault>>) -> Check {
    match outcome {
        Ok(outcome) => {
            let missing = outcome.record.get("missing").and_then(Value::as_array);
            let missing = missing.into_iter().flatten().filter_map(Value::as_str);
            Check {
                reason: outcome.reason.map(crate::answer::Reason::code),
                missing: missing.map(str::to_owned).collect(),
                detail: outcome.recorded("detail").map(str::to_owned),
                ..check(path, asked, Some(outcome.reason.is_none()))
            }
        }
        // Alone it may be a condition that nobody can meet, which is said with the fault.
        Err(faults) => Check { detail: faults.first().map(ToString::to_string), ..check(path, asked, None) },
    }
}
