//! What two policies decide otherwise: pairs of lines that one request may fall under, each with a request that the engine
//! was asked.

use hashbrown::{HashMap, HashSet};
use serde_json::{Map, Value};

use super::{
    access::{Atom, Caller, Decider, Fact, Facts},
    facts::{Solved, Unknowns, asked, names_of_owners, solve, variables_of_owners},
    given::Given,
    holders::Holders,
    pairs::twins,
    policy::Policy,
    reach::client_of,
    region::{Region, Route, Side, find},
    rules::Line,
    terms::{DENIED, Terms, variables},
    witness::{Both, Holder, Witness, confirm},
};
use crate::{
    command::offline::Outcome,
    config::{ActionSpec, MethodSpec, RuleSpec},
    route::{MatchSpec, Part, PathSpec},
    text::percent,
};

/// What a difference is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Refused by the old policy, allowed by the new one.
    Opened,
    /// Allowed by the old policy, refused by the new one.
    Closed,
    /// Allowed by both, and treated otherwise.
    Changed,
}

impl Kind {
    pub(super) const ALL: [Self; 3] = [Self::Opened, Self::Closed, Self::Changed];

    /// Whether the old policy allows, and the new one.
    const fn wanted(self) -> (bool, bool) {
        match self {
            Self::Opened => (false, true),
            Self::Closed => (true, false),
            Self::Changed => (true, true),
        }
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Closed => "closed",
            Self::Changed => "changed",
        }
    }
}

/// Requests that are decided otherwise.
#[derive(Clone, Debug)]
pub(super) struct Difference {
    pub(super) kind: Kind,
    /// The names of the rules; `None`: none matches.
    pub(super) old_rule: Option<String>,
    pub(super) new_rule: Option<String>,
    pub(super) old_verdict: &'static str,
    pub(super) new_verdict: &'static str,
    /// What is otherwise, where both allow it.
    pub(super) changes: Vec<String>,
    /// A request that shows it.
    pub(super) witness: Witness,
}

/// Requests of which it was not found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Undecided {
    pub(super) old_rule: Option<String>,
    pub(super) new_rule: Option<String>,
    pub(super) why: String,
}

/// All that was found.
#[derive(Default)]
pub(super) struct Found {
    pub(super) differences: Vec<Difference>,
    pub(super) undecided: Vec<Undecided>,
}

/// What looking for one request may cost, in steps of automata; and what all may cost together.
const MOST_FOR_ONE: usize = 3_000_000;
const MOST_FOR_ALL: usize = 600_000_000;

/// Most facts that are tried for one caller.
const MOST_FACTS: usize = 20_000;

/// Which rules, and what is wanted of them.
type Class = (Option<usize>, Option<usize>, Kind);

/// Two lines, and of each whether it is only in doubt that it matches.
#[derive(Clone, Copy)]
struct Pair<'p> {
    old: Side<'p>,
    new: Side<'p>,
}

