//! `portcullis revocation`: what is no longer good before its time, kept in etcd, each by itself.

mod arguments;
mod kept;

use std::time::SystemTime;

use comfy_table::{Table, presets};
use serde_json::Value;

pub(super) use self::arguments::RevocationTask;
use self::{
    arguments::{AddOptions, Named},
    kept::{Fields, Kept},
};
use super::{
    complain,
    etcd::{Etcd, Place},
    refusal::Refusal,
    say,
    telling::{Output, plain, plain_text},
    times,
};
use crate::{
    etcd::{MOST_OPERATIONS, Operation, Transaction},
    revocation::{Kind, SCHEMA},
};

/// How often a change is tried that others are ahead of.
const TRIES: usize = 100;

/// Carries out what is asked for.
pub(super) fn run(task: &RevocationTask) -> u8 {
    Refusal::told(try_run(task, SystemTime::now()))
}

fn try_run(task: &RevocationTask, now: SystemTime) -> Result<(), Refusal> {
    match task {
        RevocationTask::Add(options) => add(options, now),
        RevocationTask::List(place) => {
            let all = all(&open(place)?)?;
            list(place, &all, now);
            Ok(())
        }
        RevocationTask::Undo(options) => {
            let (kind, name) = named(&options.named)?;
            let undone =
                change(&options.place, &Kept::new(kind, name, Fields::new()), |known| match known {
                    Some(known) => Ok((known, None)),
                    None => Err(Refusal::refused(format!("no entry revokes the {} {name:?}", kind.as_str()))),
                })?;
            tell(&options.place, &undone, now, "undone");
            Ok(())
        }
        RevocationTask::Prune(place) => {
            let etcd = open(place)?;
            let over: Vec<_> = all(&etcd)?.into_iter().filter(|kept| kept.is_over(now)).collect();
            if !place.telling.dry_run {
                // What somebody revokes anew meanwhile stays.
                for kept in over.chunks(MOST_OPERATIONS) {
                    delete(&etcd, kept)?;
                }
            }
            list(place, &over, now);
            Ok(())
        }
    }
}

fn add(options: &AddOptions, now: SystemTime) -> Result<(), Refusal> {
    let (kind, name) = named(&options.named)?;
    if options.issued_before.is_some() && kind != Kind::Subject {
        return Err(Refusal::usage("--issued-before is for subjects alone (--sub)".to_owned()));
    }
    let time = |time: &Option<String>| time.as_deref().map(times::later).transpose();
    let fields = [
        ("revokedAt", Some(times::written(now))),
        ("until", time(&options.until)?),
        ("issuedBefore", time(&options.issued_before)?),
        ("note", options.note.clone()),
    ];
    let fields: Fields =
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Value::from(value?)))).collect();
    let new = Kept::new(kind, name, fields);
    if new.is_over(now) {
        return Err(Refusal::usage("--until is over: that would revoke nothing".to_owned()));
    }
    let revoked = change(&options.place, &new, |known| {
        let wanted = known.map_or_else(|| new.clone(), |known| new.clone().with(known, now));
        Ok((wanted.clone(), Some(wanted)))
    })?;
    tell(&options.place, &revoked, now, "revoked");
    Ok(())
}

/// Changes the entry that is called like `called`: `wanted` says of what is there what is told, and what is to be there.
/// Again where somebody else wrote first.
fn change(
    place: &Place,
    called: &Kept,
    wanted: impl Fn(Option<Kept>) -> Result<(Kept, Option<Kept>), Refusal>,
) -> Result<Kept, Refusal> {
    let etcd = open(place)?;
    let (key, all) = (etcd.named(&called.entry()), etcd.named(SCHEMA));
    for _ in 0..TRIES {
        let known = etcd.get(&key)?.and_then(|item| Kept::read(&item, &all));
        let revision = known.as_ref().map_or(0, |known| known.revision);
        let (told, wanted) = wanted(known)?;
        if place.telling.dry_run {
            return Ok(told);
        }
        let value = wanted.map(|wanted| Value::Object(wanted.fields).to_string());
        let mut transaction = Transaction::default();
        transaction.expect(key.as_bytes(), revision);
        transaction.then(match &value {
            Some(value) => Operation::Put { key: key.as_bytes(), value: value.as_bytes() },
            None => Operation::Delete(key.as_bytes()),
        });
        if etcd.commit(&transaction)? {
            return Ok(told);
        }
    }
    Err(Refusal::refused("others change this revocation all the time; nothing was changed".to_owned()))
}

/// Deletes those that are as they were; of a few at once all, or none.
fn delete(etcd: &Etcd, some: &[Kept]) -> Result<(), Refusal> {
    let mut transaction = Transaction::default();
    for kept in some {
        let key = etcd.named(&kept.entry());
        transaction.expect(key.as_bytes(), kept.revision);
        transaction.then(Operation::Delete(key.as_bytes()));
    }
    match (etcd.commit(&transaction)?, some) {
        (true, _) | (false, [_] | []) => Ok(()),
        (false, some) => some.chunks(1).try_for_each(|one| delete(etcd, one)),
    }
}

fn all(etcd: &Etcd) -> Result<Vec<Kept>, Refusal> {
    let (mut found, all) = (Vec::new(), etcd.named(SCHEMA));
    etcd.each_below(&all, &mut |item| found.extend(Kept::read(item, &all)))?;
    Ok(found)
}

fn open(place: &Place) -> Result<Etcd, Refusal> {
    Etcd::open(&place.store, &place.etcd)
}

/// The one name that clap makes sure is given.
fn named(named: &Named) -> Result<(Kind, &str), Refusal> {
    let (kind, name) = named.name().ok_or_else(|| Refusal::usage("says nothing to revoke".to_owned()))?;
    if name.is_empty() || name.len() > kind.longest() {
        return Err(Refusal::usage(format!("a name has 1 to {} bytes", kind.longest())));
    }
    Ok((kind, name))
}

fn tell(place: &Place, kept: &Kept, now: SystemTime, what: &str) {
    match place.telling.output {
        Output::Json => say(&format!("{:#}\n", kept.to_json(now))),
        Output::Text => {
            let (kind, name) = kept.name();
            say(&format!("{kind} {}: {what}\n", plain_text(name)));
        }
    }
    note_dry(place);
}

fn list(place: &Place, all: &[Kept], now: SystemTime) {
    if place.telling.output == Output::Json {
        let list = all.iter().map(|kept| kept.to_json(now)).collect();
        return say(&format!("{:#}\n", Value::Array(list)));
    }
    if all.is_empty() {
        return complain("no such revocation\n");
    }
    let mut table = Table::new();
    let columns = ["WHAT", "NAME", "STATE", "UNTIL", "ISSUED BEFORE", "REVOKED AT", "NOTE"];
    table.load_style(presets::NOTHING).set_header(columns);
    for kept in all {
        let text = |name| kept.fields.get(name).map(plain).unwrap_or_default();
        let (kind, name) = kept.name();
        let state = if kept.is_over(now) { "over" } else { "revoked" };
        table.add_row([
            kind.to_owned(),
            plain_text(name),
            state.to_owned(),
            text("until"),
            text("issuedBefore"),
            text("revokedAt"),
            text("note"),
        ]);
    }
    say(&format!("{}\n", table.trim_fmt()));
    note_dry(place);
}

fn note_dry(place: &Place) {
    if place.telling.dry_run && place.telling.output == Output::Text {
        complain("nothing was changed (--dry-run)\n");
    }
}
