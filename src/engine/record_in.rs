//! Decision records in the lines of a log, for whoever reads them, under either kind of names. Never part of the module.

use serde_json::{Map, Value};

use super::record_members::Member;
use crate::config::RecordNames;

/// A decision record that stands in a line.
pub struct RecordIn<'l> {
    /// What the log has put in front of it.
    pub before: &'l str,
    /// The record as it was written.
    pub text: &'l str,
    /// What it says, under our own names.
    pub members: Map<String, Value>,
}

/// The record in a line of a log. `None`: there is none.
///
/// ```
/// let line = r#"[warning] {"event.action":"deny","event.outcome":"failure","event.reason":"no_rule"} and more"#;
/// let record = portcullis::engine::record_in(line).unwrap();
/// assert_eq!((record.before, &record.members["reason"]), ("[warning] ", &"no_rule".into()));
/// assert!(record.text.ends_with("\"no_rule\"}"));
/// ```
pub fn record_in(line: &str) -> Option<RecordIn<'_>> {
    let (before, rest) = line.split_at_checked(record_begins(line)?)?;
    let mut records = serde_json::Deserializer::from_str(rest).into_iter();
    let members = records.next()?.ok()?;
    let text = rest.get(..records.byte_offset())?;
    Some(RecordIn { before, text, members: with_own_names(members) })
}

/// Where something begins in a line as records do.
pub fn record_begins(line: &str) -> Option<usize> {
    let begins = |names| line.find(&format!("{{\"{}\":\"", Member::Decision.name(names)));
    let [own, ecs] = [RecordNames::Portcullis, RecordNames::Ecs].map(begins);
    own.into_iter().chain(ecs).min()
}

/// What a record says, under our own names. What it has beside its members for the Elastic Common Schema is left out.
pub fn with_own_names(record: Map<String, Value>) -> Map<String, Value> {
    if !record.contains_key(Member::Decision.name(RecordNames::Ecs)) {
        return record;
    }
    let named = record.into_iter().filter_map(|(name, value)| {
        let own = own_name(&name);
        let is_other = own == name && name.contains('.');
        (!is_other).then(|| (own.to_owned(), value))
    });
    named.collect()
}

/// Our own name of a member that the Elastic Common Schema calls so; any other is as it is.
pub fn own_name(name: &str) -> &str {
    let member = Member::ALL.into_iter().find(|member| member.name(RecordNames::Ecs) == name);
    member.map_or(name, |member| member.name(RecordNames::Portcullis))
}
