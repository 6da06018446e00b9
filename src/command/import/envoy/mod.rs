//! `portcullis import envoy`: a policy of Envoy's own filters, by `docs/migration.md`.

mod cells;
mod expr;
mod fields;
mod jwt;
mod jwt_provider;
mod keys;
mod limits;
mod matches;
#[cfg(test)]
mod properties;
mod rbac;
mod region;
mod routes;
mod who;
mod world;

use std::ops::Range;

use serde_json::{Map, Value as Json, json};

use self::{
    cells::{cells, unclear},
    fields::{get, items, members, text},
    region::Region,
    who::Asked,
    world::World,
};
use super::{
    draft::{Draft, DraftRule},
    told::Told,
};
use crate::command::{refusal::Refusal, source::Source, tree::Node};

/// A policy that decides what the filters of one listener do, or less.
///
/// # Errors
/// There are no filters that are translated, or it is not plain which of several are meant.
pub(super) fn draft(
    root: &Node,
    source: &Source,
    listener: Option<&str>,
    told: &mut Told,
) -> Result<Draft, Refusal> {
    let manager = manager(root, source, listener)?;
    let world = World::read(manager, told);
    if world.is_empty() {
        return Err(Refusal::unusable(format!(
            "{} has none of jwt_authn, rbac, api_key_auth and local_ratelimit among its http_filters",
            source.name
        )));
    }
    let mut draft = Draft { sections: world.sections(), ..Draft::default() };
    told.note(
        &(0..0),
        "transport",
        "the policy refuses plain HTTP: say transport: {requireTls: false} where it is meant to pass",
    );
    let regions = world.regions();
    let lost = unclear(&regions);
    let kept: Vec<Region> = regions.into_iter().filter(|region| !lost.contains(region)).collect();
    let world = world.without(&lost, told);
    let Some(cells) = cells(&kept) else {
        return Err(Refusal::unusable(format!(
            "{}: its matches meet in too many places to be told apart",
            source.name
        )));
    };
    let mut asked: Vec<Said> = cells.into_iter().map(|region| world.said(region)).collect();
    let shared = shared_limits(&world, &mut asked, told);
    if let Some(limits) = draft.sections.get_mut("rateLimits").and_then(Json::as_array_mut) {
        limits
            .iter_mut()
            .filter(|limit| shared.iter().any(|name| limit.get("name") == Some(&json!(name))))
            .for_each(in_quarters);
    }
    draft.rules = rules(&world, asked, told);
    Ok(draft)
}

/// What is decided of a region.
#[derive(Clone, Debug, PartialEq)]
struct Said {
    region: Region,
    asked: Asked,
    limits: Vec<String>,
    /// What people call it.
    names: Vec<String>,
    /// In the source.
    at: Range<usize>,
}

/// Limits that count something of callers which those of some rule do not have, by what is to be done about it: the names
/// of those that count everybody together are given back.
fn shared_limits(world: &World<'_>, asked: &mut [Said], told: &mut Told) -> Vec<String> {
    let mut shared = Vec::new();
    for own in asked {
        let Asked::Allow { authenticate, stricter, .. } = &mut own.asked else { continue };
        let is_anonymous = authenticate.get("anonymous").is_some();
        let is_optional = authenticate.get("optional").is_some();
        if !is_anonymous && !is_optional {
            continue;
        }
        for name in own.limits.iter().filter(|name| world.counts_together(name)) {
            if !shared.contains(name) {
                shared.push(name.clone());
                let message = "one count for all, callers without a credential too, is kept in four, by the first bit of addresses, each with a quarter";
                told.left(&own.at, name, message);
            }
        }
        // Nobody is told by a claim who has none, there and here.
        if is_anonymous {
            own.limits.retain(|name| !world.counts_by_claim(name));
        } else if own.limits.iter().any(|name| world.counts_by_claim(name)) {
            stricter.push("who has no token is not counted there; here a token is needed".to_owned());
            if let Some(members) = authenticate.as_object_mut() {
                members.shift_remove("optional");
                members.shift_remove("invalidCredentials");
            }
        }
    }
    shared
}

