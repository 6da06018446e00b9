//! What is said beside a policy that was made: what of the source could not be translated, and what is to know of the
//! rest, each with its place.

use std::ops::Range;

use serde_json::{Value as Json, json};

use crate::command::{
    FAULTY, GOOD, complain, say,
    source::Source,
    telling::{Output, plain_text},
};

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Weight {
    /// The source says it and the policy does not. Whatever it was about is stricter than there, or closed.
    Left,
    /// The policy says it in a way that somebody should know of.
    Note,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remark {
    weight: Weight,
    /// In bytes of the source.
    at: Range<usize>,
    /// An operation, a provider: what people call it.
    about: String,
    message: String,
}

/// All remarks on one source. The same is said once of each place.
#[derive(Default)]
pub(super) struct Told {
    list: Vec<Remark>,
}

impl Told {
    /// What is not in the policy.
    pub(super) fn left(&mut self, at: &Range<usize>, about: &str, message: impl Into<String>) {
        self.add(Weight::Left, at, about, message.into());
    }

    /// What is in it, and how.
    pub(super) fn note(&mut self, at: &Range<usize>, about: &str, message: impl Into<String>) {
        self.add(Weight::Note, at, about, message.into());
    }

    /// All that `other` has.
    pub(super) fn append(&mut self, other: Self) {
        for remark in other.list {
            self.add(remark.weight, &remark.at, &remark.about, remark.message);
        }
    }

    fn add(&mut self, weight: Weight, at: &Range<usize>, about: &str, message: String) {
        let remark = Remark { weight, at: at.clone(), about: about.to_owned(), message };
        if !self.list.contains(&remark) {
            self.list.push(remark);
        }
    }

    /// Says everything, and `policy` where it was not written elsewhere; what the command ends with.
    pub(super) fn tell(mut self, source: &Source, policy: Option<&str>, output: Output) -> u8 {
        self.list.sort_by_key(|remark| (remark.weight, remark.at.start));
        let of = |weight| self.list.iter().filter(move |remark| remark.weight == weight);
        match output {
            Output::Text => {
                say(policy.unwrap_or_default());
                complain(&self.list.iter().map(|remark| remark.line(source)).collect::<String>());
                let (left, notes) = (of(Weight::Left).count(), of(Weight::Note).count());
                if left.saturating_add(notes) > 0 {
                    complain(&format!("{}: {left} not translated, {notes} to know\n", source.name));
                }
            }
            Output::Json => {
                let list = |weight| of(weight).map(|remark| remark.json(source)).collect::<Vec<_>>();
                let said = json!({"policy": policy, "left": list(Weight::Left), "notes": list(Weight::Note)});
                say(&format!("{said:#}\n"));
            }
        }
        if of(Weight::Left).count() == 0 { GOOD } else { FAULTY }
    }
}

impl Remark {
    fn line(&self, source: &Source) -> String {
        let position = source.position(self.at.start);
        let weight = match self.weight {
            Weight::Left => "not translated",
            Weight::Note => "note",
        };
        // What the source says is shown as text, whatever a terminal would make of it.
        let (about, message) = (plain_text(&self.about), plain_text(&self.message));
        format!("{}:{}:{}: {weight}: {about}: {message}\n", source.name, position.line, position.column)
    }

    fn json(&self, source: &Source) -> Json {
        let position = source.position(self.at.start);
        json!({
            "file": source.name,
            "line": position.line,
            "column": position.column,
            "about": self.about,
            "message": self.message,
        })
    }
}
