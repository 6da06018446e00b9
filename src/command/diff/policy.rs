//! A policy of a file, with all that comparing needs of it, and its engine.

use std::{cell::RefCell, collections::BTreeMap};

use serde_json::Value;

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
    /// As it stands in its file.
    pub(super) written: Value,
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
    pub(super) fn new(file: &str, written: Value, now: Timestamp) -> Result<Self, Refusal> {
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
        Ok(Self { written, document, lines, roles, prepared, gateway: RefCell::new(gateway), now })
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
