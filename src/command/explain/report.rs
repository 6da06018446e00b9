//! All that is told of one request.

use serde_json::{Map, Value, json};

use super::{Check, Scene, experiments::Verdict};
use crate::command::{
    offline::{Asked, Outcome},
    refusal::Refusal,
};

/// Why a request is decided as it is.
pub(super) struct Explanation {
    pub(super) asked: Asked,
    pub(super) outcome: Outcome,
    /// The place of the rule that decided; `None`: none did, or one of the filter's own endpoints.
    pub(super) place: Option<usize>,
    /// Rules in front of it, and it itself, last; each with how its matches fared.
    pub(super) rules: Vec<Looked>,
    /// How many rules in front are not told of.
    pub(super) left_out: usize,
    pub(super) ways: Vec<Check>,
    pub(super) alternatives: Vec<Vec<Check>>,
    pub(super) limits: Vec<Limit>,
    /// What a shadow makes of it; `None`: none decides it.
    pub(super) shadow: Option<String>,
    /// What the log would say beside.
    pub(super) notes: Vec<String>,
}

/// A rule that was looked at.
pub(super) struct Looked {
    pub(super) place: usize,
    pub(super) name: String,
    pub(super) matches: Vec<Vec<Check>>,
}

/// A limit that counts the request, if it comes so far.
pub(super) struct Limit {
    pub(super) name: String,
    /// As the policy says it.
    pub(super) spec: Value,
    pub(super) is_reached: bool,
}

impl Looked {
    /// How many conditions the match lacks that comes nearest.
    fn distance(&self) -> usize {
        let failing =
            |checks: &Vec<Check>| checks.iter().filter(|check| check.verdict != Verdict::Holds).count();
        self.matches.iter().map(failing).min().unwrap_or_default()
    }
}

impl Explanation {
    /// Decides the request of `scene`, and finds out why it is decided so. Of more than `most` rules in front those are kept
    /// that come nearest to matching, unless `all` are wanted.
    ///
    /// # Errors
    /// The policy has faults, or a credential cannot be made.
    pub(super) fn of(scene: &Scene<'_>, all: bool, most: usize) -> Result<Self, Refusal> {
        let document = &scene.prepared.document;
        let decided = scene.decide(document.clone());
        let (outcome, gateway) = decided.map_err(|faults| {
            let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
            Refusal::refused(faults.join("\n       "))
        })?;
        let listed = document.get("rules").and_then(Value::as_array);
        let names: Vec<_> = listed
            .into_iter()
            .flatten()
            .map(|rule| rule.get("name").and_then(Value::as_str).unwrap_or_default().to_owned())
            .collect();
        let place = outcome.rule().and_then(|rule| names.iter().position(|name| name == rule));
        // Where no rule decided, each of them was passed over, unless the request was refused before.
        let is_passed = outcome.verdict() == "no_rule";
        let end = place.map_or(if is_passed { names.len() } else { 0 }, |place| place.saturating_add(1));
        let mut rules: Vec<_> = names
            .into_iter()
            .take(end)
            .enumerate()
            .map(|(place, name)| Looked { place, name, matches: scene.matches(place) })
            .collect();
        let before = rules.len();
        if !all && rules.len() > most {
            rules.sort_by_key(|looked| (Some(looked.place) != place, looked.distance(), looked.place));
            rules.truncate(most);
            rules.sort_by_key(|looked| looked.place);
        }
        let left_out = before.saturating_sub(rules.len());
        Ok(Self {
            asked: scene.asked.clone(),
            place,
            rules,
            left_out,
            ways: place.map(|place| scene.ways(place)).unwrap_or_default(),
            alternatives: place.map(|place| scene.alternatives(place)).unwrap_or_default(),
            limits: limits(document, place, &outcome),
            shadow: shadow(document, place, &outcome),
            notes: gateway.notes(),
            outcome,
        })
    }

    /// As one JSON object.
    pub(super) fn json(&self) -> Value {
        let checks = |checks: &[Check]| checks.iter().map(Check::json).collect::<Vec<_>>();
        let each = |all: &[Vec<Check>]| all.iter().map(|one| checks(one)).collect::<Vec<_>>();
        let rules = self.rules.iter().map(|looked| {
            json!({
                "rule": looked.name,
                "path": format!("rules[{}]", looked.place),
                "matches": Some(looked.place) == self.place,
                "conditions": each(&looked.matches),
            })
        });
        let limits = self
            .limits
            .iter()
            .map(|limit| json!({"name": limit.name, "limit": limit.spec, "counts": limit.is_reached}));
        json!({
            "decision": if self.outcome.reason.is_some() { "deny" } else { "allow" },
            "reason": self.outcome.reason.map(crate::answer::Reason::code),
            "record": self.outcome.record,
            "rules": rules.collect::<Vec<_>>(),
            "rulesLeftOut": self.left_out,
            "authenticate": checks(&self.ways),
            "authorize": each(&self.alternatives),
            "rateLimits": limits.collect::<Vec<_>>(),
            "shadow": self.shadow,
            "upstream": self.upstream().map(|changes| changes.json()),
            "client": self.outcome.reply.as_ref().map(|reply| {
                let headers = reply.headers.iter().map(|(name, value)| json!([name, value]));
                json!({"status": reply.status, "headers": headers.collect::<Vec<_>>(), "body": reply.body})
            }),
            "notes": self.notes,
        })
    }

