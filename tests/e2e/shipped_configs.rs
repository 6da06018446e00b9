//! The configurations in `envoy/` are right: Envoy says so of each.

use std::{fs, path::Path, process::ExitStatus};

use crate::{
    browser_login, demo,
    harness::{artifact, envoy_version, process::validate, repository},
    minimal_config,
};

/// Those that are whole.
const CONFIGURATIONS: [&str; 4] = [
    "envoy/demo/envoy.yaml",
    "envoy/kubernetes/config/envoy.yaml",
    "envoy/minimal.yaml",
    "envoy/oauth2-login.yaml",
];

/// Every YAML file under `envoy/`, so that none is forgotten below.
#[test]
fn every_file_in_envoy_is_known_here() {
    let mut found = Vec::new();
    for folder in ["envoy", "envoy/demo"] {
        for entry in fs::read_dir(repository().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.is_file() {
                found.push(format!("{folder}/{}", path.file_name().unwrap().to_string_lossy()));
            }
        }
    }
    found.sort();
    let known = [
        "envoy/demo/envoy.yaml",
        "envoy/demo/filter.yaml",
        "envoy/demo/idp.mjs",
        "envoy/demo/idp.sh",
        "envoy/demo/policy.yaml",
        "envoy/demo/setup.sh",
        "envoy/demo/suite.yaml",
        "envoy/demo/upstream.mjs",
        "envoy/docker-compose.yaml",
        "envoy/minimal-filter.yaml",
        "envoy/minimal.yaml",
        "envoy/oauth2-login.yaml",
    ];
    assert_eq!(found, known, "check what is new in this file");
}

#[test]
fn every_envoy_configuration_has_the_interlock_behind_the_filter() {
    for file in CONFIGURATIONS {
        let text = fs::read_to_string(repository().join(file)).unwrap();
        let at = |needle: &str| text.find(needle).unwrap_or_else(|| panic!("{file} lacks `{needle}`"));
        let (filter, lock) = (
            at("- name: portcullis"),
            at("{filter_state: {key: wasm.portcullis, string_match: {exact: allowed}}}"),
        );
        assert!(
            filter < lock && lock < at("- name: envoy.filters.http.router"),
            "{file}: the order of filters"
        );
    }
}

/// Of listeners and their connection managers, after Envoy's guide for edges, and what is kept of the bodies of requests
/// that wait.
const LISTENER: [&str; 11] = [
    "headers_with_underscores_action: REJECT_REQUEST",
    "per_connection_buffer_limit_bytes: 32768",
    "max_concurrent_streams: 100",
    "initial_stream_window_size: 65536",
    "initial_connection_window_size: 1048576",
    "request_headers_timeout: 10s",
    "request_timeout: 30s",
    "stream_idle_timeout: 30s",
    "use_remote_address: true",
    "merge_slashes: true",
    "path_with_escaped_slashes_action: REJECT_REQUEST",
];

/// Of a whole Envoy.
const WHOLE: [&str; 8] = [
    "normalize_path: true",
    "idle_timeout: 300s",
    "tls_minimum_protocol_version: TLSv1_2",
    "envoy.resource_monitors.fixed_heap",
    "envoy.resource_monitors.global_downstream_max_connections",
    "envoy.overload_actions.shrink_heap",
    "envoy.overload_actions.stop_accepting_requests",
    "refresh_interval: 0.25s",
];

#[test]
fn every_envoy_configuration_bounds_what_clients_can_make_it_hold() {
    let holds = |file: &str, settings: &[&str]| {
        let text = fs::read_to_string(repository().join(file)).unwrap();
        for setting in settings {
            assert!(text.contains(setting), "{file} lacks `{setting}`");
        }
        text
    };
    holds("envoy/istio/bounds.yaml", &LISTENER);
    for file in CONFIGURATIONS {
        holds(file, &LISTENER);
        let text = holds(file, &WHOLE);
        // Of listeners and of clusters alike. Those for the admin interface are not for clients.
        let places = |needle: &str| text.matches(needle).count();
        let inner = places("- name: probes") + places("- name: admin");
        assert_eq!(
            places("per_connection_buffer_limit_bytes: 32768") + inner,
            places("    address: {socket_address: {") + places("    load_assignment:"),
            "{file}: a listener or a cluster without a bound"
        );
    }
}

/// Its filter is loaded by tests of its own.
#[test]
fn envoy_takes_minimal_yaml() {
    let dir = tempfile::tempdir().unwrap();
    minimal_config::lay_out_material(dir.path());
    let (status, log) = validate(dir.path(), &repository().join("envoy/minimal.yaml"));
    assert!(status.success(), "{log}");
}

/// The browser's tests run it.
#[test]
fn envoy_takes_oauth2_login_yaml() {
    hold_login(browser_login::validate_shipped());
}

/// Taken where there are browser logins, and else refused for what the Envoy lacks.
fn hold_login((status, log): (ExitStatus, String)) {
    if envoy_version::has_browser_logins() {
        assert!(status.success(), "{log}");
    } else {
        assert!(!status.success() && envoy_version::refuses_browser_logins(&log), "{log}");
    }
}

/// Rendered. Its filter is loaded by the demo's own tests.
#[test]
fn envoy_takes_the_demos_configurations() {
    let material = demo::set_up();
    fs::copy(artifact("PORTCULLIS_WASM"), material.path().join("portcullis.wasm")).unwrap();
    let (status, log) = validate(material.path(), Path::new("envoy.yaml"));
    assert!(status.success(), "{log}");
    hold_login(validate(material.path(), Path::new("login.yaml")));
}
