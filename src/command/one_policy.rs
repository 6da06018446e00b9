//! A file with one policy, which is changed in place.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use super::{
    check,
    documents::{self, Content},
    findings::{Checked, Level},
    policies::{Found, Search, is_policy_alone},
    refusal::Refusal,
    source::Source,
    text,
};

pub(super) struct OnePolicy {
    path: PathBuf,
    /// Whoever holds it changes the file. `None`: it is only read.
    _lock: Option<File>,
    pub(super) source: Source,
    pub(super) found: Found,
}

impl OnePolicy {
    /// Opens the file; `to_change` keeps others from changing it at the same time by this command.
    ///
    /// # Errors
    /// It cannot be read, or holds no policy, or more than one.
    pub(super) fn open(name: &str, to_change: bool) -> Result<Self, Refusal> {
        let unreadable = |why: String| Refusal::unusable(format!("{name} cannot be read: {why}"));
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

    /// Puts `changed` in the place of the file; with `is_dry` it only finds out whether it could be.
    ///
    /// # Errors
    /// The policy would have a fault, which is told, or the file cannot be written. It is as it was.
    pub(super) fn write(&self, changed: Source, is_dry: bool) -> Result<(), Refusal> {
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
        let name = &self.source.name;
        replace(&self.path, &changed.text)
            .map_err(|error| Refusal::unusable(format!("{name} cannot be written: {error}")))
    }
}

/// The one policy of a file.
pub(super) fn only_policy(source: &Source) -> Result<Found, Refusal> {
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
            "{} holds {} policies; keep it in a file of its own",
            source.name,
            others.saturating_add(1)
        ))),
    }
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
