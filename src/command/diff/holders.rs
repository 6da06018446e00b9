//! API keys and client certificates that policies list: one of each kind.

use hashbrown::HashSet;
use serde_json::Value;

use super::{policy::Policy, witness::Holder};

/// Most of each that the engine is asked about.
const MOST: usize = 64;

/// Those of two policies, one of all that have the same properties.
#[derive(Default)]
pub(super) struct Holders {
    keys: Vec<String>,
    certificates: Vec<Holder>,
}

/// What a key's properties are: all but its id and what it is known by.
fn properties(key: &Value) -> Option<String> {
    let mut members = key.as_object()?.clone();
    for name in ["id", "hash", "description", "createdAt"] {
        members.shift_remove(name);
    }
    members.sort_keys();
    Some(Value::Object(members).to_string())
}

/// The keys of a policy, as they are written.
pub(super) fn keys_of(policy: &Policy) -> impl Iterator<Item = (&str, &Value)> {
    let keys = policy.written.pointer("/apiKeys/keys").and_then(Value::as_array);
    keys.into_iter().flatten().filter_map(|key| Some((key.get("id")?.as_str()?, key)))
}

impl Holders {
    pub(super) fn of(old: &Policy, new: &Policy) -> Self {
        let by_id = |policy: &Policy| -> hashbrown::HashMap<String, String> {
            keys_of(policy).filter_map(|(id, key)| Some((id.to_owned(), properties(key)?))).collect()
        };
        let (old_keys, new_keys) = (by_id(old), by_id(new));
        let mut kinds = HashSet::new();
        let mut keys = Vec::new();
        for (id, _) in keys_of(old).chain(keys_of(new)) {
            let kind = (old_keys.get(id), new_keys.get(id));
            if keys.len() < MOST && kinds.insert(kind) {
                keys.push(id.to_owned());
            }
        }
        let mut certificates: Vec<Holder> = vec![named(&Value::Null, "spiffe://somewhere.invalid/somebody")];
        for policy in [old, new] {
            let listed = policy.written.pointer("/clientCertificates/principals").and_then(Value::as_array);
            for principal in listed.into_iter().flatten().take(MOST) {
                let holder = named(principal, "");
                if !certificates.contains(&holder) {
                    certificates.push(holder);
                }
            }
        }
        Self { keys, certificates }
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = Holder> {
        self.keys.iter().cloned().map(Holder::Key)
    }

    pub(super) fn certificates(&self) -> impl Iterator<Item = Holder> {
        self.certificates.iter().cloned()
    }
}

fn named(principal: &Value, otherwise: &str) -> Holder {
    let text = |name: &str| principal.get(name).and_then(Value::as_str).map(|text| text.replace('*', "any"));
    let uri = text("uri").or_else(|| (!otherwise.is_empty()).then(|| otherwise.to_owned()));
    Holder::Certificate { uri, dns: text("dns"), subject: text("subject") }
}
