//! `identityHeaders`.

use super::{
    IdentityField, IdentityHeadersSpec, SignedIdentitySpec,
    model::{Form, HOUR, Kind, SECOND, Shape, default, optional, required, words},
    names::Definitions,
    reader::Object,
    scalar::word,
};

const FIELDS: [(&str, IdentityField); 6] = [
    ("Subject", IdentityField::Subject),
    ("Kind", IdentityField::Kind),
    ("Scopes", IdentityField::Scopes),
    ("Roles", IdentityField::Roles),
    ("Rule", IdentityField::Rule),
    ("Actor", IdentityField::Actor),
];

const OWN: Kind = Kind::Text(Form::OwnHeader);

pub(super) static IDENTITY_HEADERS: Shape = Shape::new(&[
    default("subject", OWN, "x-portcullis-subject", "Who is calling."),
    default(
        "kind",
        OWN,
        "x-portcullis-kind",
        "`jwt`, `api-key`, `client-certificate`, `hmac` or `message-signature`.",
    ),
    default("scopes", OWN, "x-portcullis-scopes", "Scopes, separated by spaces."),
    default("roles", OWN, "x-portcullis-roles", "Roles, separated by commas."),
    default("rule", OWN, "x-portcullis-rule", "The name of the rule."),
    default("actor", OWN, "x-portcullis-actor", "Who acts for the subject, on rules with [allOf](#allof)."),
    default(
        "send",
        Kind::Any(&Kind::Choice("an identity header", &words(&FIELDS))),
        "Subject Kind Scopes Roles Rule Actor",
        "Which are sent; of `[]` none.",
    ),
    optional(
        "signed",
        Kind::Object(&SIGNED),
        "absent: it is not sent",
        "A signed statement of all that, see [below](#signed-identity). Needs `signingKeys`.",
    ),
]);

static SIGNED: Shape = Shape::new(&[
    default(
        "header",
        OWN,
        "x-portcullis-identity",
        "The header that it stands in. As the others it is removed from every inbound request, whether `signed` is given or \
         not.",
    ),
    optional(
        "issuer",
        Kind::Url { https: true },
        "`issuer` of `sessions`; required without them",
        "`iss` of the statement: a URL of the gateway.",
    ),
    required(
        "audience",
        Kind::Text(Form::Any),
        "`aud` of the statement: the upstreams that are to believe it. Not one of `audiences` of `sessions`.",
    ),
    default(
        "lifetime",
        Kind::Duration(2 * SECOND, HOUR),
        "1m",
        "How long a statement is good. It serves the requests of its caller until half of that is over, and never outlives \
         the credential.",
    ),
]);

/// Reads the section; absent, it is an empty object.
pub(super) fn identity_headers(mut o: Object<'_>, defs: &mut Definitions) -> Option<IdentityHeadersSpec> {
    let subject = header(&mut o, "subject", defs);
    let kind = header(&mut o, "kind", defs);
    let scopes = header(&mut o, "scopes", defs);
    let roles = header(&mut o, "roles", defs);
    let rule = header(&mut o, "rule", defs);
    let actor = header(&mut o, "actor", defs);
    let has_signed = o.has("signed");
    let (identity, signed) = o.object_or_defaults("signed").map(|o| signed(o, has_signed, defs)).unzip();
    Some(IdentityHeadersSpec {
        subject: subject?,
        kind: kind?,
        scopes: scopes?,
        roles: roles?,
        rule: rule?,
        actor: actor?,
        send: send(&mut o)?,
        identity: identity.flatten()?,
        signed: signed.flatten(),
    })
}

/// The header, which is owned in any case, and what stands in it.
fn signed(
    mut o: Object<'_>,
    is_given: bool,
    defs: &mut Definitions,
) -> (Option<String>, Option<SignedIdentitySpec>) {
    let name = header(&mut o, "header", defs);
    if !is_given {
        return (name, None);
    }
    if !defs.signing_keys {
        o.fault::<()>("the policy has no signingKeys section");
    }
    let issuer = o.url("issuer");
    if !o.has("issuer") && !defs.sessions {
        o.fault_at::<()>("issuer", "required: there are no sessions, whose issuer it would be");
    }
    let (audience, lifetime) = (o.text("audience"), o.duration("lifetime"));
    let signed = audience.zip(lifetime);
    (name, signed.map(|(audience, lifetime)| SignedIdentitySpec { issuer, audience, lifetime }))
}

fn header(o: &mut Object<'_>, field: &'static str, defs: &mut Definitions) -> Option<String> {
    let name = o.text(field)?;
    defs.headers.take(&name, &o.at(field), o.faults);
    Some(name)
}

fn send(o: &mut Object<'_>) -> Option<Vec<IdentityField>> {
    if let Some(names) = o.left_out("send") {
        let named = |name| FIELDS.iter().find(|(own, _)| *own == name).map(|(_, field)| *field);
        return names.split(' ').map(named).collect();
    }
    let mut seen = Vec::new();
    o.take("send")?.list()?.all(|n| {
        let (path, faults) = (n.path, n.faults);
        let (_, field) = FIELDS.get(word(n, "an identity header", &words(&FIELDS))?)?;
        if seen.contains(field) {
            faults.add(&path, "is listed twice");
            return None;
        }
        seen.push(*field);
        Some(*field)
    })
}
