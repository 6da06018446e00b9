//! Envoy's configuration for a test, as JSON (which Envoy reads as readily as YAML).

use std::net::SocketAddr;

use serde_json::{Value, json};

use super::{
    envoy_parts::{self as parts, Plugin, TYPE, address},
    envoy_version,
};

/// How the policy reaches the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As text, in a `StringValue`.
    Json,
    /// As Envoy's users write it in YAML: a `Struct`.
    Struct,
}

/// What stands in `failure_policy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailurePolicy {
    Closed,
    Open,
    Reload,
}

impl FailurePolicy {
    pub(crate) const ALL: [Self; 3] = [Self::Closed, Self::Open, Self::Reload];

    const fn name(self) -> &'static str {
        match self {
            Self::Closed => "FAIL_CLOSED",
            Self::Open => "FAIL_OPEN",
            Self::Reload => "FAIL_RELOAD",
        }
    }
}

/// What differs between tests.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The filter's name in its own configuration; Envoy's chain calls it `portcullis` in any case.
    pub(crate) name: String,
    /// The marks that the interlock asks for.
    pub(crate) marks: Vec<String>,
    /// A second filter behind the first, by its name, with its policy. It is off for paths that begin with `/off`.
    pub(crate) behind: Option<(String, String)>,
    /// The policy as written; text need not even be JSON.
    pub(crate) policy: String,
    /// What the listener `http` has instead, in a filter of the same name; `None`: the same policy.
    pub(crate) plain_policy: Option<String>,
    pub(crate) form: Form,
    pub(crate) failure_policy: FailurePolicy,
    /// The module's file.
    pub(crate) wasm: String,
    /// Where Envoy gets the module instead of the file, over the cluster `registry`: URI and SHA-256 digest.
    pub(crate) remote: Option<[String; 2]>,
    /// `PORTCULLIS_FAULT` of the module's test build.
    pub(crate) fault: Option<String>,
    /// Envoy keeps its signature check to itself.
    pub(crate) without_crypto: bool,
    /// Bodies come while their requests wait.
    pub(crate) bodies_while_waiting: bool,
    /// Envoy's own normalization of paths.
    pub(crate) normalize: bool,
    /// What becomes of `%2F` before any filter sees it.
    pub(crate) escaped_slashes: &'static str,
    /// The filter comes from the watched file `filter.json` instead of standing in the configuration.
    pub(crate) watched: bool,
    /// The one listener comes, with the filter in it, from the watched file `listeners.json`, and has this port.
    pub(crate) lds_port: Option<u16>,
    /// The filter is switched off for every route, as a mistake would.
    pub(crate) disabled_by_route: bool,
    /// There is no listener for plain HTTP.
    pub(crate) https_only: bool,
    /// Envoy's `xff_num_trusted_hops`.
    pub(crate) trusted_hops: u32,
    /// Where the cluster `jwks` is.
    pub(crate) jwks: Option<SocketAddr>,
    /// The cluster `jwks` speaks TLS.
    pub(crate) secure_jwks: bool,
    /// Where the cluster `revocations` is.
    pub(crate) revocations: Option<SocketAddr>,
    /// Further clusters, by name.
    pub(crate) clusters: Vec<(String, SocketAddr)>,
    /// Clusters of several hosts, each with what else is said of it.
    pub(crate) balanced_clusters: Vec<(String, Vec<SocketAddr>, Value)>,
    /// One more, which speaks HTTP/2.
    pub(crate) grpc_cluster: Option<(String, SocketAddr)>,
    /// That cluster speaks TLS, and shows the certificate if there is one.
    pub(crate) secure_cluster: Option<(String, bool)>,
    /// What the listener `https` asks clients for.
    pub(crate) client_certificates: ClientCertificates,
    /// Envoy appends what it knows of its client to `x-forwarded-client-cert`, instead of removing that.
    pub(crate) appends_client_cert: bool,
    /// What a line of `access.log` says of each request, as Envoy's format; `None`: there is no such log.
    pub(crate) access_log: Option<&'static str>,
    /// Connections may become WebSockets.
    pub(crate) upgrades: bool,
    /// The upstream speaks HTTP/2.
    pub(crate) http2_upstream: bool,
    /// Where Envoy's filter for CORS stands, which lets [`ORIGIN`] read; `None`: nowhere.
    pub(crate) cors: Option<Cors>,
    /// Envoy answers by itself what takes longer.
    pub(crate) request_timeout: &'static str,
    /// Envoy follows redirects itself.
    pub(crate) redirects: bool,
    /// Hosts with an upstream of their own.
    pub(crate) hosts: Vec<(&'static str, SocketAddr)>,
    /// Names and regular expressions of labels that Envoy takes out of the names of stats.
    pub(crate) stats_tags: Vec<(String, String)>,
}

