//! Where keys are kept: a file with a policy, or etcd.

use super::{
    Refusal,
    arguments::Which,
    etcd_store::EtcdStore,
    policy_file::{Change, PolicyFile},
    secret,
    stored::{NotWritten, Stored},
};
use crate::command::etcd::EtcdAccess;

/// Where keys are kept.
pub(super) enum Store {
    File(PolicyFile),
    Etcd(EtcdStore),
}

impl Store {
    /// `to_change` keeps others from changing a file at the same time.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub(super) fn open(name: &str, to_change: bool, access: &EtcdAccess) -> Result<Self, Refusal> {
        match name.starts_with("http://") || name.starts_with("https://") {
            true => EtcdStore::open(name, access).map(Self::Etcd),
            false => PolicyFile::open(name, to_change).map(Self::File),
        }
    }

    /// What new keys begin with; `None`: the store does not say.
    pub(super) fn prefix(&self) -> Option<String> {
        match self {
            Self::File(file) => file.prefix(),
            Self::Etcd(_) => None,
        }
    }

    pub(super) fn all(&self) -> Result<Vec<Stored>, Refusal> {
        match self {
            Self::File(file) => {
                Ok(file.records().into_iter().map(|record| Stored { record, revision: 0 }).collect())
            }
            Self::Etcd(etcd) => etcd.all(),
        }
    }

    fn one(&self, id: &str) -> Result<Option<Stored>, Refusal> {
        match self {
            Self::File(_) => Ok(self.all()?.into_iter().find(|stored| stored.record.id() == id)),
            Self::Etcd(etcd) => etcd.one(id),
        }
    }

    /// The key that is named, or that is given itself as `input`.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn find(&self, which: &Which, input: Option<&str>) -> Result<Stored, Refusal> {
        let found = match input {
            Some(key) => {
                let hash = secret::hash(key);
                self.all()?.into_iter().find(|stored| stored.record.text("hash") == Some(&hash))
            }
            None => self.one(&which.id)?,
        };
        found.ok_or_else(|| {
            Refusal::refused(match input {
                Some(_) => "no key of the store is the one on standard input".to_owned(),
                None => format!("no key of the store has the id {:?}", which.id),
            })
        })
    }

    /// # Errors
    /// There is a key of this id.
    pub(super) fn refuse_taken(&self, id: &str) -> Result<(), Refusal> {
        match self.one(id)? {
            Some(_) => Err(Refusal::refused(format!("the store has a key with the id {id:?} already"))),
            None => Ok(()),
        }
    }

    /// Carries out changes of keys that were read as `known`; with `is_dry` it only finds out whether they could be.
    ///
    /// # Errors
    /// The store is as it was.
    pub(super) fn change(
        &self,
        known: &[Stored],
        changes: &[Change],
        is_dry: bool,
    ) -> Result<(), NotWritten> {
        match self {
            Self::File(file) => file.change(changes, is_dry).map_err(NotWritten::from),
            Self::Etcd(etcd) => etcd.change(known, changes, is_dry),
        }
    }
}
