//! The host calls of the proxy-wasm ABI (0.2.1), as far as the filter makes them.
//!
//! Every status comes back as a value: a panic would take the whole VM down with all its requests. Beside
//! `callbacks` and `memory` the only unsafe code of the project.
#![expect(unsafe_code, reason = "calls across the wasm boundary")]

use std::{ptr::null_mut, time::Duration};

use log::Level;

use super::{
    host_calls::{Failed, Host, Metric},
    memory::{self, Block},
};
use crate::{calls::Unsent, time::Timestamp};

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

fn pairs(map: u32) -> Result<Vec<u8>, Failed> {
    // SAFETY: both pointers are valid for the call.
    returning_bytes(|data, size| unsafe { proxy_get_header_map_pairs(map, data, size) })?.ok_or(Failed)
}

fn replace(map: u32, name: &str, value: &[u8]) -> Result<(), Failed> {
    // SAFETY: the host reads both slices during the call only.
    done(unsafe {
        proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

fn remove(map: u32, name: &[u8]) -> Result<(), Failed> {
    // SAFETY: the host reads the slice during the call only.
    done(unsafe { proxy_remove_header_map_value(map, name.as_ptr(), name.len()) })
}

const fn number(level: Level) -> u32 {
    match level {
        Level::Trace => 0,
        Level::Debug => 1,
        Level::Info => 2,
        Level::Warn => 3,
        Level::Error => 4,
    }
}

/// Writes to the host's log; without a level, that the VM is about to end. Nobody could be told that it failed.
pub(super) fn log(level: Option<Level>, message: &str) {
    const CRITICAL: u32 = 5;
    // SAFETY: the host reads the slice during the call only.
    let _ = unsafe { proxy_log(level.map_or(CRITICAL, number), message.as_ptr(), message.len()) };
}

/// The host on the other side of the ABI.
#[derive(Clone, Copy, Debug)]
pub(super) struct Abi;

impl Host for Abi {
    type Head = Block;

    // A third of a microsecond cheaper in Envoy than WASI's, which the standard library asks.
    fn now() -> Timestamp {
        let mut nanos = 0;
        // SAFETY: the pointer is valid for the call.
        match done(unsafe { proxy_get_current_time_nanoseconds(&mut nanos) }) {
            Ok(()) => Timestamp::from_nanos(nanos),
            Err(Failed) => std::process::abort(),
        }
    }

    fn plugin_configuration(&self) -> Result<Vec<u8>, Failed> {
        // SAFETY: both pointers are valid for the call.
        let bytes = returning_bytes(|data, size| unsafe {
            proxy_get_buffer_bytes(PLUGIN_CONFIGURATION, 0, usize::MAX, data, size)
        });
        bytes.map(Option::unwrap_or_default)
    }

    fn request_headers(&self) -> Result<Block, Failed> {
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

    fn request_trailers(&self) -> Result<Vec<u8>, Failed> {
        pairs(REQUEST_TRAILERS)
    }

    fn call_response_headers(&self) -> Result<Vec<u8>, Failed> {
        pairs(CALL_RESPONSE_HEADERS)
    }

    fn call_response_body(&self, max: usize) -> Result<Vec<u8>, Failed> {
        // SAFETY: both pointers are valid for the call.
        returning_bytes(|data, size| unsafe {
            proxy_get_buffer_bytes(CALL_RESPONSE_BODY, 0, max, data, size)
        })?
        .ok_or(Failed)
    }

    fn set_request_header(&self, name: &str, value: &[u8]) -> Result<(), Failed> {
        replace(REQUEST_HEADERS, name, value)
    }

    fn add_request_header(&self, name: &str, value: &[u8]) -> Result<(), Failed> {
        // SAFETY: the host reads both slices during the call only.
        done(unsafe {
            proxy_add_header_map_value(
                REQUEST_HEADERS,
                name.as_ptr(),
                name.len(),
                value.as_ptr(),
                value.len(),
            )
        })
    }

    fn set_response_header(&self, name: &str, value: &[u8]) -> Result<(), Failed> {
        replace(RESPONSE_HEADERS, name, value)
    }

    fn remove_request_header(&self, name: &[u8]) -> Result<(), Failed> {
        remove(REQUEST_HEADERS, name)
    }

    fn remove_request_trailer(&self, name: &[u8]) -> Result<(), Failed> {
        remove(REQUEST_TRAILERS, name)
    }

    fn property(&self, path: &str) -> Option<Vec<u8>> {
        // SAFETY: the host reads the slice during the call only; both pointers are valid.
        returning_bytes(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) })
            .ok()
            .flatten()
    }

    fn set_filter_state(&self, name: &[u8], value: &[u8]) -> Result<(), Failed> {
        // SAFETY: the host reads both slices during the call only.
        done(unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
    }

    fn shared_data(&self, key: &str) -> Result<Option<(Vec<u8>, u32)>, Failed> {
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

    fn set_shared_data(&self, key: &str, value: &[u8], cas: u32) -> Result<bool, Failed> {
        // SAFETY: the host reads both slices during the call only.
        match unsafe { proxy_set_shared_data(key.as_ptr(), key.len(), value.as_ptr(), value.len(), cas) } {
            OK => Ok(true),
            CAS_MISMATCH => Ok(false),
            _ => Err(Failed),
        }
    }

    fn send_local_response(
        &self,
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

    fn call_foreign_function(&self, name: &str, argument: &[u8]) -> Result<Option<Vec<u8>>, Failed> {
        // SAFETY: the host reads the slices during the call only; both pointers are valid.
        returning_bytes(|data, size| unsafe {
            proxy_call_foreign_function(
                name.as_ptr(),
                name.len(),
                argument.as_ptr(),
                argument.len(),
                data,
                size,
            )
        })
    }

    fn http_call(
        &self,
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

    fn set_effective_context(&self, stream: u32) -> Result<(), Failed> {
        // SAFETY: no memory is passed.
        done(unsafe { proxy_set_effective_context(stream) })
    }

    fn resume_request(&self) -> Result<(), Failed> {
        const REQUEST: u32 = 0;
        // SAFETY: no memory is passed.
        done(unsafe { proxy_continue_stream(REQUEST) })
    }

    fn set_tick_period(&self, period: Duration) -> Result<(), Failed> {
        let period = u32::try_from(period.as_millis()).unwrap_or(u32::MAX);
        // SAFETY: no memory is passed.
        done(unsafe { proxy_set_tick_period_milliseconds(period) })
    }

    fn logs(&self, level: Level) -> bool {
        let mut least = 0;
        // SAFETY: the pointer is valid for the call.
        let status = unsafe { proxy_get_log_level(&mut least) };
        status != OK || least <= number(level)
    }

    fn define_metric(&self, kind: Metric, name: &str) -> Option<u32> {
        let kind = match kind {
            Metric::Counter => 0,
            Metric::Gauge => 1,
        };
        let mut id = 0;
        // SAFETY: the host reads the slice during the call only; the pointer is valid.
        done(unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &mut id) }).ok()?;
        Some(id)
    }

    fn increment_metric(&self, id: u32, by: u32) {
        // SAFETY: no memory is passed.
        let _ = unsafe { proxy_increment_metric(id, i64::from(by)) };
    }

    fn record_metric(&self, id: u32, value: u64) {
        // SAFETY: no memory is passed.
        let _ = unsafe { proxy_record_metric(id, value) };
    }

    fn metric(&self, id: u32) -> Option<u64> {
        let mut value = 0;
        // SAFETY: the pointer is valid for the call.
        done(unsafe { proxy_get_metric(id, &mut value) }).ok()?;
        Some(value)
    }

    fn memory_pages(&self) -> usize {
        core::arch::wasm32::memory_size(0)
    }
}
