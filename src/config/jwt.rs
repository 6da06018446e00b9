//! `jwt`: the token issuers.

use hashbrown::HashSet;

use super::{
    ProviderSpec,
    algorithms::{PUBLIC, SHARED, named, not_accepted},
    binding::{self, DPOP, MTLS},
    extract_from::{EXTRACT_FROM, extract_from},
    introspection::{INTROSPECTION, introspection},
    issuer::issuer,
    keys::{DISCOVERY, JWKS, SYMMETRIC_KEY, key_source},
    model::{Bound, DAY, Form, Kind, MINUTE, SECOND, Shape, default, optional, required, words},
    names::Definitions,
    reader::{Node, Object},
    token_claims::{CLAIMS, claims},
};
use crate::{
    crypto::Algorithm,
    dpop,
    identity::ClaimPath,
    jwt::{self, ClaimHeaderSpec, HeaderForm, Issuer, KeySource},
    request::Location,
};

const NO_PROVIDERS: &str = "no providers; leave jwt out if no tokens are accepted";

pub(super) static JWT: Shape = Shape::new(&[required(
    "providers",
    Kind::List(NO_PROVIDERS, &Kind::Object(&PROVIDER)),
    "Token issuers, at least one.",
)]);

/// Names of all algorithms.
const ALL: [&str; 14] = Algorithm::names(&Algorithm::ALL);

const KEYS: [&str; 3] = ["jwks", "discovery", "symmetricKeys"];

