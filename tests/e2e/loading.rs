//! docs/envoy.md: the steps from nothing, and Envoy's own ways to the module. ECDS from a file is every test's of
//! `minimal.yaml`.

use std::{fs, path::Path, process::Command, time::Duration};

use http_body_util::Full;
use hyper::{Response, body::Bytes};
use sha2::{Digest as _, Sha256};

use crate::{
    documentation::block,
    harness::{
        artifact, gateway::Wire, process::Envoy, repository, request::get, serving::Serving, table::Door as _,
    },
    minimal_config::{Minimal, filter},
};

fn page() -> String {
    fs::read_to_string(repository().join("docs/envoy.md")).unwrap()
}

/// The commands of the page's first block, all but the last of which are run here as they are.
#[tokio::test(flavor = "multi_thread")]
async fn the_steps_from_nothing_lead_to_a_gateway() {
    let home = tempfile::tempdir().unwrap();
    let link = |target: &Path, name: &str| {
        let link = home.path().join(name);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, link).unwrap();
    };
    link(&repository().join("envoy"), "portcullis/envoy");
    let module = "portcullis/target/wasm32-wasip1/release/portcullis.wasm";
    link(&artifact("PORTCULLIS_WASM").canonicalize().unwrap(), module);
    link(&artifact("PORTCULLIS_ENVOY").canonicalize().unwrap(), "bin/envoy");
    let path = format!("{}:{}", home.path().join("bin").display(), std::env::var("PATH").unwrap());

    let page = page();
    let block = page.split("```console\n").nth(1).unwrap().split("```").next().unwrap();
    let mut steps: Vec<&str> = block.lines().map(|line| line.strip_prefix("$ ").unwrap()).collect();
    assert!(steps.pop().unwrap().starts_with("envoy -c minimal.yaml"));
    let dir = tempfile::tempdir().unwrap();
    for step in steps {
        let mut command = Command::new("sh");
        command.args(["-c", step]).current_dir(dir.path()).env("HOME", home.path()).env("PATH", &path);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{step}: {}", String::from_utf8_lossy(&output.stderr));
    }

    let config = fs::read_to_string(dir.path().join("minimal.yaml")).unwrap();
    let config =
        config.replace("port_value: 8443", "port_value: 0").replace("port_value: 9901", "port_value: 0");
    fs::write(dir.path().join("minimal.yaml"), config).unwrap();
    let envoy =
        Envoy::start(dir.path(), Path::new("minimal.yaml"), 1).await.unwrap_or_else(|log| panic!("{log}"));
    assert!(envoy.log().contains("policy loaded"));
    let url = format!("https://localhost:{}/orders/7", envoy.admin().listeners().await["https"].port());
    let mut curl = Command::new("curl");
    curl.args(["-si", "--max-time", "20", "--cacert", "server.pem", &url]).current_dir(dir.path());
    let said = tokio::task::spawn_blocking(move || curl.output().unwrap()).await.unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(said.starts_with("HTTP/2 401"), "{said}");
    assert!(said.contains("\"reason\":\"credentials_missing\""), "{said}");
}

/// By HTTP, as the page has it, into `minimal.yaml` without its second listener.
#[tokio::test(flavor = "multi_thread")]
async fn envoy_gets_the_module_by_http_and_takes_no_other() {
    let module = Bytes::from(fs::read(artifact("PORTCULLIS_WASM")).unwrap());
    let digest: String = Sha256::digest(&module).iter().map(|byte| format!("{byte:02x}")).collect();
    let server = Serving::start(move |_| {
        let module = module.clone();
        async { Response::new(Full::new(module)) }
    })
    .await;
    let cluster = format!(
        "clusters:\n  - name: modules\n    type: STATIC\n    load_assignment: {{cluster_name: modules, endpoints: \
         [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {}}}}}}}}}]}}]}}\n",
        server.address.port()
    );
    let local = "        code: {local: {filename: portcullis.wasm}}\n";
    assert!(filter().contains(local));
    let remote = block(&page(), "code:", 8).replace("https://", "http://");
    let filter_with = |digest: &str| filter().replace(local, &remote.replace("DIGEST", digest));

    let changes = [("clusters:\n", cluster.as_str())];
    let gets = Minimal::start_without_http3(&changes, &filter_with(&digest)).await;
    let answer = gets.ask(Wire::Http2, &get("/orders")).await;
    assert_eq!((answer.status, answer.reason().as_deref()), (401, Some("credentials_missing")), "{answer:?}");

    // Another policy for the same module.
    let open = "          rules:\n          - {name: open, matches: [{path: {type: Exact, value: /open}}], \
                authenticate: {anonymous: true}}\n";
    gets.put_filter(&filter_with(&digest).replace("          rules:\n", open));
    let mut statuses = Vec::new();
    while statuses.last() != Some(&200) {
        assert!(statuses.len() < 200, "{statuses:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
        statuses.push(gets.ask(Wire::Http2, &get("/open")).await.status);
    }

    let refuses = Minimal::start_without_http3(&changes, &filter_with(&"0".repeat(64))).await;
    let answer = refuses.ask(Wire::Http2, &get("/orders")).await;
    assert_eq!((answer.status, answer.reason()), (503, None), "{answer:?}");
    // Another module for an Envoy that runs: nothing passes, though Envoy has no filter by then.
    refuses.put_filter(&filter_with(&digest).replace("          rules:\n", open));
    for _ in 0..30 {
        let answer = refuses.ask(Wire::Http2, &get("/open")).await;
        assert!([403, 503].contains(&answer.status), "{answer:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(refuses.passed().await, 0);
}
