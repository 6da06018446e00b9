//! `rules`: in order, first match wins.

use hashbrown::HashSet;

use super::{
    ActionSpec, InvalidCredentials, MethodSpec, RuleSpec,
    faults::{Faults, Path, quoted},
    model::{Bound, Form, Kind, Shape, default, optional, required, words},
    names::Definitions,
    protected_resource::resource_of_rule,
    reader::{Node, Object},
    requirement::{AUTHORIZE, authorize},
    route_match::{HOSTNAMES, MATCH, one_match},
    scalar::{limit_name, name},
};
use crate::{rbac::RequirementSpec, route::RouteSpec};

#[derive(Clone, Copy, PartialEq)]
enum Action {
    Allow,
    Deny,
}

const ACTIONS: [(&str, Action); 2] = [("Allow", Action::Allow), ("Deny", Action::Deny)];

const PREFLIGHT: [(&str, bool); 1] = [("Allow", true)];

pub(super) static RULE: Shape = Shape::bound(
    &[
        required(
            "name",
            Kind::Text(Form::Name),
            "Stands in the decision record and the `rule` identity header.",
        ),
        optional(
            "hostnames",
            HOSTNAMES,
            "absent: every host",
            "`api.example.com`, or `*.example.com` for one or more labels. Any one must match; without port, in any \
             case.",
        ),
        optional(
            "matches",
            Kind::List("no matches; leave the field out to mean every request", &Kind::Object(&MATCH)),
            "absent: every request",
            "Any one must match, see below.",
        ),
        default(
            "action",
            Kind::Choice("an action", &words(&ACTIONS)),
            "Allow",
            "`Deny` takes none of the fields below.",
        ),
        optional("authenticate", Kind::Object(&AUTHENTICATE), "required for `Allow`", "Who may pass."),
        optional(
            "protectedResource",
            Kind::Text(Form::Name),
            "required, or `anyAudience`, where the policy has `protectedResources` and the rule takes tokens",
            "Which of `protectedResources` it belongs to: tokens must be for that one, and challenges name its metadata.",
        ),
        optional(
            "anyAudience",
            Kind::True("only true is allowed; name one of protectedResources instead"),
            "",
            "The rule belongs to none of `protectedResources`, and takes tokens for any audience that their provider \
             takes.",
        ),
        optional(
            "authorize",
            Kind::Object(&AUTHORIZE),
            "absent: every authenticated principal",
            "What the principal needs. On a rule that lets anyone pass nothing but `remoteAddress` may be asked.",
        ),
        optional(
            "rateLimits",
            Kind::List("no limits; leave the field out", &Kind::Text(Form::LimitName)),
            "absent: none",
            "Names of `rateLimits` that apply after authorization. On an anonymous rule none that counts by \
             `principal` or `apiKey`.",
        ),
        optional(
            "transport",
            Kind::Object(&RULE_TRANSPORT),
            "absent: as the policy's `transport` says",
            "Whether this rule's requests may come by plain HTTP.",
        ),
        optional(
            "corsPreflight",
            Kind::Choice("a choice", &words(&PREFLIGHT)),
            "absent: as any request",
            "CORS preflights of this rule's requests go on without credentials and without identity headers, to be \
             answered by the upstream. Not needed where Envoy's `cors` filter stands in front and answers them, see \
             below.",
        ),
    ],
    &[
        Bound::Apart(&["protectedResource", "anyAudience"]),
        Bound::Where(
            "action",
            "Deny",
            &[
                Bound::Forbidden("authenticate"),
                Bound::Forbidden("protectedResource"),
                Bound::Forbidden("anyAudience"),
                Bound::Forbidden("authorize"),
                Bound::Forbidden("rateLimits"),
                Bound::Forbidden("transport"),
                Bound::Forbidden("corsPreflight"),
            ],
            &[Bound::Required("authenticate")],
        ),
    ],
);

static RULE_TRANSPORT: Shape = Shape::new(&[required(
    "requireTls",
    Kind::Boolean,
    "`true`: they are refused; `false`: they pass, which a rule that takes credentials may not say, for they would be \
     read on the way.",
)]);

