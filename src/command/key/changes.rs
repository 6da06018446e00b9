//! What becomes of a key, as changes of what the store knows of it.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::{
    Refusal,
    policy_file::Change,
    record::{Members, Record, State},
    times,
};

/// What belongs to one key alone, and not to the one that takes its place.
const OF_ITS_OWN: [&str; 6] = ["id", "hash", "notBefore", "expiresAt", "disabled", "replacedBy"];

/// What `portcullis key set` has other words for, or cannot change.
const NOT_UNSET: [&str; 5] = ["id", "hash", "disabled", "revokedAt", "replacedBy"];

/// A new key.
pub(super) fn added(id: &str, hash: &str, fields: Members) -> Record {
    let mut members = Members::new();
    members.insert("id".to_owned(), id.into());
    members.insert("hash".to_owned(), hash.into());
    members.extend(fields);
    Record(members)
}

/// A key, and the one that takes its place.
pub(super) struct Rotated {
    pub(super) changes: Vec<Change>,
    pub(super) successor: Record,
    /// Of the old one.
    pub(super) good_until: String,
}

/// Puts a new key, by its id and hash, in the place of `old`, which stays good for `overlap`.
///
/// # Errors
/// The old key is not good now, or was rotated before: the two would not have the same successor.
pub(super) fn rotated(
    old: &Record,
    (id, hash): (&str, &str),
    overlap: Duration,
    expires: Option<&str>,
    now: SystemTime,
) -> Result<Rotated, Refusal> {
    match old.state(now) {
        State::Active => {}
        State::Rotated => {
            let successor = old.text("replacedBy").unwrap_or_default();
            return Err(Refusal::refused(format!(
                "{:?} was rotated before; rotate {successor:?}, which took its place",
                old.id()
            )));
        }
        state => {
            return Err(Refusal::refused(format!(
                "{:?} is {}, and no key takes its place",
                old.id(),
                state.as_str()
            )));
        }
    }
    let end = old.text("expiresAt");
    let mut fields: Members = old
        .0
        .iter()
        .filter(|(name, _)| !OF_ITS_OWN.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    // Keys of one client are one principal: the new one is it, too.
    fields.entry("client").or_insert_with(|| old.client().into());
    match (expires, end) {
        (Some(expires), _) => _ = fields.insert("expiresAt".to_owned(), times::later(expires)?.into()),
        (None, Some(_)) => {
            return Err(Refusal::usage(format!(
                "{:?} expires; say with --expires when the new one does",
                old.id()
            )));
        }
        (None, None) => {}
    }
    let overlapped = times::after(now, overlap)?;
    let is_sooner = |end: &&str| times::read(end) <= times::read(&overlapped);
    let good_until = end.filter(is_sooner).map_or(overlapped.clone(), str::to_owned);
    let set = |name: &str, value: &str| Change::Set {
        id: old.id().to_owned(),
        name: name.to_owned(),
        value: value.into(),
    };
    let successor = added(id, hash, fields);
    Ok(Rotated {
        changes: vec![
            set("expiresAt", &good_until),
            set("replacedBy", id),
            Change::Add(vec![successor.clone()]),
        ],
        successor,
        good_until,
    })
}

/// # Errors
/// It is revoked.
pub(super) fn disabled(record: &Record) -> Result<Vec<Change>, Refusal> {
    refuse_revoked(record)?;
    Ok(set_unless_so(record, "disabled", Value::Bool(true)))
}

/// # Errors
/// It is revoked.
pub(super) fn enabled(record: &Record) -> Result<Vec<Change>, Refusal> {
    refuse_revoked(record)?;
    match record.0.get("disabled") {
        Some(Value::Bool(true)) => {
            Ok(vec![Change::Unset { id: record.id().to_owned(), name: "disabled".to_owned() }])
        }
        _ => Ok(Vec::new()),
    }
}

/// Nothing, where it was revoked before: since when stays as it is.
///
/// # Errors
/// None.
pub(super) fn revoked(record: &Record, now: SystemTime) -> Result<Vec<Change>, Refusal> {
    match record.0.get("revokedAt") {
        Some(value) if !value.is_null() => Ok(Vec::new()),
        _ => Ok(set_unless_so(record, "revokedAt", times::written(now).into())),
    }
}

/// # Errors
/// It is revoked, nothing is asked for, or a field cannot be taken away.
pub(super) fn set(record: &Record, fields: &Members, unset: &[String]) -> Result<Vec<Change>, Refusal> {
    refuse_revoked(record)?;
    if fields.is_empty() && unset.is_empty() {
        return Err(Refusal::usage("says nothing to set or to unset".to_owned()));
    }
    let mut changes: Vec<_> =
        fields.iter().flat_map(|(name, value)| set_unless_so(record, name, value.clone())).collect();
    for name in unset {
        if NOT_UNSET.contains(&name.as_str()) {
            return Err(Refusal::usage(format!("{name} cannot be taken away")));
        }
        if fields.contains_key(name) {
            return Err(Refusal::usage(format!("{name} is both set and unset")));
        }
        if record.0.contains_key(name) {
            changes.push(Change::Unset { id: record.id().to_owned(), name: name.clone() });
        }
    }
    Ok(changes)
}

/// What the store knows afterwards.
pub(super) fn after(record: &Record, changes: &[Change]) -> Record {
    let mut members = record.0.clone();
    for change in changes {
        match change {
            Change::Set { name, value, .. } => _ = members.insert(name.clone(), value.clone()),
            Change::Unset { name, .. } => _ = members.shift_remove(name),
            Change::Add(_) => {}
        }
    }
    Record(members)
}

fn set_unless_so(record: &Record, name: &str, value: Value) -> Vec<Change> {
    match record.0.get(name) == Some(&value) {
        true => Vec::new(),
        false => vec![Change::Set { id: record.id().to_owned(), name: name.to_owned(), value }],
    }
}

fn refuse_revoked(record: &Record) -> Result<(), Refusal> {
    match record.0.get("revokedAt") {
        Some(value) if !value.is_null() => Err(Refusal::refused(format!(
            "{:?} is revoked, and that is for good; make a new key",
            record.id()
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(fields: &Value) -> Record {
        let mut members = Members::new();
        members.insert("id".to_owned(), "old".into());
        members.insert("hash".to_owned(), "sha256:00".into());
        members.extend(fields.as_object().cloned().unwrap());
        Record(members)
    }

    fn now() -> SystemTime {
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(1_800_000_000)).unwrap()
    }

    #[test]
    fn a_successor_is_what_its_predecessor_was() {
        const DAY: Duration = Duration::from_secs(86_400);
        let (tomorrow, today) = ("2027-01-16T08:00:00Z", "2027-01-15T08:00:00Z");
        for (old, overlap, expires, successor, good_until) in [
            (json!({}), DAY, None, json!({"client": "old"}), tomorrow),
            (json!({}), Duration::ZERO, None, json!({"client": "old"}), today),
            (json!({"notBefore": today}), DAY, None, json!({"client": "old"}), tomorrow),
            (
                json!({"client": "acme", "scopes": ["a"], "label": "x", "disabled": false, "hostnames": ["a.test"]}),
                DAY,
                Some("2028-01-01T00:00:00Z"),
                json!({"client": "acme", "scopes": ["a"], "label": "x", "hostnames": ["a.test"], "expiresAt": "2028-01-01T00:00:00Z"}),
                tomorrow,
            ),
            // What expires sooner does so still.
            (
                json!({"expiresAt": "2027-01-15T09:00:00Z"}),
                DAY,
                Some("2027-02-01T00:00:00Z"),
                json!({"client": "old", "expiresAt": "2027-02-01T00:00:00Z"}),
                "2027-01-15T09:00:00Z",
            ),
        ] {
            let old = record(&old);
            let rotated = rotated(&old, ("new", "sha256:01"), overlap, expires, now())
                .map_err(|no| no.message)
                .unwrap();
            let mut expected = json!({"id": "new", "hash": "sha256:01"});
            expected.as_object_mut().unwrap().extend(successor.as_object().cloned().unwrap());
            assert_eq!(Value::Object(rotated.successor.0), expected);
            let after = after(&old, &rotated.changes);
            assert_eq!((after.text("expiresAt"), after.text("replacedBy")), (Some(good_until), Some("new")));
            assert_eq!(rotated.good_until, good_until);
        }
    }

    #[test]
    fn what_is_not_good_has_no_successor() {
        for (old, expires, said) in [
            (json!({"replacedBy": "b"}), None, "was rotated before; rotate \"b\""),
            (json!({"expiresAt": "2027-01-15T08:00:00Z"}), None, "\"old\" is expired"),
            (json!({"disabled": true}), None, "\"old\" is disabled"),
            (json!({"revokedAt": "2027-01-01T00:00:00Z"}), None, "\"old\" is revoked"),
            (json!({"notBefore": "2028-01-01T00:00:00Z"}), None, "\"old\" is not-yet-valid"),
            (json!({"expiresAt": "2028-01-01T00:00:00Z"}), None, "say with --expires"),
            (json!({}), Some("soon"), "\"soon\" is no time"),
        ] {
            let refused =
                rotated(&record(&old), ("new", "sha256:01"), Duration::ZERO, expires, now()).err().unwrap();
            assert!(refused.message.contains(said), "{old}: {}", refused.message);
        }
        assert!(rotated(&record(&json!({})), ("new", "h"), Duration::MAX, None, now()).is_err());
    }

    #[test]
    fn revoked_is_for_good() {
        type Make = fn(&Record) -> Result<Vec<Change>, Refusal>;
        let set_tier: Make = |record| set(record, json!({"tier": "gold"}).as_object().unwrap(), &[]);
        let makes: [(Make, Value); 4] = [
            (disabled, json!({"disabled": true})),
            (enabled, json!({})),
            (set_tier, json!({"tier": "gold"})),
            (|record| revoked(record, now()), json!({"revokedAt": "2027-01-15T08:00:00Z"})),
        ];
        for (make, fields) in makes {
            let (before, expected) = (record(&json!({})), record(&fields));
            let first = after(&before, &make(&before).map_err(drop).unwrap());
            assert_eq!(first.0, expected.0);
            assert!(
                make(&first).is_ok_and(|changes| changes.is_empty()) || fields.get("revokedAt").is_some()
            );
            let gone = record(&json!({"revokedAt": "2027-01-01T00:00:00Z"}));
            match make(&gone) {
                Ok(changes) => {
                    assert!(changes.is_empty() && fields.get("revokedAt").is_some(), "when it was stays")
                }
                Err(refused) => assert!(refused.message.contains("is revoked, and that is for good")),
            }
        }
        let off = record(&json!({"disabled": true, "tier": "gold"}));
        assert_eq!(after(&off, &enabled(&off).map_err(drop).unwrap()).0, record(&json!({"tier": "gold"})).0);
    }

    #[test]
    fn fields_are_set_and_taken_away() {
        let before = record(&json!({"tier": "gold", "scopes": ["a"]}));
        let fields = |value: Value| value.as_object().cloned().unwrap();
        let unset = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        for (given, gone, expected) in [
            (json!({"tier": "free"}), &[][..], json!({"tier": "free", "scopes": ["a"]})),
            (json!({"tier": "free"}), &["scopes"], json!({"tier": "free"})),
            (json!({}), &["tier", "label"], json!({"scopes": ["a"]})),
        ] {
            let changes = set(&before, &fields(given), &unset(gone)).map_err(drop).unwrap();
            assert_eq!(after(&before, &changes).0, record(&expected).0);
        }
        for (given, gone) in [
            (json!({}), &[][..]),
            (json!({}), &["id"]),
            (json!({}), &["revokedAt"]),
            (json!({"tier": "x"}), &["tier"]),
        ] {
            assert!(set(&before, &fields(given), &unset(gone)).is_err());
        }
    }
}
