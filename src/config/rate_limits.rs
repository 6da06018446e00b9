//! `rateLimits`.

use super::{
    faults::quoted,
    limit_windows::{Numbered, TIER, WINDOWS, own_requests, tiers, windows},
    model::{Bound, Form, Kind, Shape, default, optional, required, words},
    names::{Definitions, LimitFacts, removed},
    networks::networks,
    reader::{Node, Object},
    scalar::word,
};
use crate::{
    rate_limit::{KeyPart, LimitSpec},
    request::alike::is_alike,
};

const BEFORE: [(&str, ()); 1] = [("Authentication", ())];

/// Those that need no name of their own.
const PARTS: [(&str, KeyPart); 6] = [
    ("remoteAddress", KeyPart::RemoteAddress),
    ("principal", KeyPart::Principal),
    ("actor", KeyPart::Actor),
    ("apiKey", KeyPart::ApiKey),
    ("route", KeyPart::Route),
    ("host", KeyPart::Host),
];

const NO_METHODS: &str = "no methods; leave the field out to mean every method";

/// Request methods.
pub(super) const METHODS: Kind = Kind::List(NO_METHODS, &Kind::Text(Form::Method));

const NO_KEY: &str = "counts nothing apart; name what the limit is kept for, as in [remoteAddress]";

pub(super) static LIMIT: Shape = Shape::bound(
    &[
        required("name", Kind::Text(Form::LimitName), "What rules call it."),
        required(
            "key",
            Kind::Few(
                // A list of a thousand different headers would be searched for each of them; nobody needs sixteen.
                16,
                NO_KEY,
                &Kind::Either(&[Kind::Choice("a key part", &words(&PARTS)), Kind::Object(&NAMED_PART)]),
            ),
            "What is counted apart; all parts together are the key.",
        ),
        required("limits", WINDOWS, "All of them must admit a request. Their lengths differ."),
        optional(
            "tiers",
            Kind::List("no tiers; leave the field out", &Kind::Object(&TIER)),
            "absent: the same for all",
            "Other windows for principals of a tier.",
        ),
        optional("methods", METHODS, "absent: every method", "Only these count."),
        optional(
            "exempt",
            Kind::Object(&EXEMPT),
            "absent: every request counts",
            "Which requests do not count.",
        ),
        optional(
            "before",
            Kind::Choice("a stage", &words(&BEFORE)),
            "absent: after authorization",
            "Charged before authentication, for every request. Such a limit is not named in rules; its key holds \
             nothing but `remoteAddress`, `host`, headers, cookies and query parameters, and it has no `tiers`.",
        ),
        default(
            "shadow",
            Kind::Boolean,
            "false",
            "`true`: counted and judged as other limits, behind those that are in force, and refuses nothing, see \
             [shadow](#shadow).",
        ),
        default(
            "ipv4PrefixLength",
            Kind::Number(1, 32),
            "32",
            "IPv4 addresses are counted by this prefix. Refused without `remoteAddress` in `key`.",
        ),
        default(
            "ipv6PrefixLength",
            Kind::Number(1, 128),
            "64",
            "IPv6 addresses likewise. 64 bits are what one subscriber commonly holds.",
        ),
    ],
    &[Bound::Given(&["before"], &[Bound::Forbidden("tiers")], &[])],
);

static NAMED_PART: Shape = Shape::bound(
    &[
        optional("header", Kind::Text(Form::Header), "", "The header whose values are counted apart."),
        optional("cookie", Kind::Text(Form::Any), "", "The cookie whose values are counted apart."),
        optional("query", Kind::Text(Form::Any), "", "The query parameter whose values are counted apart."),
        optional("claim", Kind::Claim, "", "The claim whose values are counted apart, for each provider."),
        optional(
            "pathVariable",
            Kind::Text(Form::Name),
            "",
            "The variable of the path whose values are counted apart. Every match of the rules that name the limit has it.",
        ),
    ],
    &[Bound::One(&NAMED)],
);

const NAMED: [&str; 5] = ["header", "cookie", "query", "claim", "pathVariable"];

static EXEMPT: Shape = Shape::new(&[required(
    "remoteAddress",
    Kind::List("exempts nobody; leave the field out", &Kind::Text(Form::Network)),
    "Requests from these networks do not count.",
)]);

pub(super) fn rate_limits(document: &mut Object<'_>, defs: &mut Definitions) -> Vec<Option<LimitSpec>> {
    let Some(node) = document.take("rateLimits") else { return Vec::new() };
    defs.limits.expect(node.count());
    let Some(items) = node.filled("no limits; leave the field out") else { return Vec::new() };
    items.each(|index, n| limit(n.object(&LIMIT)?, index, defs))
}

