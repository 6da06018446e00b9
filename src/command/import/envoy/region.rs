//! Requests by where they go: what a match of Envoy takes, and what two of them take.

use std::{cmp::Reverse, collections::BTreeSet};

use serde_json::{Map, Value as Json, json};

use crate::expression::Expression;

/// Paths.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Paths {
    Exact(String),
    /// The whole path matches.
    Regex(String),
    /// As a policy writes it.
    Template(String),
    /// Text that they begin with, whatever segment it ends in.
    Prefix(String),
    All,
}

/// Two sets of paths have something in common, and what that is cannot be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unclear;

/// Requests that fulfil all of this.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) paths: Paths,
    /// `None`: every method.
    pub(super) methods: Option<BTreeSet<String>>,
    /// `None`: every host. As in `hostnames`.
    pub(super) hosts: Option<BTreeSet<String>>,
    /// As in `matches`, each once.
    pub(super) headers: Vec<Json>,
    pub(super) query: Vec<Json>,
}

impl Region {
    pub(super) fn all() -> Self {
        Self { paths: Paths::All, methods: None, hosts: None, headers: Vec::new(), query: Vec::new() }
    }

    pub(super) fn of_paths(paths: Paths) -> Self {
        Self { paths, ..Self::all() }
    }

    /// What is in both; `Ok(None)`: nothing.
    pub(super) fn meet(&self, other: &Self) -> Result<Option<Self>, Unclear> {
        let (methods, hosts) = (sets(&self.methods, &other.methods), hosts(&self.hosts, &other.hosts));
        let is_empty = |set: &Option<BTreeSet<String>>| set.as_ref().is_some_and(BTreeSet::is_empty);
        if is_empty(&methods) || is_empty(&hosts) {
            return Ok(None);
        }
        let Some(paths) = self.paths.meet(&other.paths)? else { return Ok(None) };
        let both = |own: &[Json], other: &[Json]| {
            let mut all = own.to_vec();
            all.extend(other.iter().filter(|condition| !own.contains(condition)).cloned());
            all.sort_by_key(Json::to_string);
            all
        };
        let (headers, query) = (both(&self.headers, &other.headers), both(&self.query, &other.query));
        Ok(Some(Self { paths, methods, hosts, headers, query }))
    }

    /// Whether all of it is in `other`.
    pub(super) fn is_in(&self, other: &Self) -> bool {
        self.meet(other) == Ok(Some(self.clone()))
    }

    /// By which narrower regions come first.
    pub(super) fn order(&self) -> impl Ord + use<> {
        let few = |set: &Option<BTreeSet<String>>| set.as_ref().map_or(usize::MAX, BTreeSet::len);
        let wild = self.hosts.iter().flatten().filter(|host| host.starts_with('*')).count();
        let (class, length) = match &self.paths {
            Paths::Exact(_) => (0, 0),
            Paths::Regex(_) => (1, 0),
            Paths::Template(_) => (2, 0),
            Paths::Prefix(text) => (3, text.len()),
            Paths::All => (4, 0),
        };
        let conditions = self.headers.len().saturating_add(self.query.len());
        (
            class,
            Reverse(length),
            self.paths.clone(),
            few(&self.methods),
            few(&self.hosts),
            wild,
            Reverse(conditions),
        )
    }

    /// Entries of `matches`; `wide`: rather more than less, for a rule that denies.
    pub(super) fn said(&self, wide: bool) -> Vec<Json> {
        let mut common = Map::new();
        match self.methods.as_ref().map(|methods| methods.iter().collect::<Vec<_>>()).as_deref() {
            None => {}
            Some([method]) => _ = common.insert("method".to_owned(), json!(method)),
            Some(methods) => _ = common.insert("methods".to_owned(), json!(methods)),
        }
        let mut entries: Vec<Map<String, Json>> = Vec::new();
        for path in self.paths.said(wide) {
            let mut entry = common.clone();
            if let Some(path) = path {
                entry.insert("path".to_owned(), path);
            }
            for (name, list) in [("headers", &self.headers), ("queryParams", &self.query)] {
                if !list.is_empty() {
                    entry.insert(name.to_owned(), json!(list));
                }
            }
            entries.push(entry);
        }
        entries.into_iter().filter(|entry| !entry.is_empty()).map(Json::Object).collect()
    }

