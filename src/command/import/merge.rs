//! New rules in a policy that has rules: what was edited by hand stays, what is new comes where it belongs, and what is
//! gone is told of.

use serde_json::Value as Json;

use super::{
    draft::DraftRule,
    mark::{Mark, OldRule},
    told::Told,
    written,
};

/// What becomes of a rule that is there.
#[derive(Clone, Debug, PartialEq)]
enum Fate {
    Stays,
    /// By these, which may be none.
    Replaced(Vec<DraftRule>),
}

/// Where rules come that are new.
#[derive(Clone, Debug, PartialEq)]
struct Insertion {
    /// Before the old rule of this place, or behind all.
    before: usize,
    rule: DraftRule,
}

/// All that becomes of a list of rules.
#[derive(Debug, Default)]
pub(super) struct Merge {
    fates: Vec<Fate>,
    insertions: Vec<Insertion>,
}

impl Merge {
    /// `new` are all rules that the document makes now, in their order.
    pub(super) fn new(old: &[OldRule], new: &[DraftRule], prune: bool, told: &mut Told) -> Self {
        let mut merge = Self { fates: vec![Fate::Stays; old.len()], insertions: Vec::new() };
        let mut rules: Vec<Option<DraftRule>> = new.iter().cloned().map(Some).collect();
        // Where each new rule stands among the old ones.
        let mut places: Vec<Option<usize>> = vec![None; new.len()];
        for (place, kept) in old.iter().enumerate() {
            merge.keep_edited(place, kept, &mut rules, &mut places, told);
        }
        for (place, own) in old.iter().enumerate() {
            if let Some(mark) = own.mark.as_ref().filter(|mark| !mark.is_edited) {
                let fate = of_unedited(own, mark, place, &mut rules, &mut places, prune, told);
                if let Some(own) = merge.fates.get_mut(place) {
                    *own = fate;
                }
            }
        }
        for (index, rule) in rules.into_iter().enumerate() {
            let Some(rule) = rule else { continue };
            let behind = places.iter().skip(index).flatten().min().copied();
            let before = places.iter().take(index).flatten().max().map(|place| place.saturating_add(1));
            let before = behind.or(before).unwrap_or(old.len());
            told.note(&rule.at, &rule.from.join(", "), format!("the rule {} is new", rule.name()));
            merge.insertions.push(Insertion { before, rule });
        }
        merge
    }

    /// What a rule that was edited, or has lost its mark, speaks of stays with it.
    fn keep_edited(
        &mut self,
        place: usize,
        old: &OldRule,
        rules: &mut [Option<DraftRule>],
        places: &mut [Option<usize>],
        told: &mut Told,
    ) {
        let edited = old.mark.as_ref().filter(|mark| mark.is_edited);
        if old.mark.is_some() && edited.is_none() {
            return;
        }
        let mut is_met = false;
        for (rule, own_place) in rules.iter_mut().zip(places) {
            let Some(new) = rule else { continue };
            let claimed: Vec<String> = match edited {
                Some(mark) => new.from.iter().filter(|from| mark.from.contains(from)).cloned().collect(),
                None if new.name() == old.name() => new.from.clone(),
                None => Vec::new(),
            };
            if claimed.is_empty() {
                continue;
            }
            is_met = true;
            *own_place = Some(place);
            let is_otherwise = edited.is_none_or(|mark| mark.digest != new.digest());
            if is_otherwise && Json::Object(new.value.clone()) != old.value {
                let asks = new
                    .value
                    .iter()
                    .filter(|(name, _)| !["name", "hostnames", "matches"].contains(&name.as_str()));
                let asks = Json::Object(asks.map(|(name, value)| (name.clone(), value.clone())).collect());
                let message = format!(
                    "the rule {} is kept as it was edited; the document says otherwise: {asks}",
                    old.name()
                );
                told.left(&new.at, &claimed.join(", "), message);
            }
            *rule = new.without(&claimed);
            if let Some(rest) = rule
                && rest.name() == old.name()
            {
                rest.rename(&format!("{}-others", old.name()));
            }
        }
        if let Some(mark) = edited.filter(|_| !is_met) {
            let message =
                format!("is gone from the document; the rule {} was edited by hand and is kept", old.name());
            told.left(&(0..0), &mark.from.join(", "), message);
        }
    }

