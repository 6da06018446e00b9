//! What Envoy's stats say of policies: how many were taken and refused, which one is in force, and since when.
//!
//! A policy is configured on each thread, first of all on trial on Envoy's main thread, where one with a fault ends. So
//! one that is refused is counted there. One that is taken is counted by whoever is the first to write it into the log of
//! policies in the shared data.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use super::{
    host_calls::{Host, Metric},
    services::SharedData,
};
use crate::{
    store::{self, StoreError},
    time::Timestamp,
};

/// Longest name of a filter or a rule within the name of a stat.
const MAX_NAME: usize = 64;

/// The stats of one filter, by its name. Without an id a metric could not be defined and says nothing.
pub(super) struct PolicyStats {
    accepted: Option<u32>,
    refused: Option<u32>,
    hash: Option<u32>,
    loaded_at: Option<u32>,
    load_duration: Option<u32>,
}

impl PolicyStats {
    pub(super) fn define(host: &impl Host, filter: &[u8]) -> Self {
        let label = label(filter);
        let counter = |result| {
            let name = format!("portcullis_policy_loads._result={result}_{label}");
            host.define_metric(Metric::Counter, &name)
        };
        let gauge = |what| host.define_metric(Metric::Gauge, &format!("portcullis_policy_{what}{label}"));
        Self {
            accepted: counter("accepted"),
            refused: counter("refused"),
            hash: gauge("hash"),
            loaded_at: gauge("last_load_success_timestamp_seconds"),
            load_duration: gauge("last_load_duration_microseconds"),
        }
    }

    pub(super) fn count_refused(&self, host: &impl Host) {
        if let Some(id) = self.refused {
            host.increment_metric(id, 1);
        }
    }

    /// Counts the policy with this hash as taken, unless another thread has.
    pub(super) fn count_accepted(&self, host: &impl Host, namespace: &str, hash: u64) {
        if note_taken(host, namespace, hash) == Ok(true)
            && let Some(id) = self.accepted
        {
            host.increment_metric(id, 1);
        }
    }

    /// Says that this policy is in force; nothing, if that is what is said already.
    fn show(&self, host: &impl Host, hash: u64, load_duration: Duration, now: Timestamp) {
        let (Some(shown), Some(loaded_at), Some(took)) = (self.hash, self.loaded_at, self.load_duration)
        else {
            return;
        };
        if host.metric(shown) != Some(hash) {
            host.record_metric(shown, hash);
            host.record_metric(loaded_at, now.as_secs());
            host.record_metric(took, u64::try_from(load_duration.as_micros()).unwrap_or(u64::MAX));
        }
    }
}

/// A policy that waits to be shown as the one in force.
///
/// That is left to the first tick: the trial has none, and of what Envoy drops after all, because something else in the
/// same update has a fault, there is none either.
pub(super) struct Unshown {
    stats: PolicyStats,
    hash: u64,
    /// How long it took to read and compile it on this thread.
    load_duration: Duration,
    is_due: Cell<bool>,
}

impl Unshown {
    pub(super) fn new(stats: PolicyStats, hash: u64, load_duration: Duration) -> Self {
        Self { stats, hash, load_duration, is_due: Cell::new(true) }
    }

    /// Another policy of this filter was configured on this thread.
    pub(super) fn drop_out(&self) {
        self.is_due.set(false);
    }

    /// To be called with every tick.
    pub(super) fn on_tick(&self, host: &impl Host, now: Timestamp) {
        if self.is_due.replace(false) {
            self.stats.show(host, self.hash, self.load_duration, now);
        }
    }
}

fn label(filter: &[u8]) -> String {
    format!("._filter={}_", shown_name(filter))
}

/// A name as it stands in the names of stats. Names of filters are any bytes; what a label can do without becomes `_`. So do
/// dots at the end, which Envoy leaves out of labels: two stats would have the same.
pub(super) fn shown_name(name: &[u8]) -> String {
    let shown = name.iter().take(MAX_NAME).map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b':' | b'/' | b'@' => char::from(*byte),
        _ => '_',
    });
    let shown: String = shown.collect();
    let stem = shown.trim_end_matches('.');
    format!("{stem:_<width$}", width = shown.len())
}

thread_local! {
    /// How far this VM has come in the log of each filter, by namespace.
    static PLACES: RefCell<Vec<(String, u64)>> = const { RefCell::new(Vec::new()) };
}

/// Writes down that the policy with this hash was taken; whether that is news.
fn note_taken(host: &impl Host, namespace: &str, hash: u64) -> Result<bool, StoreError> {
    const TRIES: usize = 16;
    PLACES.with_borrow_mut(|places| {
        let known = places.iter_mut().find(|(of, _)| of == namespace);
        let (mut at, mut is_new) = (0, false);
        store::update(&SharedData(host.clone()), &format!("{namespace}/policies"), TRIES, &mut |stored| {
            let mut log = Log::read(stored.unwrap_or_default());
            (at, is_new) = log.take(known.as_ref().map(|(_, at)| *at), hash);
            is_new.then(|| log.written())
        })?;
        match known {
            Some((_, known)) => *known = at,
            None => places.push((namespace.to_owned(), at)),
        }
        Ok(is_new)
    })
}

/// The policies of one filter that were taken last, numbered.
///
/// Every VM goes through the same policies in the same order, but not at the same time. Where each of them is in the log
/// tells a policy that it has yet to catch up with from one that comes back.
#[derive(Debug, Default, PartialEq, Eq)]
struct Log {
    /// The number of the last one; 0: there was none.
    last: u64,
    /// Hashes, the last one at the end.
    hashes: Vec<u64>,
}

impl Log {
    const KEPT: usize = 16;

