//! What two policies decide otherwise: pairs of lines that one request may fall under, each with a request that the engine
//! was asked.

use hashbrown::{HashMap, HashSet};

use super::{
    difference::{Difference, Found, Kind, Undecided, changed},
    facts::{has_owner, names_of_owners},
    holders::Holders,
    pairs::twins,
    policy::Policy,
    region::{Region, Route, Side, find},
    rules::Line,
    terms::{DENIED, Terms, variables},
    witness::{Both, Witness},
};
use crate::{command::offline::Outcome, config::RuleSpec};

/// What looking for one request may cost, in steps of automata; and what all may cost together.
pub(super) const MOST_FOR_ONE: usize = 3_000_000;
const MOST_FOR_ALL: usize = 600_000_000;

/// Which rules, and what is wanted of them.
type Class = (Option<usize>, Option<usize>, Kind);

/// Two lines, and of each whether it is only in doubt that it matches.
#[derive(Clone, Copy)]
pub(super) struct Pair<'p> {
    pub(super) old: Side<'p>,
    pub(super) new: Side<'p>,
}

pub(super) struct Comparing<'p> {
    pub(super) old: &'p Policy,
    pub(super) new: &'p Policy,
    old_terms: Terms<'p>,
    new_terms: Terms<'p>,
    pub(super) holders: Holders,
    pub(super) left: usize,
    done: HashSet<Class>,
    pub(super) found: Found,
}

impl<'p> Comparing<'p> {
    pub(super) fn new(old: &'p Policy, new: &'p Policy) -> Self {
        Self {
            old,
            new,
            old_terms: Terms::new(old),
            new_terms: Terms::new(new),
            holders: Holders::of(old, new),
            left: MOST_FOR_ALL,
            done: HashSet::new(),
            found: Found::default(),
        }
    }

    /// Compares all rules.
    pub(super) fn run(mut self) -> Found {
        let (old, new) = (self.old, self.new);
        let (old_lines, new_lines) = (&*old.lines.all, &*new.lines.all);
        let old_decisions: Vec<String> = old_lines.iter().map(|line| self.old_terms.decision(line)).collect();
        let new_decisions: Vec<String> = new_lines.iter().map(|line| self.new_terms.decision(line)).collect();
        let twins: HashMap<usize, usize> = twins(old_lines, new_lines).into_iter().collect();
        let of_twins: HashSet<usize> = twins.values().copied().collect();
        let mut pairs: Vec<(usize, usize)> = Vec::new();
        for (at, line) in old_lines.iter().enumerate() {
            match twins.get(&at) {
                Some(twin) => pairs.push((at, *twin)),
                None => {
                    let met = new_lines.iter().enumerate().filter(|(_, other)| line.meets(other));
                    pairs.extend(met.map(|(other, _)| (at, other)));
                }
            }
        }
        for (at, line) in new_lines.iter().enumerate().filter(|(at, _)| !of_twins.contains(at)) {
            let met = old_lines
                .iter()
                .enumerate()
                .filter(|(other, old)| twins.contains_key(other) && old.meets(line));
            pairs.extend(met.map(|(other, _)| (other, at)));
        }
        for (at, other) in pairs {
            let (Some(line), Some(other_line)) = (old_lines.get(at), new_lines.get(other)) else { continue };
            let same = old_decisions.get(at) == new_decisions.get(other);
            let is_denied =
                |decisions: &[String], at: usize| decisions.get(at).is_some_and(|text| text == DENIED);
            let (old_denied, new_denied) = (is_denied(&old_decisions, at), is_denied(&new_decisions, other));
            let side = |lines, at, doubt| Side { lines, at, doubt };
            let mut kinds: Vec<Kind> = Vec::new();
            if !same {
                kinds.extend(
                    [(Kind::Opened, new_denied), (Kind::Closed, old_denied)]
                        .into_iter()
                        .filter(|(_, never)| !never)
                        .map(|(kind, _)| kind),
                );
            }
            let treated = !old_denied
                && !new_denied
                && self.old_terms.obligations(line.rule) != self.new_terms.obligations(other_line.rule);
            if treated {
                kinds.push(Kind::Changed);
            }
            let pair = Pair { old: side(old_lines, at, false), new: side(new_lines, other, false) };
            self.examine(pair, &kinds);
            if twins.get(&at) == Some(&other) {
                continue;
            }
            // Who only may match refuses.
            if !line.conditions.is_empty() && !new_denied {
                self.examine(Pair { old: side(old_lines, at, true), ..pair }, &[Kind::Opened]);
            }
            if !other_line.conditions.is_empty() && !old_denied {
                self.examine(Pair { new: side(new_lines, other, true), ..pair }, &[Kind::Closed]);
            }
        }
        self.unread_paths(&twins, &old_decisions, &new_decisions);
        self.found.differences.sort_by_key(|one| one.kind);
        self.found
    }

    /// Where a rule keeps encoded slashes or matrix parameters, which rule decides a path with such depends on others, too.
    fn unread_paths(&mut self, twins: &HashMap<usize, usize>, old: &[String], new: &[String]) {
        let keeps = |policy: &Policy| policy.document.rules.iter().any(|rule| !rule.route.kept.is_nothing());
        let is_same = twins.len() == old.len()
            && old.len() == new.len()
            && twins.iter().all(|(at, other)| old.get(*at) == new.get(*other));
        if !is_same && (keeps(self.old) || keeps(self.new)) {
            let why =
                "paths with an encoded slash or matrix parameters, which some rule keeps, are not searched";
            self.found.undecided.push(Undecided { old_rule: None, new_rule: None, why: why.to_owned() });
        }
    }

