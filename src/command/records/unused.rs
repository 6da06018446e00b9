//! What of a policy nobody used, as far as records tell: what could be taken away without anybody noticing.
//!
//! Allowed requests must be recorded for that (`decisionLog: {allowed: true}`). Records name rules, principals and
//! credentials, not roles: a permission is used where a rule was that asks for it, a role where a permission that it grants
//! itself was, or it by its own name.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use serde_json::{Map, Value, json};

/// What a policy has, and what of it was used.
pub(super) struct Unused {
    rules: BTreeMap<String, Asked>,
    /// What each role grants itself.
    roles: BTreeMap<String, Vec<String>>,
    keys: BTreeSet<String>,
    used_rules: BTreeSet<String>,
    /// Rules that were used by each key.
    used_keys: BTreeMap<String, BTreeSet<String>>,
    has_allowed: bool,
}

/// What a rule asks for.
#[derive(Default)]
struct Asked {
    permissions: BTreeSet<String>,
    roles: BTreeSet<String>,
}

impl Unused {
    /// Of this policy, of which nothing was used so far.
    pub(super) fn of(policy: &Value) -> Self {
        let list = |path: &str| policy.pointer(path).and_then(Value::as_array).into_iter().flatten();
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let rules = list("/rules").filter_map(|rule| {
            let mut asked = Asked::default();
            names_in(rule.get("authorize"), &mut asked);
            Some((text(rule, "name")?, asked))
        });
        let roles = list("/roles").filter_map(|role| {
            let granted = role.get("permissions").and_then(Value::as_array).into_iter().flatten();
            let granted = granted.filter_map(|name| name.as_str().map(str::to_owned));
            Some((text(role, "name")?, granted.collect()))
        });
        Self {
            rules: rules.collect(),
            roles: roles.collect(),
            keys: list("/apiKeys/keys").filter_map(|key| text(key, "id")).collect(),
            used_rules: BTreeSet::new(),
            used_keys: BTreeMap::new(),
            has_allowed: false,
        }
    }

    /// Notes what a record says was used.
    pub(super) fn seen(&mut self, record: &Map<String, Value>) {
        let text = |name: &str| record.get(name).and_then(Value::as_str);
        if text("decision") != Some("allow") {
            return;
        }
        self.has_allowed = true;
        let Some(rule) = text("rule") else { return };
        self.used_rules.insert(rule.to_owned());
        for [kind, credential] in [["kind", "credential"], ["actorKind", "actorCredential"]] {
            if let (Some("api-key"), Some(key)) = (text(kind), text(credential)) {
                self.used_keys.entry(key.to_owned()).or_default().insert(rule.to_owned());
            }
        }
    }

    fn rules(&self) -> Vec<&str> {
        let unused = self.rules.keys().filter(|rule| !self.used_rules.contains(*rule));
        unused.map(String::as_str).collect()
    }

    fn keys(&self) -> Vec<&str> {
        let unused = self.keys.iter().filter(|key| !self.used_keys.contains_key(*key));
        unused.map(String::as_str).collect()
    }

    /// Permissions that only unused rules ask for.
    fn permissions(&self) -> BTreeSet<&str> {
        let all = self.rules.values().flat_map(|asked| &asked.permissions);
        let used = self.used(|asked| &asked.permissions);
        all.map(String::as_str).filter(|name| !used.contains(name)).collect()
    }

    fn roles(&self) -> Vec<&str> {
        let (permissions, names) = (self.used(|asked| &asked.permissions), self.used(|asked| &asked.roles));
        let is_used = |granted: &str| match granted.strip_suffix('*') {
            Some(prefix) => permissions.iter().any(|used| used.starts_with(prefix)),
            None => permissions.contains(granted),
        };
        let unused = self.roles.iter().filter(|(name, granted)| {
            !names.contains(name.as_str()) && !granted.iter().any(|granted| is_used(granted))
        });
        unused.map(|(name, _)| name.as_str()).collect()
    }

