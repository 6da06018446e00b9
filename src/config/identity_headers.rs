//! `identityHeaders`.

use super::{
    IdentityField, IdentityHeadersSpec,
    http_names::owned_header_name,
    names::Definitions,
    reader::{Node, Object, Path},
    scalar::choice,
};

const FIELDS: [(&str, IdentityField); 5] = [
    ("Subject", IdentityField::Subject),
    ("Kind", IdentityField::Kind),
    ("Scopes", IdentityField::Scopes),
    ("Roles", IdentityField::Roles),
    ("Rule", IdentityField::Rule),
];

/// Reads the section; absent, it is an empty object.
pub(super) fn identity_headers(node: Node<'_>, defs: &mut Definitions) -> Option<IdentityHeadersSpec> {
    node.object(|o| {
        let subject = header(o, "subject", "x-portcullis-subject", defs);
        let kind = header(o, "kind", "x-portcullis-kind", defs);
        let scopes = header(o, "scopes", "x-portcullis-scopes", defs);
        let roles = header(o, "roles", "x-portcullis-roles", defs);
        let rule = header(o, "rule", "x-portcullis-rule", defs);
        let mut seen = Vec::new();
        let send = o.optional("send", |n| {
            n.list(|n| {
                let (path, faults) = (n.path, n.faults);
                let field = choice("an identity header", &FIELDS)(n)?;
                if seen.contains(&field) {
                    faults.add(&path, "is listed twice");
                    return None;
                }
                seen.push(field);
                Some(field)
            })
        });
        Some(IdentityHeadersSpec {
            subject: subject?,
            kind: kind?,
            scopes: scopes?,
            roles: roles?,
            rule: rule?,
            send: send.unwrap_or_else(|| FIELDS.map(|(_, field)| field).to_vec()),
        })
    })
}

fn header(o: &mut Object<'_>, field: &'static str, default: &str, defs: &mut Definitions) -> Option<String> {
    let given = o.has(field);
    let name = o.optional(field, owned_header_name);
    let name = if given { name? } else { default.to_owned() };
    let path = Path::Field(&o.path, field);
    defs.headers.take(&name, &path, o.faults);
    Some(name)
}
