//! What was found, for people and as a value.

use serde_json::{Value, json};

use super::{
    Comparison,
    difference::{Difference, Kind, Undecided},
    keys::KeyChange,
};
use crate::command::telling::plain_text;

fn name(rule: &Option<String>) -> &str {
    rule.as_deref().unwrap_or("no rule")
}

impl Comparison {
    /// As one JSON object.
    pub(super) fn json(&self) -> Value {
        let each = |kind: Kind| {
            let all = self.found.differences.iter().filter(|one| one.kind == kind);
            all.map(Difference::json).collect::<Vec<_>>()
        };
        let undecided: Vec<Value> = self.found.undecided.iter().map(Undecided::json).collect();
        json!({
            "equal": self.is_equal(),
            "opened": each(Kind::Opened),
            "closed": each(Kind::Closed),
            "changed": each(Kind::Changed),
            "undecided": undecided,
            "apiKeys": self.keys.iter().map(KeyChange::json).collect::<Vec<_>>(),
            "sections": self.sections,
        })
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let mut told = String::new();
        let mut line = |text: &str| {
            told.push_str(text);
            told.push('\n');
        };
        for kind in Kind::ALL {
            let all: Vec<_> = self.found.differences.iter().filter(|one| one.kind == kind).collect();
            if all.is_empty() {
                continue;
            }
            let what = match kind {
                Kind::Opened => "opened: refused before, allowed now",
                Kind::Closed => "closed: allowed before, refused now",
                Kind::Changed => "changed: allowed as before, and treated otherwise",
            };
            line(what);
            for one in all {
                let verdict = |verdict: &str, rule: &Option<String>| match rule {
                    Some(rule) => format!("{verdict} by {rule}"),
                    None => verdict.to_owned(),
                };
                let (old, new) =
                    (verdict(one.old_verdict, &one.old_rule), verdict(one.new_verdict, &one.new_rule));
                line(&format!("  {} -> {}", plain_text(&old), plain_text(&new)));
                if !one.changes.is_empty() {
                    line(&format!("    {}", one.changes.join(", ")));
                }
                line(&format!("    {}", plain_text(&one.witness.line())));
            }
            line("");
        }
        if !self.found.undecided.is_empty() {
            line("undecided: requests that fall under these rules may be decided otherwise");
            for one in &self.found.undecided {
                line(&format!(
                    "  {} -> {}: {}",
                    name(&one.old_rule),
                    name(&one.new_rule),
                    plain_text(&one.why)
                ));
            }
            line("");
        }
        if !self.keys.is_empty() {
            line("API keys that can do more or less");
            for change in &self.keys {
                line(&format!("  {}", plain_text(&change.ids.join(", "))));
                for (what, rules) in [("more", &change.more), ("less", &change.less)] {
                    if !rules.is_empty() {
                        let names: Vec<&str> = rules.iter().map(String::as_str).collect();
                        line(&format!("    {what}: {}", names.join(", ")));
                    }
                }
            }
            line("");
        }
        if !self.sections.is_empty() {
            line("beside the rules: + more, - gone, ~ another");
            self.sections.iter().for_each(|place| line(&format!("  {}", plain_text(place))));
            line("");
        }
        let (what, why) = match (self.is_equal(), self.found.differences.is_empty()) {
            (true, _) => ("equal", "every request is decided alike"),
            (false, true) if self.found.undecided.is_empty() => ("equal rules", "what else differs is above"),
            (false, true) => ("undecided", "nothing was found that differs"),
            (false, false) => ("differs", "each with a request that both policies were asked about"),
        };
        line(&format!("{what}: {why}"));
        told
    }
}

impl Difference {
    fn json(&self) -> Value {
        json!({
            "old": {"rule": self.old_rule, "decision": self.old_verdict},
            "new": {"rule": self.new_rule, "decision": self.new_verdict},
            "changes": self.changes,
            "request": self.witness.json(),
        })
    }
}

impl Undecided {
    fn json(&self) -> Value {
        json!({"old": {"rule": self.old_rule}, "new": {"rule": self.new_rule}, "why": self.why})
    }
}

impl super::witness::Witness {
    /// In one line.
    fn line(&self) -> String {
        let value = self.json();
        let text = |name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let mut line = format!("{} {}", text("method"), text("url"));
        for header in value.get("headers").and_then(Value::as_array).into_iter().flatten() {
            let part = |at: usize| header.get(at).and_then(Value::as_str).unwrap_or_default();
            line.push_str(&format!(" -H '{}: {}'", part(0), part(1)));
        }
        for (member, by) in [("principal", "by"), ("actor", "with")] {
            match value.get(member) {
                None => {}
                Some(Value::Null) => line.push_str(" by nobody"),
                Some(who) => line.push_str(&format!(" {by} {who}")),
            }
        }
        if let Some(from) = value.get("from").and_then(Value::as_str).filter(|from| *from != "192.0.2.1") {
            line.push_str(&format!(" from {from}"));
        }
        line
    }
}
