//! Which API keys can do more or less: each kind of keys with a request for each rule that takes keys.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{
    access::{Atom, Caller, Facts},
    holders::Holders,
    policy::Policy,
    reach::{client_of, from_everywhere, passes, sample_of_rule, variants},
    witness::{Holder, Witness},
};
use crate::config::MethodSpec;

/// Most rules of each policy for which keys are tried.
const MOST_RULES: usize = 300;

/// Keys that can do more or less, all of them the same.
pub(super) struct KeyChange {
    /// Their ids.
    pub(super) ids: Vec<String>,
    /// Names of rules by which they pass now, and did not.
    pub(super) more: BTreeSet<String>,
    /// Names of rules by which they passed.
    pub(super) less: BTreeSet<String>,
}

impl KeyChange {
    pub(super) fn json(&self) -> Value {
        json!({"ids": self.ids, "more": self.more, "less": self.less})
    }
}

/// The keys for which a request for some rule shows that they can do more or less.
pub(super) fn changed(old: &Policy, new: &Policy) -> Vec<KeyChange> {
    let caller = Caller { actor: None, principal: Some(MethodSpec::ApiKey) };
    let holders = Holders::of(old, new);
    let mut changes: Vec<KeyChange> = holders
        .kinds()
        .map(|ids| KeyChange { ids: ids.to_vec(), more: BTreeSet::new(), less: BTreeSet::new() })
        .collect();
    for policy in [old, new] {
        let takes = policy.document.rules.iter().enumerate().filter(|(_, rule)| {
            !rule.action.has_actor() && rule.action.methods().any(|way| *way == MethodSpec::ApiKey)
        });
        for (place, rule) in takes.take(MOST_RULES) {
            let Some((route, line)) = sample_of_rule(policy, place) else { continue };
            let addresses = from_everywhere(policy, line, &caller);
            for change in &mut changes {
                let Some(id) = change.ids.first() else { continue };
                let routes = variants(policy, line, &route, &client_of(policy, id), None);
                for (address, route) in addresses
                    .iter()
                    .flat_map(|address| routes.iter().map(move |route| (address, route.clone())))
                {
                    let facts: Facts = std::iter::once((Atom::Address, address.clone())).collect();
                    let holder = Some(Holder::Key(id.clone()));
                    let witness = Witness { route, caller: caller.clone(), facts, holder };
                    match (passes(old, &witness), passes(new, &witness)) {
                        (false, true) => _ = change.more.insert(rule.name.clone()),
                        (true, false) => _ = change.less.insert(rule.name.clone()),
                        _ => {}
                    }
                }
            }
        }
    }
    changes.retain(|change| !change.more.is_empty() || !change.less.is_empty());
    changes
}
