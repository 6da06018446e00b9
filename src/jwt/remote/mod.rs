//! A key set that is fetched, as one worker has it.
//!
//! When, by whom and how it comes to all workers is [`Fetched`]'s business; here is what its bytes mean, and which
//! tokens are worth a fetch.

mod kids;
mod wanted;

use std::{fmt, sync::Arc, time::Duration};

use self::kids::WantedKids;
use super::{
    DiscoverySpec, JwksLocation, RemoteJwks,
    discovery::{Discovery, DocumentError, Found},
};
use crate::{
    calls::{Call, Counts, NoBody, Outcome},
    crypto::sha256,
    fetched::{DocumentOwner, FetchError, FetchPlace, FetchSpec, FetchStep, FetchTimes, Fetched},
    jose::{KeySet, KeySetError, MAX_JWKS_SIZE, UnusableKey},
    store::SharedStore,
    time::Timestamp,
    url::Url,
};

/// The key set of one provider, as one worker has it.
#[derive(Debug)]
pub struct RemoteKeys {
    fetched: Fetched,
    kept: Kept,
    wait_timeout: Duration,
    quiet_until: Timestamp,
}

/// What came of the sets that were seen.
#[derive(Debug)]
struct Kept {
    keys: Option<Arc<KeySet>>,
    /// How the issuer says where its keys are; `None`: the policy does.
    discovery: Option<Box<Discovery>>,
    wanted: WantedKids,
    /// Of the set in use.
    unusable: Vec<UnusableKey>,
    /// The digest of the set without a usable key that was reported last.
    reported: Option<[u8; 32]>,
    /// Why the last document was not taken.
    fault: Option<KeyFetchError>,
}

/// Why a fetch brought no key set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyFetchError {
    /// The discovery document leads to no keys.
    Document(DocumentError),
    /// The body.
    KeySet(KeySetError),
    /// There is none.
    NoBody(NoBody),
}

impl RemoteKeys {
    /// `provider_name` is unique within `namespace`, which tells policies apart that share one store.
    pub fn new(spec: &RemoteJwks, issuer: &str, provider_name: &str, namespace: &str) -> Self {
        let cluster = spec.cluster.as_str();
        let (first, calls, discovery, [keys, document, keys_cluster]) = match &spec.location {
            JwksLocation::Uri(uri) => {
                let place = FetchPlace { endpoint: uri.clone(), cluster: cluster.to_owned() };
                (FetchStep::Document(place), 1, None, [uri.as_str(), "", ""])
            }
            JwksLocation::Discovery(of_issuer) => {
                let discovery = Discovery::new(of_issuer, cluster);
                let first = discovery.first();
                let DiscoverySpec { uri, jwks_cluster, .. } = &**of_issuer;
                // Neither is empty where it is given, so an empty text says that it is not.
                let uri = uri.as_ref().map(Url::as_str).unwrap_or_default();
                let jwks_cluster = jwks_cluster.as_deref().unwrap_or_default();
                (first, discovery.calls(), Some(Box::new(discovery)), ["", uri, jwks_cluster])
            }
        };
        let fetch = FetchSpec {
            first,
            accept: "application/jwk-set+json, application/json",
            max_size: MAX_JWKS_SIZE,
            times: FetchTimes {
                timeout: spec.timeout,
                calls,
                interval: spec.cache_duration,
                min_interval: spec.min_refetch_interval,
                heeds_headers: true,
                max_stale: spec.max_stale,
            },
        };
        let place = [issuer, cluster, keys, document, keys_cluster];
        Self {
            fetched: Fetched::new(fetch, &format!("jwks/{provider_name}"), &place, namespace),
            kept: Kept {
                keys: None,
                discovery,
                wanted: WantedKids::new(spec.min_refetch_interval, spec.cache_duration),
                unusable: Vec::new(),
                reported: None,
                fault: None,
            },
            wait_timeout: spec.wait_timeout,
            quiet_until: Timestamp::default(),
        }
    }

    /// The keys to verify with at `now`; `None` when there were never any, or none since `max_stale`.
    pub fn keys(&self, now: Timestamp) -> Option<&Arc<KeySet>> {
        self.kept.keys.as_ref().filter(|_| self.fetched.is_usable(now))
    }

    /// Counts the key sets seen: what was verified under another generation has to be verified again. A fetch
    /// that brings the same bytes does not count.
    pub fn generation(&self) -> u64 {
        self.fetched.generation()
    }

