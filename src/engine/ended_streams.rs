//! Which open streams are to be ended now, and what is told of each.

use std::rc::Rc;

use super::{HostServices, WorkerState, open_streams::OpenStream, record::Trace, refusal::refuse};
use crate::{
    answer::{Reason, Reply},
    rbac::Denial,
    request::RequestHead,
    revocation::Revoked,
};

/// So many streams' keys are looked up in etcd's at once, in some milliseconds.
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
            streams
                .revoke(|caller| self.check_revoked(&caller.principal, services).err().map(Revoked::reason));
        }
        if let Some(keys) = &self.stored_keys {
            let keys = keys.borrow();
            streams.look_up(keys.version(now), MOST_LOOKED_UP, |caller, digest| {
                keys.end_of(&caller.principal, digest, services)
            });
        }
        let ended = streams.take_ended(now, most).into_iter();
        ended.filter_map(|(id, stream)| self.ended(id, stream, services)).collect()
    }

    fn ended(&self, id: u32, stream: OpenStream, services: &HostServices<'_>) -> Option<EndedStream> {
        let OpenStream { callers, party, rule, reason, .. } = stream;
        let trace = Trace { rule: Some(rule), callers, party, ends_stream: true, ..Trace::default() };
        let rule = self.policy().rules.get(rule)?;
        let head = RequestHead::default();
        let record = services.log_enabled.refused.then(|| self.record_refusal(&trace, &head, None, reason));
        let reply = refuse(self.policy(), rule, &Denial { party, ..reason.into() }).reply;
        Some(EndedStream { stream: id, reason, reply, record: record.flatten() })
    }
}
