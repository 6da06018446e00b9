//! Requests whose answer gets headers from us.
//!
//! Most streams end with an answer, which takes theirs out. For the others Envoy is not asked to tell when one is gone,
//! because every request would pay for that call: what they left is looked for on ticks.

use hashbrown::HashMap;

use super::host_calls::Host;
use crate::engine::Exchange;

/// Most requests that are remembered, on one thread. The answer to one more lacks our headers and is right but for that.
const MOST: usize = 65_536;

/// By stream.
#[derive(Default)]
pub(super) struct Answering {
    /// Since the last look.
    young: HashMap<u32, Exchange>,
    /// Some of these streams may be gone.
    old: HashMap<u32, Exchange>,
}

impl Answering {
    /// As most often: then there is nothing to look for.
    pub(super) fn is_empty(&self) -> bool {
        self.young.is_empty() && self.old.is_empty()
    }

    #[inline(never)]
    pub(super) fn insert(&mut self, stream: u32, exchange: Exchange) {
        if self.young.len().saturating_add(self.old.len()) < MOST {
            self.young.insert(stream, exchange);
        }
    }

    #[inline(never)]
    pub(super) fn take(&mut self, stream: u32) -> Option<Exchange> {
        self.young.remove(&stream).or_else(|| self.old.remove(&stream))
    }

    /// Forgets streams that are gone; each is looked at once a call from the second one on. Leaves the host's effective
    /// context at any of the streams.
    pub(super) fn sweep(&mut self, host: &impl Host) {
        // A stream that is gone has no context.
        self.old.retain(|stream, _| host.set_effective_context(*stream).is_ok());
        self.old.extend(self.young.drain());
    }
}
