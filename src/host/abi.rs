//! The host calls of the proxy-wasm ABI (0.2.1), as far as the filter makes them.
//!
//! Every status comes back as a value: a panic would take the whole VM down with all its requests. Beside
//! `callbacks` and `memory` the only unsafe code of the project.
#![expect(unsafe_code, reason = "calls across the wasm boundary")]

use std::{ptr::null_mut, time::Duration};

use super::memory::{self, Block};
use crate::call::Unsent;

/// proxy-wasm's `proxy_status_t`, as far as we tell them apart.
const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const BAD_ARGUMENT: u32 = 2;
const CAS_MISMATCH: u32 = 8;
const INTERNAL_FAILURE: u32 = 10;

const REQUEST_HEADERS: u32 = 0;
const REQUEST_TRAILERS: u32 = 1;
const RESPONSE_HEADERS: u32 = 2;
const CALL_RESPONSE_HEADERS: u32 = 6;
const CALL_RESPONSE_BODY: u32 = 4;
const PLUGIN_CONFIGURATION: u32 = 7;

/// The host refused or failed a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failed;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_pairs(map: u32, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_get_buffer_bytes(
        buffer: u32,
        start: usize,
        max: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_replace_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_add_header_map_value(
        map: u32,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: u32, name: *const u8, name_size: usize) -> u32;
    fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize) -> u32;
    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
        cas: *mut u32,
    ) -> u32;
    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        cas: u32,
    ) -> u32;
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;
    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        argument: *const u8,
        argument_size: usize,
        data: *mut *mut u8,
        size: *mut usize,
    ) -> u32;
    fn proxy_http_call(
        cluster: *const u8,
        cluster_size: usize,
        headers: *const u8,
        headers_size: usize,
        body: *const u8,
        body_size: usize,
        trailers: *const u8,
        trailers_size: usize,
        timeout_milliseconds: u32,
        token: *mut u32,
    ) -> u32;
    fn proxy_log(level: u32, message: *const u8, message_size: usize) -> u32;
    fn proxy_get_log_level(level: *mut u32) -> u32;
    fn proxy_define_metric(kind: u32, name: *const u8, name_size: usize, id: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, by: i64) -> u32;
    fn proxy_record_metric(id: u32, value: u64) -> u32;
    fn proxy_get_metric(id: u32, value: *mut u64) -> u32;
    fn proxy_set_tick_period_milliseconds(period: u32) -> u32;
    fn proxy_set_effective_context(context: u32) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
    fn proxy_get_current_time_nanoseconds(nanos: *mut u64) -> u32;
}

/// Runs a call that returns bytes. `Ok(None)`: the host has none.
fn returning_bytes(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Option<Vec<u8>>, Failed> {
    let (mut data, mut size): (*mut u8, usize) = (null_mut(), 0);
    match call(&mut data, &mut size) {
        OK if data.is_null() => Ok(None),
        // SAFETY: on success the host has allocated `size` bytes through `proxy_on_memory_allocate`, has filled them,
        // and leaves them to us.
        OK => Ok(Some(unsafe { memory::taken(data, size) })),
        NOT_FOUND => Ok(None),
        _ => Err(Failed),
    }
}

fn done(status: u32) -> Result<(), Failed> {
    if status == OK { Ok(()) } else { Err(Failed) }
}

/// What the operator configured for this filter; empty for nothing.
pub(super) fn plugin_configuration() -> Result<Vec<u8>, Failed> {
    // SAFETY: both pointers are valid for the call.
    let bytes = returning_bytes(|data, size| unsafe {
        proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, 0, usize::MAX, data, size)
    });
    bytes.map(Option::unwrap_or_default)
}

/// The host's wall clock, in nanoseconds since the epoch. In Envoy a third of a microsecond cheaper than WASI's.
pub(super) fn wall_clock() -> Result<u64, Failed> {
    let mut nanos = 0;
    // SAFETY: the pointer is valid for the call.
    done(unsafe { proxy_get_current_time_nanoseconds(&mut nanos) })?;
    Ok(nanos)
}

/// All request headers, serialized; see `wire::parse_pairs`.
pub(super) fn request_headers() -> Result<Block, Failed> {
    let call = || {
        let (mut data, mut size): (*mut u8, usize) = (null_mut(), 0);
        // SAFETY: both pointers are valid for the call.
        match unsafe { proxy_get_header_map_pairs(REQUEST_HEADERS, &mut data, &mut size) } {
            OK if !data.is_null() => Ok((data, size)),
            _ => Err(Failed),
        }
    };
    // SAFETY: as in `returning_bytes`.
    unsafe { memory::in_kept(call) }
}

