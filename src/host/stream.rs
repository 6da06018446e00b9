//! One request of one filter, from its creation to its end.

use std::rc::Rc;

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
    /// What became of it when it came; `None` before.
    decided: Option<Decided>,
}

impl<H: Host> Stream<H> {
    pub(super) const fn new(host: H, id: u32, serving: Option<Rc<Serving<H>>>) -> Self {
        Self { host, id, serving, decided: None }
    }

    /// Decides the request; `ends` says that nothing follows its headers. What it asked for in order to wait is still to
    /// be sent: [`Serving::send_calls`].
    pub(super) fn on_request(&mut self, ends: bool) -> Decided {
        // INVARIANT: a request is begun once: nothing lets go on what was answered.
        if self.decided.is_some() {
            return Decided::Answered;
        }
        let decided = match &self.serving {
            Some(serving) => serving.on_request(self.id, ends),
            None => {
                carry_out::answer_without_policy(&self.host);
                Decided::Answered
            }
        };
        *self.decided.insert(decided)
    }

    /// A part of its body has come: `size` bytes so far. `ends` says that nothing follows.
    ///
    /// Where Envoy is told to hand bodies over while their requests wait (`allow_on_headers_stop_iteration`), a body that
    /// passes takes its request along.
    pub(super) fn on_request_body(&self, size: usize, ends: bool) -> Decided {
        self.go_on(|serving| serving.on_request_body(self.id, size, ends))
    }

    /// Its trailers have come, so nothing follows. What is not to reach the upstream is taken out of them.
    pub(super) fn on_request_trailers(&self) -> Decided {
        if trailers::clean(&self.host, self.serving.as_deref()).is_err() {
            if let Some(serving) = &self.serving {
                serving.forget(self.id);
            }
            carry_out::answer_in_between(&self.host);
            return Decided::Answered;
        }
        self.go_on(|serving| serving.on_request_body_end(self.id))
    }

    /// What was decided, or is now by `decide`, of a request that waited.
    fn go_on(&self, decide: impl FnOnce(&Serving<H>) -> Decided) -> Decided {
        match (self.decided, &self.serving) {
            (Some(Decided::Forward), _) => Decided::Forward,
            (Some(Decided::Wait), Some(serving)) => decide(serving),
            _ => Decided::Answered,
        }
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
