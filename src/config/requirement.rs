//! `authorize`: what a rule asks of a principal.

use super::{
    names::Definitions,
    reader::{Node, Object},
    scalar::{claim_path, label, name, required_permission, scope, unique},
};
use crate::{
    identity::ClaimPath,
    rbac::{AlternativeSpec, Names, OwnerSpec, RequirementSpec},
};

const CONDITIONS: [&str; 4] = ["scopes", "permissions", "roles", "owner"];

/// Conditions that must all hold, or `anyOf` a list of such.
pub(super) fn authorize(node: Node<'_>, defs: &Definitions) -> Option<RequirementSpec> {
    node.object(|o| {
        if !o.has("anyOf") {
            o.optional("anyOf", |_| Some(()));
            return Some(RequirementSpec { any_of: vec![alternative(o, defs)?], listed: false });
        }
        for field in CONDITIONS {
            if o.optional(field, |_| Some(())).is_some() {
                o.fault_at::<()>(field, "contradicts anyOf; move it into each alternative");
            }
        }
        let any_of = o.optional("anyOf", |n| {
            n.filled("no alternatives; nobody would pass", |n| n.object(|o| alternative(o, defs)))
        })?;
        Some(RequirementSpec { any_of, listed: true })
    })
}

fn alternative(o: &mut Object<'_>, defs: &Definitions) -> Option<AlternativeSpec> {
    let given = CONDITIONS.iter().filter(|field| o.has(field)).count();
    let scopes = o.optional("scopes", |n| names(n, scope));
    let permissions = o.optional("permissions", |n| {
        names(n, |n| {
            let (path, faults) = (n.path, n.faults);
            let permission = required_permission(n)?;
            defs.grants.check(&permission, &path, faults);
            Some(permission)
        })
    });
    let roles = o.optional("roles", |n| {
        names(n, |n| {
            let (path, faults) = (n.path, n.faults);
            let role = label(n)?;
            defs.roles.resolve(&role, &path, faults)?;
            Some(role)
        })
    });
    let owner = o.optional("owner", owner);
    if given == 0 {
        return o.fault("asks for nothing; give scopes, permissions, roles or owner");
    }
    let read = [scopes.is_some(), permissions.is_some(), roles.is_some(), owner.is_some()];
    // A condition that is faulty must never become one that is not asked.
    (read.iter().filter(|read| **read).count() == given).then_some(AlternativeSpec {
        scopes,
        permissions,
        roles,
        owner,
    })
}

/// A list means all of it; `{anyOf: [..]}` and `{allOf: [..]}` say which is meant.
fn names(node: Node<'_>, read: impl Fn(Node<'_>) -> Option<String> + Copy) -> Option<Names> {
    let empty = "asks for nothing; leave the field out";
    if node.value.is_array() {
        return unique(node, empty, read).map(Names::All);
    }
    if !node.value.is_object() {
        return node.mismatch("a list, {anyOf: [..]} or {allOf: [..]}");
    }
    node.object(|o| {
        let (by_any, by_all) = (o.has("anyOf"), o.has("allOf"));
        let any = o.optional("anyOf", |n| unique(n, empty, read));
        let all = o.optional("allOf", |n| unique(n, empty, read));
        match (by_any, by_all) {
            (true, true) => o.fault("give one of anyOf and allOf"),
            (false, false) => o.fault("asks for nothing; give anyOf or allOf"),
            _ => any.map(Names::Any).or(all.map(Names::All)),
        }
    })
}

fn owner(node: Node<'_>) -> Option<OwnerSpec> {
    node.object(|o| {
        let path_variable = o.required("pathVariable", name);
        let given = o.has("claim");
        let claim = o.optional("claim", claim_path);
        let claim = if given { claim? } else { ClaimPath::dotted("sub") };
        Some(OwnerSpec { path_variable: path_variable?, claim })
    })
}
