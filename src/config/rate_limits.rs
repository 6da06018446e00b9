//! `rateLimits`.

use std::time::Duration;

use super::{
    http_names::{header_name, methods},
    names::{Definitions, LimitFacts},
    reader::{Node, Object, Path, quoted},
    scalar::{choice, duration, integer, label, name},
};
use crate::{
    rate_limit::{KeyPart, LimitSpec, WindowSpec},
    request::alike::is_alike,
};

const SECOND: Duration = Duration::from_secs(1);

const UNITS: [(&str, Duration); 4] = [
    ("Second", SECOND),
    ("Minute", Duration::from_secs(60)),
    ("Hour", Duration::from_secs(3600)),
    ("Day", Duration::from_secs(86_400)),
];

/// Longest window: a year.
const LONGEST: Duration = Duration::from_secs(8760 * 3600);

pub(super) fn rate_limits(node: Node<'_>, defs: &mut Definitions) -> Vec<Option<LimitSpec>> {
    defs.limits.expect(node.items());
    node.each("no limits; leave the field out", |index, n| limit(n, index, defs))
}

fn limit(node: Node<'_>, index: usize, defs: &mut Definitions) -> Option<LimitSpec> {
    node.object(|o| {
        let faults = o.faults;
        let path = o.path;
        let name = o.required("name", name);
        let before = o.has("before");
        let key = o.required("key", |n| key(n, before, defs));
        let per_caller = key.iter().flatten().find_map(|part| match part {
            KeyPart::Principal => Some("principal"),
            KeyPart::ApiKey => Some("apiKey"),
            _ => None,
        });
        if let Some(name) = &name {
            let about = LimitFacts { before_authentication: before, per_caller };
            defs.limits.define(name, index, about, &Path::Field(&path, "name"), faults);
        }
        let windows = o.required("limits", windows);
        let tiers = o.optional("tiers", |n| tiers(n, before));
        let methods = o.optional("methods", methods);
        o.optional("before", choice("a stage", &[("Authentication", ())]));
        let by_address = key.iter().flatten().any(|part| *part == KeyPart::RemoteAddress);
        if key.is_some() && !by_address {
            for field in ["ipv4PrefixLength", "ipv6PrefixLength"].into_iter().filter(|f| o.has(f)) {
                o.fault_at::<()>(field, "has no effect without remoteAddress in key");
            }
        }
        let ipv4_prefix = o.optional("ipv4PrefixLength", integer(1..=32));
        let ipv6_prefix = o.optional("ipv6PrefixLength", integer(1..=128));
        Some(LimitSpec {
            name: name?,
            key: key?,
            windows: windows?,
            tiers: tiers.unwrap_or_default(),
            methods: methods.unwrap_or_default(),
            before_authentication: before,
            ipv4_prefix: ipv4_prefix.unwrap_or(32),
            ipv6_prefix: ipv6_prefix.unwrap_or(64),
        })
    })
}

fn key(node: Node<'_>, before: bool, defs: &Definitions) -> Option<Vec<KeyPart>> {
    const PARTS: [(&str, Part); 4] = [
        ("remoteAddress", Part::RemoteAddress),
        ("principal", Part::Principal),
        ("apiKey", Part::ApiKey),
        ("route", Part::Route),
    ];
    #[derive(Clone, Copy)]
    enum Part {
        RemoteAddress,
        Principal,
        ApiKey,
        Route,
    }
    let mut seen: Vec<KeyPart> = Vec::new();
    node.filled("counts nothing apart; name what the limit is kept for, as in [remoteAddress]", |n| {
        let (path, faults) = (n.path, n.faults);
        let part = if n.value.is_object() {
            n.object(|o| {
                if !o.has("header") {
                    return no_part(o);
                }
                o.required("header", |n| {
                    let (path, faults) = (n.path, n.faults);
                    let header = header_name(n)?;
                    defs.headers.refuse(&header, &path, faults);
                    Some(KeyPart::Header(header))
                })
            })?
        } else {
            if n.value == "header" {
                return n.fault("which header? write {header: name}");
            }
            match choice("a key part", &PARTS)(n)? {
                Part::RemoteAddress => KeyPart::RemoteAddress,
                Part::Principal => KeyPart::Principal,
                Part::ApiKey => KeyPart::ApiKey,
                Part::Route => KeyPart::Route,
            }
        };
        if before && matches!(part, KeyPart::Principal | KeyPart::ApiKey | KeyPart::Route) {
            faults.add(&path, "is not known before authentication; use remoteAddress or a header");
            return None;
        }
        let is_same = |other: &KeyPart| match (other, &part) {
            (KeyPart::Header(other), KeyPart::Header(name)) => is_alike(other.as_bytes(), name.as_bytes()),
            _ => *other == part,
        };
        if seen.iter().any(is_same) {
            faults.add(&path, "is listed twice");
            return None;
        }
        // A list of a thousand different headers would be searched for each of them; nobody needs sixteen.
        if seen.len() >= 16 {
            faults.add(&path, "a key has at most 16 parts");
            return None;
        }
        seen.push(part.clone());
        Some(part)
    })
}

/// An object that names no header.
#[cold]
fn no_part(o: &mut Object<'_>) -> Option<KeyPart> {
    let hint = if o.has("claim") { "; limits do not count by claims" } else { "" };
    o.pass_over_the_rest();
    o.fault(format!(
        "is no key part; write remoteAddress, principal (who is calling), apiKey, route or {{header: name}}{hint}"
    ))
}

fn windows(node: Node<'_>) -> Option<Vec<WindowSpec>> {
    node.filled("no limits; a limit needs at least one window", window)
}

fn window(node: Node<'_>) -> Option<WindowSpec> {
    node.object(|o| {
        let requests = o.required("requests", integer(1..=u32::MAX));
        let per = per(o);
        let given = o.has("burst");
        let burst = o.optional("burst", integer(1..=u32::MAX));
        if given && burst.is_none() {
            return None;
        }
        let requests = requests?;
        Some(WindowSpec { requests, per: per?, burst: burst.unwrap_or(requests) })
    })
}

fn per(o: &mut Object<'_>) -> Option<Duration> {
    let (by_unit, by_window) = (o.has("unit"), o.has("window"));
    let unit = o.optional("unit", choice("a unit", &UNITS));
    let window = o.optional("window", duration(SECOND..=LONGEST));
    match (by_unit, by_window) {
        (true, true) => o.fault_at("window", "contradicts unit; give one of them"),
        (false, false) => o.fault_at("unit", "required (or window, as in window: 10s)"),
        _ => unit.or(window),
    }
}

fn tiers(node: Node<'_>, before: bool) -> Option<Vec<(String, Vec<WindowSpec>)>> {
    if before {
        return node.fault("tiers belong to principals, which are not known before authentication");
    }
    let mut seen = hashbrown::HashSet::new();
    node.filled("no tiers; leave the field out", |n| {
        n.object(|o| {
            let name = o.required("name", |n| {
                let (path, faults) = (n.path, n.faults);
                let name = label(n)?;
                if !seen.insert(name.clone()) {
                    faults.add(&path, format!("duplicate tier {}", quoted(&name)));
                    return None;
                }
                Some(name)
            });
            let windows = o.required("limits", windows);
            Some((name?, windows?))
        })
    })
}
