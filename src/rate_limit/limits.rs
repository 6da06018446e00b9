//! The limits of a policy, ready to be asked.

use super::{KeyPart, admission::LimitId, key::Prefixes, quota::Quota, section::Head};

/// The limits of a policy.
#[derive(Clone, Debug)]
pub struct Limiter {
    pub(super) limits: Vec<Limit>,
    pub(super) before: Vec<LimitId>,
}

/// One limit, compiled.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    pub(super) name: Box<str>,
    pub(super) key: Vec<KeyPart>,
    pub(super) prefixes: Prefixes,
    /// Empty: every method.
    pub(super) methods: Vec<Box<str>>,
    pub(super) before_authentication: bool,
    pub(super) own: Plan,
    pub(super) tiers: Vec<(Box<str>, Plan)>,
}

/// The windows of a limit, or of one of its tiers. Each counts in a table of its own.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    /// 1 to `MAX_WINDOWS`.
    pub(super) quotas: Vec<Quota>,
    /// The same windows, in the form that sections of the store begin with.
    pub(super) windows: Head,
    /// The number of the table, among those of the limiter.
    pub(super) table: usize,
    /// What the keys of its slots in the store begin with.
    pub(super) prefix: Box<str>,
    /// Goes into the hash of every key, so that tiers are counted apart, and limits of one name with different keys,
    /// too.
    pub(super) tag: u64,
}

impl Limiter {
    /// The limit of this name.
    pub fn id(&self, name: &str) -> Option<LimitId> {
        self.limits.iter().position(|limit| *limit.name == *name).map(LimitId::new)
    }

    /// The limit's name; empty for the id of another limiter.
    pub fn name(&self, id: LimitId) -> &str {
        self.get(id).map_or("", |limit| &limit.name)
    }

    /// The names of all limits, in the order of the document.
    #[cfg(test)]
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.limits.iter().map(|limit| &*limit.name)
    }

    /// What counts in a table of its own: every limit, and every tier of it.
    pub(super) fn plans(&self) -> impl Iterator<Item = &Plan> {
        self.limits
            .iter()
            .flat_map(|limit| [&limit.own].into_iter().chain(limit.tiers.iter().map(|(_, plan)| plan)))
    }

    /// The limits that every request is charged to before authentication.
    pub fn before_authentication(&self) -> &[LimitId] {
        &self.before
    }

    /// Whether any limit counts by address.
    pub fn needs_remote_address(&self) -> bool {
        self.limits.iter().any(|limit| limit.key.contains(&KeyPart::RemoteAddress))
    }

    /// The limit of this id; `None` for the id of another limiter.
    pub(super) fn get(&self, id: LimitId) -> Option<&Limit> {
        self.limits.get(id.index())
    }
}
