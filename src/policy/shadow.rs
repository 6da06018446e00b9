//! Rules that decide beside those in force: the next list of rules, and rules as they would be.

use hashbrown::HashSet;

use super::{Rule, readings::RuleList};
use crate::{
    config::{Document, RuleSpec},
    fault::Fault,
    request::path::Kept,
    route::{RouteMatch, RouteRequest, Router, Unclear},
};

/// The next list of rules. It decides by the same credentials, roles and limits.
pub(crate) struct NextRules {
    router: Router,
    rules: Vec<Rule>,
    /// What any rule keeps, in force or not.
    kept: Kept,
}

impl NextRules {
    /// `in_force` is what the rules in force keep, by which paths are read.
    pub(super) fn new(router: Router, rules: Vec<Rule>, in_force: Kept) -> Self {
        let kept = rules.iter().fold(in_force, |kept, rule| kept.or(rule.kept));
        Self { router, rules, kept }
    }

    /// As [`Policy::find`](super::Policy::find).
    pub(crate) fn find<'a>(
        &'a self,
        request: &RouteRequest<'a>,
    ) -> Result<Option<RouteMatch<'a>>, Unclear<'a>> {
        RuleList { router: &self.router, rules: &self.rules, kept: self.kept }.find(request)
    }

    /// The rule at `place`.
    pub(crate) fn rule(&self, place: usize) -> Option<&Rule> {
        self.rules.get(place)
    }
}

/// The rules as they would be, where they would be others.
pub(super) struct Planned {
    /// Those of the list, or those in force with their shadows in their places. While [`Planned::with`] looks, they stand in
    /// the document, and its own here.
    rules: Vec<RuleSpec>,
    /// They are a list of their own.
    pub(super) is_list: bool,
    /// The places of rules that have shadows.
    shadowed: HashSet<usize>,
}

impl Planned {
    pub(super) fn of(document: &Document) -> Option<Self> {
        let shadowed: HashSet<_> = document
            .rules
            .iter()
            .enumerate()
            .filter_map(|(place, rule)| rule.shadow.as_ref().map(|_| place))
            .collect();
        let is_list = !document.shadow_rules.is_empty();
        let rules = match is_list {
            true => document.shadow_rules.clone(),
            false if shadowed.is_empty() => return None,
            false => {
                let next = document.rules.iter().map(|rule| rule.shadow.as_deref().unwrap_or(rule));
                next.cloned().collect()
            }
        };
        Some(Self { rules, is_list, shadowed })
    }

    /// What `look` finds in the document as if these were its rules.
    pub(super) fn with<T>(&mut self, document: &mut Document, look: impl FnOnce(&Document) -> T) -> T {
        std::mem::swap(&mut document.rules, &mut self.rules);
        let found = look(document);
        std::mem::swap(&mut document.rules, &mut self.rules);
        found
    }

    /// What was found in them, with paths of where they stand. What is `known` of the rules in force is not told once more of
    /// their shadows.
    pub(super) fn renamed(&self, found: Vec<Fault>, known: &[Fault]) -> Vec<Fault> {
        if self.is_list {
            return found.into_iter().map(|fault| fault.within("shadow")).collect();
        }
        let own = found.into_iter().filter(|fault| !known.contains(fault));
        own.filter_map(|fault| self.of_shadow(fault)).collect()
    }

    /// `rules[2].authorize` is `rules[2].shadow.authorize`; `None`: it is of no rule that has a shadow.
    fn of_shadow(&self, mut fault: Fault) -> Option<Fault> {
        let (place, rest) = fault.path.strip_prefix("rules[")?.split_once(']')?;
        let place: usize = place.parse().ok().filter(|place| self.shadowed.contains(place))?;
        fault.path = format!("rules[{place}].shadow{rest}");
        Some(fault)
    }
}

/// Limits in force that rules of a shadow name and that do not count all that they judge there.
pub(super) fn limits_looked_at(document: &Document) -> Vec<Fault> {
    let is_shadow =
        |name: &String| document.rate_limits.iter().any(|limit| limit.name == *name && limit.shadow);
    let named: HashSet<&String> = document.rules.iter().flat_map(|rule| &rule.rate_limits).collect();
    let mut warnings = Vec::new();
    let mut look = |rule: &RuleSpec, path: String, is_charged: &dyn Fn(&String) -> bool, message: &str| {
        for (k, name) in rule.rate_limits.iter().enumerate() {
            if !is_shadow(name) && !is_charged(name) {
                warnings.push(Fault::new(format!("{path}.rateLimits[{k}]"), message));
            }
        }
    };
    for (i, rule) in document.rules.iter().enumerate() {
        if let Some(shadow) = &rule.shadow {
            let message = "is in force, and the rule itself does not name it: what the shadow lets pass is not counted by \
                           it; name a limit with shadow: true to have it counted";
            look(shadow, format!("rules[{i}].shadow"), &|name| rule.rate_limits.contains(name), message);
        }
    }
    for (i, rule) in document.shadow_rules.iter().enumerate() {
        let message = "is in force, and no rule in force names it, so that nothing is counted by it; give it shadow: true";
        look(rule, format!("shadow.rules[{i}]"), &|name| named.contains(name), message);
    }
    warnings
}