pub(super) struct Comparing<'p> {
    pub(super) old: &'p Policy,
    pub(super) new: &'p Policy,
    old_terms: Terms<'p>,
    new_terms: Terms<'p>,
    holders: Holders,
    left: usize,
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

    /// Whether a caller was found; `why` is said where it is not known that there is none.
    fn search(
        &mut self,
        pair: Pair<'_>,
        old: &Line,
        new: &Line,
        route: &Route,
        kind: Kind,
        why: &mut Option<String>,
    ) -> bool {
        let (old_rule, new_rule) = (self.old.rule(old.rule), self.new.rule(new.rule));
        let rules = [old_rule, new_rule];
        let (old_variables, new_variables) = (variables(old, &route.path), variables(new, &route.path));
        let both: Vec<(String, String)> = old_variables.iter().chain(&new_variables).cloned().collect();
        let tls = |rule: Option<&RuleSpec>, policy: &Policy| {
            rule.and_then(|rule| rule.require_tls).unwrap_or(policy.document.transport.require_tls)
        };
        let tls_matters = tls(old_rule, self.old) != tls(new_rule, self.new);
        let preflights = |rule: Option<&RuleSpec>| rule.is_some_and(|rule| rule.cors_preflight);
        if preflights(old_rule) != preflights(new_rule) && self.preflight(old, new, route, kind) {
            return true;
        }
        let by_client = rules.iter().any(|rule| asks_who(*rule));
        for caller in callers(&rules) {
            let roles = [&self.old.roles, &self.new.roles];
            let unknowns = Unknowns::of(&rules, &roles, &caller, &both, tls_matters);
            let single = caller.actor.is_none()
                && matches!(caller.principal, Some(MethodSpec::ApiKey | MethodSpec::ClientCertificate));
            if single {
                if self.holders_by_engine(pair, route, kind, &caller, &unknowns, by_client) {
                    return true;
                }
                if self.holders.leaves_out(by_client) {
                    why.get_or_insert_with(|| {
                        "there are more kinds of keys or certificates than were tried".to_owned()
                    });
                }
                continue;
            }
            let (old_policy, new_policy) = (self.old, self.new);
            let decide = |facts: &Facts| {
                let in_play = &unknowns.in_play;
                let one = |policy: &Policy, variables: &[(String, String)], side: Side<'_>, line: &Line| {
                    let decider = Decider {
                        document: &policy.document,
                        roles: &policy.roles,
                        variables,
                        caller: &caller,
                        in_play,
                        facts,
                    };
                    match line.rule {
                        Some(rule) if !side.doubt => decider.passes(rule),
                        _ => Some(false),
                    }
                };
                (
                    one(old_policy, &old_variables, pair.old, old),
                    one(new_policy, &new_variables, pair.new, new),
                )
            };
            match solve(&unknowns, kind.wanted(), &decide, &mut MOST_FACTS.clone()) {
                Solved::Nothing => {}
                Solved::Unknown => {
                    let told = "too many facts of a caller matter";
                    why.get_or_insert_with(|| told.to_owned());
                }
                Solved::Found(facts) => {
                    let holders = held_by(&self.holders, &caller, by_client);
                    let mut last = "no API key or certificate holds what is needed".to_owned();
                    for holder in holders {
                        let witness = Witness {
                            route: route.clone(),
                            caller: caller.clone(),
                            facts: facts.clone(),
                            holder,
                        };
                        match confirm(&witness, self.old, self.new) {
                            Ok(both) => {
                                if self.take(old, new, kind, witness, &both) {
                                    return true;
                                }
                                last = told_instead(&both);
                            }
                            Err(message) => last = message,
                        }
                    }
                    why.get_or_insert(last);
                }
            }
        }
        false
    }

    /// Whether the CORS preflight of a request shows a difference of this kind.
    fn preflight(&mut self, old: &Line, new: &Line, route: &Route, kind: Kind) -> bool {
        let mut route = route.clone();
        let asked = std::mem::replace(&mut route.method, "OPTIONS".to_owned());
        for (name, value) in [("origin", "https://app.invalid"), ("access-control-request-method", &*asked)] {
            route.given.push((Part::Header, name.to_owned(), Given::One(value.to_owned())));
        }
        let caller = Caller { actor: None, principal: None };
        let witness = Witness { route, caller, facts: Facts::new(), holder: None };
        match confirm(&witness, self.old, self.new) {
            Ok(both) => self.take(old, new, kind, witness, &both),
            Err(_) => false,
        }
    }

    /// API keys and certificates, each of which the engine is asked.
    fn holders_by_engine(
        &mut self,
        pair: Pair<'_>,
        route: &Route,
        kind: Kind,
        caller: &Caller,
        unknowns: &Unknowns,
        by_client: bool,
    ) -> bool {
        let of = |wanted: &Atom| -> Vec<Fact> {
            let found = unknowns.atoms.iter().find(|(atom, _)| atom == wanted);
            found.map(|(_, values)| values.clone()).unwrap_or_default()
        };
        let (Some(old), Some(new)) = (pair.old.lines.get(pair.old.at), pair.new.lines.get(pair.new.at))
        else {
            return false;
        };
        let addresses = of(&Atom::Address);
        let tls = if of(&Atom::Tls).is_empty() { vec![Fact::Flag(true)] } else { of(&Atom::Tls) };
        for holder in held_by(&self.holders, caller, by_client) {
            let mut routes = vec![route.clone()];
            if by_client {
                let names: Vec<String> = holder.iter().flat_map(|holder| self.names_of(holder)).collect();
                for name in names {
                    routes.extend(self.named_by(pair, &name));
                }
            }
            let tried = routes.iter().flat_map(|route| addresses.iter().map(move |address| (route, address)));
            for ((route, address), tls) in tried.flat_map(|tried| tls.iter().map(move |tls| (tried, tls))) {
                let facts: Facts =
                    [(Atom::Address, address.clone()), (Atom::Tls, tls.clone())].into_iter().collect();
                let witness =
                    Witness { route: route.clone(), caller: caller.clone(), facts, holder: holder.clone() };
                if let Ok(both) = confirm(&witness, self.old, self.new)
                    && self.take(old, new, kind, witness, &both)
                {
                    return true;
                }
            }
        }
        false
    }

    /// Whom an API key or a certificate stands for, by one policy or the other.
    fn names_of(&self, holder: &Holder) -> Vec<String> {
        let mut names = match holder {
            Holder::Key(id) => vec![client_of(self.old, id), client_of(self.new, id)],
            Holder::Certificate { uri, dns, subject } => {
                [uri, dns, subject].into_iter().flatten().cloned().collect()
            }
        };
        names.dedup();
        names
    }

    /// Requests that fall under both lines, with a path whose variables name the owner that a rule asks for.
    fn named_by(&mut self, pair: Pair<'_>, name: &str) -> Vec<Route> {
        let mut escaped = String::new();
        percent::push_encoded(&mut escaped, name, &|byte| {
            byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
        });
        let mut routes = Vec::new();
        for (side, policy) in [(pair.old, self.old), (pair.new, self.new)] {
            let Some(line) = side.lines.get(side.at) else { continue };
            let Some(PathSpec::PathTemplate(template)) = &line.spec.path else { continue };
            for variable in variables_of_owners(policy.rule(line.rule)) {
                let path = template.replace(&format!("{{{variable}}}"), &escaped);
                let path = path.replace(&format!("{{{variable}=**}}"), &escaped);
                let path = match path.contains('{') {
                    true => PathSpec::PathTemplate(path),
                    false => PathSpec::Exact(path),
                };
                let spec = MatchSpec { path: Some(path), ..MatchSpec::default() };
                let Some(query) = Line::query(Vec::new(), None, spec) else { continue };
                let query = Side { lines: std::slice::from_ref(&query), at: 0, doubt: false };
                let mut left = MOST_FOR_ONE.min(self.left);
                let before = left;
                let region = find(&[pair.old, pair.new, query], &mut left);
                self.left = self.left.saturating_sub(before.saturating_sub(left));
                if let Region::Found(route) = region
                    && !routes.contains(&route)
                {
                    routes.push(route);
                }
            }
        }
        routes
    }

    /// Notes a difference of this kind, if the engine finds one.
    fn take(&mut self, old: &Line, new: &Line, kind: Kind, witness: Witness, both: &Both) -> bool {
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

/// The names of members that are not the same.
pub(super) fn changed(old: &Map<String, Value>, new: &Map<String, Value>) -> Vec<String> {
    let mut names: Vec<String> =
        old.keys().chain(new.keys()).filter(|name| old.get(*name) != new.get(*name)).cloned().collect();
    names.sort();
    names.dedup();
    names
}

fn told_instead(both: &Both) -> String {
    let told =
        |outcome: &Outcome| format!("{} by {}", outcome.verdict(), outcome.rule().unwrap_or("no rule"));
    format!(
        "a request was expected to show it, but the engine decides {} and {}",
        told(&both.old),
        told(&both.new)
    )
}

fn has_owner(rule: Option<&RuleSpec>) -> bool {
    asked(rule).is_some_and(|asked| {
        asked
            .any_of
            .iter()
            .any(|one| one.owner.is_some() || one.actor.as_ref().is_some_and(|actor| actor.owner.is_some()))
    })
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

/// Whoever may come by the ways that the rules take, and nobody.
fn callers(rules: &[Option<&RuleSpec>]) -> Vec<Caller> {
    let mut all = vec![Caller { actor: None, principal: None }];
    for rule in rules.iter().flatten() {
        if let ActionSpec::Allow { authenticate, actor, .. } = &rule.action {
            for way in authenticate {
                let caller = Caller { actor: actor.clone(), principal: Some(way.clone()) };
                if !all.contains(&caller) {
                    all.push(caller);
                }
            }
        }
    }
    all
}

impl Side<'_> {
    /// Whether the request falls under its line first.
    fn is_first(&self, route: &Route) -> bool {
        super::region::first(self.lines, route) == Some((self.at, self.doubt))
    }
}

/// Those that a caller may be, one of each kind; a caller that is neither is one by itself.
fn held_by(holders: &Holders, caller: &Caller, by_client: bool) -> Vec<Option<Holder>> {
    let kinds = [caller.actor.as_ref(), caller.principal.as_ref()];
    let is = |way: &MethodSpec| kinds.contains(&Some(way));
    match () {
        () if is(&MethodSpec::ApiKey) => holders.keys(by_client).into_iter().map(Some).collect(),
        () if is(&MethodSpec::ClientCertificate) => holders.certificates().into_iter().map(Some).collect(),
        () => vec![None],
    }
}

/// Whether a rule asks who somebody is, not only what he holds.
fn asks_who(rule: Option<&RuleSpec>) -> bool {
    let of_subject =
        |asked: &&crate::rbac::ConditionsSpec| asked.claims.iter().any(|asked| asked.claim.0 == ["sub"]);
    has_owner(rule) || asked(rule).is_some_and(|asked| asked.conditions().any(|asked| of_subject(&asked)))
}
