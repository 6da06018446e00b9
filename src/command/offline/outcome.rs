//! What became of a request.

use serde_json::{Map, Value};

use crate::{
    answer::{Reason, Reply},
    engine::Changes,
    request::RequestHead,
};

/// Headers: names in lower case, values as text.
pub(in crate::command) type Headers = Vec<(String, String)>;

/// What became of a request.
#[derive(Clone, Debug)]
pub(in crate::command) struct Outcome {
    /// Why it was refused; `None`: it was allowed, or answered with something that is no refusal.
    pub(in crate::command) reason: Option<Reason>,
    /// What the upstream gets, pseudo-headers too; `None`: it gets nothing.
    pub(in crate::command) upstream: Option<Headers>,
    /// What the client is told in the upstream's place.
    pub(in crate::command) reply: Option<Reply>,
    /// What is added to the upstream's answer.
    pub(in crate::command) added: Headers,
    /// The decision record.
    pub(in crate::command) record: Map<String, Value>,
}

impl Outcome {
    /// Whether the upstream gets it.
    pub(in crate::command) fn is_allowed(&self) -> bool {
        self.upstream.is_some()
    }

    /// The name of the rule that decided; `None`: none did.
    pub(in crate::command) fn rule(&self) -> Option<&str> {
        self.recorded("rule")
    }

    /// A text of the decision record.
    pub(in crate::command) fn recorded(&self, member: &str) -> Option<&str> {
        self.record.get(member).and_then(Value::as_str)
    }

    /// `allow`, or the code of the reason.
    pub(in crate::command) fn verdict(&self) -> &'static str {
        self.reason.map_or("allow", Reason::code)
    }
}

/// The headers of a request with `changes` made to them, in the order in which the host makes them.
pub(super) fn carried_out(head: &RequestHead<'_>, changes: &Changes<'_>) -> Headers {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let is_kept = |name: &[u8]| {
        !changes.remove.contains(&name) && !changes.replace.iter().any(|(set, _)| set.as_bytes() == name)
    };
    let kept = head.headers.iter().filter(|(name, _)| is_kept(name));
    let mut headers: Headers = kept.map(|(name, value)| (text(name), text(value))).collect();
    let set = changes.replace.iter().chain(&changes.add);
    headers.extend(set.map(|(name, value)| ((*name).to_owned(), value.as_str().to_owned())));
    headers
}
