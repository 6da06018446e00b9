//! What `portcullis key` is asked to do.

use clap::{Args, Subcommand};

use super::{Refusal, properties::Properties};
use crate::command::{etcd::EtcdAccess, telling::Telling};

#[derive(Debug, Subcommand)]
pub(in crate::command) enum KeyTask {
    /// Make a key, and put what the filter has to know of it into the store
    ///
    /// The key itself is printed once and stored nowhere. Without a store, what belongs into a policy is printed, too.
    New(NewOptions),
    /// Put keys into the store that somebody else made
    ///
    /// Reads lines of standard input. A line is a key, or an object of JSON with the fields of a policy's key and, in
    /// place of `hash`, `key`. Only the hash of a key is stored. A key that a person could guess is refused.
    Import(ImportOptions),
    /// List the keys of the store
    List(ListOptions),
    /// Show one key of the store: all but the key itself
    Show(ShowOptions),
    /// Make a key that takes the place of another, which stays good for a while
    Rotate(RotateOptions),
    /// Refuse a key until it is enabled again
    Disable(OneKey),
    /// Take a key again that was disabled
    Enable(OneKey),
    /// Refuse a key for good; what the store knows of it stays there
    Revoke(OneKey),
    /// Change what a key may do, or what is noted of it
    Set(SetOptions),
}

#[derive(Debug, Args)]
pub(in crate::command) struct NewOptions {
    #[command(flatten)]
    pub(super) made: Made,
    #[command(flatten)]
    pub(super) properties: Properties,
    #[command(flatten)]
    pub(super) place: Place,
}

/// How a key is made.
#[derive(Debug, Args)]
pub(super) struct Made {
    /// What the decision record calls it; also a part of the key. Absent: made at random
    #[arg(long)]
    pub(super) id: Option<String>,
    /// What the key begins with, as `apiKeys.checkedPrefix` says. Absent: as there, else `pcl`
    #[arg(long)]
    pub(super) prefix: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::command) struct ImportOptions {
    /// What the decision record calls it. Only where the one line of input is a key
    #[arg(long)]
    pub(super) id: Option<String>,
    #[command(flatten)]
    pub(super) properties: Properties,
    #[command(flatten)]
    pub(super) place: Place,
}

#[derive(Debug, Args)]
pub(in crate::command) struct ListOptions {
    /// Only keys in this state
    #[arg(long, value_enum)]
    pub(super) state: Option<super::record::State>,
    /// Only keys of this client
    #[arg(long)]
    pub(super) client: Option<String>,
    /// Only keys that were not used for so long, such as 90d, and are not revoked. A key of which no use is noted counts as
    /// unused
    #[arg(long, value_name = "TIME")]
    pub(super) unused: Option<humantime::Duration>,
    #[command(flatten)]
    pub(super) uses: UsesOptions,
    #[command(flatten)]
    pub(super) place: Place,
}

#[derive(Debug, Args)]
pub(in crate::command) struct ShowOptions {
    #[command(flatten)]
    pub(super) which: Which,
    #[command(flatten)]
    pub(super) uses: UsesOptions,
    #[command(flatten)]
    pub(super) place: Place,
}

#[derive(Debug, Args)]
pub(super) struct UsesOptions {
    /// Where the filter notes how often keys are used (apiKeys.usage): the URL of etcd with the prefix of apiKeys.etcd.
    /// Absent: in the store, where that is in etcd
    #[arg(long, env = "PORTCULLIS_USES", value_name = "URL")]
    pub(super) uses: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::command) struct OneKey {
    #[command(flatten)]
    pub(super) which: Which,
    #[command(flatten)]
    pub(super) place: Place,
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// The key's id; `-` reads the key itself from standard input, so that it stands in no history
    #[arg(value_name = "ID")]
    pub(super) id: String,
}

#[derive(Debug, Args)]
pub(in crate::command) struct RotateOptions {
    #[command(flatten)]
    pub(super) which: Which,
    /// How long the old key stays good, such as 24h or 7d. 0s: not at all
    #[arg(long)]
    pub(super) overlap: humantime::Duration,
    #[command(flatten)]
    pub(super) made: RotatedTo,
    /// When the new key expires: a time (RFC 3339), or how long from now, such as 90d. Required where the old one expires
    #[arg(long)]
    pub(super) expires: Option<String>,
    #[command(flatten)]
    pub(super) place: Place,
}

#[derive(Debug, Args)]
pub(super) struct RotatedTo {
    /// What the decision record calls the new key. Absent: made at random
    #[arg(long)]
    pub(super) new_id: Option<String>,
    /// What the new key begins with. Absent: as the policy says, else `pcl`
    #[arg(long)]
    pub(super) prefix: Option<String>,
}

#[derive(Debug, Args)]
pub(in crate::command) struct SetOptions {
    #[command(flatten)]
    pub(super) which: Which,
    #[command(flatten)]
    pub(super) properties: Properties,
    /// Fields to take away, by their names in a policy, such as expiresAt
    #[arg(long, value_name = "FIELD")]
    pub(super) unset: Vec<String>,
    #[command(flatten)]
    pub(super) place: Place,
}

/// Where keys are, and what is said of them.
#[derive(Debug, Args)]
pub(super) struct Place {
    /// Where the filter's keys are: a file with a policy, as `portcullis check` reads it, or the URL of etcd with the
    /// prefix of apiKeys.etcd, as in https://etcd.internal:2379/portcullis/. `new` alone needs none
    #[arg(long, env = "PORTCULLIS_STORE", value_name = "FILE|URL")]
    pub(super) store: Option<String>,
    #[command(flatten)]
    pub(super) etcd: EtcdAccess,
    #[command(flatten)]
    pub(super) telling: Telling,
}

impl Place {
    /// # Errors
    /// Nobody says where keys are.
    pub(super) fn store(&self) -> Result<&str, Refusal> {
        let missing = || Refusal::usage("--store, or PORTCULLIS_STORE, says where the keys are".to_owned());
        self.store.as_deref().ok_or_else(missing)
    }
}
