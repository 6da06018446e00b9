//! The document as a whole: which sections it has, and in which order they are read.

use serde_json::Value;

use super::{
    Document, Interlock, PasskeysSection, ProviderSpec, Rejected, RuleSpec, SigningKeysSpec,
    access_log::{ACCESS_LOG, access_log},
    api_keys::{API_KEYS, api_keys},
    client_certificates::{CLIENT_CERTIFICATES, client_certificates},
    decision_log::{DECISION_LOG, decision_log},
    digest::digest,
    faults::{Faults, Path, quoted},
    hmac::{self, HMAC},
    identity_headers::{IDENTITY_HEADERS, identity_headers},
    input::{self, Apart, Input},
    jwt::{JWT, providers},
    message_signatures::{self, MESSAGE_SIGNATURES},
    metrics::{METRICS, metrics},
    model::{Bound, Form, Kind, Shape, default, optional, required, words},
    names::{Definitions, PasskeyFacts},
    passkeys::{PASSKEYS, Passkeys, ceremony_rules, passkeys},
    protected_resource::{
        MOST_RESOURCES, NAMED_RESOURCE, NO_RESOURCES, PROTECTED_RESOURCE, protected_resources,
    },
    rate_limits::{LIMIT, rate_limits},
    reader::{Node, Object},
    request_headers::{REQUEST_HEADERS, request_headers},
    revocation::{REVOCATION, revocation},
    roles::{ROLE, roles},
    rules::{RULE, rules},
    sessions::{SESSIONS, sessions},
    shadow::{SHADOW, shadow_rules},
    signing_keys::{SIGNING_KEYS, signing_keys},
    transport::{TRANSPORT, transport},
};
use crate::{passkeys::CONFIRMATION_HEADER, rate_limit::LimitSpec, session::SessionsSpec};

/// Reads a policy: JSON text or a serialized `google.protobuf.Struct`, at most [`super::MAX_POLICY_BYTES`].
///
/// # Errors
///
/// Every fault of form and every name that is unknown, repeated or out of place; never empty. Paths are those
/// of the document as written.
pub fn decode(bytes: &[u8]) -> Result<Document, Rejected> {
    let faults = Faults::default();
    let mut lists = Lists::default();
    let document = input(bytes, &faults).and_then(|(Input { value, apart }, digest)| {
        let mut defs = Definitions::default();
        let node = Node { value, path: Path::Root, faults: &faults };
        Some(Document { digest, ..document(node.object(&DOCUMENT)?, apart, &mut defs, &mut lists)? })
    });
    match faults.judge(document) {
        Ok(document) => Ok(Document {
            providers: whole(lists.providers),
            rate_limits: whole(lists.rate_limits),
            rules: whole(lists.rules),
            shadow_rules: whole(lists.shadow_rules),
            ..document
        }),
        Err(faults) => Err(Rejected {
            faults,
            providers: whole(lists.providers),
            rate_limits: sound(lists.rate_limits),
            rules: sound(lists.rules),
            shadow_rules: sound(lists.shadow_rules),
        }),
    }
}

/// What stands in the document, and its digest.
fn input<'t>(bytes: &'t [u8], faults: &Faults) -> Option<(Input<'t>, [u8; 32])> {
    let apart = input::apart(bytes);
    if let Some(input) = apart
        && let Some(digest) = digest(&input)
    {
        return Some((input, digest));
    }
    // Something is wrong with it: so that all faults are told as they come, it is read as a whole. Or it is a Struct.
    let input = Input { value: input::parse(bytes, faults)?, apart: Apart::default() };
    let digest = digest(&input)?;
    Some((input, digest))
}

const RATE_LIMIT_HEADERS: [(&str, bool); 2] = [("Denied", false), ("Always", true)];

