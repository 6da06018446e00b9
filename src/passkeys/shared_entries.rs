//! Entries in what all workers of one Envoy share: to try passkeys out without a store. They are gone with the process.
//!
//! They stand in one value, so that a change of several is one write; that is why there are few.

use serde_json::{Map, Value, json};

use super::entries::{Answer, Change, Question};
use crate::store::{SharedStore, update};

/// How large all of them may be together, in bytes.
const MOST_BYTES: usize = 256 * 1024;

/// How often a lost race is run again.
const TRIES: usize = 16;

/// What there is under `key`.
pub fn ask(question: &Question, store: &dyn SharedStore, key: &str) -> Answer {
    match question {
        Question::Read(name) => match store.get(key) {
            Ok(stored) => match read(stored.as_ref().map(|stored| stored.value.as_slice())) {
                Some(entries) => Answer::Entry(entry(&entries, &name.path())),
                None => Answer::Unavailable,
            },
            Err(_) => Answer::Unavailable,
        },
        Question::Change(wanted) => {
            let mut answer = Answer::Unavailable;
            let updated = update(store, key, TRIES, &mut |stored| {
                let (outcome, after) = match read(stored) {
                    Some(entries) => change(entries, wanted),
                    None => (Answer::Unavailable, None),
                };
                answer = outcome;
                after
            });
            if updated.is_ok() { answer } else { Answer::Unavailable }
        }
    }
}

/// What comes of the change, and what is to be stored then.
fn change(mut entries: Map<String, Value>, wanted: &Change) -> (Answer, Option<Vec<u8>>) {
    let revision = |name: &str| entry(&entries, name).map_or(0, |(_, revision)| revision);
    if !wanted.unless_changed.iter().all(|(name, seen)| revision(&name.path()) == *seen) {
        return (Answer::Changed(false), None);
    }
    // The next revision of the store, so that none comes twice, whatever is deleted.
    let last = entries.get("revision").and_then(Value::as_u64).unwrap_or_default();
    let next = last.saturating_add(1);
    entries.insert("revision".to_owned(), next.into());
    for (name, value) in &wanted.put {
        entries.insert(name.path(), json!({"revision": next, "value": value}));
    }
    for name in &wanted.delete {
        entries.shift_remove(&name.path());
    }
    let after = Value::Object(entries).to_string().into_bytes();
    if after.len() > MOST_BYTES {
        return (Answer::Unavailable, None);
    }
    (Answer::Changed(true), Some(after))
}

fn read(stored: Option<&[u8]>) -> Option<Map<String, Value>> {
    match stored {
        None | Some(b"") => Some(Map::new()),
        Some(stored) => match serde_json::from_slice(stored).ok()? {
            Value::Object(entries) => Some(entries),
            _ => None,
        },
    }
}

fn entry(entries: &Map<String, Value>, name: &str) -> Option<(Vec<u8>, u64)> {
    let entry = entries.get(name)?;
    Some((entry.get("value")?.as_str()?.as_bytes().to_vec(), entry.get("revision")?.as_u64()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{passkeys::entries::Name, store::MemoryStore};

    fn account(name: &str) -> Name {
        Name::Account(name.to_owned())
    }

    fn put(seen: &[(&str, u64)], put: &[(&str, &str)], delete: &[&str]) -> Question {
        Question::Change(Change {
            unless_changed: seen.iter().map(|(name, seen)| (account(name), *seen)).collect(),
            put: put.iter().map(|(name, value)| (account(name), (*value).to_owned())).collect(),
            delete: delete.iter().map(|name| account(name)).collect(),
        })
    }

    #[test]
    fn entries_are_changed_by_whoever_knows_them() {
        let store = MemoryStore::default();
        let ask = |question: &Question| ask(question, &store, "k");
        let read = |name: &str| ask(&Question::Read(account(name)));
        let found = |value: &str, revision| Answer::Entry(Some((value.as_bytes().to_vec(), revision)));
        assert_eq!(read("a"), Answer::Entry(None));
        assert_eq!(ask(&put(&[("a", 1)], &[("a", "x")], &[])), Answer::Changed(false));
        assert_eq!(ask(&put(&[("a", 0)], &[("a", "x")], &[])), Answer::Changed(true));
        assert_eq!(read("a"), found("x", 1));
        assert_eq!(ask(&put(&[("a", 0)], &[("a", "y")], &[])), Answer::Changed(false));
        // All or nothing.
        assert_eq!(ask(&put(&[("a", 1), ("b", 7)], &[("a", "y"), ("b", "y")], &[])), Answer::Changed(false));
        assert_eq!(read("a"), found("x", 1));
        assert_eq!(ask(&put(&[("a", 1), ("b", 0)], &[("a", "y"), ("b", "y")], &[])), Answer::Changed(true));
        assert_eq!((read("a"), read("b")), (found("y", 2), found("y", 2)));
        assert_eq!(ask(&put(&[("a", 2)], &[], &["a"])), Answer::Changed(true));
        assert_eq!((read("a"), read("b")), (Answer::Entry(None), found("y", 2)));
        // What was made anew is not what it was.
        assert_eq!(ask(&put(&[("a", 0)], &[("a", "z")], &[])), Answer::Changed(true));
        assert_eq!(read("a"), found("z", 4));
    }

    #[test]
    fn what_makes_no_sense_or_is_too_large_is_left_alone() {
        let store = MemoryStore::default();
        let large = "x".repeat(MOST_BYTES);
        assert_eq!(ask(&put(&[], &[("a", &large)], &[]), &store, "k"), Answer::Unavailable);
        assert_eq!(ask(&Question::Read(account("a")), &store, "k"), Answer::Entry(None));
        store.replace("damaged", b"[1]", crate::store::Expected::Absent).unwrap();
        for question in [Question::Read(account("a")), put(&[], &[("a", "x")], &[])] {
            assert_eq!(ask(&question, &store, "damaged"), Answer::Unavailable);
        }
    }
}
