//! `portcullis passkey`: accounts with passkeys in etcd, and the codes by which somebody makes a first one.

mod arguments;
mod store;

use std::time::{Duration, SystemTime};

use comfy_table::{Table, presets};
use serde_json::{Value, json};

pub(super) use self::arguments::PasskeyTask;
use self::{
    arguments::{EnrolOptions, RemoveOptions, SetOptions},
    store::Accounts,
};
use super::{
    complain,
    etcd::Place,
    key::digits,
    refusal::Refusal,
    say,
    telling::{Output, plain_text as plain},
    times,
};
use crate::{
    passkeys::{Account, Change, Enrolment, Name, account_name, credential_name, revocation},
    text::base64url,
    time::Timestamp,
};

/// Of a code: 190 bits of letters and digits, as of an API key's secret.
const CODE_DIGITS: usize = 32;
const CODE_ALPHABET: usize = 62;

/// The longest time that a policy can give to sessions, and what clocks may differ by.
const LONGEST_SESSION: Duration = Duration::from_secs(24 * 3600 + 300);

/// How often an account is read again that somebody else changed meanwhile.
const TRIES: usize = 100;

/// Carries out what is asked for.
pub(super) fn run(task: &PasskeyTask) -> u8 {
    let outcome = match task {
        PasskeyTask::Enrol(options) => enrol(options),
        PasskeyTask::List(options) => list(&options.place),
        PasskeyTask::Show(options) => open(&options.place)
            .and_then(|accounts| accounts.find(&options.whose.subject))
            .map(|(account, _)| {
                shown(&options.place, &account);
            }),
        PasskeyTask::Set(options) => set(options),
        PasskeyTask::Remove(options) => remove(options),
    };
    Refusal::told(outcome)
}

fn enrol(options: &EnrolOptions) -> Result<(), Refusal> {
    let expires = times::later(&options.expires)?;
    let expires_at = Timestamp::from_rfc3339(&expires)
        .map_err(|_| Refusal::usage(format!("{expires:?} is no time that can be kept")))?;
    let subject = &options.whose.subject;
    for text in [subject, options.name.as_ref().unwrap_or(subject)] {
        if text.is_empty() || text.chars().any(char::is_control) {
            return Err(Refusal::usage(
                "a subject and a name are text without control characters".to_owned(),
            ));
        }
    }
    if expires_at <= now() {
        return Err(Refusal::usage(format!("{expires} is over")));
    }
    let code = digits(CODE_DIGITS, CODE_ALPHABET)?;
    let enrolment = Enrolment {
        subject: subject.clone(),
        name: options.name.clone().unwrap_or_else(|| subject.clone()),
        roles: options.grants.roles.clone(),
        scopes: options.grants.scopes.clone(),
        expires_at,
    };
    let name = Name::Enrolment(Enrolment::id_of(&code));
    let change = Change {
        unless_changed: vec![(name.clone(), 0)],
        put: vec![(name, enrolment.to_json())],
        delete: Vec::new(),
    };
    let place = &options.place;
    if !open(place)?.change(&change, place.telling.dry_run)? {
        return Err(Refusal::refused("somebody else just made this very code; try again".to_owned()));
    }
    if is_json(place) {
        say(&format!("{:#}\n", json!({"subject": subject, "code": code, "expiresAt": expires})));
    } else {
        say(&format!("code:    {code}\nfor:     {}\nexpires: {expires}\n", plain(subject)));
        note(place, "the code is shown this once, and is good once");
    }
    Ok(())
}

fn list(place: &Place) -> Result<(), Refusal> {
    let accounts = open(place)?.all()?;
    if is_json(place) {
        let list: Vec<_> = accounts.iter().map(told).collect();
        say(&format!("{:#}\n", Value::Array(list)));
        return Ok(());
    }
    if accounts.is_empty() {
        note(place, "no account has passkeys");
        return Ok(());
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "SUBJECT",
        "NAME",
        "PASSKEYS",
        "LAST USED",
        "ROLES",
        "SCOPES",
    ]);
    for account in &accounts {
        let last = account.passkeys.iter().filter_map(|passkey| passkey.last_used_at).max();
        table.add_row([
            plain(&account.subject),
            plain(&account.name),
            account.passkeys.len().to_string(),
            last.map(Timestamp::to_rfc3339).unwrap_or_default(),
            plain(&account.roles.join(",")),
            plain(&account.scopes.join(",")),
        ]);
    }
    say(&format!("{}\n", table.trim_fmt()));
    Ok(())
}