pub(super) static DOCUMENT: Shape = Shape::bound(
    &[
        default("realm", Kind::Text(Form::Realm), "portcullis", "`realm` of `WWW-Authenticate` challenges."),
        optional("transport", Kind::Object(&TRANSPORT), "TLS required", "[transport](#transport)"),
        default(
            "maxPathLength",
            Kind::Number(256, 65_536),
            "8192",
            "A longer path, with its query, in bytes, is refused with 414. Envoy takes 60 KiB for all headers together, but \
             for `max_request_headers_kb`.",
        ),
        optional("jwt", Kind::Object(&JWT), "no tokens of others are accepted", "[jwt](#jwt)"),
        optional(
            "signingKeys",
            Kind::Object(&SIGNING_KEYS),
            "required with `sessions`",
            "The gateway's own keys, see [signingKeys](#signingkeys).",
        ),
        optional(
            "sessions",
            Kind::Object(&SESSIONS),
            "there are none",
            "Tokens of the gateway's own, see [sessions](#sessions).",
        ),
        optional(
            "passkeys",
            Kind::Object(&PASSKEYS),
            "none are used",
            "Passkeys that the gateway keeps itself, see [passkeys](#passkeys).",
        ),
        optional(
            "protectedResource",
            Kind::Object(&PROTECTED_RESOURCE),
            "clients are told nothing",
            "One API, to which all rules belong, see [protectedResource](#protectedresource).",
        ),
        optional(
            "protectedResources",
            Kind::Few(MOST_RESOURCES, NO_RESOURCES, &Kind::Object(&NAMED_RESOURCE)),
            "clients are told nothing",
            "Several APIs, see [protectedResources](#protectedresources).",
        ),
        optional("apiKeys", Kind::Object(&API_KEYS), "no API keys are accepted", "[apiKeys](#apikeys)"),
        optional(
            "clientCertificates",
            Kind::Object(&CLIENT_CERTIFICATES),
            "no certificate is looked at",
            "[clientCertificates](#clientcertificates)",
        ),
        optional("hmac", Kind::Object(&HMAC), "no webhooks are accepted", "[hmac](#hmac)"),
        optional(
            "messageSignatures",
            Kind::Object(&MESSAGE_SIGNATURES),
            "no signed requests are accepted",
            "[messageSignatures](#messagesignatures)",
        ),
        optional("revocation", Kind::Object(&REVOCATION), "nothing is revoked", "[revocation](#revocation)"),
        optional(
            "roles",
            Kind::List("no roles; leave the field out", &Kind::Object(&ROLE)),
            "no roles",
            "[roles](#roles)",
        ),
        optional(
            "rateLimits",
            Kind::List("no limits; leave the field out", &Kind::Object(&LIMIT)),
            "no limits",
            "[rateLimits](#ratelimits)",
        ),
        required(
            "rules",
            Kind::List("no rules; every request would be refused", &Kind::Object(&RULE)),
            "[rules](#rules)",
        ),
        optional(
            "shadow",
            Kind::Object(&SHADOW),
            "absent: nothing decides beside the rules in force, but what they and `rateLimits` say themselves",
            "The next list of rules, which decides beside the one in force, see [shadow](#shadow).",
        ),
        default(
            "defaultAction",
            Kind::Choice("an action", &["Deny"]),
            "Deny",
            "What no rule matches is denied. Nothing else may be written here: to allow the rest, write a last rule \
             without `matches`.",
        ),
        optional(
            "identityHeaders",
            Kind::Object(&IDENTITY_HEADERS),
            "as below",
            "[identityHeaders](#identityheaders)",
        ),
        optional(
            "requestHeaders",
            Kind::Object(&REQUEST_HEADERS),
            "as below",
            "[requestHeaders](#requestheaders)",
        ),
        default(
            "interlock",
            Kind::Either(&[Kind::Boolean, Kind::Object(&INTERLOCK)]),
            "true",
            "Whether each allowed request is marked with filter state, so that Envoy's `rbac` filter behind this one \
             can refuse what lacks it; the configurations in `envoy/` have that filter.",
        ),
        optional(
            "accessLog",
            Kind::Object(&ACCESS_LOG),
            "nothing is told",
            "What Envoy's access log may say of decisions, see [below](#what-access-logs-say).",
        ),
        optional("decisionLog", Kind::Object(&DECISION_LOG), "", "Which decisions are recorded."),
        optional("metrics", Kind::Object(&METRICS), "", "What Envoy's stats say beside what they always do."),
        default(
            "rateLimitHeaders",
            Kind::Choice("a choice", &words(&RATE_LIMIT_HEADERS)),
            "Denied",
            "Whether `RateLimit` and `RateLimit-Policy` stand on 429 answers only, or on allowed answers too.",
        ),
    ],
    &[
        Bound::Given(&["protectedResource", "protectedResources"], &[Bound::Required("jwt")], &[]),
        Bound::Apart(&["protectedResource", "protectedResources"]),
        Bound::Given(&["sessions"], &[Bound::Required("signingKeys")], &[]),
        Bound::Given(&["passkeys"], &[Bound::Required("sessions")], &[]),
    ],
);

