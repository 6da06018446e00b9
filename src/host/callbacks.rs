//! What Envoy calls, by the names of the proxy-wasm ABI (0.2.1), and which configuration each call is for.
//!
//! Envoy calls whatever a module exports, and each call costs a request about as much as two host calls: only what the
//! filter cannot do without is here. The end of a context is no part of that. What is left of streams and of
//! configurations that are gone is looked for on ticks.
#![expect(unsafe_code, reason = "exported by name")]

use std::{
    cell::{Cell, RefCell},
    rc::Rc,
};

use super::{abi::Abi, logging, memory, root, serving::Serving, trailers};

/// What the callbacks for headers and trailers answer.
const CONTINUE: u32 = 0;
const PAUSE: u32 = 1;

/// How many ticks of another root context one may lack, for each that there is, before it is taken for gone. All have
/// the same period and share a thread, so one that is there has as many as any other.
const SILENT_TICKS: usize = 40;

/// A configuration that Envoy knows by the id of its context.
struct Root {
    id: u32,
    /// `None` until it was configured.
    serving: Option<Rc<Serving<Abi>>>,
    /// Ticks of others since its own.
    silent: usize,
}

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
    fn serving(&self, id: u32) -> Option<Rc<Serving<Abi>>> {
        self.roots.borrow().iter().find(|root| root.id == id).and_then(|root| root.serving.clone())
    }

    fn servings(&self) -> Vec<Rc<Serving<Abi>>> {
        self.roots.borrow().iter().filter_map(|root| root.serving.clone()).collect()
    }

    /// A root context that is gone ticks no more: Envoy deletes it when its last stream has ended.
    fn note_tick(&self, id: u32) {
        let mut roots = self.roots.borrow_mut();
        let most = roots.len().saturating_mul(SILENT_TICKS);
        for root in roots.iter_mut() {
            root.silent = if root.id == id { 0 } else { root.silent.saturating_add(1) };
        }
        for gone in roots.extract_if(.., |root| root.silent > most) {
            if let Some(serving) = gone.serving {
                serving.end();
            }
        }
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

/// Memory for what the host hands over.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_memory_allocate(size: usize) -> *mut u8 {
    memory::lend(size)
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_context_create(context: u32, root: u32) {
    MODULE.with(|module| match root {
        0 => module.roots.borrow_mut().push(Root { id: context, serving: None, silent: 0 }),
        _ => module.created.set(Some((context, root))),
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
        for other in module.roots.borrow().iter().filter_map(|root| root.serving.as_ref()) {
            other.note_configured(&serving);
        }
        if let Some(root) = module.roots.borrow_mut().iter_mut().find(|other| other.id == root) {
            root.serving = Some(Rc::new(serving));
        }
    });
    1
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_tick(root: u32) {
    MODULE.with(|module| module.note_tick(root));
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
    // INVARIANT: taken, so that a request is begun once: nothing lets go on what was answered.
    let created = MODULE.with(|module| module.created.take()).filter(|(created, _)| *created == stream);
    match created.and_then(|(_, root)| MODULE.with(|module| module.serving(root))) {
        Some(serving) if serving.on_request(stream, end_of_stream != 0) => CONTINUE,
        Some(_) => PAUSE,
        None => {
            super::serving::answer_without_policy(&Abi);
            PAUSE
        }
    }
}

/// Called only for requests that have trailers.
#[unsafe(no_mangle)]
extern "C" fn proxy_on_request_trailers(stream: u32, _trailers: usize) -> u32 {
    let servings = MODULE.with(|module| module.servings());
    if trailers::on_request_trailers(&Abi, stream, &servings) { CONTINUE } else { PAUSE }
}

#[unsafe(no_mangle)]
extern "C" fn proxy_on_response_headers(stream: u32, _headers: usize, _end_of_stream: u32) -> u32 {
    MODULE.with(|module| {
        let roots = module.roots.borrow();
        let _ =
            roots.iter().filter_map(|root| root.serving.as_ref()).any(|serving| serving.on_response(stream));
    });
    CONTINUE
}
