//! What of a policy no case decided: rules, and of each rule the ways to authenticate and the conditions.
//!
//! A rule is decided by a case that it lets pass and by one that it refuses. A way to authenticate is decided by a case that
//! passes by it; a condition by a case that passes although it stands there, and by one that would pass but for it. Which
//! condition that is is found out as `portcullis explain` does it.

use std::{collections::BTreeMap, fmt::Write as _};

use serde_json::{Value, json};

use super::{model::Case, runner::Stage};
use crate::command::{
    explain::{Check, Scene, Verdict},
    offline::Prepared,
};

/// What was seen of a part of the policy.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    held: bool,
    failed: bool,
}

/// Which parts of the policy no case decided.
#[derive(Debug, Default)]
pub(super) struct Coverage {
    /// By its path; what it lacks.
    missing: BTreeMap<String, &'static str>,
    parts: usize,
}

impl Coverage {
    /// Of the cases of a stage whose policy is `prepared`.
    pub(super) fn of(stage: &Stage<'_>, prepared: &Prepared) -> Self {
        let mut seen: BTreeMap<String, Seen> = BTreeMap::new();
        let rules = stage.document.get("rules").and_then(Value::as_array);
        let names: Vec<_> = rules
            .into_iter()
            .flatten()
            .map(|rule| rule.get("name").and_then(Value::as_str).unwrap_or_default().to_owned())
            .collect();
        for (place, rule) in rules.into_iter().flatten().enumerate() {
            for path in parts(place, rule) {
                seen.insert(path, Seen::default());
            }
        }
        for case in &stage.suite.cases {
            look_at(stage, prepared, case, &names, &mut seen);
        }
        let mut coverage = Self { parts: seen.len(), ..Self::default() };
        for (path, seen) in seen {
            let rule = rules.and_then(|rules| rules.get(place_of(&path)?)).unwrap_or(&Value::Null);
            let is_way = path.contains(".authenticate.");
            let is_denial = rule.get("action").and_then(Value::as_str) == Some("Deny");
            let is_open =
                rule.pointer("/authenticate/anonymous").is_some() && rule.get("authorize").is_none();
            // What a user confirms with a passkey cannot be made here.
            let is_confirmed = rule.to_string().contains("\"boundTo\"");
            let lacks = match (seen.held, seen.failed) {
                (true, true) => continue,
                (true, false) if is_way || is_open => continue,
                (false, true) if is_denial || is_confirmed => continue,
                (true, false) => "no case is refused for it",
                (false, true) => "no case passes by it",
                (false, false) => "no case decides it",
            };
            coverage.missing.insert(path, lacks);
        }
        coverage
    }

    /// Whether nothing is missing.
    pub(super) fn is_whole(&self) -> bool {
        self.missing.is_empty()
    }

    pub(super) fn text(&self) -> String {
        let mut out = String::new();
        for (path, lacks) in &self.missing {
            _ = writeln!(out, "not covered: {path}: {lacks}");
        }
        let covered = self.parts.saturating_sub(self.missing.len());
        _ = writeln!(out, "covered: {covered} of {} rules, alternatives and conditions", self.parts);
        out
    }

    pub(super) fn json(&self) -> Value {
        json!({"parts": self.parts, "missing": self.missing})
    }
}

/// The place of the rule that a path is of.
fn place_of(path: &str) -> Option<usize> {
    path.strip_prefix("rules[")?.split(']').next()?.parse().ok()
}

/// The paths of the parts of a rule: the rule, its ways to authenticate, its conditions.
fn parts(place: usize, rule: &Value) -> Vec<String> {
    let mut paths = vec![format!("rules[{place}]")];
    for kind in ["anyOf", "allOf"] {
        let ways = rule.pointer(&format!("/authenticate/{kind}")).and_then(Value::as_array);
        for (n, _) in ways.into_iter().flatten().enumerate() {
            paths.push(format!("rules[{place}].authenticate.{kind}[{n}]"));
        }
    }
    let Some(authorize) = rule.get("authorize") else { return paths };
    let path = format!("rules[{place}].authorize");
    let alternatives: Vec<_> = match authorize.get("anyOf").and_then(Value::as_array) {
        Some(listed) => {
            listed.iter().enumerate().map(|(n, asked)| (format!("{path}.anyOf[{n}]"), asked)).collect()
        }
        None => vec![(path, authorize)],
    };
    for (path, asked) in alternatives {
        for (name, value) in asked.as_object().into_iter().flatten() {
            let items = value.as_array().filter(|_| matches!(name.as_str(), "claims" | "noneOf"));
            match items {
                Some(items) => {
                    paths.extend(items.iter().enumerate().map(|(n, _)| format!("{path}.{name}[{n}]")));
                }
                None => paths.push(format!("{path}.{name}")),
            }
        }
    }
    paths
}

/// Notes what the requests of a case show.
fn look_at(
    stage: &Stage<'_>,
    prepared: &Prepared,
    case: &Case,
    names: &[String],
    seen: &mut BTreeMap<String, Seen>,
) {
    let Ok(gateway) = prepared.gateway(&[], stage.now) else { return };
    for step in &case.steps {
        gateway.set_now(gateway.now().saturating_add(step.after));
        let Ok(asked) = stage.asked(&step.request, prepared, gateway.now()) else { continue };
        // The last of many alike shows what a limit does.
        let mut outcome = gateway.decide(&asked);
        for _ in 1..step.times {
            outcome = gateway.decide(&asked);
        }
        let Some(place) = outcome.rule().and_then(|rule| names.iter().position(|name| name == rule)) else {
            continue;
        };
        let mut note = |path: String, holds: bool| {
            if let Some(seen) = seen.get_mut(&path) {
                *if holds { &mut seen.held } else { &mut seen.failed } = true;
            }
        };
        note(format!("rules[{place}]"), outcome.reason.is_none());
        let now = gateway.now();
        let scene = Scene { prepared, now, asked: &asked };
        let (ways, alternatives) = (scene.ways(place), scene.alternatives(place));
        let mut tell = |check: &Check| match check.verdict {
            Verdict::Holds => note(check.path.clone(), true),
            Verdict::Fails => note(check.path.clone(), false),
            Verdict::Unknown => {}
        };
        ways.iter().chain(alternatives.iter().flatten()).for_each(&mut tell);
    }
}
