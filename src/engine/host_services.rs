//! What the engine asks of its host.

use crate::{
    calls::Client,
    crypto::{HostCrypto, NoHostCrypto},
    store::SharedStore,
    time::{Clock, Timestamp},
};

/// What the engine asks of its host, for the length of one call.
pub struct HostServices<'a> {
    /// The time of the call.
    pub clock: Clock,
    /// State that all workers share.
    pub store: &'a dyn SharedStore,
    /// The host's crypto library.
    pub crypto: &'a dyn HostCrypto,
    /// Who sent the request. Asked about those alone that are about to take up what others share.
    pub client: &'a dyn Fn() -> Client,
    /// Whether the request may be told to wait; false when too many do, or too many of the same client.
    pub may_wait: &'a dyn Fn() -> bool,
    /// Which decision records the host's log takes.
    pub log_enabled: LogEnabled,
    /// Unpredictable bytes; `None` when there are none to be had.
    pub random: &'a dyn Fn() -> Option<[u8; 16]>,
}

impl<'a> HostServices<'a> {
    /// What every host has. It verifies no signatures, knows no client and lets no request wait, and its log takes every
    /// record, but where that is set otherwise.
    pub fn new(clock: Clock, store: &'a dyn SharedStore, random: &'a dyn Fn() -> Option<[u8; 16]>) -> Self {
        Self {
            clock,
            store,
            crypto: &NoHostCrypto,
            client: &Client::default,
            may_wait: &|| false,
            log_enabled: LogEnabled::ALL,
            random,
        }
    }

    /// The time of the call.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }
}

/// Which decision records the log takes at its level; others are not even written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogEnabled {
    /// Of requests that were refused.
    pub refused: bool,
    /// Of requests that were allowed.
    pub allowed: bool,
}

impl LogEnabled {
    /// The log takes every record.
    pub const ALL: Self = Self { refused: true, allowed: true };
}
