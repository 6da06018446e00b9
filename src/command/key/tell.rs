//! What was done, for people and for programs.

use std::time::SystemTime;

use comfy_table::{Table, presets};
use serde_json::Value;

use super::{record::Record, secret::NewKey};
use crate::command::{
    complain, say,
    telling::{Output, Telling, plain},
};

/// Who is told, and of what.
#[derive(Clone, Copy)]
pub(super) struct Done<'a> {
    pub(super) telling: &'a Telling,
    /// `None`: there is none.
    pub(super) store: Option<&'a str>,
    pub(super) now: SystemTime,
}

impl Done<'_> {
    fn is_json(&self) -> bool {
        self.telling.output == Output::Json
    }

    /// What is for people alone, and no part of a program's input.
    fn note(&self, text: &str) {
        let dry = if self.telling.dry_run { "nothing was changed (--dry-run): " } else { "" };
        complain(&format!("{dry}{text}\n"));
    }
}

/// A key that was made: the one time that it is shown.
pub(super) fn made(done: &Done<'_>, new: &NewKey, record: &Record, is_stored: bool) {
    if done.is_json() {
        let mut told = record.clone();
        told.0.insert("key".to_owned(), Value::from(new.key.as_str()));
        say(&format!("{:#}\n", told.to_json(done.now)));
        return;
    }
    say(&format!("key:  {}\nid:   {}\nhash: {}\n", new.key, new.id, record.text("hash").unwrap_or_default()));
    match done.store {
        Some(store) if is_stored => {
            done.note(&format!("{store} has it now. The key is shown this once: keep it where secrets are"))
        }
        Some(store) => done.note(&format!("{store} could have it")),
        None => {
            say(&format!("in a policy, below apiKeys.keys:\n- {}\n", Value::Object(record.0.clone())));
        }
    }
}

pub(super) fn rotated(done: &Done<'_>, old: &Record, good_until: &str) {
    if !done.is_json() {
        done.note(&format!("{} stays good until {good_until}", old.id()));
    }
}

pub(super) fn imported(done: &Done<'_>, records: &[Record]) {
    if done.is_json() {
        return json_list(done, records);
    }
    for record in records {
        say(&format!("{}: imported\n", record.id()));
    }
    done.note("only hashes are stored");
}

pub(super) fn changed(done: &Done<'_>, record: &Record, is_new: bool) {
    if done.is_json() {
        return say(&format!("{:#}\n", record.to_json(done.now)));
    }
    let as_before = if is_new { "" } else { ", as before" };
    say(&format!("{}: {}{as_before}\n", record.id(), record.state(done.now).as_str()));
    if done.telling.dry_run {
        done.note("what would be");
    }
}

pub(super) fn shown(done: &Done<'_>, record: &Record) {
    if done.is_json() {
        return say(&format!("{:#}\n", record.to_json(done.now)));
    }
    let Value::Object(members) = record.to_json(done.now) else { return };
    let width = members.keys().map(String::len).max().unwrap_or_default();
    for (name, value) in &members {
        say(&format!("{name:width$}  {}\n", plain(value)));
    }
}

/// `has_uses`: how often they were used is known.
pub(super) fn listed(done: &Done<'_>, records: &[Record], has_uses: bool) {
    if done.is_json() {
        return json_list(done, records);
    }
    if records.is_empty() {
        return done.note("no such key");
    }
    let mut columns = vec!["ID", "CLIENT", "STATE", "EXPIRES", "LEVEL", "SCOPES", "LABEL"];
    if has_uses {
        columns.extend(["LAST USED", "USES"]);
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(columns);
    for record in records {
        let text = |name| record.0.get(name).map(plain).unwrap_or_default();
        let state = record.state(done.now).as_str().to_owned();
        let mut row = vec![
            record.id().to_owned(),
            record.client().to_owned(),
            state,
            text("expiresAt"),
            text("level"),
            text("scopes"),
            text("label"),
        ];
        if has_uses {
            row.extend([text("lastUsedAt"), text("uses")]);
        }
        table.add_row(row);
    }
    say(&format!("{}\n", table.trim_fmt()));
}

/// What a list of unused keys cannot know.
pub(super) fn unused(done: &Done<'_>, records: &[Record]) {
    let never = records.iter().filter(|record| !record.0.contains_key("lastUsedAt")).count();
    if never > 0 && !done.is_json() {
        done.note(&format!(
            "of {never} no use is noted: they may be new, or were used before uses were counted"
        ));
    }
}

fn json_list(done: &Done<'_>, records: &[Record]) {
    let list: Vec<_> = records.iter().map(|record| record.to_json(done.now)).collect();
    say(&format!("{:#}\n", Value::Array(list)));
}