pub(super) static PROVIDER: Shape = Shape::bound(
    &[
        required("name", Kind::Text(Form::Name), "What rules call it."),
        required(
            "issuer",
            Kind::Text(Form::Any),
            "Compared exactly with `iss`. With a variable in braces (`{tenantid}`) it stands for those of many [tenants\
             ](#tenants).",
        ),
        optional(
            "tenants",
            Kind::List("no tenants; nobody's tokens would be accepted", &Kind::Text(Form::Tenant)),
            "one of these two is required with a variable in `issuer`",
            "What may stand in place of the variable.",
        ),
        optional(
            "anyTenant",
            Kind::True("only true is allowed; list tenants instead"),
            "",
            "Accepts tokens of every tenant. Refused together with `tenants`.",
        ),
        default(
            "requireIssuer",
            Kind::Boolean,
            "true",
            "Whether a token must have `iss`. With `false` one without is taken as one of this provider, too, where it \
             stands in a place in which a rule looks for nobody else's. Refused with a variable in `issuer`.",
        ),
        optional(
            "audiences",
            Kind::List(
                "no audiences; write anyAudience: true to accept tokens for any audience",
                &Kind::Text(Form::Any),
            ),
            "one of these two is required",
            "One of them must be in `aud`.",
        ),
        optional(
            "anyAudience",
            Kind::True("only true is allowed; list audiences instead"),
            "",
            "Accepts tokens for any audience. Refused together with `audiences`.",
        ),
        optional(
            "algorithms",
            Kind::List("no algorithms; list those that the issuer signs with", &Kind::Algorithm(&ALL)),
            "required with keys",
            "The only algorithms accepted: with `jwks` or `discovery` those with public keys; `HS256`, `HS384` and \
             `HS512` with `symmetricKeys`. `Ed25519` is another name of `EdDSA`. `none` is never accepted.",
        ),
        optional("jwks", Kind::Object(&JWKS), "one of these four is required", "The public keys, see below."),
        optional(
            "discovery",
            Kind::Object(&DISCOVERY),
            "",
            "The public keys, where the issuer says that they are, see [discovery](#discovery).",
        ),
        optional(
            "symmetricKeys",
            Kind::List("no keys; nothing could be verified", &Kind::Object(&SYMMETRIC_KEY)),
            "",
            "Shared secrets, each at least as long as the hash: 32, 48 or 64 bytes (RFC 7518 section 3.2). Refused \
             together with `jwks` and `discovery`.",
        ),
        optional(
            "introspection",
            Kind::Object(&INTROSPECTION),
            "absent: the issuer is not asked",
            "How to ask the issuer about tokens, see [introspection](#introspection). Without keys it is asked about \
             every token; `algorithms` and `types` are then refused.",
        ),
        optional(
            "types",
            Kind::List(
                "no types; leave the field out to accept JWT, at+jwt or none",
                &Kind::Text(Form::TokenType),
            ),
            "absent: `JWT`, `at+jwt` or none",
            "Accepted `typ` values, without regard to case; `application/` may be left out. Where it is given, a \
             token without `typ` is refused.",
        ),
        optional(
            "awsLoadBalancers",
            Kind::List("no load balancers; leave the field out", &Kind::Text(Form::Any)),
            "absent: tokens of any other kind",
            "Its tokens are those of AWS load balancers with these ARNs, one of which must be `signer` of a token's header. \
             They are padded, which is refused otherwise, see [below](#tokens-of-aws-load-balancers).",
        ),
        // RFC 7519 section 4.1.4 asks for "usually no more than a few minutes".
        default("clockSkew", Kind::Duration(0, 5 * MINUTE), "60s", "Tolerance for `exp`, `nbf` and `iat`."),
        // At most what Envoy takes in all headers together by default (60 KiB), and a little more.
        default(
            "maxTokenSize",
            Kind::Number(256, 65_536),
            "8192",
            "A longer token, in bytes, is refused before it is read.",
        ),
        optional(
            "maxLifetime",
            Kind::Duration(SECOND, 3650 * DAY),
            "absent: not checked",
            "Longest `exp - iat`. When it is set, `iat` is required.",
        ),
        optional("claims", Kind::Object(&CLAIMS), "", "Which claims say who it is, and what it holds."),
        optional(
            "claimToHeaders",
            Kind::List("no claims; leave the field out", &Kind::Object(&CLAIM_TO_HEADER)),
            "absent: none",
            "Claims that go upstream as headers, see below.",
        ),
        optional(
            "forwardPayload",
            Kind::Text(Form::OwnHeader),
            "absent: not sent",
            "The header in which all claims go upstream, as one JSON object in base64url without padding.",
        ),
        optional(
            "extractFrom",
            Kind::Object(&EXTRACT_FROM),
            "the header `Authorization: Bearer`",
            "Where the token stands, see [extractFrom](#extractfrom).",
        ),
        default(
            "forward",
            Kind::Boolean,
            "false",
            "Whether the token itself goes upstream, where it stands. No other does. A DPoP proof never does.",
        ),
        optional("dpop", Kind::Object(&DPOP), "absent: tokens bound to a key are refused", "[dpop](#dpop)"),
        optional(
            "mtls",
            Kind::Object(&MTLS),
            "absent: as `Accepted`",
            "Whether tokens must be bound to a client certificate.",
        ),
    ],
    &[
        Bound::One(&["audiences", "anyAudience"]),
        Bound::Apart(&["tenants", "anyTenant"]),
        Bound::Some(&["jwks", "discovery", "symmetricKeys", "introspection"]),
        Bound::Apart(&KEYS),
        Bound::Given(
            &KEYS,
            &[Bound::Required("algorithms")],
            &[
                Bound::Forbidden("algorithms"),
                Bound::Forbidden("types"),
                Bound::Forbidden("awsLoadBalancers"),
            ],
        ),
    ],
);

static CLAIM_TO_HEADER: Shape = Shape::new(&[
    required("claim", Kind::Claim, "The claim."),
    required("header", Kind::Text(Form::OwnHeader), "The header in which it goes upstream."),
    default(
        "format",
        Kind::Choice("a format", &words(&FORMATS)),
        "Text",
        "How it stands there: `Text`, see below; `Json`, whatever it is, with `\\u` escapes for what is not ASCII; \
         `Base64Url`, the same in base64url without padding.",
    ),
]);