/// Where Envoy's filter for CORS stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cors {
    InFront,
    Behind,
}

/// Whose scripts may read answers, where there is a filter for CORS.
pub(crate) const ORIGIN: &str = "https://app.example";

/// What a listener asks clients for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ClientCertificates {
    Ignored,
    /// Verified where one is shown.
    Optional,
    Required,
}

/// The whole of `envoy.json`.
pub(crate) fn bootstrap(options: &Options, upstream: SocketAddr) -> Value {
    let mut clusters = vec![cluster("upstream", upstream)];
    clusters.extend(options.hosts.iter().map(|(host, address)| cluster(host, *address)));
    let http2 = |cluster: &mut Value| cluster["typed_extension_protocol_options"] = http2_upstream();
    if options.http2_upstream {
        clusters.iter_mut().for_each(http2);
    }
    clusters.extend(options.jwks.map(|address| {
        let mut cluster = cluster("jwks", address);
        if options.secure_jwks {
            cluster["transport_socket"] = upstream_tls("server.pem");
        }
        cluster
    }));
    clusters.extend(options.revocations.map(|address| cluster("revocations", address)));
    clusters.extend(options.clusters.iter().map(|(name, address)| cluster(name, *address)));
    clusters.extend(options.balanced_clusters.iter().map(|(name, addresses, more)| {
        let mut cluster = balanced_cluster(name, addresses);
        cluster.as_object_mut().expect("an object").extend(more.as_object().cloned().expect("an object"));
        cluster
    }));
    clusters.extend(options.grpc_cluster.iter().map(|(name, address)| {
        let mut cluster = cluster(name, *address);
        http2(&mut cluster);
        cluster
    }));
    if let Some((name, shows_certificate)) = &options.secure_cluster {
        let mut transport = upstream_tls("clients-ca.pem");
        if *shows_certificate {
            transport["typed_config"]["common_tls_context"]["tls_certificates"] = json!([{
                "certificate_chain": {"filename": "shown.pem"}, "private_key": {"filename": "shown-key.pem"},
            }]);
        }
        let secured = clusters.iter_mut().filter(|cluster| cluster["name"] == name.as_str());
        secured.for_each(|cluster| cluster["transport_socket"] = transport.clone());
    }
    let (own, discovered) = match options.lds_port {
        None => (listeners(options), json!({})),
        Some(_) => (
            Vec::new(),
            json!({"lds_config": {
                "resource_api_version": "V3",
                "path_config_source": {"path": "listeners.json", "watched_directory": {"path": "."}},
            }}),
        ),
    };
    let tag = |(name, regex): &(String, String)| json!({"tag_name": name, "regex": regex});
    json!({
        "node": {"id": "test", "cluster": "test"},
        "stats_config": {"stats_tags": options.stats_tags.iter().map(tag).collect::<Vec<_>>()},
        "admin": {"address": address(parts::any_port())},
        "dynamic_resources": discovered,
        "static_resources": {
            "listeners": own,
            "clusters": clusters,
        },
    })
}

/// The whole of `listeners.json`.
pub(crate) fn watched_listeners(options: &Options) -> Value {
    let resources = listeners(options).into_iter().map(|mut listener| {
        listener["@type"] = "type.googleapis.com/envoy.config.listener.v3.Listener".into();
        listener
    });
    json!({"resources": resources.collect::<Value>()})
}