    /// What cannot be read is as good as nothing.
    fn read(bytes: &[u8]) -> Self {
        let (numbers, rest) = bytes.as_chunks::<8>();
        let mut numbers = numbers.iter().map(|number| u64::from_le_bytes(*number));
        match numbers.next() {
            Some(last) if rest.is_empty() && numbers.len() <= Self::KEPT => {
                Self { last, hashes: numbers.collect() }
            }
            _ => Self::default(),
        }
    }

    fn written(&self) -> Vec<u8> {
        std::iter::once(&self.last).chain(&self.hashes).flat_map(|number| number.to_le_bytes()).collect()
    }

    /// Takes a policy on a VM that is at number `at`; `None`: it has had none yet. The number of the policy, and whether it is new.
    fn take(&mut self, at: Option<u64>, hash: u64) -> (u64, bool) {
        let before = self.last.saturating_sub(u64::try_from(self.hashes.len()).unwrap_or(u64::MAX));
        let mut numbered =
            (before.saturating_add(1)..).zip(&self.hashes).filter(|(_, known)| **known == hash);
        // A VM that is new, on trial or after a trap, has the latest of its kind.
        let known = match at {
            None => numbered.last(),
            Some(at) => numbered.find(|(number, _)| *number >= at),
        };
        if let Some((number, _)) = known {
            return (number, false);
        }
        self.last = self.last.saturating_add(1);
        self.hashes.push(hash);
        if self.hashes.len() > Self::KEPT {
            self.hashes.remove(0);
        }
        (self.last, true)
    }
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Some VMs that go through policies; each says how many it counted.
    #[derive(Default)]
    struct Vms {
        log: Vec<u8>,
        at: Vec<Option<u64>>,
        counted: u64,
    }

    impl Vms {
        fn of(count: usize) -> Self {
            Self { at: vec![None; count], ..Self::default() }
        }

        fn configure(&mut self, vm: usize, hash: u64) {
            let mut log = Log::read(&self.log);
            let (at, is_new) = log.take(self.at[vm], hash);
            self.at[vm] = Some(at);
            if is_new {
                self.counted += 1;
                self.log = log.written();
            }
        }

        /// A VM that is gone afterwards.
        fn try_out(&mut self, hash: u64) {
            self.at.push(None);
            self.configure(self.at.len() - 1, hash);
            self.at.pop();
        }
    }

    #[test]
    fn a_policy_is_counted_once_however_many_threads_take_it() {
        let mut vms = Vms::of(3);
        for (hash, counted) in [(7, 1), (8, 2), (7, 3), (7, 3), (9, 4)] {
            vms.try_out(hash);
            (0..3).for_each(|vm| vms.configure(vm, hash));
            assert_eq!(vms.counted, counted, "{hash}");
        }
    }

    /// Envoy tries no policy twice while it knows it.
    #[test]
    fn a_policy_that_comes_back_is_counted_without_trial() {
        let mut vms = Vms::of(2);
        vms.try_out(7);
        vms.try_out(8);
        for hash in [7, 8, 7, 8] {
            (0..2).for_each(|vm| vms.configure(vm, hash));
        }
        assert_eq!(vms.counted, 4);
    }

    #[test]
    fn filters_of_one_name_are_counted_once_each() {
        let mut vms = Vms::of(3);
        // Workers start when all is configured on the main thread.
        for hash in [7, 8] {
            vms.try_out(hash);
            vms.configure(0, hash);
        }
        for vm in [1, 2] {
            vms.configure(vm, 7);
            vms.configure(vm, 8);
        }
        assert_eq!(vms.counted, 2);
    }

    #[test]
    fn a_vm_that_starts_anew_counts_nothing() {
        let mut vms = Vms::of(2);
        for hash in [7, 8, 9] {
            (0..2).for_each(|vm| vms.configure(vm, hash));
        }
        vms.at[1] = None;
        vms.configure(1, 9);
        (0..2).for_each(|vm| vms.configure(vm, 7));
        assert_eq!(vms.counted, 4);
    }

    proptest! {
        /// However far some of them are behind, once they have begun.
        #[test]
        fn no_thread_is_too_late(
            policies in prop::collection::vec(0_u64..4, 1..16),
            turns in prop::collection::vec(0_usize..3, 0..64),
        ) {
            let mut policies = policies;
            policies.dedup();
            let mut vms = Vms::of(3);
            (0..3).for_each(|vm| vms.configure(vm, policies[0]));
            let mut done = [1; 3];
            let rest = (0..3).flat_map(|vm| [vm; 16]);
            for vm in turns.into_iter().chain(rest) {
                if let Some(hash) = policies.get(done[vm]) {
                    done[vm] += 1;
                    vms.configure(vm, *hash);
                }
            }
            prop_assert_eq!(vms.counted, u64::try_from(policies.len()).unwrap());
        }

        #[test]
        fn whatever_stands_there_is_read(bytes in prop::collection::vec(any::<u8>(), 0..300), at: Option<u64>) {
            let mut log = Log::read(&bytes);
            log.take(at, 7);
            prop_assert!(log.hashes.len() <= Log::KEPT);
            let again = Log::read(&log.written());
            prop_assert_eq!(again, log);
        }
    }

    #[test]
    fn names_of_filters_are_fit_for_labels() {
        for (name, expected) in [
            (&b"portcullis"[..], "._filter=portcullis_"),
            (b"ns.waf-2:a/b@c", "._filter=ns.waf-2:a/b@c_"),
            (b"a b\0\"\xc4\x8d_=", "._filter=a_b_______"),
            (b"", "._filter=_"),
            (b".a.b..", "._filter=.a.b___"),
            (&[b'x'; 3000], &format!("._filter={}_", "x".repeat(64))),
        ] {
            assert_eq!(label(name), expected);
        }
    }
}
