//! `claims` of a token provider: which claims say who it is, and what it holds.

use super::{
    model::{Bound, Form, Kind, Shape, default, optional, required, words},
    reader::{Node, Object},
    scalar::claim_path,
};
use crate::{
    identity::ClaimPath,
    jose::IssuerTemplate,
    jwt::{RoleClaim, RoleForm},
};

const ONE_OR_MORE: Kind = Kind::Either(&[
    Kind::Claim,
    Kind::List("no claims; leave the field out to mean its default", &Kind::Claim),
]);

const ROLE_CLAIM_KIND: Kind = Kind::Either(&[Kind::Claim, Kind::Object(&ROLE_CLAIM)]);

const ROLE_CLAIMS: Kind = Kind::Either(&[
    Kind::Claim,
    Kind::Object(&ROLE_CLAIM),
    Kind::List("no claims; leave the field out to mean its default", &ROLE_CLAIM_KIND),
]);

static ROLE_CLAIM: Shape = Shape::bound(
    &[
        required("claim", Kind::Claim, "The claim."),
        optional(
            "separator",
            Kind::Text(Form::Any),
            "",
            "Stands between several roles in one string, as in `ADMIN,USER`. Blanks around roles are no part of them.",
        ),
        optional(
            "keys",
            Kind::True("only true is allowed; leave the field out for a claim that is a list or a string"),
            "",
            "The claim is an object, and its members are called as the roles are, whatever they hold.",
        ),
    ],
    &[Bound::One(&["separator", "keys"])],
);

const MALFORMED: [(&str, bool); 2] = [("Refuse", false), ("Ignore", true)];

pub(super) static CLAIMS: Shape = Shape::new(&[
    default(
        "subject",
        ONE_OR_MORE,
        "sub",
        "Becomes the principal's subject. The first that is present counts.",
    ),
    default(
        "numericSubject",
        Kind::Boolean,
        "false",
        "Whether the subject may be a whole number, which is read in decimal. RFC 7519 wants a string; with an issuer that \
         writes both, `7` and `\"7\"` are one subject.",
    ),
    default(
        "scopes",
        ONE_OR_MORE,
        "scope scp",
        "A space-separated string or a list. The first that is present counts.",
    ),
    optional(
        "roles",
        ROLE_CLAIMS,
        "absent: no roles",
        "All that are present count. Of a claim that is just named: a string or a list of strings; whole numbers count as \
         text, in decimal.",
    ),
    default(
        "malformedRoles",
        Kind::Choice("what to do with malformed roles", &words(&MALFORMED)),
        "Refuse",
        "What becomes of a token whose roles are of another form: `Refuse`, it is refused with 401 `token_claims`; `Ignore`, \
         nothing is known of its roles: rules that ask for roles or permissions refuse it, and so does `noneOf` with them.",
    ),
    optional(
        "tier",
        Kind::Claim,
        "absent: no tier",
        "A string or a whole number, `3` being the tier `\"3\"`. Selects the `tiers` of rate limits.",
    ),
    default(
        "tenant",
        Kind::Claim,
        "tid",
        "Where `issuer` has a variable: the claim that must say the same as stands in its place in `iss`.",
    ),
]);

pub(super) struct Claims {
    pub(super) subject: Option<Vec<ClaimPath>>,
    pub(super) numeric_subject: bool,
    pub(super) scopes: Option<Vec<ClaimPath>>,
    pub(super) roles: Option<Vec<RoleClaim>>,
    pub(super) ignore_malformed_roles: Option<bool>,
    pub(super) tier: Option<ClaimPath>,
    pub(super) tenant: Option<ClaimPath>,
}

/// `issuer`: `None` where it has a fault.
pub(super) fn claims(o: &mut Object<'_>, issuer: Option<&str>) -> Option<Claims> {
    let mut o = o.object_or_defaults("claims")?;
    if o.has("tenant") && issuer.is_some_and(|issuer| !IssuerTemplate::is_meant_by(issuer)) {
        o.fault_at::<()>("tenant", "has no effect: issuer has no variable in braces, so it is one tenant's");
    }
    Some(Claims {
        subject: claim_paths(&mut o, "subject"),
        numeric_subject: o.boolean("numericSubject"),
        scopes: claim_paths(&mut o, "scopes"),
        roles: role_claims(&mut o),
        ignore_malformed_roles: o.choice("malformedRoles", &MALFORMED),
        tier: o.claim("tier"),
        tenant: o.claim("tenant"),
    })
}

/// One claim, or a list of claims. A list of names within one claim is written `{path: [..]}`.
fn claim_paths(o: &mut Object<'_>, field: &'static str) -> Option<Vec<ClaimPath>> {
    if let Some(names) = o.left_out(field) {
        return Some(names.split(' ').map(ClaimPath::dotted).collect());
    }
    let node = o.take(field)?;
    if node.value.is_array() {
        return node.filled("no claims; leave the field out to mean its default")?.all(claim_path);
    }
    claim_path(node).map(|path| vec![path])
}

fn role_claims(o: &mut Object<'_>) -> Option<Vec<RoleClaim>> {
    let node = o.take("roles")?;
    if node.value.is_array() {
        return node.filled("no claims; leave the field out to mean its default")?.all(role_claim);
    }
    role_claim(node).map(|claim| vec![claim])
}

/// A claim, or an object that says how roles stand in it.
fn role_claim(node: Node<'_>) -> Option<RoleClaim> {
    let is_path = node.value.get("path").is_some();
    if is_path || !node.value.is_object() {
        return claim_path(node).map(|claim| RoleClaim { claim, form: RoleForm::Names });
    }
    let mut o = node.object(&ROLE_CLAIM)?;
    let claim = o.claim("claim");
    let separator = o.text("separator");
    let keys = o.only_true("keys");
    let form = match (o.has("separator"), o.has("keys")) {
        (true, true) => {
            o.fault("has roles in one string or as the keys of an object; give one of separator and keys")
        }
        (true, false) => separator.map(RoleForm::Separated),
        (false, true) => keys.map(|()| RoleForm::Keys),
        (false, false) => {
            o.fault("says no more than the claim; write the claim alone, or give separator or keys")
        }
    };
    Some(RoleClaim { claim: claim?, form: form? })
}
