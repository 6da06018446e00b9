//! A request for which given lines of given lists are the first that match.

use std::collections::BTreeSet;

use super::{
    given::{Given, Held, Named, kinds},
    patterns::{Pattern, Searched, Universe, search},
    rules::{Condition, Host, Line},
};
use crate::route::Part;

/// A list of lines, and the one of them that is to be the first that matches.
#[derive(Clone, Copy)]
pub(super) struct Side<'l> {
    pub(super) lines: &'l [Line],
    pub(super) at: usize,
    /// Whether it is only in doubt whether it does, so that the request is refused.
    pub(super) doubt: bool,
}

/// What routes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) method: String,
    pub(super) host: String,
    /// Decoded.
    pub(super) path: String,
    pub(super) given: Vec<Named>,
}

/// What became of a search for such a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Region {
    Found(Route),
    /// There is none: proved.
    Empty,
    /// There was too much to look through.
    Unknown,
}

/// A method that no policy names.
const OTHER_METHOD: &str = "X-OTHER";

/// Methods that are tried first where any will do.
const COMMON: [&str; 2] = ["GET", "POST"];

/// Most combinations of headers and parameters that are tried.
const MOST_COMBINATIONS: usize = 600;

impl<'l> Side<'l> {
    fn target(&self) -> Option<&'l Line> {
        self.lines.get(self.at)
    }

    fn earlier(&self) -> &'l [Line] {
        self.lines.get(..self.at).unwrap_or_default()
    }
}

/// A request that falls under the line of every side, and under none before it. What it costs is taken from `left`.
pub(super) fn find(sides: &[Side<'_>], left: &mut usize) -> Region {
    let Some(targets) = sides.iter().map(Side::target).collect::<Option<Vec<&Line>>>() else {
        return Region::Empty;
    };
    let mut host = &Host::Any;
    for target in &targets {
        match host.both(&target.host) {
            Some(both) => host = both,
            None => return Region::Empty,
        }
    }
    let apart = targets.iter().enumerate().any(|(at, one)| {
        targets.iter().skip(at.saturating_add(1)).any(|other| one.path.are_apart(&other.path))
    });
    if apart {
        return Region::Empty;
    }
    let name = host.sample();
    let mut earlier: Vec<&Line> = Vec::new();
    for line in sides.iter().flat_map(Side::earlier) {
        if line.host.takes(&name) && !targets.iter().any(|target| line.path.are_apart(&target.path)) {
            earlier.push(line);
        }
    }
    let mut region = Region::Empty;
    for method in methods(&targets) {
        let takes = |line: &&&Line| line.methods.is_empty() || line.methods.contains(&method);
        let own: Vec<&Line> = earlier.iter().filter(takes).copied().collect();
        let search = Search { sides, targets: &targets, earlier: own, left };
        match search.run() {
            Inner::Found(path, given) => {
                return Region::Found(Route { method, host: name, path, given });
            }
            Inner::Empty => {}
            Inner::Unknown => region = Region::Unknown,
        }
    }
    region
}

/// Methods that all targets take: each that is named, or any.
fn methods(targets: &[&Line]) -> Vec<String> {
    let mut named: Option<BTreeSet<&str>> = None;
    for target in targets.iter().filter(|target| !target.methods.is_empty()) {
        let own: BTreeSet<&str> = target.methods.iter().map(String::as_str).collect();
        named = Some(named.map_or_else(|| own.clone(), |known| &known & &own));
    }
    match named {
        Some(named) => named.into_iter().map(str::to_owned).collect(),
        None => COMMON.into_iter().chain([OTHER_METHOD]).map(str::to_owned).collect(),
    }
}

enum Inner {
    Found(String, Vec<Named>),
    Empty,
    Unknown,
}

/// The search for a method and a host.
struct Search<'s, 'l> {
    sides: &'s [Side<'l>],
    targets: &'s [&'l Line],
    earlier: Vec<&'l Line>,
    left: &'s mut usize,
}

