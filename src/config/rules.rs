//! `rules`: in order, first match wins.

use super::{
    ActionSpec, RuleSpec,
    authenticate::AUTHENTICATE,
    deciding::{ACTIONS, Decides, RULE_TRANSPORT, UNDER_DENY, Unknown, decides},
    model::{Bound, Field, Form, Kind, Shape, default, optional, required, words},
    names::{Definitions, Names},
    reader::Object,
    requirement::AUTHORIZE,
    route_match::{HOSTNAMES, MATCH, one_match},
    rule_shadow::{RULE_SHADOW, next_of_rule},
};
use crate::{request::path::Kept, route::RouteSpec};

const KEEPING: [(&str, bool); 2] = [("Refuse", false), ("Keep", true)];

const PREFLIGHT: [(&str, bool); 1] = [("Allow", true)];

static FIELDS: [Field; 15] = [
    required("name", Kind::Text(Form::Name), "Stands in the decision record and the `rule` identity header."),
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
    optional(
        "shadow",
        Kind::Object(&RULE_SHADOW),
        "absent: nothing decides beside the rule",
        "The rule as it would be, which decides beside it, see [shadow](#shadow).",
    ),
];

pub(super) static RULE: Shape = Shape::bound(&FIELDS, BOUNDS);

/// A rule that decides beside those in force. It has no shadow.
pub(super) static NEXT_RULE: Shape = Shape::bound(
    match FIELDS.split_last() {
        Some((_, others)) => others,
        None => &[],
    },
    BOUNDS,
);

const BOUNDS: &[Bound] = &[
    Bound::Apart(&["protectedResource", "anyAudience"]),
    Bound::Where("action", "Deny", UNDER_DENY, &[Bound::Required("authenticate")]),
];

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

/// Rules that decide beside those in force, which have names of their own.
pub(super) fn next_rules(mut shadow: Object<'_>, defs: &mut Definitions) -> Vec<Option<RuleSpec>> {
    let Some(node) = shadow.take("rules") else { return Vec::new() };
    let mut names = Names::new("rule", "shadow.rules");
    names.expect(node.count());
    let in_force = std::mem::replace(&mut defs.rules, names);
    let items = node.filled("no rules; leave the field out");
    let rules = items.map(|items| items.each(|index, n| rule(n.object(&NEXT_RULE)?, index, defs)));
    defs.rules = in_force;
    rules.unwrap_or_default()
}

fn rule(mut o: Object<'_>, index: usize, defs: &mut Definitions) -> Option<RuleSpec> {
    let (before, shadow) = (o.faults.count(), next_of_rule(&o, defs));
    let name = o.text("name");
    if let Some(name) = &name {
        defs.rules.define(name, index, (), &o.at("name"), o.faults);
    }
    let hosts = o.texts("hostnames");
    let matches = o.objects("matches", |o| one_match(o, defs));
    let mut keeps = |field| o.choice(field, &KEEPING).unwrap_or(false);
    let kept = Kept { encoded_slash: keeps("encodedSlash"), matrix_parameters: keeps("matrixParameters") };
    let Decides { action, unknown, require_tls, resource, rate_limits } = decides(&mut o, defs);
    let denies = matches!(action, Some(ActionSpec::Deny));
    let end_streams = !denies && o.only_true("endStreams").is_some();
    if end_streams && unknown == Unknown::All && action.is_some() {
        o.fault_at::<()>(
            "endStreams",
            "has no effect where anyone may pass: there is no credential to end with",
        );
    }
    let preflight = if denies { None } else { o.choice("corsPreflight", &PREFLIGHT) };
    let next = shadow.and_then(|next| next.told(before, &o));
    let mut rule = RuleSpec {
        name: name?,
        route: RouteSpec { hostnames: hosts.unwrap_or_default(), matches: matches.unwrap_or_default(), kept },
        action: action?,
        require_tls,
        cors_preflight: preflight.unwrap_or(false),
        end_streams,
        resource,
        rate_limits,
        shadow: None,
    };
    rule.shadow = next.and_then(|next| next.rule_like(&rule)).map(Box::new);
    Some(rule)
}
