//! `sessions`: tokens of the gateway's own, which are those of one more provider.

use std::time::Duration;

use super::{
    ProviderSpec, SigningKeysSpec,
    binding::{self, DPOP, MTLS},
    extract_from::origins,
    model::{Bound, DAY, Form, Kind, MINUTE, Shape, default, optional, required, words},
    names::Definitions,
    reader::Object,
};
use crate::{
    confirmation::BindingMode,
    cross_site::Origins,
    dpop,
    identity::ClaimPath,
    jwt::{self, Issuer, KeySource, RoleClaim, RoleForm},
    request::Location,
    session::{self, CookieSpec, SameSite, SessionsSpec},
};

pub(super) static SESSIONS: Shape = Shape::bound(
    &[
        default(
            "name",
            Kind::Text(Form::Name),
            "sessions",
            "What rules call them, as the provider of the tokens that they are: `{jwt: sessions}`.",
        ),
        required("issuer", Kind::Url { https: true }, "`iss` of sessions: a URL of the gateway."),
        required(
            "audiences",
            Kind::List("no audiences; name what sessions are for", &Kind::Text(Form::Any)),
            "`aud` of sessions, all of them; one of them must be in it where a session is shown.",
        ),
        default(
            "lifetime",
            Kind::Duration(MINUTE, DAY),
            "15m",
            "How long a session is good. Then its user signs in again.",
        ),
        optional(
            "cookie",
            Kind::Object(&COOKIE),
            "absent: sessions are bearer tokens alone",
            "Browsers get their session in a cookie, which is looked for beside `Authorization: Bearer`. `{}` means the \
             defaults.",
        ),
        optional(
            "dpop",
            Kind::Object(&DPOP),
            "absent: sessions are bound to no key",
            "Whoever signs in with a DPoP proof for that request (RFC 9449 section 5) gets a session that is bound to its key \
             (`cnf.jkt`), as text and in no cookie. `mode` says whether everybody must.",
        ),
        optional(
            "mtls",
            Kind::Object(&MTLS),
            "absent: sessions are bound to no certificate",
            "Whoever signs in with a client certificate gets a session that is bound to it (`cnf.x5t#S256`, RFC 8705). `mode` \
             says whether everybody must.",
        ),
        optional(
            "origins",
            Kind::List(
                "no origins; leave the field out to take the pages of the request's own host alone",
                &Kind::Text(Form::Origin),
            ),
            "absent: that of the host that a request is for",
            "The origins whose pages may send the cookie with requests that change something, see below. Refused without \
             `cookie`.",
        ),
    ],
    &[Bound::Given(&["cookie"], &[], &[Bound::Forbidden("origins")])],
);

static COOKIE: Shape = Shape::new(&[
    default(
        "name",
        Kind::Text(Form::HostCookie),
        "__Host-session",
        "Its name. With `__Host-` browsers take it from this host alone, over TLS.",
    ),
    default(
        "sameSite",
        Kind::Choice("a choice", &words(&SAME_SITE)),
        "Strict",
        "`Strict`: browsers send it with no request from another site. `Lax`: also where a user follows a link from there.",
    ),
]);

const SAME_SITE: [(&str, SameSite); 2] = [("Strict", SameSite::Strict), ("Lax", SameSite::Lax)];

