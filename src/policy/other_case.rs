//! Rules that let more people pass to a path in another case than to the path itself: of use to whoever asks an upstream
//! that ignores case.

use crate::{
    config::{ActionSpec, Document},
    fault::Fault,
    route::Router,
};

/// How much is looked at, over all rules: a moment's work. Beyond it nothing is said.
const MOST_STEPS: usize = 200_000;

/// Whom a rule lets pass, as far as a slip of case could matter.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Openness {
    Nobody,
    Some,
    Anyone,
}

impl ActionSpec {
    fn openness(&self) -> Openness {
        match self {
            Self::Deny => Openness::Nobody,
            Self::Allow { optional: None, .. } | Self::AllowAnyone { authorize: Some(_), .. } => {
                Openness::Some
            }
            Self::Allow { optional: Some(_), .. } | Self::AllowAnyone { authorize: None, .. } => {
                Openness::Anyone
            }
        }
    }
}

/// One warning for each rule that takes the other case of stricter ones. Among those that know their callers it is not
/// asked which is the stricter.
#[cold]
#[inline(never)]
pub(super) fn warnings(document: &Document, router: &Router) -> Vec<Fault> {
    let openness: Vec<_> = document.rules.iter().map(|rule| rule.action.openness()).collect();
    let widest = openness.iter().max().copied().unwrap_or(Openness::Nobody);
    // By the rule that takes it: the first stricter one with the path, and how many more there are.
    let mut found: Vec<Option<(usize, String, usize)>> = vec![None; openness.len()];
    let mut left = MOST_STEPS;
    for (strict, (rule, own)) in document.rules.iter().zip(&openness).enumerate() {
        if *own >= widest {
            continue;
        }
        let mut takers = router.takers_in_other_case(strict, &rule.route, &mut left);
        // Rules in front write the other case out, and are meant so.
        takers
            .retain(|taker| taker.rule > strict && openness.get(taker.rule).is_some_and(|other| other > own));
        takers.sort_by_key(|taker| taker.rule);
        takers.dedup_by_key(|taker| taker.rule);
        for taker in takers {
            match found.get_mut(taker.rule) {
                Some(Some((_, _, more))) => *more = more.saturating_add(1),
                Some(first) => *first = Some((strict, taker.path, 0)),
                None => {}
            }
        }
    }
    let told = found.into_iter().enumerate().filter_map(|(open, found)| {
        let (strict, path, more) = found?;
        let (open, name) = (document.rules.get(open)?, &document.rules.get(strict)?.name);
        let more = if more == 0 { String::new() } else { format!("; and {more} more rules likewise") };
        Some(Fault::new(
            format!("rules[{strict}].matches"),
            format!(
                "rule {:?} takes {path:?}, which an upstream that ignores case reads as a path of {name:?}: say \
                 caseSensitive: false here{more}",
                open.name
            ),
        ))
    });
    told.collect()
}
