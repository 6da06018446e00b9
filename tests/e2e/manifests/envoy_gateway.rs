//! What Envoy Gateway makes of `envoy/envoy-gateway`, as its sources say: `internal/xds/translator/wasm.go` for the
//! filter, `internal/gatewayapi/envoyextensionpolicy.go` for an image that cannot be fetched, and
//! `internal/utils/jsonpatch` for patches.

use serde_json::{Value, json};

use super::{
    objects, only,
    site::{Site, Translated, insert_before_router, listeners},
    with_key,
};
use crate::harness::{
    artifact,
    envoy_parts::{TYPE, as_text},
};

/// What has become of the filter.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Filter {
    Loaded,
    /// The image could not be fetched: each route answers 500 by itself.
    NotFetched,
    /// There is no policy, or it is void as a whole.
    Absent,
    /// It is off in the connection manager, and a route has to enable it.
    NotEnabled,
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn translate(filter: Filter, interlock: bool) -> Translated {
    let objects = objects("envoy-gateway");
    let extension = only(&objects, "EnvoyExtensionPolicy");
    let (namespace, name) = (text(&extension["metadata"]["namespace"]), text(&extension["metadata"]["name"]));
    let wasm = &extension["spec"]["wasm"][0];
    let id = format!("envoyextensionpolicy/{namespace}/{name}/wasm/0");
    let filter_name = format!("envoy.filters.http.wasm/{id}");
    let loaded = json!({"name": filter_name, "disabled": true, "typed_config": {
        "@type": format!("{TYPE}.filters.http.wasm.v3.Wasm"),
        "config": {
            "name": wasm["name"],
            "root_id": wasm["rootID"].as_str().unwrap_or_default(),
            "fail_open": wasm["failOpen"],
            "configuration": as_text(&with_key(&wasm["config"]).to_string()),
            "vm_config": {
                "vm_id": id,
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": artifact("PORTCULLIS_WASM")}},
            },
        },
    }});
    let filters = match filter {
        Filter::Loaded | Filter::NotEnabled => vec![loaded],
        Filter::NotFetched | Filter::Absent => Vec::new(),
    };
    let on = json!({"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "config": {}});
    let per_route = if filter == Filter::Loaded { json!({filter_name: on}) } else { json!({}) };
    let mut listeners = listeners(&filters, &per_route);
    if filter == Filter::NotFetched {
        listeners.iter_mut().for_each(answer_500);
    }
    if interlock {
        let gateway = text(&only(&objects, "Gateway")["metadata"]["name"]);
        let patches = only(&objects, "EnvoyPatchPolicy")["spec"]["jsonPatches"].as_array().unwrap();
        for listener in &mut listeners {
            let name = format!("{namespace}/{gateway}/{}", text(&listener["name"]));
            let operation = &patches.iter().find(|patch| patch["name"] == *name).unwrap()["operation"];
            assert_eq!(operation["op"], "add");
            assert_eq!(operation["jsonPath"], "..http_filters[?(@.name=='envoy.filters.http.router')]");
            insert_before_router(listener, &operation["value"]);
        }
    }
    let mut routes = objects.iter().filter(|object| object["kind"] == "HTTPRoute");
    let route =
        routes.find(|route| route["spec"]["rules"][0]["backendRefs"][0]["kind"] == "Backend").unwrap();
    let key_cluster = format!("httproute/{namespace}/{}/rule/0", text(&route["metadata"]["name"]));
    assert_eq!(wasm["config"]["jwt"]["providers"][0]["jwks"]["cluster"], *key_cluster);
    Translated { listeners, key_cluster, files: Vec::new() }
}

/// Instead of forwarding.
fn answer_500(listener: &mut Value) {
    let chain = if listener["filter_chains"].is_null() {
        &mut listener["default_filter_chain"]
    } else {
        &mut listener["filter_chains"][0]
    };
    let route = &mut chain["filters"][0]["typed_config"]["route_config"]["virtual_hosts"][0]["routes"][0];
    route.as_object_mut().unwrap().remove("route");
    route["direct_response"] = json!({"status": 500});
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_gateway_decides_by_the_policy() {
    let site = Site::start(&translate(Filter::Loaded, true)).await;
    site.decides_by_the_policy().await;
    site.wants_tls().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_gateway_refuses_everything_where_the_filter_is_not_at_work() {
    for filter in [Filter::NotFetched, Filter::Absent, Filter::NotEnabled] {
        let site = Site::start(&translate(filter, true)).await;
        site.refuses_everything(&format!("{filter:?}")).await;
    }
}

/// Both would let everything through.
#[tokio::test(flavor = "multi_thread")]
async fn envoy_gateway_without_the_interlock_is_open_where_the_filter_is_not_at_work() {
    for filter in [Filter::Absent, Filter::NotEnabled] {
        Site::start(&translate(filter, false)).await.is_open(&format!("{filter:?}")).await;
    }
}

/// Each listener of the gateway has its patch, and the keys come over TLS from whom the certificate names.
#[test]
fn envoy_gateway_has_a_patch_for_each_listener_and_fetches_keys_over_tls() {
    let objects = objects("envoy-gateway");
    let gateway = only(&objects, "Gateway");
    let patches = only(&objects, "EnvoyPatchPolicy")["spec"]["jsonPatches"].as_array().unwrap();
    let patched: Vec<&str> = patches.iter().map(|patch| text(&patch["name"])).collect();
    let (namespace, name) = (text(&gateway["metadata"]["namespace"]), text(&gateway["metadata"]["name"]));
    let listeners = gateway["spec"]["listeners"].as_array().unwrap().iter();
    let listeners: Vec<String> =
        listeners.map(|listener| format!("{namespace}/{name}/{}", text(&listener["name"]))).collect();
    assert_eq!(patched, listeners);
    let idp = &only(&objects, "Backend")["spec"];
    assert_eq!(idp["endpoints"][0]["fqdn"]["hostname"], idp["tls"]["sni"]);
    assert_eq!(idp["tls"]["wellKnownCACertificates"], "System");
    assert_eq!(idp["tls"]["insecureSkipVerify"], Value::Null);
}
