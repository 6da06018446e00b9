//! `authorize`: what a rule asks of a principal.

use std::time::Duration;

use super::{
    claim_conditions::{CLAIM_CONDITION, claim_condition},
    form::{self, Judge},
    model::{Bound, Field, Form, HOUR, Kind, SECOND, Shape, default, optional, required, words},
    names::{Definitions, PasskeyFacts},
    networks::networks,
    reader::Object,
    scalar::word,
};
use crate::rbac::{
    AlternativeSpec, ConditionsSpec, OwnerSpec, PasskeyUse, RequiredNames, RequirementSpec, StepUp,
};

const CONDITIONS: [&str; 9] =
    ["scopes", "permissions", "roles", "claims", "remoteAddress", "owner", "stepUp", "noneOf", "actor"];

/// Those that may be asked of an actor.
const OF_ACTOR: [&str; 6] = ["scopes", "permissions", "roles", "claims", "owner", "noneOf"];

/// Those that `noneOf` may hold.
const EXCLUDABLE: [&str; 5] = ["scopes", "permissions", "roles", "claims", "remoteAddress"];

const SCOPES: Field = optional("scopes", Kind::Names(Form::Scope), "", "Scopes of the token or key.");
const PERMISSIONS: Field = optional(
    "permissions",
    Kind::Names(Form::Permission),
    "",
    "Granted by roles, or by the key's level. Wildcards are refused here, and so is a permission that no role and no \
     level grants.",
);
const ROLES: Field = optional(
    "roles",
    Kind::Names(Form::Label),
    "",
    "Roles of the token or key itself. Must be defined in `roles`.",
);
const CLAIM_CONDITIONS: Kind = Kind::List(NOTHING, &Kind::Object(&CLAIM_CONDITION));
const EXCLUSIONS: Kind = Kind::List("excludes nothing; leave the field out", &Kind::Object(&EXCLUDED));

const CLAIMS: Field =
    optional("claims", CLAIM_CONDITIONS, "", "All of these hold, see [claims](#conditions-on-claims).");
const REMOTE_ADDRESS: Field = optional(
    "remoteAddress",
    Kind::List(NOTHING, &Kind::Text(Form::Network)),
    "",
    "The client's address is in one of these networks.",
);
const NONE_OF: Field = optional(
    "noneOf",
    EXCLUSIONS,
    "",
    "None of these holds, see [noneOf](#noneof). Each has conditions that hold together.",
);
const OWNER: Field = optional(
    "owner",
    Kind::Object(&BY_OWNER),
    "",
    "The variable, which every match of the rule must have, equals the claim, or a member of it where it is a list \
     (the first 4096 of them), see below.",
);
const STEP_UP: Field = optional(
    "stepUp",
    Kind::Object(&BY_LOGIN),
    "",
    "How the user must have logged in (RFC 9470), see below.",
);

const ACTOR: Field = optional(
    "actor",
    Kind::Object(&BY_ACTOR),
    "",
    "What the actor itself needs, on a rule with [allOf](#allof): `scopes`, `permissions`, `roles`, `claims`, `owner` and \
     `noneOf`, as here.",
);

/// Conditions, or `anyOf` with a list of [`ALTERNATIVE`]s.
pub(super) static AUTHORIZE: Shape = Shape::bound(
    &[
        optional(
            "anyOf",
            Kind::List("no alternatives; nobody would pass", &Kind::Object(&ALTERNATIVE)),
            "",
            "Alternatives, of which one must hold.",
        ),
        SCOPES,
        PERMISSIONS,
        ROLES,
        CLAIMS,
        REMOTE_ADDRESS,
        OWNER,
        STEP_UP,
        NONE_OF,
        ACTOR,
    ],
    &[Bound::Given(
        &["anyOf"],
        &[
            Bound::Forbidden("scopes"),
            Bound::Forbidden("permissions"),
            Bound::Forbidden("roles"),
            Bound::Forbidden("claims"),
            Bound::Forbidden("remoteAddress"),
            Bound::Forbidden("owner"),
            Bound::Forbidden("stepUp"),
            Bound::Forbidden("noneOf"),
            Bound::Forbidden("actor"),
        ],
        &[Bound::Some(&CONDITIONS)],
    )],
);

/// Conditions that must all hold.
pub(super) static ALTERNATIVE: Shape = Shape::bound(
    &[SCOPES, PERMISSIONS, ROLES, CLAIMS, REMOTE_ADDRESS, OWNER, STEP_UP, NONE_OF, ACTOR],
    &[Bound::Some(&CONDITIONS)],
);

/// Conditions of an actor that must all hold.
pub(super) static BY_ACTOR: Shape =
    Shape::bound(&[SCOPES, PERMISSIONS, ROLES, CLAIMS, OWNER, NONE_OF], &[Bound::Some(&OF_ACTOR)]);

/// Conditions that must not all hold.
static EXCLUDED: Shape =
    Shape::bound(&[SCOPES, PERMISSIONS, ROLES, CLAIMS, REMOTE_ADDRESS], &[Bound::Some(&EXCLUDABLE)]);

