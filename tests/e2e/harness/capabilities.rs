//! What a module may call and be called for, in an Envoy that keeps its signature check to itself.

use serde_json::{Value, json};

/// `capability_restriction_config`: everything that the module needs but the call that verifies signatures.
pub(crate) fn without_crypto() -> Value {
    let allowed: serde_json::Map<_, _> = NEEDED.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
    json!({"allowed_capabilities": allowed})
}

const NEEDED: &[&str] = &[
    "proxy_log",
    "proxy_get_log_level",
    "proxy_get_property",
    "proxy_set_property",
    "proxy_get_buffer_bytes",
    "proxy_get_header_map_pairs",
    "proxy_replace_header_map_value",
    "proxy_add_header_map_value",
    "proxy_remove_header_map_value",
    "proxy_get_shared_data",
    "proxy_set_shared_data",
    "proxy_send_local_response",
    "proxy_continue_stream",
    "proxy_define_metric",
    "proxy_increment_metric",
    "proxy_record_metric",
    "proxy_get_metric",
    "proxy_set_effective_context",
    "proxy_set_tick_period_milliseconds",
    "proxy_http_call",
    "proxy_grpc_stream",
    "proxy_grpc_send",
    "proxy_grpc_close",
    "proxy_grpc_cancel",
    "proxy_get_current_time_nanoseconds",
    "random_get",
    "environ_get",
    "environ_sizes_get",
    "fd_write",
    "proc_exit",
    "proxy_on_memory_allocate",
    "proxy_on_context_create",
    "proxy_on_vm_start",
    "proxy_on_configure",
    "proxy_on_tick",
    "proxy_on_request_headers",
    "proxy_on_request_body",
    "proxy_on_request_trailers",
    "proxy_on_response_headers",
    "proxy_on_http_call_response",
    "proxy_on_grpc_receive",
    "proxy_on_grpc_close",
    "proxy_on_delete",
];
