//! `passkeys`: what the gateway does with passkeys, and where it keeps them.

use std::time::Duration;

use super::{
    ActionSpec, InvalidCredentials, MethodSpec, RuleSpec,
    deciding::rate_limits_of_anyone,
    etcd::{CLUSTER, LOGIN, PASSWORD, PREFIX, TIMEOUT, URI, USER, server},
    faults::quoted,
    model::{Bound, Form, HOUR, Kind, MINUTE, SECOND, Shape, default, optional, required, words},
    names::Definitions,
    reader::Object,
    requirement::{BY_LOGIN, step_up},
    scalar::{name, word},
};
use crate::{
    crypto::Algorithm,
    origin::WebOrigin,
    passkeys::{CeremonyRule, PasskeyStoreSpec, PasskeysSpec},
    rbac::StepUp,
    request::path::Kept,
    route::RouteSpec,
    webauthn::{CounterPolicy, Origin, OtherAttestation, RelyingPartySpec},
};

const ENROLMENT: [(&str, bool); 2] = [("Accept", true), ("Refuse", false)];

const VERIFICATION: [(&str, bool); 2] = [("Required", true), ("Preferred", false)];

const ATTESTATION: [(&str, OtherAttestation); 2] =
    [("Refuse", OtherAttestation::Refused), ("Ignore", OtherAttestation::Ignored)];

const COUNTER: [(&str, CounterPolicy); 2] =
    [("Refuse", CounterPolicy::Refuse), ("Report", CounterPolicy::Report)];

const ALGORITHMS: [(&str, Algorithm); 3] =
    [("ES256", Algorithm::Es256), ("EdDSA", Algorithm::EdDsa), ("RS256", Algorithm::Rs256)];

pub(super) static PASSKEYS: Shape = Shape::bound(
    &[
        required(
            "relyingParty",
            Kind::Object(&RELYING_PARTY),
            "What passkeys are made for, see [relyingParty](#relyingparty).",
        ),
        default(
            "path",
            Kind::Text(Form::Path),
            "/.well-known/portcullis/webauthn/",
            "What the paths of all endpoints begin with; ends with `/`. The filter answers whatever is below it.",
        ),
        optional(
            "registration",
            Kind::Object(&REGISTRATION),
            "absent: enrolment codes alone",
            "Who may make a passkey, see [registration](#registration).",
        ),
        default(
            "userVerification",
            Kind::Choice("a choice", &words(&VERIFICATION)),
            "Required",
            "`Required`: whoever makes a passkey or signs in must prove to the authenticator who it is, by PIN, finger or \
             face. `Preferred`: a touch will do, and the session has no `acr`.",
        ),
        default(
            "timeout",
            Kind::Duration(30 * SECOND, HOUR),
            "5m",
            "How long a ceremony may take, from its options to its end. Autofill waits as long.",
        ),
        optional(
            "rateLimits",
            Kind::List("no limits; leave the field out", &Kind::Text(Form::LimitName)),
            "absent: none",
            "Names of `rateLimits` that apply to the endpoints, none that counts by `principal` or `apiKey`.",
        ),
        optional(
            "etcd",
            Kind::Object(&STORE),
            "",
            "Where passkeys are kept, see [passkeys.etcd](#passkeys-in-etcd).",
        ),
        optional(
            "sharedData",
            Kind::True("only true is allowed; name an etcd instead"),
            "",
            "They are kept in the memory of this Envoy, all of them in 256 KiB, and gone when it ends: to try them out.",
        ),
    ],
    &[Bound::One(&["etcd", "sharedData"])],
);

pub(super) static RELYING_PARTY: Shape = Shape::new(&[
    required(
        "id",
        Kind::Text(Form::Any),
        "The domain that passkeys are bound to, for good: the host of `origins` or one above it (`example.com`). Not an \
         address, not a public suffix; `localhost` for trying out.",
    ),
    optional("name", Kind::Text(Form::Any), "absent: `id`", "What users read of it."),
    required(
        "origins",
        Kind::List("no origins; no page could use passkeys", &Kind::Text(Form::Any)),
        "The pages that may use passkeys, each as `https://host` or with a port; apps as `android:apk-key-hash:..`. Those \
         of subdomains, too, must be named.",
    ),
    optional(
        "relatedOrigins",
        Kind::List("no origins; leave the field out", &Kind::Text(Form::Any)),
        "absent: none",
        "Pages of other domains that may use the same passkeys (WebAuthn Level 3, section 5.11). They are told at \
         `/.well-known/webauthn`, which must be reached at `https://` and `id`.",
    ),
    optional(
        "topOrigins",
        Kind::List("no origins; leave the field out", &Kind::Text(Form::Any)),
        "absent: pages in frames of other origins are refused",
        "Pages that may have one of `origins` in a frame.",
    ),
    optional(
        "algorithms",
        Kind::List("no algorithms; leave the field out", &Kind::Choice("an algorithm", &words(&ALGORITHMS))),
        "absent: `ES256`, `EdDSA`, `RS256`",
        "Of signatures, in the order of preference. Without `RS256` some computers have no authenticator that fits.",
    ),
    default(
        "otherAttestation",
        Kind::Choice("a choice", &words(&ATTESTATION)),
        "Ignore",
        "What becomes of attestation that is not understood, all but `none` and `packed` of the passkey itself: `Ignore`: \
         nobody vouches for the model. `Refuse`: the passkey is refused.",
    ),
    default(
        "counter",
        Kind::Choice("a choice", &words(&COUNTER)),
        "Refuse",
        "What becomes of a sign-in whose signature counter went back, as that of a copy does: `Refuse`, or `Report` it in \
         the decision record.",
    ),
]);

