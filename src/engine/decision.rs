//! What the engine tells its host to do.

use std::rc::Rc;

use super::{OpenStream, shadow_outcome::ShadowOutcome};
use crate::{
    answer::{Reason, Reply},
    config::AccessLogField,
    rate_limit::LimitId,
};

/// The outcome of one request, for the host to carry out.
#[derive(Debug)]
pub struct Decision<'a> {
    /// What to do.
    pub step: Step<'a>,
    /// Why it was refused; `None` when it was allowed, or answered with a document that anyone may read.
    pub reason: Option<Reason>,
    /// The decision record, one line of JSON; `None` when the policy wants none for this outcome, the log
    /// does not take it, or it is one of many alike (see [`super::WorkerState::take_repeated`]).
    pub record: Option<String>,
    /// What a shadow would have decided otherwise, with the reason: why it would be refused, or is where it would be allowed;
    /// of [`ShadowOutcome::Unknown`] why it is not known. `None`: nothing, or there is none.
    pub shadow: Option<(ShadowOutcome, Reason)>,
    /// What Envoy's access log is told, in the policy's order; fields with nothing to say are left out.
    pub access_log: Vec<(AccessLogField, Text<'a>)>,
    /// The place of the rule that decided, in the policy's order; `None`: none did.
    pub rule: Option<usize>,
    /// The limit that refused; `None`: none did.
    pub limit: Option<LimitId>,
    /// Rate-limit entries that had to make room.
    pub evicted: u32,
    /// Of a request that goes on and is to end with its credential: to be handed to [`super::WorkerState::begin_stream`], and
    /// refused if that answers false.
    pub stream: Option<OpenStream>,
}

impl Decision<'_> {
    /// Whether its record tells of something that operators have to look after.
    pub fn is_notable(&self) -> bool {
        self.reason.is_some() || matches!(self.shadow, Some((ShadowOutcome::WouldDeny, _)))
    }
}

/// What to do with a request.
#[derive(Debug)]
pub enum Step<'a> {
    /// Let it go on, with these changes. Every one of them must succeed, or the request must be refused.
    Forward(Changes<'a>),
    /// Answer it here. The changes come first, as far as they succeed: what no upstream may see stands in no access log
    /// either.
    Reply(Rc<Reply>, Changes<'a>),
    /// Decide it again when something that was called for has arrived, and now and then until then; with the head as it
    /// is now. It is not let go before. The changes are made meanwhile, for it may end without an answer of ours.
    Wait(Changes<'a>),
}

/// Changes to the headers of a request, to be made in this order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes<'a> {
    /// Names to remove, as the request spells them; with every value they have.
    pub remove: Vec<&'a [u8]>,
    /// Headers to set, replacing every value they have: `:path`, and lists of which something was taken out, such as `cookie`.
    pub replace: Vec<(&'a str, Text<'a>)>,
    /// Headers to add, of which no value is left.
    pub add: Vec<(&'a str, Text<'a>)>,
}

impl Changes<'_> {
    /// What the request's target becomes; `None`: it stays.
    pub(super) fn target(&self) -> Option<&str> {
        self.replace.iter().find(|(name, _)| *name == ":path").map(|(_, target)| target.as_str())
    }
}

/// A header value, wherever it lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text<'a> {
    /// In the policy.
    Policy(&'a str),
    /// With the caller.
    Caller(Rc<str>),
    /// Made for this request.
    Made(String),
}

impl Text<'_> {
    /// The value.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Policy(text) => text,
            Self::Caller(text) => text,
            Self::Made(text) => text,
        }
    }
}
