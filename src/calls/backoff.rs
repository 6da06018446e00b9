//! Which clients' calls have to wait because earlier calls failed.
//!
//! A server may fail for a token that somebody made up, so what fails for one client bars that client alone. Where it
//! fails for several clients, it counts as down. Then one call at a time finds out whether it is up again, by whichever
//! client comes first and has not just failed itself.

use std::time::Duration;

use hashbrown::HashMap;

use super::{Client, pacing::doubled};
use crate::time::Timestamp;

/// After this many failures in a row a client has to pause: first for [`FIRST_PAUSE`], twice as long after each further
/// failure, up to [`LONGEST_PAUSE`].
const FAILURES_TO_PAUSE: u32 = 3;
/// The first pause; for so long the question that failed is not asked again either.
pub(crate) const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// A server that has failed for so many clients since it last answered counts as down.
const CLIENTS_TO_BE_DOWN: u32 = 3;
/// Most clients whose failures are known.
const MAX_CLIENTS: usize = 256;

/// The failures of one server.
#[derive(Default)]
pub(crate) struct Backoff {
    clients: HashMap<Client, Failures>,
    /// For how many clients the server failed since it last answered.
    failed_for: u32,
    /// Counts answers.
    answers: u64,
}

/// The failures of one client in a row.
struct Failures {
    times: u32,
    until: Timestamp,
    /// The number of the last answer when this client was last counted in `failed_for`, so that it is counted once.
    counted: u64,
}

impl Backoff {
    /// Whether it failed for so many clients that one call at a time is all that anybody gets.
    pub(crate) fn is_down(&self) -> bool {
        self.failed_for >= CLIENTS_TO_BE_DOWN
    }

    /// Whether one call at a time is all that `client` gets.
    pub(crate) fn has_failed(&self, client: Client) -> bool {
        self.clients.get(&client).is_some_and(|failures| failures.times >= FAILURES_TO_PAUSE)
    }

    /// Whether `client` has to pause.
    pub(crate) fn pauses(&self, client: Client, now: Timestamp) -> bool {
        self.clients.get(&client).is_some_and(|failures| {
            let counts = self.is_down() || failures.times >= FAILURES_TO_PAUSE;
            counts && failures.until.lies_ahead(now, LONGEST_PAUSE)
        })
    }

    /// It answered a call of `client`.
    pub(crate) fn succeeded(&mut self, client: Client) {
        self.clients.remove(&client);
        self.failed_for = 0;
        self.answers = self.answers.wrapping_add(1);
    }

    /// It failed a call of `client`.
    pub(crate) fn failed(&mut self, client: Client, now: Timestamp) {
        self.make_room(client);
        let new = Failures { times: 0, until: now, counted: self.answers.wrapping_sub(1) };
        let failures = self.clients.entry(client).or_insert(new);
        failures.times = failures.times.saturating_add(1);
        let doublings = failures.times.saturating_sub(FAILURES_TO_PAUSE);
        let pause = doubled(FIRST_PAUSE, doublings, LONGEST_PAUSE);
        failures.until = now.saturating_add(pause);
        if std::mem::replace(&mut failures.counted, self.answers) != self.answers {
            self.failed_for = self.failed_for.saturating_add(1);
        }
    }

    /// How many clients there are whose failures are known.
    #[cfg(test)]
    pub(crate) fn known(&self) -> usize {
        self.clients.len()
    }

    /// Forgets whose pause ends first.
    fn make_room(&mut self, client: Client) {
        if self.clients.len() < MAX_CLIENTS || self.clients.contains_key(&client) {
            return;
        }
        let first = self.clients.iter().min_by_key(|(_, failures)| failures.until).map(|(client, _)| *client);
        if let Some(first) = first {
            self.clients.remove(&first);
        }
    }
}
