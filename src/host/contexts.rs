//! The contexts that the SDK of proxy-wasm creates and calls for Envoy: one for each filter and each of its configurations
//! that still serves, and one for each request.
//!
//! The SDK exports every callback there is, and each that Envoy finds costs a request about as much as two host calls.
//! So the module that is shipped keeps only those of `exports.json`: of the three at the end of a context
//! `proxy_on_delete` alone, which comes whatever ended it.
//!
//! An action that a call leaves behind, an answer or a request that goes on, is carried out when the call returns, also
//! between the creation of a stream and its headers; so any number of them may lie between the two.
#![expect(unsafe_code, reason = "the module's entry, and one call of the SDK's by its exported name")]

use std::{
    cell::RefCell,
    rc::{Rc, Weak},
};

use proxy_wasm::{
    traits::{Context, HttpContext, RootContext},
    types::{Action, ContextType, LogLevel},
};

use super::{
    abi::Abi,
    root,
    serving::{Decided, Serving},
    stream::Stream,
};

proxy_wasm::main! {{
    // Its log is also where panics are told.
    proxy_wasm::set_log_level(LogLevel::Info);
    proxy_wasm::set_root_context(|id| Box::new(Root { id, serving: None }));
}}

thread_local! {
    /// The configurations that serve in this VM, which is one thread.
    static SERVING: RefCell<Vec<Weak<Serving<Abi>>>> = const { RefCell::new(Vec::new()) };
}

/// One configuration of one filter.
struct Root {
    id: u32,
    /// `None` until it was configured, and where its policy was refused.
    serving: Option<Rc<Serving<Abi>>>,
}

impl Context for Root {
    fn on_http_call_response(&mut self, token: u32, headers: usize, body_size: usize, _trailers: usize) {
        if let Some(serving) = &self.serving {
            serving.on_call_response(token, headers, body_size);
        }
    }

    fn on_grpc_stream_message(&mut self, token: u32, size: usize) {
        if let Some(serving) = &self.serving {
            serving.on_grpc_message(token, size);
        }
    }

    /// The SDK hears of streams that never were, too, and keeps that to itself.
    fn on_grpc_stream_close(&mut self, token: u32, status: u32) {
        if let Some(serving) = &self.serving {
            serving.on_grpc_close(token, status);
        }
    }
}

impl RootContext for Root {
    fn on_configure(&mut self, _configuration_size: usize) -> bool {
        let Some(serving) = root::configure(&Abi).map(Rc::new) else { return false };
        SERVING.with_borrow_mut(|all| {
            all.retain(|other| other.upgrade().inspect(|other| other.note_configured(&serving)).is_some());
            all.push(Rc::downgrade(&serving));
        });
        self.serving = Some(serving);
        true
    }

    fn on_tick(&mut self) {
        if let Some(serving) = &self.serving {
            serving.on_tick();
        }
    }

    /// Not by Envoy, for the filter has no queue: see [`send_calls`].
    fn on_queue_ready(&mut self, _queue: u32) {
        if let Some(serving) = &self.serving {
            serving.send_calls();
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, id: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Http { root: self.id, stream: Stream::new(Abi, id, self.serving.clone()) }))
    }
}

/// Hands on what is left to tell, when nothing more will come.
impl Drop for Root {
    fn drop(&mut self) {
        if let Some(serving) = &self.serving {
            serving.end();
        }
    }
}

/// One request. It ends with [`Stream`], when the SDK drops it.
struct Http {
    root: u32,
    stream: Stream<Abi>,
}

impl Http {
    fn action(&self, decided: Decided) -> Action {
        match decided {
            Decided::Forward => Action::Continue,
            Decided::Answered => Action::Pause,
            Decided::Wait => {
                send_calls(self.root);
                Action::Pause
            }
        }
    }
}

impl Context for Http {}

impl HttpContext for Http {
    fn on_http_request_headers(&mut self, _headers: usize, end_of_stream: bool) -> Action {
        #[cfg(feature = "faults")]
        super::faults::on_request();
        let decided = self.stream.on_request(end_of_stream);
        self.action(decided)
    }

    fn on_http_request_body(&mut self, size: usize, end_of_stream: bool) -> Action {
        self.action(self.stream.on_request_body(size, end_of_stream))
    }

    /// Called only for requests that have trailers.
    fn on_http_request_trailers(&mut self, _trailers: usize) -> Action {
        self.action(self.stream.on_request_trailers())
    }

    fn on_http_response_headers(&mut self, _headers: usize, _end_of_stream: bool) -> Action {
        self.stream.on_response();
        Action::Continue
    }
}

/// Has the root send the calls that requests asked for.
///
/// The SDK hands the answer to a call to the context that sent it, and drops it when that one has gone, though other
/// requests may wait for it: so none is sent by a request. One context is called from another by what the host would
/// call; the root must not be in a call of its own.
fn send_calls(root: u32) {
    unsafe extern "C" {
        fn proxy_on_queue_ready(root: u32, queue: u32);
    }
    // SAFETY: the SDK's own function of this name, which takes and passes no memory.
    unsafe { proxy_on_queue_ready(root, 0) };
}
