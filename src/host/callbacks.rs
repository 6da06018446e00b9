//! What Envoy calls, by the names of the proxy-wasm ABI (0.2.1), and which configuration each call is for.
//!
//! Envoy calls whatever a module exports, and each call costs a request about as much as three host calls: only
//! what the filter has a use for is here.
#![expect(unsafe_code, reason = "exported by name")]

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use super::{logging, root, serving::Serving};
use crate::problem::{Challenges, Reason, Reply};

/// What `proxy_on_request_headers` and `proxy_on_response_headers` answer.
const CONTINUE: u32 = 0;
const PAUSE: u32 = 1;

/// A configuration that Envoy knows by the id of its context; `None` until it was configured.
type Root = (u32, Option<Rc<Serving>>);

/// What there is in this VM, which is one thread: a root context for each filter and each of its configurations
/// that still serves.
struct Module {
    roots: RefCell<Vec<Root>>,
    /// The stream that was created last, and its root. Envoy creates one right before it hands over its request.
    created: Cell<Option<(u32, u32)>>,
}

thread_local! {
    static MODULE: Module = const { Module { roots: RefCell::new(Vec::new()), created: Cell::new(None) } };
}

impl Module {
    fn serving(&self, root: u32) -> Option<Rc<Serving>> {
        self.roots.borrow().iter().find(|(id, _)| *id == root).and_then(|(_, serving)| serving.clone())
    }

    /// Runs `with` on every configuration until one has an answer.
    fn first<T>(&self, with: impl FnMut(&Rc<Serving>) -> Option<T>) -> Option<T> {
        self.roots.borrow().iter().filter_map(|(_, serving)| serving.as_ref()).find_map(with)
    }
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

/// Memory for what the host hands over; `abi` makes it a `Vec` again.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    let mut bytes = std::mem::ManuallyDrop::new(Vec::<u8>::with_capacity(size));
    bytes.as_mut_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: u32, root: u32) {
    MODULE.with(|module| match root {
        0 => module.roots.borrow_mut().push((context, None)),
        _ => module.created.set(Some((context, root))),
    });
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_vm_start(_root: u32, _configuration_size: usize) -> u32 {
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_configure(root: u32, _configuration_size: usize) -> u32 {
    let Some(serving) = root::configure() else { return 0 };
    MODULE.with(|module| {
        if let Some((_, place)) = module.roots.borrow_mut().iter_mut().find(|(id, _)| *id == root) {
            *place = Some(Rc::new(serving));
        }
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
extern "C" fn proxy_on_request_headers(stream: u32, _headers: usize, _end_of_stream: u32) -> u32 {
    #[cfg(feature = "faults")]
    super::faults::on_request();
    // INVARIANT: taken, so that a request is begun once: nothing lets go on what was answered.
    let created = MODULE.with(|module| module.created.take()).filter(|(created, _)| *created == stream);
    match created.and_then(|(_, root)| MODULE.with(|module| module.serving(root))) {
        Some(serving) if serving.on_request(stream) => CONTINUE,
        Some(_) => PAUSE,
        None => {
            super::serving::answer(&Reply::refusal(Reason::NoPolicy, Challenges::default()));
            PAUSE
        }
    }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(stream: u32, _headers: usize, _end_of_stream: u32) -> u32 {
    MODULE.with(|module| module.first(|serving| serving.on_response(stream).then_some(())));
    CONTINUE
}

/// A stream, or a root whose streams are all gone.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_delete(context: u32) {
    MODULE.with(|module| {
        if module.first(|serving| serving.forget(context).then_some(())).is_none() {
            module.roots.borrow_mut().retain(|(root, serving)| {
                if let (true, Some(serving)) = (*root == context, serving) {
                    serving.stats.flush();
                }
                *root != context
            });
        }
    });
}
