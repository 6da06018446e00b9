//! `envoy/kubernetes`: Envoy started as the pod starts it, with its ConfigMaps laid out as the kubelet does.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    time::Duration,
};

use tempfile::TempDir;

use super::{
    KEY, NO_KEY, objects, only,
    site::{Keys, Site},
};
use crate::harness::{
    api_key_hash, artifact, free_port,
    process::{Envoy, validate},
    repository,
    request::get,
    tls::IDENTITY,
    upstream::Upstream,
};

fn config(name: &str) -> String {
    fs::read_to_string(repository().join("envoy/kubernetes/config").join(name)).unwrap()
}

/// A volume as the kubelet makes it: files are links into `..data`, which is a link to a directory, and a new state is
/// a new directory and a swap of that one link.
struct Volume {
    folder: PathBuf,
    states: u32,
}

impl Volume {
    fn new(folder: PathBuf, files: &[(&str, &str)]) -> Self {
        fs::create_dir_all(&folder).unwrap();
        let mut volume = Self { folder, states: 0 };
        volume.change(files);
        for (name, _) in files {
            symlink(Path::new("..data").join(name), volume.folder.join(name)).unwrap();
        }
        volume
    }

    fn change(&mut self, files: &[(&str, &str)]) {
        let old = fs::read_link(self.folder.join("..data")).ok();
        self.states += 1;
        let state = format!("..2026_01_01_00_00_00.{}", self.states);
        fs::create_dir(self.folder.join(&state)).unwrap();
        for (name, text) in files {
            fs::write(self.folder.join(&state).join(name), text).unwrap();
        }
        symlink(&state, self.folder.join("..data_tmp")).unwrap();
        fs::rename(self.folder.join("..data_tmp"), self.folder.join("..data")).unwrap();
        if let Some(old) = old {
            fs::remove_dir_all(self.folder.join(old)).unwrap();
        }
    }
}

/// What the pod mounts, below another root than `/etc/envoy`.
struct Pod {
    dir: TempDir,
    policy: Volume,
}

impl Pod {
    fn lay_out(bootstrap: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let here = |text: &str| text.replace("/etc/envoy/", &format!("{}/", dir.path().display()));
        let volume = |name: &str, files: &[(&str, &str)]| Volume::new(dir.path().join(name), files);
        volume("bootstrap", &[("envoy.yaml", &here(bootstrap)), ("tls.yaml", &here(&config("tls.yaml")))]);
        volume("tls", &[("tls.crt", &IDENTITY.certificate), ("tls.key", &IDENTITY.key)]);
        let policy = volume("policy", &[("filter.yaml", &here(&policy()))]);
        fs::create_dir(dir.path().join("module")).unwrap();
        fs::copy(artifact("PORTCULLIS_WASM"), dir.path().join("module/plugin.wasm")).unwrap();
        Self { dir, policy }
    }

    fn change_policy(&mut self, text: &str) {
        let text = text.replace("/etc/envoy/", &format!("{}/", self.dir.path().display()));
        self.policy.change(&[("filter.yaml", &text)]);
    }
}

/// The shipped one, with a key that the tests know.
fn policy() -> String {
    let text = config("filter.yaml");
    assert!(text.contains(NO_KEY));
    text.replace(NO_KEY, &api_key_hash(KEY))
}

/// With addresses of this machine.
fn bootstrap(upstream: &Upstream, keys: &Keys) -> String {
    let mut text = config("envoy.yaml");
    let local = |port: u16| format!("address: 127.0.0.1, port_value: {port}");
    for (shipped, here) in [
        ("address: 0.0.0.0, port_value: 8443", local(0)),
        ("address: 0.0.0.0, port_value: 9902", local(0)),
        ("address: 127.0.0.1, port_value: 9901", local(free_port())),
        ("address: orders.orders.svc.cluster.local, port_value: 8080", local(upstream.address.port())),
        ("address: idp.example.com, port_value: 443", local(keys.address().port())),
    ] {
        assert!(text.contains(shipped), "no `{shipped}` in the file");
        text = text.replace(shipped, &here);
    }
    // The issuer here has no TLS; that of the file is judged by Envoy below.
    text.rsplit_once("\n    transport_socket:\n").unwrap().0.to_owned()
}

async fn start() -> (Site, Pod) {
    let (upstream, keys) = (Upstream::start().await, Keys::start().await);
    let pod = Pod::lay_out(&bootstrap(&upstream, &keys));
    let envoy = Envoy::start(pod.dir.path(), Path::new("bootstrap/envoy.yaml"), 2).await;
    (Site::of(envoy.unwrap_or_else(|log| panic!("{log}")), upstream, keys), pod)
}