static AUTHENTICATE: Shape = Shape::bound(
    &[
        optional(
            "anyOf",
            Kind::List(
                "no way to authenticate; write anonymous: true to let anyone pass",
                &Kind::Either(&[Kind::Choice("", &["apiKey", "clientCertificate"]), Kind::Object(&METHOD)]),
            ),
            "",
            "Ways to authenticate, one of which is enough. `apiKey` is short for `{apiKey: {}}`, and \
             `clientCertificate` likewise.",
        ),
        optional(
            "anonymous",
            Kind::True("only true is allowed; list ways to authenticate in anyOf instead"),
            "",
            "Anyone may pass, without a credential.",
        ),
        optional(
            "passThrough",
            Kind::True("only true is allowed; write anonymous: true to let anyone pass without credentials"),
            "",
            "Anyone may pass, and credentials reach the upstream as they were sent, for it to judge. Identity headers are \
             removed as ever.",
        ),
        optional(
            "optional",
            Kind::True("only true is allowed; leave the field out where credentials are required"),
            "absent: one of `anyOf` is required",
            "Requests without a credential pass, too, as anonymous ones.",
        ),
        default(
            "invalidCredentials",
            Kind::Choice("a choice", &words(&INVALID)),
            "Refuse",
            "With `optional`: what becomes of a credential that proves nothing. `Anonymous`: it is removed, and the request \
             passes as one without.",
        ),
    ],
    &[
        Bound::One(&["anyOf", "anonymous", "passThrough"]),
        Bound::Given(&["optional"], &[Bound::Required("anyOf")], &[Bound::Forbidden("invalidCredentials")]),
    ],
);

const INVALID: [(&str, InvalidCredentials); 2] =
    [("Refuse", InvalidCredentials::Refuse), ("Anonymous", InvalidCredentials::Anonymous)];

const WAYS: [&str; 3] = ["apiKey", "clientCertificate", "jwt"];

static METHOD: Shape = Shape::bound(
    &[
        optional("apiKey", Kind::Object(&NOTHING), "", "An API key."),
        optional("jwt", Kind::Text(Form::Name), "", "A token of this provider."),
        optional("clientCertificate", Kind::Object(&NOTHING), "", "The certificate of the TLS client."),
    ],
    &[Bound::One(&WAYS)],
);

static NOTHING: Shape = Shape::new(&[]);

pub(super) fn rules(document: &mut Object<'_>, defs: &mut Definitions) -> Vec<Option<RuleSpec>> {
    let Some(node) = document.take("rules") else { return Vec::new() };
    defs.rules.expect(node.count());
    let Some(items) = node.filled("no rules; every request would be refused") else { return Vec::new() };
    items.each(|index, n| rule(n.object(&RULE)?, index, defs))
}

fn rule(mut o: Object<'_>, index: usize, defs: &mut Definitions) -> Option<RuleSpec> {
    let name = o.text("name");
    if let Some(name) = &name {
        defs.rules.define(name, index, (), &o.at("name"), o.faults);
    }
    let hosts = o.texts("hostnames");
    let matches = o.objects("matches", |o| one_match(o, defs));
    let (action, unknown) = match o.choice("action", &ACTIONS) {
        Some(Action::Deny) => (deny(&o), Unknown::Nobody),
        // Of an action that could not be read it is not known whether it needs this.
        action => allow(&mut o, action.is_some(), defs),
    };
    let denies = matches!(action, Some(ActionSpec::Deny));
    let resource = if denies { None } else { resource_of_rule(&mut o, action.as_ref(), defs) };
    let rate_limits = if denies { None } else { rate_limits(&mut o, unknown, defs) };
    let require_tls = if denies { None } else { o.object("transport").map(|mut o| o.boolean("requireTls")) };
    let takes_credentials =
        unknown != Unknown::All || matches!(action, Some(ActionSpec::AllowAnyone { pass_through: true, .. }));
    if require_tls == Some(false) && takes_credentials && action.is_some() {
        let message = "takes plain HTTP together with credentials, which would be read on the way; only anonymous: true may";
        o.fault_at::<()>("transport", message);
    }
    let preflight = if denies { None } else { o.choice("corsPreflight", &PREFLIGHT) };
    Some(RuleSpec {
        name: name?,
        route: RouteSpec { hostnames: hosts.unwrap_or_default(), matches: matches.unwrap_or_default() },
        action: action?,
        require_tls,
        cors_preflight: preflight.unwrap_or(false),
        resource,
        rate_limits: rate_limits.unwrap_or_default(),
    })
}

