//! What becomes of requests that fall under a rule, as texts: where those of two rules are the same, nothing differs.

use std::cell::RefCell;

use hashbrown::HashMap;
use serde_json::{Map, Value, json};

use super::{facts::asked, holders, policy::Policy, rules::Line};
use crate::{
    config::{ActionSpec, MethodSpec, RuleSpec},
    rbac::RequiredNames,
    route::PathSpec,
};

/// What becomes of requests of each rule of a policy.
pub(super) struct Terms<'p> {
    policy: &'p Policy,
    /// What is said of API keys and of certificates.
    holders: [String; 2],
    /// Which roles grant a permission or are a role, by its name.
    given_by: RefCell<HashMap<(bool, String), String>>,
}

impl<'p> Terms<'p> {
    pub(super) fn new(policy: &'p Policy) -> Self {
        Self { policy, holders: holders::said_of(policy), given_by: RefCell::default() }
    }

    /// Who passes by the line's rule.
    pub(super) fn decision(&self, line: &Line) -> String {
        let Some(rule) = self.policy.rule(line.rule) else { return DENIED.to_owned() };
        if matches!(rule.action, ActionSpec::Deny) {
            return DENIED.to_owned();
        }
        let written = self.written(line.rule);
        let member = |name: &str| {
            written.and_then(|written| written.get(name)).map(Value::to_string).unwrap_or_default()
        };
        let tls = rule.require_tls.unwrap_or(self.policy.document.transport.require_tls);
        let roles = self.roles(rule);
        let has_owner = asked(Some(rule)).is_some_and(|asked| {
            asked.any_of.iter().any(|one| {
                one.owner.is_some() || one.actor.as_ref().is_some_and(|actor| actor.owner.is_some())
            })
        });
        let variables = match &line.spec.path {
            Some(PathSpec::PathTemplate(text)) if has_owner => text.as_str(),
            _ => "",
        };
        let resource = rule.resource.and_then(|place| self.policy.document.protected_resources.get(place));
        let audiences = resource.map(|resource| format!("{:?}", resource.audiences)).unwrap_or_default();
        let kept = format!("{:?} {}", rule.route.kept, rule.cors_preflight);
        let [keys, certificates] = &self.holders;
        let takes = |way: &MethodSpec| rule.action.methods().any(|own| own == way);
        let keys = if takes(&MethodSpec::ApiKey) { keys.as_str() } else { "" };
        let certificates = if takes(&MethodSpec::ClientCertificate) { certificates.as_str() } else { "" };
        format!(
            "{} {} {keys} {certificates} {tls} {roles} {variables} {audiences} {kept}",
            member("authenticate"),
            member("authorize")
        )
    }

    /// What becomes of requests that pass, beside passing.
    pub(super) fn obligations(&self, rule: Option<usize>) -> Map<String, Value> {
        let mut members = Map::new();
        let Some(written) = self.written(rule).and_then(Value::as_object) else { return members };
        if self.policy.rule(rule).is_some_and(|rule| matches!(rule.action, ActionSpec::Deny)) {
            return members;
        }
        for name in [
            "name",
            "protectedResource",
            "anyAudience",
            "corsPreflight",
            "endStreams",
            "encodedSlash",
            "matrixParameters",
        ] {
            if let Some(value) = written.get(name) {
                members.insert(name.to_owned(), value.clone());
            }
        }
        if let Some(pass_through) = written.get("authenticate").and_then(|own| own.get("passThrough")) {
            members.insert("passThrough".to_owned(), pass_through.clone());
        }
        if let Some(limits) = written.get("rateLimits").and_then(Value::as_array) {
            let all = self.policy.written.get("rateLimits").and_then(Value::as_array);
            let spec = |name: &Value| {
                all.and_then(|all| all.iter().find(|spec| spec.get("name") == Some(name))).cloned()
            };
            let each = limits.iter().map(|name| spec(name).unwrap_or_else(|| json!({"name": name})));
            members.insert("rateLimits".to_owned(), each.collect());
        }
        members
    }

    fn written(&self, rule: Option<usize>) -> Option<&'p Value> {
        self.policy.written.get("rules")?.get(rule?)
    }

    /// Which roles give what the rule asks for.
    fn roles(&self, rule: &RuleSpec) -> String {
        let mut text = String::new();
        for conditions in asked(Some(rule)).into_iter().flat_map(|asked| asked.conditions()) {
            for (is_role, names) in [(true, &conditions.roles), (false, &conditions.permissions)] {
                if let Some(RequiredNames::All(names) | RequiredNames::Any(names)) = names {
                    names.iter().for_each(|name| text.push_str(&self.given_by(is_role, name)));
                }
            }
        }
        text
    }

    fn given_by(&self, is_role: bool, name: &str) -> String {
        let place = (is_role, name.to_owned());
        if let Some(known) = self.given_by.borrow().get(&place) {
            return known.clone();
        }
        let roles = &self.policy.roles;
        let gives =
            |role: &&String| if is_role { roles.is_one(role, name) } else { roles.grants(role, name) };
        let mut names: Vec<&String> = roles.names().filter(gives).collect();
        names.sort();
        let text = format!("{names:?}");
        self.given_by.borrow_mut().insert(place, text.clone());
        text
    }
}

/// Of a rule by which nobody passes.
pub(super) const DENIED: &str = "denied";

/// The values of the path's variables.
pub(super) fn variables(line: &Line, path: &str) -> Vec<(String, String)> {
    let Some(PathSpec::PathTemplate(template)) = &line.spec.path else { return Vec::new() };
    let mut found = Vec::new();
    let mut rest = path.strip_prefix('/').unwrap_or(path);
    for segment in template.split('/').skip(1) {
        let (own, after) = rest.split_once('/').unwrap_or((rest, ""));
        if let Some(inner) = segment.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) {
            match inner.strip_suffix("=**") {
                Some(name) => found.push((name.to_owned(), rest.to_owned())),
                None => found.push((inner.to_owned(), own.to_owned())),
            }
        }
        rest = after;
    }
    found
}
