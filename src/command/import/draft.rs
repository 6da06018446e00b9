//! A policy in the making: sections, and rules that know what they were made of.

use serde_json::{Map, Value as Json};

use super::told::Told;
use crate::{
    crypto::sha256,
    fault::{Fault, PathStep},
    policy::Policy,
    text::hex,
};

/// A rule.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct DraftRule {
    /// What it was made of, as it stands in its mark: `GET /orders`. Of two rules none has the same.
    pub(super) from: Vec<String>,
    /// Where that stands in the source.
    pub(super) at: std::ops::Range<usize>,
    /// As the policy has it.
    pub(super) value: Map<String, Json>,
    /// Lines of comment before it, for people.
    pub(super) comments: Vec<String>,
}

/// What is there already, in a policy that is to be changed.
#[derive(Default)]
pub(super) struct There {
    /// Of its providers: names and issuers.
    pub(super) issuers: Vec<(String, String)>,
    /// It takes API keys.
    pub(super) has_keys: bool,
}

/// A policy without its rules, and the rules.
#[derive(Default)]
pub(super) struct Draft {
    /// In the order in which they are written.
    pub(super) sections: Map<String, Json>,
    /// Lines of comment before a section, by its name.
    pub(super) comments: Vec<(String, String)>,
    pub(super) rules: Vec<DraftRule>,
}

/// So often rules that have faults are closed before the others are judged again. More than there are stages of judging.
const MOST_ROUNDS: usize = 8;

impl DraftRule {
    pub(super) fn name(&self) -> &str {
        self.value.get("name").and_then(Json::as_str).unwrap_or_default()
    }

    /// Nobody passes any more.
    pub(super) fn close(&mut self) {
        let kept = ["name", "hostnames", "matches"];
        self.value.retain(|name, _| kept.contains(&name.as_str()));
        let matches = self.value.shift_remove("matches");
        self.value.insert("action".to_owned(), Json::from("Deny"));
        if let Some(matches) = matches {
            self.value.insert("matches".to_owned(), matches);
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.value.get("action") == Some(&Json::from("Deny"))
    }

    /// A rule as a policy has it; `None`: it is no object.
    pub(super) fn read(value: Json, from: Vec<String>) -> Option<Self> {
        let Json::Object(value) = value else { return None };
        Some(Self { from, at: 0..0, value, comments: Vec::new() })
    }

    pub(super) fn rename(&mut self, name: &str) {
        self.value.insert("name".to_owned(), Json::from(name));
    }

    /// The rule for all that it was made of but `claimed`; `None`: nothing is left.
    pub(super) fn without(&self, claimed: &[String]) -> Option<Self> {
        let mut rest = self.clone();
        rest.from.retain(|from| !claimed.contains(from));
        if rest.from.is_empty() {
            return None;
        }
        let method =
            |from: &String| from.trim_start_matches("no ").split(' ').next().unwrap_or_default().to_owned();
        let kept: Vec<String> = rest.from.iter().map(method).collect();
        let mut methods: Vec<String> =
            claimed.iter().map(method).filter(|method| !kept.contains(method)).collect();
        // HEAD goes with GET, where no operation speaks of it.
        if methods.iter().any(|method| method == "GET") && !kept.iter().any(|method| method == "HEAD") {
            methods.push("HEAD".to_owned());
        }
        let conditions = rest.value.get_mut("matches").and_then(Json::as_array_mut);
        for condition in conditions.into_iter().flatten().filter_map(Json::as_object_mut) {
            if let Some(Json::Array(own)) = condition.get_mut("methods") {
                own.retain(|own| !methods.iter().any(|method| own == method));
            }
        }
        Some(rest)
    }

    pub(super) fn digest(&self) -> String {
        digest(&Json::Object(self.value.clone()))
    }
}

/// By which a rule is known that nobody has edited.
pub(super) fn digest(rule: &Json) -> String {
    hex::encode(&sha256(rule.to_string().as_bytes())).chars().take(12).collect()
}

impl Draft {
    fn rules_said(&self) -> Json {
        self.rules.iter().map(|rule| Json::Object(rule.value.clone())).collect()
    }

