//! Routes: which one a request takes, and what it says to the filters.

use std::collections::BTreeSet;

use super::{
    expr::{Alternative, Expr},
    fields::{get, is_true, items, kind, members, text},
    limits::{Actions, actions},
    matches::route,
    region::Region,
};
use crate::command::{import::told::Told, tree::Node};

/// A route.
pub(super) struct Route<'a> {
    /// Where it is; several where it may be here or there. With what is unclear it may be elsewhere, too.
    pub(super) alternatives: Vec<Alternative>,
    /// Its match cannot be said.
    pub(super) is_unclear: bool,
    /// What says something to filters: itself, its virtual host, and all routes, in this order.
    around: Vec<&'a Node>,
    pub(super) actions: Actions,
}

/// What a route says to a filter.
pub(super) enum ToFilter<'a> {
    Nothing,
    Off,
    Says(&'a Node),
}

impl<'a> Route<'a> {
    /// What it says to the filter of this name.
    pub(super) fn says_to(&self, filter: &str) -> ToFilter<'a> {
        for node in &self.around {
            let configs = get(node, "typed_per_filter_config").map(members).unwrap_or_default();
            let Some(own) = configs.into_iter().find(|member| member.name.text == filter) else { continue };
            if kind(&own.value) == "FilterConfig" {
                return match get(&own.value, "config") {
                    _ if is_true(&own.value, "disabled") => ToFilter::Off,
                    Some(config) => ToFilter::Says(config),
                    None => ToFilter::Nothing,
                };
            }
            return ToFilter::Says(&own.value);
        }
        ToFilter::Nothing
    }

    /// Whether any filter is told anything here.
    fn is_telling(&self) -> bool {
        !self.actions.is_empty()
            || self.around.iter().any(|node| get(node, "typed_per_filter_config").is_some())
    }
}

/// The routes beside `http_filters`, in the order in which they are tried. None at all where they tell filters nothing.
pub(super) fn routes<'a>(manager: &'a Node, told: &mut Told) -> Vec<Route<'a>> {
    let configuration = get(manager, "route_config").unwrap_or(manager);
    let mut hosts: Vec<(Option<BTreeSet<String>>, &Node)> = Vec::new();
    for host in items(configuration, "virtual_hosts") {
        hosts.push((domains(host), host));
    }
    // The most exact name counts, whatever the order.
    hosts.sort_by_key(|(domains, _)| match domains {
        None => 2,
        Some(domains) if domains.iter().any(|domain| domain.starts_with('*')) => 1,
        Some(_) => 0,
    });
    let mut found = Vec::new();
    for (domains, host) in hosts {
        for item in items(host, "routes") {
            found.push(one(item, domains.as_ref(), vec![item, host, configuration], told));
        }
    }
    for item in items(configuration, "routes") {
        found.push(one(item, None, vec![item, configuration], told));
    }
    if !found.iter().any(Route::is_telling) {
        found.clear();
    }
    found
}

fn domains(host: &Node) -> Option<BTreeSet<String>> {
    let names: Vec<&str> = items(host, "domains").iter().filter_map(Node::text).collect();
    if names.is_empty() || names.contains(&"*") {
        return None;
    }
    Some(names.iter().map(|name| name.split(':').next().unwrap_or_default().to_ascii_lowercase()).collect())
}

fn one<'a>(
    item: &'a Node,
    domains: Option<&BTreeSet<String>>,
    around: Vec<&'a Node>,
    told: &mut Told,
) -> Route<'a> {
    let about = text(item, "name").unwrap_or("a route");
    // What a match that cannot be said is for is closed where something hangs on it; till then nothing is lost.
    let mut own = Told::default();
    let matched =
        get(item, "match").map(|matcher| route(matcher, about, "what it may match is closed", &mut own));
    let matched = matched.unwrap_or(Expr::Any);
    // Of names with a star elsewhere than before a dot nothing can be said.
    let is_odd = |name: &String| name.trim_start_matches("*.").contains('*');
    let has_odd = domains.is_some_and(|domains| domains.iter().any(is_odd));
    let domains = domains.filter(|_| !has_odd);
    let is_unclear = has_odd || !matched.is_whole();
    told.append(own);
    let host = Region { hosts: domains.cloned(), ..Region::all() };
    let whole = Expr::And(vec![Expr::Region(host), matched]);
    let says = |node: &&&Node| !actions_of(node).is_empty();
    let actions = around.iter().find(says).map(|node| actions_of(node)).unwrap_or_default();
    Route { alternatives: whole.alternatives(false), is_unclear, around, actions }
}

/// Of a route they stand in its action, of a virtual host in itself.
fn actions_of(node: &Node) -> Actions {
    let mut all = actions(node);
    if let Some(route) = get(node, "route") {
        all.extend(actions(route));
    }
    all
}