    /// What of its paths a rule that allows does not take: those that go on in the segment in which a prefix ends.
    pub(super) fn gap(&self) -> Option<Self> {
        match &self.paths {
            Paths::Prefix(text) if !text.ends_with('/') => {
                let paths = Paths::Regex(format!("{}[^/].*", escaped(text)));
                Some(Self { paths, ..self.clone() })
            }
            _ => None,
        }
    }
}

impl Paths {
    fn meet(&self, other: &Self) -> Result<Option<Self>, Unclear> {
        let (narrow, wide) = if self <= other { (self, other) } else { (other, self) };
        let kept = |is_kept: bool| Ok(is_kept.then(|| narrow.clone()));
        match (narrow, wide) {
            (_, Self::All) => kept(true),
            (a, b) if a == b => kept(true),
            (Self::Exact(_), Self::Exact(_)) => Ok(None),
            (Self::Exact(path), Self::Regex(text)) => {
                Expression::compile(text).map_err(|_| Unclear).and_then(|regex| kept(regex.is_match(path)))
            }
            (Self::Exact(path), Self::Template(text)) => kept(template_takes(text, path)),
            (Self::Exact(path), Self::Prefix(text)) => kept(path.starts_with(text)),
            (Self::Prefix(one), Self::Prefix(other)) => {
                match (one.starts_with(other), other.starts_with(one)) {
                    (true, _) => Ok(Some(Self::Prefix(one.clone()))),
                    (_, true) => Ok(Some(Self::Prefix(other.clone()))),
                    _ => Ok(None),
                }
            }
            (narrow, wide) => {
                let (own, other) = (narrow.lead(), wide.lead());
                match wide {
                    Self::Prefix(text) if own.starts_with(text.as_str()) => kept(true),
                    _ if own.starts_with(&other) || other.starts_with(&own) => Err(Unclear),
                    _ => Ok(None),
                }
            }
        }
    }

    /// What all of them begin with.
    fn lead(&self) -> String {
        match self {
            Self::Exact(text) | Self::Prefix(text) => text.clone(),
            Self::Template(text) => text.split('{').next().unwrap_or_default().to_owned(),
            Self::Regex(text) => literal_lead(text),
            Self::All => String::new(),
        }
    }

    /// `matches[].path`; `None`: every path.
    fn said(&self, wide: bool) -> Vec<Option<Json>> {
        let path = |kind: &str, value: &str| Some(json!({"type": kind, "value": value}));
        match self {
            Self::All => vec![None],
            Self::Exact(text) => vec![path("Exact", text)],
            Self::Regex(text) => vec![path("RegularExpression", text)],
            Self::Template(text) => vec![path("PathTemplate", text)],
            Self::Prefix(text) if wide => vec![path("RegularExpression", &format!("{}.*", escaped(text)))],
            // All below, and not the folder without its slash.
            Self::Prefix(text) if text.ends_with('/') => {
                vec![path("Exact", text), path("PathTemplate", &format!("{text}{{rest=**}}"))]
            }
            Self::Prefix(text) => vec![path("PathPrefix", text)],
        }
    }
}

/// Text without anything that a regular expression reads.
fn literal_lead(text: &str) -> String {
    let mut lead = String::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let literal = match c {
            '\\' => chars.next().filter(|c| !c.is_ascii_alphanumeric()),
            c if ".+*?()|[]{}^$".contains(c) => None,
            c => Some(c),
        };
        let is_repeated = chars.peek().is_some_and(|next| "*?{+".contains(*next));
        match literal {
            Some(c) if !is_repeated => lead.push(c),
            _ => break,
        }
    }
    // One of several may begin otherwise.
    if text.contains('|') { String::new() } else { lead }
}

/// Whether a policy's template takes a path.
fn template_takes(template: &str, path: &str) -> bool {
    let mut segments = path.split('/').skip(1);
    for wanted in template.split('/').skip(1) {
        if wanted.ends_with("=**}") {
            return segments.next().is_some_and(|segment| !segment.is_empty());
        }
        match segments.next() {
            Some(segment) if wanted.starts_with('{') => {
                if segment.is_empty() {
                    return false;
                }
            }
            Some(segment) if segment == wanted => {}
            _ => return false,
        }
    }
    segments.next().is_none()
}

fn sets(one: &Option<BTreeSet<String>>, other: &Option<BTreeSet<String>>) -> Option<BTreeSet<String>> {
    match (one, other) {
        (None, set) | (set, None) => set.clone(),
        (Some(one), Some(other)) => Some(one.intersection(other).cloned().collect()),
    }
}

