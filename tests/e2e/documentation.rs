//! The parts of an Envoy configuration that README.md and the pages in `docs` show, put together as they stand there.

use std::{fs, path::Path, time::Duration};

use serde_json::{Map, Value, json};

use crate::harness::{
    artifact, client,
    gateway::{Wire, gateway},
    idp::until,
    issuer::{ISSUER_KEYS, token},
    key_server::KeyServer,
    policy::{api_key, api_key_entry, provider, rule, with_api_key, with_token},
    process::{Envoy, validate},
    repository,
    request::{Answer, get, post},
    revocations::RevocationServer,
    tls::{self, IDENTITY},
};

/// Workers look after documents, and hand on what they counted, four times a second.
const SOON: Duration = Duration::from_secs(10);

fn read(file: &str) -> String {
    fs::read_to_string(repository().join(file)).unwrap()
}

/// The block of YAML in `page` that begins with `first`, without its indentation there, with `indent`.
pub(crate) fn block(page: &str, first: &str, indent: usize) -> String {
    let blocks = page.split("```yaml\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let block = blocks.into_iter().find(|block| block.trim_start().starts_with(first));
    let block = block.unwrap_or_else(|| panic!("no block that begins with `{first}`"));
    let outer = block.len() - block.trim_start_matches(' ').len();
    let lines = block.lines().map(|line| line.get(outer..).unwrap_or_default());
    lines.map(|line| format!("{:indent$}{line}\n", "")).collect()
}

/// Everything that README.md shows, with what it leaves to the reader.
fn bootstrap(filters: &str) -> String {
    let readme = read("README.md");
    let interlock = block(&readme, "- name: interlock", 10);
    let clusters = block(&readme, "clusters:", 2);
    // Nobody is asked for keys here.
    let clusters = clusters.replace("address: idp.example.com,", "address: 127.0.0.1,");
    let stats = block(&readme, "stats_config:", 0);
    format!(
        r#"admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}}}
static_resources:
  listeners:
  - name: https
    address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}
    filter_chains:
    - transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            tls_certificates:
            - {{certificate_chain: {{filename: server.pem}}, private_key: {{filename: server-key.pem}}}}
      filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: documentation
          use_remote_address: true
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{prefix: /}}, direct_response: {{status: 200}}}}]
{filters}{interlock}          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
{clusters}{stats}"#
    )
}

fn lay_out(config: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
    put("server.pem", &IDENTITY.certificate);
    put("server-key.pem", &IDENTITY.key);
    put("idp-ca.pem", &IDENTITY.certificate);
    put("envoy.yaml", config);
    fs::copy(artifact("PORTCULLIS_WASM"), dir.path().join("portcullis.wasm")).unwrap();
    dir
}

/// With the policy in both forms, and with the one that the reference ends with.
#[tokio::test(flavor = "multi_thread")]
async fn the_parts_that_the_readme_shows_make_a_gateway() {
    let readme = read("README.md");
    let plain = block(&readme, "http_filters:", 10);
    let (before, _) = plain.split_once("                configuration:\n").expect("the policy comes last");
    let forms = [
        plain.clone(),
        format!("{before}{}", block(&readme, "configuration:", 16)),
        format!("{before}{}", block(&read("docs/policy.md"), "configuration:", 16)),
    ];
    for (form, filters) in forms.iter().enumerate() {
        let dir = lay_out(&bootstrap(filters));
        let envoy = Envoy::start(dir.path(), Path::new("envoy.yaml"), 1).await;
        let envoy = envoy.unwrap_or_else(|log| panic!("{form}: {log}"));
        let address = envoy.admin().listeners().await["https"];
        let ask = async |path: &str| -> Answer {
            let stream = client::tls(address, tls::client(&IDENTITY.certificate, "http/1.1")).await.unwrap();
            client::http1(stream, &get(path)).await.unwrap()
        };
        assert_eq!(ask("/health").await.status, 200, "{form}");
        let refused = ask("/nowhere").await;
        assert_eq!((refused.status, refused.reason().as_deref()), (403, Some("no_rule")), "{form}");
        // Counts are handed on every 250 ms.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let stats = envoy.admin().text("/stats/prometheus").await;
        for shown in [
            "portcullis_requests{decision=\"deny\",reason=\"no_rule\"} 1",
            "portcullis_requests{decision=\"allow\",reason=\"none\"} 1",
        ] {
            assert!(stats.lines().any(|line| line == shown), "{form}: no `{shown}`");
        }
        assert!(readme.contains("portcullis_requests{decision=\"deny\",reason=\"no_rule\"} 1"));
    }
}

