//! What Istio makes of `envoy/istio`, as its sources say: `buildWasmConfig` in `pilot/pkg/model/extensions.go` for the
//! plugin, `pkg/wasm/convert.go` for what its agent does when the image cannot be fetched.

use serde_json::{Value, json};

use super::{
    named, objects, only,
    site::{Site, Translated, insert_before_router, listeners, managers_of},
    with_key,
};
use crate::harness::{
    artifact,
    envoy_parts::{TYPE, as_text},
    request::get,
};

/// What has become of the plugin.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Plugin {
    Loaded,
    /// The image could not be fetched: the agent puts a filter in its place that denies all.
    NotFetched,
    /// The same with `FAIL_OPEN`: one that allows all.
    NotFetchedAndOpen,
    /// There is no `WasmPlugin`, or it selects another gateway.
    Absent,
    OffForTheRoute,
}

/// `suffix` is what Istio appends to the plugin's name.
fn translate(plugin: Plugin, suffix: &str, interlock: bool) -> Translated {
    let objects = objects("istio");
    let wasm = only(&objects, "WasmPlugin");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let name =
        format!("{}.{}{suffix}", text(&wasm["metadata"]["namespace"]), text(&wasm["metadata"]["name"]));
    let rbac = format!("{TYPE}.filters.http.rbac.v3.RBAC");
    let typed_config = match plugin {
        Plugin::NotFetched => json!({"@type": rbac, "rules": {}}),
        Plugin::NotFetchedAndOpen => json!({"@type": rbac}),
        Plugin::Loaded | Plugin::OffForTheRoute | Plugin::Absent => json!({
            "@type": format!("{TYPE}.filters.http.wasm.v3.Wasm"),
            "config": {
                "name": name,
                "root_id": wasm["spec"]["pluginName"].as_str().unwrap_or_default(),
                "failure_policy": wasm["spec"]["failStrategy"],
                "configuration": as_text(&with_key(&wasm["spec"]["pluginConfig"]).to_string()),
                "vm_config": {
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": artifact("PORTCULLIS_WASM")}},
                },
            },
        }),
    };
    let extension = json!({"resources": [{
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": name,
        "typed_config": typed_config,
    }]});
    let filter = json!({"name": name, "config_discovery": {
        "config_source": {"resource_api_version": "V3", "path_config_source": {"path": "./extension.json"}},
        "type_urls": [format!("{TYPE}.filters.http.wasm.v3.Wasm"), rbac],
    }});
    let filters = if plugin == Plugin::Absent { Vec::new() } else { vec![filter] };
    let off = json!({"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true});
    let per_route = if plugin == Plugin::OffForTheRoute { json!({name: off}) } else { json!({}) };
    let mut listeners = listeners(&filters, &per_route);
    for patch in
        named(&objects, "EnvoyFilter", "portcullis-bounds")["spec"]["configPatches"].as_array().unwrap()
    {
        assert_eq!(patch["patch"]["operation"], "MERGE");
        let value = &patch["patch"]["value"];
        for listener in &mut listeners {
            match patch["applyTo"].as_str() {
                Some("LISTENER") => merge(listener, value),
                Some("NETWORK_FILTER") => {
                    managers_of(listener)
                        .into_iter()
                        .for_each(|manager| merge(manager, &value["typed_config"]));
                }
                other => panic!("{other:?}"),
            }
        }
    }
    let patch = &named(&objects, "EnvoyFilter", "portcullis-interlock")["spec"]["configPatches"][0];
    assert_eq!(patch["patch"]["operation"], "INSERT_BEFORE");
    let before = &patch["match"]["listener"]["filterChain"]["filter"]["subFilter"]["name"];
    assert_eq!(before, "envoy.filters.http.router");
    if interlock {
        listeners.iter_mut().for_each(|listener| insert_before_router(listener, &patch["patch"]["value"]));
    }
    let entry = &only(&objects, "ServiceEntry")["spec"];
    let key_cluster = format!("outbound|{}||{}", entry["ports"][0]["number"], text(&entry["hosts"][0]));
    assert_eq!(wasm["spec"]["pluginConfig"]["jwt"]["providers"][0]["jwks"]["cluster"], *key_cluster);
    Translated { listeners, key_cluster, files: vec![("extension.json", extension)] }
}

/// As messages are merged; there are no lists in what is merged here.
fn merge(into: &mut Value, value: &Value) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| merge(&mut into[name], value)),
        value => into.clone_from(value),
    }
}

/// Istio 1.30 and later appends this.
const SUFFIX: &str = "~istio-translated-wasmplugin";

#[tokio::test(flavor = "multi_thread")]
async fn istio_decides_by_the_policy_whatever_it_calls_the_plugin() {
    for suffix in ["", SUFFIX] {
        let site = Site::start(&translate(Plugin::Loaded, suffix, true)).await;
        site.decides_by_the_policy().await;
        site.wants_tls().await;
        // By Envoy, before the filter.
        for request in [get("/orders").header("x_portcullis_roles", "admin"), get("/orders%2f7")] {
            let answer = site.send("https", &request).await;
            assert_eq!((answer.status, answer.reason()), (400, None), "{answer:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn istio_refuses_everything_where_the_plugin_is_not_at_work() {
    for plugin in [Plugin::NotFetched, Plugin::NotFetchedAndOpen, Plugin::Absent, Plugin::OffForTheRoute] {
        let site = Site::start(&translate(plugin, SUFFIX, true)).await;
        site.refuses_everything(&format!("{plugin:?}")).await;
    }
}

/// All three would let everything through.
#[tokio::test(flavor = "multi_thread")]
async fn istio_without_the_interlock_is_open_where_the_plugin_is_not_at_work() {
    for plugin in [Plugin::NotFetchedAndOpen, Plugin::Absent, Plugin::OffForTheRoute] {
        Site::start(&translate(plugin, SUFFIX, false)).await.is_open(&format!("{plugin:?}")).await;
    }
}

/// The keys come over TLS, from whom the certificate names.
#[test]
fn istio_fetches_keys_over_tls() {
    let objects = objects("istio");
    let host = &only(&objects, "ServiceEntry")["spec"]["hosts"][0];
    let rule = &only(&objects, "DestinationRule")["spec"];
    let tls = &rule["trafficPolicy"]["tls"];
    assert_eq!(
        (&rule["host"], &tls["mode"], &tls["sni"], &tls["subjectAltNames"]),
        (host, &json!("SIMPLE"), host, &json!([host]))
    );
}
