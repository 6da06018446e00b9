//! API keys and client certificates that policies list: one of each kind.

use hashbrown::HashMap;
use serde_json::Value;

use super::{policy::Policy, witness::Holder};
use crate::time::Timestamp;

/// Most of each that the engine is asked about.
const MOST: usize = 64;

/// Those of two policies, one of all that have the same properties.
#[derive(Default)]
pub(super) struct Holders {
    /// The ids of each kind.
    keys: Vec<Vec<String>>,
    /// One for each client, too.
    by_client: Vec<String>,
    certificates: Vec<Holder>,
    /// There are more kinds than are asked about.
    pub(super) are_more: bool,
}

/// What a key's properties are: all that decides who passes, but its client. Of its times it counts whether they have come.
fn properties(key: &Value, now: Timestamp) -> String {
    let mut members = key.as_object().cloned().unwrap_or_default();
    for name in ["id", "hash", "client", "tier", "ownRequests", "description"] {
        members.shift_remove(name);
    }
    for name in ["notBefore", "expiresAt", "revokedAt"] {
        let time =
            members.get(name).and_then(Value::as_str).and_then(|text| Timestamp::from_rfc3339(text).ok());
        if let Some(time) = time {
            members.insert(name.to_owned(), (time <= now).into());
        }
    }
    members.sort_keys();
    Value::Object(members).to_string()
}

/// The keys of a policy, as they are written.
fn keys_of(policy: &Policy) -> impl Iterator<Item = (&str, &Value)> {
    let keys = policy.written.pointer("/apiKeys/keys").and_then(Value::as_array);
    keys.into_iter().flatten().filter_map(|key| Some((key.get("id")?.as_str()?, key)))
}

impl Holders {
    pub(super) fn of(old: &Policy, new: &Policy) -> Self {
        fn by_id(policy: &Policy) -> HashMap<&str, (String, &str)> {
            let each = keys_of(policy).map(|(id, key)| {
                let client = key.get("client").and_then(Value::as_str).unwrap_or(id);
                (id, (properties(key, policy.now()), client))
            });
            each.collect()
        }
        let (old_keys, new_keys) = (by_id(old), by_id(new));
        let mut kinds: HashMap<_, usize> = HashMap::new();
        let mut seen: HashMap<&str, ()> = HashMap::new();
        let mut clients: HashMap<_, ()> = HashMap::new();
        let mut holders = Self::default();
        for (id, _) in keys_of(old).chain(keys_of(new)) {
            if seen.insert(id, ()).is_some() {
                continue;
            }
            let both = (old_keys.get(id), new_keys.get(id));
            let kind = (both.0.map(|key| &key.0), both.1.map(|key| &key.0));
            let place = *kinds.entry(kind).or_insert_with(|| {
                holders.keys.push(Vec::new());
                holders.keys.len().saturating_sub(1)
            });
            if let Some(ids) = holders.keys.get_mut(place) {
                ids.push(id.to_owned());
            }
            if clients.insert((kind, both.0.map(|key| key.1), both.1.map(|key| key.1)), ()).is_none() {
                holders.by_client.push(id.to_owned());
            }
        }
        holders.certificates = vec![named(&Value::Null, "spiffe://somewhere.invalid/somebody")];
        for policy in [old, new] {
            let listed = policy.written.pointer("/clientCertificates/principals").and_then(Value::as_array);
            for principal in listed.into_iter().flatten() {
                let holder = named(principal, "");
                if !holders.certificates.contains(&holder) {
                    holders.certificates.push(holder);
                }
            }
        }
        holders.are_more = holders.keys.len() > MOST || holders.certificates.len() > MOST;
        holders
    }

    /// One of each kind; of each client, too, where it matters who it is.
    pub(super) fn keys(&self, by_client: bool) -> Vec<Holder> {
        let firsts = self.keys.iter().filter_map(|ids| ids.first());
        match by_client {
            true => self.by_client.iter().take(MOST).cloned().map(Holder::Key).collect(),
            false => firsts.take(MOST).cloned().map(Holder::Key).collect(),
        }
    }

    /// The ids of each kind.
    pub(super) fn kinds(&self) -> impl Iterator<Item = &[String]> {
        self.keys.iter().map(Vec::as_slice).take(MOST)
    }

    pub(super) fn certificates(&self) -> Vec<Holder> {
        self.certificates.iter().take(MOST).cloned().collect()
    }

    /// Whether there are more than are asked about.
    pub(super) fn leaves_out(&self, by_client: bool) -> bool {
        self.are_more || (by_client && self.by_client.len() > MOST)
    }
}

fn named(principal: &Value, otherwise: &str) -> Holder {
    let text = |name: &str| principal.get(name).and_then(Value::as_str).map(|text| text.replace('*', "any"));
    let uri = text("uri").or_else(|| (!otherwise.is_empty()).then(|| otherwise.to_owned()));
    Holder::Certificate { uri, dns: text("dns"), subject: text("subject") }
}

/// All that a policy says of keys and certificates, as far as it decides who passes: the same text where nothing differs.
pub(super) fn said_of(policy: &Policy) -> [String; 2] {
    let mut keys: Vec<String> = keys_of(policy)
        .map(|(id, key)| format!("{id} {:?} {}", key.get("client"), properties(key, policy.now())))
        .collect();
    keys.sort();
    let levels = policy.written.pointer("/apiKeys/levels").map(Value::to_string).unwrap_or_default();
    let certificates = policy.written.pointer("/clientCertificates/principals").map(Value::to_string);
    [format!("{keys:?} {levels}"), certificates.unwrap_or_default()]
}