    fn used(&self, of: impl Fn(&Asked) -> &BTreeSet<String>) -> BTreeSet<&str> {
        let used = self.rules.iter().filter(|(rule, _)| self.used_rules.contains(*rule));
        used.flat_map(|(_, asked)| of(asked).iter().map(String::as_str)).collect()
    }

    pub(super) fn text(&self) -> String {
        if !self.has_allowed {
            return "\nNo allowed request is recorded, so what nobody used cannot be told: decisionLog: {allowed: true}\n"
                .to_owned();
        }
        let mut out = "\nnobody used\n".to_owned();
        let permissions: Vec<_> = self.permissions().into_iter().collect();
        let lists = [
            ("rules", self.rules()),
            ("permissions", permissions),
            ("roles", self.roles()),
            ("API keys", self.keys()),
        ];
        for (what, names) in &lists {
            let names = if names.is_empty() { "(all were used)".to_owned() } else { names.join(", ") };
            _ = writeln!(out, "  {what}: {names}");
        }
        for (key, rules) in &self.used_keys {
            let rules: Vec<_> = rules.iter().map(String::as_str).collect();
            _ = writeln!(out, "the key {key} was used for {} alone", rules.join(", "));
        }
        out
    }

    pub(super) fn json(&self) -> Value {
        if !self.has_allowed {
            return Value::Null;
        }
        json!({
            "rules": self.rules(),
            "permissions": self.permissions(),
            "roles": self.roles(),
            "apiKeys": self.keys(),
            "rulesByApiKey": self.used_keys,
        })
    }
}

/// The permissions and roles that conditions name, wherever they stand, but for those that rule out.
fn names_in(value: Option<&Value>, asked: &mut Asked) {
    let Some(Value::Object(members)) = value else { return };
    for (name, value) in members {
        let listed = value.as_array().or_else(|| value.get("allOf")?.as_array());
        let listed = listed.or_else(|| value.get("anyOf")?.as_array());
        let texts = || listed.into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned));
        match name.as_str() {
            "permissions" => asked.permissions.extend(texts()),
            "roles" => asked.roles.extend(texts()),
            "anyOf" => value.as_array().into_iter().flatten().for_each(|one| names_in(Some(one), asked)),
            "actor" => names_in(Some(value), asked),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_used() {
        let policy = json!({
            "rules": [
                {"name": "read", "authorize": {"permissions": ["orders:read"]}},
                {"name": "write", "authorize": {"anyOf": [{"permissions": {"anyOf": ["orders:write"]}}, {"roles": ["admin"]}]}},
                {"name": "drop", "authorize": {"permissions": ["orders:drop"], "noneOf": [{"roles": ["intern"]}]}},
            ],
            "roles": [
                {"name": "viewer", "permissions": ["orders:read"]},
                {"name": "editor", "inherits": ["viewer"], "permissions": ["orders:write"]},
                {"name": "admin"}, {"name": "intern"},
                {"name": "dropper", "permissions": ["orders:drop"]}, {"name": "all", "permissions": ["orders:*"]},
            ],
            "apiKeys": {"keys": [{"id": "k1"}, {"id": "k2"}]},
        });
        let mut unused = Unused::of(&policy);
        assert_eq!(unused.json(), Value::Null);
        for record in [
            json!({"decision": "allow", "rule": "read", "kind": "api-key", "credential": "k1"}),
            json!({"decision": "deny", "rule": "drop", "kind": "api-key", "credential": "k2"}),
            json!({"decision": "allow", "rule": "write", "kind": "jwt", "credential": "k2"}),
        ] {
            unused.seen(record.as_object().unwrap());
        }
        let expected = json!({
            "rules": ["drop"], "permissions": ["orders:drop"], "roles": ["dropper", "intern"], "apiKeys": ["k2"],
            "rulesByApiKey": {"k1": ["read"]},
        });
        assert_eq!(unused.json(), expected);
    }
}
