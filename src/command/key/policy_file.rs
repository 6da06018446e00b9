//! Keys in a file with a policy: found there, changed there, and nothing else in it.

use serde_json::Value as Json;

use super::{
    Refusal,
    record::{Members, Record},
};
use crate::command::{
    edit::{Edit, Writing},
    one_policy::{OnePolicy, only_policy},
    policies::Found,
    source::Source,
    tree::Node,
};

/// What becomes of the keys.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// These keys more, at the end.
    Add(Vec<Record>),
    /// This field of the key `id` has this value.
    Set { id: String, name: String, value: Json },
    /// The key `id` has this field no more.
    Unset { id: String, name: String },
}

/// A file with one policy.
pub(super) struct PolicyFile(OnePolicy);

impl PolicyFile {
    /// Opens the file; `to_change` keeps others from changing it at the same time by this command.
    ///
    /// # Errors
    /// It cannot be read, or holds no policy, or more than one.
    pub(super) fn open(name: &str, to_change: bool) -> Result<Self, Refusal> {
        if name == "-" {
            return Err(Refusal::usage("a store is a file; standard input cannot be changed".to_owned()));
        }
        OnePolicy::open(name, to_change).map(Self)
    }

    /// The keys, in their order.
    pub(super) fn records(&self) -> Vec<Record> {
        let items = self.keys().map(Node::items).unwrap_or_default();
        let read = |item: &Node| match item.to_json(self.0.found.dialect) {
            Json::Object(members) => Some(Record(members)),
            _ => None,
        };
        items.iter().filter_map(read).collect()
    }

    /// What new keys begin with; `None`: the policy does not say.
    pub(super) fn prefix(&self) -> Option<String> {
        let section = self.0.found.node.get(self.0.found.dialect, "apiKeys")?;
        section.get(self.0.found.dialect, "checkedPrefix")?.text().map(str::to_owned)
    }

    fn keys(&self) -> Option<&Node> {
        self.0.found.node.get(self.0.found.dialect, "apiKeys")?.get(self.0.found.dialect, "keys")
    }

    /// Carries out the changes, all or none; with `is_dry` it only finds out whether they could be.
    ///
    /// # Errors
    /// The policy would have a fault, or the file cannot be changed in place. It is as it was.
    pub(super) fn change(&self, changes: &[Change], is_dry: bool) -> Result<(), Refusal> {
        let changed = self.changed(changes).ok_or_else(|| {
            let name = &self.0.source.name;
            Refusal::refused(format!(
                "{name} cannot be changed in place: its keys stand behind an alias or in quoted text; nothing was changed"
            ))
        })?;
        self.0.write(changed, is_dry)
    }

    /// The file with the changes in it; `None`, where it would be another document than is meant.
    fn changed(&self, changes: &[Change]) -> Option<Source> {
        let mut expected = self.0.found.node.to_json(self.0.found.dialect);
        let mut source = Source::new(&self.0.source.name, self.0.source.text.clone());
        for change in changes {
            let policy = only_policy(&source).ok()?;
            source = Source::new(&source.name, edit(&policy, &source, change)?.apply(&source.text));
            make(&mut expected, change)?;
        }
        let policy = only_policy(&source).ok()?;
        (policy.node.to_json(policy.dialect) == expected).then_some(source)
    }
}

/// The edit that makes one change.
fn edit(policy: &Found, source: &Source, change: &Change) -> Option<Edit> {
    let (root, dialect) = (&policy.node, policy.dialect);
    let written = source.text.get(root.span.clone())?.trim_start();
    let is_json = written.strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with('"'));
    let writing = Writing { text: &source.text, dialect, is_json };
    let section = root.get(dialect, "apiKeys");
    let keys = section.and_then(|section| section.get(dialect, "keys"));
    let with_id = |id: &str| {
        let mut keys = keys?.items().iter();
        keys.find(|key| key.get(dialect, "id").and_then(Node::text) == Some(id))
    };
    match change {
        Change::Add(records) => {
            let items: Vec<_> = records.iter().map(|record| Json::Object(record.0.clone())).collect();
            match (keys, section) {
                (Some(keys), _) => writing.append(keys, &items),
                (None, Some(section)) => writing.add_list(section, &["keys"], &items),
                (None, None) => writing.add_list(root, &["apiKeys", "keys"], &items),
            }
        }
        Change::Set { id, name, value } => writing.set(with_id(id)?, name, value),
        Change::Unset { id, name } => writing.remove(with_id(id)?, name),
    }
}

/// What `change` makes of a document.
fn make(document: &mut Json, change: &Change) -> Option<()> {
    let object = || Json::Object(Members::new());
    let section = document.as_object_mut()?.entry("apiKeys").or_insert_with(object);
    let keys = section.as_object_mut()?.entry("keys").or_insert_with(|| Json::Array(Vec::new()));
    let keys = keys.as_array_mut()?;
    match change {
        Change::Add(records) => keys.extend(records.iter().map(|record| Json::Object(record.0.clone()))),
        Change::Set { id, name, value } => _ = key_of(keys, id)?.insert(name.clone(), value.clone()),
        Change::Unset { id, name } => _ = key_of(keys, id)?.shift_remove(name)?,
    }
    Some(())
}

fn key_of<'k>(keys: &'k mut [Json], id: &str) -> Option<&'k mut Members> {
    keys.iter_mut().find(|key| key.get("id") == Some(&Json::from(id)))?.as_object_mut()
}
