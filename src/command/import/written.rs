//! A draft as YAML that people read and change, with the marks by which rules are known again.

use serde_json::{Map, Value as Json};

use super::draft::{Draft, DraftRule};
use crate::command::{edit::Writing, scalar::Dialect};

/// What the mark of a rule begins with.
pub(super) const MARK: &str = "# from openapi: ";

/// What other comments of a rule begin with that are not of people.
pub(super) const CLOSED: &str = "Closed: ";

/// No line is longer where it can be helped.
const WIDTH: usize = 110;

/// The whole policy.
pub(super) fn policy(draft: &Draft, heading: &str) -> String {
    let mut text = comment(heading, "");
    for (name, value) in &draft.sections {
        for (_, line) in draft.comments.iter().filter(|(section, _)| section == name) {
            text.push_str(&comment(line, ""));
        }
        text.push_str(&member(name, value, ""));
    }
    if draft.rules.is_empty() {
        // A policy needs rules; this one says no more than would be without.
        text.push_str("rules:\n- name: nothing\n  action: Deny\n");
        return text;
    }
    text.push_str("rules:\n");
    for one in &draft.rules {
        text.push_str(&rule(one, ""));
    }
    text
}

/// A rule as an item of a list whose dash stands behind `indentation`, with its mark and the end of its last line.
pub(super) fn rule(rule: &DraftRule, indentation: &str) -> String {
    let mut text = String::new();
    if !rule.from.is_empty() {
        text.push_str(&format!("{indentation}{MARK}{} [{}]\n", plain(&rule.from.join(", ")), rule.digest()));
    }
    rule.comments.iter().for_each(|line| text.push_str(&comment(line, indentation)));
    let inner = format!("{indentation}  ");
    let mut is_first = true;
    for (name, value) in &rule.value {
        let written = member(name, value, &inner);
        match is_first {
            true => text.push_str(&format!("{indentation}- {}", written.trim_start())),
            false => text.push_str(&written),
        }
        is_first = false;
    }
    text
}

fn comment(line: &str, indentation: &str) -> String {
    line.lines().map(|line| format!("{indentation}# {}\n", plain(line))).collect()
}

/// What would end a comment, or hide in one, is shown.
fn plain(text: &str) -> String {
    crate::command::telling::plain_text(text)
}

/// `name: value` with the end of its last line; on one line where it fits.
fn member(name: &str, value: &Json, indentation: &str) -> String {
    let name = flow(&Json::from(name));
    let line = format!("{indentation}{name}: {}\n", flow(value));
    let is_long = line.chars().count() > WIDTH;
    match value {
        Json::Array(items) if (is_long || indentation.is_empty()) && items.iter().any(Json::is_object) => {
            let items = items.iter().map(|item| item_of(item, indentation));
            format!("{indentation}{name}:\n{}", items.collect::<String>())
        }
        Json::Object(members) if is_long && !members.is_empty() => {
            format!("{indentation}{name}:\n{}", block(members, &format!("{indentation}  ")))
        }
        _ => line,
    }
}

fn block(members: &Map<String, Json>, indentation: &str) -> String {
    members.iter().map(|(name, value)| member(name, value, indentation)).collect()
}

fn item_of(item: &Json, indentation: &str) -> String {
    let line = format!("{indentation}- {}\n", flow(item));
    match item {
        Json::Object(members) if line.chars().count() > WIDTH => {
            let written = block(members, &format!("{indentation}  "));
            format!("{indentation}- {}", written.trim_start())
        }
        _ => line,
    }
}

fn flow(value: &Json) -> String {
    Writing { text: "", dialect: Dialect::Envoy, is_json: false }.flow(value)
}
