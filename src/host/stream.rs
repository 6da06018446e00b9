//! One request of one filter, from its creation to its end.

use std::{mem, rc::Rc};

use super::{
    carry_out,
    host_calls::Host,
    serving::{Decided, Serving},
    trailers,
};

/// What Envoy calls for one request. It keeps what is about it alone; what it shares with others is in [`Serving`].
pub(super) struct Stream<H: Host> {
    host: H,
    id: u32,
    /// `None`: its filter has no policy.
    serving: Option<Rc<Serving<H>>>,
    begun: bool,
}

impl<H: Host> Stream<H> {
    pub(super) const fn new(host: H, id: u32, serving: Option<Rc<Serving<H>>>) -> Self {
        Self { host, id, serving, begun: false }
    }

    /// Whether the request may go on now; `ends` says that nothing follows its headers.
    pub(super) fn on_request(&mut self, ends: bool) -> bool {
        // INVARIANT: a request is begun once: nothing lets go on what was answered.
        if mem::replace(&mut self.begun, true) {
            return false;
        }
        let Some(serving) = &self.serving else {
            carry_out::answer_without_policy(&self.host);
            return false;
        };
        serving.on_request(self.id, ends) == Decided::Forward
    }

    /// Whether the request may go on, with what is left of its trailers.
    pub(super) fn on_request_trailers(&self) -> bool {
        trailers::on_request_trailers(&self.host, self.id, self.serving.as_deref())
    }

    /// The answer is on its way, whoever made it.
    pub(super) fn on_response(&self) {
        if let Some(serving) = &self.serving {
            serving.on_response(self.id);
        }
    }
}

/// However a request ends, nothing is done to it any more.
impl<H: Host> Drop for Stream<H> {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.on_end(self.id);
        }
    }
}
