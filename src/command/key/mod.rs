//! `portcullis key`: the life of API keys.
//!
//! What a store knows of a key has the form of a policy's key, whatever the store is. The key itself is shown once, to
//! whoever makes it, and is stored nowhere.

mod arguments;
mod changes;
mod etcd_store;
mod import;
mod policy_file;
mod properties;
mod record;
mod secret;
mod store;
mod stored;
mod tell;
mod uses;

use std::{io::Read as _, time::SystemTime};

pub(super) use self::{arguments::KeyTask, secret::digits};
use self::{
    arguments::{NewOptions, Place, RotateOptions, Which},
    policy_file::Change,
    record::Record,
    secret::NewKey,
    store::Store,
    stored::NotWritten,
    tell::Done,
    uses::Uses,
};
use super::{refusal::Refusal, times};
use crate::api_key::format;

/// Carries out what is asked for.
pub(super) fn run(task: &KeyTask) -> u8 {
    Refusal::told(try_run(task))
}

fn try_run(task: &KeyTask) -> Result<(), Refusal> {
    let now = SystemTime::now();
    match task {
        KeyTask::New(options) => add(options, now),
        KeyTask::Import(options) => {
            let store = open(&options.place, true)?;
            let records = import::read(&input()?, options.id.as_deref(), &options.properties.members()?)?;
            for record in &records {
                store.refuse_taken(record.id())?;
            }
            let is_dry = options.place.telling.dry_run;
            once(store.change(&[], &[Change::Add(records.clone())], is_dry))?;
            tell::imported(&done(&options.place, now), &records);
            Ok(())
        }
        KeyTask::List(options) => {
            let mut records: Vec<_> =
                open(&options.place, false)?.all()?.into_iter().map(|stored| stored.record).collect();
            let uses = Uses::read(&options.uses, &options.place, None)?;
            if let Some(uses) = &uses {
                records.iter_mut().for_each(|record| uses.add_to(record));
            } else if options.unused.is_some() {
                let message = "--unused needs the uses that the filter noted in etcd: say with --uses where";
                return Err(Refusal::usage(message.to_owned()));
            }
            records.retain(|record| {
                options.state.is_none_or(|state| record.state(now) == state)
                    && options.client.as_deref().is_none_or(|client| record.client() == client)
                    && options.unused.is_none_or(|time| uses::is_unused(record, *time, now))
            });
            let done = done(&options.place, now);
            tell::listed(&done, &records, uses.is_some());
            if options.unused.is_some() {
                tell::unused(&done, &records);
            }
            Ok(())
        }
        KeyTask::Show(options) => {
            let key = key_of(&options.which)?;
            let mut record = open(&options.place, false)?.find(&options.which, key.as_deref())?.record;
            if let Some(uses) = Uses::read(&options.uses, &options.place, Some(record.id()))? {
                uses.add_to(&mut record);
            }
            tell::shown(&done(&options.place, now), &record);
            Ok(())
        }
        KeyTask::Rotate(options) => rotate(options, now),
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

fn add(options: &NewOptions, now: SystemTime) -> Result<(), Refusal> {
    let place = &options.place;
    let store = place.store.is_some().then(|| open(place, true)).transpose()?;
    let prefix = prefix(options.made.prefix.as_deref(), store.as_ref());
    let new = NewKey::make(&prefix, options.made.id.as_deref())?;
    let record = changes::added(&new.id, &secret::hash(&new.key), options.properties.members()?);
    if let Some(store) = &store {
        store.refuse_taken(record.id())?;
        once(store.change(&[], &[Change::Add(vec![record.clone()])], place.telling.dry_run))?;
    }
    let is_stored = store.is_some() && !place.telling.dry_run;
    tell::made(&done(place, now), &new, &record, is_stored);
    Ok(())
}

fn rotate(options: &RotateOptions, now: SystemTime) -> Result<(), Refusal> {
    let (place, key) = (&options.place, key_of(&options.which)?);
    let store = open(place, true)?;
    let prefix = prefix(options.made.prefix.as_deref(), Some(&store));
    let new = NewKey::make(&prefix, options.made.new_id.as_deref())?;
    store.refuse_taken(&new.id)?;
    let hash = secret::hash(&new.key);
    let (old, rotated) = until_written(|| {
        let old = store.find(&options.which, key.as_deref())?;
        let (overlap, expires) = (*options.overlap, options.expires.as_deref());
        let rotated = changes::rotated(&old.record, (&new.id, &hash), overlap, expires, now)?;
        store.change(std::slice::from_ref(&old), &rotated.changes, place.telling.dry_run)?;
        Ok((old, rotated))
    })?;
    tell::made(&done(place, now), &new, &rotated.successor, !place.telling.dry_run);
    tell::rotated(&done(place, now), &old.record, &rotated.good_until);
    Ok(())
}

/// Changes one key.
fn one(
    which: &Which,
    place: &Place,
    now: SystemTime,
    change: impl Fn(&Record) -> Result<Vec<Change>, Refusal>,
) -> Result<(), Refusal> {
    let key = key_of(which)?;
    let store = open(place, true)?;
    let (record, changes) = until_written(|| {
        let stored = store.find(which, key.as_deref())?;
        let changes = change(&stored.record)?;
        if !changes.is_empty() {
            store.change(std::slice::from_ref(&stored), &changes, place.telling.dry_run)?;
        }
        Ok((stored.record, changes))
    })?;
    tell::changed(&done(place, now), &changes::after(&record, &changes), !changes.is_empty());
    Ok(())
}

/// Does it again where somebody else wrote first: what it does depends on what is there then.
fn until_written<T>(mut attempt: impl FnMut() -> Result<T, NotWritten>) -> Result<T, Refusal> {
    const TRIES: usize = 100;
    for _ in 0..TRIES {
        match attempt() {
            Ok(done) => return Ok(done),
            Err(NotWritten::Refused(refusal)) => return Err(refusal),
            Err(NotWritten::Conflict) => {}
        }
    }
    Err(Refusal::refused("others change this key all the time; nothing was changed".to_owned()))
}

/// Does it once: a key that is new is nobody else's.
fn once(written: Result<(), NotWritten>) -> Result<(), Refusal> {
    written.map_err(|why| match why {
        NotWritten::Refused(refusal) => refusal,
        NotWritten::Conflict => Refusal::refused("somebody else just made a key with this id".to_owned()),
    })
}

fn open(place: &Place, to_change: bool) -> Result<Store, Refusal> {
    Store::open(place.store()?, to_change, &place.etcd)
}

fn done(place: &Place, now: SystemTime) -> Done<'_> {
    Done { telling: &place.telling, store: place.store.as_deref(), now }
}

fn prefix(given: Option<&str>, store: Option<&Store>) -> String {
    given.map(str::to_owned).or_else(|| store?.prefix()).unwrap_or_else(|| format::DEFAULT_PREFIX.to_owned())
}

/// The key itself, where it is given on standard input in place of its id.
fn key_of(which: &Which) -> Result<Option<String>, Refusal> {
    match which.id.as_str() {
        "-" => Ok(Some(input()?.trim_end_matches(['\n', '\r']).to_owned())),
        // A key on the command line stands in the shell's history and in the list of processes.
        id if id.matches('_').count() >= 2 => Err(Refusal::usage(
            "that looks like a key itself, which now stands in your shell's history; give its id, or - and the key on \
             standard input"
                .to_owned(),
        )),
        _ => Ok(None),
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
