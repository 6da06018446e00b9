//! A running Envoy, ended when it is dropped.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use super::{admin::Admin, artifact};

const START_WITHIN: Duration = Duration::from_secs(60);

pub(crate) struct Envoy {
    child: Child,
    log: PathBuf,
    admin: Admin,
}

impl Envoy {
    /// Starts Envoy in `dir` and waits until it serves. An error is the log of an Envoy that gave up.
    pub(crate) async fn start(dir: &Path, config: &Path, workers: u32) -> Result<Self, String> {
        let (log, address) = (dir.join("envoy.log"), dir.join("admin-address"));
        let mut child = command(dir, config, &log)
            .args(["--concurrency", &workers.to_string()])
            .args(["--log-level", "warning", "--component-log-level", "wasm:info"])
            .arg("--admin-address-path")
            .arg(&address)
            .spawn()
            .expect("Envoy starts");
        let deadline = Instant::now() + START_WITHIN;
        loop {
            if child.try_wait().unwrap().is_some() {
                return Err(fs::read_to_string(&log).unwrap());
            }
            let admin =
                fs::read_to_string(&address).ok().and_then(|text| text.trim().parse().ok()).map(Admin::new);
            if let Some(admin) = admin
                && admin.is_ready().await
            {
                return Ok(Self { child, log, admin });
            }
            if Instant::now() > deadline {
                let _ = child.kill();
                let _ = child.wait();
                panic!("Envoy was not ready in time; its log:\n{}", fs::read_to_string(&log).unwrap());
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
    }

    pub(crate) fn admin(&self) -> &Admin {
        &self.admin
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// The memory it holds, in bytes, that of the modules too, which Envoy's own stats leave out.
    pub(crate) fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(40)..).unwrap_or_default();
            eprintln!("--- the last lines of Envoy's log\n{}\n---", tail.join("\n"));
        }
    }
}

/// Envoy's own judgement of a configuration file, with its log.
pub(crate) fn validate(dir: &Path, config: &Path) -> (ExitStatus, String) {
    let log = dir.join("validate.log");
    let status = command(dir, config, &log).args(["--mode", "validate"]).status().expect("Envoy starts");
    (status, fs::read_to_string(&log).unwrap())
}

fn command(dir: &Path, config: &Path, log: &Path) -> Command {
    let log = File::create(log).unwrap();
    let mut command = Command::new(artifact("PORTCULLIS_ENVOY"));
    command
        .current_dir(dir)
        .arg("--config-path")
        .arg(config)
        .arg("--disable-hot-restart")
        .args(["--file-flush-interval-msec", "50"])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log);
    command
}
