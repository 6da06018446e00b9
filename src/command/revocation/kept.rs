//! A revocation as it is kept, with the fields that are for people.

use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::{
    command::times,
    etcd::Item,
    revocation::{Kind, SCHEMA},
};

/// What limits a revocation: without one of these it revokes more.
const LIMITS: [&str; 2] = ["until", "issuedBefore"];

/// Its fields by name.
pub(super) type Fields = Map<String, Value>;

/// One revocation.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    /// `<kind>/<name>`: what it is called behind the schema.
    pub(super) id: String,
    /// `until`, `issuedBefore`, `revokedAt` and `note`. Of what cannot be read there are none, so it revokes all.
    pub(super) fields: Fields,
    /// When it was changed last; 0: it is not there.
    pub(super) revision: u64,
}

impl Kept {
    /// One that is not there yet.
    pub(super) fn new(kind: Kind, name: &str, fields: Fields) -> Self {
        Self { id: format!("{}/{name}", kind.as_str()), fields, revision: 0 }
    }

    /// `all` is what the names of all entries begin with. `None`: one that is called so is none.
    pub(super) fn read(item: &Item, all: &str) -> Option<Self> {
        let id = str::from_utf8(&item.key).ok()?.strip_prefix(all)?.to_owned();
        let fields = serde_json::from_slice(&item.value).unwrap_or_default();
        Some(Self { id, fields, revision: item.changed_at })
    }

    /// What its entry is called behind the prefix.
    pub(super) fn entry(&self) -> String {
        format!("{SCHEMA}{}", self.id)
    }

    /// What kind of name it has, and the name.
    pub(super) fn name(&self) -> (&str, &str) {
        self.id.split_once('/').unwrap_or(("", &self.id))
    }

    /// Whether its time is over.
    pub(super) fn is_over(&self, now: SystemTime) -> bool {
        time(&self.fields, "until").is_some_and(|until| now >= until)
    }

    /// The same with what `before` revokes, too.
    pub(super) fn with(mut self, before: Self, now: SystemTime) -> Self {
        self.revision = before.revision;
        if before.is_over(now) {
            return self;
        }
        for limit in LIMITS {
            let latest = time(&self.fields, limit).max(time(&before.fields, limit));
            let both = time(&self.fields, limit).and(time(&before.fields, limit));
            match both.and(latest) {
                Some(latest) if Some(latest) == time(&self.fields, limit) => {}
                Some(_) => _ = self.fields.insert(limit.to_owned(), before.fields.get(limit).cloned().into()),
                None => _ = self.fields.shift_remove(limit),
            }
        }
        // When it was revoked first, and why, if nobody says why now.
        for (name, value) in before.fields {
            if name == "revokedAt" || (!LIMITS.contains(&name.as_str()) && !self.fields.contains_key(&name)) {
                self.fields.insert(name, value);
            }
        }
        self
    }

    /// With its name, and whether it revokes anything now, for programs.
    pub(super) fn to_json(&self, now: SystemTime) -> Value {
        let (kind, name) = self.name();
        let mut members = Map::new();
        members.insert(kind.to_owned(), name.into());
        members.extend(self.fields.clone());
        members.insert("state".to_owned(), if self.is_over(now) { "over" } else { "revoked" }.into());
        Value::Object(members)
    }
}

/// `None`: there is none that the filter would read.
fn time(fields: &Fields, name: &str) -> Option<SystemTime> {
    times::read(fields.get(name)?.as_str()?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn kept(fields: Value, revision: u64) -> Kept {
        let Value::Object(fields) = fields else { unreachable!() };
        Kept { revision, ..Kept::new(Kind::Subject, "alice", fields) }
    }

    #[test]
    fn whichever_revokes_more_counts() {
        let now = times::read("2027-01-15T08:00:00Z").unwrap();
        let (over, soon, late) =
            ("2027-01-15T08:00:00Z", "2027-01-15T08:00:01Z", "2027-02-01T00:00:00+01:00");
        for (before, new, expected) in [
            (json!({}), json!({}), json!({})),
            (json!({}), json!({"until": soon, "issuedBefore": soon}), json!({})),
            (json!({"until": soon, "issuedBefore": late}), json!({}), json!({})),
            (json!({"until": soon}), json!({"until": late}), json!({"until": late})),
            (json!({"until": late}), json!({"until": soon}), json!({"until": late})),
            (
                json!({"until": late, "issuedBefore": soon}),
                json!({"issuedBefore": late}),
                json!({"issuedBefore": late}),
            ),
            // What the filter would not read limits nothing.
            (json!({"until": "soon"}), json!({"until": soon}), json!({})),
            (json!({"until": over, "note": "old"}), json!({"until": soon}), json!({"until": soon})),
            (
                json!({"revokedAt": over, "note": "old", "ticket": 7}),
                json!({"revokedAt": late, "note": "new"}),
                json!({"revokedAt": over, "note": "new", "ticket": 7}),
            ),
            (json!({"note": "old"}), json!({}), json!({"note": "old"})),
        ] {
            let widened = kept(new.clone(), 0).with(kept(before.clone(), 5), now);
            assert_eq!((Value::Object(widened.fields), widened.revision), (expected, 5), "{before} {new}");
        }
    }

    #[test]
    fn entries_have_names_of_any_form() {
        let item = |key: &str, value: &str| Item { key: key.into(), value: value.into(), changed_at: 3 };
        let all = "/p/v1/revocations/";
        let read = Kept::read(&item("/p/v1/revocations/sub/a/b c", "garbage"), all).unwrap();
        assert_eq!((read.name(), read.fields.len(), read.revision), (("sub", "a/b c"), 0, 3));
        assert_eq!(read.entry(), "v1/revocations/sub/a/b c");
        assert_eq!(Kept::read(&item("/p/v1/keys/a", "{}"), all), None);
        let now = times::read("2027-01-15T08:00:00Z").unwrap();
        let until = |time: &str| kept(json!({"until": time}), 1).is_over(now);
        assert!(until("2027-01-15T08:00:00Z") && !until("2027-01-15T08:00:01Z") && !until("soon"));
    }
}
