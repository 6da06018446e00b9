//! The host calls of the request path, without the SDK's panics and copies.
//!
//! The SDK panics where the host answers an unexpected status, and a panic takes the whole VM down; here every
//! status comes back as a value. This is the only unsafe code of the project.
#![expect(unsafe_code, reason = "calls across the wasm boundary")]

use std::ptr::null_mut;

use proxy_wasm::types::LogLevel;

/// proxy-wasm's `proxy_status_t`, as far as we tell them apart.
const OK: u32 = 0;
const NOT_FOUND: u32 = 1;
const CAS_MISMATCH: u32 = 8;

const REQUEST_HEADERS: u32 = 0;
const RESPONSE_HEADERS: u32 = 2;
const CALL_RESPONSE_HEADERS: u32 = 6;
const CALL_RESPONSE_BODY: u32 = 4;

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
    fn proxy_get_log_level(level: *mut u32) -> u32;
    fn proxy_increment_metric(id: u32, by: i64) -> u32;
    fn proxy_continue_stream(stream: u32) -> u32;
}

/// Runs a call that returns bytes. `Ok(None)`: the host has none.
fn returning_bytes(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Option<Vec<u8>>, Failed> {
    let (mut data, mut size): (*mut u8, usize) = (null_mut(), 0);
    match call(&mut data, &mut size) {
        OK if data.is_null() => Ok(None),
        // SAFETY: on success the host has allocated `size` bytes through `proxy_on_memory_allocate`, which
        // makes them a `Vec<u8>` of that capacity, has filled them, and leaves them to us.
        OK => Ok(Some(unsafe { Vec::from_raw_parts(data, size, size) })),
        NOT_FOUND => Ok(None),
        _ => Err(Failed),
    }
}

fn done(status: u32) -> Result<(), Failed> {
    if status == OK { Ok(()) } else { Err(Failed) }
}

/// All request headers, serialized; see `wire::parse_pairs`.
pub(super) fn request_headers() -> Result<Vec<u8>, Failed> {
    // SAFETY: both pointers are valid for the call.
    returning_bytes(|data, size| unsafe { proxy_get_header_map_pairs(REQUEST_HEADERS, data, size) })?
        .ok_or(Failed)
}

/// All headers of the answer to a call, serialized; see `wire::parse_pairs`.
pub(super) fn call_response_headers() -> Result<Vec<u8>, Failed> {
    // SAFETY: both pointers are valid for the call.
    returning_bytes(|data, size| unsafe { proxy_get_header_map_pairs(CALL_RESPONSE_HEADERS, data, size) })?
        .ok_or(Failed)
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

/// Sets a response header; every other value of it is gone.
pub(super) fn set_response_header(name: &str, value: &[u8]) -> Result<(), Failed> {
    replace(RESPONSE_HEADERS, name, value)
}

/// Removes every value of a request header.
pub(super) fn remove_request_header(name: &[u8]) -> Result<(), Failed> {
    // SAFETY: the host reads the slice during the call only.
    done(unsafe { proxy_remove_header_map_value(REQUEST_HEADERS, name.as_ptr(), name.len()) })
}

/// A property; `path` has its parts joined by NUL. Absent, empty and unreadable are all `None`.
pub(super) fn property(path: &str) -> Option<Vec<u8>> {
    // SAFETY: the host reads the slice during the call only; both pointers are valid.
    returning_bytes(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) })
        .ok()
        .flatten()
}

/// Sets filter state that other filters see under `wasm.{name}`.
pub(super) fn set_filter_state(name: &str, value: &str) -> Result<(), Failed> {
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

/// Lets the paused request of the effective context go on, once the callback that we are in has returned.
pub(super) fn resume_request() -> Result<(), Failed> {
    const REQUEST: u32 = 0;
    // SAFETY: no memory is passed.
    done(unsafe { proxy_continue_stream(REQUEST) })
}

/// Whether the host keeps what is logged at `level`; yes, if it does not say.
pub(super) fn logs(level: LogLevel) -> bool {
    let mut least = 0;
    // SAFETY: the pointer is valid for the call.
    let status = unsafe { proxy_get_log_level(&mut least) };
    let level = match level {
        LogLevel::Trace => 0,
        LogLevel::Debug => 1,
        LogLevel::Info => 2,
        LogLevel::Warn => 3,
        LogLevel::Error => 4,
        LogLevel::Critical => 5,
    };
    status != OK || least <= level
}

/// Adds to a counter. A lost count is not worth failing a request for.
pub(super) fn increment_metric(id: u32, by: u32) {
    // SAFETY: no memory is passed.
    let _ = unsafe { proxy_increment_metric(id, i64::from(by)) };
}
