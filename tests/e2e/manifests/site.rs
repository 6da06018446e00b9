//! An Envoy as a control plane would configure it: a listener with TLS and one without, everything to one upstream,
//! and a cluster with the issuer's keys.

use std::{fs, net::SocketAddr, path::Path};

use http_body_util::Full;
use hyper::{Response, body::Bytes};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::KEY;
use crate::harness::{
    client::{self, Plain},
    envoy_parts::{TYPE, address, any_port, listener, router},
    issuer::{ISSUER_KEYS, Token, token},
    process::Envoy,
    request::{Answer, Request, get, request},
    serving::Serving,
    tls::{self, IDENTITY},
    upstream::Upstream,
};

/// What a control plane makes of manifests.
pub(super) struct Translated {
    /// `https`, whose connection manager stands in `filter_chains`, and `http`, where it stands in
    /// `default_filter_chain`.
    pub(super) listeners: [Value; 2],
    /// What the cluster with the issuer's keys is called.
    pub(super) key_cluster: String,
    /// What Envoy is to find beside its configuration, by name.
    pub(super) files: Vec<(&'static str, Value)>,
}

pub(super) struct Site {
    // Ended before all else is gone.
    envoy: Envoy,
    upstream: Upstream,
    _keys: Keys,
    // Where Envoy was started, unless somebody else keeps it.
    _dir: Option<TempDir>,
}

/// The issuer, who answers every request with its keys.
pub(super) struct Keys(Serving);

impl Keys {
    pub(super) async fn start() -> Self {
        let keys = async |_| Response::new(Full::new(Bytes::from(ISSUER_KEYS.jwks().to_string())));
        Self(Serving::start(keys).await)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.0.address
    }
}

/// Both listeners, before anything is patched into them. `per_route` is what the route has to say to filters.
pub(super) fn listeners(filters: &[Value], per_route: &Value) -> [Value; 2] {
    ["https", "http"].map(|name| {
        let route = json!({"match": {"prefix": "/"}, "route": {"cluster": "upstream"},
                           "typed_per_filter_config": per_route});
        let filters: Vec<Value> = filters.iter().cloned().chain([router()]).collect();
        let manager = json!({
            "stat_prefix": name,
            "use_remote_address": true,
            "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
            "http_filters": filters,
        });
        let mut listener = listener(name, any_port(), manager);
        if name == "https" {
            let certificate = json!({"certificate_chain": {"filename": "server.pem"},
                                     "private_key": {"filename": "server-key.pem"}});
            listener["filter_chains"][0]["transport_socket"] =
                json!({"name": "envoy.transport_sockets.tls", "typed_config": {
                    "@type": format!("{TYPE}.transport_sockets.tls.v3.DownstreamTlsContext"),
                    "common_tls_context": {"tls_certificates": [certificate]},
                }});
        } else {
            listener["default_filter_chain"] = listener["filter_chains"][0].take();
            listener.as_object_mut().unwrap().remove("filter_chains");
        }
        listener
    })
}

/// Each connection manager of a listener, wherever it stands.
pub(super) fn managers_of(listener: &mut Value) -> Vec<&mut Value> {
    let listener = listener.as_object_mut().unwrap();
    let chains = listener.iter_mut().flat_map(|(name, value)| match name.as_str() {
        "filter_chains" => value.as_array_mut().unwrap().iter_mut().collect(),
        "default_filter_chain" => vec![value],
        _ => Vec::new(),
    });
    chains.map(|chain| &mut chain["filters"][0]["typed_config"]).collect()
}

/// Puts `filter` before the router of every connection manager.
pub(super) fn insert_before_router(listener: &mut Value, filter: &Value) {
    for manager in managers_of(listener) {
        let filters = manager["http_filters"].as_array_mut().unwrap();
        let router = filters.iter().position(|filter| filter["name"] == "envoy.filters.http.router").unwrap();
        filters.insert(router, filter.clone());
    }
}

impl Site {
    pub(super) async fn start(translated: &Translated) -> Self {
        let upstream = Upstream::start().await;
        let keys = Keys::start().await;
        let cluster = |name: &str, place| {
            json!({"name": name, "type": "STATIC", "load_assignment": {"cluster_name": name,
                   "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address(place)}}]}]}})
        };
        let config = json!({
            "node": {"id": "test", "cluster": "test"},
            "admin": {"address": address(any_port())},
            "static_resources": {
                "listeners": translated.listeners,
                "clusters": [cluster("upstream", upstream.address), cluster(&translated.key_cluster, keys.address())],
            },
        });
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("server.pem", &IDENTITY.certificate);
        write("server-key.pem", &IDENTITY.key);
        write("envoy.json", &config.to_string());
        translated.files.iter().for_each(|(name, value)| write(name, &value.to_string()));
        let envoy = Envoy::start(dir.path(), Path::new("envoy.json"), 1).await;
        let envoy = envoy.unwrap_or_else(|log| panic!("{log}"));
        Self { envoy, upstream, _keys: keys, _dir: Some(dir) }
    }

    pub(super) fn of(envoy: Envoy, upstream: Upstream, keys: Keys) -> Self {
        Self { envoy, upstream, _keys: keys, _dir: None }
    }

    pub(super) fn log(&self) -> String {
        self.envoy.log()
    }

    /// To a listener; all but `https` have no TLS.
    pub(super) async fn send(&self, wire: &str, request: &Request) -> Answer {
        let place = self.envoy.admin().listeners().await[wire];
        if wire != "https" {
            return Plain::new(place).send(request).await.unwrap();
        }
        let stream = client::tls(place, tls::client(&IDENTITY.certificate, "http/1.1")).await.unwrap();
        client::http1(stream, request).await.unwrap()
    }

    /// The recipes' policy is in force: each request beside the nearest that goes the other way.
    pub(super) async fn decides_by_the_policy(&self) {
        let (viewer, editor) = (
            by_the_recipe("vera").roles_in_realm(&["viewer"]),
            by_the_recipe("ed").roles_in_realm(&["editor"]),
        );
        let post = |token: &Token| request("POST", "/orders").bearer(&token.sign());
        let read = |token: &Token| get("/orders/7").bearer(&token.sign());
        let reports = get("/reports/march");
        let table = [
            ("no token", get("/orders/7"), 401),
            ("a good token", read(&viewer), 200),
            ("a forged one", read(&viewer.clone().forged()), 401),
            ("one for somebody else", read(&viewer.clone().claim("aud", "https://other.example.com")), 401),
            ("the wrong role", post(&viewer), 403),
            ("the right one", post(&editor), 200),
            ("no key", reports.clone(), 401),
            ("an API key", reports.clone().api_key(KEY), 200),
            ("no such key", reports.api_key(&KEY.replace('0', "1")), 401),
            ("no such rule", get("/").bearer(&viewer.sign()), 403),
        ];
        for (what, request, status) in table {
            let reached = self.upstream.count();
            let answer = self.send("https", &request).await;
            assert_eq!(answer.status, status, "{what}: {answer:?}");
            assert_eq!(answer.reason().is_some(), status != 200, "{what}: {answer:?}");
            assert_eq!(self.upstream.count() - reached, usize::from(status == 200), "{what}");
        }
    }

    /// As policies have it by default.
    pub(super) async fn wants_tls(&self) {
        let token = by_the_recipe("vera").roles_in_realm(&["viewer"]).sign();
        let plain = self.send("http", &get("/orders/7").bearer(&token)).await;
        assert_eq!((plain.status, plain.reason().as_deref()), (403, Some("tls_required")), "{plain:?}");
    }

    /// Nothing passes, and the answer is not the filter's.
    pub(super) async fn refuses_everything(&self, what: &str) {
        let token = by_the_recipe("ed").roles_in_realm(&["editor"]).sign();
        for wire in ["https", "http"] {
            for request in [get("/"), get("/orders/7").bearer(&token), get("/reports/march").api_key(KEY)] {
                let answer = self.send(wire, &request).await;
                assert_eq!((answer.status, answer.reason()), (403, None), "{what}, {wire}: {answer:?}");
            }
        }
        assert_eq!(self.upstream.count(), 0, "{what}");
    }

    /// What the interlock is there against.
    pub(super) async fn is_open(&self, what: &str) {
        for wire in ["https", "http"] {
            assert_eq!(self.send(wire, &get("/orders/7")).await.status, 200, "{what}, {wire}");
        }
    }
}

/// A token of the issuer that the recipes name.
fn by_the_recipe(subject: &str) -> Token {
    token(subject).claim("iss", "https://idp.example.com").claim("aud", "https://api.example.com/orders")
}

trait RolesInRealm {
    /// Where the recipes look for roles.
    fn roles_in_realm(self, roles: &[&str]) -> Self;
}

impl RolesInRealm for Token {
    fn roles_in_realm(self, roles: &[&str]) -> Self {
        self.claim("realm_access", json!({"roles": roles}))
    }
}
