//! What the engine asks of its host.

use std::fmt;

use crate::{
    calls::Client,
    crypto::{HostCrypto, NoHostCrypto},
    store::SharedStore,
    time::{Clock, Timestamp},
};

/// What has come of the body of a request.
///
/// Its `Debug` does not show it: it may hold credentials.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// Not all of it; the request may wait for the rest.
    Coming,
    /// All of it, byte for byte.
    Whole(Vec<u8>),
    /// More than was asked for, whether or not all of it has come.
    TooLong,
    /// It does not come, for this reason.
    Unavailable(&'static str),
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Coming => f.write_str("Coming"),
            Self::Whole(bytes) => write!(f, "Whole({} bytes)", bytes.len()),
            Self::TooLong => f.write_str("TooLong"),
            Self::Unavailable(why) => write!(f, "Unavailable({why})"),
        }
    }
}

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
    /// The request's body, of which no more than so many bytes are read. Asked for only where the head does not end the
    /// request. [`Body::Coming`] says, too, that the request has a place among those that wait for theirs.
    pub body: &'a dyn Fn(usize) -> Body,
    /// Which decision records the host's log takes.
    pub log_enabled: LogEnabled,
    /// Unpredictable bytes; `None` when there are none to be had.
    pub random: &'a dyn Fn() -> Option<[u8; 16]>,
}

impl<'a> HostServices<'a> {
    /// What every host has. It verifies no signatures, knows no client, lets no request wait and hands over no body, and
    /// its log takes every record, but where that is set otherwise.
    pub fn new(clock: Clock, store: &'a dyn SharedStore, random: &'a dyn Fn() -> Option<[u8; 16]>) -> Self {
        Self {
            clock,
            store,
            crypto: &NoHostCrypto,
            client: &Client::default,
            may_wait: &|| false,
            body: &|_| Body::Unavailable("the host hands over none"),
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
