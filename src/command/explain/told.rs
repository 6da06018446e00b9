//! An explanation for people.

use std::io::IsTerminal as _;

use serde_json::Value;

use super::{
    arguments::Color,
    experiments::{Check, Verdict},
    report::Explanation,
};
use crate::command::telling::plain_text;

/// Whether standard output is to have colours.
pub(super) fn is_colored(wanted: Color) -> bool {
    match wanted {
        Color::Always => true,
        Color::Never => false,
        // https://no-color.org
        Color::Auto => {
            std::io::stdout().is_terminal()
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        }
    }
}

/// Text as it comes together.
struct Told {
    text: String,
    colored: bool,
}

const GREEN: &str = "32";
const RED: &str = "31";
const FAINT: &str = "2";
const BOLD: &str = "1";

impl Told {
    fn paint(&self, style: &str, text: &str) -> String {
        match self.colored {
            true => format!("\x1b[{style}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    fn line(&mut self, text: &str) {
        self.text.push_str(text);
        self.text.push('\n');
    }

    fn heading(&mut self, text: &str) {
        let text = self.paint(BOLD, text);
        self.line(&format!("\n{text}"));
    }

    /// One condition: its mark, where it stands, what it asks, and what is missing.
    fn check(&mut self, indentation: &str, check: &Check) {
        let mark = match check.verdict {
            Verdict::Holds => self.paint(GREEN, "yes"),
            Verdict::Fails => self.paint(RED, "no "),
            Verdict::Unknown => self.paint(FAINT, "?  "),
        };
        let why = [
            check.reason.map(str::to_owned),
            (!check.missing.is_empty()).then(|| format!("missing {}", check.missing.join(", "))),
            check.detail.clone(),
        ];
        let why: Vec<_> = why.into_iter().flatten().map(|why| plain_text(&why)).collect();
        let why = if why.is_empty() { String::new() } else { format!("  -> {}", why.join("; ")) };
        let (place, asked) = (last(&check.path), plain_text(&short(&check.asked)));
        self.line(&format!("{indentation}{mark}  {place}: {asked}{why}"));
    }
}

/// The whole explanation.
pub(super) fn text(explanation: &Explanation, colored: bool) -> String {
    let mut told = Told { text: String::new(), colored };
    let (outcome, asked) = (&explanation.outcome, &explanation.asked);
    let verdict = match (&outcome.reason, &outcome.reply) {
        (None, None) => told.paint(GREEN, "ALLOW"),
        (None, Some(reply)) => told.paint(GREEN, &format!("ANSWERED {}", reply.status)),
        (Some(reason), reply) => {
            let status = reply.as_ref().map_or(reason.status(), |reply| reply.status);
            told.paint(RED, &format!("DENY {status} {}", reason.code()))
        }
    };
    let rule = match (outcome.rule(), explanation.place) {
        (Some(rule), Some(place)) => format!("by rule {rule} (rules[{place}])"),
        (Some(rule), None) => format!("by the filter's own rule {rule}"),
        (None, _) => "before any rule".to_owned(),
    };
    let rule = if outcome.verdict() == "no_rule" { "no rule matches".to_owned() } else { rule };
    told.line(&format!("{verdict}  {rule}"));
    let scheme = if asked.tls { "https" } else { "http" };
    let target = plain_text(asked.target.split('?').next().unwrap_or_default());
    let from = asked.address.map(|address| format!(" from {address}")).unwrap_or_default();
    told.line(&format!(
        "{} {scheme}://{}{target}{from}",
        plain_text(&asked.method),
        plain_text(&asked.authority)
    ));
    for [name, kind] in [["principal", "kind"], ["actor", "actorKind"]] {
        if let Some(who) = outcome.recorded(name) {
            let kind = outcome.recorded(kind).unwrap_or_default();
            told.line(&format!("{name}: {} ({kind})", plain_text(who)));
        }
    }
    for name in ["detail", "limit"] {
        if let Some(text) = outcome.recorded(name) {
            told.line(&format!("{name}: {}", plain_text(text)));
        }
    }
    if let Some(shadow) = &explanation.shadow {
        told.line(&format!("shadow: {}", plain_text(shadow)));
    }
    rules(&mut told, explanation);
    if !explanation.ways.is_empty() {
        told.heading("authenticate");
        explanation.ways.iter().for_each(|check| told.check("  ", check));
    }
    if !explanation.alternatives.is_empty() {
        told.heading("authorize");
        for (n, checks) in explanation.alternatives.iter().enumerate() {
            if explanation.alternatives.len() > 1 {
                told.line(&format!("  anyOf[{n}]"));
            }
            checks.iter().for_each(|check| told.check("  ", check));
        }
    }
    if !explanation.limits.is_empty() {
        told.heading("limits");
        for limit in &explanation.limits {
            let counted = if limit.is_reached { "counts it " } else { "not reached" };
            told.line(&format!("  {counted}  {}: {}", limit.name, short(&limit.spec)));
        }
    }
    ends(&mut told, explanation);
    told.text
}

fn rules(told: &mut Told, explanation: &Explanation) {
    if explanation.rules.is_empty() {
        return;
    }
    told.heading("rules");
    if explanation.left_out > 0 {
        let left_out = explanation.left_out;
        told.line(&format!("  ({left_out} more, further from matching; --all tells of them)"));
    }
    for looked in &explanation.rules {
        let decides = Some(looked.place) == explanation.place;
        let mark = if decides { told.paint(GREEN, "yes") } else { told.paint(FAINT, "no ") };
        told.line(&format!("  {mark}  {} (rules[{}])", looked.name, looked.place));
        for (n, checks) in looked.matches.iter().enumerate() {
            if looked.matches.len() > 1 {
                told.line(&format!("       matches[{n}]"));
            }
            checks.iter().for_each(|check| told.check("       ", check));
        }
    }
}

/// What the upstream gets, and what the client is told.
fn ends(told: &mut Told, explanation: &Explanation) {
    if let Some(upstream) = explanation.upstream() {
        told.heading("upstream");
        told.line(&format!("  :path {}", plain_text(upstream.path.split('?').next().unwrap_or_default())));
        for (name, value) in &upstream.added {
            told.line(&format!("  + {name}: {}", plain_text(&shown(value))));
        }
        for name in &upstream.removed {
            told.line(&format!("  - {}", plain_text(name)));
        }
    }
    if let Some(reply) = &explanation.outcome.reply {
        told.heading("client");
        told.line(&format!("  {}", reply.status));
        for (name, value) in &reply.headers {
            told.line(&format!("  {name}: {}", plain_text(value)));
        }
        if !reply.body.is_empty() {
            told.line(&format!("  {}", plain_text(&reply.body)));
        }
    }
    for note in &explanation.notes {
        told.line(&format!("\nnote: {}", plain_text(note)));
    }
}

/// A signed token is a credential, and long.
fn shown(value: &str) -> String {
    let is_token = value.len() > 64 && value.split('.').count() == 3 && !value.contains([' ', '/']);
    if is_token { "(a signed token)".to_owned() } else { value.to_owned() }
}

/// What follows the rule's own place.
fn last(path: &str) -> &str {
    path.split_once("].").map_or(path, |(_, rest)| rest)
}

/// A value of the policy in a line.
fn short(value: &Value) -> String {
    const LONGEST: usize = 160;
    let text = value.to_string();
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}..", text.get(..at).unwrap_or_default()),
        None => text,
    }
}