fn limit(mut o: Object<'_>, index: usize, defs: &mut Definitions) -> Option<LimitSpec> {
    let name = o.text("name");
    let before = o.has("before");
    let key = key(&mut o, before, defs);
    let per_caller = key.iter().flatten().find_map(|part| match part {
        KeyPart::Principal => Some("principal"),
        KeyPart::Actor => Some("actor"),
        KeyPart::ApiKey => Some("apiKey"),
        KeyPart::Claim(_) | KeyPart::ClaimHeader { .. } => Some("claim"),
        _ => None,
    });
    let numbered = Numbered::of(key.as_deref(), before);
    let windows = windows(&mut o, &numbered);
    let tiers = tiers(&mut o, before, &numbered);
    if let Some(name) = &name {
        let by_address = key.iter().flatten().any(|part| *part == KeyPart::RemoteAddress);
        let by_actor = key.iter().flatten().any(|part| *part == KeyPart::Actor);
        let own_requests = own_requests(key.as_deref(), windows.as_deref(), tiers.as_deref());
        let about =
            LimitFacts { before_authentication: before, per_caller, by_actor, by_address, own_requests };
        defs.limits.define(name, index, about, &o.at("name"), o.faults);
    }
    let methods = o.texts("methods");
    let exempt = o.object("exempt").and_then(|mut o| networks(&mut o, "remoteAddress"));
    if o.has("exempt") != exempt.is_some() {
        return None;
    }
    o.choice("before", &BEFORE);
    let shadow = o.boolean("shadow");
    let by_address = key.iter().flatten().any(|part| *part == KeyPart::RemoteAddress);
    if key.is_some() && !by_address {
        for field in ["ipv4PrefixLength", "ipv6PrefixLength"].into_iter().filter(|f| o.has(f)) {
            o.fault_at::<()>(field, "has no effect without remoteAddress in key");
        }
    }
    let mut prefix = |name| o.number(name).and_then(|length| length.try_into().ok());
    let (ipv4_prefix, ipv6_prefix) = (prefix("ipv4PrefixLength"), prefix("ipv6PrefixLength"));
    Some(LimitSpec {
        name: name?,
        key: key?,
        windows: windows?,
        tiers: tiers.unwrap_or_default(),
        methods: methods.unwrap_or_default(),
        exempt: exempt.unwrap_or_default(),
        before_authentication: before,
        shadow,
        ipv4_prefix: ipv4_prefix?,
        ipv6_prefix: ipv6_prefix?,
    })
}

fn key(o: &mut Object<'_>, before: bool, defs: &mut Definitions) -> Option<Vec<KeyPart>> {
    let mut seen: Vec<KeyPart> = Vec::new();
    o.list("key")?.all(|n| {
        let (path, faults) = (n.path, n.faults);
        let part = if n.value.is_object() { part_of_a_name(n, defs)? } else { part(n)? };
        if before && !is_known_before_authentication(&part) {
            let which = if matches!(part, KeyPart::ClaimHeader { .. }) { "is set from a claim, which " } else { "" };
            faults.add(
                &path,
                format!("{which}is not known before authentication; use remoteAddress, host, a header, a cookie or a parameter"),
            );
            return None;
        }
        let is_same = |other: &KeyPart| match (sent_name(other), sent_name(&part)) {
            (Some((kind, other)), Some((own, name))) => {
                kind == own && is_alike(other.as_bytes(), name.as_bytes())
            }
            _ => *other == part,
        };
        if seen.iter().any(is_same) {
            faults.add(&path, "is listed twice");
            return None;
        }
        seen.push(part.clone());
        Some(part)
    })
}

const fn is_known_before_authentication(part: &KeyPart) -> bool {
    use KeyPart::{Cookie, Header, Host, Query, RemoteAddress};
    matches!(part, RemoteAddress | Host | Header(_) | Cookie(_) | Query(_))
}

/// The name that a request may spell in several ways, and where it stands.
fn sent_name(part: &KeyPart) -> Option<(&'static str, &str)> {
    match part {
        KeyPart::Header(name) | KeyPart::ClaimHeader { name, .. } => Some(("header", name)),
        KeyPart::Cookie(name) => Some(("cookie", name)),
        KeyPart::Query(name) => Some(("query", name)),
        _ => None,
    }
}

fn part(node: Node<'_>) -> Option<KeyPart> {
    match node.value.as_str() {
        Some(name) if NAMED.contains(&name) => {
            let message = format!("which {name}? write {{{name}: name}}");
            node.fault(message)
        }
        _ => PARTS.get(word(node, "a key part", &words(&PARTS))?).map(|(_, part)| part.clone()),
    }
}

fn part_of_a_name(node: Node<'_>, defs: &mut Definitions) -> Option<KeyPart> {
    let mut o = node.object(&NAMED_PART)?;
    let header = o.text("header").and_then(|name| counted_header(name, &o, defs));
    let cookie = o.text("cookie");
    if let Some(name) = &cookie {
        defs.cookies.note_counted(name, &o.at("cookie"));
    }
    let param = o.text("query");
    if let Some(name) = &param {
        defs.params.note_counted(name, &o.at("query"));
    }
    let claim = o.claim("claim");
    let variable = o.text("pathVariable");
    match NAMED.iter().filter(|name| o.has(name)).count() {
        0 => {
            o.pass_over_the_rest();
            o.fault(
                "is no key part; write remoteAddress, principal (who is calling), actor, apiKey, route, host, {header: name}, \
                 {cookie: name}, {query: name}, {claim: name} or {pathVariable: name}",
            )
        }
        1 => header
            .or(cookie.map(KeyPart::Cookie))
            .or(param.map(KeyPart::Query))
            .or(claim.map(KeyPart::Claim))
            .or(variable.map(KeyPart::PathVariable)),
        _ => o.fault("is several parts; write an item for each"),
    }
}

/// A header that the filter sets is removed from every request, so what is counted is where it comes from.
fn counted_header(name: String, o: &Object<'_>, defs: &Definitions) -> Option<KeyPart> {
    let Some((by, claims)) = defs.headers.setter(&name) else { return Some(KeyPart::Header(name)) };
    if claims.iter().any(|(_, claim)| claim.0.is_empty()) {
        let message = format!("header {} holds whole tokens, as {by} says; name a claim", quoted(&name));
        return o.fault_at("header", message);
    }
    if by.starts_with("identityHeaders") {
        let instead = match by.rsplit_once('.') {
            Some((_, "rule")) => "route",
            Some((_, "actor")) => "actor",
            _ => "principal",
        };
        return o.fault_at("header", format!("{}; write {instead}", removed(&name, by)));
    }
    Some(KeyPart::ClaimHeader { name, claims })
}
