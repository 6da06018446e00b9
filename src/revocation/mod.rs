//! Tokens, sessions, clients and subjects that are no longer good before their time: a list in the policy, one that is
//! fetched, and entries that somebody keeps for all.
//!
//! Says only what is revoked; whether a credential is good otherwise was decided before. Without the fetched list
//! nothing passes, for what it would have stopped is not known.

mod entry;
mod list;
mod names;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code may panic")]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

pub use self::{
    entry::{Entry, SCHEMA, check_entries},
    list::{ListError, MAX_ENTRIES, MAX_LIST_SIZE, RevocationList},
    names::Kind,
};
use crate::{
    answer::Reason,
    calls::{Call, Counts, NoBody, Outcome, pacing::FIRST_BACKOFF},
    fetched::{DocumentOwner, FetchError, FetchPlace, FetchSpec, FetchStep, FetchTimes, Fetched},
    identity::Principal,
    store::SharedStore,
    time::Timestamp,
    url::Url,
};

/// Lists as configured; both may say nothing, where there are entries.
#[derive(Clone, Debug)]
pub struct RevocationSpec {
    /// In the policy itself; may be empty.
    pub inline: Arc<RevocationList>,
    /// `None`: nothing is fetched.
    pub remote: Option<RemoteListSpec>,
}

/// How to fetch a list.
#[derive(Clone, Debug)]
pub struct RemoteListSpec {
    /// Where it is.
    pub endpoint: Url,
    /// The Envoy cluster that reaches it.
    pub cluster: String,
    /// The most time from one fetch to the next. Default 30 s.
    pub poll_interval: Duration,
    /// Per fetch. Default 5 s.
    pub timeout: Duration,
    /// How long after the server last confirmed it a list still counts. Default 5 min; at least `poll_interval`.
    pub max_stale: Duration,
    /// What then. Default [`WhenStale::Deny`].
    pub when_stale: WhenStale,
}

/// What to do with a list that is too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenStale {
    /// Refuse every credential with 503.
    Deny,
    /// Go on with the old list. Before the first one was fetched, every credential is refused all the same.
    Serve,
}

/// Why a credential is not good any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revoked {
    /// The API key, or its client.
    ApiKey,
    /// The token's client.
    Client,
    /// The passkey that its user signed in with.
    Passkey,
    /// Its session.
    Session,
    /// Its subject, for tokens of its age.
    Subject,
    /// The token.
    Token,
    /// Not known: the fetched list, or what is kept elsewhere, is not there yet, or too old.
    Unknown,
}

/// The lists, as one worker has them.
#[derive(Debug)]
pub struct Revocations {
    inline: Arc<RevocationList>,
    remote: Option<RemoteList>,
}

#[derive(Debug)]
struct RemoteList {
    fetched: Fetched,
    kept: Kept,
    when_stale: WhenStale,
}

/// What came of the documents that were seen.
#[derive(Debug, Default)]
struct Kept {
    /// Empty until the first fetch.
    list: RevocationList,
    /// What was last held against one.
    fault: Option<ListError>,
}

impl DocumentOwner for Kept {
    fn accept(&mut self, body: &[u8]) -> bool {
        match RevocationList::parse(body) {
            Ok(list) => self.list = list,
            Err(fault) => {
                self.fault = Some(fault);
                return false;
            }
        }
        true
    }
}

/// Why a fetch brought no list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListFetchError {
    /// The body.
    List(ListError),
    /// There is none.
    NoBody(NoBody),
}

impl Revocations {
    /// `namespace` tells policies apart that share one store.
    pub fn new(spec: &RevocationSpec, namespace: &str) -> Self {
        let remote = spec.remote.as_ref().map(|remote| {
            let RemoteListSpec { endpoint, cluster, poll_interval, timeout, max_stale, when_stale } =
                remote.clone();
            let Url { scheme, authority, path, .. } = &remote.endpoint;
            let spec = FetchSpec {
                first: FetchStep::Document(FetchPlace { endpoint, cluster: cluster.clone() }),
                accept: "application/json",
                max_size: MAX_LIST_SIZE,
                times: FetchTimes {
                    timeout,
                    calls: 1,
                    interval: poll_interval,
                    // Shorter than any that was drawn.
                    min_interval: FIRST_BACKOFF.min(poll_interval.checked_div(2).unwrap_or_default()),
                    heeds_headers: false,
                    max_stale,
                },
            };
            let place = [cluster.as_str(), scheme, authority, path];
            RemoteList {
                fetched: Fetched::new(spec, "revocation", &place, namespace),
                kept: Kept::default(),
                when_stale,
            }
        });
        Self { inline: Arc::clone(&spec.inline), remote }
    }

