//! `portcullis key`: the life of API keys.
//!
//! What a store knows of a key has the form of a policy's key, whatever the store is. The key itself is shown once, to
//! whoever makes it, and is stored nowhere.

mod arguments;
mod changes;
mod edit;
#[cfg(test)]
mod edit_tests;
mod import;
mod policy_file;
mod properties;
mod record;
mod secret;
mod tell;
mod times;

use std::{io::Read as _, time::SystemTime};

pub(super) use self::arguments::KeyTask;
use self::{
    arguments::{Place, Which},
    policy_file::{Change, PolicyFile},
    record::Record,
    secret::NewKey,
    tell::Done,
};
use super::{FAULTY, GOOD, UNUSABLE, complain};
use crate::api_key::format;

/// Why nothing was done.
#[derive(Debug)]
pub(super) struct Refusal {
    code: u8,
    message: String,
}

impl Refusal {
    /// What was asked for must not be, or is not there.
    fn refused(message: String) -> Self {
        Self { code: FAULTY, message }
    }

    /// The command was called wrongly.
    fn usage(message: String) -> Self {
        Self { code: UNUSABLE, message }
    }

    /// The store cannot be read or written.
    fn unusable(message: String) -> Self {
        Self { code: UNUSABLE, message }
    }
}

/// Carries out what is asked for.
pub(super) fn run(task: &KeyTask) -> u8 {
    match try_run(task) {
        Ok(()) => GOOD,
        Err(refusal) => {
            complain(&format!("error: {}\n", refusal.message));
            refusal.code
        }
    }
}

fn try_run(task: &KeyTask) -> Result<(), Refusal> {
    let now = SystemTime::now();
    match task {
        KeyTask::New(options) => {
            let store = options.store.as_deref().map(|name| PolicyFile::open(name, true)).transpose()?;
            let prefix = prefix(options.made.prefix.as_deref(), store.as_ref());
            let new = NewKey::make(&prefix, options.made.id.as_deref())?;
            let record = changes::added(&new.id, &secret::hash(&new.key), options.properties.members()?);
            if let Some(store) = &store {
                refuse_taken(store, &record)?;
                store.change(&[Change::Add(vec![record.clone()])], options.telling.dry_run)?;
            }
            let is_stored = store.is_some() && !options.telling.dry_run;
            tell::made(
                &Done { telling: &options.telling, store: options.store.as_deref(), now },
                &new,
                &record,
                is_stored,
            );
            Ok(())
        }
        KeyTask::Import(options) => {
            let store = PolicyFile::open(&options.place.store, true)?;
            let records = import::read(&input()?, options.id.as_deref(), &options.properties.members()?)?;
            for record in &records {
                refuse_taken(&store, record)?;
            }
            store.change(&[Change::Add(records.clone())], options.place.telling.dry_run)?;
            tell::imported(&done(&options.place, now), &records);
            Ok(())
        }
        KeyTask::List(options) => {
            let store = PolicyFile::open(&options.place.store, false)?;
            let mut records = store.records();
            records.retain(|record| {
                options.state.is_none_or(|state| record.state(now) == state)
                    && options.client.as_deref().is_none_or(|client| record.client() == client)
            });
            tell::listed(&done(&options.place, now), &records);
            Ok(())
        }
        KeyTask::Show(options) => {
            let store = PolicyFile::open(&options.place.store, false)?;
            tell::shown(&done(&options.place, now), &find(&store, &options.which)?);
            Ok(())
        }
        KeyTask::Rotate(options) => {
            let store = PolicyFile::open(&options.place.store, true)?;
            let old = find(&store, &options.which)?;
            let prefix = prefix(options.made.prefix.as_deref(), Some(&store));
            let new = NewKey::make(&prefix, options.made.new_id.as_deref())?;
            let rotated = changes::rotated(
                &old,
                (&new.id, &secret::hash(&new.key)),
                *options.overlap,
                options.expires.as_deref(),
                now,
            )?;
            refuse_taken(&store, &rotated.successor)?;
            store.change(&rotated.changes, options.place.telling.dry_run)?;
            tell::made(&done(&options.place, now), &new, &rotated.successor, !options.place.telling.dry_run);
            tell::rotated(&done(&options.place, now), &old, &rotated.good_until);
            Ok(())
        }
        KeyTask::Disable(options) => one(&options.which, &options.place, now, changes::disabled),
        KeyTask::Enable(options) => one(&options.which, &options.place, now, changes::enabled),
        KeyTask::Revoke(options) => {
            one(&options.which, &options.place, now, |record| changes::revoked(record, now))
        }
        KeyTask::Set(options) => {
            let fields = options.properties.members()?;
            one(&options.which, &options.place, now, |record| changes::set(record, &fields, &options.unset))
        }
    }
}

/// Changes one key.
fn one(
    which: &Which,
    place: &Place,
    now: SystemTime,
    change: impl FnOnce(&Record) -> Result<Vec<Change>, Refusal>,
) -> Result<(), Refusal> {
    let store = PolicyFile::open(&place.store, true)?;
    let record = find(&store, which)?;
    let changes = change(&record)?;
    if !changes.is_empty() {
        store.change(&changes, place.telling.dry_run)?;
    }
    tell::changed(&done(place, now), &changes::after(&record, &changes), !changes.is_empty());
    Ok(())
}

fn done(place: &Place, now: SystemTime) -> Done<'_> {
    Done { telling: &place.telling, store: Some(&place.store), now }
}

fn prefix(given: Option<&str>, store: Option<&PolicyFile>) -> String {
    given.map(str::to_owned).or_else(|| store?.prefix()).unwrap_or_else(|| format::DEFAULT_PREFIX.to_owned())
}

/// The key that is named, or that is given itself on standard input.
fn find(store: &PolicyFile, which: &Which) -> Result<Record, Refusal> {
    let (wanted, is_key) = match which.id.as_str() {
        "-" => (secret::hash(input()?.trim_end_matches(['\n', '\r'])), true),
        // A key on the command line stands in the shell's history and in the list of processes.
        id if id.matches('_').count() >= 2 => {
            return Err(Refusal::usage(
                "that looks like a key itself, which now stands in your shell's history; give its id, or - and the key on \
                 standard input"
                    .to_owned(),
            ));
        }
        id => (id.to_owned(), false),
    };
    let field = if is_key { "hash" } else { "id" };
    let records = store.records();
    let found = records.iter().find(|record| record.text(field).is_some_and(|own| own == wanted));
    found.cloned().ok_or_else(|| {
        Refusal::refused(match is_key {
            true => "no key of the store is the one on standard input".to_owned(),
            false => format!("no key of the store has the id {wanted:?}"),
        })
    })
}

fn refuse_taken(store: &PolicyFile, record: &Record) -> Result<(), Refusal> {
    match store.records().iter().any(|other| other.id() == record.id()) {
        true => Err(Refusal::refused(format!("the store has a key with the id {:?} already", record.id()))),
        false => Ok(()),
    }
}

/// What is on standard input.
fn input() -> Result<String, Refusal> {
    let mut text = String::new();
    match std::io::stdin().lock().read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) => Err(Refusal::unusable(format!("standard input cannot be read: {error}"))),
    }
}
