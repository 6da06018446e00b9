//! How often keys were used, and when last, as the filter has noted it in etcd.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use serde_json::Value;

use super::{
    Refusal,
    arguments::{Place, UsesOptions},
    etcd_store::EtcdStore,
    record::{Record, State},
    times,
};

/// What the filter has noted, by id.
pub(super) struct Uses(BTreeMap<String, Value>);

impl Uses {
    /// Of all keys, or of one. `None`: the store is a file, and nothing says where uses are.
    ///
    /// # Errors
    /// They cannot be read.
    pub(super) fn read(
        options: &UsesOptions,
        place: &Place,
        id: Option<&str>,
    ) -> Result<Option<Self>, Refusal> {
        let is_etcd = |name: &&str| name.starts_with("http://") || name.starts_with("https://");
        let given = options.uses.as_deref();
        let Some(url) = given.or(place.store.as_deref().filter(is_etcd)) else { return Ok(None) };
        EtcdStore::open(url, &place.etcd)?.uses(id).map(|uses| Some(Self(uses)))
    }

    /// Adds to a key what is noted of it, as fields of their own.
    pub(super) fn add_to(&self, record: &mut Record) {
        let noted = |name| self.0.get(record.id()).and_then(|noted| noted.get(name)).cloned();
        let (uses, last) = (noted("uses"), noted("lastUsedAt"));
        record.0.insert("uses".to_owned(), uses.unwrap_or_else(|| 0.into()));
        if let Some(last) = last {
            record.0.insert("lastUsedAt".to_owned(), last);
        }
    }
}

/// Whether a key was not used for so long, or never, and is not revoked yet.
pub(super) fn is_unused(record: &Record, time: Duration, now: SystemTime) -> bool {
    let last = record.text("lastUsedAt").and_then(times::read);
    let is_long_ago = |last| now.duration_since(last).is_ok_and(|ago| ago >= time);
    record.state(now) != State::Revoked && last.is_none_or(is_long_ago)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_unused() {
        let (now, day) = (times::read("2027-01-15T08:00:00Z").unwrap(), Duration::from_secs(86_400));
        for (fields, expected) in [
            (json!({}), true),
            (json!({"lastUsedAt": "2027-01-14T08:00:00Z"}), true),
            (json!({"lastUsedAt": "2027-01-14T08:00:01Z"}), false),
            // By a clock that is ahead of ours.
            (json!({"lastUsedAt": "2027-01-15T08:00:01Z"}), false),
            // What cannot be read says nothing.
            (json!({"lastUsedAt": 7}), true),
            (json!({"disabled": true}), true),
            (json!({"expiresAt": "2027-01-01T00:00:00Z"}), true),
            (json!({"revokedAt": "2027-01-01T00:00:00Z"}), false),
        ] {
            let Value::Object(members) = fields.clone() else { unreachable!() };
            assert_eq!(is_unused(&Record(members), day, now), expected, "{fields}");
        }
    }

    #[test]
    fn what_is_noted_is_added() {
        let uses = Uses([("a".to_owned(), json!({"uses": 3, "lastUsedAt": "2027-01-15T08:00:00Z"}))].into());
        for (id, expected) in [
            ("a", json!({"id": "a", "uses": 3, "lastUsedAt": "2027-01-15T08:00:00Z"})),
            ("b", json!({"id": "b", "uses": 0})),
        ] {
            let mut record = Record([("id".to_owned(), id.into())].into_iter().collect());
            uses.add_to(&mut record);
            assert_eq!(Value::Object(record.0), expected);
        }
    }
}