fn listeners(options: &Options) -> Vec<Value> {
    let mut tls = json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": format!("{TYPE}.transport_sockets.tls.v3.DownstreamTlsContext"),
            "common_tls_context": {
                "alpn_protocols": ["h2", "http/1.1"],
                "tls_certificates": [{
                    "certificate_chain": {"filename": "server.pem"},
                    "private_key": {"filename": "server-key.pem"},
                }],
            },
        },
    });
    if options.client_certificates != ClientCertificates::Ignored {
        let context = &mut tls["typed_config"];
        context["require_client_certificate"] =
            (options.client_certificates == ClientCertificates::Required).into();
        context["common_tls_context"]["validation_context"] =
            json!({"trusted_ca": {"filename": "clients-ca.pem"}});
    }
    let mut listeners = vec![listener("https", options, Some(tls))];
    match &options.plain_policy {
        _ if options.https_only => {}
        None => listeners.push(listener("http", options, None)),
        Some(policy) => {
            let plain = Options { policy: policy.clone(), watched: false, ..options.clone() };
            listeners.push(listener("http", &plain, None));
        }
    }
    listeners
}

fn listener(name: &str, options: &Options, transport: Option<Value>) -> Value {
    let place = ([127, 0, 0, 1], options.lds_port.unwrap_or(0)).into();
    let mut listener = parts::listener(name, place, connection_manager(options));
    if let Some(transport) = transport {
        listener["filter_chains"][0]["transport_socket"] = transport;
    }
    // With few connections the kernel's choice of worker is lopsided.
    listener["connection_balance_config"] = json!({"exact_balance": {}});
    listener
}

/// A filter is off for a route.
fn off() -> Value {
    json!({"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true})
}

/// Everything under `domain` goes to `cluster`.
fn virtual_host(options: &Options, domain: &str, cluster: &str) -> Value {
    let mut route = json!({"match": {"prefix": "/"}, "route": {"cluster": cluster}});
    if options.redirects {
        route["route"]["internal_redirect_policy"] = json!({"redirect_response_codes": [302]});
    }
    if options.disabled_by_route {
        route["typed_per_filter_config"] = json!({"portcullis": off()});
    }
    let off_behind = options.behind.as_ref().map(|_| {
        let mut off_behind = route.clone();
        off_behind["match"] = json!({"prefix": "/off"});
        off_behind["typed_per_filter_config"]["behind"] = off();
        off_behind
    });
    let routes: Vec<Value> = off_behind.into_iter().chain([route]).collect();
    let mut host = json!({"name": cluster, "domains": [domain], "routes": routes});
    if options.cors.is_some() {
        host["typed_per_filter_config"] = json!({"envoy.filters.http.cors": {
            "@type": format!("{TYPE}.filters.http.cors.v3.CorsPolicy"),
            "allow_origin_string_match": [{"exact": ORIGIN}],
        }});
    }
    host
}

fn connection_manager(options: &Options) -> Value {
    let mut hosts = vec![virtual_host(options, "*", "upstream")];
    hosts.extend(options.hosts.iter().map(|(host, _)| virtual_host(options, host, host)));
    let filter = if options.watched {
        json!({"name": "portcullis", "config_discovery": {
            "config_source": {
                "resource_api_version": "V3",
                "path_config_source": {"path": "filter.json", "watched_directory": {"path": "."}},
            },
            "type_urls": [format!("{TYPE}.filters.http.wasm.v3.Wasm")],
        }})
    } else {
        json!({"name": "portcullis", "typed_config": wasm(options)})
    };
    let behind = options.behind.as_ref().map(|(name, policy)| {
        let options = Options { name: name.clone(), policy: policy.clone(), ..options.clone() };
        json!({"name": "behind", "typed_config": wasm(&options)})
    });
    let cors = |place| {
        let filter = json!({
            "name": "envoy.filters.http.cors",
            "typed_config": {"@type": format!("{TYPE}.filters.http.cors.v3.Cors")},
        });
        (options.cors == Some(place)).then_some(filter)
    };
    let filters: Vec<Value> =
        [cors(Cors::InFront), Some(filter), behind, Some(parts::interlock(&options.marks))]
            .into_iter()
            .chain([cors(Cors::Behind), Some(parts::router())])
            .flatten()
            .collect();
    json!({
        "stat_prefix": "test",
        "use_remote_address": true,
        "xff_num_trusted_hops": options.trusted_hops,
        "forward_client_cert_details": if options.appends_client_cert { "APPEND_FORWARD" } else { "SANITIZE" },
        "set_current_client_cert_details": {"subject": true, "uri": true},
        "normalize_path": options.normalize,
        "merge_slashes": options.normalize,
        "path_with_escaped_slashes_action": options.escaped_slashes,
        "stream_idle_timeout": "20s",
        "request_timeout": options.request_timeout,
        "access_log": options.access_log.map(access_log).into_iter().collect::<Value>(),
        "upgrade_configs": if options.upgrades { json!([{"upgrade_type": "websocket"}]) } else { json!([]) },
        "route_config": {"name": "test", "virtual_hosts": hosts},
        "http_filters": filters,
    })
}

fn access_log(format: &str) -> Value {
    json!({"name": "envoy.access_loggers.file", "typed_config": {
        "@type": format!("{TYPE}.access_loggers.file.v3.FileAccessLog"),
        "path": "access.log",
        "log_format": {"text_format_source": {"inline_string": format!("{format}\n")}},
    }})
}

fn http2_upstream() -> Value {
    http2_options(json!({}))
}

/// `typed_extension_protocol_options` of a cluster that speaks HTTP/2.
pub(crate) fn http2_options(options: Value) -> Value {
    json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": format!("{TYPE}.upstreams.http.v3.HttpProtocolOptions"),
        "explicit_http_config": {"http2_protocol_options": options},
    }})
}

