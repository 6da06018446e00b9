//! What the upstream gets: the request without credentials and without identity headers that a client made up,
//! with the caller's identity and the path that was decided on.

use std::{rc::Rc, slice};

use super::{Changes, WorkerState, decision::Text};
use crate::{
    api_key::ApiKeys,
    config::IdentityField,
    identity::{Party, PrincipalKind},
    policy::{AcceptedCredentials, Action, Caller, Callers, Policy, Rule},
    request::{
        Location, RequestHead, connection, cookie, credential, guarded::Guard, path::CanonicalPath, protocol,
        query,
    },
};

pub(super) fn changes<'a>(
    policy: &'a Policy,
    rule: &'a Rule,
    head: &'a RequestHead<'a>,
    path: &CanonicalPath<'a>,
    callers: &Callers,
    statement: Option<Rc<str>>,
) -> Changes<'a> {
    let pass_through = matches!(rule.action, Action::AllowAnyone { pass_through: true, .. });
    let mut changes = cleaned(policy, head, path, callers, pass_through);
    identify(policy, rule, callers, &mut changes);
    if let Some(statement) = statement {
        changes.add.push((&policy.identity_headers.identity, Text::Caller(statement)));
    }
    changes
}

/// A CORS preflight speaks for nobody, so it goes on without any identity.
pub(super) fn preflight<'a>(
    policy: &'a Policy,
    head: &'a RequestHead<'a>,
    path: &CanonicalPath<'a>,
) -> Changes<'a> {
    cleaned(policy, head, path, &Callers::default(), false)
}

/// Nothing is left that a client made up or that proves who it is, verified or not: an upstream must never see a key,
/// and could take a token that nobody checked for one that was. Only where the policy says so what was verified goes
/// on, or, with `pass_through`, whatever stands where credentials do.
fn cleaned<'a>(
    policy: &'a Policy,
    head: &'a RequestHead<'a>,
    path: &CanonicalPath<'a>,
    callers: &Callers,
    pass_through: bool,
) -> Changes<'a> {
    // A caller has shown a credential, most often in one header, which is removed: there is room for that one.
    let remove = Vec::with_capacity(usize::from(callers.principal.is_some()));
    let mut changes = Changes { remove, ..Changes::default() };
    let kept = |party| callers.of(party).map(|caller| forwarded(policy, caller)).unwrap_or_default();
    let kept = [kept(Party::Principal), kept(Party::Actor)];
    let is_kept = |location: &Location| {
        pass_through || kept.iter().any(|kept| kept.iter().any(|kept| kept.is_same_place(location)))
    };
    if remove_headers(policy, head, is_kept, &mut changes) {
        keep_what_is_named(head, &mut changes);
    }
    if path.rewritten() || looks_elsewhere(policy) {
        let target = Target { path: path.path(), query: path.query(), is_rewritten: path.rewritten() };
        clean_target_and_cookies(policy, head, target, is_kept, &mut changes);
    }
    changes
}

/// Where a credential of the kind that the caller has shown goes on. There is none but the one that was verified, or
/// the request would have been refused; nor can the other of two stand there.
fn forwarded<'a>(policy: &'a Policy, caller: &'a Caller) -> &'a [Location] {
    match (&caller.provider, caller.principal.kind) {
        (Some(provider), _) => Some(provider.spec()).filter(|spec| spec.forward).map(|spec| &*spec.locations),
        (None, PrincipalKind::ApiKey) => forwarded_keys(policy),
        (None, PrincipalKind::Hmac) => {
            let mut sources = policy.hmac_sources.iter().filter(|source| source.forward);
            let own = sources.find(|source| *source.name == *caller.principal.subject);
            own.map(|source| slice::from_ref(&source.location))
        }
        (None, PrincipalKind::MessageSignature) => {
            let mut signers = policy.signers.iter().filter(|signer| signer.forward);
            let own = signers.find(|signer| *signer.name == *caller.principal.subject);
            own.map(|signer| signer.locations.as_slice())
        }
        (None, _) => None,
    }
    .unwrap_or_default()
}

/// Where API keys go on.
pub(super) fn forwarded_keys(policy: &Policy) -> Option<&[Location]> {
    policy.api_keys.as_ref().filter(|keys| keys.is_forwarded()).map(ApiKeys::locations)
}

/// Whether credentials may stand in something else than a header of their own.
#[inline]
pub(super) fn looks_elsewhere(policy: &Policy) -> bool {
    policy.credential_locations.iter().any(|location| !matches!(location, Location::Header { .. }))
}

/// Removes headers that only the filter may set, that hold credentials or that override what was decided on.
/// `is_kept` says which locations the upstream may see. Answers whether the request has a `connection` header.
#[inline]
pub(super) fn remove_headers<'a>(
    policy: &'a Policy,
    head: &'a RequestHead<'a>,
    is_kept: impl Fn(&Location) -> bool,
    changes: &mut Changes<'a>,
) -> bool {
    let mut has_options = false;
    for (name, value) in &head.headers {
        let goes = |guard| match guard {
            Guard::Options => {
                has_options = true;
                false
            }
            Guard::Every | Guard::OtherSpellings => true,
            Guard::Credential(place) => match policy.credential_locations.get(place) {
                Some(location @ Location::Header { name: own, prefix }) => {
                    credential::may_hold(value, prefix)
                        && !(*name == own.as_bytes()
                            && credential::strip_prefix(value, prefix).is_some()
                            && is_kept(location))
                }
                _ => false,
            },
        };
        if policy.guarded_headers.guards(name).any(goes) && !changes.remove.contains(name) {
            changes.remove.push(name);
        }
    }
    has_options
}

