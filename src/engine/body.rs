//! The request's body, for stages that decide by it.

use std::time::Duration;

use super::{
    Attempt, Body,
    refusal::{AwaitedBody, Stop},
};
use crate::{answer::Reason, request::connection};

/// How long a client may take for a body that is decided by, from when it is first asked for. Senders of webhooks give up
/// after ten seconds or earlier, and whoever signs with a passkey sends little. A place among those that wait is taken that
/// long by whoever sends nothing.
const DEADLINE: Duration = Duration::from_secs(15);

impl Attempt<'_, '_> {
    /// The whole body, of at most `limit` bytes; empty where the request ends with its head. Else the request waits for it,
    /// and nothing of it reaches the upstream meanwhile.
    ///
    /// A request that waits is decided again from the start. So a stage that takes something for used, as a proof that is
    /// good once, comes behind those that ask for the body.
    pub(super) fn body(&mut self, limit: usize) -> Result<Vec<u8>, Stop> {
        if self.head.ends {
            return Ok(Vec::new());
        }
        // What follows an upgrade (RFC 9110 section 7.8) has no end, so it is longer than any limit.
        if connection::upgrades(self.head) || self.head.declared_length().is_some_and(|length| length > limit)
        {
            return Err(Reason::BodyTooLarge.into());
        }
        match (self.services.body)(limit) {
            Body::Whole(body) => {
                self.exchange.body_has_come();
                Ok(body)
            }
            Body::TooLong => Err(Reason::BodyTooLarge.into()),
            Body::Unavailable(why) => Err(self.refused(&why, Reason::BodyUnavailable)),
            Body::Coming => {
                let now = self.now();
                let until = *self.exchange.body_until.get_or_insert(now.saturating_add(DEADLINE));
                match until <= now {
                    true => Err(Reason::BodyTimeout.into()),
                    false => Err(Stop::AwaitBody(AwaitedBody { limit, until })),
                }
            }
        }
    }
}
