//! What `portcullis revocation` is asked to do.

use clap::{Args, Subcommand};

use crate::{command::etcd::Place, revocation::Kind};

#[derive(Debug, Subcommand)]
pub(in crate::command) enum RevocationTask {
    /// Revoke what is named
    ///
    /// Where it is revoked already, whichever revokes more counts: to revoke less, undo it first.
    Add(AddOptions),
    /// List what is revoked
    List(Place),
    /// Take a revocation back
    Undo(UndoOptions),
    /// Delete revocations whose time is over, which revoke nothing any more
    Prune(Place),
}

#[derive(Debug, Args)]
pub(in crate::command) struct AddOptions {
    #[command(flatten)]
    pub(super) named: Named,
    /// When the revocation may be forgotten, as when the token has expired anyway: a time (RFC 3339), or how long from now,
    /// such as 12h. Absent: never
    #[arg(long, value_name = "TIME")]
    pub(super) until: Option<String>,
    /// Of a subject, only tokens that were issued at this time or before it: a time (RFC 3339); 0s means now. Absent: all
    #[arg(long, value_name = "TIME")]
    pub(super) issued_before: Option<String>,
    /// Why, in words. For people alone
    #[arg(long)]
    pub(super) note: Option<String>,
    #[command(flatten)]
    pub(super) place: Place,
}

#[derive(Debug, Args)]
pub(in crate::command) struct UndoOptions {
    #[command(flatten)]
    pub(super) named: Named,
    #[command(flatten)]
    pub(super) place: Place,
}

/// What is revoked, by one of its names.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(super) struct Named {
    /// The token with this `jti`
    #[arg(long)]
    jti: Option<String>,
    /// The session with this `sid`: all of its tokens
    #[arg(long)]
    sid: Option<String>,
    /// The passkey with this id: the sessions that began with it
    #[arg(long, value_name = "ID")]
    passkey: Option<String>,
    /// The subject: all of its tokens, but for those that --issued-before spares
    #[arg(long)]
    sub: Option<String>,
    /// The client: all of its tokens (`client_id`, `azp`, `cid` or `appid`) and its API keys
    #[arg(long)]
    client_id: Option<String>,
    /// The API key with this id
    #[arg(long)]
    api_key: Option<String>,
}

impl Named {
    /// Which kind of name, and the name.
    pub(super) fn name(&self) -> Option<(Kind, &str)> {
        let names = [
            (Kind::Token, &self.jti),
            (Kind::Session, &self.sid),
            (Kind::Passkey, &self.passkey),
            (Kind::Subject, &self.sub),
            (Kind::Client, &self.client_id),
            (Kind::ApiKey, &self.api_key),
        ];
        names.into_iter().find_map(|(kind, name)| Some((kind, name.as_deref()?)))
    }
}
