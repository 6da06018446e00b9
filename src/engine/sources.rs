//! What a configuration asks other servers for, and what came of it, to be counted.

use super::{Purpose, WorkerState};
use crate::{calls::Counts, time::Timestamp};

/// One document that is fetched, or one issuer that is asked about tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source<'w> {
    /// What is asked for, and of whom.
    pub subject: Subject<'w>,
    /// Fetches or calls of this worker since they were taken last.
    pub counts: Counts,
    /// Of a document, when its server last said that the one in use is the current one; `None`: there is none yet.
    pub confirmed_at: Option<Timestamp>,
}

/// What is asked for, and by the name of which provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'w> {
    /// The key set of a provider.
    KeySet(&'w str),
    /// What the issuer of a provider says of tokens.
    Introspection(&'w str),
    /// The list of what is revoked.
    RevocationList,
    /// API keys that are kept elsewhere.
    KeyStore,
    /// Passkeys, where they are kept in etcd.
    PasskeyStore,
    /// Revocations that are kept one by one.
    RevocationStore,
}

impl WorkerState {
    /// Every source, in an order that never changes. What was counted is taken.
    pub fn take_sources(&self) -> impl Iterator<Item = Source<'_>> {
        let key_sets = self.providers.iter().filter_map(|provider| {
            let mut keys = provider.remote_mut()?;
            let (counts, confirmed_at) = (keys.take_counts(), keys.confirmed_at());
            Some(Source { subject: Subject::KeySet(provider.provider.name()), counts, confirmed_at })
        });
        let issuers = self.providers.iter().filter_map(|provider| {
            let counts = provider.introspector()?.take_counts();
            let subject = Subject::Introspection(provider.provider.name());
            Some(Source { subject, counts, confirmed_at: None })
        });
        let lists = self.revocations.iter().filter_map(|revocations| {
            let mut revocations = revocations.borrow_mut();
            let counts = revocations.take_counts()?;
            let confirmed_at = revocations.confirmed_at();
            Some(Source { subject: Subject::RevocationList, counts, confirmed_at })
        });
        let replicas = self.replicas().map(|(purpose, mut replica)| {
            let subject = match purpose {
                Purpose::RevocationStore => Subject::RevocationStore,
                _ => Subject::KeyStore,
            };
            let (counts, confirmed_at) = (replica.take_counts(), replica.confirmed_at());
            Source { subject, counts, confirmed_at }
        });
        let passkeys = self.passkey_entries.iter().map(|entries| {
            let counts = entries.borrow_mut().take_counts();
            Source { subject: Subject::PasskeyStore, counts, confirmed_at: None }
        });
        key_sets.chain(issuers).chain(lists).chain(replicas).chain(passkeys)
    }
}
