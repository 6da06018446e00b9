//! What `portcullis passkey` is asked to do.

use clap::{Args, Subcommand};

use crate::command::etcd::Place;

#[derive(Debug, Subcommand)]
pub(in crate::command) enum PasskeyTask {
    /// Make a code by which somebody makes a passkey, once
    ///
    /// The code is printed once and stored nowhere. It is a credential: hand it to that person alone.
    Enrol(EnrolOptions),
    /// List the accounts, with how many passkeys each has
    List(ListOptions),
    /// Show one account with its passkeys
    Show(OneAccount),
    /// Say anew what the sessions of an account may do
    Set(SetOptions),
    /// Remove a passkey, or the whole account with all of them
    ///
    /// Its sessions are revoked: they end where the policy finds revocations in the same store (revocation.etcd), and elsewhere
    /// when they expire.
    Remove(RemoveOptions),
}

#[derive(Debug, Args)]
pub(in crate::command) struct EnrolOptions {
    #[command(flatten)]
    pub(super) whose: Whose,
    /// What authenticators show. Absent: the subject
    #[arg(long)]
    pub(super) name: Option<String>,
    #[command(flatten)]
    pub(super) grants: Grants,
    /// When the code expires: a time (RFC 3339), or how long from now, such as 24h
    #[arg(long, default_value = "24h")]
    pub(super) expires: String,
    #[command(flatten)]
    pub(super) place: Place,
}

/// What sessions of an account may do. Of an account that is there already nothing is changed by an enrolment.
#[derive(Debug, Args)]
pub(super) struct Grants {
    /// A role of its sessions; may be given several times
    #[arg(long = "role", value_name = "ROLE")]
    pub(super) roles: Vec<String>,
    /// A scope of its sessions; may be given several times
    #[arg(long = "scope", value_name = "SCOPE")]
    pub(super) scopes: Vec<String>,
}

#[derive(Debug, Args)]
pub(in crate::command) struct ListOptions {
    #[command(flatten)]
    pub(super) place: Place,
}

#[derive(Debug, Args)]
pub(in crate::command) struct OneAccount {
    #[command(flatten)]
    pub(super) whose: Whose,
    #[command(flatten)]
    pub(super) place: Place,
}

#[derive(Debug, Args)]
pub(in crate::command) struct SetOptions {
    #[command(flatten)]
    pub(super) whose: Whose,
    /// All roles and scopes are to be as they are given, none where none is
    #[command(flatten)]
    pub(super) grants: Grants,
    #[command(flatten)]
    pub(super) place: Place,
}

#[derive(Debug, Args)]
pub(in crate::command) struct RemoveOptions {
    #[command(flatten)]
    pub(super) whose: Whose,
    /// The passkey's id, as `show` has it. Absent: the account and all of them
    #[arg(long, value_name = "ID")]
    pub(super) id: Option<String>,
    /// Revoke nothing: sessions go on until they expire. For who may write nothing but passkeys
    #[arg(long)]
    pub(super) keep_sessions: bool,
    #[command(flatten)]
    pub(super) place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Whose {
    /// Whose account: `sub` of the sessions
    #[arg(long, value_name = "SUBJECT")]
    pub(super) subject: String,
}