const FORMATS: [(&str, HeaderForm); 3] =
    [("Text", HeaderForm::Text), ("Json", HeaderForm::Json), ("Base64Url", HeaderForm::Base64Url)];

pub(super) fn providers(node: Node<'_>, defs: &mut Definitions) -> Vec<Option<ProviderSpec>> {
    // Until the list is seen: there is one, and it is not known.
    defs.providers.expect(1);
    let Some(mut o) = node.object(&JWT) else { return Vec::new() };
    let Some(node) = o.take("providers") else { return Vec::new() };
    defs.providers.expect(node.count());
    let Some(items) = node.filled(NO_PROVIDERS) else { return Vec::new() };
    items.each(|index, n| provider(n.object(&PROVIDER)?, index, defs))
}

fn provider(mut o: Object<'_>, index: usize, defs: &mut Definitions) -> Option<ProviderSpec> {
    let name = o.text("name");
    if let Some(name) = &name {
        defs.providers.define(name, index, (), &o.at("name"), o.faults);
    }
    let issuer_text = o.text("issuer");
    let audiences = audiences(&mut o);
    // Then the issuer's word is all there is.
    let keyless = o.has("introspection") && !o.has_one(&KEYS);
    let (algorithms, keys) = match keyless {
        true => (no_keys(&o), Some(KeySource::None)),
        false => (algorithms(&mut o), key_source(&mut o, issuer_text.as_deref())),
    };
    let introspection = o.object("introspection").and_then(|o| introspection(o, keyless));
    let types = if keyless { None } else { o.texts("types") };
    let load_balancers = if keyless { None } else { o.texts("awsLoadBalancers") };
    let clock_skew = o.duration("clockSkew");
    let max_token_size = o.number("maxTokenSize");
    let max_lifetime = o.duration("maxLifetime");
    let mut claims = claims(&mut o, issuer_text.as_deref());
    let tenant = claims.as_mut().and_then(|claims| claims.tenant.take());
    let issuer = issuer(&mut o, issuer_text, tenant, index, defs);
    let require_issuer = o.boolean("requireIssuer");
    if !require_issuer && matches!(issuer, Some(Issuer::Tenants(_))) {
        o.fault_at::<()>(
            "requireIssuer",
            "contradicts the variable in issuer: a token without iss is no tenant's",
        );
    }
    let claim_to_headers = o.objects("claimToHeaders", |o| claim_to_header(o, index, defs));
    let payload = forward_payload(&mut o, index, defs);
    let places = o.object("extractFrom").and_then(|o| extract_from(o, defs));
    let forward = o.boolean("forward");
    let dpop = o.object("dpop").and_then(binding::dpop);
    let mtls = o.object("mtls").and_then(|o| binding::mtls(o, defs));
    // A binding that is faulty must never become one that is not asked.
    if o.has("dpop") != dpop.is_some() || o.has("mtls") != mtls.is_some() {
        return None;
    }
    let (locations, cookie_origins) = places.map(|places| (places.locations, places.cookie_origins)).unzip();
    let mut locations = locations
        .unwrap_or_else(|| vec![Location::Header { name: "authorization".into(), prefix: "Bearer ".into() }]);
    if dpop.is_some() && locations.iter().any(Location::has_no_scheme) {
        let message = "proven tokens stand behind the scheme DPoP in authorization (RFC 9449 section 7.1), where extractFrom \
                       takes those without a scheme; look for these in another place";
        return o.fault_at("dpop", message);
    }
    if dpop.is_some() && !locations.contains(&dpop::location()) {
        locations.push(dpop::location());
    }
    let claims = claims?;
    let jwt = jwt::ProviderSpec {
        name: name?,
        issuer: issuer?,
        require_issuer,
        audiences: audiences?,
        algorithms: algorithms?,
        keys: keys?,
        types: types.unwrap_or_default(),
        load_balancers: load_balancers.unwrap_or_default(),
        clock_skew: clock_skew?,
        max_token_size: max_token_size?.try_into().ok()?,
        max_lifetime,
        subject_claims: claims.subject?,
        numeric_subject: claims.numeric_subject,
        scope_claims: claims.scopes?,
        role_claims: claims.roles.unwrap_or_default(),
        ignore_malformed_roles: claims.ignore_malformed_roles?,
        tier_claim: claims.tier,
        claim_to_headers: claim_to_headers.into_iter().flatten().chain(payload).collect(),
        locations,
        cookie_origins: cookie_origins.flatten(),
        forward,
    };
    defs.headers.keep_claims(&jwt);
    Some(ProviderSpec { path: o.path.to_string(), jwt, introspection, dpop, mtls })
}

