//! `authorize`: what a rule asks of a principal.

use std::time::Duration;

use super::{
    names::Definitions,
    reader::{Node, Object},
    scalar::{claim_path, duration, label, name, required_permission, scope, unique},
};
use crate::{
    identity::ClaimPath,
    rbac::{AlternativeSpec, Names, OwnerSpec, RequirementSpec, StepUp},
};

const CONDITIONS: [&str; 5] = ["scopes", "permissions", "roles", "owner", "stepUp"];

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
    let step_up = o.optional("stepUp", step_up);
    if given == 0 {
        return o.fault("asks for nothing; give scopes, permissions, roles, owner or stepUp");
    }
    let read = [scopes.is_some(), permissions.is_some(), roles.is_some(), owner.is_some(), step_up.is_some()];
    // A condition that is faulty must never become one that is not asked.
    (read.iter().filter(|read| **read).count() == given).then_some(AlternativeSpec {
        scopes,
        permissions,
        roles,
        owner,
        step_up,
    })
}

/// RFC 9470: how the user must have logged in.
fn step_up(node: Node<'_>) -> Option<StepUp> {
    const YEAR: Duration = Duration::from_secs(8760 * 3600);
    node.object(|o| {
        let (by_class, by_age) = (o.has("acrValues"), o.has("maxAge"));
        // In a challenge they are joined by spaces, as scopes are.
        let acr_values =
            o.optional("acrValues", |n| unique(n, "asks for nothing; leave the field out", scope));
        let max_age = o.optional("maxAge", |n| {
            let (path, faults) = (n.path, n.faults);
            let max_age = duration(Duration::from_secs(1)..=YEAR)(n)?;
            if max_age.subsec_nanos() != 0 {
                faults.add(&path, "must be in whole seconds (RFC 9470 section 3)");
                return None;
            }
            Some(max_age)
        });
        if !by_class && !by_age {
            return o.fault("asks for nothing; give acrValues or maxAge");
        }
        if by_class != acr_values.is_some() || by_age != max_age.is_some() {
            return None;
        }
        Some(StepUp { acr_values: acr_values.unwrap_or_default(), max_age })
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
