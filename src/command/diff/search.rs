//! Callers by whom two lines show a difference, each with a request that the engine is asked about.

use super::{
    access::{Atom, Caller, Decider, Fact, Facts},
    compare::{Comparing, MOST_FOR_ONE, Pair},
    difference::Kind,
    facts::{Solved, Unknowns, asked, has_owner, solve, variables_of_owners},
    given::Given,
    holders::Holders,
    policy::Policy,
    reach::client_of,
    region::{Region, Route, Side, find},
    rules::Line,
    terms::variables,
    witness::{Both, Holder, Witness, confirm},
};
use crate::{
    command::offline::Outcome,
    config::{ActionSpec, MethodSpec, RuleSpec},
    route::{MatchSpec, Part, PathSpec},
    text::percent,
};

/// Most facts that are tried for one caller.
const MOST_FACTS: usize = 20_000;

impl Comparing<'_> {
    /// Whether a caller was found; `why` is said where it is not known that there is none.
    pub(super) fn search(
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
    pub(super) fn named_by(&mut self, pair: Pair<'_>, name: &str) -> Vec<Route> {
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