static BY_OWNER: Shape = Shape::new(&[
    required("pathVariable", Kind::Text(Form::Name), "A variable of the path."),
    default(
        "claim",
        Kind::Claim,
        "sub",
        "A claim of the token; of an API key its client, of a certificate its name.",
    ),
]);

pub(super) static BY_LOGIN: Shape = Shape::bound(
    &[
        // In a challenge they are joined by spaces, as scopes are.
        optional(
            "acrValues",
            Kind::List(NOTHING, &Kind::Text(Form::Scope)),
            "",
            "One of these is the token's `acr`.",
        ),
        optional(
            "maxAge",
            Kind::Duration(SECOND, 8760 * HOUR),
            "",
            "How long ago the user logged in at most, in whole seconds.",
        ),
        optional(
            "passkey",
            Kind::Object(&BY_PASSKEY),
            "",
            "How a passkey of [passkeys](#passkeys) must have been used, see below.",
        ),
    ],
    &[Bound::Some(&["acrValues", "maxAge", "passkey"])],
);

static BY_PASSKEY: Shape = Shape::bound(
    &[
        optional(
            "maxAge",
            Kind::Duration(SECOND, 8760 * HOUR),
            "",
            "The token is a session, and its user signed in so long ago at most, in whole seconds.",
        ),
        optional(
            "boundTo",
            Kind::List(NOTHING, &Kind::Choice("a part of a request", &words(&PARTS))),
            "",
            "The user confirms this very request, once: its method, host and path with the query (`Method`, `Path`), which a \
             confirmation is always bound to, and its `Body`, where that is listed.",
        ),
    ],
    &[Bound::One(&["maxAge", "boundTo"])],
);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Method,
    Path,
    Body,
}

const PARTS: [(&str, Part); 3] = [("Method", Part::Method), ("Path", Part::Path), ("Body", Part::Body)];

const NOTHING: &str = "asks for nothing; leave the field out";

/// Of names that are not a mere list.
pub(super) static NAMES: Shape = Shape::bound(
    &[
        optional("anyOf", Kind::List(NOTHING, &Kind::Text(Form::Any)), "", "One of these."),
        optional("allOf", Kind::List(NOTHING, &Kind::Text(Form::Any)), "", "All of these."),
    ],
    &[Bound::One(&["anyOf", "allOf"])],
);

/// Conditions that must all hold, or `anyOf` a list of such.
pub(super) fn authorize(mut o: Object<'_>, defs: &Definitions) -> Option<RequirementSpec> {
    if !o.has("anyOf") {
        return Some(RequirementSpec { any_of: vec![alternative(o, defs)?], listed: false });
    }
    for field in CONDITIONS.into_iter().filter(|field| o.has(field)) {
        o.fault_at::<()>(field, "contradicts anyOf; move it into each alternative");
    }
    let any_of = o.objects("anyOf", |o| alternative(o, defs))?;
    Some(RequirementSpec { any_of, listed: true })
}

fn alternative(mut o: Object<'_>, defs: &Definitions) -> Option<AlternativeSpec> {
    let held = held(&mut o, defs);
    let step_up = o.object("stepUp").and_then(|o| step_up(o, defs));
    let actor = o.object("actor").and_then(|o| actor(o, defs));
    if !o.has_one(&CONDITIONS) {
        return o.fault(
            "asks for nothing; give scopes, permissions, roles, claims, remoteAddress, owner, stepUp, noneOf or actor",
        );
    }
    // A condition that is faulty must never become one that is not asked.
    if o.has("stepUp") != step_up.is_some() || o.has("actor") != actor.is_some() {
        return None;
    }
    Some(AlternativeSpec { step_up, actor: actor.map(Box::new), ..held? })
}

fn actor(mut o: Object<'_>, defs: &Definitions) -> Option<AlternativeSpec> {
    let held = held(&mut o, defs);
    if !o.has_one(&OF_ACTOR) {
        return o.fault("asks for nothing; give scopes, permissions, roles, claims, owner or noneOf");
    }
    held
}

/// What whoever it is must hold, or must not. `None` where one of that is faulty.
fn held(o: &mut Object<'_>, defs: &Definitions) -> Option<AlternativeSpec> {
    let asked = conditions(o, defs);
    let owner = o.object("owner").and_then(owner);
    let none_of = o.objects("noneOf", |mut o| {
        if !o.has_one(&EXCLUDABLE) {
            return o.fault("excludes nobody; give scopes, permissions, roles, claims or remoteAddress");
        }
        conditions(&mut o, defs)
    });
    if o.has("owner") != owner.is_some() || o.has("noneOf") != none_of.is_some() {
        return None;
    }
    let none_of = none_of.unwrap_or_default();
    Some(AlternativeSpec { conditions: asked?, owner, none_of, ..AlternativeSpec::default() })
}