impl Search<'_, '_> {
    fn run(mut self) -> Inner {
        let asked = |line: &Line, part, name: &str| {
            line.conditions.iter().any(|own| own.part == part && own.name == name)
        };
        let names: BTreeSet<(Part, &str)> = self
            .targets
            .iter()
            .flat_map(|line| &line.conditions)
            .map(|condition| (condition.part, condition.name.as_str()))
            .collect();
        // What no target asks for is best left out: whoever asks for it does not match then.
        let can_match =
            |line: &&Line| line.conditions.iter().all(|own| names.contains(&(own.part, own.name.as_str())));
        self.earlier.retain(|line| can_match(line));
        let mut choices: Vec<(Part, String, Vec<Given>)> = Vec::new();
        let mut unknown = false;
        for (part, name) in &names {
            fn of<'a>(line: &'a Line, part: Part, name: &str) -> Vec<&'a Condition> {
                line.conditions.iter().filter(|own| own.part == part && own.name == name).collect()
            }
            let own: Vec<&Condition> = self.targets.iter().flat_map(|line| of(line, *part, name)).collect();
            let others: Vec<&Condition> = self
                .earlier
                .iter()
                .filter(|line| asked(line, *part, name))
                .flat_map(|line| of(line, *part, name))
                .collect();
            let (kinds, more) = kinds(*part, name, &own, &others);
            unknown |= more;
            choices.push((*part, (*name).to_owned(), kinds));
        }
        let mut combinations: Vec<Vec<Named>> = vec![Vec::new()];
        for (part, name, kinds) in &choices {
            let each = combinations.iter().flat_map(|so_far| {
                kinds.iter().map(|given| {
                    let mut next = so_far.clone();
                    next.push((*part, name.clone(), given.clone()));
                    next
                })
            });
            // Nothing is tried that no target takes.
            let fitting = each.filter(|next| self.may_fit(next));
            combinations = fitting.take(MOST_COMBINATIONS.saturating_add(1)).collect();
            if combinations.len() > MOST_COMBINATIONS {
                combinations.truncate(MOST_COMBINATIONS);
                unknown = true;
            }
        }
        for given in combinations {
            match self.with(&given) {
                Inner::Found(path, given) => return Inner::Found(path, given),
                Inner::Empty => {}
                Inner::Unknown => unknown = true,
            }
        }
        if unknown { Inner::Unknown } else { Inner::Empty }
    }

    /// Whether what is given so far leaves every target the way it is wanted.
    fn may_fit(&self, given: &[Named]) -> bool {
        self.sides.iter().zip(self.targets).all(|(side, line)| {
            let so_far = held(line, given, Held::Yes);
            so_far == Held::Yes || (so_far == Held::Doubt && side.doubt)
        })
    }

    /// The search for a path, with these headers and parameters.
    fn with(&mut self, given: &[Named]) -> Inner {
        let fits = self.sides.iter().zip(self.targets).all(|(side, line)| {
            held(line, given, Held::No) == if side.doubt { Held::Doubt } else { Held::Yes }
        });
        if !fits {
            return Inner::Empty;
        }
        let mut avoided: Vec<&Pattern> = Vec::new();
        for line in &self.earlier {
            let is_known = avoided.iter().any(|known| std::ptr::eq(*known, &*line.path));
            if !is_known && held(line, given, Held::No) != Held::No {
                avoided.push(&line.path);
            }
        }
        let mut required: Vec<&Pattern> = Vec::new();
        for target in self.targets {
            if !required.iter().any(|known| std::ptr::eq(*known, &*target.path)) {
                required.push(&target.path);
            }
        }
        let mut path = None;
        let sure: Vec<usize> = (0..avoided.len()).collect();
        let done = search(Universe::Paths, &required, &avoided, &sure, self.left, &mut |text, hits| {
            let is_first = !hits.contains(&true);
            if is_first {
                path = Some(text.to_owned());
            }
            is_first
        });
        match (path, done) {
            (Some(path), _) => Inner::Found(path, given.to_vec()),
            (None, Searched::Exhausted) => Inner::Unknown,
            (None, _) => Inner::Empty,
        }
    }
}

/// Whether all that a line asks holds; `otherwise` is what conditions are on names that are not given.
fn held(line: &Line, given: &[Named], otherwise: Held) -> Held {
    let judged = line.conditions.iter().map(|condition| {
        let found = given.iter().find(|(part, name, _)| *part == condition.part && *name == condition.name);
        found.map_or(otherwise, |(_, _, given)| condition.judge(given))
    });
    judged.min().unwrap_or(Held::Yes)
}

/// The first line that a request falls under, and whether that is in doubt.
pub(super) fn first(lines: &[Line], route: &Route) -> Option<(usize, bool)> {
    lines.iter().enumerate().find_map(|(at, line)| {
        let fits = line.host.takes(&route.host)
            && (line.methods.is_empty() || line.methods.contains(&route.method))
            && line.path.is_match(&route.path);
        match fits.then(|| held(line, &route.given, Held::No))? {
            Held::No => None,
            held => Some((at, held == Held::Doubt)),
        }
    })
}