    /// Picks up what others published, and says what this worker has to send, if anything; see [`Fetched::tick`].
    pub fn tick(&mut self, now: Timestamp, store: &dyn SharedStore, random: u64) -> Option<Call> {
        self.fetched.tick(now, store, random, &mut self.kept)
    }

    /// Takes the outcome of the call that [`RemoteKeys::tick`] asked for; see [`Fetched::on_answer`].
    ///
    /// Returns the keys of a new set that are not used, for one report: workers that pick the set up later do not
    /// return them again. On an error the last good set stays; where there is no usable key, the error has them all
    /// the first time.
    pub fn on_fetched(
        &mut self,
        outcome: Outcome<'_>,
        now: Timestamp,
        store: &dyn SharedStore,
    ) -> Result<Vec<UnusableKey>, KeyFetchError> {
        self.kept.unusable.clear();
        match self.fetched.on_answer(outcome, now, store, &mut self.kept) {
            Ok(()) => Ok(std::mem::take(&mut self.kept.unusable)),
            Err(FetchError::NoBody(NoBody::TooLarge { .. })) => {
                Err(KeyFetchError::KeySet(KeySetError::TooLarge))
            }
            Err(FetchError::NoBody(fault)) => Err(KeyFetchError::NoBody(fault)),
            Err(FetchError::Refused) => Err(match self.kept.fault.take() {
                Some(KeyFetchError::KeySet(KeySetError::Json(fault))) => {
                    KeyFetchError::KeySet(KeySetError::Json(fault.of_body_in(outcome.coding())))
                }
                fault => fault.unwrap_or(KeyFetchError::NoBody(NoBody::Failed)),
            }),
        }
    }

    /// When the set in use was fetched; `None` where there is none to use.
    pub fn fetched_at(&self, now: Timestamp) -> Option<Timestamp> {
        self.keys(now)?;
        self.fetched.confirmed_at()
    }

    /// When the server last said that the set this worker has is the current one, be that too long ago to use it or
    /// not; `None`: it has none yet.
    pub fn confirmed_at(&self) -> Option<Timestamp> {
        self.fetched.confirmed_at()
    }

    /// The fetches since the last call.
    pub fn take_counts(&mut self) -> Counts {
        self.fetched.take_counts()
    }

    /// The two keys of the store that it uses.
    #[cfg(test)]
    pub(super) fn store_keys(&self) -> [&str; 2] {
        self.fetched.store_keys()
    }
}

impl DocumentOwner for Kept {
    fn accept(&mut self, body: &[u8]) -> bool {
        let error = match KeySet::parse(body) {
            // No provider retires all its keys at once, but one that starts up may answer with an empty set. So the
            // last good set stays, until `max_stale`.
            Ok((keys, unusable)) if keys.is_empty() => {
                // The same set comes with every fetch: its keys are reported once.
                let digest = Some(sha256(body));
                let is_known = self.reported == digest;
                self.reported = digest;
                KeySetError::NoUsableKeys(if is_known { Vec::new() } else { unusable })
            }
            Ok((keys, unusable)) => {
                self.keys = Some(Arc::new(keys));
                self.unusable = unusable;
                self.wanted.forget();
                return true;
            }
            Err(error) => error,
        };
        self.fault = Some(KeyFetchError::KeySet(error));
        false
    }

    fn follow(&mut self, outcome: Outcome<'_>, index: usize) -> Option<FetchStep> {
        let discovery = self.discovery.as_ref()?;
        match discovery.read(outcome, index) {
            Ok(Found::KeySet(endpoint, cluster)) => {
                Some(FetchStep::Document(FetchPlace { endpoint, cluster }))
            }
            Ok(Found::TryNext) => discovery.step(index.saturating_add(1)),
            Err(error) => {
                self.fault = Some(KeyFetchError::Document(error));
                None
            }
        }
    }
}

impl KeyFetchError {
    /// The keys that are not used, where there is none that is.
    pub fn into_unusable(self) -> Vec<UnusableKey> {
        if let Self::KeySet(KeySetError::NoUsableKeys(unusable)) = self { unusable } else { Vec::new() }
    }
}

impl fmt::Display for KeyFetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Document(error) => error.fmt(f),
            Self::KeySet(error) => write!(f, "no usable key set: {error}"),
            Self::NoBody(fault) => fault.fmt(f),
        }
    }
}