static INTERLOCK: Shape = Shape::new(&[required(
    "mark",
    Kind::Text(Form::Label),
    "What the filter state is called, behind `wasm.`.",
)]);

/// The lists whose good items their features judge although other items are bad ([`super::reader::Items::each`]).
#[derive(Default)]
struct Lists {
    providers: Vec<Option<ProviderSpec>>,
    rate_limits: Vec<Option<LimitSpec>>,
    rules: Vec<Option<RuleSpec>>,
    shadow_rules: Vec<Option<RuleSpec>>,
}

/// The items of a list in which none has a fault.
fn whole<T>(items: Vec<Option<T>>) -> Vec<T> {
    items.into_iter().flatten().collect()
}

/// The items of a list that have no fault, each with its place.
fn sound<T>(items: Vec<Option<T>>) -> Vec<(usize, T)> {
    items.into_iter().enumerate().filter_map(|(place, item)| Some((place, item?))).collect()
}

/// Reads the sections, in such an order that what a section refers to was read before it. `apart` are the lists
/// that do not stand in `o`.
fn document(
    mut o: Object<'_>,
    apart: Apart<'_>,
    defs: &mut Definitions,
    lists: &mut Lists,
) -> Option<Document> {
    let realm = o.text("realm");
    let transport = o.object_or_defaults("transport").map(transport);
    let max_path_length = o.number("maxPathLength");
    (defs.signing_keys, defs.sessions) = (o.has("signingKeys"), o.has("sessions"));
    // The headers are owned, and their names taken, whether or not the document names them.
    let identity_headers = o.object_or_defaults("identityHeaders").and_then(|o| identity_headers(o, defs));
    let roles = roles(&mut o, defs);
    defs.client_certificates = o.has("clientCertificates");
    let client_certificates = o.object("clientCertificates").and_then(|o| client_certificates(o, defs));
    lists.providers = o.take("jwt").map(|n| providers(n, defs)).unwrap_or_default();
    let keys = o.object("signingKeys").and_then(signing_keys);
    let sessions = own_sessions(&mut o, keys.as_ref(), defs, lists);
    let protected_resources = protected_resources(&mut o, defs);
    lists.rate_limits = rate_limits(&mut o, defs);
    defs.api_keys = o.has("apiKeys");
    let (api_keys, key_store) = o.take("apiKeys").and_then(|n| api_keys(n, apart.keys, defs)).unzip();
    let hmac_sources = match o.has("hmac") {
        true => o.object("hmac").and_then(|o| hmac::sources(o, defs)),
        false => Some(Vec::new()),
    };
    let signers = match o.has("messageSignatures") {
        true => o.object("messageSignatures").and_then(|o| message_signatures::signers(o, defs)),
        false => Some(Vec::new()),
    };
    let require_tls = transport.as_ref().is_none_or(|transport| transport.require_tls);
    let passkeys = own_passkeys(&mut o, sessions.as_ref(), require_tls, defs);
    let (revocation, revocation_store) = o.object("revocation").and_then(|o| revocation(o, defs)).unzip();
    defs.headers.check_read(o.faults);
    let request_headers = o.object("requestHeaders").map(|o| request_headers(o, defs));
    defs.cookies.check("cookie", o.faults);
    defs.params.check("parameter", o.faults);
    lists.rules = rules(&mut o, apart.rules, defs);
    lists.shadow_rules = shadow_rules(&mut o, &lists.rules, defs);
    o.take("defaultAction").and_then(default_action);
    let access_log =
        if o.has("accessLog") { o.object("accessLog").and_then(access_log) } else { Some(Vec::new()) };
    let log = o.object("decisionLog").and_then(decision_log).unwrap_or_default();
    let count_by_rule = o.object("metrics").and_then(metrics).unwrap_or_default();
    let interlock = match o.left_out("interlock") {
        Some(text) => Some(switched(text == "true")),
        None => o.take("interlock").and_then(interlock),
    };
    let rate_limit_headers = o.choice("rateLimitHeaders", &RATE_LIMIT_HEADERS);
    Some(Document {
        digest: [0; 32],
        realm: realm?,
        transport: transport?,
        max_path_length: max_path_length?.try_into().ok()?,
        providers: Vec::new(),
        signing_keys: keys,
        sessions,
        passkeys,
        protected_resources: protected_resources?,
        api_keys,
        key_store: key_store.flatten(),
        revocation_store: revocation_store.flatten(),
        client_certificates,
        hmac_sources: hmac_sources?,
        signers: signers?,
        revocation,
        roles: roles.unwrap_or_default(),
        rate_limits: Vec::new(),
        rules: Vec::new(),
        shadow_rules: Vec::new(),
        identity_headers: identity_headers?,
        request_headers: request_headers.unwrap_or_default(),
        interlock: interlock?,
        access_log: access_log?,
        log_allowed: log.allowed,
        log_all_denied: log.all_denied,
        record_names: log.names,
        chain_records: log.chain,
        count_by_rule,
        rate_limit_headers_always: rate_limit_headers?,
    })
}