    /// To be called a few times a second: takes over what another worker fetched, and says what this one has to
    /// fetch, if anything. `random` spreads the fetches of many Envoys.
    pub fn tick(&mut self, now: Timestamp, store: &dyn SharedStore, random: u64) -> Option<Call> {
        let RemoteList { fetched, kept, .. } = self.remote.as_mut()?;
        fetched.tick(now, store, random, kept)
    }

    /// Takes the outcome of the call that [`Revocations::tick`] asked for. On an error, which is for the operator,
    /// the last good list stays.
    pub fn on_answer(
        &mut self,
        outcome: Outcome<'_>,
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> Result<(), ListFetchError> {
        let Some(RemoteList { fetched, kept, .. }) = &mut self.remote else { return Ok(()) };
        fetched.on_answer(outcome, now, store, kept).map_err(|error| match (error, kept.fault.take()) {
            (FetchError::Refused, Some(ListError::Json(fault))) => {
                ListFetchError::List(ListError::Json(fault.of_body_in(outcome.coding())))
            }
            (FetchError::Refused, Some(fault)) => ListFetchError::List(fault),
            (FetchError::Refused, None) => ListFetchError::NoBody(NoBody::Failed),
            (FetchError::NoBody(fault), _) => ListFetchError::NoBody(fault),
        })
    }

    /// Whether the verified `principal` is still good at `now`. To be asked for every request, also where its
    /// verification is remembered.
    pub fn check(&self, principal: &Principal, now: Timestamp) -> Result<(), Revoked> {
        self.inline.check(principal)?;
        let Some(remote) = &self.remote else { return Ok(()) };
        remote.kept.list.check(principal)?;
        if remote.is_usable(now) { Ok(()) } else { Err(Revoked::Unknown) }
    }

    /// Tells apart what [`Revocations::check`] may answer at different times: it answers the same while this stays the same.
    pub fn version(&self, now: Timestamp) -> (u64, bool) {
        let remote = self.remote.as_ref();
        remote.map_or((0, true), |remote| (remote.fetched.generation(), remote.is_usable(now)))
    }

    /// The fetches since the last call; `None`: no list is fetched.
    pub fn take_counts(&mut self) -> Option<Counts> {
        self.remote.as_mut().map(|remote| remote.fetched.take_counts())
    }

    /// When the server last said that the list this worker has is the current one; `None`: it has fetched none yet.
    pub fn confirmed_at(&self) -> Option<Timestamp> {
        self.remote.as_ref()?.fetched.confirmed_at()
    }

    /// How many entries the fetched list has.
    #[cfg(test)]
    pub(crate) fn fetched_entries(&self) -> usize {
        self.remote.as_ref().map_or(0, |remote| remote.kept.list.len())
    }

    /// Counts the lists seen: whatever was decided under another generation has to be decided again.
    #[cfg(test)]
    pub(crate) fn generation(&self) -> u64 {
        self.remote.as_ref().map_or(0, |remote| remote.fetched.generation())
    }
}

impl RemoteList {
    fn is_usable(&self, now: Timestamp) -> bool {
        match self.when_stale {
            WhenStale::Serve => self.fetched.confirmed_at().is_some(),
            WhenStale::Deny => self.fetched.is_usable(now),
        }
    }
}

impl Revoked {
    /// The stable reason.
    pub const fn reason(self) -> Reason {
        match self {
            Self::ApiKey => Reason::ApiKeyRevoked,
            Self::Client | Self::Passkey | Self::Session | Self::Subject | Self::Token => {
                Reason::TokenRevoked
            }
            Self::Unknown => Reason::RevocationUnavailable,
        }
    }
}

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ApiKey => "the API key is revoked",
            Self::Client => "its client is revoked",
            Self::Passkey => "its passkey is revoked",
            Self::Session => "its session is revoked",
            Self::Subject => "its subject is revoked",
            Self::Token => "the token is revoked",
            Self::Unknown => "the list of revoked tokens is not there, or too old",
        })
    }
}

impl fmt::Display for ListFetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::List(fault) => fault.fmt(f),
            Self::NoBody(fault) => fault.fmt(f),
        }
    }
}
