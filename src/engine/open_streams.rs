//! Streams that end with their credential, where their rule says so (`endStreams`): requests that were let go on and are
//! not over yet.
//!
//! A stream goes on as long as its credential has not run out and is not revoked. Nothing else is asked of it again:
//! what else a policy says was decided when the request came.

use std::fmt;

use hashbrown::HashMap;

use crate::{
    answer::Reason,
    identity::{Party, PrincipalKind},
    policy::{Caller, Callers},
    time::Timestamp,
};

/// Most that one worker looks after: each keeps the claims of its token.
const MAX_OPEN: usize = 32_768;

/// A request that was let go on, until it is over.
pub struct OpenStream {
    pub(super) callers: Callers,
    /// Whose credential it ends with.
    pub(super) party: Party,
    /// The place of its rule.
    pub(super) rule: usize,
    /// When it ends.
    ends: Timestamp,
    /// Why it ends then.
    pub(super) reason: Reason,
}

/// All that are open on one worker, each by what its host calls it.
#[derive(Debug, Default)]
pub(super) struct OpenStreams(HashMap<u32, OpenStream>);

/// Shows nothing of the caller.
impl fmt::Debug for OpenStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenStream").finish_non_exhaustive()
    }
}

impl OpenStream {
    /// It ends with the first of its credentials that does; `None`: there is none.
    #[inline(never)]
    pub(super) fn new(callers: &Callers, rule: usize) -> Option<Self> {
        let (party, first) = callers.all().min_by_key(|(_, caller)| caller.not_after)?;
        let reason = match first.principal.kind {
            PrincipalKind::ApiKey => Reason::ApiKeyExpired,
            PrincipalKind::Jwt | PrincipalKind::ClientCertificate => Reason::TokenExpired,
        };
        Some(Self { ends: first.not_after, callers: callers.clone(), party, rule, reason })
    }
}

impl OpenStreams {
    /// Looks after `stream` until it is over or ended; false when there is no room for it.
    pub(super) fn begin(&mut self, id: u32, stream: OpenStream) -> bool {
        let has_room = self.0.len() < MAX_OPEN;
        if has_room {
            self.0.insert(id, stream);
        }
        has_room
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A stream is over.
    pub(super) fn forget(&mut self, id: u32) {
        if !self.0.is_empty() {
            self.0.remove(&id);
        }
    }

    /// Has those end at once whose callers `revoked` gives a reason for.
    pub(super) fn revoke(&mut self, revoked: impl Fn(&Caller) -> Option<Reason>) {
        for stream in self.0.values_mut() {
            let revoked = |(party, caller)| Some((party, revoked(caller)?));
            if let Some((party, reason)) = stream.callers.all().find_map(revoked) {
                (stream.ends, stream.party, stream.reason) = (Timestamp::default(), party, reason);
            }
        }
    }

    /// Takes those out that end by `now`, up to `most` of them.
    pub(super) fn take_ended(&mut self, now: Timestamp, most: usize) -> Vec<(u32, OpenStream)> {
        self.0.extract_if(|_, stream| stream.ends <= now).take(most).collect()
    }
}
