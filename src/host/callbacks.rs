//! What Envoy calls, by the names of the proxy-wasm ABI (0.2.1), and which configuration each call is for.
//!
//! Envoy calls whatever a module exports, and each call costs a request about as much as two host calls: only what the
//! filter cannot do without is here. Of the three calls at the end of a context `proxy_on_delete` alone is: it comes
//! whatever ended it.
//!
//! An action that a call leaves behind, an answer or a request that goes on, is carried out when the call returns, also
//! between the creation of a stream and its headers; so any number of them may lie between the two.
#![expect(unsafe_code, reason = "exported by name")]

use std::{cell::RefCell, rc::Rc};

use hashbrown::HashMap;

use super::{abi::Abi, logging, memory, root, serving::Serving, stream::Stream};

/// What the callbacks for headers and trailers answer.
const CONTINUE: u32 = 0;
const PAUSE: u32 = 1;

/// What there is in this VM, which is one thread, by the ids of contexts.
struct Module {
    /// A root context for each filter and each of its configurations that still serves; `None` until it was configured.
    roots: RefCell<HashMap<u32, Option<Rc<Serving<Abi>>>>>,
    streams: RefCell<HashMap<u32, Stream<Abi>>>,
}

thread_local! {
    static MODULE: Module = Module { roots: RefCell::default(), streams: RefCell::default() };
}

impl Module {
    fn serving(&self, root: u32) -> Option<Rc<Serving<Abi>>> {
        self.roots.borrow().get(&root).cloned().flatten()
    }
}

/// Runs `with` on the stream; `None`: Envoy never created it.
fn with_stream<T>(stream: u32, with: impl FnOnce(&mut Stream<Abi>) -> T) -> Option<T> {
    MODULE.with(|module| module.streams.borrow_mut().get_mut(&stream).map(with))
}

unsafe extern "C" {
    fn __wasm_call_ctors();
}

#[unsafe(no_mangle)]
extern "C" fn proxy_abi_version_0_2_1() {}

#[unsafe(no_mangle)]
extern "C" fn _initialize() {
    // SAFETY: the host calls this once, before anything else.
    unsafe { __wasm_call_ctors() };
    logging::start();
}

/// Memory for what the host hands over.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    memory::lend(size)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: u32, root: u32) {
    MODULE.with(|module| {
        if root == 0 {
            module.roots.borrow_mut().insert(context, None);
        } else {
            let stream = Stream::new(Abi, context, module.serving(root));
            module.streams.borrow_mut().insert(context, stream);
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(context: u32) {
    MODULE.with(|module| {
        if module.streams.borrow_mut().remove(&context).is_some() {
            return;
        }
        if let Some(serving) = module.roots.borrow_mut().remove(&context).flatten() {
            serving.end();
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_root: u32, _configuration_size: usize) -> u32 {
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, _configuration_size: usize) -> u32 {
    let Some(serving) = root::configure(&Abi) else { return 0 };
    MODULE.with(|module| {
        for other in module.roots.borrow().values().flatten() {
            other.note_configured(&serving);
        }
        module.roots.borrow_mut().insert(root, Some(Rc::new(serving)));
    });
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: u32) {
    if let Some(serving) = MODULE.with(|module| module.serving(root)) {
        serving.on_tick();
    }
}

/// Envoy hands answers over to the root context, whoever sent the call.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_http_call_response(
    root: u32,
    token: u32,
    headers: usize,
    body_size: usize,
    _trailers: usize,
) {
    if let Some(serving) = MODULE.with(|module| module.serving(root)) {
        serving.on_call_response(token, headers, body_size);
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_headers(stream: u32, _headers: usize, end_of_stream: u32) -> u32 {
    #[cfg(feature = "faults")]
    super::faults::on_request();
    match with_stream(stream, |stream| stream.on_request(end_of_stream != 0)) {
        Some(true) => CONTINUE,
        Some(false) => PAUSE,
        None => {
            super::carry_out::answer_without_policy(&Abi);
            PAUSE
        }
    }
}

/// Called only for requests that have trailers.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(stream: u32, _trailers: usize) -> u32 {
    let may_go_on = with_stream(stream, |stream| stream.on_request_trailers());
    if may_go_on == Some(true) { CONTINUE } else { PAUSE }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(stream: u32, _headers: usize, _end_of_stream: u32) -> u32 {
    with_stream(stream, |stream| stream.on_response());
    CONTINUE
}
