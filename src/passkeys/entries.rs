//! What is asked of the store of accounts: to read one entry, or to change some if nobody changed them meanwhile. Wherever
//! the entries are kept, this is all there is to ask.

/// What is behind the prefix of the store, before accounts.
pub const ACCOUNTS: &str = "v1/passkeys/accounts/";
/// The same before the names of credentials.
const CREDENTIALS: &str = "v1/passkeys/credentials/";
/// The same before enrolments.
const ENROLMENTS: &str = "v1/passkeys/enrolments/";
/// The same before revocations of passkeys, where those are kept in the same store (`revocation::SCHEMA`).
pub const REVOCATIONS: &str = "v1/revocations/passkey/";

/// Which entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// An account, by [`super::Account::id_of`].
    Account(String),
    /// Whose a credential is: the id of an account, under a digest of the credential's id.
    Credential(String),
    /// An enrolment, by the digest of its code.
    Enrolment(String),
    /// That the sessions of a passkey are no longer good, by its id as sessions say it.
    Revocation(String),
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// What the entry is.
    Read(Name),
    /// All of it, or nothing.
    Change(Change),
}

/// What is to become of entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Nothing is changed unless each of these has this revision; 0: there is none.
    pub unless_changed: Vec<(Name, u64)>,
    /// What they are to be.
    pub put: Vec<(Name, String)>,
    /// What there is to be no more.
    pub delete: Vec<Name>,
}

/// What comes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The entry with its revision; `None`: there is none.
    Entry(Option<(Vec<u8>, u64)>),
    /// Whether it was changed: not, where somebody else did so first.
    Changed(bool),
    /// Nobody can know: the store does not answer, or not in its form.
    Unavailable,
}

impl Name {
    /// As it stands behind the prefix of the store.
    pub fn path(&self) -> String {
        let (kind, name) = match self {
            Self::Account(name) => (ACCOUNTS, name),
            Self::Credential(name) => (CREDENTIALS, name),
            Self::Enrolment(name) => (ENROLMENTS, name),
            Self::Revocation(name) => (REVOCATIONS, name),
        };
        [kind, name].concat()
    }
}
