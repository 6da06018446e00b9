//! The host calls of the proxy-wasm ABI (0.2.1), as far as the filter makes them: by the SDK where it takes every status
//! that Envoy answers, by ourselves where it would panic, which takes the whole VM down with all its requests, or cost
//! more.
#![expect(unsafe_code, reason = "calls across the wasm boundary")]

use std::{
    ptr::null_mut,
    time::{Duration, UNIX_EPOCH},
};

use log::Level;
use proxy_wasm::{
    hostcalls,
    types::{BufferType, MapType, MetricType, Status},
};

use super::{
    host_calls::{Failed, Host, Metric},
    memory,
};
use crate::{calls::Unsent, protobuf, time::Timestamp};

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    // The SDK copies each pair, and panics at names that are not UTF-8.
    fn proxy_get_header_map_pairs(map: MapType, data: *mut *mut u8, size: *mut usize) -> u32;
    // For these three it panics when the request has ended.
    fn proxy_replace_header_map_value(
        map: MapType,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_add_header_map_value(
        map: MapType,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
    fn proxy_remove_header_map_value(map: MapType, name: *const u8, name_size: usize) -> u32;
    // It puts the path together anew for every call.
    fn proxy_get_property(path: *const u8, path_size: usize, data: *mut *mut u8, size: *mut usize) -> u32;
    // It panics when the host keeps a value from being written, and takes names that are UTF-8 alone.
    fn proxy_set_property(path: *const u8, path_size: usize, value: *const u8, value_size: usize) -> u32;
    // It has no word for the details of an answer, which access logs show.
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
    // It panics at every status but two.
    fn proxy_grpc_send(token: u32, message: *const u8, message_size: usize, end_stream: u32) -> u32;
    fn proxy_grpc_close(token: u32) -> u32;
    fn proxy_grpc_cancel(token: u32) -> u32;
    // Its type has no room for Envoy's level `off`.
    fn proxy_get_log_level(level: *mut u32) -> u32;
}

/// proxy-wasm's `proxy_status_t`, as far as we tell them apart.
const OK: u32 = 0;
const NOT_FOUND: u32 = 1;

/// Runs a call that returns bytes. `Ok(None)`: the host has none.
fn returning_bytes(call: impl FnOnce(*mut *mut u8, *mut usize) -> u32) -> Result<Option<Vec<u8>>, Failed> {
    let (mut data, mut size): (*mut u8, usize) = (null_mut(), 0);
    match call(&mut data, &mut size) {
        OK if data.is_null() => Ok(None),
        // SAFETY: on success the host has allocated `size` bytes through `proxy_on_memory_allocate`, has filled them,
        // and leaves them to us.
        OK => Ok(Some(unsafe { Vec::from_raw_parts(data, size, size) })),
        NOT_FOUND => Ok(None),
        _ => Err(Failed),
    }
}

fn done(status: u32) -> Result<(), Failed> {
    if status == OK { Ok(()) } else { Err(Failed) }
}

#[inline]
fn pairs(map: MapType) -> Result<Vec<u8>, Failed> {
    // SAFETY: both pointers are valid for the call.
    returning_bytes(|data, size| unsafe { proxy_get_header_map_pairs(map, data, size) })?.ok_or(Failed)
}

fn replace(map: MapType, name: &str, value: &[u8]) -> Result<(), Failed> {
    // SAFETY: the host reads both slices during the call only.
    done(unsafe {
        proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

fn remove(map: MapType, name: &[u8]) -> Result<(), Failed> {
    // SAFETY: the host reads the slice during the call only.
    done(unsafe { proxy_remove_header_map_value(map, name.as_ptr(), name.len()) })
}

/// The host on the other side of the ABI.
#[derive(Clone, Copy, Debug)]
pub(super) struct Abi;

impl Host for Abi {
    // A third of a microsecond cheaper in Envoy than WASI's, which the standard library asks.
    fn now() -> Timestamp {
        let since = hostcalls::get_current_time().ok().and_then(|now| now.duration_since(UNIX_EPOCH).ok());
        match since.map(|since| u64::try_from(since.as_nanos())) {
            Some(Ok(nanos)) => Timestamp::from_nanos(nanos),
            _ => std::process::abort(),
        }
    }

    fn plugin_configuration(&self) -> Result<Vec<u8>, Failed> {
        let bytes = hostcalls::get_buffer(BufferType::PluginConfiguration, 0, usize::MAX);
        bytes.map(Option::unwrap_or_default).map_err(|_| Failed)
    }

    fn request_headers(&self) -> Result<Vec<u8>, Failed> {
        memory::in_block(|| pairs(MapType::HttpRequestHeaders))
    }

    fn request_body(&self, max: usize) -> Result<Vec<u8>, Failed> {
        hostcalls::get_buffer(BufferType::HttpRequestBody, 0, max).ok().flatten().ok_or(Failed)
    }

    fn request_trailers(&self) -> Result<Vec<u8>, Failed> {
        pairs(MapType::HttpRequestTrailers)
    }

    fn call_response_headers(&self) -> Result<Vec<u8>, Failed> {
        pairs(MapType::HttpCallResponseHeaders)
    }

    fn call_response_body(&self, max: usize) -> Result<Vec<u8>, Failed> {
        hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, max).ok().flatten().ok_or(Failed)
    }

    fn set_request_header(&self, name: &str, value: &[u8]) -> Result<(), Failed> {
        replace(MapType::HttpRequestHeaders, name, value)
    }

    fn add_request_header(&self, name: &str, value: &[u8]) -> Result<(), Failed> {
        // SAFETY: the host reads both slices during the call only.
        done(unsafe {
            proxy_add_header_map_value(
                MapType::HttpRequestHeaders,
                name.as_ptr(),
                name.len(),
                value.as_ptr(),
                value.len(),
            )
        })
    }

    fn set_response_header(&self, name: &str, value: &[u8]) -> Result<(), Failed> {
        replace(MapType::HttpResponseHeaders, name, value)
    }

    fn remove_request_header(&self, name: &[u8]) -> Result<(), Failed> {
        remove(MapType::HttpRequestHeaders, name)
    }

    fn remove_request_trailer(&self, name: &[u8]) -> Result<(), Failed> {
        remove(MapType::HttpRequestTrailers, name)
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
        // A key that was set to nothing has a version but no bytes.
        Ok(match hostcalls::get_shared_data(key).map_err(|_| Failed)? {
            (None, None) => None,
            (value, cas) => Some((value.unwrap_or_default(), cas.unwrap_or_default())),
        })
    }

    fn set_shared_data(&self, key: &str, value: &[u8], cas: u32) -> Result<bool, Failed> {
        match hostcalls::set_shared_data(key, Some(value), Some(cas)) {
            Ok(()) => Ok(true),
            Err(Status::CasMismatch) => Ok(false),
            Err(_) => Err(Failed),
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
        match hostcalls::call_foreign_function(name, Some(argument)) {
            Err(Status::NotFound) => Ok(None),
            answer => answer.map_err(|_| Failed),
        }
    }

    fn http_call(
        &self,
        cluster: &str,
        headers: &[(&str, &str)],
        body: &[u8],
        timeout: Duration,
    ) -> Result<u32, Unsent> {
        let timeout = timeout.max(Duration::from_millis(1));
        let sent = hostcalls::dispatch_http_call(cluster, headers.to_vec(), Some(body), Vec::new(), timeout);
        sent.map_err(|status| match status {
            // Nothing else is wrong with the arguments: Envoy looks for the cluster first.
            Status::BadArgument => Unsent::NoCluster,
            Status::InternalFailure => Unsent::NoHost,
            _ => Unsent::Refused,
        })
    }

    fn open_grpc_stream(
        &self,
        cluster: &str,
        service: &str,
        method: &str,
        metadata: &[(&str, &str)],
    ) -> Result<u32, Failed> {
        // A name by itself is first read as a `GrpcService`; one that happens to be some ends Envoy. So it is one:
        // GrpcService { EnvoyGrpc envoy_grpc = 1 { string cluster_name = 1; } }
        let (mut envoy_grpc, mut target) = (Vec::new(), Vec::new());
        protobuf::append(1, cluster.as_bytes(), &mut envoy_grpc);
        protobuf::append(1, &envoy_grpc, &mut target);
        let target = String::from_utf8(target).map_err(|_| Failed)?;
        let metadata = metadata.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        hostcalls::open_grpc_stream(&target, service, method, metadata).map_err(|_| Failed)
    }

    fn send_by_grpc_stream(&self, token: u32, message: &[u8]) -> Result<(), Failed> {
        // SAFETY: the host reads the slice during the call only.
        done(unsafe { proxy_grpc_send(token, message.as_ptr(), message.len(), 0) })
    }

    fn close_grpc_stream(&self, token: u32) {
        // SAFETY: no memory is passed. A stream that is gone is closed.
        unsafe { proxy_grpc_close(token) };
    }

    fn forget_grpc_stream(&self, token: u32) {
        // SAFETY: no memory is passed. A stream that is gone is forgotten.
        unsafe { proxy_grpc_cancel(token) };
    }

    fn grpc_message(&self, max: usize) -> Result<Vec<u8>, Failed> {
        let message = hostcalls::get_buffer(BufferType::GrpcReceiveBuffer, 0, max);
        message.map(Option::unwrap_or_default).map_err(|_| Failed)
    }

    fn set_effective_context(&self, stream: u32) -> Result<(), Failed> {
        hostcalls::set_effective_context(stream).map_err(|_| Failed)
    }

    fn resume_request(&self) -> Result<(), Failed> {
        hostcalls::resume_http_request().map_err(|_| Failed)
    }

    fn set_tick_period(&self, period: Duration) -> Result<(), Failed> {
        hostcalls::set_tick_period(period).map_err(|_| Failed)
    }

    fn logs(&self, level: Level) -> bool {
        let number = match level {
            Level::Trace => 0,
            Level::Debug => 1,
            Level::Info => 2,
            Level::Warn => 3,
            Level::Error => 4,
        };
        let mut least = 0;
        // SAFETY: the pointer is valid for the call.
        let status = unsafe { proxy_get_log_level(&mut least) };
        status != OK || least <= number
    }

    fn define_metric(&self, kind: Metric, name: &str) -> Option<u32> {
        let kind = match kind {
            Metric::Counter => MetricType::Counter,
            Metric::Gauge => MetricType::Gauge,
        };
        hostcalls::define_metric(kind, name).ok()
    }

    fn increment_metric(&self, id: u32, by: i64) {
        let _ = hostcalls::increment_metric(id, by);
    }

    fn record_metric(&self, id: u32, value: u64) {
        let _ = hostcalls::record_metric(id, value);
    }

    fn metric(&self, id: u32) -> Option<u64> {
        hostcalls::get_metric(id).ok()
    }

    fn memory_pages(&self) -> usize {
        core::arch::wasm32::memory_size(0)
    }
}