/// Those counters that no request is counted by.
#[tokio::test(flavor = "multi_thread")]
async fn fetches_are_counted_as_the_readme_says() {
    let keys = KeyServer::start().await;
    let mut provider = provider();
    provider["jwks"] = json!({"uri": "http://keys.test/keys?v=1", "cluster": "jwks"});
    let policy = json!({
        "jwt": {"providers": [provider]},
        "rules": [rule("closed", "Exact", "/closed", with_token())],
        "defaultAction": "Deny",
    });
    let gateway = gateway(&policy).https_only().jwks(keys.address).start().await;
    let count = async |result: &str| {
        gateway.admin().stat(&format!("wasmcustom.portcullis_key_set_fetches._result={result}_")).await
    };
    until(SOON, async || count("failed").await > 0).await;
    assert_eq!(count("succeeded").await, 0);
    keys.publish(&ISSUER_KEYS.jwks());
    until(SOON, async || count("succeeded").await == 1).await;
    let (started, failed) = (count("started").await, count("failed").await);
    assert_eq!(started, failed + 1);
    assert!(gateway.admin().stat("wasmcustom.portcullis_memory_bytes").await > 0);
}

/// The tags that README.md shows, by their names.
pub(crate) fn stats_tags() -> Vec<(String, String)> {
    let shown = block(&read("README.md"), "stats_config:", 0);
    let tags = shown.lines().filter_map(|line| {
        let (name, regex) = line.trim().strip_prefix("- {tag_name: ")?.split_once(", regex: '")?;
        Some((name.to_owned(), regex.strip_suffix("'}")?.to_owned()))
    });
    tags.collect()
}