/// A limit for everybody, as four that together let no more pass.
fn in_quarters(limit: &mut Json) {
    let Some(members) = limit.as_object_mut() else { return };
    members.insert("key".to_owned(), json!(["remoteAddress"]));
    members.insert("ipv4PrefixLength".to_owned(), json!(1));
    members.insert("ipv6PrefixLength".to_owned(), json!(1));
    let windows = members.get_mut("limits").and_then(Json::as_array_mut);
    for window in windows.into_iter().flatten().filter_map(Json::as_object_mut) {
        let number = |window: &Map<String, Json>, name: &str| window.get(name).and_then(Json::as_u64);
        let requests = number(window, "requests").unwrap_or(1);
        let burst = number(window, "burst").unwrap_or(requests);
        let quarter = |number: u64| number.checked_div(4).unwrap_or_default();
        let seconds = match window.shift_remove("unit").as_ref().and_then(Json::as_str) {
            Some("Second") => Some(1_u64),
            Some("Minute") => Some(60),
            Some("Hour") => Some(3600),
            _ => window.get("window").and_then(Json::as_str).and_then(fields::of_duration),
        };
        // As many, in a window that is four times as long: a quarter of the rate, however few they are.
        let long = seconds.unwrap_or(3600).saturating_mul(4);
        window.insert("window".to_owned(), json!(fields::duration(long.saturating_mul(1000))));
        window.insert("burst".to_owned(), json!(quarter(burst).max(1)));
    }
}

impl Said {
    /// Says in what it is other than the source.
    fn tell(&self, told: &mut Told) {
        let name = self.names.first().map_or("rule", String::as_str);
        let shown = shown(&self.region);
        match &self.asked {
            Asked::Deny(Some(why)) => told.left(&self.at, name, format!("{shown}: {why}; it is closed")),
            Asked::Allow { stricter, .. } => {
                for why in stricter {
                    told.left(&self.at, name, format!("{shown}: {why}"));
                }
            }
            Asked::Deny(None) => {}
        }
    }

    fn decides_as(&self, other: &Self) -> bool {
        match (&self.asked, &other.asked) {
            (Asked::Deny(_), Asked::Deny(_)) => true,
            (own, others) => own == others && self.limits == other.limits,
        }
    }
}

/// Rules, without those that say what a wider one behind them says as well.
fn rules(world: &World<'_>, asked: Vec<Said>, told: &mut Told) -> Vec<DraftRule> {
    let mut kept: Vec<Said> = Vec::new();
    for own in asked.into_iter().rev() {
        // What nothing takes is denied.
        let is_said = match kept.iter().rev().find(|wider| own.region.is_in(&wider.region)) {
            Some(wider) => own.decides_as(wider),
            None => matches!(own.asked, Asked::Deny(_)),
        };
        if !is_said {
            kept.push(own);
        }
    }
    kept.reverse();
    let mut rules: Vec<DraftRule> = Vec::new();
    for region in &world.closed {
        let value = rule("closed", region, &Asked::Deny(None), &[]);
        let comments = vec!["Closed: what is decided here cannot be said.".to_owned()];
        rules.push(DraftRule { from: Vec::new(), at: 0..0, value, comments });
    }
    for (at, own) in kept.iter().enumerate() {
        own.tell(told);
        let mut comments = Vec::new();
        if own.names.len() > 1 {
            comments.push(format!("Of {}.", own.names.join(", ")));
        }
        match &own.asked {
            Asked::Deny(Some(why)) => comments.push(format!("Closed: {why}.")),
            Asked::Allow { stricter, .. } => {
                comments.extend(stricter.iter().map(|why| format!("Stricter: {why}.")));
            }
            Asked::Deny(None) => {}
        }
        let name = own.names.first().map_or("rule", String::as_str);
        let value = rule(name, &own.region, &own.asked, &own.limits);
        rules.push(DraftRule { from: Vec::new(), at: own.at.clone(), value, comments });
        // A prefix ends with a segment here. What else it takes there must not fall to another rule that asks for less.
        let may_take = |other: &&Said| other.region.meet(&own.region) != Ok(None);
        let mut behind = kept.iter().skip(at.saturating_add(1)).filter(may_take);
        let is_open = !matches!(own.asked, Asked::Deny(_));
        let falls = behind.any(|other| !matches!(other.asked, Asked::Deny(_)) && !own.decides_as(other));
        if let (true, true, Some(gap)) = (is_open, falls, own.region.gap()) {
            let value = rule(&format!("{name}-gap"), &gap, &Asked::Deny(None), &[]);
            let comments =
                vec!["Closed: paths that go on in the segment in which the prefix ends.".to_owned()];
            rules.push(DraftRule { from: Vec::new(), at: own.at.clone(), value, comments });
        }
    }
    unique_names(&mut rules);
    rules
}

