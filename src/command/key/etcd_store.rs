//! Keys in etcd: read and written by its JSON gateway, each write only if nothing has changed since it was read.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{
    Refusal, changes,
    policy_file::Change,
    record::{Members, Record},
    stored::{NotWritten, Stored},
};
use crate::{
    api_key::{SCHEMA, USES_SCHEMA},
    command::etcd::{Etcd, EtcdAccess},
    config,
    etcd::{Item, MOST_OPERATIONS, Operation, Transaction},
    replica::MAX_VALUE,
};

/// A store in etcd.
pub(super) struct EtcdStore(Etcd);

impl EtcdStore {
    /// `url` is the gateway with the prefix as its path: `https://etcd.internal:2379/portcullis/`.
    ///
    /// # Errors
    /// It cannot be reached so.
    pub(super) fn open(url: &str, access: &EtcdAccess) -> Result<Self, Refusal> {
        Etcd::open(url, access).map(Self)
    }

    /// All keys, by id, as they were at one moment.
    pub(super) fn all(&self) -> Result<Vec<Stored>, Refusal> {
        let mut all = Vec::new();
        self.0.each_below(&self.key(""), &mut |item| all.extend(self.stored(item)))?;
        Ok(all)
    }

    /// What the filter has noted of uses of all keys, or of the one with this id, by id.
    pub(super) fn uses(&self, id: Option<&str>) -> Result<BTreeMap<String, Json>, Refusal> {
        let prefix = self.0.named(USES_SCHEMA);
        let noted = |item: &Item| {
            let id = str::from_utf8(&item.key).ok()?.strip_prefix(&prefix)?.to_owned();
            Some((id, serde_json::from_slice(&item.value).ok()?))
        };
        let mut uses = BTreeMap::new();
        match id {
            None => self.0.each_below(&prefix, &mut |item| uses.extend(noted(item)))?,
            Some(id) => uses.extend(self.0.get(&format!("{prefix}{id}"))?.iter().filter_map(noted)),
        }
        Ok(uses)
    }

    /// The key of this id; `None`: there is none.
    pub(super) fn one(&self, id: &str) -> Result<Option<Stored>, Refusal> {
        Ok(self.0.get(&self.key(id))?.and_then(|item| self.stored(&item)))
    }

    /// Carries out the changes of keys that were read as `known`; with `is_dry` it only finds out whether they could be.
    /// Many at once are written in several transactions; should one of them fail, those before it stay.
    pub(super) fn change(
        &self,
        known: &[Stored],
        changes: &[Change],
        is_dry: bool,
    ) -> Result<(), NotWritten> {
        let mut wanted: BTreeMap<String, Stored> = BTreeMap::new();
        for change in changes {
            match change {
                Change::Add(records) => {
                    wanted.extend(records.iter().map(|record| {
                        (record.id().to_owned(), Stored { record: record.clone(), revision: 0 })
                    }))
                }
                Change::Set { id, .. } | Change::Unset { id, .. } => {
                    let before =
                        wanted.get(id).or_else(|| known.iter().find(|stored| stored.record.id() == id));
                    let before = before.ok_or(NotWritten::Conflict)?;
                    let record = changes::after(&before.record, std::slice::from_ref(change));
                    let revision = before.revision;
                    wanted.insert(id.clone(), Stored { record, revision });
                }
            }
        }
        let wanted: Vec<_> = wanted.into_values().collect();
        for stored in &wanted {
            judge(&stored.record)?;
        }
        if is_dry {
            return Ok(());
        }
        wanted.chunks(MOST_OPERATIONS).try_for_each(|some| self.write(some))
    }

    fn write(&self, wanted: &[Stored]) -> Result<(), NotWritten> {
        let mut transaction = Transaction::default();
        for stored in wanted {
            let (key, value) = (self.key(stored.record.id()), value(&stored.record));
            transaction.expect(key.as_bytes(), stored.revision);
            transaction.then(Operation::Put { key: key.as_bytes(), value: value.as_bytes() });
        }
        match self.0.commit(&transaction) {
            Ok(true) => Ok(()),
            Ok(false) => Err(NotWritten::Conflict),
            // It may have been written, and the answer lost.
            Err(refusal) => match self.are_written(wanted) {
                Ok(true) => Ok(()),
                _ => Err(refusal.into()),
            },
        }
    }

    fn are_written(&self, wanted: &[Stored]) -> Result<bool, Refusal> {
        for stored in wanted {
            let is_there =
                self.one(stored.record.id())?.is_some_and(|found| found.record.0 == stored.record.0);
            if !is_there {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn key(&self, id: &str) -> String {
        self.0.named(&format!("{SCHEMA}{id}"))
    }

    /// `None` for what is no key of ours.
    fn stored(&self, item: &Item) -> Option<Stored> {
        let id = str::from_utf8(&item.key).ok()?.strip_prefix(&self.key(""))?;
        let Json::Object(fields) = serde_json::from_slice(&item.value).ok()? else { return None };
        let mut members = Members::new();
        members.insert("id".to_owned(), id.into());
        members.extend(fields.into_iter().filter(|(name, _)| name != "id"));
        Some(Stored { record: Record(members), revision: item.changed_at })
    }
}

/// As the filter would read it.
fn judge(record: &Record) -> Result<(), Refusal> {
    if value(record).len() > MAX_VALUE {
        let message =
            format!("the key {:?} would be larger than {MAX_VALUE} bytes; nothing was changed", record.id());
        return Err(Refusal::refused(message));
    }
    config::stored_key(record.id(), value(record).as_bytes()).map(drop).map_err(|faults| {
        let faults: Vec<_> = faults.iter().map(ToString::to_string).collect();
        Refusal::refused(format!(
            "the key {:?} would have a fault; nothing was changed: {}",
            record.id(),
            faults.join("; ")
        ))
    })
}

/// All but the id, which is the entry's name.
fn value(record: &Record) -> String {
    let mut members = record.0.clone();
    members.shift_remove("id");
    Json::Object(members).to_string()
}