/// How far apart the clocks of several gateways may be.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// The section, and the provider that it makes. `keys`: `None` where they have a fault, or are not there.
pub(super) fn sessions(
    mut o: Object<'_>,
    keys: Option<&SigningKeysSpec>,
    index: usize,
    defs: &mut Definitions,
) -> Option<(SessionsSpec, ProviderSpec)> {
    let name = o.text("name");
    if let Some(name) = &name {
        defs.providers.define(name, index, (), &o.at("name"), o.faults);
    }
    let issuer = o.url("issuer");
    if let Some(issuer) = &issuer {
        defs.issuers.define(issuer.as_str(), index, (), &o.at("issuer"), o.faults);
    }
    let audiences = o.texts("audiences");
    let lifetime = o.duration("lifetime");
    let dpop = o.object("dpop").and_then(binding::dpop);
    let mtls = o.object("mtls").and_then(|o| binding::mtls(o, defs));
    // A binding that is faulty must never become one that is not asked.
    if o.has("dpop") != dpop.is_some() || o.has("mtls") != mtls.is_some() {
        return None;
    }
    if dpop.as_ref().is_some_and(|dpop| dpop.mode == BindingMode::Required) && o.has("cookie") {
        return o.fault_at(
            "cookie",
            "contradicts dpop.mode: Required, for no browser proves a key with a cookie",
        );
    }
    let has_cookie = o.has("cookie");
    let origins = own_origins(&mut o);
    let cookie = cookie(&mut o, origins, defs);
    if has_cookie != cookie.is_some() {
        return None;
    }
    let path = o.path.to_string();
    let spec =
        SessionsSpec { name: name?, issuer: issuer?, audiences: audiences?, lifetime: lifetime?, cookie };
    let provider = ProviderSpec { dpop, mtls, ..provider(&spec, keys?, path) };
    Some((spec, with_proofs(provider)))
}

/// Whose pages may have the cookie sent; `None`: there is a fault.
fn own_origins(o: &mut Object<'_>) -> Option<Origins> {
    match (o.has("origins"), o.has("cookie")) {
        (false, _) => Some(Origins::default()),
        (true, true) => origins(o, "origins"),
        (true, false) => {
            o.fault_at("origins", "has no effect without cookie: no page can send a bearer token unasked")
        }
    }
}

fn cookie(o: &mut Object<'_>, origins: Option<Origins>, defs: &mut Definitions) -> Option<CookieSpec> {
    let mut section = o.object("cookie")?;
    let name = section.text("name");
    let same_site = section.choice("sameSite", &SAME_SITE);
    if let Some(name) = &name {
        defs.cookies.note_credential(name, &section.at("name"));
    }
    Some(CookieSpec { name: name?, same_site: same_site?, origins: origins? })
}

/// Looks for proven sessions behind the scheme of theirs, too.
fn with_proofs(mut provider: ProviderSpec) -> ProviderSpec {
    if provider.dpop.is_some() {
        provider.jwt.locations.push(dpop::location());
    }
    provider
}

fn provider(spec: &SessionsSpec, keys: &SigningKeysSpec, path: String) -> ProviderSpec {
    let mut locations = vec![Location::Header { name: "authorization".into(), prefix: "Bearer ".into() }];
    let cookie = spec.cookie.as_ref();
    locations.extend(cookie.map(|cookie| Location::Cookie(cookie.name.clone())));
    let jwt = jwt::ProviderSpec {
        name: spec.name.clone(),
        issuer: Issuer::One(spec.issuer.as_str().to_owned()),
        require_issuer: true,
        audiences: Some(spec.audiences.clone()),
        algorithms: keys.keys.algorithms().to_vec(),
        keys: KeySource::Inline(keys.keys.set().clone()),
        types: vec![session::TYPE.to_owned()],
        clock_skew: CLOCK_SKEW,
        load_balancers: Vec::new(),
        max_token_size: session::MAX_SIZE,
        max_lifetime: None,
        subject_claims: vec![ClaimPath::dotted("sub")],
        numeric_subject: false,
        scope_claims: vec![ClaimPath::dotted("scope")],
        role_claims: vec![RoleClaim { claim: ClaimPath::dotted("roles"), form: RoleForm::Names }],
        ignore_malformed_roles: false,
        tier_claim: None,
        claim_to_headers: Vec::new(),
        locations,
        cookie_origins: cookie.map(|cookie| cookie.origins.clone()),
        forward: false,
    };
    ProviderSpec { path, jwt, introspection: None, dpop: None, mtls: None }
}
