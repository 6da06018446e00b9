//! Records, counted.

use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
};

use serde_json::{Map, Value, json};

use super::plain_text;

/// So many values of one member are counted apart; all further ones are one.
const MOST_VALUES: usize = 100_000;

/// What stands for all further values.
const OTHERS: &str = "(others)";

/// What became of requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) allowed: u64,
    pub(super) denied: u64,
    pub(super) ended: u64,
    /// Those that would have been denied, where a shadow decided.
    pub(super) would_deny: u64,
    /// Those that would have been allowed, likewise.
    pub(super) would_allow: u64,
}

impl Tally {
    fn add(&mut self, record: &Map<String, Value>, times: u64) {
        let text = |name: &str| record.get(name).and_then(Value::as_str);
        let place = match text("decision") {
            Some("allow") => &mut self.allowed,
            Some("end") => &mut self.ended,
            _ => &mut self.denied,
        };
        *place = place.saturating_add(times);
        let would = match text("shadow") {
            Some("would_deny") => &mut self.would_deny,
            Some("would_allow") => &mut self.would_allow,
            _ => return,
        };
        *would = would.saturating_add(times);
    }

    fn all(self) -> u64 {
        self.allowed.saturating_add(self.denied).saturating_add(self.ended)
    }

    fn json(self) -> Value {
        json!({"allowed": self.allowed, "denied": self.denied, "ended": self.ended, "wouldDeny": self.would_deny,
            "wouldAllow": self.would_allow})
    }
}

/// All that is counted.
pub(super) struct Counts {
    all: Tally,
    by: Vec<(&'static str, HashMap<String, Tally>)>,
}

impl Counts {
    /// By these members.
    pub(super) fn new(members: impl Iterator<Item = &'static str>) -> Self {
        Self { all: Tally::default(), by: members.map(|member| (member, HashMap::new())).collect() }
    }

    /// Counts a record that stands for so many requests.
    pub(super) fn add(&mut self, record: &Map<String, Value>, times: u64) {
        self.all.add(record, times);
        for (member, tallies) in &mut self.by {
            let Some(value) = record.get(*member).and_then(Value::as_str) else { continue };
            // Two kinds may be called the same.
            let value = match record.get("kind").and_then(Value::as_str) {
                Some(kind) if *member == "principal" => format!("{value} ({kind})"),
                _ => value.to_owned(),
            };
            let is_full = tallies.len() >= MOST_VALUES && !tallies.contains_key(&value);
            let value = if is_full { OTHERS.to_owned() } else { value };
            tallies.entry(value).or_default().add(record, times);
        }
    }

    /// The most frequent first.
    fn sorted(tallies: &HashMap<String, Tally>) -> Vec<(&str, Tally)> {
        let mut sorted: Vec<_> = tallies.iter().map(|(value, tally)| (value.as_str(), *tally)).collect();
        sorted.sort_by(|(one, a), (other, b)| b.all().cmp(&a.all()).then(one.cmp(other)));
        sorted
    }

    pub(super) fn text(&self, top: usize) -> String {
        let Tally { allowed, denied, ended, would_deny, would_allow } = self.all;
        let mut out = format!("{} requests: {allowed} allowed, {denied} denied", self.all.all());
        if ended > 0 {
            _ = write!(out, ", {ended} streams ended");
        }
        if would_deny > 0 {
            _ = write!(out, ", {would_deny} would have been denied");
        }
        if would_allow > 0 {
            _ = write!(out, ", {would_allow} would have been allowed");
        }
        out.push('\n');
        for (member, tallies) in self.by.iter().filter(|(_, tallies)| !tallies.is_empty()) {
            let shadows = tallies.values().any(|tally| tally.would_deny > 0 || tally.would_allow > 0);
            _ = write!(out, "\n{:>9} {:>9}", "allowed", "denied");
            if shadows {
                _ = write!(out, " {:>10} {:>11}", "would deny", "would allow");
            }
            _ = writeln!(out, "  {member}");
            let sorted = Self::sorted(tallies);
            for (value, tally) in sorted.iter().take(top) {
                _ = write!(out, "{:>9} {:>9}", tally.allowed, tally.denied.saturating_add(tally.ended));
                if shadows {
                    _ = write!(out, " {:>10} {:>11}", tally.would_deny, tally.would_allow);
                }
                _ = writeln!(out, "  {}", plain_text(value));
            }
            if let Some(left @ 1..) = sorted.len().checked_sub(top) {
                _ = writeln!(out, "{:>20}  and {left} more (--top)", "");
            }
        }
        out
    }

    pub(super) fn json(&self) -> Value {
        let by: BTreeMap<_, _> = self
            .by
            .iter()
            .map(|(member, tallies)| {
                let each = Self::sorted(tallies).into_iter();
                let each: Map<_, _> = each.map(|(value, tally)| (value.to_owned(), tally.json())).collect();
                (*member, each)
            })
            .collect();
        json!({"requests": self.all.json(), "by": by})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_stand_for_as_many_requests_as_they_say() {
        let mut counts = Counts::new(["rule", "principal"].into_iter());
        for (record, times) in [
            (json!({"decision": "allow", "rule": "a", "principal": "x", "kind": "jwt"}), 1),
            (json!({"decision": "deny", "rule": "a", "principal": "x", "kind": "api-key"}), 7),
            (json!({"decision": "end", "rule": "b", "principal": "x", "kind": "jwt"}), 2),
            (json!({"decision": "allow", "shadow": "would_deny"}), 3),
            (json!({"decision": "deny", "rule": "b", "shadow": "would_allow"}), 4),
            (json!({"decision": "allow", "rule": "b", "shadow": "unknown"}), 1),
        ] {
            counts.add(record.as_object().unwrap(), times);
        }
        let told = counts.json();
        let tally = |allowed: u64, denied: u64, ended: u64, [deny, allow]: [u64; 2]| json!({"allowed": allowed, "denied": denied, "ended": ended, "wouldDeny": deny, "wouldAllow": allow});
        assert_eq!(told["requests"], tally(5, 11, 2, [3, 4]));
        assert_eq!(told["by"]["rule"]["a"], tally(1, 7, 0, [0, 0]));
        assert_eq!(told["by"]["rule"]["b"], tally(1, 4, 2, [0, 4]));
        assert_eq!(told["by"]["principal"]["x (jwt)"], tally(1, 0, 2, [0, 0]));
        assert_eq!(told["by"]["principal"]["x (api-key)"], tally(0, 7, 0, [0, 0]));
    }
}
