//! `rules`: in order, first match wins.

use hashbrown::HashSet;

use super::{
    ActionSpec, MethodSpec, RuleSpec,
    authenticate::{AUTHENTICATE, Who, authenticate},
    faults::quoted,
    model::{Bound, Form, Kind, Shape, default, optional, required, words},
    names::Definitions,
    protected_resource::resource_of_rule,
    reader::Object,
    requirement::{AUTHORIZE, authorize},
    route_match::{HOSTNAMES, MATCH, one_match},
    scalar::limit_name,
};
use crate::{rbac::RequirementSpec, request::path::Kept, route::RouteSpec};

#[derive(Clone, Copy, PartialEq)]
enum Action {
    Allow,
    Deny,
}

const ACTIONS: [(&str, Action); 2] = [("Allow", Action::Allow), ("Deny", Action::Deny)];

const KEEPING: [(&str, bool); 2] = [("Refuse", false), ("Keep", true)];

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
            "encodedSlash",
            Kind::Choice("a choice", &words(&KEEPING)),
            "Refuse",
            "`Keep`: `%2F` in a path is part of its segment, and goes on as it came, see below.",
        ),
        default(
            "matrixParameters",
            Kind::Choice("a choice", &words(&KEEPING)),
            "Refuse",
            "`Keep`: `;` and what follows it in a segment is part of it, and goes on as it came, see below.",
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
        optional(
            "endStreams",
            Kind::True("only true is allowed; leave the field out for streams that outlive their credential"),
            "absent: a request is decided once, when it comes",
            "Requests end when their credential runs out or is revoked, however long they would go on: event streams, \
             WebSockets, gRPC streams, see below.",
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
                Bound::Forbidden("endStreams"),
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

/// `apart` are the rules, where they do not stand in `document` itself.
pub(super) fn rules(
    document: &mut Object<'_>,
    apart: Option<Vec<&str>>,
    defs: &mut Definitions,
) -> Vec<Option<RuleSpec>> {
    let Some(node) = document.take("rules") else { return Vec::new() };
    defs.rules.expect(node.count_apart(apart.as_deref()));
    let empty = "no rules; every request would be refused";
    let Some(items) = node.filled_apart(apart, empty) else { return Vec::new() };
    items.each(|index, n| rule(n.object(&RULE)?, index, defs))
}

fn rule(mut o: Object<'_>, index: usize, defs: &mut Definitions) -> Option<RuleSpec> {
    let name = o.text("name");
    if let Some(name) = &name {
        defs.rules.define(name, index, (), &o.at("name"), o.faults);
    }
    let hosts = o.texts("hostnames");
    let matches = o.objects("matches", |o| one_match(o, defs));
    let mut keeps = |field| o.choice(field, &KEEPING).unwrap_or(false);
    let kept = Kept { encoded_slash: keeps("encodedSlash"), matrix_parameters: keeps("matrixParameters") };
    let (action, unknown) = match o.choice("action", &ACTIONS) {
        Some(Action::Deny) => (deny(&o), Unknown::Nobody),
        // Of an action that could not be read it is not known whether it needs this.
        action => allow(&mut o, action.is_some(), defs),
    };
    let denies = matches!(action, Some(ActionSpec::Deny));
    // Of an action that could not be read it is not known.
    let lacks_actor = action.as_ref().is_some_and(|action| !action.has_actor());
    let resource = if denies { None } else { resource_of_rule(&mut o, action.as_ref(), defs) };
    let rate_limits = if denies { None } else { rate_limits(&mut o, unknown, lacks_actor, defs) };
    let require_tls = if denies { None } else { o.object("transport").map(|mut o| o.boolean("requireTls")) };
    let takes_credentials =
        unknown != Unknown::All || matches!(action, Some(ActionSpec::AllowAnyone { pass_through: true, .. }));
    if require_tls == Some(false) && takes_credentials && action.is_some() {
        let message = "takes plain HTTP together with credentials, which would be read on the way; only anonymous: true may";
        o.fault_at::<()>("transport", message);
    }
    let end_streams = !denies && o.only_true("endStreams").is_some();
    if end_streams && unknown == Unknown::All && action.is_some() {
        o.fault_at::<()>(
            "endStreams",
            "has no effect where anyone may pass: there is no credential to end with",
        );
    }
    let preflight = if denies { None } else { o.choice("corsPreflight", &PREFLIGHT) };
    Some(RuleSpec {
        name: name?,
        route: RouteSpec { hostnames: hosts.unwrap_or_default(), matches: matches.unwrap_or_default(), kept },
        action: action?,
        require_tls,
        cors_preflight: preflight.unwrap_or(false),
        end_streams,
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
        "endStreams",
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
        Some(Who::Known { optional: Some(_), .. }) => Unknown::Some,
        _ => Unknown::Nobody,
    };
    let authorize: Option<RequirementSpec> = o.object("authorize").and_then(|o| authorize(o, defs));
    if unknown != Unknown::Nobody && authorize.as_ref().is_some_and(|asked| !asked.is_of_address()) {
        let message = "asks for a principal, which not every request of the rule has; it may ask for remoteAddress alone";
        o.fault_at::<()>("authorize", message);
    }
    let has_actor = !matches!(&who, Some(Who::Anyone { .. } | Who::Known { actor: None, .. }));
    if !has_actor && authorize.as_ref().is_some_and(RequirementSpec::asks_for_actor) {
        o.fault_at::<()>("authorize", "asks for an actor, whom only the requests of a rule with allOf have");
    }
    let logs_in = |method: &MethodSpec| matches!(method, MethodSpec::Jwt(_));
    if let (Some(Who::Known { methods, .. }), Some(asked)) = (&who, &authorize)
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
        Some(Who::Known { methods, actor, optional }) => {
            Some(ActionSpec::Allow { authenticate: methods, actor, optional, authorize })
        }
    };
    (action, unknown)
}

/// Names of limits for requests of whoever comes.
pub(super) fn rate_limits_of_anyone(o: &mut Object<'_>, defs: &Definitions) -> Option<Vec<String>> {
    rate_limits(o, Unknown::All, true, defs)
}

fn rate_limits(
    o: &mut Object<'_>,
    unknown: Unknown,
    lacks_actor: bool,
    defs: &Definitions,
) -> Option<Vec<String>> {
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
        if facts.by_actor && lacks_actor {
            return fault(format!("limit {shown} counts per actor, whom only the requests of a rule with allOf have"));
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