    /// Looks for requests of these kinds that fall under both lines.
    fn examine(&mut self, pair: Pair<'p>, kinds: &[Kind]) {
        let (Some(old), Some(new)) = (pair.old.lines.get(pair.old.at), pair.new.lines.get(pair.new.at))
        else {
            return;
        };
        let open: Vec<Kind> =
            kinds.iter().copied().filter(|kind| !self.done.contains(&(old.rule, new.rule, *kind))).collect();
        if open.is_empty() {
            return;
        }
        let mut left = MOST_FOR_ONE.min(self.left);
        let before = left;
        let region = find(&[pair.old, pair.new], &mut left);
        self.left = self.left.saturating_sub(before.saturating_sub(left));
        let route = match region {
            Region::Empty => return,
            Region::Unknown => {
                self.undecided(
                    old,
                    new,
                    "too many patterns overlap to tell whether a request falls under both",
                );
                return;
            }
            Region::Found(route) => route,
        };
        let mut routes = vec![route];
        routes.extend(routes.first().and_then(|route| told_apart(pair, route)));
        for name in names_of_owners(&[self.old.rule(old.rule), self.new.rule(new.rule)]) {
            routes.extend(self.named_by(pair, &name));
        }
        let needs_distinct = [old, new]
            .iter()
            .any(|line| variables(line, "/").len() > 1 && has_owner(self.rule_of(line, pair)));
        let is_whole = routes.len() > 1 || !needs_distinct;
        let audiences = |policy: &Policy, rule: Option<&RuleSpec>| {
            let place = rule.and_then(|rule| rule.resource);
            place.and_then(|place| policy.document.protected_resources.get(place)?.audiences.clone())
        };
        let decides = open.iter().any(|kind| *kind != Kind::Changed);
        if decides
            && audiences(self.old, self.old.rule(old.rule)) != audiences(self.new, self.new.rule(new.rule))
        {
            self.undecided(old, new, "tokens must be for other audiences, which are not compared");
        }
        for kind in open {
            let mut why = None;
            let is_found = routes.iter().any(|route| self.search(pair, old, new, route, kind, &mut why));
            if !is_found && why.is_none() && !is_whole {
                why = Some("paths on which variables have different values were not tried".to_owned());
            }
            if let (false, Some(why)) = (is_found, why) {
                self.undecided(old, new, &format!("{}: {why}", kind.name()));
            }
        }
    }

    fn rule_of(&self, line: &Line, pair: Pair<'_>) -> Option<&'p RuleSpec> {
        let is_old = pair.old.lines.get(pair.old.at).is_some_and(|own| std::ptr::eq(own, line));
        if is_old { self.old.rule(line.rule) } else { self.new.rule(line.rule) }
    }

    /// Notes a difference of this kind, if the engine finds one.
    pub(super) fn take(&mut self, old: &Line, new: &Line, kind: Kind, witness: Witness, both: &Both) -> bool {
        let allowed = |outcome: &Outcome| outcome.reason.is_none();
        if (allowed(&both.old), allowed(&both.new)) != kind.wanted() {
            return false;
        }
        let named = |outcome: &Outcome| outcome.rule().map(str::to_owned);
        let expected = [self.name(self.old, old.rule), self.name(self.new, new.rule)];
        let is_expected = [named(&both.old), named(&both.new)] == expected;
        let mut changes = Vec::new();
        if kind == Kind::Changed {
            if !is_expected {
                return false;
            }
            changes = changed(&self.old_terms.obligations(old.rule), &self.new_terms.obligations(new.rule));
        }
        if is_expected {
            self.done.insert((old.rule, new.rule, kind));
        }
        let (old_rule, new_rule) = (named(&both.old), named(&both.new));
        let is_known = self
            .found
            .differences
            .iter()
            .any(|known| known.kind == kind && known.old_rule == old_rule && known.new_rule == new_rule);
        if !is_known {
            self.found.differences.push(Difference {
                kind,
                old_rule,
                new_rule,
                old_verdict: both.old.verdict(),
                new_verdict: both.new.verdict(),
                changes,
                witness,
            });
        }
        is_expected
    }

    fn name(&self, policy: &Policy, rule: Option<usize>) -> Option<String> {
        policy.rule(rule).map(|rule| rule.name.clone())
    }

    fn undecided(&mut self, old: &Line, new: &Line, why: &str) {
        let undecided = Undecided {
            old_rule: self.name(self.old, old.rule),
            new_rule: self.name(self.new, new.rule),
            why: why.to_owned(),
        };
        if !self.found.undecided.contains(&undecided) {
            self.found.undecided.push(undecided);
        }
    }
}

/// The same request, with another value in each segment that may have it; `None`: it would fall under other lines.
fn told_apart(pair: Pair<'_>, route: &Route) -> Option<Route> {
    let mut segments: Vec<String> = route.path.split('/').map(str::to_owned).collect();
    for at in 1..segments.len() {
        let own = segments.get(at).cloned().unwrap_or_default();
        if own.is_empty() {
            continue;
        }
        if let Some(segment) = segments.get_mut(at) {
            *segment = format!("{own}{at}");
        }
        let other = Route { path: segments.join("/"), ..route.clone() };
        if (!pair.old.is_first(&other) || !pair.new.is_first(&other))
            && let Some(segment) = segments.get_mut(at)
        {
            *segment = own;
        }
    }
    let other = Route { path: segments.join("/"), ..route.clone() };
    (other.path != route.path).then_some(other)
}

impl Side<'_> {
    /// Whether the request falls under its line first.
    fn is_first(&self, route: &Route) -> bool {
        super::region::first(self.lines, route) == Some((self.at, self.doubt))
    }
}
