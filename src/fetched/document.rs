//! What a document is to whoever has it fetched.

use crate::{calls::Outcome, crypto::short_digest, url::Url};

/// What fetching asks of a document's owner. It knows nothing of what the bytes mean.
pub trait DocumentOwner {
    /// Takes `body` as the document from now on; false: it is none, and what was before stays.
    fn accept(&mut self, body: &[u8]) -> bool;

    /// What to ask next after the outcome of a [`FetchStep::Signpost`]; `None`: it leads nowhere, and the fetch has failed.
    fn follow(&mut self, _outcome: Outcome<'_>, _index: usize) -> Option<FetchStep> {
        None
    }
}

/// Where a call of a fetch goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchPlace {
    /// Its URL.
    pub endpoint: Url,
    /// The Envoy cluster that reaches it: the same URL over another cluster may be somebody else's.
    pub cluster: String,
}

impl FetchPlace {
    /// Short, and another one for each place.
    pub(super) fn digest(&self) -> String {
        let Url { scheme, authority, path, .. } = &self.endpoint;
        short_digest(&[self.cluster.as_str(), scheme, authority, path].map(str::as_bytes))
    }
}

/// One call of a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchStep {
    /// The document itself is asked for.
    Document(FetchPlace),
    /// Something else that says where it is, which is for the owner to read ([`DocumentOwner::follow`]).
    Signpost {
        /// Where that is.
        place: FetchPlace,
        /// The owner's number for it.
        index: usize,
        /// `accept` of the request.
        accept: &'static str,
        /// The most bytes that it may have.
        max_size: usize,
    },
}
