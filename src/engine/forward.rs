//! What the upstream gets: the request without credentials and without identity headers that a client made up,
//! with the caller's identity and the path that was decided on.

use std::rc::Rc;

use super::{Caller, Changes, step::Text};
use crate::{
    config::IdentityField,
    policy::{Policy, Rule},
    request::{Location, RequestHead, cookie, credential, path::CanonicalPath, query},
};

pub(super) fn changes<'a>(
    policy: &'a Policy,
    rule: &'a Rule,
    head: &'a RequestHead<'a>,
    path: &CanonicalPath<'a>,
    caller: Option<Rc<Caller>>,
) -> Changes<'a> {
    let mut changes = cleaned(policy, head, path, caller.as_deref());
    identify(policy, rule, caller, &mut changes);
    changes
}

/// A CORS preflight speaks for nobody, so it goes on without any identity.
pub(super) fn preflight<'a>(
    policy: &'a Policy,
    head: &'a RequestHead<'a>,
    path: &CanonicalPath<'a>,
) -> Changes<'a> {
    cleaned(policy, head, path, None)
}

/// Nothing is left that a client made up or that proves who it is.
fn cleaned<'a>(
    policy: &'a Policy,
    head: &'a RequestHead<'a>,
    path: &CanonicalPath<'a>,
    caller: Option<&Caller>,
) -> Changes<'a> {
    let mut changes = Changes::default();
    changes.remove.extend(head.headers.iter().map(|(name, _)| *name).filter(|name| is_owned(policy, name)));
    remove_credentials(policy, head, path, caller, &mut changes);
    changes
}

/// Whether only this filter may set the header: its name is one of ours, in any case, with `_` for `-` or not,
/// since many servers read both alike.
fn is_owned(policy: &Policy, name: &[u8]) -> bool {
    let same = |owned: &str| {
        owned.len() == name.len()
            && owned.bytes().zip(name).all(|(ours, theirs)| match theirs {
                b'_' => ours == b'-',
                theirs => ours == theirs.to_ascii_lowercase(),
            })
    };
    policy.owned_headers.iter().any(|owned| same(owned))
}

/// Takes every credential out of the request, verified or not: an upstream must never see a key, and could take
/// a token that nobody checked for one that was. Only a provider that says so forwards the token it verified.
fn remove_credentials<'a>(
    policy: &'a Policy,
    head: &'a RequestHead<'a>,
    path: &CanonicalPath<'a>,
    caller: Option<&Caller>,
    changes: &mut Changes<'a>,
) {
    let provider = caller.and_then(|caller| policy.providers.get(caller.provider?));
    let forwarded = provider.filter(|provider| provider.spec().forward);
    let (mut cookies, mut params): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for location in &policy.credential_locations {
        if forwarded.is_some_and(|provider| provider.spec().locations.contains(location)) {
            continue;
        }
        match location {
            Location::Header { name, prefix } => {
                let holds = |value: &[u8]| credential::strip_prefix(value, prefix).is_some();
                if head.values(name).any(holds) {
                    changes.remove.push(name.as_bytes());
                }
            }
            Location::Cookie(name) => cookies.push(name),
            Location::Query(name) => params.push(name),
        }
    }
    let stripped = path.query().and_then(|query| query::without(query, &params));
    if stripped.is_some() || path.rewritten() {
        let query = stripped.as_deref().or(path.query()).unwrap_or_default();
        let separator = if query.is_empty() { "" } else { "?" };
        changes.set.push((":path", Text::Made(format!("{}{separator}{query}", path.path()))));
    }
    match cookie::without(head, &cookies) {
        None => {}
        Some(rest) if rest.is_empty() => changes.remove.push(b"cookie"),
        Some(rest) => changes.set.push(("cookie", Text::Made(rest))),
    }
}

fn identify<'a>(policy: &'a Policy, rule: &'a Rule, caller: Option<Rc<Caller>>, changes: &mut Changes<'a>) {
    let names = &policy.identity_headers;
    if names.sends(IdentityField::Rule) {
        changes.set.push((&names.rule, Text::Policy(&rule.header)));
    }
    let Some(caller) = caller else { return };
    let mut send = |field, name: &'a str, value: Text<'a>| {
        // Nothing to say needs no header: any that the client sent is gone already.
        if names.sends(field) && !value.as_str().is_empty() {
            changes.set.push((name, value));
        }
    };
    send(IdentityField::Kind, &names.kind, Text::Policy(caller.principal.kind.as_str()));
    send(IdentityField::Subject, &names.subject, Text::Caller(Rc::clone(&caller.headers.subject)));
    send(IdentityField::Scopes, &names.scopes, Text::Caller(Rc::clone(&caller.headers.scopes)));
    send(IdentityField::Roles, &names.roles, Text::Caller(Rc::clone(&caller.headers.roles)));
    let provider = caller.provider.and_then(|provider| policy.providers.get(provider));
    let Some(provider) = provider else { return };
    for (place, value) in &caller.headers.claims {
        if let Some((_, name)) = provider.spec().claim_to_headers.get(*place) {
            changes.set.push((name, Text::Caller(Rc::clone(value))));
        }
    }
}