fn pairs(map: u32) -> Result<Vec<u8>, Failed> {
    // SAFETY: both pointers are valid for the call.
    returning_bytes(|data, size| unsafe { proxy_get_header_map_pairs(map, data, size) })?.ok_or(Failed)
}

/// All request trailers, serialized; see `wire::parse_pairs`.
pub(super) fn request_trailers() -> Result<Vec<u8>, Failed> {
    pairs(REQUEST_TRAILERS)
}

/// All headers of the answer to a call, serialized; see `wire::parse_pairs`.
pub(super) fn call_response_headers() -> Result<Vec<u8>, Failed> {
    pairs(CALL_RESPONSE_HEADERS)
}

/// The first `max` bytes of the answer to a call.
pub(super) fn call_response_body(max: usize) -> Result<Vec<u8>, Failed> {
    // SAFETY: both pointers are valid for the call.
    returning_bytes(|data, size| unsafe { proxy_get_buffer_bytes(CALL_RESPONSE_BODY, 0, max, data, size) })?
        .ok_or(Failed)
}

fn replace(map: u32, name: &str, value: &[u8]) -> Result<(), Failed> {
    // SAFETY: the host reads both slices during the call only.
    done(unsafe {
        proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

/// Sets a request header; every other value of it is gone.
pub(super) fn set_request_header(name: &str, value: &[u8]) -> Result<(), Failed> {
    replace(REQUEST_HEADERS, name, value)
}

/// Adds a request header to whatever values of it there are. Cheaper than setting it.
pub(super) fn add_request_header(name: &str, value: &[u8]) -> Result<(), Failed> {
    // SAFETY: the host reads both slices during the call only.
    done(unsafe {
        proxy_add_header_map_value(REQUEST_HEADERS, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

/// Sets a response header; every other value of it is gone.
pub(super) fn set_response_header(name: &str, value: &[u8]) -> Result<(), Failed> {
    replace(RESPONSE_HEADERS, name, value)
}

fn remove(map: u32, name: &[u8]) -> Result<(), Failed> {
    // SAFETY: the host reads the slice during the call only.
    done(unsafe { proxy_remove_header_map_value(map, name.as_ptr(), name.len()) })
}

/// Removes every value of a request header.
pub(super) fn remove_request_header(name: &[u8]) -> Result<(), Failed> {
    remove(REQUEST_HEADERS, name)
}

/// Removes every value of a request trailer.
pub(super) fn remove_request_trailer(name: &[u8]) -> Result<(), Failed> {
    remove(REQUEST_TRAILERS, name)
}

/// A property; `path` has its parts joined by NUL. Absent, empty and unreadable are all `None`.
pub(super) fn property(path: &str) -> Option<Vec<u8>> {
    // SAFETY: the host reads the slice during the call only; both pointers are valid.
    returning_bytes(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) })
        .ok()
        .flatten()
}

/// Sets filter state that other filters see under `wasm.{name}`, whatever bytes the name has.
pub(super) fn set_filter_state(name: &[u8], value: &[u8]) -> Result<(), Failed> {
    // SAFETY: the host reads both slices during the call only.
    done(unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// A value of the shared data with its version.
pub(super) fn shared_data(key: &str) -> Result<Option<(Vec<u8>, u32)>, Failed> {
    let mut cas = 0;
    // SAFETY: the host reads the slice during the call only; the pointers are valid.
    let value = returning_bytes(|data, size| unsafe {
        proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &mut cas)
    })?;
    // A key that was set to nothing has a version but no bytes.
    Ok(match (value, cas) {
        (None, 0) => None,
        (value, cas) => Some((value.unwrap_or_default(), cas)),
    })
}

/// Writes shared data. `Ok(false)`: another version is stored.
pub(super) fn set_shared_data(key: &str, value: &[u8], cas: u32) -> Result<bool, Failed> {
    // SAFETY: the host reads both slices during the call only.
    match unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) } {
        OK => Ok(true),
        CAS_MISMATCH => Ok(false),
        _ => Err(Failed),
    }
}

/// Answers the request. `headers` are serialized; see `wire::write_pairs`.
pub(super) fn send_local_response(
    status: u16,
    details: &str,
    body: &str,
    headers: &[u8],
    grpc_status: i32,
) -> Result<(), Failed> {
    // SAFETY: the host reads the slices during the call only.
    done(unsafe {
        proxy_send_local_response(
            u32::from(status),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            grpc_status,
        )
    })
}

/// Calls a function that the host offers by name. `Ok(None)`: it has no such function, or it answered nothing.
pub(super) fn call_foreign_function(name: &str, argument: &[u8]) -> Result<Option<Vec<u8>>, Failed> {
    // SAFETY: the host reads the slices during the call only; both pointers are valid.
    returning_bytes(|data, size| unsafe {
        proxy_call_foreign_function(name.as_ptr(), name.len(), argument.as_ptr(), argument.len(), data, size)
    })
}

/// Sends a request to a cluster; the answer comes by its token. `headers` are serialized; see `wire::write_pairs`.
///
/// Envoy takes less than a millisecond for no limit at all, so it is one at least.
pub(super) fn http_call(
    cluster: &str,
    headers: &[u8],
    body: &[u8],
    timeout: Duration,
) -> Result<u32, Unsent> {
    const NO_TRAILERS: [u8; 4] = [0; 4];
    let timeout = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX).max(1);
    let mut token = 0;
    // SAFETY: the host reads the slices during the call only; the pointer is valid.
    let status = unsafe {
        proxy_http_call(
            cluster.as_ptr(),
            cluster.len(),
            headers.as_ptr(),
            headers.len(),
            body.as_ptr(),
            body.len(),
            NO_TRAILERS.as_ptr(),
            NO_TRAILERS.len(),
            timeout,
            &mut token,
        )
    };
    match status {
        OK => Ok(token),
        // Nothing else is wrong with the arguments: Envoy looks for the cluster first.
        BAD_ARGUMENT => Err(Unsent::NoCluster),
        INTERNAL_FAILURE => Err(Unsent::NoHost),
        _ => Err(Unsent::Refused),
    }
}

/// Makes a stream the one that calls are about. A stream that is gone has no context.
pub(super) fn set_effective_context(stream: u32) -> Result<(), Failed> {
    // SAFETY: no memory is passed.
    done(unsafe { proxy_set_effective_context(stream) })
}

/// Lets the paused request of the effective context go on, once the callback that we are in has returned.
pub(super) fn resume_request() -> Result<(), Failed> {
    const REQUEST: u32 = 0;
    // SAFETY: no memory is passed.
    done(unsafe { proxy_continue_stream(REQUEST) })
}

/// Asks for ticks of the root context that we are called for.
pub(super) fn set_tick_period(period: Duration) -> Result<(), Failed> {
    let period = u32::try_from(period.as_millis()).unwrap_or(u32::MAX);
    // SAFETY: no memory is passed.
    done(unsafe { proxy_set_tick_period_milliseconds(period) })
}

/// How much a message matters, as the host counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
    Critical,
}

impl LogLevel {
    const fn number(self) -> u32 {
        match self {
            Self::Trace => 0,
            Self::Debug => 1,
            Self::Info => 2,
            Self::Warn => 3,
            Self::Error => 4,
            Self::Critical => 5,
        }
    }
}

/// Writes to the host's log. Nobody could be told that it failed.
pub(super) fn log(level: LogLevel, message: &str) {
    // SAFETY: the host reads the slice during the call only.
    let _ = unsafe { proxy_log(level.number(), message.as_ptr(), message.len()) };
}

/// Whether the host keeps what is logged at `level`; yes, if it does not say.
pub(super) fn logs(level: LogLevel) -> bool {
    let mut least = 0;
    // SAFETY: the pointer is valid for the call.
    let status = unsafe { proxy_get_log_level(&mut least) };
    status != OK || least <= level.number()
}

/// What a metric does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Metric {
    Counter,
    Gauge,
}

/// Defines a metric, or finds the one of this name.
pub(super) fn define_metric(kind: Metric, name: &str) -> Option<u32> {
    let kind = match kind {
        Metric::Counter => 0,
        Metric::Gauge => 1,
    };
    let mut id = 0;
    // SAFETY: the host reads the slice during the call only; the pointer is valid.
    done(unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &mut id) }).ok()?;
    Some(id)
}

/// Adds to a counter; nothing is an error to Envoy. A lost count is not worth failing for.
pub(super) fn increment_metric(id: u32, by: u32) {
    // SAFETY: no memory is passed.
    let _ = unsafe { proxy_increment_metric(id, i64::from(by)) };
}

/// Sets a gauge.
pub(super) fn record_metric(id: u32, value: u64) {
    // SAFETY: no memory is passed.
    let _ = unsafe { proxy_record_metric(id, value) };
}

/// What a metric says.
pub(super) fn metric(id: u32) -> Option<u64> {
    let mut value = 0;
    // SAFETY: the pointer is valid for the call.
    done(unsafe { proxy_get_metric(id, &mut value) }).ok()?;
    Some(value)
}