/// The sessions, whose provider joins the others.
fn own_sessions(
    o: &mut Object<'_>,
    keys: Option<&SigningKeysSpec>,
    defs: &mut Definitions,
    lists: &mut Lists,
) -> Option<SessionsSpec> {
    if !defs.sessions {
        return None;
    }
    if !defs.signing_keys {
        o.fault_at::<()>("signingKeys", "required with sessions, which are signed");
    }
    defs.providers.expect_another();
    let section = o.object("sessions")?;
    let (spec, provider) = sessions(section, keys, lists.providers.len(), defs)?;
    lists.providers.push(Some(provider));
    Some(spec)
}

/// Passkeys, of which rules may speak from now on.
fn own_passkeys(
    o: &mut Object<'_>,
    sessions: Option<&SessionsSpec>,
    require_tls: bool,
    defs: &mut Definitions,
) -> Option<PasskeysSection> {
    if !o.has("passkeys") {
        return None;
    }
    if !o.has("sessions") {
        o.fault_at::<()>("sessions", "required with passkeys, whose users get sessions");
    }
    defs.headers.take(CONFIRMATION_HEADER, &o.at("passkeys"), o.faults);
    let section = passkeys(o.object("passkeys")?, defs);
    let sessions = sessions.map(|sessions| sessions.name.clone()).unwrap_or_default();
    let path = section.as_ref().map(|section| section.spec.path.clone()).unwrap_or_default();
    defs.passkeys = Some(PasskeyFacts { sessions: sessions.clone(), path });
    let Passkeys { spec, relying_party, registration_step_up } = section?;
    let rules = ceremony_rules(&spec, &sessions, require_tls);
    Some(PasskeysSection { spec, relying_party, registration_step_up, rules })
}

/// How allowed requests are marked.
fn interlock(node: Node<'_>) -> Option<Interlock> {
    match node.value {
        Value::Bool(on) => Some(switched(on)),
        Value::Object(_) => node.object(&INTERLOCK)?.text("mark").map(Interlock::Marked),
        _ => node.mismatch("true, false or an object"),
    }
}

fn switched(on: bool) -> Interlock {
    if on { Interlock::Named } else { Interlock::Off }
}

/// `defaultAction` has one choice only. It may be written so that whoever reads the policy knows what happens.
fn default_action(mut node: Node<'_>) -> Option<()> {
    let text = node.text("Deny")?;
    match text.as_str() {
        "Deny" => Some(()),
        _ => node.fault(format!(
            "must be Deny, found {}; to allow what no other rule matches, write a last rule without matches",
            quoted(&text)
        )),
    }
}
