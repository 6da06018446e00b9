//! Medians, their spread and their ratios: as a table and as JSON.

use std::{collections::HashMap, fmt::Write as _};

use serde_json::{Value, json};

use crate::{
    cases::{Case, Goal, Subject},
    load::{Round, round},
};

pub(crate) struct Result {
    pub(crate) case: &'static Case,
    pub(crate) ours: Figures,
    pub(crate) against: Figures,
}

/// CPU microseconds per request, over all rounds.
#[derive(Clone)]
pub(crate) struct Figures {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
    rounds: Vec<Round>,
}

impl Figures {
    fn of(rounds: &[Round]) -> Self {
        let us = sorted(rounds, |round| round.cpu_us_per_request);
        Self { median: middle(&us), least: us[0], most: us[us.len() - 1], rounds: rounds.to_vec() }
    }
}

impl Result {
    pub(crate) fn ratio(&self) -> f64 {
        self.ours.median / self.against.median
    }
}

pub(crate) fn results(cases: &[&'static Case], rounds: &HashMap<Subject, Vec<Round>>) -> Vec<Result> {
    let figures = |subject| Figures::of(&rounds[subject]);
    cases
        .iter()
        .map(|case| Result { case, ours: figures(&case.ours), against: figures(&case.against) })
        .collect()
}

/// For people: every subject, then every case.
pub(crate) fn table(
    results: &[Result],
    subjects: &[Subject],
    rounds: &HashMap<Subject, Vec<Round>>,
) -> String {
    let mut text = format!(
        "\n{:<22} {:<14} {:>10} {:>15} {:>10} {:>8} {:>8}\n",
        "listener", "load", "us/request", "least..most", "requests/s", "p50 us", "p99 us"
    );
    for subject in subjects {
        let (listener, load) = subject;
        let rounds = &rounds[subject];
        let figures = Figures::of(rounds);
        let spread = format!("{:.1}..{:.1}", figures.least, figures.most);
        let _ = writeln!(
            text,
            "{listener:<22} {:<14} {:>10.2} {spread:>15} {:>10.0} {:>8.0} {:>8.0}",
            format!("{load:?}"),
            figures.median,
            middle(&sorted(rounds, |round| round.requests_per_second)),
            middle(&sorted(rounds, |round| round.p50_us as f64)),
            middle(&sorted(rounds, |round| round.p99_us as f64)),
        );
    }
    let _ = writeln!(
        text,
        "\n{:<24} {:>10} {:>24} {:>8} {:>9}",
        "case", "us/request", "against", "ratio", "goal"
    );
    for result in results {
        let against = format!("{} {:.2}", result.case.against.0, result.against.median);
        let _ = writeln!(
            text,
            "{:<24} {:>10.2} {against:>24} {:>8.2} {:>9}{}",
            result.case.name,
            result.ours.median,
            result.ratio(),
            goal_text(result.case.goal),
            if result.case.goal.is_met(result.ratio()) { "" } else { "  missed" },
        );
    }
    text
}

pub(crate) fn goal_text(goal: Goal) -> String {
    match goal {
        Goal::AtMost(most) => format!("<= {most:.2}"),
        Goal::AtLeast(least) => format!(">= {least:.0}"),
        Goal::None => "-".to_owned(),
    }
}

/// For programs. Ratios are of medians; each case has the rounds behind it, of both sides.
pub(crate) fn to_json(results: &[Result]) -> Value {
    let rounds = |figures: &Figures| figures.rounds.iter().map(|round| round.to_json()).collect::<Value>();
    results
        .iter()
        .map(|result| {
            json!({
                "case": result.case.name,
                "usPerRequest": round(result.ours.median),
                "against": {
                    "listener": result.case.against.0,
                    "usPerRequest": round(result.against.median),
                    "rounds": rounds(&result.against),
                },
                "ratio": (result.ratio() * 1000.0).round() / 1000.0,
                "goal": goal_text(result.case.goal),
                "met": result.case.goal.is_met(result.ratio()),
                "rounds": rounds(&result.ours),
            })
        })
        .collect()
}

fn sorted(rounds: &[Round], figure: impl Fn(&Round) -> f64) -> Vec<f64> {
    let mut figures: Vec<_> = rounds.iter().map(figure).collect();
    figures.sort_by(f64::total_cmp);
    figures
}

/// Of sorted figures.
fn middle(figures: &[f64]) -> f64 {
    let upper = figures.len() / 2;
    let lower = (figures.len() - 1) / 2;
    (figures[lower] + figures[upper]) / 2.0
}
