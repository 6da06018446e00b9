//! Which rules a request may fall under, and whom they let pass: what `who-can` and `can` tell, and of API keys `diff`.

use serde_json::{Map, Value};

use super::{
    access::{Atom, Caller, Decider, Fact, Facts},
    facts::{SOMEBODY, Solved, Unknowns, asked, solve},
    policy::Policy,
    region::{Region, Route, Side, find, first},
    rules::Line,
    terms::variables,
    witness::{Holder, Witness},
};
use crate::{config::MethodSpec, identity::Party};

/// What looking for one request may cost, in steps of automata.
const MOST_FOR_ONE: usize = 3_000_000;

/// Most facts that are tried for one caller.
const MOST_FACTS: usize = 20_000;

/// A request that falls under a line first, and under `query`, where it is given.
pub(super) fn sample(policy: &Policy, at: usize, query: Option<&Line>) -> Region {
    let mut sides = vec![Side { lines: &policy.lines.all, at, doubt: false }];
    if let Some(query) = query {
        sides.push(Side { lines: std::slice::from_ref(query), at: 0, doubt: false });
    }
    find(&sides, &mut MOST_FOR_ONE.clone())
}

/// A request for the rule at `rule`: by the first of its lines that has one.
pub(super) fn sample_of_rule(policy: &Policy, rule: usize) -> Option<(Route, &Line)> {
    let lines = policy.lines.of_rule.get(rule)?.clone();
    lines.into_iter().find_map(|at| match sample(policy, at, None) {
        Region::Found(route) => Some((route, policy.lines.all.get(at)?)),
        Region::Empty | Region::Unknown => None,
    })
}

/// The same request with the value of every variable of its path replaced.
fn with_variables(line: &Line, route: &Route, value: &str) -> Route {
    let own = variables(line, &route.path);
    let template = match &line.spec.path {
        Some(crate::route::PathSpec::PathTemplate(text)) => text.as_str(),
        _ => return route.clone(),
    };
    let mut path = String::new();
    for segment in template.split('/').skip(1) {
        path.push('/');
        let is_own = own
            .iter()
            .any(|(name, _)| segment.strip_prefix('{').is_some_and(|rest| rest.starts_with(name.as_str())));
        path.push_str(&if is_own {
            value.to_owned()
        } else {
            crate::request::path::decode(segment).into_owned()
        });
    }
    Route { path, ..route.clone() }
}

/// A request for a line, and the same with a path that names `value`, where that falls under the same rule and under
/// `query`.
pub(super) fn variants(
    policy: &Policy,
    line: &Line,
    route: &Route,
    value: &str,
    query: Option<&Line>,
) -> Vec<Route> {
    let named = with_variables(line, route, value);
    let is_same = first(&policy.lines.all, &named).is_some_and(|(at, doubt)| {
        !doubt && policy.lines.all.get(at).is_some_and(|own| own.rule == line.rule)
    });
    let is_asked = query.is_none_or(|query| query.path.is_match(&named.path));
    let mut all = vec![route.clone()];
    if named != *route && is_same && is_asked {
        all.push(named);
    }
    all
}

/// Requests of the same route from nowhere in particular and from each network that the rule names.
pub(super) fn from_everywhere(policy: &Policy, line: &Line, caller: &Caller) -> Vec<Fact> {
    let unknowns = Unknowns::of(&[policy.rule(line.rule)], &[&policy.roles], caller, &[], false);
    let found = unknowns.atoms.into_iter().find(|(atom, _)| *atom == Atom::Address);
    found.map(|(_, values)| values).unwrap_or_default()
}

/// Whether an API key passes with this request, from wherever it may come.
pub(super) fn key_passes(policy: &Policy, line: &Line, route: &Route, id: &str, query: &Line) -> bool {
    let caller = Caller { actor: None, principal: Some(MethodSpec::ApiKey) };
    let routes = variants(policy, line, route, &client_of(policy, id), Some(query));
    from_everywhere(policy, line, &caller).into_iter().any(|address| {
        routes.iter().any(|route| {
            let facts: Facts = std::iter::once((Atom::Address, address.clone())).collect();
            let holder = Some(Holder::Key(id.to_owned()));
            passes(policy, &Witness { route: route.clone(), caller: caller.clone(), facts, holder })
        })
    })
}

/// Whom a key stands for.
pub(super) fn client_of(policy: &Policy, id: &str) -> String {
    let keys = policy.written.pointer("/apiKeys/keys").and_then(Value::as_array);
    let key = keys.into_iter().flatten().find(|key| key.get("id").and_then(Value::as_str) == Some(id));
    key.and_then(|key| key.get("client")?.as_str()).unwrap_or(id).to_owned()
}

/// What the engine says.
pub(super) fn passes(policy: &Policy, witness: &Witness) -> bool {
    witness.asked(policy).is_ok_and(|asked| policy.decide(&asked).reason.is_none())
}