/// Each document and each issuer by itself, by the names that README.md has for them.
#[tokio::test(flavor = "multi_thread")]
async fn documents_and_issuers_are_counted_as_the_readme_says() {
    const NAME: &str = "idp.example:a/b@c_d-e";
    let (keys, lists, issuer) =
        (KeyServer::start().await, RevocationServer::start().await, KeyServer::start().await);
    let (mut fetched, mut asked) = (provider(), provider());
    fetched["name"] = NAME.into();
    fetched["jwks"] = json!({"uri": "http://keys.test/keys?v=1", "cluster": "jwks", "cacheDuration": "2s",
        "minRefetchInterval": "1s"});
    asked["name"] = "opaque".into();
    asked["issuer"] = "https://as.test".into();
    asked["introspection"] = json!({"endpoint": "https://as.test/introspect", "cluster": "as", "clientId": "a",
        "clientSecret": "b"});
    for unused in ["jwks", "algorithms"] {
        asked.as_object_mut().unwrap().remove(unused);
    }
    let policy = json!({
        "jwt": {"providers": [fetched, asked]},
        "revocation": lists.section("30s"),
        "rules": [
            rule("closed", "Exact", "/closed", json!({"authenticate": {"anyOf": [{"jwt": NAME}]}})),
            rule("opaque", "Exact", "/opaque", json!({"authenticate": {"anyOf": [{"jwt": "opaque"}]}})),
        ],
        "defaultAction": "Deny",
    });
    let gateway = gateway(&policy)
        .https_only()
        .workers(2)
        .jwks(keys.address)
        .revocations(lists.address)
        .cluster("as", issuer.address)
        .stats_tags(stats_tags())
        .start()
        .await;
    let readme = read("README.md");
    // What Prometheus is given of `what`, of which README.md says the same of the provider `login`.
    let read = async |what: &str, labels: &str| -> Option<u64> {
        let shown = labels.replace(NAME, "login").replace("opaque", "login");
        let shown = shown.replace("succeeded", "started").replace("failed", "started");
        assert!(readme.contains(&format!("`{what}{shown}`")), "{what}{shown}");
        let stats = gateway.admin().text("/stats?format=prometheus").await;
        // What has no labels is shown with an empty list of them.
        let line = if labels.is_empty() { format!("{what}{{}} ") } else { format!("{what}{labels} ") };
        stats.lines().find_map(|given| given.strip_prefix(&line)?.parse().ok())
    };
    let of = |result: &str, provider: &str| format!("{{result=\"{result}\",provider=\"{provider}\"}}");
    let key_fetches =
        async |result: &str| read("portcullis_provider_key_set_fetches", &of(result, NAME)).await;
    let calls = async |result: &str| read("portcullis_introspection_calls", &of(result, "opaque")).await;
    let list_fetches = async |result: &str| {
        read("portcullis_revocation_list_fetches", &format!("{{result=\"{result}\"}}")).await
    };
    let key_age = async || read("portcullis_key_set_age_seconds", &format!("{{provider=\"{NAME}\"}}")).await;
    let list_age = async || read("portcullis_revocation_list_age_seconds", "").await;

    // All are there from the start, and those alone that the policy asks for.
    for result in ["started", "succeeded", "failed"] {
        assert!(key_fetches(result).await.is_some() && list_fetches(result).await.is_some(), "{result}");
        assert_eq!(calls(result).await, Some(0), "{result}");
        assert_eq!(read("portcullis_provider_key_set_fetches", &of(result, "opaque")).await, None);
        assert_eq!(read("portcullis_introspection_calls", &of(result, NAME)).await, None);
    }
    // The age of keys that never came is told, too.
    until(SOON, async || key_age().await > Some(1) && key_fetches("failed").await > Some(0)).await;
    assert_eq!(key_fetches("succeeded").await, Some(0));
    keys.publish(&ISSUER_KEYS.jwks());
    until(SOON, async || key_age().await == Some(0) && key_fetches("succeeded").await > Some(0)).await;
    // They grow as long as nobody confirms what there is.
    until(SOON, async || list_fetches("succeeded").await > Some(0)).await;
    assert!(list_age().await <= Some(2), "{:?}", list_age().await);
    lists.fail();
    keys.fail();
    until(SOON, async || list_age().await > Some(3) && key_age().await > Some(3)).await;
    assert!(list_fetches("failed").await > Some(0));

    let answer = gateway.send(&get("/opaque").bearer("abc")).await;
    assert_eq!(answer.reason().as_deref(), Some("introspection_unavailable"));
    until(SOON, async || calls("failed").await == Some(1)).await;
    assert_eq!((calls("started").await, calls("succeeded").await), (Some(1), Some(0)));
    let total = gateway.admin().stat("wasmcustom.portcullis_key_set_fetches._result=failed_").await;
    assert!(total >= 1);
}