    /// What the upstream gets otherwise than it was sent; `None`: it gets nothing.
    pub(super) fn upstream(&self) -> Option<Upstream> {
        let sent = self.outcome.upstream.as_ref()?;
        let asked = &self.asked.headers;
        let is_pseudo = |name: &str| name.starts_with(':');
        let added = sent.iter().filter(|header| !is_pseudo(&header.0) && !asked.contains(header));
        let removed = asked.iter().filter(|(name, _)| !sent.iter().any(|(own, _)| own == name));
        let path = sent.iter().find(|(name, _)| name == ":path").map(|(_, path)| path.clone());
        Some(Upstream {
            path: path.unwrap_or_default(),
            added: added.cloned().collect(),
            removed: removed.map(|(name, _)| name.clone()).collect(),
        })
    }
}

/// What the upstream gets otherwise than it was sent.
pub(super) struct Upstream {
    pub(super) path: String,
    pub(super) added: Vec<(String, String)>,
    /// Names.
    pub(super) removed: Vec<String>,
}

impl Upstream {
    fn json(&self) -> Value {
        let added = self.added.iter().map(|(name, value)| json!([name, value]));
        json!({"path": self.path, "added": added.collect::<Vec<_>>(), "removed": self.removed})
    }
}

impl Check {
    fn json(&self) -> Value {
        let holds = match self.verdict {
            Verdict::Holds => Value::Bool(true),
            Verdict::Fails => Value::Bool(false),
            Verdict::Unknown => Value::Null,
        };
        let mut members = Map::new();
        members.insert("path".to_owned(), self.path.as_str().into());
        members.insert("asked".to_owned(), self.asked.clone());
        members.insert("holds".to_owned(), holds);
        if let Some(reason) = self.reason {
            members.insert("reason".to_owned(), reason.into());
        }
        if !self.missing.is_empty() {
            members.insert("missing".to_owned(), json!(self.missing));
        }
        if let Some(detail) = &self.detail {
            members.insert("detail".to_owned(), detail.as_str().into());
        }
        Value::Object(members)
    }
}

/// What a shadow makes of the request.
fn shadow(document: &Value, place: Option<usize>, outcome: &Outcome) -> Option<String> {
    let Some(told) = outcome.recorded("shadow") else {
        let own = place.and_then(|place| document.pointer(&format!("/rules/{place}/shadow")));
        let limits = limits(document, place, outcome);
        let is_counted = limits.iter().any(|limit| limit.spec.get("shadow") == Some(&Value::Bool(true)));
        let decides = own.is_some() || document.get("shadow").is_some() || is_counted;
        return decides.then(|| "the same".to_owned());
    };
    let by = [("shadowReason", ""), ("shadowRule", "by rule "), ("shadowLimit", "by limit ")];
    let by = by.iter().filter_map(|(name, by)| Some(format!("{by}{}", outcome.recorded(name)?)));
    Some(std::iter::once(told.to_owned()).chain(by).collect::<Vec<_>>().join(" "))
}

/// The limits that a request of the rule is counted by: those before authentication, and its own.
fn limits(document: &Value, place: Option<usize>, outcome: &Outcome) -> Vec<Limit> {
    let specs = document.get("rateLimits").and_then(Value::as_array);
    let own = place.and_then(|place| document.pointer(&format!("/rules/{place}/rateLimits"))?.as_array());
    let is_early = |spec: &Value| spec.get("before").is_some();
    let is_own = |name: &str| own.into_iter().flatten().any(|own| own.as_str() == Some(name));
    // The limits of a rule come last: what was refused for anything else did not come so far.
    let is_last = outcome.reason.is_none() || outcome.verdict() == "rate_limited";
    let all = specs.into_iter().flatten().filter_map(|spec| {
        let name = spec.get("name")?.as_str()?.to_owned();
        let (early, own) = (is_early(spec), is_own(&name));
        (early || own).then(|| Limit { name, spec: spec.clone(), is_reached: early || is_last })
    });
    all.collect()
}
