//! Tokens, sessions, clients and subjects that are no longer good before their time: a list in the policy, and one
//! that is fetched.
//!
//! Says only what is revoked; whether a credential is good otherwise was decided before. Without the fetched list
//! nothing passes, for what it would have stopped is not known.

mod list;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code may panic")]
mod tests;

use std::{fmt, sync::Arc, time::Duration};

pub use self::list::{ListError, MAX_ENTRIES, MAX_LIST_SIZE, RevocationList};
pub use crate::refresh::RefreshError;
use crate::{
    answer::Reason,
    call::{Call, Endpoint, Outcome},
    identity::Principal,
    refresh::{Refresh, RefreshSpec},
    store::SharedStore,
    time::Timestamp,
};

/// As configured; at least one of the two says something.
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
    pub endpoint: Endpoint,
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
    /// Its session.
    Session,
    /// Its subject, for tokens of its age.
    Subject,
    /// The token.
    Token,
    /// Not known: the fetched list is not there yet, or too old.
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
    refresh: Refresh,
    max_stale: Duration,
    when_stale: WhenStale,
    /// Empty until the first fetch.
    list: RevocationList,
    generation: u64,
}

impl Revocations {
    /// `namespace` tells policies apart that share one store.
    pub fn new(spec: &RevocationSpec, namespace: &str) -> Self {
        let remote = spec.remote.as_ref().map(|remote| {
            let refresh = RefreshSpec {
                endpoint: remote.endpoint.clone(),
                cluster: remote.cluster.clone(),
                accept: "application/json",
                interval: remote.poll_interval,
                timeout: remote.timeout,
                max_size: MAX_LIST_SIZE,
            };
            RemoteList {
                refresh: Refresh::new(refresh, "revocation", namespace),
                max_stale: remote.max_stale,
                when_stale: remote.when_stale,
                list: RevocationList::default(),
                generation: 0,
            }
        });
        Self { inline: Arc::clone(&spec.inline), remote }
    }

    /// To be called a few times a second: takes over what another worker fetched, and says what this one has to
    /// fetch, if anything. `random` spreads the fetches of many Envoys.
    pub fn tick(&mut self, now: Timestamp, store: &dyn SharedStore, random: u64) -> Option<Call> {
        let remote = self.remote.as_mut()?;
        if let Some(list) = remote.refresh.pick_up(now, store, RevocationList::parse) {
            remote.adopt(list);
        }
        remote.refresh.due(now, store, random)
    }

    /// Takes the outcome of the call that [`Revocations::tick`] asked for. On an error, which is for the operator,
    /// the last good list stays.
    pub fn on_answer(
        &mut self,
        outcome: Outcome<'_>,
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> Result<(), RefreshError<ListError>> {
        let Some(remote) = &mut self.remote else { return Ok(()) };
        let parse = |body: &[u8]| {
            RevocationList::parse(body).map_err(|error| match error {
                ListError::Json(fault) => ListError::Json(fault.of_body_in(outcome.coding())),
                error => error,
            })
        };
        if let Some(list) = remote.refresh.on_answer(outcome, now, store, parse)? {
            remote.adopt(list);
        }
        Ok(())
    }

    /// Whether the verified `principal` is still good at `now`. To be asked for every request, also where its
    /// verification is remembered.
    pub fn check(&self, principal: &Principal, now: Timestamp) -> Result<(), Revoked> {
        self.inline.check(principal)?;
        let Some(remote) = &self.remote else { return Ok(()) };
        remote.list.check(principal)?;
        if remote.is_usable(now) { Ok(()) } else { Err(Revoked::Unknown) }
    }

    /// Counts the lists seen: whatever was decided under another generation has to be decided again.
    pub fn generation(&self) -> u64 {
        self.remote.as_ref().map_or(0, |remote| remote.generation)
    }
}

impl RemoteList {
    fn adopt(&mut self, list: RevocationList) {
        self.list = list;
        self.generation = self.generation.wrapping_add(1);
    }

    fn is_usable(&self, now: Timestamp) -> bool {
        self.refresh.confirmed_at().is_some_and(|confirmed_at| {
            self.when_stale == WhenStale::Serve || now.since(confirmed_at) <= self.max_stale
        })
    }
}

impl Revoked {
    /// The stable reason.
    pub const fn reason(self) -> Reason {
        match self {
            Self::ApiKey => Reason::ApiKeyDisabled,
            Self::Client | Self::Session | Self::Subject | Self::Token => Reason::TokenRevoked,
            Self::Unknown => Reason::RevocationUnavailable,
        }
    }
}

impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ApiKey => "the API key is revoked",
            Self::Client => "its client is revoked",
            Self::Session => "its session is revoked",
            Self::Subject => "its subject is revoked",
            Self::Token => "the token is revoked",
            Self::Unknown => "the list of revoked tokens is not there, or too old",
        })
    }
}
