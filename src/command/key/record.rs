//! What a store knows of a key: the fields of a policy's key.

use std::time::SystemTime;

use clap::ValueEnum;
use serde_json::{Map, Value};

use super::times;

/// Fields by name, in their order.
pub(super) type Members = Map<String, Value>;

/// One key of a store.
#[derive(Clone, Debug)]
pub(super) struct Record(pub(super) Members);

/// What a key is worth now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum State {
    Active,
    /// Active, and another key has taken its place
    Rotated,
    NotYetValid,
    Expired,
    Disabled,
    Revoked,
}

impl State {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Rotated => "rotated",
            Self::NotYetValid => "not-yet-valid",
            Self::Expired => "expired",
            Self::Disabled => "disabled",
            Self::Revoked => "revoked",
        }
    }
}

impl Record {
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// The empty text where it has none, which the filter refuses.
    pub(super) fn id(&self) -> &str {
        self.text("id").unwrap_or_default()
    }

    pub(super) fn client(&self) -> &str {
        self.text("client").unwrap_or_else(|| self.id())
    }

    /// As the filter would judge it: what is said for good counts before what may change.
    pub(super) fn state(&self, now: SystemTime) -> State {
        let time = |name| self.text(name).and_then(times::read);
        let is_set = |name| self.0.get(name).is_some_and(|value| !value.is_null());
        match () {
            () if is_set("revokedAt") => State::Revoked,
            () if self.0.get("disabled") == Some(&Value::Bool(true)) => State::Disabled,
            () if time("notBefore").is_some_and(|from| now < from) => State::NotYetValid,
            () if time("expiresAt").is_some_and(|until| now >= until) => State::Expired,
            () if is_set("replacedBy") => State::Rotated,
            () => State::Active,
        }
    }

    /// As [`Record::state`], with all of it in JSON for programs.
    pub(super) fn to_json(&self, now: SystemTime) -> Value {
        let mut members = self.0.clone();
        members.insert("state".to_owned(), Value::from(self.state(now).as_str()));
        Value::Object(members)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn states_are_those_of_the_filter() {
        let now = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(1_800_000_000)).unwrap();
        let (before, after) = ("2027-01-15T07:59:59Z", "2027-01-15T08:00:01Z");
        for (fields, expected) in [
            (json!({}), State::Active),
            (json!({"notBefore": after}), State::NotYetValid),
            (json!({"notBefore": "2027-01-15T08:00:00Z"}), State::Active),
            (json!({"notBefore": before}), State::Active),
            (json!({"expiresAt": after}), State::Active),
            (json!({"expiresAt": "2027-01-15T08:00:00Z"}), State::Expired),
            (json!({"expiresAt": after, "replacedBy": "b"}), State::Rotated),
            (json!({"expiresAt": before, "replacedBy": "b"}), State::Expired),
            (json!({"disabled": false}), State::Active),
            (json!({"disabled": true, "expiresAt": before}), State::Disabled),
            (json!({"disabled": true, "revokedAt": after}), State::Revoked),
        ] {
            let Value::Object(members) = fields.clone() else { unreachable!() };
            assert_eq!(Record(members).state(now), expected, "{fields}");
        }
    }
}
