//! Signatures that are good once.

use super::{Attempt, refusal::Stop};
use crate::{
    answer::Reason,
    replay::{ReplayError, Table},
    time::Timestamp,
};

/// A signature that is good, and may be used up.
pub(super) struct Once {
    table: &'static Table,
    /// What stands for it in the table.
    hash: [u8; 32],
    not_after: Timestamp,
}

impl Once {
    /// What stands for `parts`, as [`ReplaySecret::hash`](crate::replay::ReplaySecret::hash) wants them.
    pub(super) fn of(
        attempt: &mut Attempt<'_, '_>,
        table: &'static Table,
        parts: &[&[u8]],
        not_after: Timestamp,
    ) -> Result<Self, Stop> {
        match attempt.worker.replay_secret(attempt.services) {
            Ok(secret) => Ok(Self { table, hash: secret.hash(table, parts), not_after }),
            Err(_) => Err(attempt.refused(&ReplayError::Unavailable, Reason::StateUnavailable)),
        }
    }

    /// Uses it up. Only what is good in every other way takes up room in the table, and a request that waits is decided
    /// again: so this comes behind all that it may wait for.
    pub(super) fn claim(&self, attempt: &mut Attempt<'_, '_>) -> Result<(), Stop> {
        if let Some(dry) = attempt.dry {
            return if dry.is_replayed { Err(Reason::SignatureReplayed.into()) } else { Ok(()) };
        }
        let (worker, services, now) = (attempt.worker, attempt.services, attempt.now());
        match self.table.claim(&self.hash, self.not_after, services.store, worker.namespace(), now) {
            Ok(true) => Ok(()),
            Ok(false) => Err(Reason::SignatureReplayed.into()),
            Err(error) => Err(attempt.refused(&error, Reason::StateUnavailable)),
        }
    }
}
