//! `portcullis diff`, `who-can` and `can`: what policies decide of all requests, not of one.
//!
//! Rules are compared as sets of requests: paths and values by their automata, methods, hosts and conditions by the kinds
//! that the policies tell apart, and callers by the facts that rules ask of them. Whatever is found so is a guess until
//! both engines were asked about a whole request; where they say something else, it is told as undecided.

mod access;
mod arguments;
pub(super) mod can;
mod compare;
mod difference;
mod facts;
mod given;
mod holders;
mod keys;
mod pairs;
mod patterns;
mod policy;
mod reach;
mod region;
mod rules;
mod search;
mod sections;
mod terms;
#[cfg(test)]
mod tests;
mod told;
pub(super) mod who_can;
mod witness;

use std::time::SystemTime;

use serde_json::Value;

pub(super) use self::arguments::{CanOptions, DiffOptions, WhoCanOptions};
use self::{
    arguments::FailOn,
    compare::Comparing,
    difference::{Found, Kind},
    keys::KeyChange,
    policy::Policy,
};
use super::{FAULTY, GOOD, offline, refusal::Refusal, say, telling::Output};
use crate::time::Timestamp;

/// Carries out what is asked for.
pub(super) fn run(options: &DiffOptions) -> u8 {
    match diff(options) {
        Ok(code) => code,
        Err(refusal) => Refusal::told(Err(refusal)),
    }
}

fn diff(options: &DiffOptions) -> Result<u8, Refusal> {
    let now = now(options.at.as_deref())?;
    let load = |file: &str| offline::load(file, &options.which);
    let (old, new) = (load(&options.old)?, load(&options.new)?);
    let old = Policy::new(&options.old, old, now)?;
    let new = Policy::new(&options.new, new, now)?;
    let comparison = Comparison::of(&old, &new);
    match options.output {
        Output::Text => say(&comparison.text()),
        Output::Json => say(&format!("{:#}\n", comparison.json())),
    }
    Ok(if comparison.fails(options.fail_on) { FAULTY } else { GOOD })
}

/// When requests come.
fn now(given: Option<&str>) -> Result<Timestamp, Refusal> {
    match given {
        None => {
            let since =
                SystemTime::UNIX_EPOCH.elapsed().map_err(|error| Refusal::unusable(error.to_string()))?;
            Ok(Timestamp::from_secs(since.as_secs()))
        }
        Some(time) => Timestamp::from_rfc3339(time)
            .map_err(|_| Refusal::usage(format!("--at: {time:?} is no time, such as 2027-01-31T08:00:00Z"))),
    }
}

/// All that two policies say otherwise.
struct Comparison {
    found: Found,
    /// API keys that can do more or less; what they can do is in `found`, too.
    keys: Vec<KeyChange>,
    /// Places beside the rules.
    sections: Vec<String>,
}

impl Comparison {
    fn of(old: &Policy, new: &Policy) -> Self {
        let found = Comparing::new(old, new).run();
        let mut sections = sections::changed(&beside_rules(&old.written), &beside_rules(&new.written));
        // What is in force is compared; that something else is tried beside is told, and no more.
        if old.shadows != new.shadows {
            sections.push("~ shadow".to_owned());
        }
        // Where nothing differs no key does either.
        let keys = if found.differences.is_empty() { Vec::new() } else { keys::changed(old, new) };
        Self { found, keys, sections }
    }

    /// Whether nothing differs, and nothing is left undecided.
    fn is_equal(&self) -> bool {
        self.found.differences.is_empty() && self.found.undecided.is_empty() && self.sections.is_empty()
    }

    fn has(&self, kind: Kind) -> bool {
        self.found.differences.iter().any(|one| one.kind == kind)
    }

    /// Whether something is left that may decide otherwise.
    fn may_differ(&self) -> bool {
        !self.found.undecided.is_empty() || self.sections.iter().any(|place| sections::may_decide(place))
    }

    fn fails(&self, on: FailOn) -> bool {
        match on {
            FailOn::None => false,
            FailOn::Opened => self.has(Kind::Opened) || self.may_differ(),
            FailOn::Closed => self.has(Kind::Closed) || self.may_differ(),
            FailOn::Any => !self.is_equal(),
        }
    }
}

/// What stands beside the rules, and does more than the rules make of it: roles and limits that rules name are compared
/// where rules are.
fn beside_rules(written: &Value) -> Value {
    let mut beside = written.clone();
    if let Some(members) = beside.as_object_mut() {
        members.retain(|name, _| !["rules", "roles"].contains(&name.as_str()));
        if let Some(limits) = members.get_mut("rateLimits").and_then(Value::as_array_mut) {
            limits.retain(|limit| limit.get("before").is_some());
            if limits.is_empty() {
                members.shift_remove("rateLimits");
            }
        }
    }
    beside
}
