//! The order of rules: narrower paths first, and nothing open that a document does not say.
//!
//! To a document a path of text is itself and never a template's (OpenAPI 3.1, section 4.8.8.1), whatever its methods. To
//! a policy the first rule that matches decides, and a template would take what an exact path does not speak of. So that
//! is denied where the exact path stands. Where two templates take one path, a document does not say which one is meant.

use serde_json::Map;

use super::{
    operations::{Group, PathRules, in_mark},
    paths::Path,
};
use crate::command::import::told::Told;

/// What is said of one path is compared with that of so many others. Documents with more are cut into files.
const MOST_PATHS: usize = 5_000;

/// Sorts, and closes what nobody speaks of.
pub(super) fn ordered(mut all: Vec<PathRules>, told: &mut Told) -> Vec<PathRules> {
    if all.len() > MOST_PATHS {
        for rules in all.iter().skip(MOST_PATHS) {
            told.left(
                &rules.at,
                &rules.text,
                format!("there are more than {MOST_PATHS} paths; no rule is made of it"),
            );
        }
        all.truncate(MOST_PATHS);
    }
    // Of those that are alike the document's order counts.
    all.sort_by(|one, other| one.path.order(&other.path));
    let doubtful = doubtful(&mut all, told);
    let guards: Vec<Option<Group>> = (0..all.len()).map(|place| guard(&all, place)).collect();
    for (rules, guard) in all.iter_mut().zip(guards) {
        rules.groups.extend(guard);
    }
    for (place, group) in doubtful {
        if let Some(rules) = all.get_mut(place) {
            rules.groups.insert(0, group);
        }
    }
    all
}

fn share_a_host(one: &PathRules, other: &PathRules) -> bool {
    let any = one.hostnames.is_empty() || other.hostnames.is_empty();
    any || one.hostnames.iter().any(|host| other.hostnames.contains(host))
}

/// What wider paths behind the one at `place` would let pass in its stead.
fn guard(all: &[PathRules], place: usize) -> Option<Group> {
    let (own, behind) = (all.get(place)?, all.get(place.saturating_add(1)..)?);
    if own.groups.iter().any(|group| group.methods.is_empty()) {
        return None;
    }
    let is_own = |method: &String| own.groups.iter().any(|group| group.methods.contains(method));
    let mut missing: Vec<String> = Vec::new();
    for wider in behind.iter().filter(|wider| share_a_host(own, wider) && wider.path.covers(&own.path)) {
        for method in wider.groups.iter().filter(|group| !group.is_closed()).flat_map(|group| &group.methods)
        {
            if !is_own(method) && !missing.contains(method) {
                missing.push(method.clone());
            }
        }
    }
    if missing.is_empty() {
        return None;
    }
    let first = own.groups.first()?;
    let text = in_mark(&own.text);
    Some(Group {
        name: format!("{}-only", first.name),
        asks: Map::new(),
        from: missing.iter().map(|method| format!("no {method} {text}")).collect(),
        methods: missing,
        at: own.at.clone(),
        comments: Vec::new(),
        paths: Vec::new(),
    })
}

/// Paths that two operations take which ask different things: they are closed in front of the first of the two, whose
/// place is given.
fn doubtful(all: &mut [PathRules], told: &mut Told) -> Vec<(usize, Group)> {
    let mut doubtful: Vec<(usize, Group)> = Vec::new();
    for one in 0..all.len() {
        for other in one.saturating_add(1)..all.len() {
            let (Some(first), Some(second)) = (all.get(one), all.get(other)) else { continue };
            let apart = first.path.covers(&second.path) || second.path.covers(&first.path);
            if apart || !share_a_host(first, second) {
                continue;
            }
            let met = match first.path.meets(&second.path) {
                Ok(None) => continue,
                Ok(Some(path)) => path,
                Err(()) => {
                    let (methods, text) = (differing(first, second), second.text.clone());
                    close(all, one, &methods, &text, told);
                    continue;
                }
            };
            let mut methods = differing(first, second);
            methods.retain(|method| !is_said(all, &met, first, method));
            if methods.is_empty() {
                continue;
            }
            let is_alike = |(place, group): &&mut (usize, Group)| *place == one && group.methods == methods;
            match doubtful.iter_mut().find(is_alike) {
                Some((_, group)) => group.paths.push(met),
                None => doubtful.push((one, between(first, methods, met))),
            }
        }
    }
    for (place, group) in &doubtful {
        let Some(first) = all.get(*place) else { continue };
        let message = format!(
            "{} paths may be of it or of another with other variables, which asks something else; they are closed for {}",
            group.paths.len(),
            group.methods.join(", ")
        );
        told.left(&first.at, &first.text, message);
    }
    doubtful
}

fn between(first: &PathRules, methods: Vec<String>, met: Path) -> Group {
    let from = |method: &String| format!("{method} {} or others", in_mark(&first.text));
    Group {
        name: first.groups.first().map(|group| format!("{}-or-other", group.name)).unwrap_or_default(),
        asks: Map::new(),
        from: methods.iter().map(from).collect(),
        methods,
        at: first.at.clone(),
        comments: vec!["Closed: two operations take it that ask different things.".to_owned()],
        paths: vec![met],
    }
}

/// Whether the document has an operation at `path` itself.
fn is_said(all: &[PathRules], path: &Path, near: &PathRules, method: &String) -> bool {
    let same =
        |rules: &&PathRules| rules.path.covers(path) && path.covers(&rules.path) && share_a_host(rules, near);
    all.iter().filter(same).flat_map(|rules| &rules.groups).any(|group| group.methods.contains(method))
}

/// Methods that both have, and of which they ask different things.
fn differing(first: &PathRules, second: &PathRules) -> Vec<String> {
    let mut methods = Vec::new();
    for own in &first.groups {
        for other in second.groups.iter().filter(|other| other.asks != own.asks) {
            methods.extend(own.methods.iter().filter(|method| other.methods.contains(method)).cloned());
        }
    }
    methods
}

/// Closes operations of the path that comes first, where what it shares with another cannot be said.
fn close(all: &mut [PathRules], place: usize, methods: &[String], other: &str, told: &mut Told) {
    let Some(rules) = all.get_mut(place) else { return };
    for group in rules.groups.iter_mut().filter(|group| !group.is_closed()) {
        if group.methods.iter().any(|method| methods.contains(method)) {
            let why = format!("{other} may take the same paths and asks something else");
            told.left(&group.at, &group.from.join(", "), format!("{why}; it is closed"));
            group.close(&why);
        }
    }
}