#[test]
fn envoy_takes_the_pods_configuration() {
    // Where this machine has no such file, another will do.
    let authorities = "/etc/ssl/certs/ca-certificates.crt";
    let text = config("envoy.yaml");
    assert!(text.contains(authorities));
    let text = text.replace(authorities, "/etc/envoy/tls/tls.crt");
    let pod = Pod::lay_out(&text);
    let (status, log) = validate(pod.dir.path(), Path::new("bootstrap/envoy.yaml"));
    assert!(status.success(), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pod_decides_by_the_policy_and_follows_its_config_map() {
    let (site, mut pod) = start().await;
    site.decides_by_the_policy().await;

    let status = async || site.send("https", &get("/health")).await.status;
    assert_eq!(status().await, 403);
    let open = "          - name: health\n            matches: [{path: {type: Exact, value: /health}}]\n            \
                authenticate: {anonymous: true}\n";
    let changed = policy().replace("          rules:\n", &format!("          rules:\n{open}"));
    let until = async |wanted: u16| {
        for _ in 0..400 {
            if status().await == wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("not {wanted}: {}", site.log());
    };
    pod.change_policy(&changed);
    until(200).await;
    // One with a fault changes nothing.
    pod.change_policy(&changed.replace("defaultAction: Deny", "defaultAction: Allow"));
    while !site.log().contains("policy refused: defaultAction: must be Deny") {
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(status().await, 200);
    pod.change_policy(&policy());
    until(403).await;
}

/// Of the admin interface others reach what they need.
#[tokio::test(flavor = "multi_thread")]
async fn the_pod_shows_readiness_and_stats_and_nothing_else_of_its_admin() {
    let (site, _pod) = start().await;
    for (path, status) in [
        ("/ready", 200),
        ("/stats/prometheus", 200),
        ("/config_dump", 404),
        ("/quitquitquit", 404),
        ("/ready/../quitquitquit", 404),
    ] {
        let answer = site.send("probes", &get(path)).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }
    let stats = site.send("probes", &get("/stats/prometheus")).await;
    assert!(String::from_utf8_lossy(&stats.body).contains("portcullis_"));
    let posted = site.send("probes", &crate::harness::request::post("/ready")).await;
    assert_eq!(posted.status, 404);
}

/// What the files name of each other.
#[test]
fn the_pod_mounts_what_its_envoy_reads() {
    let objects = objects("kubernetes");
    let pod = &only(&objects, "Deployment")["spec"]["template"]["spec"];
    let mounts: Vec<&str> = pod["containers"][0]["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|mount| {
            assert!(mount["subPath"].is_null(), "a file that is mounted by itself never changes");
            mount["mountPath"].as_str().unwrap()
        })
        .collect();
    let texts = ["envoy.yaml", "filter.yaml", "tls.yaml"].map(config).join("\n");
    for path in texts.split(|c: char| !(c.is_ascii_alphanumeric() || "/-_.".contains(c))) {
        if let Some(below) = path.strip_prefix("/etc/envoy/") {
            let folder = format!("/etc/envoy/{}", below.split('/').next().unwrap());
            assert!(mounts.contains(&folder.as_str()), "{path}");
        }
    }
    let kustomization = fs::read_to_string(repository().join("envoy/kubernetes/kustomization.yaml")).unwrap();
    for entry in fs::read_dir(repository().join("envoy/kubernetes")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_listed = kustomization.contains(&format!("- {name}\n"));
        assert!(is_listed || name == "config" || name == "kustomization.yaml", "{name}");
    }
    for (volume, name) in [("bootstrap", "envoy-bootstrap"), ("policy", "portcullis-policy")] {
        let volumes = pod["volumes"].as_array().unwrap();
        let volume = volumes.iter().find(|found| found["name"] == volume).unwrap();
        assert_eq!(volume["configMap"]["name"], name);
        assert!(kustomization.contains(&format!("- name: {name}\n")));
    }
}

/// The one that the tests run.
#[test]
fn the_pods_envoy_is_the_tested_one() {
    let makefile = fs::read_to_string(repository().join("Makefile")).unwrap();
    let version = makefile.lines().find_map(|line| line.strip_prefix("ENVOY_VERSION := ")).unwrap();
    let objects = objects("kubernetes");
    let pod = &only(&objects, "Deployment")["spec"]["template"]["spec"];
    let image = pod["containers"][0]["image"].as_str().unwrap();
    assert!(image.starts_with(&format!("envoyproxy/envoy:v{version}@")), "{image}");
}

/// As the namespace's label demands (`restricted`).
#[test]
fn the_pod_is_restricted() {
    let objects = objects("kubernetes");
    let label = &only(&objects, "Namespace")["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
    assert_eq!(label, "restricted");
    let pod = &only(&objects, "Deployment")["spec"]["template"]["spec"];
    let container = &pod["containers"][0]["securityContext"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    assert_eq!(container["allowPrivilegeEscalation"], false);
    assert_eq!(container["readOnlyRootFilesystem"], true);
    assert_eq!(container["capabilities"], serde_json::json!({"drop": ["ALL"]}));
    assert_eq!(pod["automountServiceAccountToken"], false);
}
