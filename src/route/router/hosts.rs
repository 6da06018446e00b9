//! The host names that rules ask for, and the trie of each.

use hashbrown::HashMap;

use super::{Root, RouteSpec};

/// A host name that a rule asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host<'a> {
    Exact(&'a str),
    /// What follows `*.`.
    Wildcard(&'a str),
    Any,
}

impl<'a> Host<'a> {
    /// Those of a rule, each once.
    pub(super) fn all(spec: &'a RouteSpec) -> Vec<Self> {
        if spec.hostnames.is_empty() {
            return vec![Self::Any];
        }
        let mut hosts = Vec::with_capacity(spec.hostnames.len());
        for name in &spec.hostnames {
            let host = name.strip_prefix("*.").map_or(Self::Exact(name), Self::Wildcard);
            if !hosts.contains(&host) {
                hosts.push(host);
            }
        }
        hosts
    }
}

/// A trie for each host name.
#[derive(Debug, Default)]
pub(super) struct Hosts {
    exact: HashMap<Box<str>, Root>,
    /// By the name that follows `*.`.
    wildcard: HashMap<Box<str>, Root>,
    any: Option<Root>,
}

impl Hosts {
    /// The trie of `host`; `add` makes one where there is none.
    pub(super) fn root(&mut self, host: Host<'_>, add: impl FnOnce() -> Root) -> Root {
        match host {
            Host::Exact(name) => *self.exact.entry(name.into()).or_insert_with(add),
            Host::Wildcard(name) => *self.wildcard.entry(name.into()).or_insert_with(add),
            Host::Any => *self.any.get_or_insert_with(add),
        }
    }

    /// No host name has a trie.
    pub(super) fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.wildcard.is_empty() && self.any.is_none()
    }

    /// All that have a trie, and those of any name.
    pub(super) fn all(&self) -> impl Iterator<Item = Host<'_>> {
        let exact = self.exact.keys().map(|name| Host::Exact(name));
        exact.chain(self.wildcard.keys().map(|name| Host::Wildcard(name))).chain([Host::Any])
    }

    /// Visits every trie that takes all of `host`, until `visit` returns false; false where it did.
    pub(super) fn visit(&self, host: Host<'_>, mut visit: impl FnMut(Root) -> bool) -> bool {
        let mut go_on = true;
        if let Host::Exact(exact) = host
            && let Some(root) = self.exact.get(exact)
        {
            go_on = visit(*root);
        }
        if !self.wildcard.is_empty() {
            let mut name = match host {
                Host::Exact(exact) => parent(exact),
                Host::Wildcard(suffix) => Some(suffix),
                Host::Any => None,
            };
            while go_on && let Some(suffix) = name {
                if let Some(root) = self.wildcard.get(suffix) {
                    go_on = visit(*root);
                }
                name = parent(suffix);
            }
        }
        match self.any {
            Some(root) if go_on => visit(root),
            _ => go_on,
        }
    }
}

/// The name without its first label; `None` for the last one.
fn parent(name: &str) -> Option<&str> {
    name.split_once('.').map(|(_, parent)| parent)
}
