//! The archive of a release: packed alike each time, and all that is in it of use where it is unpacked.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::json;

use crate::harness::{artifact, process::Envoy, repository};

const NAME: &str = "portcullis-1.2.3";

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The native command, which cargo builds with the tests.
fn portcullis() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let command = test.ancestors().nth(2).unwrap().join("portcullis");
    assert!(command.exists(), "{} is not built: run `make test`", command.display());
    command
}

fn pack(material: &Path, out: &Path) {
    let mut pack = Command::new(repository().join("release/pack.sh"));
    pack.arg(artifact("PORTCULLIS_WASM")).arg(portcullis());
    pack.args([material.join("licences.txt"), material.join("bom.json")]);
    run(pack.args(["1.2.3", "1767225600"]).arg(out));
}

/// What README.md tells who has no more than this archive and Envoy, from where the archive is unpacked.
async fn works_as_the_readme_says(unpacked: &Path) {
    let readme = fs::read_to_string(repository().join("README.md")).unwrap();
    let section = readme.split("\n## In your own Envoy\n").nth(1).unwrap();
    let block = section.split("```console\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let commands: Vec<&str> = block.lines().map(|line| line.strip_prefix("$ ").unwrap()).collect();
    let [unpack, prepare @ .., start] = &commands[..] else { panic!("{block}") };
    assert!(unpack.starts_with("tar -xzf portcullis-*"), "{unpack}");
    assert_eq!(*start, "envoy -c minimal.yaml");
    for command in prepare {
        run(Command::new("bash").args(["-c", command]).current_dir(unpacked));
    }
    let config = fs::read_to_string(unpacked.join("minimal.yaml")).unwrap();
    let config =
        config.replace("port_value: 8443", "port_value: 0").replace("port_value: 9901", "port_value: 0");
    // Nobody is looked up here.
    let config = config.replace("address: idp.example.com", "address: 127.0.0.1");
    fs::write(unpacked.join("minimal.yaml"), config).unwrap();
    let envoy =
        Envoy::start(unpacked, Path::new("minimal.yaml"), 1).await.unwrap_or_else(|log| panic!("{log}"));
    let address = envoy.admin().listeners().await["https"];
    let asked = "curl -i --cacert server.pem https://localhost:8443/orders";
    assert!(section.contains(&format!("`{asked}` is refused with 401")), "{asked}");
    let asked = asked.replace("8443", &address.port().to_string());
    let answer = run(Command::new("bash").args(["-c", &asked]).current_dir(unpacked));
    assert!(answer.starts_with("HTTP/2 401") && answer.contains("credentials_missing"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_unpacked_is_what_was_packed_and_works() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let licences = run(Command::new("python3")
        .arg(repository().join("release/licences.py"))
        .env("CARGO_NET_OFFLINE", "true")
        .current_dir(repository()));
    // A library of the module, one of the command, and one of tests alone.
    for (library, linked) in [("\nproxy-wasm 0.", true), ("\nclap 4.", true), ("\nproptest 1.", false)] {
        assert_eq!(licences.contains(library), linked, "{library}");
    }
    assert!(licences.contains("Permission is hereby granted"));
    fs::write(at("licences.txt"), &licences).unwrap();
    fs::write(at("bom.json"), json!({"bomFormat": "CycloneDX", "specVersion": "1.5"}).to_string()).unwrap();
    pack(dir.path(), &at("once"));
    pack(dir.path(), &at("again"));

    let machine = run(Command::new("uname").arg("-m"));
    let archive = format!("{NAME}-{}-linux.tar.gz", machine.trim());
    let module = format!("{NAME}.wasm");
    for file in [&archive, &module, "SHA256SUMS"] {
        assert!(
            fs::read(at("once").join(file)).unwrap() == fs::read(at("again").join(file)).unwrap(),
            "{file}"
        );
    }
    let checked = run(Command::new("sha256sum").args(["--check", "SHA256SUMS"]).current_dir(at("once")));
    assert_eq!(checked, format!("{module}: OK\n{archive}: OK\n"));

    run(Command::new("tar")
        .arg("--extract")
        .arg("--file")
        .arg(at("once").join(&archive))
        .current_dir(dir.path()));
    let unpacked = at(NAME);
    let mut expected = BTreeSet::from(
        ["CHANGELOG.md", "LICENSE", "LICENSES-OF-LIBRARIES.txt", "bom.json", "policy.schema.json"]
            .map(|name| name.to_owned()),
    );
    expected.extend(["man", "passkeys", "portcullis", "portcullis.wasm"].map(str::to_owned));
    for entry in fs::read_dir(repository().join("envoy")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.starts_with("minimal") {
            assert!(
                fs::read(unpacked.join(&name)).unwrap()
                    == fs::read(repository().join("envoy").join(&name)).unwrap()
            );
            expected.insert(name);
        }
    }
    for entry in fs::read_dir(repository().join("envoy/passkeys")).unwrap().map(Result::unwrap) {
        let packed = unpacked.join("passkeys").join(entry.file_name());
        assert!(fs::read(&packed).unwrap() == fs::read(entry.path()).unwrap(), "{}", packed.display());
    }
    let page = fs::read_to_string(unpacked.join("man/portcullis-key-rotate.1")).unwrap();
    assert!(page.contains(".TH portcullis-key-rotate 1") && page.contains("overlap"), "{page}");
    let names: BTreeSet<String> = fs::read_dir(&unpacked)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, expected);
    assert!(
        fs::read(unpacked.join("portcullis.wasm")).unwrap() == fs::read(artifact("PORTCULLIS_WASM")).unwrap()
    );

    let good =
        run(Command::new("./portcullis").args(["check", "minimal-filter.yaml"]).current_dir(&unpacked));
    assert!(good.contains("good"), "{good}");
    works_as_the_readme_says(&unpacked).await;
}
