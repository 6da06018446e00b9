//! One request, as Envoy calls us for it.

use std::{cell::RefCell, rc::Rc};

use proxy_wasm::{
    traits::{Context, HttpContext},
    types::Action,
};

use super::{
    abi,
    serving::{self, Decided, Serving},
};
use crate::{
    engine::Exchange,
    problem::{Challenges, Reason, Reply},
};

pub(super) struct Stream {
    id: u32,
    /// `None` when the root was never configured: everything is refused.
    serving: Option<Rc<Serving>>,
    exchange: Rc<RefCell<Exchange>>,
    /// Whether the headers were seen: a request is begun once.
    begun: bool,
    /// Whether it ever waited, so that something of it may be left with the root.
    waited: bool,
}

impl Stream {
    pub(super) fn new(id: u32, serving: Option<Rc<Serving>>) -> Self {
        Self { id, serving, exchange: Rc::default(), begun: false, waited: false }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if let (true, Some(serving)) = (self.waited, &self.serving) {
            serving.forget(self.id);
        }
    }
}

impl Context for Stream {
    fn on_http_call_response(&mut self, token: u32, headers: usize, size: usize, _: usize) {
        if let Some(serving) = self.serving.clone() {
            serving.on_call_response(token, headers, size, Some(self.id));
        }
    }
}

impl HttpContext for Stream {
    fn on_http_request_headers(&mut self, _: usize, _: bool) -> Action {
        // INVARIANT: a request is decided once; nothing resumes one that was answered.
        if std::mem::replace(&mut self.begun, true) {
            return Action::Pause;
        }
        #[cfg(feature = "faults")]
        super::faults::on_request();
        let Some(serving) = &self.serving else {
            serving::answer(&Reply::refusal(Reason::NoPolicy, Challenges::default()));
            return Action::Pause;
        };
        match serving.decide(self.id, &self.exchange, Some(self.id)) {
            Decided::Forward => Action::Continue,
            Decided::Answered => Action::Pause,
            Decided::Wait => {
                self.waited = true;
                Action::Pause
            }
        }
    }

    fn on_http_response_headers(&mut self, _: usize, _: bool) -> Action {
        if let Some(serving) = &self.serving {
            for (name, value) in self.exchange.borrow().on_response(&serving.gate) {
                // An answer without one of these headers is still the right answer.
                let _ = abi::set_response_header(name, value.as_bytes());
            }
        }
        Action::Continue
    }
}