/// Whether anybody can pass by a rule.
pub(super) enum Anybody {
    /// Like this.
    Like(Box<Witness>),
    /// No token does; keys and certificates are not looked at here.
    Nobody,
    Unknown,
}

/// A caller that passes by the line's rule, with this request or one with other values of its variables.
pub(super) fn somebody(
    policy: &Policy,
    line: &Line,
    route: &Route,
    caller: &Caller,
    query: &Line,
) -> Anybody {
    let Some(rule) = line.rule else { return Anybody::Nobody };
    let mut result = Anybody::Nobody;
    for route in variants(policy, line, route, SOMEBODY, Some(query)) {
        let own = variables(line, &route.path);
        let unknowns = Unknowns::of(&[policy.rule(line.rule)], &[&policy.roles], caller, &own, false);
        let decide = |facts: &Facts| {
            let decider = Decider {
                document: &policy.document,
                roles: &policy.roles,
                variables: &own,
                caller,
                in_play: &unknowns.in_play,
                facts,
            };
            let passes = decider.passes(rule);
            (passes, passes)
        };
        match solve(&unknowns, (true, true), &decide, &mut MOST_FACTS.clone()) {
            Solved::Nothing => {}
            Solved::Unknown => result = Anybody::Unknown,
            Solved::Found(facts) => {
                let witness = Witness { route: route.clone(), caller: caller.clone(), facts, holder: None };
                if passes(policy, &witness) {
                    return Anybody::Like(Box::new(witness));
                }
                result = Anybody::Unknown;
            }
        }
    }
    result
}

/// Whoever comes with a token of `provider` that says this.
pub(super) fn facts_of_claims(claims: &Map<String, Value>) -> Facts {
    let each = claims.iter().map(|(name, value)| {
        (Atom::Claim(Party::Principal, vec![name.clone()]), Fact::Claim(Some(value.clone())))
    });
    each.collect()
}

/// What an alternative of a rule asks, in words; the roles that grant a permission stand behind it.
pub(super) fn alternatives(policy: &Policy, line: &Line) -> Vec<String> {
    let rule = policy.rule(line.rule);
    let written = line.rule.and_then(|place| policy.written.get("rules")?.get(place)?.get("authorize"));
    let (Some(_), Some(written)) = (asked(rule), written) else { return Vec::new() };
    let listed = written.get("anyOf").and_then(Value::as_array);
    let one = |asked: &Value| told(policy, asked, "").join(" and ");
    listed.map_or_else(|| vec![one(written)], |listed| listed.iter().map(one).collect())
}

fn told(policy: &Policy, asked: &Value, of: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for (name, value) in asked.as_object().into_iter().flatten() {
        match name.as_str() {
            "scopes" | "roles" | "permissions" => {
                let kind = name.strip_suffix('s').unwrap_or(name);
                let (names, word) = match value.as_array().or_else(|| value.get("allOf")?.as_array()) {
                    Some(names) => (names, " and "),
                    None => (value.get("anyOf").and_then(Value::as_array).unwrap_or(NONE), " or "),
                };
                let each: Vec<String> = names
                    .iter()
                    .filter_map(Value::as_str)
                    .map(|name| format!("{of}{kind} {name}{}", granted_by(policy, kind, name)))
                    .collect();
                let joined = each.join(word);
                parts.push(if word == " or " && each.len() > 1 { format!("({joined})") } else { joined });
            }
            "owner" => {
                let claim = value.get("claim").map_or_else(|| "sub".to_owned(), Value::to_string);
                let variable = value.get("pathVariable").and_then(Value::as_str).unwrap_or_default();
                parts.push(format!("{of}{claim} is {{{variable}}}"));
            }
            "actor" => parts.extend(told(policy, value, "the actor's ")),
            "noneOf" => {
                let each = value.as_array().into_iter().flatten();
                parts.extend(
                    each.map(|excluded| format!("not ({})", told(policy, excluded, of).join(" and "))),
                );
            }
            _ => parts.push(format!("{of}{name} {value}")),
        }
    }
    parts
}

/// No names.
static NONE: &Vec<Value> = &Vec::new();

fn granted_by(policy: &Policy, kind: &str, name: &str) -> String {
    if kind == "scope" {
        return String::new();
    }
    let gives = |role: &&String| match kind {
        "role" => *role != name && policy.roles.is_one(role, name),
        _ => policy.roles.grants(role, name),
    };
    let mut roles: Vec<&str> = policy.roles.names().filter(gives).map(String::as_str).collect();
    roles.sort_unstable();
    match (kind, roles.is_empty()) {
        (_, true) => String::new(),
        ("role", false) => format!(" (also {})", roles.join(", ")),
        (_, false) => format!(" (by {})", roles.join(", ")),
    }
}