/// `Some(None)`: waived in writing.
#[expect(clippy::option_option, reason = "the outer one is a fault, the inner one a waiver")]
fn audiences(o: &mut Object<'_>) -> Option<Option<Vec<String>>> {
    let audiences = o.texts("audiences");
    let any = o.only_true("anyAudience");
    match (o.has("audiences"), o.has("anyAudience")) {
        (true, true) => o.fault_at("anyAudience", "contradicts audiences; give one of them"),
        (true, false) => audiences.map(Some),
        (false, true) => any.map(|()| None),
        (false, false) => o.fault_at(
            "audiences",
            "required; a token for another service must not open this one (anyAudience: true waives it)",
        ),
    }
}

/// Shared secrets and public keys never meet: else a public key, which anyone knows, could be used as an HMAC
/// secret (RFC 8725 section 2.1).
fn algorithms(o: &mut Object<'_>) -> Option<Vec<Algorithm>> {
    if !o.has("algorithms") {
        return o.fault_at("algorithms", "required");
    }
    let symmetric = o.has("symmetricKeys");
    let mut seen = HashSet::new();
    o.list("algorithms")?.all(|mut n| {
        let text = n.text("an algorithm such as \"ES256\"")?;
        let Some(algorithm) = named(&text, &ALL) else {
            if text.eq_ignore_ascii_case("none") {
                return n.fault("none is never accepted: it means tokens without a signature");
            }
            let accepted: &[&str] = if symmetric { &SHARED } else { &PUBLIC };
            return n.fault(not_accepted(&text, accepted, n.faults));
        };
        if !seen.insert(algorithm) {
            return n.fault(format!("{text} is listed twice"));
        }
        match (algorithm.is_symmetric(), symmetric) {
            (true, false) => n.fault(format!(
                "{text} needs symmetricKeys and is refused together with a public key set: the keys are no secret"
            )),
            (false, true) => n.fault(format!("{text} needs jwks; symmetricKeys serve HS256, HS384 and HS512")),
            _ => Some(algorithm),
        }
    })
}

/// No algorithms, and nothing else that only JWTs have.
fn no_keys(o: &Object<'_>) -> Option<Vec<Algorithm>> {
    for field in ["algorithms", "types", "awsLoadBalancers"].into_iter().filter(|field| o.has(field)) {
        o.fault_at::<()>(field, "has no effect without jwks: the issuer is asked about every token");
    }
    Some(Vec::new())
}

fn claim_to_header(mut o: Object<'_>, provider: usize, defs: &mut Definitions) -> Option<ClaimHeaderSpec> {
    let claim = o.claim("claim");
    let form = o.choice("format", &FORMATS);
    let header = o.text("header");
    if let Some(header) = &header {
        defs.headers.take_for_claim(header, provider, &o.at("header"), o.faults);
    }
    Some(ClaimHeaderSpec { claim: claim?, header: header?, form: form? })
}

/// Everything that a token says, in one header.
fn forward_payload(o: &mut Object<'_>, provider: usize, defs: &mut Definitions) -> Option<ClaimHeaderSpec> {
    let header = o.text("forwardPayload")?;
    defs.headers.take_for_claim(&header, provider, &o.at("forwardPayload"), o.faults);
    Some(ClaimHeaderSpec { claim: ClaimPath(Vec::new()), header, form: HeaderForm::Base64Url })
}
