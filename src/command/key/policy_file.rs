//! Keys in a file with a policy: found there, changed there, and nothing else in it.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use serde_json::Value as Json;

use super::{
    Refusal,
    edit::{Edit, Writing},
    record::{Members, Record},
};
use crate::command::{
    check,
    documents::{self, Content},
    findings::{Checked, Level},
    policies::{Found, Search, is_policy_alone},
    source::Source,
    text,
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
pub(super) struct PolicyFile {
    path: PathBuf,
    /// Whoever holds it changes the file. `None`: it is only read.
    _lock: Option<File>,
    source: Source,
    found: Found,
}

impl PolicyFile {
    /// Opens the file; `to_change` keeps others from changing it at the same time by this command.
    ///
    /// # Errors
    /// It cannot be read, or holds no policy, or more than one.
    pub(super) fn open(name: &str, to_change: bool) -> Result<Self, Refusal> {
        let unreadable = |why: String| Refusal::unusable(format!("{name} cannot be read: {why}"));
        if name == "-" {
            return Err(Refusal::usage("a store is a file; standard input cannot be changed".to_owned()));
        }
        // What a link leads to is what is changed.
        let path = fs::canonicalize(name).map_err(|error| unreadable(error.to_string()))?;
        let lock = match to_change {
            true => Some(locked(&path).map_err(|error| unreadable(error.to_string()))?),
            false => None,
        };
        let source = Source::read(&path.to_string_lossy()).map_err(unreadable)?;
        let source = Source::new(name, source.text);
        let found = only_policy(&source)?;
        Ok(Self { path, _lock: lock, source, found })
    }

    /// The keys, in their order.
    pub(super) fn records(&self) -> Vec<Record> {
        let items = self.keys().map(Node::items).unwrap_or_default();
        let read = |item: &Node| match item.to_json(self.found.dialect) {
            Json::Object(members) => Some(Record(members)),
            _ => None,
        };
        items.iter().filter_map(read).collect()
    }

    /// What new keys begin with; `None`: the policy does not say.
    pub(super) fn prefix(&self) -> Option<String> {
        let section = self.found.node.get(self.found.dialect, "apiKeys")?;
        section.get(self.found.dialect, "checkedPrefix")?.text().map(str::to_owned)
    }

    fn keys(&self) -> Option<&Node> {
        self.found.node.get(self.found.dialect, "apiKeys")?.get(self.found.dialect, "keys")
    }

    /// Carries out the changes, all or none; with `is_dry` it only finds out whether they could be.
    ///
    /// # Errors
    /// The policy would have a fault, or the file cannot be changed in place. It is as it was.
    pub(super) fn change(&self, changes: &[Change], is_dry: bool) -> Result<(), Refusal> {
        let name = &self.source.name;
        let changed = self.changed(changes).ok_or_else(|| {
            Refusal::refused(format!(
                "{name} cannot be changed in place: its keys stand behind an alias or in quoted text; nothing was changed"
            ))
        })?;
        let findings = check::check(&changed);
        if findings.count(Level::Fault) > 0 {
            text::tell(&[Checked { source: changed, findings }]);
            return Err(Refusal::refused(
                "the policy would have these faults; nothing was changed".to_owned(),
            ));
        }
        if is_dry {
            return Ok(());
        }
        replace(&self.path, &changed.text)
            .map_err(|error| Refusal::unusable(format!("{name} cannot be written: {error}")))
    }

    /// The file with the changes in it; `None`, where it would be another document than is meant.
    fn changed(&self, changes: &[Change]) -> Option<Source> {
        let mut expected = self.found.node.to_json(self.found.dialect);
        let mut source = Source::new(&self.source.name, self.source.text.clone());
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

/// The file, locked for this process. One that was replaced while we waited is opened anew.
fn locked(path: &Path) -> std::io::Result<File> {
    loop {
        let file = File::open(path)?;
        file.lock()?;
        if is_same(&file.metadata()?, &fs::metadata(path)?) {
            return Ok(file);
        }
    }
}

#[cfg(unix)]
fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_same(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    one.created().ok() == other.created().ok()
}

/// Puts a new file in the place of the old one, so that whoever reads it meets the one or the other.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let written = (|| {
        let mut file = File::create_new(&beside)?;
        fs::set_permissions(&beside, fs::metadata(path)?.permissions())?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, path)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

/// The one policy of a file.
fn only_policy(source: &Source) -> Result<Found, Refusal> {
    let mut found = match documents::read(source) {
        Ok(Content::Json(node, _)) if is_policy_alone(&node) => return Ok(Found::alone(node, source)),
        Ok(Content::Json(node, _)) => Search::through(&node, source).found,
        Ok(Content::Yaml(yaml)) => {
            yaml.documents.iter().flat_map(|document| Search::through(document, source).found).collect()
        }
        Err(broken) => return Err(Refusal::unusable(format!("{}: {}", source.name, broken.message))),
    };
    match (found.pop(), found.len()) {
        (Some(policy), 0) => Ok(policy),
        (None, _) => Err(Refusal::unusable(format!("{} holds no policy", source.name))),
        (Some(_), others) => Err(Refusal::unusable(format!(
            "{} holds {} policies; keep the keys in a file with one",
            source.name,
            others.saturating_add(1)
        ))),
    }
}
