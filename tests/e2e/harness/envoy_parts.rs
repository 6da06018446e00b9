//! The parts of an Envoy configuration that tests and benchmarks share, as JSON (which Envoy reads as readily as YAML).

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::capabilities;

pub(crate) const TYPE: &str = "type.googleapis.com/envoy.extensions";
const GOOGLE: &str = "type.googleapis.com/google.protobuf";

/// Portcullis as one filter; what is left out is what most tests want.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plugin<'a> {
    pub(crate) name: &'a str,
    /// Filters with the same share memory and state.
    pub(crate) vm_id: &'a str,
    /// The module's file.
    pub(crate) module: &'a str,
    /// Where Envoy gets the module instead of the file: cluster, URI and SHA-256 digest.
    pub(crate) remote: Option<[&'a str; 3]>,
    pub(crate) failure_policy: &'a str,
    /// `PORTCULLIS_FAULT` of the module's test build.
    pub(crate) fault: Option<&'a str>,
    /// Envoy keeps its signature check to itself.
    pub(crate) without_crypto: bool,
    /// Bodies come while their requests wait (`allow_on_headers_stop_iteration`).
    pub(crate) bodies_while_waiting: bool,
}

impl<'a> Plugin<'a> {
    pub(crate) const fn new(module: &'a str) -> Self {
        Self {
            name: "portcullis",
            vm_id: "portcullis",
            module,
            remote: None,
            failure_policy: "FAIL_CLOSED",
            fault: None,
            without_crypto: false,
            bodies_while_waiting: false,
        }
    }

    /// The `typed_config` of the filter; `configuration` holds its policy.
    pub(crate) fn typed_config(self, configuration: Value) -> Value {
        let mut vm = json!({
            "vm_id": self.vm_id,
            "runtime": "envoy.wasm.runtime.v8",
            "code": {"local": {"filename": self.module}},
        });
        if let Some([cluster, uri, sha256]) = self.remote {
            let http_uri = json!({"uri": uri, "cluster": cluster, "timeout": "10s"});
            vm["code"] = json!({"remote": {"http_uri": http_uri, "sha256": sha256}});
        }
        if let Some(fault) = self.fault {
            vm["environment_variables"] = json!({"key_values": {"PORTCULLIS_FAULT": fault}});
        }
        if self.without_crypto {
            vm["capability_restriction_config"] = capabilities::without_crypto();
        }
        json!({
            "@type": format!("{TYPE}.filters.http.wasm.v3.Wasm"),
            "config": {
                "name": self.name,
                "failure_policy": self.failure_policy,
                "allow_on_headers_stop_iteration": self.bodies_while_waiting,
                "vm_config": vm,
                "configuration": configuration,
            },
        })
    }
}

/// A policy as text, which need not even be JSON.
pub(crate) fn as_text(policy: &str) -> Value {
    json!({"@type": format!("{GOOGLE}.StringValue"), "value": policy})
}

/// A policy as Envoy's users write it in YAML.
pub(crate) fn as_struct(policy: &Value) -> Value {
    json!({"@type": format!("{GOOGLE}.Struct"), "value": policy})
}

/// The same as in every configuration in `envoy/`, where there is one mark.
pub(crate) fn interlock<S: AsRef<str>>(marks: &[S]) -> Value {
    let marked = |mark: &S| {
        let key = format!("wasm.{}", mark.as_ref());
        json!({"filter_state": {"key": key, "string_match": {"exact": "allowed"}}})
    };
    let principal = match marks {
        [mark] => marked(mark),
        marks => json!({"and_ids": {"ids": marks.iter().map(marked).collect::<Value>()}}),
    };
    let decided = json!({"permissions": [{"any": true}], "principals": [principal]});
    json!({"name": "interlock", "typed_config": {
        "@type": format!("{TYPE}.filters.http.rbac.v3.RBAC"),
        "rules": {"action": "ALLOW", "policies": {"decided": decided}},
    }})
}

pub(crate) fn router() -> Value {
    json!({
        "name": "envoy.filters.http.router",
        "typed_config": {"@type": format!("{TYPE}.filters.http.router.v3.Router")},
    })
}

/// A listener of HTTP; `connection_manager` is the `typed_config` of its only filter, but for its type.
pub(crate) fn listener(name: &str, place: SocketAddr, mut connection_manager: Value) -> Value {
    connection_manager["@type"] =
        format!("{TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager").into();
    json!({
        "name": name,
        "address": address(place),
        "filter_chains": [{"filters": [{
            "name": "envoy.filters.network.http_connection_manager",
            "typed_config": connection_manager,
        }]}],
    })
}

pub(crate) fn address(address: SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

/// A port of Envoy's own choice, on loopback.
pub(crate) fn any_port() -> SocketAddr {
    ([127, 0, 0, 1], 0).into()
}
