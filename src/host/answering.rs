//! Requests whose answer gets headers from us.
//!
//! Most streams end with an answer, which takes theirs out. For the others Envoy is not asked to tell when one is gone,
//! because every request would pay for that call: what they left is looked for on ticks.

use hashbrown::HashMap;

use super::abi;
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
    pub(super) fn insert(&mut self, stream: u32, exchange: Exchange) {
        if self.young.len().saturating_add(self.old.len()) < MOST {
            self.young.insert(stream, exchange);
        }
    }

    /// Most requests are in neither map, and most often both are empty.
    pub(super) fn take(&mut self, stream: u32) -> Option<Exchange> {
        [&mut self.young, &mut self.old]
            .into_iter()
            .filter(|exchanges| !exchanges.is_empty())
            .find_map(|exchanges| exchanges.remove(&stream))
    }

    /// Forgets streams that are gone; each is looked at once a call from the second one on. Leaves the host's effective
    /// context at any of the streams.
    pub(super) fn sweep(&mut self) {
        // A stream that is gone has no context.
        self.old.retain(|stream, _| abi::set_effective_context(*stream).is_ok());
        self.old.extend(self.young.drain());
    }
}
