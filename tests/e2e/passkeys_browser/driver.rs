//! A browser that does what a test tells it (`tests/e2e/idp/passkeys.mjs`).

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use serde_json::{Value, json};
use tempfile::NamedTempFile;

use crate::harness::repository;

pub(super) struct Browser {
    child: Child,
    told: Option<ChildStdin>,
    said: BufReader<ChildStdout>,
    _certificate: NamedTempFile,
}

impl Browser {
    /// One that accepts `certificate` (PEM), and finds all hosts below `test` at `port`.
    pub(super) fn start(certificate: &str, port: u16) -> Self {
        let mut file = NamedTempFile::new().unwrap();
        file.write_all(certificate.as_bytes()).unwrap();
        let mut child = Command::new("node")
            .arg(repository().join("tests/e2e/idp/passkeys.mjs"))
            .arg(file.path())
            .arg(port.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node starts");
        let said = BufReader::new(child.stdout.take().unwrap());
        Self { told: child.stdin.take(), child, said, _certificate: file }
    }

    /// What a step gives; its error's name, where it fails.
    pub(super) fn attempt(&mut self, step: &str, arguments: Value) -> Result<Value, String> {
        let mut told = arguments;
        told["do"] = json!(step);
        writeln!(self.told.as_mut().unwrap(), "{told}").unwrap();
        let mut line = String::new();
        self.said.read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap_or_else(|_| panic!("{told}: {line}"));
        match said.get("error") {
            Some(error) => Err(error["name"].as_str().unwrap_or_else(|| panic!("{error}")).to_owned()),
            None => Ok(said["result"].clone()),
        }
    }

    /// What a step gives that must not fail.
    pub(super) fn step(&mut self, step: &str, arguments: Value) -> Value {
        let told = arguments.clone();
        self.attempt(step, arguments).unwrap_or_else(|error| panic!("{step} {told}: {error}"))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // The end of its input ends it, and Chromium with it.
        drop(self.told.take());
        let _ = self.child.wait();
    }
}
