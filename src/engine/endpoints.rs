//! What the filter answers itself, whoever asks.

use super::RequestLine;
use crate::{
    answer::{Document, Reply},
    passkeys,
    policy::Policy,
    request::{RequestHead, preflight},
    resource_metadata,
};

/// An answer that no upstream gives.
pub(super) struct Answer {
    /// For decision records.
    pub(super) endpoint: &'static str,
    pub(super) reply: Reply,
}

/// A name for decision records, and the answer to what is asked of it; `None`: the request is for something else.
type Endpoint = (&'static str, fn(&Policy, &RequestHead<'_>, &RequestLine<'_>) -> Option<Reply>);

const ENDPOINTS: [Endpoint; 3] =
    [("resource metadata", metadata), ("key set", key_set), ("related origins", related_origins)];

/// The answer of the endpoint that the request is for.
pub(super) fn answer(policy: &Policy, head: &RequestHead<'_>, line: &RequestLine<'_>) -> Option<Answer> {
    ENDPOINTS
        .into_iter()
        .find_map(|(endpoint, answer)| Some(Answer { endpoint, reply: answer(policy, head, line)? }))
}

/// An API's metadata, where the request asks for it: whoever has no credentials yet looks there for where to get
/// them.
fn metadata(policy: &Policy, head: &RequestHead<'_>, line: &RequestLine<'_>) -> Option<Reply> {
    let path = line.path.path();
    if policy.resources.is_empty() || !path.starts_with(resource_metadata::WELL_KNOWN) {
        return None;
    }
    let resource = policy.resources.iter().find(|resource| resource.metadata.is_at(&line.host, path))?;
    document(head, line, Document::ResourceMetadata, resource.metadata.body())
}

/// The public halves of the gateway's keys, for whoever verifies what it has signed.
fn key_set(policy: &Policy, head: &RequestHead<'_>, line: &RequestLine<'_>) -> Option<Reply> {
    let published = policy.published_keys.as_ref().filter(|published| published.path == line.path.path())?;
    document(head, line, Document::KeySet, &published.set)
}

/// The pages of other domains that may use our passkeys, for browsers (WebAuthn Level 3, section 5.11).
fn related_origins(policy: &Policy, head: &RequestHead<'_>, line: &RequestLine<'_>) -> Option<Reply> {
    let origins = policy.passkeys.as_ref()?.related_origins.as_ref()?;
    let is_asked = line.path.path() == passkeys::RELATED_ORIGINS_PATH;
    is_asked.then(|| document(head, line, Document::RelatedOrigins, origins)).flatten()
}

/// The answer to a request for a document that anyone may read; `None`: it asks for something else. Pages ask a preflight
/// first where they send a header of their own with the question.
fn document(head: &RequestHead<'_>, line: &RequestLine<'_>, document: Document, body: &str) -> Option<Reply> {
    match line.method {
        "GET" | "HEAD" => Some(Reply::document(document, body)),
        preflight::METHOD => {
            let asked = preflight::requested_method(head);
            matches!(asked, Some("GET" | "HEAD")).then(|| Reply::document_preflight(document))
        }
        _ => None,
    }
}
