//! A compose file without an engine: its services as processes of this machine, in the order of `depends_on`, by the
//! commands, environments and health checks that stand in the file, with the files that it mounts.
//!
//! Three things are not as in containers, and are put in their place wherever they stand in a command or a variable: a
//! mounted path is the folder here, the name of a service is this machine, and a port within a container is the one that
//! the file publishes, or a free one. So it is with addresses (`service:port`) in files that are mounted. What an image
//! brings along has to be installed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{artifact, free_port, repository};

/// How long a service may take to be healthy, or to end if others wait for that.
const WITHIN: Duration = Duration::from_secs(180);

pub(crate) struct Project {
    services: BTreeMap<String, Value>,
    /// Ports within containers, and where they are here.
    ports: BTreeMap<String, u16>,
    /// Where a service finds something else than the file says.
    instead: Vec<(&'static str, &'static str, PathBuf)>,
    running: Vec<(String, Child)>,
    dir: TempDir,
}

impl Project {
    /// Starts the services of no profile and those of `profiles`, until all are healthy. `variables` are what the file takes from its
    /// environment; `instead` are a service, a path in it, and what is there.
    pub(super) fn start(
        profiles: &[&str],
        variables: &[(&str, &str)],
        instead: Vec<(&'static str, &'static str, PathBuf)>,
    ) -> Self {
        let mut variables: BTreeMap<String, String> =
            variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut file = read();
        publish_elsewhere(&file, &mut variables);
        interpolate(&mut file, &variables);
        let services = file["services"].as_object().unwrap().clone();
        let mut project = Self {
            ports: ports(&file),
            services: services.into_iter().collect(),
            instead,
            running: Vec::new(),
            dir: tempfile::tempdir().unwrap(),
        };
        for volume in file["volumes"].as_object().unwrap().keys() {
            fs::create_dir(project.volume(volume)).unwrap();
        }
        let wanted: Vec<String> =
            project.services.keys().filter(|name| project.is_in(name, profiles)).cloned().collect();
        let mut started = BTreeSet::new();
        for service in &wanted {
            project.up(service, &mut started, &variables);
        }
        for service in &wanted {
            if project.services[service]["healthcheck"].is_object() {
                project.wait_for_health(service);
            }
        }
        project
    }

