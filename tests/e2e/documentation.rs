//! The parts of an Envoy configuration that README.md and the pages in `docs` show, put together as they stand there.

use std::{fs, path::Path, time::Duration};

use crate::harness::{
    artifact, client,
    process::{Envoy, validate},
    repository,
    request::{Answer, get},
    tls::{self, IDENTITY},
};

fn read(file: &str) -> String {
    fs::read_to_string(repository().join(file)).unwrap()
}

/// The block of YAML in `page` that begins with `first`, without its indentation there, with `indent`.
fn block(page: &str, first: &str, indent: usize) -> String {
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

/// As the configurations in `envoy/` have them.
#[test]
fn the_shipped_configurations_have_the_tags_that_the_readme_shows() {
    let readme = read("README.md");
    let tags: Vec<String> = block(&readme, "stats_config:", 0)
        .lines()
        .filter(|line| line.contains("tag_name"))
        .map(|line| line.trim().to_owned())
        .collect();
    assert_eq!(tags.len(), 2);
    for file in ["envoy/minimal.yaml", "envoy/oauth2-login.yaml", "envoy/demo/envoy.yaml"] {
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
