//! Passkeys that the gateway keeps itself: accounts and what is in them, the challenges of ceremonies, and what is asked of
//! the store. What WebAuthn demands of an answer to a challenge is judged in `webauthn`; the engine joins the two.
//!
//! A ceremony reads the account and writes it back unless somebody else wrote it meanwhile. So of two gateways that are
//! given the same answer one alone takes it: what was answered is noted in the account that is written.

mod account;
mod challenge;
mod enrolment;
mod entries;
mod etcd_entries;
mod shared_entries;

use std::time::Duration;

pub use self::{
    account::{Account, LONGEST_LABEL, MOST_PASSKEYS, NotRemoved, Passkey, UsedChallenge},
    challenge::{BoundTo, Challenge, ChallengeError, ChallengeKeys, Purpose},
    enrolment::Enrolment,
    entries::{ACCOUNTS, Answer, Change, Name, Question, REVOCATIONS},
    etcd_entries::{EtcdEntries, Ticket},
};
use crate::{crypto::sha256, etcd::Server, store::SharedStore, text::base64url, time::Timestamp};

/// The name of the header that has a passkey's confirmation of an operation.
pub const CONFIRMATION_HEADER: &str = "portcullis-passkey";

/// Where browsers ask which pages of other domains may use our passkeys (WebAuthn Level 3, section 5.11.1).
pub const RELATED_ORIGINS_PATH: &str = "/.well-known/webauthn";

/// The longest that a policy may let ceremonies take.
pub const LONGEST_TIMEOUT: Duration = Duration::from_secs(3600);

/// What the gateway does with passkeys.
#[derive(Clone, Debug)]
pub struct PasskeysSpec {
    /// What the paths of all endpoints begin with; ends with `/`.
    pub path: String,
    /// The provider whose users may make passkeys; `None`: nobody may by a token.
    pub provider: Option<String>,
    /// Whether whoever has an enrolment code may make a passkey.
    pub enrolment_codes: bool,
    /// Whether whoever makes a passkey or signs in must be verified by the authenticator.
    pub requires_user_verification: bool,
    /// For how long a challenge is good.
    pub timeout: Duration,
    /// How old the sign-in may be of whoever changes passkeys by a session.
    pub session_max_age: Duration,
    /// Names of limits that apply to all endpoints.
    pub rate_limits: Vec<String>,
    /// Where accounts are kept.
    pub store: PasskeyStoreSpec,
}

/// Who may ask for what: endpoints share a rule that are for the same people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CeremonyRule {
    /// To make a passkey.
    Registration,
    /// To sign in.
    Authentication,
    /// To see and change one's own passkeys, and to confirm operations.
    Credentials,
}

impl CeremonyRule {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Registration, Self::Authentication, Self::Credentials];

    /// As which rule the decision record has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Registration => "passkeys-registration",
            Self::Authentication => "passkeys-authentication",
            Self::Credentials => "passkeys-credentials",
        }
    }
}

/// Where accounts are kept.
#[derive(Clone, Debug)]
pub enum PasskeyStoreSpec {
    /// In etcd.
    Etcd(Box<Server>),
    /// In what the workers of one Envoy share, until it ends.
    SharedData,
}

/// What is said of the store in shared data, at start.
pub const NOT_KEPT: &str = "passkeys are kept in the shared data of this Envoy alone, and are gone when it ends: to be tried out, no more";

/// The answer to `question` where accounts are kept in shared data.
pub fn ask_shared(question: &Question, store: &dyn SharedStore, namespace: &str) -> Answer {
    shared_entries::ask(question, store, &format!("{namespace}/passkeys"))
}

/// The name of the entry that says whose the credential is: ids may be long.
pub fn credential_name(id: &[u8]) -> Name {
    Name::Credential(base64url::encode(&sha256(id)))
}

/// The name of the revocation of a passkey's sessions.
pub fn revocation_name(id: &[u8]) -> Name {
    Name::Revocation(base64url::encode(id))
}

/// The same with what it says of a passkey that is removed `now`. `until`: its sessions are over then.
pub fn revocation(id: &[u8], now: Timestamp, until: Timestamp) -> (Name, String) {
    // Nothing of it needs escapes.
    let members = ["{\"revokedAt\":\"", &now.to_rfc3339(), "\",\"until\":\"", &until.to_rfc3339()];
    let said = [&members.concat(), "\",\"note\":\"the passkey was removed\"}"].concat();
    (revocation_name(id), said)
}

/// The name of the account of whoever is `subject`.
pub fn account_name(subject: &str) -> Name {
    Name::Account(Account::id_of(subject))
}

/// One operation, as a challenge is bound to it: a digest of its method, host, target and, where it counts, of the digest
/// of its body. `target` is the path with the query.
pub fn operation(method: &str, host: &str, target: &str, body: Option<&[u8; 32]>) -> [u8; 32] {
    // Each part is hashed by itself, so that no two operations give the same bytes.
    let parts = [method.as_bytes(), host.as_bytes(), target.as_bytes()].map(sha256);
    let body = body.map(<[u8; 32]>::as_slice).unwrap_or_default();
    sha256(&[parts.as_flattened(), body].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revocation_says_when_it_is_over() {
        let (now, until) = (Timestamp::from_secs(1_800_000_000), Timestamp::from_secs(1_800_001_200));
        let (name, said) = revocation(&[0xfb, 0xff], now, until);
        assert_eq!(
            (name.path().as_str(), &name),
            ("v1/revocations/passkey/-_8", &revocation_name(&[0xfb, 0xff]))
        );
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(
            said,
            serde_json::json!({
                "revokedAt": "2027-01-15T08:00:00Z",
                "until": "2027-01-15T08:20:00Z",
                "note": "the passkey was removed",
            })
        );
    }

    #[test]
    fn no_two_operations_are_the_same() {
        let body = sha256(b"{}");
        let one = operation("POST", "a", "/b?c", Some(&body));
        for other in [
            operation("PUT", "a", "/b?c", Some(&body)),
            operation("POST", "b", "/b?c", Some(&body)),
            operation("POST", "a", "/b?d", Some(&body)),
            operation("POST", "a/b", "?c", Some(&body)),
            operation("POST", "a", "/b?c", Some(&sha256(b"{ }"))),
            operation("POST", "a", "/b?c", None),
        ] {
            assert_ne!(one, other);
        }
        assert_eq!(one, operation("POST", "a", "/b?c", Some(&body)));
    }
}