fn rule(name: &str, region: &Region, asked: &Asked, limits: &[String]) -> Map<String, Json> {
    let mut value = Map::from_iter([("name".to_owned(), json!(name))]);
    if let Some(hosts) = &region.hosts {
        value.insert("hostnames".to_owned(), json!(hosts));
    }
    let denies = matches!(asked, Asked::Deny(_));
    if denies {
        value.insert("action".to_owned(), json!("Deny"));
    }
    let matches = region.said(denies);
    if !matches.is_empty() {
        value.insert("matches".to_owned(), json!(matches));
    }
    if let Asked::Allow { authenticate, authorize, .. } = asked {
        value.insert("authenticate".to_owned(), authenticate.clone());
        if let Some(authorize) = authorize {
            value.insert("authorize".to_owned(), json!(authorize));
        }
        if !limits.is_empty() {
            value.insert("rateLimits".to_owned(), json!(limits));
        }
    }
    value
}

/// A region, for people.
fn shown(region: &Region) -> String {
    let matches: Vec<String> = region.said(false).iter().map(Json::to_string).collect();
    if matches.is_empty() { "everything else".to_owned() } else { matches.join(" or ") }
}

fn unique_names(rules: &mut [DraftRule]) {
    let mut names: Vec<String> = Vec::new();
    for rule in rules {
        let (name, mut number) = (rule.name().to_owned(), 1_usize);
        let mut unique = name.clone();
        while names.contains(&unique) {
            number = number.saturating_add(1);
            unique = format!("{name}-{number}");
        }
        rule.rename(&unique);
        names.push(unique);
    }
}

/// The connection manager whose filters are meant: the only one that has any that are translated, or that of `listener`.
fn manager<'a>(root: &'a Node, source: &Source, listener: Option<&str>) -> Result<&'a Node, Refusal> {
    let mut found = Vec::new();
    managers(root, None, &mut found);
    let named = |(name, _): &&(Option<&'a str>, &'a Node)| listener.is_none() || *name == listener;
    let all: Vec<_> = found.iter().filter(named).collect();
    let is_telling = |node: &Node| {
        let known = ["JwtAuthentication", "RBAC", "ApiKeyAuth", "LocalRateLimit"];
        items(node, "http_filters").iter().any(|filter| {
            get(filter, "typed_config").is_some_and(|config| known.contains(&fields::kind(config)))
        })
    };
    let telling: Vec<_> = all.iter().filter(|(_, node)| is_telling(node)).collect();
    match telling.as_slice() {
        [(_, node)] => Ok(node),
        [] => Err(Refusal::unusable(format!(
            "{} has no http_filters with jwt_authn, rbac, api_key_auth or local_ratelimit{}",
            source.name,
            listener.map(|name| format!(" in the listener {name:?}")).unwrap_or_default()
        ))),
        several => {
            let names: Vec<_> = several.iter().map(|(name, _)| name.unwrap_or("without a name")).collect();
            Err(Refusal::usage(format!(
                "{} has filters in several places: say with --listener which are meant: {}",
                source.name,
                names.join(", ")
            )))
        }
    }
}

/// Everything that has `http_filters`, with the name of the listener that it is in. The depth is bounded by whoever read
/// the file.
fn managers<'a>(node: &'a Node, listener: Option<&'a str>, found: &mut Vec<(Option<&'a str>, &'a Node)>) {
    if get(node, "http_filters").is_some() {
        found.push((listener, node));
        return;
    }
    let listener = match get(node, "filter_chains").is_some() {
        true => text(node, "name").or(listener),
        false => listener,
    };
    for item in node.items() {
        managers(item, listener, found);
    }
    for member in members(node) {
        managers(&member.value, listener, found);
    }
}
