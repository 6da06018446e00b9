//! The host's log as the target of the `log` crate, and of panics.

use log::{LevelFilter, Log, Metadata, Record};

use super::abi;

struct HostLog;

impl Log for HostLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            abi::log(Some(record.level()), &record.args().to_string());
        }
    }

    fn flush(&self) {}
}

/// To be called once, at the start.
pub(super) fn start() {
    // It can only fail where a log was set before.
    let _ = log::set_logger(&HostLog);
    log::set_max_level(LevelFilter::Info);
    std::panic::set_hook(Box::new(|panic| abi::log(None, &panic.to_string())));
}