/// Leaves in `connection` the options of HTTP itself alone: a proxy behind us drops every header that another option
/// names (RFC 9110 section 7.6.1), also those that say who is calling.
#[cold]
#[inline(never)]
fn keep_what_is_named(head: &RequestHead<'_>, changes: &mut Changes<'_>) {
    match connection::without_names(head) {
        None => {}
        Some(rest) if rest.is_empty() => changes.remove.push(connection::HEADER.as_bytes()),
        Some(rest) => changes.replace.push((connection::HEADER, Text::Made(rest))),
    }
}

/// A request target, in parts.
pub(super) struct Target<'t> {
    pub(super) path: &'t str,
    pub(super) query: Option<&'t str>,
    /// It is not as it was sent, so it is to be set.
    pub(super) is_rewritten: bool,
}

impl WorkerState {
    /// Whether a trailer of this name must not reach the upstream: some servers merge trailers into headers. Nobody
    /// verified a credential there, where none belongs (RFC 9110 section 6.5.1), and nobody vouches for anything.
    pub fn guards_trailer(&self, name: &[u8]) -> bool {
        matches!(name, b"authorization" | b"cookie") || self.policy().guarded_headers.has_alike(name)
    }
}

/// Removes credentials from the target's query, from cookies and from WebSocket protocols, where they stand beside
/// other things. `is_kept` says which locations the upstream may see.
#[inline(never)]
pub(super) fn clean_target_and_cookies<'a>(
    policy: &'a Policy,
    head: &'a RequestHead<'a>,
    target: Target<'_>,
    is_kept: impl Fn(&Location) -> bool,
    changes: &mut Changes<'a>,
) {
    let (mut kept_cookies, mut kept_params) = (Vec::new(), Vec::new());
    let (mut in_protocols, mut kept_protocols) = (false, Vec::new());
    for location in &policy.credential_locations {
        match location {
            Location::Cookie(name) => kept_cookies.extend(is_kept(location).then_some(name.as_str())),
            Location::Query(name) => kept_params.extend(is_kept(location).then_some(name.as_str())),
            Location::WebSocketProtocol(form) => {
                in_protocols = true;
                kept_protocols.extend(is_kept(location).then_some(*form));
            }
            Location::Header { .. } => {}
        }
    }
    let names = &policy.credential_names;
    let stripped = target.query.and_then(|query| query::without(query, &names.params, &kept_params));
    if stripped.is_some() || target.is_rewritten {
        let query = stripped.as_deref().or(target.query).unwrap_or_default();
        let separator = if query.is_empty() { "" } else { "?" };
        changes.replace.push((":path", Text::Made(format!("{}{separator}{query}", target.path))));
    }
    let mut put = |name: &'static str, left: Option<String>| match left {
        None => {}
        // The policy removes all of it.
        Some(_) if changes.remove.contains(&name.as_bytes()) => {}
        Some(left) if left.is_empty() => changes.remove.push(name.as_bytes()),
        Some(left) => changes.replace.push((name, Text::Made(left))),
    };
    put("cookie", cookie::without(head, &names.cookies, &kept_cookies));
    if in_protocols {
        put(protocol::HEADER, protocol::without(head, &kept_protocols));
    }
}

/// INVARIANT: these names are guarded as the filter's own, so nothing that the client sent under them is left.
fn identify<'a>(policy: &'a Policy, rule: &'a Rule, callers: &Callers, changes: &mut Changes<'a>) {
    let names = &policy.identity_headers;
    let caller = callers.principal.as_deref();
    let claims = caller.map_or(0, |caller| caller.headers.claims.len());
    changes.add = Vec::with_capacity(names.send.len().saturating_add(claims));
    if names.sends(IdentityField::Rule) {
        changes.add.push((&names.rule, Text::Policy(&rule.header)));
    }
    let Some(caller) = caller else { return };
    if names.sends(IdentityField::Kind) {
        changes.add.push((&names.kind, Text::Policy(caller.principal.kind.as_str())));
    }
    let headers = &caller.headers;
    for (field, name, value) in [
        (IdentityField::Subject, &names.subject, &headers.subject),
        (IdentityField::Scopes, &names.scopes, &headers.scopes),
        (IdentityField::Roles, &names.roles, &headers.roles),
    ] {
        // Nothing to say needs no header: any that the client sent is gone already.
        if !value.is_empty() && names.sends(field) {
            changes.add.push((name, Text::Caller(Rc::clone(value))));
        }
    }
    let Action::Allow(access) = &rule.action else { return };
    add_claims(&access.accepted, caller, changes);
    if let (Some(accepted), Some(actor)) = (&access.accepted.actor, &callers.actor) {
        if names.sends(IdentityField::Actor) {
            changes.add.push((&names.actor, Text::Caller(Rc::clone(&actor.headers.subject))));
        }
        add_claims(accepted, actor, changes);
    }
}

/// Names stand in the policy, which outlives the request; the caller's own reference to them does not.
fn add_claims<'a>(accepted: &'a AcceptedCredentials, caller: &Caller, changes: &mut Changes<'a>) {
    let Some(provider) = caller.provider.as_ref().and_then(|provider| accepted.find(provider)) else {
        return;
    };
    for (place, value) in &caller.headers.claims {
        if let Some(spec) = provider.spec().claim_to_headers.get(*place) {
            changes.add.push((&spec.header, Text::Caller(Rc::clone(value))));
        }
    }
}
