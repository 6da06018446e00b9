//! A host that stands in for Envoy: it does what it is asked, writes down what became of requests, and fails one call on demand.

use std::{
    cell::{Cell, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use super::super::{
    host_calls::{Failed, Host, Metric},
    wire,
};
use crate::{
    calls::Unsent,
    store::{Expected, MemoryStore, SharedStore as _, StoreError},
    time::Timestamp,
};

thread_local! {
    static NOW: Cell<u64> = const { Cell::new(1_800_000_000) };
}

/// Lets time pass, for this thread.
pub(super) fn later(secs: u64) {
    NOW.set(NOW.get() + secs);
}

/// What the host did to a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// A header or trailer was changed.
    Changed(String),
    /// The mark was set.
    Marked,
    /// Filter state was set for the access log: its name and value.
    Told(String),
    Answered(u16, String),
    Resumed,
    /// A header of the answer was set.
    OnAnswer(String),
}

/// Clones are the same host.
#[derive(Clone)]
pub(super) struct StandIn(Rc<State>);

struct State {
    policy: String,
    calls: Cell<usize>,
    /// The call that fails, counted from the last [`StandIn::fail`]; the first is 1.
    failing: Cell<Option<usize>>,
    failed: RefCell<Option<String>>,
    request: RefCell<Vec<(String, String)>>,
    properties: RefCell<BTreeMap<&'static str, String>>,
    received: Cell<Option<u64>>,
    shared: MemoryStore,
    stream: Cell<u32>,
    gone: RefCell<BTreeSet<u32>>,
    sent: Cell<u32>,
    counted: Cell<u32>,
    recorded: Cell<u32>,
    /// By their names; the id of each is its place, from 1.
    metrics: RefCell<Vec<(String, u64)>>,
    answer: RefCell<String>,
    /// Of each request.
    bodies: RefCell<BTreeMap<u32, Vec<u8>>>,
    done: RefCell<Vec<(u32, Done)>>,
}

impl StandIn {
    pub(super) fn new(policy: String) -> Self {
        let properties = [("connection\0tls_version", "TLSv1.3"), ("source\0address", "192.0.2.1:49896")];
        Self(Rc::new(State {
            policy,
            calls: Cell::default(),
            failing: Cell::default(),
            failed: RefCell::default(),
            request: RefCell::default(),
            properties: RefCell::new(properties.map(|(path, value)| (path, value.to_owned())).into()),
            received: Cell::default(),
            shared: MemoryStore::default(),
            stream: Cell::default(),
            gone: RefCell::default(),
            sent: Cell::default(),
            counted: Cell::default(),
            recorded: Cell::default(),
            metrics: RefCell::default(),
            answer: RefCell::default(),
            bodies: RefCell::default(),
            done: RefCell::default(),
        }))
    }

    /// The `n`th call from now fails; `None`: none does.
    pub(super) fn fail(&self, n: Option<usize>) {
        self.0.calls.set(0);
        self.0.failing.set(n);
    }

    /// What failed; `None`: there were fewer calls.
    pub(super) fn failed(&self) -> Option<String> {
        self.0.failed.borrow().clone()
    }

    /// What comes next is about `stream`, which has these headers or trailers.
    pub(super) fn hand_over(&self, stream: u32, pairs: &[(&str, &str)]) {
        self.0.stream.set(stream);
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        *self.0.request.borrow_mut() = pairs.collect();
    }

    /// What comes next is about `stream`, of whose body so much has come.
    pub(super) fn hand_over_body(&self, stream: u32, body: &[u8]) {
        self.0.stream.set(stream);
        self.0.bodies.borrow_mut().insert(stream, body.to_vec());
    }

    /// So many bytes have come of every request, with its head.
    pub(super) fn receive(&self, bytes: u64) {
        self.0.received.set(Some(bytes));
    }

    /// From now on all that clients have is this address.
    pub(super) fn client(&self, address: &str) {
        self.0.properties.borrow_mut().insert("source\0address", format!("{address}:49896"));
    }

    /// What the next answers to calls say.
    pub(super) fn server_says(&self, body: &str) {
        body.clone_into(&mut self.0.answer.borrow_mut());
    }

    pub(super) fn body_size(&self) -> usize {
        self.0.answer.borrow().len()
    }

    /// The token of the last call that was sent; zero before the first.
    pub(super) fn sent(&self) -> u32 {
        self.0.sent.get()
    }

    pub(super) fn end(&self, stream: u32) {
        self.0.gone.borrow_mut().insert(stream);
    }

    /// How many calls there were since the last [`StandIn::fail`].
    pub(super) fn calls(&self) -> usize {
        self.0.calls.get()
    }

    /// What all counters come to.
    pub(super) fn counted(&self) -> u32 {
        self.0.counted.get()
    }

    /// How often a gauge was set.
    pub(super) fn recorded(&self) -> u32 {
        self.0.recorded.get()
    }

    /// What a metric says; `None`: it was not defined.
    pub(super) fn stat(&self, name: &str) -> Option<u64> {
        let metrics = self.0.metrics.borrow();
        metrics.iter().find(|(other, _)| other == name).map(|(_, value)| *value)
    }

    fn change_metric(&self, id: u32, change: impl FnOnce(u64) -> u64) {
        let place = usize::try_from(id).unwrap() - 1;
        let value = &mut self.0.metrics.borrow_mut()[place].1;
        *value = change(*value);
    }

    /// What was done to `stream`, in order.
    pub(super) fn done(&self, stream: u32) -> Vec<Done> {
        let done = self.0.done.borrow();
        done.iter().filter(|(other, _)| *other == stream).map(|(_, done)| done.clone()).collect()
    }

    fn attempt(&self, what: &str) -> Result<(), Failed> {
        let call = self.0.calls.get() + 1;
        self.0.calls.set(call);
        if self.0.failing.get() != Some(call) {
            return Ok(());
        }
        *self.0.failed.borrow_mut() = Some(what.to_owned());
        Err(Failed)
    }

    fn act(&self, what: &str, done: impl FnOnce() -> Done) -> Result<(), Failed> {
        self.attempt(what)?;
        self.0.done.borrow_mut().push((self.0.stream.get(), done()));
        Ok(())
    }

    fn change(&self, how: &str, name: &[u8], value: &[u8]) -> Result<(), Failed> {
        let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        let change = format!("{how} {name} {value}").trim_end().to_owned();
        self.act(&change, || Done::Changed(change.clone()))
    }

    fn pairs(&self) -> Vec<u8> {
        let request = self.0.request.borrow();
        wire::write_pairs(request.iter().map(|(name, value)| (name.as_str(), value.as_str()))).unwrap()
    }
}

impl Host for StandIn {
    fn now() -> Timestamp {
        Timestamp::from_secs(NOW.get())
    }

    fn plugin_configuration(&self) -> Result<Vec<u8>, Failed> {
        self.attempt("plugin_configuration").map(|()| self.0.policy.clone().into())
    }

    fn request_headers(&self) -> Result<Vec<u8>, Failed> {
        self.attempt("request_headers").map(|()| self.pairs())
    }

    fn request_body(&self, max: usize) -> Result<Vec<u8>, Failed> {
        self.attempt("request_body")?;
        let bodies = self.0.bodies.borrow();
        let body = bodies.get(&self.0.stream.get()).ok_or(Failed)?;
        Ok(body.iter().take(max).copied().collect())
    }

    fn request_trailers(&self) -> Result<Vec<u8>, Failed> {
        self.attempt("request_trailers").map(|()| self.pairs())
    }

    fn call_response_headers(&self) -> Result<Vec<u8>, Failed> {
        self.attempt("call_response_headers")?;
        Ok(wire::write_pairs([(":status", "200")].into_iter()).unwrap())
    }

    fn call_response_body(&self, max: usize) -> Result<Vec<u8>, Failed> {
        self.attempt("call_response_body")?;
        Ok(self.0.answer.borrow().bytes().take(max).collect())
    }

    fn set_request_header(&self, name: &str, value: &[u8]) -> Result<(), Failed> {
        self.change("set", name.as_bytes(), value)
    }

    fn add_request_header(&self, name: &str, value: &[u8]) -> Result<(), Failed> {
        self.change("add", name.as_bytes(), value)
    }

    fn remove_request_header(&self, name: &[u8]) -> Result<(), Failed> {
        self.change("remove", name, b"")
    }

    fn remove_request_trailer(&self, name: &[u8]) -> Result<(), Failed> {
        self.change("remove trailer", name, b"")
    }

    fn set_response_header(&self, name: &str, value: &[u8]) -> Result<(), Failed> {
        let header = format!("{name}: {}", String::from_utf8_lossy(value));
        self.act("set_response_header", || Done::OnAnswer(header))
    }

    fn property(&self, path: &str) -> Option<Vec<u8>> {
        self.attempt(&format!("property {}", path.replace('\0', "."))).ok()?;
        if path == "request\0total_size" {
            return self.0.received.get().map(|bytes| bytes.to_le_bytes().into());
        }
        Some(self.0.properties.borrow().get(path)?.clone().into())
    }

    fn set_filter_state(&self, name: &[u8], value: &[u8]) -> Result<(), Failed> {
        let [name, value] = [name, value].map(String::from_utf8_lossy);
        let is_mark = !name.contains('.');
        let told = || if is_mark { Done::Marked } else { Done::Told(format!("{name} {value}")) };
        self.act(&format!("set_filter_state {name}"), told)
    }

    fn shared_data(&self, key: &str) -> Result<Option<(Vec<u8>, u32)>, Failed> {
        self.attempt(&format!("shared_data {key}"))?;
        let stored = self.0.shared.get(key).map_err(|_| Failed)?;
        Ok(stored.map(|stored| (stored.value, stored.version)))
    }

    fn set_shared_data(&self, key: &str, value: &[u8], cas: u32) -> Result<bool, Failed> {
        self.attempt(&format!("set_shared_data {key}"))?;
        let expected = if cas == u32::MAX { Expected::Absent } else { Expected::Version(cas) };
        match self.0.shared.replace(key, value, expected) {
            Ok(()) => Ok(true),
            Err(StoreError::Conflict) => Ok(false),
            Err(StoreError::Unavailable) => Err(Failed),
        }
    }

    fn send_local_response(
        &self,
        status: u16,
        details: &str,
        _: &str,
        _: &[u8],
        _: i32,
    ) -> Result<(), Failed> {
        self.act("send_local_response", || Done::Answered(status, details.to_owned()))
    }

    fn call_foreign_function(&self, _: &str, _: &[u8]) -> Result<Option<Vec<u8>>, Failed> {
        self.attempt("call_foreign_function").map(|()| None)
    }

    fn http_call(&self, _: &str, _: &[(&str, &str)], _: &[u8], _: Duration) -> Result<u32, Unsent> {
        self.attempt("http_call").map_err(|Failed| Unsent::NoHost)?;
        self.0.sent.set(self.0.sent.get() + 1);
        Ok(self.0.sent.get())
    }

    fn open_grpc_stream(&self, _: &str, _: &str, _: &str, _: &[(&str, &str)]) -> Result<u32, Failed> {
        self.attempt("open_grpc_stream")?;
        self.0.sent.set(self.0.sent.get() + 1);
        Ok(self.0.sent.get())
    }

    fn send_by_grpc_stream(&self, _: u32, _: &[u8]) -> Result<(), Failed> {
        self.attempt("send_by_grpc_stream")
    }

    fn close_grpc_stream(&self, _: u32) {
        let _ = self.attempt("close_grpc_stream");
    }

    fn forget_grpc_stream(&self, _: u32) {
        let _ = self.attempt("forget_grpc_stream");
    }

    fn grpc_message(&self, max: usize) -> Result<Vec<u8>, Failed> {
        self.attempt("grpc_message")?;
        Ok(self.0.answer.borrow().bytes().take(max).collect())
    }

    fn set_effective_context(&self, stream: u32) -> Result<(), Failed> {
        self.attempt("set_effective_context")?;
        if self.0.gone.borrow().contains(&stream) {
            return Err(Failed);
        }
        self.0.stream.set(stream);
        Ok(())
    }

    fn resume_request(&self) -> Result<(), Failed> {
        self.act("resume_request", || Done::Resumed)
    }

    fn set_tick_period(&self, _: Duration) -> Result<(), Failed> {
        self.attempt("set_tick_period")
    }

    fn logs(&self, _: log::Level) -> bool {
        self.attempt("logs").is_err()
    }

    fn define_metric(&self, _: Metric, name: &str) -> Option<u32> {
        self.attempt("define_metric").ok()?;
        let mut metrics = self.0.metrics.borrow_mut();
        let place = metrics.iter().position(|(other, _)| other == name).unwrap_or_else(|| {
            metrics.push((name.to_owned(), 0));
            metrics.len() - 1
        });
        Some(u32::try_from(place + 1).unwrap())
    }

    fn increment_metric(&self, id: u32, by: i64) {
        if self.attempt("increment_metric").is_ok() {
            self.0.counted.set(self.0.counted.get() + u32::try_from(by.max(0)).unwrap());
            self.change_metric(id, |value| value.checked_add_signed(by).unwrap());
        }
    }

    fn record_metric(&self, id: u32, value: u64) {
        if self.attempt("record_metric").is_ok() {
            self.0.recorded.set(self.0.recorded.get() + 1);
            self.change_metric(id, |_| value);
        }
    }

    fn metric(&self, id: u32) -> Option<u64> {
        self.attempt("metric").ok()?;
        let place = usize::try_from(id).unwrap() - 1;
        self.0.metrics.borrow().get(place).map(|(_, value)| *value)
    }

    fn memory_pages(&self) -> usize {
        1
    }
}
