//! Configuring: from the document's bytes to what serves.

use log::{error, info, warn};

use super::{
    access_log::AccessLog,
    host_calls::Host,
    policy_stats::{PolicyStats, Unshown},
    services::SharedData,
    serving::Serving,
    ticks,
};
use crate::{
    config, crypto,
    engine::WorkerState,
    fault::Fault,
    policy::Policy,
    store::{Expected, SharedStore, StoreError},
};

/// Compiles the policy; `None` when it has faults, which are logged.
///
/// A pure function of the configuration's bytes: if it passed on Envoy's main thread and failed on a worker, Envoy would
/// run that worker without the filter.
pub(super) fn configure<H: Host>(host: &H) -> Option<Serving<H>> {
    #[cfg(all(target_family = "wasm", feature = "faults"))]
    if !super::faults::on_configure() {
        return None;
    }
    let began = H::now();
    let bytes = host.plugin_configuration().unwrap_or_default();
    let (name, namespace) = names(host);
    let stats = PolicyStats::define(host, &name);
    let document = config::decode(&bytes);
    // They may be many megabytes, of which compiling makes use for something else.
    drop(bytes);
    match Policy::of(document, &namespace) {
        Ok(policy) => {
            let load_duration = H::now().since(began);
            let worker = WorkerState::new(policy, &namespace);
            if host.set_tick_period(ticks::period(&worker)).is_err() {
                warn!("the host gives no ticks: nothing is fetched, and nothing counted");
            }
            let hash = worker.policy().hash();
            warn_of(host, worker.policy().warnings(), &namespace, hash);
            if let Some(loss) = worker.policy().loss() {
                warn!("{loss}");
            }
            let (summary, mark) = (worker.policy().summary(), worker.policy().mark(&name));
            let shown = mark
                .as_ref()
                .map_or("no mark".into(), |mark| format!("mark \"wasm.{}\"", mark.escape_ascii()));
            stats.count_accepted(host, &namespace, hash);
            let access_log = AccessLog::new(worker.policy().access_log_names(&name));
            let unshown = Unshown::new(stats, hash, load_duration);
            let serving = Serving::new(host.clone(), worker, (mark, access_log), unshown);
            info!("policy loaded in {} ms: {summary}, {shown}", load_duration.as_millis());
            Some(serving)
        }
        Err(faults) => {
            stats.count_refused(host);
            if faults.len() > 1 {
                error!("policy refused: {} faults", faults.len());
            }
            for fault in faults {
                error!("policy refused: {fault}");
            }
            None
        }
    }
}

/// Logs the warnings of a policy once for all threads: who is the first to note in the shared data that it does.
/// Configuring itself does not depend on it.
fn warn_of(host: &impl Host, warnings: &[Fault], namespace: &str, hash: u64) {
    /// The command `portcullis check` shows them all.
    const SHOWN: usize = 20;
    if warnings.is_empty() {
        return;
    }
    let (key, hash) = (format!("{namespace}/warned"), hash.to_le_bytes());
    let shared = SharedData(host.clone());
    if let Ok(stored) = shared.get(&key) {
        if stored.as_ref().is_some_and(|stored| stored.value == hash) {
            return;
        }
        if shared.replace(&key, &hash, Expected::of(stored.as_ref())) == Err(StoreError::Conflict) {
            return;
        }
    }
    for warning in warnings.iter().take(SHOWN) {
        warn!("policy: {warning}");
    }
    if let Some(more @ 1..) = warnings.len().checked_sub(SHOWN) {
        warn!("policy: and {more} more warnings");
    }
}

/// The name of the filter that we are called for, and what keeps its state apart from that of others.
///
/// Name and id of the root are part of the configuration, and what Envoy's users tell filters apart by. Their digest is
/// always a short key, whatever the names.
pub(super) fn names(host: &impl Host) -> (Vec<u8>, String) {
    let [name, root_id] =
        ["plugin_name", "plugin_root_id"].map(|path| host.property(path).unwrap_or_default());
    let namespace = format!("portcullis/{}", crypto::short_digest(&[&name, &root_id]));
    (name, namespace)
}