    /// The folder of a named volume.
    pub(crate) fn volume(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where a port within a container is here.
    pub(super) fn port(&self, within: u16) -> u16 {
        self.ports[&within.to_string()]
    }

    /// Where a service that publishes one port is.
    pub(crate) fn published(&self, service: &str) -> u16 {
        let [port] = &strings(&self.services[service]["ports"])[..] else { panic!("{service}: one port") };
        port.split(':').nth(1).unwrap().parse().unwrap()
    }

    pub(crate) fn log(&self, service: &str) -> String {
        fs::read_to_string(self.log_file(service)).unwrap()
    }

    /// `docker compose exec`.
    pub(super) fn exec(&self, service: &str, command: &[&str]) -> Output {
        self.command(service, command.iter().map(|word| (*word).to_owned()).collect(), &BTreeMap::new())
            .output()
            .unwrap()
    }

    fn is_in(&self, service: &str, profiles: &[&str]) -> bool {
        let own = strings(&self.services[service]["profiles"]);
        own.is_empty() || own.iter().any(|profile| profiles.contains(&profile.as_str()))
    }

    fn up(&mut self, service: &str, started: &mut BTreeSet<String>, variables: &BTreeMap<String, String>) {
        if !started.insert(service.to_owned()) {
            return;
        }
        let dependencies = self.services[service]["depends_on"].as_object().cloned().unwrap_or_default();
        for (dependency, how) in dependencies {
            self.up(&dependency, started, variables);
            match how["condition"].as_str() {
                Some("service_completed_successfully") => self.wait_for_end(&dependency),
                Some("service_healthy") => self.wait_for_health(&dependency),
                other => panic!("{service}: no condition {other:?}"),
            }
        }
        let definition = &self.services[service];
        let image = definition["image"].as_str().unwrap();
        let mut words = entry_point(image);
        words.extend(strings(&definition["command"]));
        let log = File::create(self.log_file(service)).unwrap();
        let child = self
            .command(service, words, variables)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{service} does not start: {error}"));
        self.running.push((service.to_owned(), child));
    }

    fn wait_for_end(&mut self, service: &str) {
        let deadline = Instant::now() + WITHIN;
        loop {
            let (_, child) = self.running.iter_mut().find(|(name, _)| name == service).unwrap();
            if let Some(status) = child.try_wait().unwrap() {
                assert!(status.success(), "{service}: {status}\n{}", self.log(service));
                return;
            }
            assert!(Instant::now() < deadline, "{service} does not end\n{}", self.log(service));
            std::thread::sleep(Duration::from_millis(25));
        }
    }

    fn wait_for_health(&mut self, service: &str) {
        let test = strings(&self.services[service]["healthcheck"]["test"]);
        let Some(("CMD", command)) = test.split_first().map(|(first, rest)| (first.as_str(), rest)) else {
            panic!("{service}: no health check that is a command: {test:?}");
        };
        let deadline = Instant::now() + WITHIN;
        while !self.command(service, command.to_vec(), &BTreeMap::new()).output().unwrap().status.success() {
            assert!(Instant::now() < deadline, "{service} is not healthy\n{}", self.log(service));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What a service runs, with nothing of our environment but where programs are.
    fn command(&self, service: &str, words: Vec<String>, variables: &BTreeMap<String, String>) -> Command {
        let definition = &self.services[service];
        let words: Vec<String> = words.iter().map(|word| self.here(service, word)).collect();
        let (program, arguments) = words.split_first().unwrap();
        let ours = std::env::var("PATH").unwrap();
        let mut command = Command::new("env");
        command.env_clear();
        // Where cargo, rustup and npm find what an image would bring along, and how they reach their registries.
        for name in ["HOME", "RUSTUP_HOME"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        let mut path = ours.clone();
        for (name, value) in definition["environment"].as_object().into_iter().flatten() {
            match value {
                Value::Null => {
                    command.envs(variables.get(name).map(|value| (name, value)));
                }
                value if name == "PATH" => {
                    path = format!("{}:{ours}", self.here(service, value.as_str().unwrap()))
                }
                value => {
                    command.env(name, self.here(service, value.as_str().unwrap()));
                }
            }
        }
        command.env("PATH", path).arg(program).args(arguments);
        let folder = definition["working_dir"]
            .as_str()
            .map_or_else(|| self.dir.path().into(), |path| PathBuf::from(self.here(service, path)));
        command.current_dir(folder);
        command
    }

    /// What stands in a service's definition, as it is here.
    fn here(&self, service: &str, text: &str) -> String {
        if self.services.contains_key(text) && text != service {
            return "127.0.0.1".to_owned();
        }
        let user = self.services[service]["cap_add"].is_array().then(owner);
        let text = user.map_or_else(|| text.to_owned(), |owner| text.replace("1000:1000", &owner));
        let mut text = replace_word(&text, "0.0.0.0", "127.0.0.1");
        for (within, here) in &self.ports {
            text = replace_word(&text, within, &here.to_string());
        }
        for (within, here) in self.mounts(service) {
            text = replace_path(&text, &within, &here.display().to_string());
        }
        text
    }

    /// The longest first.
    fn mounts(&self, service: &str) -> Vec<(String, PathBuf)> {
        let instead = self.instead.iter().filter(|(name, ..)| *name == service);
        let mut mounts: Vec<(String, PathBuf)> =
            instead.map(|(_, within, here)| ((*within).to_owned(), here.clone())).collect();
        for mount in strings(&self.services[service]["volumes"]) {
            let mut parts = mount.split(':');
            let (source, within) = (parts.next().unwrap(), parts.next().unwrap());
            let here = if source.starts_with('.') {
                self.addressed(repository().join("envoy").join(source).canonicalize().unwrap())
            } else {
                self.volume(source)
            };
            mounts.push((within.to_owned(), here));
        }
        mounts.sort_by_key(|(within, _)| std::cmp::Reverse(within.len()));
        mounts
    }

    /// A folder that is mounted, or, if a file there names an address within the project, a copy that has it as it is here.
    fn addressed(&self, folder: PathBuf) -> PathBuf {
        let copy = self.dir.path().join("mounted").join(folder.file_name().unwrap());
        if copy.exists() {
            return copy;
        }
        let mut files = Vec::new();
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if let Ok(text) = fs::read_to_string(&path) {
                files.push((path.file_name().unwrap().to_owned(), self.with_addresses(&text), text));
            }
        }
        if files.iter().all(|(_, here, text)| here == text) {
            return folder;
        }
        fs::create_dir_all(&copy).unwrap();
        for (name, here, _) in files {
            fs::write(copy.join(name), here).unwrap();
        }
        copy
    }

    fn with_addresses(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for service in self.services.keys() {
            for (within, here) in &self.ports {
                text = replace_word(&text, &format!("{service}:{within}"), &format!("127.0.0.1:{here}"));
            }
        }
        text
    }

    fn log_file(&self, service: &str) -> PathBuf {
        self.dir.path().join(format!("{service}.log"))
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        for (service, child) in self.running.iter_mut().rev() {
            let _ = child.kill();
            let _ = child.wait();
            if std::thread::panicking() {
                let log =
                    fs::read_to_string(self.dir.path().join(format!("{service}.log"))).unwrap_or_default();
                eprintln!("--- {service}\n{log}---");
            }
        }
    }
}

/// The compose file as it stands.
pub(super) fn read() -> Value {
    let read = Command::new(artifact("PORTCULLIS_PYTHON"))
        .arg(repository().join("tests/e2e/manifests/manifests.py"))
        .arg("read")
        .arg(file())
        .output()
        .unwrap();
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    serde_json::from_slice::<Value>(&read.stdout).unwrap()[0].take()
}

pub(super) fn file() -> PathBuf {
    repository().join("envoy/docker-compose.yaml")
}

pub(super) fn strings(list: &Value) -> Vec<String> {
    list.as_array().into_iter().flatten().map(|item| item.as_str().unwrap().to_owned()).collect()
}

/// What images run a command with.
fn entry_point(image: &str) -> Vec<String> {
    match image.split(':').next().unwrap() {
        "envoyproxy/envoy" => vec![artifact("PORTCULLIS_ENVOY").display().to_string()],
        "prom/prometheus" => vec!["prometheus".to_owned()],
        "node" | "rust" => Vec::new(),
        other => panic!("what does {other} run?"),
    }
}

/// A free port for each variable that the file takes a port from, but for those that are given.
fn publish_elsewhere(file: &Value, variables: &mut BTreeMap<String, String>) {
    for service in file["services"].as_object().unwrap().values() {
        for port in strings(&service["ports"]) {
            let variable =
                port.split("${").nth(1).and_then(|rest| rest.split(':').next()).expect("a variable");
            variables.entry(variable.to_owned()).or_insert_with(|| free_port().to_string());
        }
    }
}

fn ports(file: &Value) -> BTreeMap<String, u16> {
    let mut ports = BTreeMap::new();
    for service in file["services"].as_object().unwrap().values() {
        for published in strings(&service["ports"]) {
            let [address, here, within] = published.split(':').collect::<Vec<_>>()[..] else {
                panic!("{published}")
            };
            assert_eq!(address, "127.0.0.1", "published on loopback only");
            ports.insert(within.to_owned(), here.parse().unwrap());
        }
        ports.extend(strings(&service["expose"]).into_iter().map(|within| (within, free_port())));
    }
    ports
}

/// `${NAME:-default}`, which is all that the file uses.
fn interpolate(value: &mut Value, variables: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => {
            while let Some((before, rest)) = text.split_once("${") {
                let (expression, after) = rest.split_once('}').unwrap();
                let (name, default) = expression.split_once(":-").unwrap();
                let value = variables.get(name).map_or(default, String::as_str);
                *text = format!("{before}{value}{after}");
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| interpolate(item, variables)),
        Value::Object(members) => members.values_mut().for_each(|member| interpolate(member, variables)),
        _ => {}
    }
}

/// Where `word` stands alone.
fn replace_word(text: &str, word: &str, by: &str) -> String {
    let mut pieces = text.split(word).peekable();
    let mut replaced = String::new();
    while let Some(piece) = pieces.next() {
        replaced.push_str(piece);
        if let Some(next) = pieces.peek() {
            let alone = !replaced.ends_with(|c: char| c.is_ascii_alphanumeric())
                && !next.starts_with(|c: char| c.is_ascii_alphanumeric());
            replaced.push_str(if alone { by } else { word });
        }
    }
    replaced
}

/// Where `path` begins an absolute path.
fn replace_path(text: &str, path: &str, by: &str) -> String {
    let mut pieces = text.split(path).peekable();
    let mut replaced = String::new();
    while let Some(piece) = pieces.next() {
        replaced.push_str(piece);
        if let Some(next) = pieces.peek() {
            let begins = !replaced.ends_with(|c: char| c.is_ascii_alphanumeric() || "/.-_".contains(c));
            let ends = next.is_empty() || next.starts_with(['/', ':', ' ', '"', '\'']);
            replaced.push_str(if begins && ends { by } else { path });
        }
    }
    replaced
}

/// Who runs this, as `chown` wants it.
fn owner() -> String {
    let id = |of: &str| String::from_utf8(Command::new("id").arg(of).output().unwrap().stdout).unwrap();
    format!("{}:{}", id("-u").trim(), id("-g").trim())
}

/// A folder that a tool keeps in the home of whoever runs it, unless `variable` says where.
pub(super) fn cache(variable: &str, name: &str) -> PathBuf {
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(name));
    std::env::var_os(variable).map(PathBuf::from).or(home).expect("a home")
}
