//! Runs the upstream and Envoy until one of them ends or the demo is told to.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    process::{Child, Command},
    signal::unix::{SignalKind, signal},
    time,
};

use crate::{
    Result,
    settings::Settings,
    watch::{BETWEEN_LOOKS, Watch, greeting},
};

const WORKERS: &str = "2";
/// How long a signal to us may come after the end of a child that it reached first.
const GRACE: Duration = Duration::from_millis(300);

/// `watch` knows the policy that Envoy starts with.
pub(crate) fn run(settings: &Settings, watch: Watch) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("no runtime: {error}"))?;
    runtime.block_on(supervise(settings, watch))
}

async fn supervise(settings: &Settings, watch: Watch) -> Result<()> {
    for (what, path) in [("the filter", Path::new(&settings.wasm)), ("Envoy", &settings.envoy)] {
        if !path.exists() {
            return Err(format!("{what} is not at {}: start the demo with `make run`", path.display()));
        }
    }
    let failed = |error| format!("cannot listen for signals: {error}");
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hang_up = signal(SignalKind::hangup()).map_err(failed)?;

    let mut upstream = start(upstream(settings), "node")?;
    // Open for as long as the demo lives; `wait` would close it.
    let _alive = upstream.stdin.take();
    let mut envoy = start(envoy(settings), "Envoy")?;
    let mut told_to_end = std::pin::pin!(async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
        }
    });
    let failure = tokio::select! {
        () = &mut told_to_end => None,
        status = upstream.wait() => Some(format!("the upstream ended: {}", described(status))),
        status = envoy.wait() => Some(format!("Envoy ended: {}", described(status))),
        error = greet_and_watch(settings, watch) => Some(error),
    };
    // Ctrl-C reaches all three of us at once: a child that ended of it has not failed.
    let failure = match failure {
        Some(failure) => time::timeout(GRACE, told_to_end).await.is_err().then_some(failure),
        None => None,
    };
    stop(&mut envoy).await;
    stop(&mut upstream).await;
    failure.map_or(Ok(()), Err)
}

fn upstream(settings: &Settings) -> Command {
    let mut command = Command::new("node");
    command.args(["envoy/demo/upstream.mjs", &settings.upstream.to_string(), "127.0.0.1", "--follow-stdin"]);
    command.stdin(Stdio::piped());
    command
}

fn envoy(settings: &Settings) -> Command {
    let mut command = Command::new(&settings.envoy);
    command.arg("--config-path").arg(settings.path("envoy.yaml"));
    command.args(["--concurrency", WORKERS, "--disable-hot-restart"]);
    command.args(["--log-level", "warning", "--component-log-level", "wasm:info"]);
    // Asked to end, it does so at once: there is nobody to drain for.
    command.args(["--drain-time-s", "1", "--parent-shutdown-time-s", "2"]);
    command.stdin(Stdio::null());
    command
}

fn start(mut command: Command, what: &str) -> Result<Child> {
    command.kill_on_drop(true).spawn().map_err(|error| format!("cannot start {what}: {error}"))
}

fn described(status: std::io::Result<std::process::ExitStatus>) -> String {
    status.map_or_else(|error| error.to_string(), |status| status.to_string())
}

async fn stop(child: &mut Child) {
    // Killing is what ends Envoy within a second; neither child has anything to save.
    let _ = child.start_kill();
    let _ = child.wait().await;
}

/// Returns only with what went wrong.
async fn greet_and_watch(settings: &Settings, mut watch: Watch) -> String {
    let parent = std::os::unix::process::parent_id();
    if let Err(error) = until_serving(settings).await {
        return error;
    }
    println!("{}", greeting(settings));
    loop {
        time::sleep(BETWEEN_LOOKS).await;
        if std::os::unix::process::parent_id() != parent {
            return "whoever started the demo is gone".to_owned();
        }
        watch.look(settings);
    }
}

async fn until_serving(settings: &Settings) -> Result<()> {
    for _ in 0..300 {
        if status(settings.admin, "/ready").await.is_ok_and(|status| status == 200) {
            return match status(settings.http, "/").await {
                // What Envoy answers while it has no filter.
                Ok(500) => {
                    Err("Envoy has refused the filter or its policy; its log, above, says why".to_owned())
                }
                Ok(_) => Ok(()),
                Err(error) => Err(format!("Envoy does not answer: {error}")),
            };
        }
        time::sleep(Duration::from_millis(100)).await;
    }
    Err("Envoy was not ready within 30 seconds".to_owned())
}

async fn status(port: u16, path: &str) -> std::io::Result<u16> {
    let exchange = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = time::timeout(Duration::from_secs(5), exchange).await??;
    let code =
        answer.get(9..12).and_then(|code| std::str::from_utf8(code).ok()).and_then(|code| code.parse().ok());
    code.ok_or_else(|| std::io::Error::other("no HTTP answer"))
}
