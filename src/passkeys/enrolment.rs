//! Enrolments: codes of one use by which somebody without any other credential makes a first passkey.

use serde_json::{Value, json};

use crate::{crypto::sha256, text::base64url, time::Timestamp};

/// An enrolment, as it stands under the digest of its code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// For whom (`sub` of the sessions).
    pub subject: String,
    /// What authenticators show.
    pub name: String,
    /// Roles of the sessions of an account that is made by it.
    pub roles: Vec<String>,
    /// Scopes of the same.
    pub scopes: Vec<String>,
    /// From then on it is good for nothing.
    pub expires_at: Timestamp,
}

impl Enrolment {
    /// The name of the entry of `code`. Codes are random and long, so a plain digest gives none away.
    pub fn id_of(code: &str) -> String {
        base64url::encode(&sha256(code.as_bytes()))
    }

    /// Reads an entry of the store.
    pub fn read(text: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(text).ok()?;
        let text = |name: &str| value.get(name)?.as_str().map(str::to_owned);
        let names = |name: &str| match value.get(name) {
            None => Some(Vec::new()),
            Some(names) => names.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect(),
        };
        Some(Self {
            subject: text("subject").filter(|subject| !subject.is_empty())?,
            name: text("name")?,
            roles: names("roles")?,
            scopes: names("scopes")?,
            expires_at: Timestamp::from_rfc3339(&text("expiresAt")?).ok()?,
        })
    }

    /// As an entry of the store.
    pub fn to_json(&self) -> String {
        let entry = json!({
            "subject": self.subject,
            "name": self.name,
            "roles": self.roles,
            "scopes": self.scopes,
            "expiresAt": self.expires_at.to_rfc3339(),
        });
        entry.to_string()
    }

    /// Whether it is good at `now`.
    pub fn is_good(&self, now: Timestamp) -> bool {
        now < self.expires_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_read_as_it_was_written() {
        let enrolment = Enrolment {
            subject: "alice".to_owned(),
            name: "Alice \"A\"".to_owned(),
            roles: vec!["editor".to_owned()],
            scopes: Vec::new(),
            expires_at: Timestamp::from_secs(1_800_000_000),
        };
        let text = enrolment.to_json();
        assert_eq!(Enrolment::read(text.as_bytes()), Some(enrolment.clone()));
        assert!(enrolment.is_good(Timestamp::from_secs(1_799_999_999)));
        assert!(!enrolment.is_good(Timestamp::from_secs(1_800_000_000)));
        for (there, instead) in [
            ("\"alice\"", "\"\""),
            ("\"alice\"", "7"),
            ("[\"editor\"]", "[7]"),
            ("[\"editor\"]", "{}"),
            ("2027", "soon"),
            ("expiresAt", "expires"),
        ] {
            let broken = text.replace(there, instead);
            assert_ne!(broken, text, "{there}");
            assert_eq!(Enrolment::read(broken.as_bytes()), None, "{broken}");
        }
    }
}
