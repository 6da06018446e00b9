//! Which open streams are to be ended now, and what is told of each.

use std::{cell::RefCell, rc::Rc};

use super::{
    HostServices, WorkerState,
    open_streams::{OpenStream, OpenStreams},
    record::Trace,
    refusal::refuse,
    stored_revocations,
};
use crate::{
    answer::{Reason, Reply},
    policy::Caller,
    rbac::Denial,
    request::RequestHead,
    revocation::Revoked,
};

/// So many streams are looked up at once in what is kept in etcd, in some milliseconds.
const MOST_LOOKED_UP: usize = 1024;

/// A stream that is to be ended.
#[derive(Debug)]
pub struct EndedStream {
    /// What its host calls it.
    pub stream: u32,
    /// Why it ends.
    pub reason: Reason,
    /// The answer, where none has begun.
    pub reply: Rc<Reply>,
    /// As of decisions.
    pub record: Option<String>,
}

impl WorkerState {
    /// The reasons for which streams may be ended; none where no rule ends any.
    pub fn stream_ends(&self) -> &'static [Reason] {
        const ENDS: [Reason; 8] = [
            Reason::TokenExpired,
            Reason::TokenRevoked,
            Reason::ApiKeyExpired,
            Reason::ApiKeyDisabled,
            Reason::ApiKeyRevoked,
            Reason::ApiKeyUnknown,
            Reason::RevocationUnavailable,
            Reason::StateUnavailable,
        ];
        if self.policy().rules.iter().any(|rule| rule.ends_streams) { &ENDS } else { &[] }
    }

    /// Looks after a request that is let go on, until it is over or ended; false when there is no room for it.
    pub fn begin_stream(&self, id: u32, stream: OpenStream) -> bool {
        self.open_streams.borrow_mut().begin(id, stream)
    }

    /// A request is over; any is, whether it was looked after or not.
    pub fn forget_stream(&self, id: u32) {
        self.open_streams.borrow_mut().forget(id);
    }

    /// To be called a few times a second: the streams to be ended now, up to `most` of them. The others come with the next
    /// calls.
    pub fn take_ended_streams(&self, most: usize, services: &HostServices<'_>) -> Vec<EndedStream> {
        let mut streams = self.open_streams.borrow_mut();
        if streams.is_empty() {
            return Vec::new();
        }
        let now = services.now();
        if self.have_revocations_changed(now) {
            streams.revoke(|caller| self.check_revoked(caller, services).err().map(Revoked::reason));
        }
        self.look_up(&mut streams, services);
        let ended = streams.take_ended(now, most).into_iter();
        ended.filter_map(|(id, stream)| self.ended(id, stream, services)).collect()
    }

    /// Has streams end whose credentials have changed in etcd, or are revoked there.
    fn look_up(&self, streams: &mut OpenStreams, services: &HostServices<'_>) {
        let versions = self.replicas().map(|(_, replica)| replica.version(services.now()));
        let versions: Vec<_> = versions.collect();
        if versions.is_empty() {
            return;
        }
        let keys = self.stored_keys.as_ref().map(RefCell::borrow);
        let revocations = self.stored_revocations.as_ref();
        let is_kept = |caller: &Caller| revocations.is_some() || caller.stored_key.is_some();
        streams.look_up(versions, MOST_LOOKED_UP, is_kept, |caller| {
            if let Some(revocations) = revocations {
                stored_revocations::check(&mut revocations.borrow_mut(), caller, services)
                    .map_err(Revoked::reason)?;
            }
            match (&keys, &caller.stored_key) {
                (Some(keys), Some(digest)) => keys.end_of(&caller.principal, digest, services),
                _ => Ok(caller.not_after),
            }
        });
    }

    fn ended(&self, id: u32, stream: OpenStream, services: &HostServices<'_>) -> Option<EndedStream> {
        let OpenStream { callers, party, rule, reason, .. } = stream;
        let trace = Trace { rule: Some(rule), callers, party, ends_stream: true, ..Trace::default() };
        let rule = self.policy().rules.get(rule)?;
        let head = RequestHead::default();
        let record =
            services.log_enabled.refused.then(|| self.record_refusal(&trace, &head, None, reason, services));
        let reply = refuse(self.policy(), rule, &Denial { party, ..reason.into() }).reply;
        Some(EndedStream { stream: id, reason, reply, record: record.flatten() })
    }
}