pub(super) static REGISTRATION: Shape = Shape::new(&[
    optional(
        "jwt",
        Kind::Text(Form::Name),
        "absent: nobody by a token",
        "The provider whose users may make passkeys. Sessions are for the same subjects (`sub`).",
    ),
    optional(
        "stepUp",
        Kind::Object(&BY_LOGIN),
        "absent: any token of the provider will do",
        "How the user must have logged in at the provider to make a passkey, as in [authorize](#authorize): \
         `acrValues`, `maxAge`.",
    ),
    default(
        "enrolmentCodes",
        Kind::Choice("a choice", &words(&ENROLMENT)),
        "Accept",
        "Whether whoever has a code of `portcullis passkey enrol` may make one.",
    ),
    default(
        "sessionMaxAge",
        Kind::Duration(MINUTE, HOUR),
        "10m",
        "How long ago, at most, whoever asks by a session must have signed in to make, rename or remove a passkey.",
    ),
]);

pub(super) static STORE: Shape = Shape::bound(&[URI, CLUSTER, PREFIX, TIMEOUT, USER, PASSWORD], &[LOGIN]);

/// What the section says.
pub(super) struct Passkeys {
    pub(super) spec: PasskeysSpec,
    pub(super) relying_party: RelyingPartySpec,
    pub(super) registration_step_up: Option<StepUp>,
}

/// Reads the section.
pub(super) fn passkeys(mut o: Object<'_>, defs: &Definitions) -> Option<Passkeys> {
    let relying_party = o.object("relyingParty").and_then(relying_party);
    let mut path = o.text("path");
    if let Some(text) = &path
        && (!text.ends_with('/') || text == "/")
    {
        path = o.fault_at("path", format!("{} must end with /, and be more than that", quoted(text)));
    }
    let registration = o.object_or_defaults("registration").and_then(|o| registration(o, defs));
    let user_verification = o.choice("userVerification", &VERIFICATION);
    let timeout = o.duration("timeout");
    let rate_limits = rate_limits_of_anyone(&mut o, defs);
    let etcd = o.object("etcd").and_then(|mut o| server(&mut o, "passkeys.etcd"));
    let shared = o.only_true("sharedData");
    let store = match (o.has("etcd"), o.has("sharedData")) {
        (true, true) => return o.fault_at("sharedData", "contradicts etcd; give one of them"),
        (true, false) => etcd.map(|server| PasskeyStoreSpec::Etcd(Box::new(server))),
        (false, true) => shared.map(|()| PasskeyStoreSpec::SharedData),
        (false, false) => return o.fault("names no store; give etcd, or sharedData: true to try it out"),
    };
    let Registration { provider, step_up, enrolment_codes, session_max_age } = registration?;
    let rate_limits = if o.has("rateLimits") { rate_limits? } else { Vec::new() };
    let spec = PasskeysSpec {
        path: path?,
        provider,
        enrolment_codes,
        requires_user_verification: user_verification?,
        timeout: timeout?,
        session_max_age,
        rate_limits,
        store: store?,
    };
    Some(Passkeys { spec, relying_party: relying_party?, registration_step_up: step_up })
}

