//! How often the host calls by itself, and what for.

use std::{cell::Cell, time::Duration};

use crate::{engine::WorkerState, replica::QUICK_TICK};

/// How often key sets are looked after and counters handed on. Fetches are decided there, so this bounds how late they
/// start.
const TICK: Duration = Duration::from_millis(250);

/// Where something in etcd is watched, ticks come more often, and most are for that alone.
pub(super) fn period(worker: &WorkerState) -> Duration {
    if worker.watches() { QUICK_TICK } else { TICK }
}

#[derive(Default)]
pub(super) struct Ticks {
    /// Since the last that was for everything.
    quick: Cell<u32>,
}

impl Ticks {
    /// Counts one of a worker that watches; whether it is for what is watched alone.
    pub(super) fn is_for_replicas_alone(&self) -> bool {
        let ticks = self.quick.get().saturating_add(1);
        let is_quick = QUICK_TICK.saturating_mul(ticks) < TICK;
        self.quick.set(if is_quick { ticks } else { 0 });
        is_quick
    }
}