/// A host that has others below it is met by those.
fn hosts(one: &Option<BTreeSet<String>>, other: &Option<BTreeSet<String>>) -> Option<BTreeSet<String>> {
    match (one, other) {
        (None, set) | (set, None) => set.clone(),
        (Some(one), Some(other)) => {
            let takes = |wide: &String, narrow: &String| {
                wide == narrow || wide.strip_prefix('*').is_some_and(|end| narrow.ends_with(end))
            };
            let within = |from: &BTreeSet<String>, set: &BTreeSet<String>| {
                from.iter().filter(|own| set.iter().any(|wide| takes(wide, own))).cloned().collect::<Vec<_>>()
            };
            Some(within(one, other).into_iter().chain(within(other, one)).collect())
        }
    }
}

/// For a regular expression, as itself.
pub(super) fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut escaped, c| {
        if r"\.+*?()|[]{}^$#&-~".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
        escaped
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Paths {
        Paths::Prefix(text.to_owned())
    }

    fn exact(text: &str) -> Paths {
        Paths::Exact(text.to_owned())
    }

    fn regex(text: &str) -> Paths {
        Paths::Regex(text.to_owned())
    }

    fn template(text: &str) -> Paths {
        Paths::Template(text.to_owned())
    }

    #[test]
    fn what_two_sets_of_paths_have_in_common() {
        for (one, other, expected) in [
            (prefix("/a"), prefix("/a/b"), Ok(Some(prefix("/a/b")))),
            (prefix("/a"), prefix("/b"), Ok(None)),
            (prefix("/a"), exact("/ab"), Ok(Some(exact("/ab")))),
            (prefix("/a/"), exact("/a"), Ok(None)),
            (Paths::All, regex("/a.*"), Ok(Some(regex("/a.*")))),
            (exact("/a7"), regex("/a[0-9]"), Ok(Some(exact("/a7")))),
            (exact("/ab"), regex("/a[0-9]"), Ok(None)),
            (prefix("/a/"), regex("/a/[0-9]+"), Ok(Some(regex("/a/[0-9]+")))),
            (prefix("/a/1"), regex("/a/[0-9]+"), Err(Unclear)),
            (prefix("/b"), regex("/a/[0-9]+"), Ok(None)),
            // What it begins with is one of two.
            (prefix("/b"), regex("/a|/b"), Err(Unclear)),
            (prefix("/ab"), regex("/ab?"), Err(Unclear)),
            (template("/a/{x}"), exact("/a/b"), Ok(Some(exact("/a/b")))),
            (template("/a/{x}"), exact("/a/b/c"), Ok(None)),
            (template("/a/{x=**}"), exact("/a/b/c"), Ok(Some(exact("/a/b/c")))),
            (template("/a/{x}"), prefix("/a"), Ok(Some(template("/a/{x}")))),
            (template("/a/{x}"), prefix("/a/b"), Err(Unclear)),
            (template("/a/{x}"), template("/b/{x}"), Ok(None)),
        ] {
            assert_eq!(one.meet(&other), expected, "{one:?} {other:?}");
            assert_eq!(other.meet(&one), expected, "{other:?} {one:?}");
        }
    }

    #[test]
    fn narrower_regions_come_first() {
        let region = |paths: Paths, methods: &[&str], hosts: &[&str]| {
            let set = |names: &[&str]| {
                (!names.is_empty())
                    .then(|| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>())
            };
            Region { paths, methods: set(methods), hosts: set(hosts), ..Region::all() }
        };
        for (narrow, wide) in [
            (region(exact("/a"), &[], &[]), region(prefix("/a"), &[], &[])),
            (region(prefix("/a/b"), &[], &[]), region(prefix("/a"), &["GET"], &[])),
            (region(prefix("/a"), &["GET"], &[]), region(prefix("/a"), &["GET", "POST"], &[])),
            (region(prefix("/a"), &["GET"], &["x.test"]), region(prefix("/a"), &["GET"], &["*.test"])),
            (region(prefix("/a"), &[], &["x.test"]), region(prefix("/a"), &[], &[])),
        ] {
            assert!(narrow.order() < wide.order(), "{narrow:?} {wide:?}");
        }
        let get = region(prefix("/a/b"), &["GET"], &["x.test"]);
        assert!(get.is_in(&region(prefix("/a"), &["GET", "POST"], &["*.test"])));
        assert!(!get.is_in(&region(prefix("/a"), &["POST"], &[])));
        assert!(!region(prefix("/a"), &[], &[]).is_in(&get));
    }
}