/// Those of the conditions that are given. `None` where one is faulty.
fn conditions(o: &mut Object<'_>, defs: &Definitions) -> Option<ConditionsSpec> {
    let scopes = names(o, "scopes", &mut |_, _, _| Some(()));
    let permissions = names(o, "permissions", &mut |permission, path, faults| {
        defs.grants.check(permission, path, faults);
        Some(())
    });
    let roles = names(o, "roles", &mut |role, path, faults| defs.roles.resolve(role, path, faults).copied());
    let claims = o.objects("claims", claim_condition);
    // It is the request's, so it is not asked of an actor.
    let has_address = o.shape.field("remoteAddress").is_some();
    let remote_address = has_address.then(|| networks(&mut *o, "remoteAddress")).flatten();
    let read = [
        ("scopes", scopes.is_some()),
        ("permissions", permissions.is_some()),
        ("roles", roles.is_some()),
        ("claims", claims.is_some()),
        ("remoteAddress", remote_address.is_some()),
    ];
    if read.iter().any(|(field, read)| o.has(field) != *read) {
        return None;
    }
    Some(ConditionsSpec {
        scopes,
        permissions,
        roles,
        claims: claims.unwrap_or_default(),
        remote_address: remote_address.unwrap_or_default(),
    })
}

/// RFC 9470: how the user must have logged in.
pub(super) fn step_up(mut o: Object<'_>, defs: &Definitions) -> Option<StepUp> {
    let acr_values = o.texts("acrValues");
    let max_age = whole_seconds(&mut o);
    let passkey = o.object("passkey").and_then(|o| passkey(o, defs));
    if !o.has_one(&["acrValues", "maxAge", "passkey"]) {
        return o.fault("asks for nothing; give acrValues, maxAge or passkey");
    }
    let read =
        [("acrValues", acr_values.is_some()), ("maxAge", max_age.is_some()), ("passkey", passkey.is_some())];
    if read.iter().any(|(field, read)| o.has(field) != *read) {
        return None;
    }
    Some(StepUp { acr_values: acr_values.unwrap_or_default(), max_age, passkey })
}

fn whole_seconds(o: &mut Object<'_>) -> Option<Duration> {
    let max_age = o.duration("maxAge")?;
    if max_age.subsec_nanos() != 0 {
        return o.fault_at("maxAge", "must be in whole seconds (RFC 9470 section 3)");
    }
    Some(max_age)
}

fn passkey(mut o: Object<'_>, defs: &Definitions) -> Option<PasskeyUse> {
    let max_age = whole_seconds(&mut o);
    let bound_to = bound_to(&mut o);
    match (o.has("maxAge"), o.has("boundTo")) {
        (true, true) => return o.fault_at("boundTo", "contradicts maxAge; give one of them"),
        (false, false) => return o.fault("asks for nothing; give maxAge or boundTo"),
        _ => {}
    }
    let Some(PasskeyFacts { sessions, path }) = &defs.passkeys else {
        return o.fault("there are no passkeys; the policy needs the section passkeys");
    };
    match max_age {
        Some(max_age) => Some(PasskeyUse::SignIn {
            sessions: sessions.clone(),
            max_age,
            options: format!("{path}authentication/options"),
        }),
        None => Some(PasskeyUse::Confirmation {
            with_body: bound_to?.contains(&Part::Body),
            options: format!("{path}step-up/options"),
        }),
    }
}

fn bound_to(o: &mut Object<'_>) -> Option<Vec<Part>> {
    let mut parts = Vec::new();
    o.list("boundTo")?.all(|n| {
        let (path, faults) = (n.path, n.faults);
        let (_, part) = PARTS.get(word(n, "a part of a request", &words(&PARTS))?)?;
        if parts.contains(part) {
            faults.add(&path, "is listed twice");
            return None;
        }
        parts.push(*part);
        Some(())
    })?;
    if ![Part::Method, Part::Path].iter().all(|part| parts.contains(part)) {
        return o.fault_at("boundTo", "must list Method and Path, which a confirmation is always bound to");
    }
    Some(parts)
}

/// Names of the form that is declared for the field, each of which `judge` passes.
fn names(o: &mut Object<'_>, field: &'static str, judge: Judge<'_>) -> Option<RequiredNames> {
    let Some(&Field { kind: Kind::Names(form), .. }) = o.shape.field(field) else { return None };
    let node = o.take(field)?;
    if node.value.is_array() {
        return form::texts(node, NOTHING, form, judge).map(RequiredNames::All);
    }
    if !node.value.is_object() {
        return node.mismatch("a list, {anyOf: [..]} or {allOf: [..]}");
    }
    let mut o = node.object(&NAMES)?;
    let any = o.take("anyOf").and_then(|n| form::texts(n, NOTHING, form, &mut *judge));
    let all = o.take("allOf").and_then(|n| form::texts(n, NOTHING, form, &mut *judge));
    match (o.has("anyOf"), o.has("allOf")) {
        (true, true) => o.fault("give one of anyOf and allOf"),
        (false, false) => o.fault("asks for nothing; give anyOf or allOf"),
        _ => any.map(RequiredNames::Any).or(all.map(RequiredNames::All)),
    }
}

fn owner(mut o: Object<'_>) -> Option<OwnerSpec> {
    let path_variable = o.text("pathVariable");
    let claim = o.claim("claim");
    Some(OwnerSpec { path_variable: path_variable?, claim: claim? })
}
