//! `roles`.

use super::{
    inheritance,
    model::{Field, Form, Kind, Shape, optional, required},
    names::Definitions,
    reader::Object,
};
use crate::rbac::RoleSpec;

pub(super) static ROLE: Shape = Shape::new(&[
    required("name", Kind::Text(Form::Label), "As tokens and keys spell it."),
    optional(
        "inherits",
        Kind::List("inherits nothing; leave the field out", &Kind::Text(Form::Label)),
        "absent: nothing",
        "Roles whose permissions this one has too. A circle is refused.",
    ),
    optional(
        "permissions",
        Kind::List("grants nothing; leave the field out", &Kind::Text(Form::Grant)),
        "absent: none",
        "A role may hold none: rules can name it.",
    ),
]);

pub(super) fn roles(document: &mut Object<'_>, defs: &mut Definitions) -> Option<Vec<RoleSpec>> {
    let faults = document.faults;
    let node = document.take("roles")?;
    defs.roles.expect(node.count());
    let mut graph = Vec::with_capacity(node.count());
    let roles = node.filled("no roles; leave the field out").and_then(|items| {
        items.all(|n| {
            let index = graph.len();
            graph.push(Default::default());
            let role = n.object(&ROLE).and_then(|o| role(o, index, graph.last_mut(), defs));
            defs.grants.incomplete |= role.is_none();
            role
        })
    });
    defs.grants.incomplete |= roles.is_none();
    inheritance::check(&graph, &defs.roles, faults);
    roles
}

/// Leaves the role's name and what it inherits in `edges`, even where the rest of it is faulty.
fn role(
    mut o: Object<'_>,
    index: usize,
    edges: Option<&mut (String, Vec<String>)>,
    defs: &mut Definitions,
) -> Option<RoleSpec> {
    let name = o.text("name");
    if let Some(name) = &name {
        defs.roles.define(name, index, (), &o.at("name"), o.faults);
    }
    let inherits = o.texts("inherits").unwrap_or_default();
    let permissions = o.texts("permissions").unwrap_or_default();
    if let Some(edges) = edges {
        *edges = (name.clone().unwrap_or_default(), inherits.clone());
    }
    defs.grants.add(&permissions);
    Some(RoleSpec { name: name?, inherits, permissions })
}

/// What keys and certificates may be used for, their roles, and the tier of their limits: said alike of both.
pub(super) const HOLDER_SCOPES: Field = optional(
    "scopes",
    Kind::List("no scopes; leave the field out", &Kind::Text(Form::Scope)),
    "absent: none",
    "What it may be used for, as scopes.",
);
pub(super) const HOLDER_ROLES: Field = optional(
    "roles",
    Kind::List("no roles; leave the field out", &Kind::Text(Form::Label)),
    "absent: none",
    "Names of `roles`.",
);
pub(super) const HOLDER_TIER: Field =
    optional("tier", Kind::Text(Form::Label), "absent: no tier", "Selects the `tiers` of rate limits.");

/// The roles that a key or a certificate holds.
pub(super) fn held(o: &mut Object<'_>, defs: &Definitions) -> Option<Vec<String>> {
    o.texts_that("roles", &mut |role, path, faults| defs.roles.resolve(role, path, faults).copied())
}