    /// The text of the policy's file with all this in it.
    pub(super) fn apply(&self, text: &str, old: &[OldRule], end: (usize, &str)) -> String {
        let (end, indentation) = end;
        let mut pieces: Vec<(std::ops::Range<usize>, String)> = Vec::new();
        let indentation = old.first().map_or(indentation, |rule| rule.indentation.as_str());
        let written = |rules: &[DraftRule]| {
            rules.iter().map(|rule| written::rule(rule, indentation)).collect::<String>()
        };
        for (place, rule) in old.iter().enumerate() {
            let before: Vec<_> = self.inserted(place).collect();
            if !before.is_empty() {
                pieces.push((rule.lines.start..rule.lines.start, written(&before)));
            }
            if let Some(Fate::Replaced(by)) = self.fates.get(place) {
                pieces.push((rule.lines.clone(), written(by)));
            }
        }
        let last: Vec<_> = self.inserted(old.len()).collect();
        if !last.is_empty() {
            pieces.push((end..end, written(&last)));
        }
        let (mut made, mut from) = (String::new(), 0_usize);
        for (at, piece) in pieces {
            made.push_str(text.get(from..at.start).unwrap_or_default());
            if !piece.is_empty() && !made.is_empty() && !made.ends_with('\n') {
                made.push('\n');
            }
            made.push_str(&piece);
            from = at.end;
        }
        made.push_str(text.get(from..).unwrap_or_default());
        made
    }

    /// The rules as the policy is to have them.
    pub(super) fn expected(&self, old: &[OldRule]) -> Vec<Json> {
        let mut rules = Vec::new();
        let said = |rule: &DraftRule| Json::Object(rule.value.clone());
        for (place, rule) in old.iter().enumerate() {
            rules.extend(self.inserted(place).map(|rule| said(&rule)));
            match self.fates.get(place) {
                Some(Fate::Replaced(by)) => rules.extend(by.iter().map(said)),
                _ => rules.push(rule.value.clone()),
            }
        }
        rules.extend(self.inserted(old.len()).map(|rule| said(&rule)));
        rules
    }

    fn inserted(&self, place: usize) -> impl Iterator<Item = DraftRule> {
        self.insertions.iter().filter(move |one| one.before == place).map(|one| one.rule.clone())
    }
}

/// Of a rule that nobody has edited.
fn of_unedited(
    old: &OldRule,
    mark: &Mark,
    place: usize,
    rules: &mut [Option<DraftRule>],
    places: &mut [Option<usize>],
    prune: bool,
    told: &mut Told,
) -> Fate {
    let mut by = Vec::new();
    let is_said = |from: &String, rules: &[Option<DraftRule>]| {
        rules.iter().flatten().any(|rule| rule.from.contains(from))
    };
    let gone: Vec<String> = mark.from.iter().filter(|from| !is_said(from, rules)).cloned().collect();
    let new = rules
        .iter_mut()
        .zip(places)
        .find(|(rule, _)| rule.as_ref().is_some_and(|new| new.name() == old.name()));
    let mut is_same = false;
    if let Some((rule, own_place)) = new {
        *own_place = Some(place);
        if let Some(new) = rule.take() {
            is_same = Json::Object(new.value.clone()) == old.value && new.from == mark.from;
            if !is_same {
                told.note(&new.at, &new.from.join(", "), format!("the rule {} is changed", old.name()));
            }
            by.push(new);
        }
    }
    if is_same {
        return Fate::Stays;
    }
    // What no path of the document is for any more: guards, and doubts, mean nothing alone.
    let is_operation = |from: &&String| !from.starts_with("no ") && !from.ends_with(" or others");
    let gone: Vec<String> = gone.iter().filter(is_operation).cloned().collect();
    if !gone.is_empty() {
        let what = if prune { "removed" } else { "kept (--prune removes it)" };
        told.note(
            &(0..0),
            &gone.join(", "),
            format!("is gone from the document; the rule {} is {what}", old.name()),
        );
    }
    if !prune && !gone.is_empty() {
        if by.is_empty() && gone.len() == mark.from.len() {
            return Fate::Stays;
        }
        let mut kept = DraftRule::read(old.value.clone(), mark.from.clone());
        let others: Vec<String> = mark.from.iter().filter(|from| !gone.contains(from)).cloned().collect();
        if let Some(mut kept) = kept.take().and_then(|kept| kept.without(&others)) {
            if !by.is_empty() {
                kept.rename(&format!("{}-gone", old.name()));
            }
            by.push(kept);
        }
    }
    Fate::Replaced(by)
}
