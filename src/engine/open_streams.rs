//! Streams that end with their credential, where their rule says so (`endStreams`): requests that were let go on and are
//! not over yet.
//!
//! A stream goes on as long as its credential has not run out and is not revoked; an API key in etcd must still be there
//! besides, and not be disabled. Nothing else is asked of it again: what else a policy says was decided when the request came.

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
    /// The round in which it was looked up last.
    round: u32,
}

/// All that are open on one worker.
#[derive(Debug, Default)]
pub(super) struct OpenStreams {
    /// By what the host calls them.
    all: HashMap<u32, OpenStream>,
    /// Those of which something is kept in etcd are looked up in rounds, so that each has its turn however often something
    /// changes.
    round: u32,
    /// The versions of what they are looked up in, when this round began.
    versions: Vec<u64>,
}

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
        let (ends, party, reason) = first_end(callers, |caller| Ok(caller.not_after))?;
        Some(Self { ends, callers: callers.clone(), party, rule, reason, round: 0 })
    }
}

/// When the first of the credentials ends, whose it is and why, by what `end` says of each; an error ends it at once.
fn first_end(
    callers: &Callers,
    end: impl Fn(&Caller) -> Result<Timestamp, Reason>,
) -> Option<(Timestamp, Party, Reason)> {
    let ends = callers.all().map(|(party, caller)| match end(caller) {
        Ok(ends) => (ends, party, expired(caller.principal.kind)),
        Err(reason) => (Timestamp::default(), party, reason),
    });
    ends.min_by_key(|(ends, ..)| *ends)
}

fn expired(kind: PrincipalKind) -> Reason {
    match kind {
        PrincipalKind::ApiKey => Reason::ApiKeyExpired,
        PrincipalKind::Jwt
        | PrincipalKind::ClientCertificate
        | PrincipalKind::Hmac
        | PrincipalKind::MessageSignature => Reason::TokenExpired,
    }
}

impl OpenStreams {
    /// Looks after `stream` until it is over or ended; false when there is no room for it.
    pub(super) fn begin(&mut self, id: u32, stream: OpenStream) -> bool {
        let has_room = self.all.len() < MAX_OPEN;
        if has_room {
            self.all.insert(id, OpenStream { round: self.round, ..stream });
        }
        has_room
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// A stream is over.
    pub(super) fn forget(&mut self, id: u32) {
        if !self.all.is_empty() {
            self.all.remove(&id);
        }
    }

    /// Has those end at once whose callers `revoked` gives a reason for.
    pub(super) fn revoke(&mut self, revoked: impl Fn(&Caller) -> Option<Reason>) {
        for stream in self.all.values_mut() {
            let revoked = |(party, caller)| Some((party, revoked(caller)?));
            if let Some((party, reason)) = stream.callers.all().find_map(revoked) {
                (stream.ends, stream.party, stream.reason) = (Timestamp::default(), party, reason);
            }
        }
    }

    /// Looks up to `most` streams up again whose callers `is_kept` of, if what is looked up in is of other `versions` than
    /// then: `end` says when a caller's credential runs out now, or why it is refused. The others come with the next calls.
    pub(super) fn look_up(
        &mut self,
        versions: Vec<u64>,
        most: usize,
        is_kept: impl Fn(&Caller) -> bool,
        end: impl Fn(&Caller) -> Result<Timestamp, Reason>,
    ) {
        // What was revoked stays so.
        let is_due = |stream: &OpenStream, round| {
            let is_open = stream.round != round && stream.ends > Timestamp::default();
            is_open && stream.callers.all().any(|(_, caller)| is_kept(caller))
        };
        if versions != self.versions && !self.all.values().any(|stream| is_due(stream, self.round)) {
            (self.round, self.versions) = (self.round.wrapping_add(1), versions);
        }
        let round = self.round;
        for stream in self.all.values_mut().filter(|stream| is_due(stream, round)).take(most) {
            stream.round = round;
            if let Some(first) = first_end(&stream.callers, &end) {
                (stream.ends, stream.party, stream.reason) = first;
            }
        }
    }

    /// Takes those out that end by `now`, up to `most` of them.
    pub(super) fn take_ended(&mut self, now: Timestamp, most: usize) -> Vec<(u32, OpenStream)> {
        self.all.extract_if(|_, stream| stream.ends <= now).take(most).collect()
    }
}