/// Nothing else is said of requests that are refused anyway.
fn deny(o: &Object<'_>) -> Option<ActionSpec> {
    let others = [
        "authenticate",
        "protectedResource",
        "anyAudience",
        "authorize",
        "rateLimits",
        "transport",
        "corsPreflight",
    ];
    for field in others.into_iter().filter(|f| o.has(f)) {
        o.fault_at::<()>(field, "contradicts action: Deny, which refuses every request that matches");
    }
    Some(ActionSpec::Deny)
}

/// Who may come without a credential.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unknown {
    Nobody,
    /// Beside those who have one.
    Some,
    All,
}

/// The action, and who may come without a credential.
fn allow(o: &mut Object<'_>, required: bool, defs: &Definitions) -> (Option<ActionSpec>, Unknown) {
    if required && !o.has("authenticate") {
        let missing = "required; name who may pass, as in {anyOf: [apiKey]}, \
                       or write {anonymous: true} to let anyone pass";
        o.fault_at::<()>("authenticate", missing);
    }
    let who = o.object_like("authenticate", "{anyOf: [..]} or {anonymous: true}");
    let who = who.and_then(|o| authenticate(o, defs));
    let authorized = o.has("authorize");
    let unknown = match &who {
        Some(Who::Anyone { .. }) => Unknown::All,
        Some(Who::AnyOf { optional: Some(_), .. }) => Unknown::Some,
        _ => Unknown::Nobody,
    };
    let authorize: Option<RequirementSpec> = o.object("authorize").and_then(|o| authorize(o, defs));
    if unknown != Unknown::Nobody && authorize.as_ref().is_some_and(|asked| !asked.is_of_address()) {
        let message = "asks for a principal, which not every request of the rule has; it may ask for remoteAddress alone";
        o.fault_at::<()>("authorize", message);
    }
    let logs_in = |method: &MethodSpec| matches!(method, MethodSpec::Jwt(_));
    if let (Some(Who::AnyOf { methods, .. }), Some(asked)) = (&who, &authorize)
        && asked.any_of.iter().any(|alternative| alternative.step_up.is_some())
        && !methods.iter().any(logs_in)
    {
        o.fault_at::<()>(
            "authorize",
            "stepUp asks how a user logged in, which only a token of {jwt: ..} can say",
        );
    }
    let action = match who {
        None => None,
        // Faulty and noted.
        Some(_) if authorized && authorize.is_none() => None,
        Some(Who::Anyone { pass_through }) => Some(ActionSpec::AllowAnyone { pass_through, authorize }),
        Some(Who::AnyOf { methods, optional }) => {
            Some(ActionSpec::Allow { authenticate: methods, optional, authorize })
        }
    };
    (action, unknown)
}

enum Who {
    Anyone { pass_through: bool },
    AnyOf { methods: Vec<MethodSpec>, optional: Option<InvalidCredentials> },
}

fn authenticate(mut o: Object<'_>, defs: &Definitions) -> Option<Who> {
    let mut seen = HashSet::new();
    let any_of = o.list("anyOf").and_then(|items| {
        items.all(|n| {
            let (path, faults) = (n.path, n.faults);
            let method = method(n, defs)?;
            if !seen.insert(method.clone()) {
                faults.add(&path, "is listed twice");
                return None;
            }
            Some(method)
        })
    });
    let anonymous = o.only_true("anonymous");
    let pass_through = o.only_true("passThrough");
    let optional = o.only_true("optional");
    let invalid = o.choice("invalidCredentials", &INVALID);
    for field in ["anonymous", "passThrough"].into_iter().filter(|field| o.has(field) && o.has("anyOf")) {
        o.fault_at::<()>(field, "contradicts anyOf; give one of them");
    }
    if o.has("anonymous") && o.has("passThrough") {
        o.fault_at::<()>("passThrough", "contradicts anonymous; give one of them");
    }
    if o.has("optional") && !o.has("anyOf") {
        o.fault_at::<()>("optional", "has no effect without anyOf: anyone may pass");
    }
    if o.has("invalidCredentials") && !o.has("optional") {
        o.fault_at::<()>("invalidCredentials", "has no effect without optional: true");
    }
    match (o.has("anyOf"), o.has("anonymous"), o.has("passThrough")) {
        (true, false, false) => {
            if o.has("optional") != optional.is_some() {
                return None;
            }
            let optional = optional.and(invalid);
            any_of.map(|methods| Who::AnyOf { methods, optional })
        }
        (false, true, false) => anonymous.map(|()| Who::Anyone { pass_through: false }),
        (false, false, true) => pass_through.map(|()| Who::Anyone { pass_through: true }),
        (false, false, false) => o.fault("names no way to authenticate; give anyOf, or anonymous: true"),
        _ => None,
    }
}

