//! The module as OCI image and artifact: in a real registry, out of it as gateways get it, and in Envoy.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use portcullis::versions::{DECISION_RECORD, POLICY_DOCUMENT};

use crate::{
    demo,
    harness::{
        artifact, free_port,
        gateway::{Wire, gateway},
        repository,
        table::hold,
    },
};

const VERSION: &str = "1.2.3";

/// Debian's `docker-registry`.
struct Registry {
    child: Child,
    address: String,
    dir: TempDir,
}

impl Registry {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let address = format!("127.0.0.1:{}", free_port());
        let config = json!({
            "version": 0.1,
            "storage": {"filesystem": {"rootdirectory": dir.path().join("data")}},
            "http": {"addr": address},
        });
        fs::write(dir.path().join("config.yml"), config.to_string()).unwrap();
        let log = File::create(dir.path().join("log")).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(dir.path().join("config.yml"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("the registry starts: `make test` installs it");
        let deadline = Instant::now() + Duration::from_secs(20);
        while std::net::TcpStream::connect(&address).is_err() {
            assert!(Instant::now() < deadline, "{}", fs::read_to_string(dir.path().join("log")).unwrap());
            std::thread::sleep(Duration::from_millis(25));
        }
        Self { child, address, dir }
    }

    fn repository(&self) -> String {
        format!("{}/portcullis", self.address)
    }

    /// What Istio's agent and Envoy Gateway get under a tag, and what they are told of it.
    fn fetch(&self, tag: &str) -> (Vec<u8>, Value) {
        let out = self.dir.path().join("fetched.wasm");
        let told = script("tests/e2e/oci/fetch.py")
            .args([&self.address, "portcullis", tag])
            .arg(&out)
            .output()
            .unwrap();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        (fs::read(out).unwrap(), serde_json::from_slice(&told.stdout).unwrap())
    }

    /// What a verifier that is not ours says of the signature and the statements beside a manifest.
    fn verify(&self, digest: &str, key: &Path) -> Result<Value, String> {
        let said = Command::new("node")
            .arg(repository().join("tests/e2e/oci/verify.mjs"))
            .args([&self.address, "portcullis", digest])
            .arg(key)
            .output()
            .unwrap();
        match said.status.success() {
            true => Ok(serde_json::from_slice(&said.stdout).unwrap()),
            false => Err(String::from_utf8_lossy(&said.stderr).into_owned()),
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn script(path: &str) -> Command {
    let mut command = Command::new("python3");
    command.arg(repository().join(path)).env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn pack(layout: &Path) -> String {
    pack_revision(layout, "0123abc")
}

fn pack_revision(layout: &Path, revision: &str) -> String {
    let mut pack = script("envoy/oci/pack.py");
    pack.arg("--module").arg(artifact("PORTCULLIS_WASM"));
    pack.args(["--version", VERSION, "--revision", revision, "--created", "2026-01-31T12:00:00Z"]);
    run(pack.arg(layout))
}

fn push_command(layout: &Path, registry: &Registry) -> Command {
    let mut push = Command::new(repository().join("envoy/oci/push.sh"));
    push.arg(layout).args([&registry.repository(), VERSION, "--dest-tls-verify=false"]);
    push
}

fn push(layout: &Path, registry: &Registry) {
    run(&mut push_command(layout, registry));
}

/// A new key on P-256, and the file of its public half.
fn key(dir: &Path, name: &str) -> [std::path::PathBuf; 2] {
    let [secret, public] = ["pem", "pub"].map(|kind| dir.join(format!("{name}.{kind}")));
    run(Command::new("openssl")
        .args(["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"])
        .arg(&secret));
    run(Command::new("openssl").args(["ec", "-pubout", "-in"]).arg(&secret).arg("-out").arg(&public));
    [secret, public]
}

fn manifests(layout: &Path) -> Vec<(String, String)> {
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let entries = index["manifests"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    entries
        .map(|entry| {
            (text(&entry["annotations"]["org.opencontainers.image.ref.name"]), text(&entry["digest"]))
        })
        .collect()
}

#[test]
fn both_forms_come_back_from_a_registry_bit_for_bit() {
    let (registry, dir) = (Registry::start(), tempfile::tempdir().unwrap());
    let module = fs::read(artifact("PORTCULLIS_WASM")).unwrap();
    let layout = dir.path().join("oci");
    let printed = pack(&layout);
    push(&layout, &registry);
    for (tag, form) in [("1.2.3", "image"), ("1.2.3-artifact", "artifact")] {
        let (fetched, told) = registry.fetch(tag);
        assert!(fetched == module, "{tag}");
        assert_eq!(told["form"], form);
        let annotations = &told["annotations"];
        assert_eq!(annotations["org.opencontainers.image.version"], VERSION);
        assert_eq!(annotations["org.opencontainers.image.revision"], "0123abc");
        assert_eq!(annotations["io.portcullis.policy-document"], POLICY_DOCUMENT.to_string());
        assert_eq!(annotations["io.portcullis.decision-record"], DECISION_RECORD.to_string());
        // Under Envoy's `sha256`, and not to be taken for the digest of the image.
        assert!(printed.contains(annotations["io.portcullis.module.sha256"].as_str().unwrap()), "{printed}");
    }
    for (_, digest) in manifests(&layout) {
        assert!(printed.contains(&digest), "{printed}");
    }
    let again = dir.path().join("elsewhere/oci");
    assert_eq!(pack(&again), printed, "the same bytes, wherever they are packed");
    // The same once more changes nothing; something else does not get the version's tag.
    push(&again, &registry);
    let other = dir.path().join("other/oci");
    pack_revision(&other, "4567def");
    let refused = push_command(&other, &registry).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && said.contains("is there already"), "{said}");
    assert_eq!(registry.fetch("1.2.3").1["annotations"]["org.opencontainers.image.revision"], "0123abc");
}

#[test]
fn whoever_has_the_public_key_can_tell_who_released_what() {
    let (registry, dir) = (Registry::start(), tempfile::tempdir().unwrap());
    let layout = dir.path().join("oci");
    pack(&layout);
    let packed = manifests(&layout);
    let ([secret, public], [_, other]) = (key(dir.path(), "release"), key(dir.path(), "other"));
    let bom = dir.path().join("bom.json");
    fs::write(&bom, json!({"bomFormat": "CycloneDX", "specVersion": "1.5"}).to_string()).unwrap();
    let sign = |repository: &str| {
        let mut sign = script("envoy/oci/sign.py");
        sign.arg("--key").arg(&secret).args(["--repository", repository, "--sbom"]).arg(&bom).arg(&layout);
        run(&mut sign)
    };
    sign(&registry.repository());
    push(&layout, &registry);
    for (form, digest) in &packed {
        let statements = json!(["https://slsa.dev/provenance/v1", "https://cyclonedx.org/bom"]);
        assert_eq!(registry.verify(digest, &public).as_ref(), Ok(&statements), "{form}");
        let refused = registry.verify(digest, &other).unwrap_err();
        assert!(refused.contains("signature verification failed"), "{refused}");
    }
    // A signature for another repository.
    sign("registry.example/portcullis");
    push(&layout, &registry);
    let refused = registry.verify(&packed[0].1, &public).unwrap_err();
    assert!(refused.contains("for another repository"), "{refused}");
}

/// Of the artifact the second layer is the module as it is, which Envoy itself can get. It decides the demo's table.
#[tokio::test(flavor = "multi_thread")]
async fn envoy_loads_the_module_from_the_registry() {
    let (registry, dir) = (Registry::start(), tempfile::tempdir().unwrap());
    let layout = dir.path().join("oci");
    pack(&layout);
    push(&layout, &registry);
    let (_, told) = registry.fetch("1.2.3-artifact");
    let sha256 = told["annotations"]["io.portcullis.module.sha256"].as_str().unwrap();
    let material = demo::set_up();
    let uri = format!("http://{}/v2/portcullis/blobs/sha256:{sha256}", registry.address);
    let gateway = gateway(&demo::policy(material.path()))
        .https_only()
        .cluster("registry", registry.address.parse().unwrap())
        .remote_module(&uri, sha256)
        .start()
        .await;
    hold(&gateway, &[Wire::Http1, Wire::Http2], &demo::table::table(material.path())).await;
}
