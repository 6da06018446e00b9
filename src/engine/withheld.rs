//! What is taken out of a request that does not reach the upstream, so that no access log shows what none may see.

use super::{
    Changes, WorkerState,
    decision::Text,
    forward::{self, Target},
};
use crate::{
    policy::Policy,
    request::{Location, RequestHead, protocol},
};

/// Of a request that is answered here: every credential goes, also those that the upstream would have been given.
#[cold]
#[inline(never)]
pub(super) fn from_answered<'a>(policy: &'a Policy, head: &'a RequestHead<'a>) -> Changes<'a> {
    changes(policy, head, |_| false)
}

/// Of a request that waits: every credential goes but those that the upstream is given if the request is allowed.
#[cold]
#[inline(never)]
pub(super) fn from_waiting<'a>(policy: &'a Policy, head: &'a RequestHead<'a>) -> Changes<'a> {
    let tokens = || policy.providers.iter().map(|provider| provider.spec()).filter(|spec| spec.forward);
    let webhooks = || policy.hmac_sources.iter().filter(|source| source.forward);
    let signers = || policy.signers.iter().filter(|signer| signer.forward);
    changes(policy, head, |location| {
        let is_here = |other: &Location| other.is_same_place(location);
        tokens().any(|spec| spec.locations.iter().any(is_here))
            || forward::forwarded_keys(policy).is_some_and(|keys| keys.iter().any(is_here))
            || webhooks().any(|source| is_here(&source.location))
            || signers().any(|signer| signer.locations.iter().any(is_here))
    })
}

fn changes<'a>(
    policy: &'a Policy,
    head: &'a RequestHead<'a>,
    is_kept: impl Fn(&Location) -> bool,
) -> Changes<'a> {
    let mut changes = Changes::default();
    forward::remove_headers(policy, head, &is_kept, &mut changes);
    if !forward::looks_elsewhere(policy) {
        return changes;
    }
    let sent = head.single(":path").one().unwrap_or_default();
    let is_read = policy.read_target(sent).is_ok();
    let sent = String::from_utf8_lossy(sent);
    let (path, query) = split(&sent, is_read);
    let target = Target { path, query, is_rewritten: false };
    forward::clean_target_and_cookies(policy, head, target, is_kept, &mut changes);
    if !is_read && let Some((_, left)) = changes.replace.iter_mut().find(|(name, _)| *name == ":path") {
        // Servers differ in where its query begins, so whatever is a query for any of them goes.
        *left = Text::Made(path.to_owned());
    }
    changes
}

/// Headers that most policies guard, for a request that none is there for.
pub fn names_without_policy() -> impl Iterator<Item = &'static [u8]> {
    const NAMES: [&str; 11] = [
        "authorization",
        "cookie",
        "dpop",
        "x-api-key",
        "x-portcullis-actor",
        "x-portcullis-identity",
        "x-portcullis-kind",
        "x-portcullis-roles",
        "x-portcullis-rule",
        "x-portcullis-scopes",
        "x-portcullis-subject",
    ];
    NAMES.into_iter().map(str::as_bytes)
}

impl WorkerState {
    /// Headers of which no request that goes no further should have any, each in the spelling that the policy names;
    /// for one that cannot be looked at. Some are named more than once.
    pub fn guarded_names(&self) -> impl Iterator<Item = &[u8]> {
        let among_others = self.policy().credential_locations.iter().filter_map(|location| match location {
            Location::Cookie(_) => Some(&b"cookie"[..]),
            Location::WebSocketProtocol(_) => Some(protocol::HEADER.as_bytes()),
            Location::Header { .. } | Location::Query(_) => None,
        });
        self.policy().guarded_headers.names().chain(among_others)
    }
}

/// A target's path and its query. Where it can be read in several ways (`is_read` is false), the query begins with
/// the first character that begins one in any of them.
fn split(target: &str, is_read: bool) -> (&str, Option<&str>) {
    let begins = if is_read { target.find('?') } else { target.find(['?', ';', '#']) };
    match begins.and_then(|begins| target.split_at_checked(begins)) {
        Some((path, rest)) => (path, rest.get(1..)),
        None => (target, None),
    }
}