fn wasm(options: &Options) -> Value {
    let configuration = match options.form {
        Form::Json => parts::as_text(&options.policy),
        Form::Struct => {
            parts::as_struct(&serde_json::from_str(&options.policy).expect("a Struct is made from JSON"))
        }
    };
    let plugin = Plugin {
        name: &options.name,
        remote: options.remote.as_ref().map(|[uri, sha256]| ["registry", uri, sha256]),
        failure_policy: options.failure_policy.name(),
        fault: options.fault.as_deref(),
        without_crypto: options.without_crypto,
        bodies_while_waiting: options.bodies_while_waiting,
        ..Plugin::new(&options.wasm)
    };
    let mut filter = plugin.typed_config(configuration);
    if options.without_crypto && !envoy_version::restricts_whole_vms() {
        const RESTRICTION: &str = "capability_restriction_config";
        let vm = filter["config"]["vm_config"].as_object_mut().unwrap();
        filter["config"][RESTRICTION] = vm.remove(RESTRICTION).unwrap();
    }
    filter
}

/// The whole of `filter.json`.
pub(crate) fn watched_filter(options: &Options) -> Value {
    json!({"resources": [{
        "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
        "name": "portcullis",
        "typed_config": wasm(options),
    }]})
}

fn cluster(name: &str, endpoint: SocketAddr) -> Value {
    balanced_cluster(name, &[endpoint])
}

fn balanced_cluster(name: &str, endpoints: &[SocketAddr]) -> Value {
    let hosts = endpoints.iter().map(|endpoint| json!({"endpoint": {"address": address(*endpoint)}}));
    json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": hosts.collect::<Value>()}]},
    })
}

/// To `localhost`, if an authority in that file says so.
pub(crate) fn upstream_tls(authorities: &str) -> Value {
    let context = json!({
        "trusted_ca": {"filename": authorities},
        "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "localhost"}}],
    });
    json!({"name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": format!("{TYPE}.transport_sockets.tls.v3.UpstreamTlsContext"),
        "sni": "localhost",
        "common_tls_context": {"validation_context": context},
    }})
}
