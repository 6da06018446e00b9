//! Decisions by rule and reason, within bounds, where the policy wants them counted.

use std::cell::RefCell;

use hashbrown::HashMap;

use super::{counter::LateCounter, host_calls::Host, policy_stats::shown_name};
use crate::{answer::Reason, policy::Policy};

/// How many pairs of a rule and a reason one worker tells apart. All further ones are counted by their reason alone, as
/// those of [`Of::Others`].
const MOST_PAIRS: usize = 1000;

/// Whose decisions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Of {
    /// Of the rule at this place.
    Rule(usize),
    /// Of requests that no rule decided.
    NoRule,
    /// Of all pairs that are not told apart.
    Others,
}

/// Counters by rule and reason. A reason of `None`: the request was allowed.
#[derive(Default)]
pub(super) struct RuleStats(RefCell<HashMap<(Of, Option<Reason>), LateCounter>>);

impl RuleStats {
    /// Counts a decision: a look into a map, but for the first of its kind.
    #[inline]
    pub(super) fn count(&self, rule: Option<usize>, reason: Option<Reason>) {
        let pair = (rule.map_or(Of::NoRule, Of::Rule), reason);
        let mut counters = self.0.borrow_mut();
        match counters.get_mut(&pair) {
            Some(counter) => counter.add_one(),
            None => count_new(&mut counters, pair),
        }
    }

    /// Hands on what was counted.
    pub(super) fn flush(&self, host: &impl Host, policy: &Policy) {
        for ((of, reason), counter) in self.0.borrow_mut().iter_mut() {
            counter.flush(host, || {
                let decision = if reason.is_some() { "deny" } else { "allow" };
                let reason = reason.map_or("none", Reason::code);
                let rule = match of {
                    Of::Rule(place) => policy.rules.get(*place).map_or("", |rule| &*rule.name),
                    Of::NoRule => "none",
                    Of::Others => "other",
                };
                let rule = shown_name(rule.as_bytes());
                format!("portcullis_rule_decisions._decision={decision}_._reason={reason}_._rule={rule}_")
            });
        }
    }
}

#[cold]
fn count_new(counters: &mut HashMap<(Of, Option<Reason>), LateCounter>, pair: (Of, Option<Reason>)) {
    let pair = if counters.len() < MOST_PAIRS { pair } else { (Of::Others, pair.1) };
    counters.entry(pair).or_default().add_one();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(stats: &RuleStats, pair: (Of, Option<Reason>)) -> u32 {
        stats.0.borrow().get(&pair).map_or(0, LateCounter::count)
    }

    #[test]
    fn pairs_are_bounded_and_every_decision_is_counted() {
        let stats = RuleStats::default();
        for rule in 0..3000 {
            for _ in 0..2 {
                stats.count(Some(rule), Some(Reason::RuleDenied));
            }
            stats.count(Some(rule), None);
        }
        stats.count(None, Some(Reason::NoRule));
        let others = [None, Some(Reason::RuleDenied), Some(Reason::NoRule)];
        assert_eq!(stats.0.borrow().len(), MOST_PAIRS + others.len());
        // The first 500 rules with both, and the others by their reason.
        for (rule, denied, allowed) in [(0, 2, 1), (499, 2, 1), (500, 0, 0), (2999, 0, 0)] {
            assert_eq!(counted(&stats, (Of::Rule(rule), Some(Reason::RuleDenied))), denied, "{rule}");
            assert_eq!(counted(&stats, (Of::Rule(rule), None)), allowed, "{rule}");
        }
        assert_eq!(others.map(|reason| counted(&stats, (Of::Others, reason))), [2500, 5000, 1]);
        let all: u32 = stats.0.borrow().values().map(LateCounter::count).sum();
        assert_eq!(all, 9001);
    }
}