fn set(options: &SetOptions) -> Result<(), Refusal> {
    let place = &options.place;
    let account = changed(place, &options.whose.subject, |account| {
        account.roles.clone_from(&options.grants.roles);
        account.scopes.clone_from(&options.grants.scopes);
        Ok(Change::default())
    })?;
    shown(place, &account);
    note(place, "sessions that are there keep what they have until they expire");
    Ok(())
}

fn remove(options: &RemoveOptions) -> Result<(), Refusal> {
    let (place, subject) = (&options.place, &options.whose.subject);
    let (now, until) = (now(), now().saturating_add(LONGEST_SESSION));
    let revoked = |id: &[u8]| (!options.keep_sessions).then(|| revocation(id, now, until));
    if let Some(id) = &options.id {
        let bytes = base64url::decode(id.as_bytes());
        let account = changed(place, subject, |account| {
            let known = bytes.as_ref().filter(|id| account.passkey(id).is_some());
            let id = known.ok_or_else(|| Refusal::refused(format!("{subject:?} has no passkey {id:?}")))?;
            account.passkeys.retain(|passkey| passkey.id != *id);
            Ok(Change {
                put: revoked(id).into_iter().collect(),
                delete: vec![credential_name(id)],
                ..Change::default()
            })
        })?;
        shown(place, &account);
        return Ok(());
    }
    let accounts = open(place)?;
    for _ in 0..TRIES {
        let (account, revision) = accounts.find(subject)?;
        let name = account_name(subject);
        let credentials = account.passkeys.iter().map(|passkey| credential_name(&passkey.id));
        let change = Change {
            unless_changed: vec![(name.clone(), revision)],
            put: account.passkeys.iter().filter_map(|passkey| revoked(&passkey.id)).collect(),
            delete: std::iter::once(name).chain(credentials).collect(),
        };
        if accounts.change(&change, place.telling.dry_run)? {
            note(place, &format!("{} and {} passkeys are gone", plain(subject), account.passkeys.len()));
            return Ok(());
        }
    }
    Err(always_changed())
}

/// The account of `subject` as `change` has it, which answers what is to be changed beside.
fn changed(
    place: &Place,
    subject: &str,
    change: impl Fn(&mut Account) -> Result<Change, Refusal>,
) -> Result<Account, Refusal> {
    let accounts = open(place)?;
    for _ in 0..TRIES {
        let (mut account, revision) = accounts.find(subject)?;
        let mut wanted = change(&mut account)?;
        let name = account_name(subject);
        wanted.unless_changed.push((name.clone(), revision));
        wanted.put.push((name, account.to_json()));
        if accounts.change(&wanted, place.telling.dry_run)? {
            return Ok(account);
        }
    }
    Err(always_changed())
}

fn always_changed() -> Refusal {
    Refusal::refused("others change this account all the time; nothing was changed".to_owned())
}

fn open(place: &Place) -> Result<Accounts, Refusal> {
    Accounts::open(&place.store, &place.etcd)
}

fn shown(place: &Place, account: &Account) {
    let told = told(account);
    if is_json(place) {
        return say(&format!("{told:#}\n"));
    }
    say(&format!(
        "subject: {}\nname:    {}\nroles:   {}\nscopes:  {}\n",
        plain(&account.subject),
        plain(&account.name),
        plain(&account.roles.join(",")),
        plain(&account.scopes.join(","))
    ));
    for passkey in &account.passkeys {
        let last = passkey.last_used_at.map_or_else(|| "never".to_owned(), Timestamp::to_rfc3339);
        let (id, label) = (base64url::encode(&passkey.id), plain(&passkey.label));
        say(&format!("passkey: {id}  {label}  made {}, last used {last}\n", passkey.created_at.to_rfc3339()));
    }
}

fn told(account: &Account) -> Value {
    json!({
        "subject": account.subject,
        "name": account.name,
        "roles": account.roles,
        "scopes": account.scopes,
        "passkeys": account.passkeys.iter().map(|passkey| passkey.told()).collect::<Vec<_>>(),
    })
}

fn is_json(place: &Place) -> bool {
    place.telling.output == Output::Json
}

fn note(place: &Place, text: &str) {
    let dry = if place.telling.dry_run { "nothing was changed (--dry-run): " } else { "" };
    complain(&format!("{dry}{text}\n"));
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_secs(since.as_secs())
}
