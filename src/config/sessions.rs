//! `sessions`: tokens of the gateway's own, which are those of one more provider.

use std::time::Duration;

use super::{
    ProviderSpec, SigningKeysSpec,
    model::{DAY, Form, Kind, MINUTE, Shape, default, required},
    names::Definitions,
    reader::Object,
};
use crate::{
    identity::ClaimPath,
    jwt::{self, Issuer, KeySource, RoleClaim, RoleForm},
    request::Location,
    session::{self, SessionsSpec},
};

pub(super) static SESSIONS: Shape = Shape::new(&[
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
]);

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
    let path = o.path.to_string();
    let spec = SessionsSpec { name: name?, issuer: issuer?, audiences: audiences?, lifetime: lifetime? };
    let provider = provider(&spec, keys?, path);
    Some((spec, provider))
}

fn provider(spec: &SessionsSpec, keys: &SigningKeysSpec, path: String) -> ProviderSpec {
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
        locations: vec![Location::Header { name: "authorization".into(), prefix: "Bearer ".into() }],
        forward: false,
    };
    ProviderSpec { path, jwt, introspection: None, dpop: None, mtls: None }
}