/// The record that README.md shows: its members, in their order.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_has_the_members_that_the_readme_shows() {
    let readme = read("README.md");
    let shown = readme.lines().find(|line| line.starts_with("{\"decision\":")).expect("a record");
    let shown: Map<String, Value> = serde_json::from_str(shown).unwrap();
    let mut writes = rule("write-orders", "Exact", "/orders", with_token());
    writes["rateLimits"] = json!(["writes"]);
    let policy = json!({
        "jwt": {"providers": [provider()]},
        "rateLimits": [
            {"name": "per-address", "key": ["remoteAddress"], "before": "Authentication",
             "limits": [{"requests": 100, "unit": "Second"}]},
            {"name": "writes", "key": ["principal"], "limits": [{"requests": 1, "unit": "Hour"}]},
        ],
        "rules": [writes],
        "defaultAction": "Deny",
    });
    let gateway = gateway(&policy).https_only().start().await;
    let write = post("/orders?secret=1").bearer(&token("carl").sign());
    for status in [200, 429] {
        assert_eq!(gateway.send(&write).await.status, status);
    }
    let log = gateway.log();
    let record =
        log.split("portcullis: ").filter_map(|rest| rest.lines().next()).find(|line| line.starts_with('{'));
    let record: Map<String, Value> = serde_json::from_str(record.expect("a record")).unwrap();
    assert_eq!(record.keys().collect::<Vec<_>>(), shown.keys().collect::<Vec<_>>());
    for member in ["decision", "reason", "rule", "method", "path", "principal", "kind", "limit", "address"] {
        assert_eq!(record[member], shown[member], "{member}");
    }
}

/// `%RESPONSE_CODE_DETAILS%` in the access log, which stays the filter's where the client sees less.
#[tokio::test(flavor = "multi_thread")]
async fn the_access_log_names_the_reason() {
    let policy = json!({
        "jwt": {"providers": [provider()]},
        "apiKeys": {"keys": [api_key_entry("off", json!({"disabled": true}))]},
        "rules": [
            rule("token", "Exact", "/token", with_token()),
            rule("key", "Exact", "/key", with_api_key()),
        ],
        "defaultAction": "Deny",
    });
    let format = "%RESPONSE_CODE% %RESPONSE_CODE_DETAILS%";
    let gateway = gateway(&policy).https_only().access_log(format).start().await;
    let call = post("/token").header("content-type", "application/grpc");
    let rows = [
        (Wire::Http1, get("/token"), "401 credentials_missing"),
        (Wire::Http1, get("/token").bearer(&token("alice").forged().sign()), "401 token_signature"),
        (Wire::Http1, get("/key").api_key(&api_key("off")), "401 api_key_disabled"),
        (Wire::Http1, get("/key").api_key(&api_key("none")), "401 api_key_unknown"),
        (Wire::Http1, get("/nowhere"), "403 no_rule"),
        (Wire::Http1, get("/a%2fb"), "400 ambiguous_path"),
        (Wire::Http2, call, "200 credentials_missing"),
    ];
    for (wire, request, _) in &rows {
        gateway.send_over(*wire, request).await;
    }
    let lines = gateway.access_log(rows.len()).await;
    assert_eq!(lines, rows.map(|(.., line)| line));
}

/// As the configurations in `envoy/` have them.
#[test]
fn the_shipped_configurations_have_the_tags_that_the_readme_shows() {
    let readme = read("README.md");
    let tags: Vec<String> = block(&readme, "stats_config:", 0)
        .lines()
        .filter(|line| line.contains("tag_name"))
        .map(|line| line.trim().to_owned())
        .collect();
    assert_eq!(tags.len(), 9);
    for file in [
        "envoy/minimal.yaml",
        "envoy/oauth2-login.yaml",
        "envoy/demo/envoy.yaml",
        "envoy/kubernetes/config/envoy.yaml",
    ] {
        let text = read(file);
        for tag in &tags {
            assert!(text.contains(tag), "{file}: {tag}");
        }
    }
}

/// The cluster that `docs/providers.md` begins with.
#[test]
fn envoy_takes_the_cluster_of_the_providers_page() {
    let page = read("docs/providers.md");
    let cluster = block(&page, "clusters:", 2).replace("/etc/ssl/certs/ca-certificates.crt", "idp-ca.pem");
    let dir = lay_out(&format!("static_resources:\n{cluster}"));
    let (status, log) = validate(dir.path(), Path::new("envoy.yaml"));
    assert!(status.success(), "{log}");
}