    pub(super) fn to_json(&self) -> Json {
        let mut policy = self.sections.clone();
        policy.insert("rules".to_owned(), self.rules_said());
        Json::Object(policy)
    }

    /// Closes every rule that the filter would refuse in a policy with these sections, and says why; what is wrong with
    /// the rest is said, too. Of a rule whose requests cannot be said nothing is left, and whatever it was about falls to
    /// those behind it; where `nothing_falls`, they are closed.
    pub(super) fn close_what_is_refused(
        &mut self,
        sections: &Map<String, Json>,
        nothing_falls: bool,
        told: &mut Told,
    ) {
        for _ in 0..MOST_ROUNDS {
            if self.rules.is_empty() {
                return;
            }
            let mut policy = sections.clone();
            policy.insert("rules".to_owned(), self.rules_said());
            let Err(faults) = Policy::compile(Json::Object(policy).to_string().as_bytes(), "import") else {
                return;
            };
            let mut gone = Vec::new();
            let mut others = Vec::new();
            for fault in &faults {
                let Some(place) = rule_of(fault) else {
                    others.push(fault.to_string());
                    continue;
                };
                let Some(rule) = self.rules.get_mut(place) else { continue };
                let about = if rule.from.is_empty() { rule.name().to_owned() } else { rule.from.join(", ") };
                let is_of_the_path = fault.path.contains(".matches") || fault.path.contains(".hostnames");
                let is_unsaid = is_of_the_path && !rule.value.contains_key("matches");
                match rule.is_closed() || is_of_the_path {
                    true if nothing_falls && is_of_the_path && !is_unsaid => {
                        told.left(
                            &rule.at,
                            &about,
                            format!("{}; it and all behind it is closed", fault.message),
                        );
                        rule.comments.push(format!("Closed, and all behind it: {}.", fault.message));
                        rule.close();
                        rule.value.shift_remove("matches");
                        rule.value.shift_remove("hostnames");
                    }
                    true => {
                        told.left(&rule.at, &about, format!("{}; no rule is made of it", fault.message));
                        gone.push(place);
                    }
                    false => {
                        told.left(&rule.at, &about, format!("{}; it is closed", fault.message));
                        rule.comments.push(format!("Closed: {}.", fault.message));
                        rule.close();
                    }
                }
            }
            if gone.is_empty() && faults.iter().all(|fault| rule_of(fault).is_none()) {
                for fault in others {
                    told.left(&(0..0), "policy", format!("the policy has a fault: {fault}"));
                }
                return;
            }
            let mut place = 0_usize;
            self.rules.retain(|_| {
                let is_kept = !gone.contains(&place);
                place = place.saturating_add(1);
                is_kept
            });
        }
        told.left(&(0..0), "policy", "the policy has faults that are left");
    }
}

/// Which rule a fault is about.
fn rule_of(fault: &Fault) -> Option<usize> {
    let mut steps = fault.steps();
    match (steps.next()?, steps.next()?) {
        (PathStep::Name(name), PathStep::Index(index)) if name == "rules" => Some(index),
        _ => None,
    }
}

/// As a name in a policy.
pub(super) fn named(text: &str) -> String {
    let fit = |c: char| if c.is_ascii_alphanumeric() || "._-:/@".contains(c) { c } else { '-' };
    text.chars().map(fit).take(120).collect()
}

/// An `extractFrom` of these places, without the lists in which there are none.
pub(super) fn lists_of_places(headers: Vec<Json>, cookies: Vec<Json>, params: Vec<Json>) -> Json {
    let lists = [("headers", headers), ("cookies", cookies), ("params", params)];
    lists
        .into_iter()
        .filter(|(_, list)| !list.is_empty())
        .map(|(name, list)| (name.to_owned(), Json::Array(list)))
        .collect()
}
