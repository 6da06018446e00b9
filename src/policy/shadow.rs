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

/// Where the rules stand as they would be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Planned {
    /// In a list of their own.
    List,
    /// With those in force.
    Own,
}

impl Planned {
    /// `None`: they stay as they are.
    pub(super) fn of(document: &Document) -> Option<Self> {
        match document.shadow_rules.is_empty() {
            false => Some(Self::List),
            true => document.rules.iter().any(|rule| rule.shadow.is_some()).then_some(Self::Own),
        }
    }

    /// What `look` finds in the document as if these were its rules.
    pub(super) fn with<T>(self, document: &mut Document, look: impl FnOnce(&Document) -> T) -> T {
        let mut in_force = Vec::new();
        self.swap(document, &mut in_force);
        let found = look(document);
        match self {
            Self::List => std::mem::swap(&mut document.rules, &mut document.shadow_rules),
            Self::Own => {
                for (place, mut own) in in_force {
                    if let Some(rule) = document.rules.get_mut(place) {
                        std::mem::swap(rule, &mut *own);
                        rule.shadow = Some(own);
                    }
                }
            }
        }
        found
    }

    /// Puts the rules in the places of those in force, which go to `in_force` where the list is not another.
    fn swap(self, document: &mut Document, in_force: &mut Vec<(usize, Box<RuleSpec>)>) {
        if self == Self::List {
            std::mem::swap(&mut document.rules, &mut document.shadow_rules);
            return;
        }
        for (place, rule) in document.rules.iter_mut().enumerate() {
            if let Some(mut shadow) = rule.shadow.take() {
                std::mem::swap(rule, &mut *shadow);
                in_force.push((place, shadow));
            }
        }
    }

    /// What was found in them, with paths of where they stand. What is `known` of the rules in force is not told once more of
    /// their shadows.
    pub(super) fn renamed(self, document: &Document, found: Vec<Fault>, known: &[Fault]) -> Vec<Fault> {
        let named = found.into_iter().filter_map(|fault| match self {
            Self::List => Some(fault.within("shadow")),
            Self::Own if known.contains(&fault) => None,
            Self::Own => of_shadow(document, fault),
        });
        named.collect()
    }
}

/// `rules[2].authorize` is `rules[2].shadow.authorize`; `None`: it is of no rule that has a shadow.
fn of_shadow(document: &Document, mut fault: Fault) -> Option<Fault> {
    let (place, rest) = fault.path.strip_prefix("rules[")?.split_once(']')?;
    document.rules.get(place.parse::<usize>().ok()?)?.shadow.as_ref()?;
    fault.path = format!("rules[{place}].shadow{rest}");
    Some(fault)
}

/// Limits in force that rules of a shadow name and that do not count all that they judge there.
pub(super) fn limits_looked_at(document: &Document) -> Vec<Fault> {
    let is_shadow =
        |name: &String| document.rate_limits.iter().any(|limit| limit.name == *name && limit.shadow);
    let named: HashSet<&str> =
        document.rules.iter().flat_map(|rule| &rule.rate_limits).map(String::as_str).collect();
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
        look(rule, format!("shadow.rules[{i}]"), &|name| named.contains(name.as_str()), message);
    }
    warnings
}
