//! `portcullis report`: what decision records tell when they are counted.

mod arguments;
mod chains;
mod counts;
mod unused;

use std::{
    fs::File,
    io::{self, BufRead, BufReader},
};

use serde_json::{Map, Value};

pub(super) use self::arguments::ReportOptions;
use self::{arguments::By, chains::Chains, counts::Counts, unused::Unused};
use super::{
    FAULTY, GOOD, offline,
    refusal::Refusal,
    say,
    telling::{Output, plain_text},
};
use crate::engine::{own_name, record_begins, record_in};

/// No line of a log is longer that has a record in it.
const LONGEST_LINE: u64 = 1 << 20;

/// What is counted where nobody says by what.
const USUALLY: [By; 7] =
    [By::Rule, By::Reason, By::Principal, By::Limit, By::ShadowReason, By::ShadowRule, By::ShadowLimit];

/// Carries out what is asked for.
pub(super) fn run(options: &ReportOptions) -> u8 {
    if options.verify {
        return match verify(options) {
            Ok(true) => GOOD,
            Ok(false) => FAULTY,
            Err(refusal) => Refusal::told(Err(refusal)),
        };
    }
    Refusal::told(report(options))
}

/// Whether the chains of records in the files are whole.
fn verify(options: &ReportOptions) -> Result<bool, Refusal> {
    let mut chains = Chains::new(&options.expect);
    each_line(&options.files, |line, place| match record_in(line) {
        Some(record) => chains.add(&record.members, record.text, &place()),
        None if record_begins(line).is_some() => chains.add_unreadable(&place()),
        None => {}
    })?;
    match options.output {
        Output::Text => say(&chains.text()),
        Output::Json => say(&format!("{:#}\n", chains.json())),
    }
    Ok(chains.are_whole())
}

/// Hands on each line of the files in their order, and what says where it stands.
fn each_line(files: &[String], mut take: impl FnMut(&str, &dyn Fn() -> String)) -> Result<(), Refusal> {
    for file in files {
        let failed = |error: io::Error| Refusal::unusable(format!("{file} cannot be read: {error}"));
        let mut reader: Box<dyn BufRead> = match file.as_str() {
            "-" => Box::new(io::stdin().lock()),
            name => Box::new(BufReader::new(File::open(name).map_err(failed)?)),
        };
        let mut number = 0_u64;
        while let Some(line) = next_line(&mut reader).map_err(failed)? {
            number = number.saturating_add(1);
            take(&line, &|| format!("{file}:{number}"));
        }
    }
    Ok(())
}

fn report(options: &ReportOptions) -> Result<(), Refusal> {
    let filters = filters(&options.filters)?;
    let by = if options.by.is_empty() { &USUALLY[..] } else { &options.by };
    let mut counts = Counts::new(by.iter().map(|by| by.member()));
    let mut unused = match &options.policy {
        None => None,
        Some(file) => Some(Unused::of(&offline::load(file, &options.which)?)),
    };
    each_line(&options.files, |line, _| {
        let Some(found) = record_in(line) else { return };
        let record = &found.members;
        if !is_late_enough(found.before, options.since.as_deref()) || !is_asked_for(record, &filters) {
            return;
        }
        let times = record.get("repeated").and_then(Value::as_u64).unwrap_or(1);
        counts.add(record, times);
        if let Some(unused) = &mut unused {
            unused.seen(record);
        }
    })?;
    match options.output {
        Output::Text => {
            let mut text = counts.text(options.top);
            if let Some(unused) = &unused {
                text.push_str(&unused.text());
            }
            say(&text);
        }
        Output::Json => {
            let mut told = counts.json();
            if let (Some(unused), Some(members)) = (&unused, told.as_object_mut()) {
                members.insert("unused".to_owned(), unused.json());
            }
            say(&format!("{told:#}\n"));
        }
    }
    Ok(())
}

/// The next line; one that is too long, or no text, is empty. `None`: there are no more.
fn next_line(reader: &mut dyn BufRead) -> io::Result<Option<String>> {
    let mut bytes = Vec::new();
    let read = io::Read::take(&mut *reader, LONGEST_LINE).read_until(b'\n', &mut bytes)?;
    if read == 0 {
        return Ok(None);
    }
    if bytes.last() != Some(&b'\n') && u64::try_from(read).is_ok_and(|read| read == LONGEST_LINE) {
        // Its rest, which is no line of its own.
        while io::Read::take(&mut *reader, LONGEST_LINE).read_until(b'\n', &mut bytes)? > 0 {
            if bytes.last() == Some(&b'\n') {
                break;
            }
            bytes.clear();
        }
        return Ok(Some(String::new()));
    }
    Ok(Some(String::from_utf8(bytes).unwrap_or_default()))
}

/// Envoy's lines begin with their time in brackets. Those without one are taken, whenever they are from.
fn is_late_enough(before: &str, since: Option<&str>) -> bool {
    let Some(since) = since else { return true };
    match before.trim_start().strip_prefix('[').and_then(|rest| rest.split(']').next()) {
        Some(time) if time.starts_with(|c: char| c.is_ascii_digit()) => time >= since,
        _ => true,
    }
}

fn filters(given: &[String]) -> Result<Vec<(String, String)>, Refusal> {
    let each = given.iter().map(|given| {
        let pair = given.split_once('=');
        let pair =
            pair.ok_or_else(|| Refusal::usage("--where is MEMBER=VALUE, as in decision=deny".to_owned()));
        pair.map(|(member, value)| (own_name(member).to_owned(), value.to_owned()))
    });
    each.collect()
}

fn is_asked_for(record: &Map<String, Value>, filters: &[(String, String)]) -> bool {
    filters.iter().all(|(member, value)| match record.get(member) {
        Some(Value::String(text)) => text == value,
        Some(Value::Array(items)) => items.iter().any(|item| item == value.as_str()),
        Some(other) => {
            let text = other.to_string();
            text == *value
        }
        None => false,
    })
}