/// `apiKey`, `{apiKey: {}}`, `clientCertificate`, `{clientCertificate: {}}` or `{jwt: provider}`.
fn method(mut node: Node<'_>, defs: &Definitions) -> Option<MethodSpec> {
    if node.value.is_object() {
        return named_method(node.object(&METHOD)?, defs);
    }
    let text = node.text("apiKey, clientCertificate or {jwt: provider}")?;
    match text.as_str() {
        "apiKey" => api_key(defs, &node.path, node.faults),
        "clientCertificate" => certificate(defs, &node.path, node.faults),
        "jwt" => node.fault("name the provider, as in {jwt: corp}"),
        _ => node.fault(format!(
            "{} is not a way to authenticate; write apiKey, clientCertificate or {{jwt: provider}}",
            quoted(&text)
        )),
    }
}

fn named_method(mut o: Object<'_>, defs: &Definitions) -> Option<MethodSpec> {
    let key = o.object("apiKey").and_then(|o| api_key(defs, &o.path, o.faults));
    let token = o.take("jwt").and_then(|n| {
        let (path, faults) = (n.path, n.faults);
        let provider = name(n)?;
        defs.providers.resolve(&provider, &path, faults)?;
        Some(MethodSpec::Jwt(provider))
    });
    let shown = o.object("clientCertificate").and_then(|o| certificate(defs, &o.path, o.faults));
    match WAYS.iter().filter(|way| o.has(way)).count() {
        0 => o.fault("names no way to authenticate; write apiKey, clientCertificate or {jwt: provider}"),
        1 => key.or(token).or(shown),
        _ => o.fault("names more than one way; list them as items of their own"),
    }
}

fn api_key(defs: &Definitions, path: &Path<'_>, faults: &Faults) -> Option<MethodSpec> {
    if !defs.api_keys {
        faults.add(path, "the policy has no apiKeys section");
        return None;
    }
    Some(MethodSpec::ApiKey)
}

fn certificate(defs: &Definitions, path: &Path<'_>, faults: &Faults) -> Option<MethodSpec> {
    if !defs.client_certificates {
        faults.add(path, "the policy has no clientCertificates section");
        return None;
    }
    Some(MethodSpec::ClientCertificate)
}

fn rate_limits(o: &mut Object<'_>, unknown: Unknown, defs: &Definitions) -> Option<Vec<String>> {
    let mut seen = HashSet::new();
    o.list("rateLimits")?.all(|n| {
        let (path, faults) = (n.path, n.faults);
        let name = limit_name(n)?;
        let facts = defs.limits.resolve(&name, &path, faults)?;
        let fault = |message: String| {
            faults.add(&path, message);
            None
        };
        let shown = quoted(&name);
        if !seen.insert(name.clone()) {
            return fault(format!("{shown} is listed twice"));
        }
        if facts.before_authentication {
            return fault(format!(
                "limit {shown} applies before authentication, to every request; rules do not name it"
            ));
        }
        match (facts.per_caller, unknown) {
            (Some(part), Unknown::All) => {
                return fault(format!(
                    "limit {shown} counts per {part}, which the requests of an anonymous rule do not have"
                ));
            }
            // Else one of them could use up what all of them have.
            (Some(part), Unknown::Some) if !facts.by_address => {
                return fault(format!(
                    "limit {shown} counts per {part}, which requests without a credential do not have: they would share \
                     one count; add remoteAddress to its key"
                ));
            }
            _ => {}
        }
        Some(name)
    })
}
