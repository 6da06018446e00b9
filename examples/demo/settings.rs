//! Where the demo keeps its files and which ports it uses.

use std::{
    fs,
    io::Write as _,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use crate::Result;

/// Read from the environment once.
pub(crate) struct Settings {
    /// Holds everything that set-up makes. Default `.demo`.
    pub(crate) dir: PathBuf,
    /// The module, relative to the repository unless absolute. Default: where `envoy/demo/setup.sh` puts it.
    pub(crate) wasm: String,
    /// Envoy's binary.
    pub(crate) envoy: PathBuf,
    /// Where Envoy listens and where it finds the upstream. Within a container, everywhere, and elsewhere.
    pub(crate) bind: String,
    pub(crate) upstream_host: String,
    /// How whoever reads what we print calls this tool.
    pub(crate) command: String,
    pub(crate) https: u16,
    pub(crate) http: u16,
    pub(crate) admin: u16,
    pub(crate) upstream: u16,
    /// Where users log in, and where that sends their browsers; the host by which Envoy finds the latter.
    pub(crate) login: u16,
    pub(crate) idp: u16,
    pub(crate) idp_host: String,
}

impl Settings {
    pub(crate) fn from_env() -> Result<Self> {
        let dir = PathBuf::from(text("PORTCULLIS_DEMO_DIR", ".demo"));
        Ok(Self {
            wasm: text("PORTCULLIS_WASM", &dir.join("portcullis.wasm").to_string_lossy()),
            dir,
            envoy: text("PORTCULLIS_ENVOY", ".tools/envoy").into(),
            bind: text("PORTCULLIS_BIND", "127.0.0.1"),
            upstream_host: text("PORTCULLIS_UPSTREAM_HOST", "127.0.0.1"),
            command: text("PORTCULLIS_DEMO_COMMAND", "make -s"),
            https: port("PORTCULLIS_HTTPS_PORT", 8443)?,
            http: port("PORTCULLIS_HTTP_PORT", 8080)?,
            admin: port("PORTCULLIS_ADMIN_PORT", 9901)?,
            upstream: port("PORTCULLIS_UPSTREAM_PORT", 8081)?,
            login: port("PORTCULLIS_LOGIN_PORT", 8444)?,
            idp: port("PORTCULLIS_IDP_PORT", 9443)?,
            idp_host: text("PORTCULLIS_IDP_HOST", "127.0.0.1"),
        })
    }

    /// Of the demo's pages, as browsers say it.
    pub(crate) fn origin(&self) -> String {
        format!("https://localhost:{}", self.https)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A file that set-up made.
    pub(crate) fn read(&self, name: &str) -> Result<String> {
        let path = self.path(name);
        if !path.exists() {
            return Err(format!(
                "{} is not there: start the demo once, with `make run` or docker compose",
                path.display()
            ));
        }
        read(&path)
    }

    /// Writes a file whole or not at all: Envoy watches some of them. Readable for the owner alone if `secret`.
    pub(crate) fn write(&self, name: &str, text: &str, secret: bool) -> Result<()> {
        let (path, fresh) = (self.path(name), self.path(&format!("{name}.new")));
        let failed = |error| format!("cannot write {}: {error}", path.display());
        let _ = fs::remove_file(&fresh);
        let mode = if secret { 0o600 } else { 0o644 };
        let mut file =
            fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&fresh).map_err(failed)?;
        file.write_all(text.as_bytes()).map_err(failed)?;
        drop(file);
        fs::rename(&fresh, &path).map_err(failed)
    }
}

pub(crate) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// An empty variable counts as unset, as with make's `NAME=`.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn text(name: &str, default: &str) -> String {
    variable(name).unwrap_or_else(|| default.to_owned())
}

fn port(name: &str, default: u16) -> Result<u16> {
    match variable(name) {
        None => Ok(default),
        Some(value) => match value.parse() {
            Ok(0) | Err(_) => Err(format!("{name} must be a port number, not `{value}`")),
            Ok(port) => Ok(port),
        },
    }
}
