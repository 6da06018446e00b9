//! Counters and gauges of Envoy's stats, as one thread adds to them. A change is a host call, so it is kept here and handed
//! on with a tick.

use std::cell::Cell;

use super::host_calls::{Host, Metric};

/// One counter. Without an id it could not be defined and is not counted; decisions do not depend on it.
pub(super) struct Counter {
    id: Option<u32>,
    /// Not handed on yet.
    count: Cell<u32>,
}

impl Counter {
    pub(super) fn define(host: &impl Host, name: &str) -> Self {
        Self { id: host.define_metric(Metric::Counter, name), count: Cell::new(0) }
    }

    pub(super) fn add(&self, count: u32) {
        self.count.set(self.count.get().saturating_add(count));
    }

    pub(super) fn flush(&self, host: &impl Host) {
        if let (Some(id), count @ 1..) = (self.id, self.count.take()) {
            host.increment_metric(id, count.into());
        }
    }
}

/// One counter that is defined when there is something to count, for Envoy never forgets one.
#[derive(Default)]
pub(super) struct LateCounter {
    /// `None`: it is not defined yet.
    id: Option<u32>,
    /// Not handed on yet.
    count: u32,
}

impl LateCounter {
    #[inline]
    pub(super) const fn add_one(&mut self) {
        self.count = self.count.saturating_add(1);
    }

    /// What was not handed on yet.
    #[cfg(test)]
    pub(super) const fn count(&self) -> u32 {
        self.count
    }

    /// Hands on what was counted. `name` is what it is called.
    pub(super) fn flush(&mut self, host: &impl Host, name: impl FnOnce() -> String) {
        if self.count == 0 {
            return;
        }
        self.id = self.id.or_else(|| host.define_metric(Metric::Counter, &name()));
        if let Some(id) = self.id {
            host.increment_metric(id, self.count.into());
            self.count = 0;
        }
    }
}

/// A gauge that is the sum of what all threads have.
pub(super) struct Share {
    id: Option<u32>,
    /// What of the gauge is this thread's.
    handed_on: Cell<u32>,
}

impl Share {
    pub(super) fn define(host: &impl Host, name: &str) -> Self {
        Self { id: host.define_metric(Metric::Gauge, name), handed_on: Cell::new(0) }
    }

    /// This thread has so many now.
    pub(super) fn set(&self, host: &impl Host, value: u32) {
        let change = i64::from(value).saturating_sub(self.handed_on.replace(value).into());
        if let (Some(id), 1.. | ..=-1) = (self.id, change) {
            host.increment_metric(id, change);
        }
    }
}
