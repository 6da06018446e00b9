//! `roles`.

use super::{
    names::{Definitions, check_inheritance},
    reader::Node,
    scalar::{granted_permission, label, unique},
};
use crate::rbac::RoleSpec;

pub(super) fn roles(node: Node<'_>, defs: &mut Definitions) -> Option<Vec<RoleSpec>> {
    let faults = node.faults;
    defs.roles.expect(node.items());
    let mut graph = Vec::with_capacity(node.items());
    let roles = node.filled("no roles; leave the field out", |n| {
        let index = graph.len();
        graph.push(Default::default());
        let role = role(n, index, graph.last_mut(), defs);
        defs.grants.incomplete |= role.is_none();
        role
    });
    defs.grants.incomplete |= roles.is_none();
    check_inheritance(&graph, &defs.roles, faults);
    roles
}

/// Leaves the role's name and what it inherits in `edges`, even where the rest of it is faulty.
fn role(
    node: Node<'_>,
    index: usize,
    edges: Option<&mut (String, Vec<String>)>,
    defs: &mut Definitions,
) -> Option<RoleSpec> {
    node.object(|o| {
        let name = o.required("name", |n| {
            let (path, faults) = (n.path, n.faults);
            let name = label(n)?;
            defs.roles.define(&name, index, (), &path, faults);
            Some(name)
        });
        let inherits = o.optional("inherits", |n| unique(n, "inherits nothing; leave the field out", label));
        let permissions = o.optional("permissions", |n| {
            unique(n, "grants nothing; leave the field out", granted_permission)
        });
        let inherits = inherits.unwrap_or_default();
        if let Some(edges) = edges {
            *edges = (name.clone().unwrap_or_default(), inherits.clone());
        }
        let permissions = permissions.unwrap_or_default();
        defs.grants.add(&permissions);
        Some(RoleSpec { name: name?, inherits, permissions })
    })
}

/// The roles that a key or a certificate holds; each must be defined.
pub(super) fn held(node: Node<'_>, defs: &Definitions) -> Option<Vec<String>> {
    unique(node, "no roles; leave the field out", |n| {
        let (path, faults) = (n.path, n.faults);
        let role = label(n)?;
        defs.roles.resolve(&role, &path, faults)?;
        Some(role)
    })
}
