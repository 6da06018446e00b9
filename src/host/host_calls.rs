//! What the filter asks of its host, as a trait: in the module the ABI answers, in tests a stand-in that can fail any call.

use std::time::Duration;

use log::Level;

use crate::{calls::Unsent, time::Timestamp};

/// The host refused or failed a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failed;

/// What a metric does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metric {
    Counter,
    Gauge,
}

/// The calls of the host. Those about a request are about the one that it is calling for, or that was made so by
/// [`Host::set_effective_context`].
pub(super) trait Host: Clone + 'static {
    /// The host's wall clock. Without self, for whoever asks for the time of a decision has a function alone.
    ///
    /// Without a clock nothing can be decided: the VM ends, as it does with the standard library, and lets nothing
    /// through.
    fn now() -> Timestamp;

    /// What the operator configured for this filter; empty for nothing.
    fn plugin_configuration(&self) -> Result<Vec<u8>, Failed>;

    /// All request headers, serialized; see `wire::parse_pairs`.
    fn request_headers(&self) -> Result<Vec<u8>, Failed>;

    /// The first `max` bytes of what has come of the request's body, while the request waits.
    fn request_body(&self, max: usize) -> Result<Vec<u8>, Failed>;

    /// All request trailers, serialized; see `wire::parse_pairs`.
    fn request_trailers(&self) -> Result<Vec<u8>, Failed>;

    /// All headers of the answer to a call, serialized; see `wire::parse_pairs`.
    fn call_response_headers(&self) -> Result<Vec<u8>, Failed>;

    /// The first `max` bytes of the answer to a call.
    fn call_response_body(&self, max: usize) -> Result<Vec<u8>, Failed>;

    /// Sets a request header; every other value of it is gone.
    fn set_request_header(&self, name: &str, value: &[u8]) -> Result<(), Failed>;

    /// Adds a request header to whatever values of it there are. Cheaper than setting it.
    fn add_request_header(&self, name: &str, value: &[u8]) -> Result<(), Failed>;

    /// Removes every value of a request header.
    fn remove_request_header(&self, name: &[u8]) -> Result<(), Failed>;

    /// Removes every value of a request trailer.
    fn remove_request_trailer(&self, name: &[u8]) -> Result<(), Failed>;

    /// Sets a response header; every other value of it is gone.
    fn set_response_header(&self, name: &str, value: &[u8]) -> Result<(), Failed>;

    /// A property; `path` has its parts joined by NUL. Absent, empty and unreadable are all `None`.
    fn property(&self, path: &str) -> Option<Vec<u8>>;

    /// Sets filter state that other filters see under `wasm.{name}`, whatever bytes the name has.
    fn set_filter_state(&self, name: &[u8], value: &[u8]) -> Result<(), Failed>;

    /// A value of the shared data with its version.
    fn shared_data(&self, key: &str) -> Result<Option<(Vec<u8>, u32)>, Failed>;

    /// Writes shared data. `Ok(false)`: another version is stored.
    fn set_shared_data(&self, key: &str, value: &[u8], cas: u32) -> Result<bool, Failed>;

    /// Answers the request. `headers` are serialized; see `wire::write_pairs`.
    fn send_local_response(
        &self,
        status: u16,
        details: &str,
        body: &str,
        headers: &[u8],
        grpc_status: i32,
    ) -> Result<(), Failed>;

    /// Calls a function that the host offers by name. `Ok(None)`: it has no such function, or it answered nothing.
    fn call_foreign_function(&self, name: &str, argument: &[u8]) -> Result<Option<Vec<u8>>, Failed>;

    /// Sends a request to a cluster; the answer comes by its token, to the context that we are called for.
    ///
    /// Envoy takes less than a millisecond for no limit at all, so it is one at least.
    fn http_call(
        &self,
        cluster: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        timeout: Duration,
    ) -> Result<u32, Unsent>;

    /// Opens a gRPC stream to a method of a server behind `cluster`, whose name is no longer than 125 bytes; what comes by
    /// it has this token.
    fn open_grpc_stream(
        &self,
        cluster: &str,
        service: &str,
        method: &str,
        metadata: &[(&str, &str)],
    ) -> Result<u32, Failed>;

    /// Sends a message by a gRPC stream.
    fn send_by_grpc_stream(&self, token: u32, message: &[u8]) -> Result<(), Failed>;

    /// Says by a gRPC stream that nothing more is sent. It is over when its server has ended it, too.
    fn close_grpc_stream(&self, token: u32);

    /// Has the host forget a gRPC stream. To be called for each that has ended, while it says so: Envoy remembers those
    /// that their server ended, and would reset them once more when their context goes.
    fn forget_grpc_stream(&self, token: u32);

    /// The first `max` bytes of the message that has come by a gRPC stream.
    fn grpc_message(&self, max: usize) -> Result<Vec<u8>, Failed>;

    /// Makes a stream the one that calls are about. A stream that is gone has no context.
    fn set_effective_context(&self, stream: u32) -> Result<(), Failed>;

    /// Lets the paused request of the effective context go on, once the callback that we are in has returned.
    fn resume_request(&self) -> Result<(), Failed>;

    /// Asks for ticks of the root context that we are called for.
    fn set_tick_period(&self, period: Duration) -> Result<(), Failed>;

    /// Whether the host keeps what is logged at `level`; yes, if it does not say.
    fn logs(&self, level: Level) -> bool;

    /// Defines a metric, or finds the one of this name.
    fn define_metric(&self, kind: Metric, name: &str) -> Option<u32>;

    /// Adds to a counter, to which nothing or less is an error, or to a gauge. A lost count is not worth failing for.
    fn increment_metric(&self, id: u32, by: i64);

    /// Sets a gauge.
    fn record_metric(&self, id: u32, value: u64);

    /// What a metric says.
    fn metric(&self, id: u32) -> Option<u64>;

    /// How much memory the module has, in pages of 64 KiB.
    fn memory_pages(&self) -> usize;
}