fn relying_party(mut o: Object<'_>) -> Option<RelyingPartySpec> {
    let id = o.text("id");
    let name = if o.has("name") { o.text("name") } else { id.clone() };
    let own = origins(&mut o, "origins", Origin::parse);
    let related = o.has("relatedOrigins").then(|| origins(&mut o, "relatedOrigins", WebOrigin::parse));
    let top = o.has("topOrigins").then(|| origins(&mut o, "topOrigins", WebOrigin::parse));
    let algorithms = match o.has("algorithms") {
        true => algorithms(&mut o),
        false => Some(ALGORITHMS.map(|(_, algorithm)| algorithm).to_vec()),
    };
    let other_attestation = o.choice("otherAttestation", &ATTESTATION);
    let counter = o.choice("counter", &COUNTER);
    Some(RelyingPartySpec {
        id: id?,
        name: name?,
        origins: own?,
        related_origins: related.map_or(Some(Vec::new()), |related| related)?,
        top_origins: top.map_or(Some(Vec::new()), |top| top)?,
        algorithms: algorithms?,
        other_attestation: other_attestation?,
        counter: counter?,
    })
}

fn algorithms(o: &mut Object<'_>) -> Option<Vec<Algorithm>> {
    let mut seen = Vec::new();
    o.list("algorithms")?.all(|n| {
        let (path, faults) = (n.path, n.faults);
        let (_, algorithm) = ALGORITHMS.get(word(n, "an algorithm", &words(&ALGORITHMS))?)?;
        if seen.contains(algorithm) {
            faults.add(&path, "is listed twice");
            return None;
        }
        seen.push(*algorithm);
        Some(*algorithm)
    })
}

/// Origins, each as `parse` reads it.
fn origins<T>(
    o: &mut Object<'_>,
    name: &'static str,
    parse: impl Fn(&str) -> Result<T, &'static str>,
) -> Option<Vec<T>> {
    let mut parsed = Vec::new();
    o.texts_that(name, &mut |text, path, faults| match parse(text) {
        Ok(origin) => {
            parsed.push(origin);
            Some(())
        }
        Err(message) => {
            faults.add(path, message);
            None
        }
    })?;
    Some(parsed)
}

struct Registration {
    provider: Option<String>,
    step_up: Option<StepUp>,
    enrolment_codes: bool,
    session_max_age: Duration,
}

fn registration(mut o: Object<'_>, defs: &Definitions) -> Option<Registration> {
    let provider = match o.take("jwt") {
        None => None,
        Some(n) => {
            let (path, faults) = (n.path, n.faults);
            let provider = name(n)?;
            defs.providers.resolve(&provider, &path, faults)?;
            Some(provider)
        }
    };
    let asked = o.object("stepUp").and_then(|o| step_up(o, defs));
    if o.has("stepUp") && (asked.is_none() || provider.is_none()) {
        if provider.is_none() {
            o.fault_at::<()>("stepUp", "has no effect without jwt: nobody makes a passkey by a token");
        }
        return None;
    }
    if asked.as_ref().is_some_and(|asked| asked.passkey_options().is_some()) {
        return o.fault_at(
            "stepUp",
            "asks for a passkey of whoever is about to make one; give acrValues or maxAge",
        );
    }
    let enrolment_codes = o.choice("enrolmentCodes", &ENROLMENT)?;
    if provider.is_none() && !enrolment_codes {
        return o.fault("lets nobody make a passkey; name a provider in jwt, or accept enrolment codes");
    }
    let session_max_age = o.duration("sessionMaxAge")?;
    Some(Registration { provider, step_up: asked, enrolment_codes, session_max_age })
}

/// The rules that say who may ask the endpoints: those of rules like any other, but for what their requests come to. Another
/// rule that takes plain HTTP opens none of them where `require_tls`.
pub(super) fn ceremony_rules(
    spec: &PasskeysSpec,
    sessions: &str,
    require_tls: bool,
) -> [RuleSpec; CeremonyRule::ALL.len()] {
    let methods = || {
        let provider = spec.provider.iter().map(|provider| MethodSpec::Jwt(provider.clone()));
        provider.chain([MethodSpec::Jwt(sessions.to_owned())]).collect()
    };
    let own = || ActionSpec::Allow { authenticate: methods(), actor: None, optional: None, authorize: None };
    CeremonyRule::ALL.map(|ceremony| RuleSpec {
        name: ceremony.name().to_owned(),
        route: RouteSpec { hostnames: Vec::new(), matches: Vec::new(), kept: Kept::default() },
        action: match ceremony {
            CeremonyRule::Authentication => ActionSpec::AllowAnyone { pass_through: false, authorize: None },
            CeremonyRule::Registration if spec.enrolment_codes => ActionSpec::Allow {
                authenticate: methods(),
                actor: None,
                optional: Some(InvalidCredentials::Refuse),
                authorize: None,
            },
            CeremonyRule::Registration | CeremonyRule::Credentials => own(),
        },
        require_tls: require_tls.then_some(true),
        cors_preflight: false,
        end_streams: false,
        resource: None,
        rate_limits: spec.rate_limits.clone(),
        shadow: None,
    })
}
