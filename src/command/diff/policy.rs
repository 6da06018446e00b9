//! A policy of a file, with all that comparing needs of it, and its engine.

use std::{cell::RefCell, collections::BTreeMap};

use serde_json::{Map, Value};

use super::{access::Roles, rules::Lines};
use crate::{
    command::{
        offline::{Asked, Gateway, Keys, Minted, Outcome, Prepared},
        refusal::Refusal,
    },
    config::{self, Document, RuleSpec},
    fault::Fault,
    time::Timestamp,
};

/// A policy.
pub(super) struct Policy {
    /// As it stands in its file, without what is not in force.
    pub(super) written: Value,
    /// What decides beside, each where it stands.
    pub(super) shadows: BTreeMap<String, Value>,
    pub(super) document: Document,
    pub(super) lines: Lines,
    pub(super) roles: Roles,
    pub(super) prepared: Prepared,
    gateway: RefCell<Gateway>,
    now: Timestamp,
}

impl Policy {
    /// Reads and compiles what stands in `file`.
    ///
    /// # Errors
    /// It cannot be read, or has faults.
    pub(super) fn new(file: &str, mut written: Value, now: Timestamp) -> Result<Self, Refusal> {
        let shadows = take_shadows(&mut written);
        let keys: BTreeMap<String, Keys> =
            Minted::providers_of(&written).into_iter().map(|name| (name, Keys::Made)).collect();
        let ids = Minted::api_keys_of(&written);
        let faulty = |faults: Vec<Fault>| {
            let told: Vec<String> = faults.iter().map(ToString::to_string).collect();
            Refusal::usage(format!("{file}: {}", told.join("\n       ")))
        };
        // Counted requests are none of our business, and many are asked of one gateway.
        let without = without_limits(written.clone());
        let compiled = |document: Value| -> Result<(Prepared, Gateway), Refusal> {
            let prepared = Prepared::new(document, &keys, &ids).map_err(Refusal::usage)?;
            let gateway = prepared.gateway(&[], now).map_err(faulty)?;
            Ok((prepared, gateway))
        };
        let document = config::decode(written.to_string().as_bytes()).map_err(|why| faulty(why.faults))?;
        // Where something else needs the limits, the policy is taken as it is.
        let (prepared, gateway) = compiled(without).or_else(|_| compiled(written.clone()))?;
        let lines = Lines::of(&document.rules)
            .ok_or_else(|| Refusal::usage(format!("{file}: a pattern cannot be read")))?;
        let roles = Roles::of(&document.roles);
        Ok(Self { written, shadows, document, lines, roles, prepared, gateway: RefCell::new(gateway), now })
    }

    pub(super) fn rule(&self, place: Option<usize>) -> Option<&RuleSpec> {
        self.document.rules.get(place?)
    }

    /// What the engine makes of a request.
    pub(super) fn decide(&self, asked: &Asked) -> Outcome {
        let outcome = self.gateway.borrow().decide(asked);
        if outcome.verdict() != "rate_limited" {
            return outcome;
        }
        // What was asked before does not count.
        match self.prepared.gateway(&[], self.now) {
            Ok(fresh) => {
                let outcome = fresh.decide(asked);
                *self.gateway.borrow_mut() = fresh;
                outcome
            }
            Err(_) => outcome,
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.now
    }
}

/// Takes out whatever is not in force: the next list, the shadows of rules, limits that refuse nothing.
fn take_shadows(document: &mut Value) -> BTreeMap<String, Value> {
    let mut shadows = BTreeMap::new();
    let Some(members) = document.as_object_mut() else { return shadows };
    shadows.extend(members.shift_remove("shadow").map(|next| ("shadow".to_owned(), next)));
    let mut gone = Vec::new();
    if let Some(limits) = members.get_mut("rateLimits").and_then(Value::as_array_mut) {
        limits.retain(|limit| {
            let is_shadow = limit.get("shadow") == Some(&Value::Bool(true));
            if is_shadow {
                let name = limit.get("name").and_then(Value::as_str).unwrap_or_default();
                gone.push(name.to_owned());
                shadows.insert(format!("rateLimits[{name}]"), limit.clone());
            }
            !is_shadow
        });
        if limits.is_empty() {
            members.shift_remove("rateLimits");
        }
    }
    let mut rules: Vec<_> =
        members.get_mut("rules").and_then(Value::as_array_mut).into_iter().flatten().collect();
    for rule in rules.iter_mut().filter_map(|rule| rule.as_object_mut()) {
        let name = rule.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
        shadows.extend(rule.shift_remove("shadow").map(|shadow| (format!("rules[{name}].shadow"), shadow)));
        forget_limits(rule, &gone);
    }
    if let Some(passkeys) = members.get_mut("passkeys").and_then(Value::as_object_mut) {
        forget_limits(passkeys, &gone);
    }
    shadows
}

fn forget_limits(members: &mut Map<String, Value>, gone: &[String]) {
    let Some(named) = members.get_mut("rateLimits").and_then(Value::as_array_mut) else { return };
    named.retain(|name| !name.as_str().is_some_and(|name| gone.iter().any(|gone| gone == name)));
    if named.is_empty() {
        members.shift_remove("rateLimits");
    }
}

/// The policy without what counts requests.
fn without_limits(mut document: Value) -> Value {
    if let Some(members) = document.as_object_mut() {
        members.shift_remove("rateLimits");
        let rules = members.get_mut("rules").and_then(Value::as_array_mut);
        for rule in rules.into_iter().flatten().filter_map(Value::as_object_mut) {
            rule.shift_remove("rateLimits");
        }
    }
    if let Some(keys) = document.pointer_mut("/apiKeys/keys").and_then(Value::as_array_mut) {
        for key in keys.iter_mut().filter_map(Value::as_object_mut) {
            key.shift_remove("ownRequests");
        }
    }
    document
}
