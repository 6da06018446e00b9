//! Tokens that mean nothing here: their issuer is asked about them (RFC 7662), and its word is kept for a while.
//!
//! Every worker holds one [`Introspector`] per provider that has an endpoint for it. A request with a token goes
//! through [`Introspector::lookup`]; where nothing is known, the engine sends what [`Introspector::start`] makes
//! and lets the request wait for the [`Ticket`]. Others with the same token wait for the same ticket. When the
//! call has ended, [`Introspector::on_answer`] gives the verdict for all who wait. It is theirs even where nothing
//! is kept, so they must not look it up again.
//!
//! Anyone can send tokens that nobody knows, and some make a server fail. So what calls take up, and what their
//! failures bar, is shared by [`Client`]: a flood from one address leaves the calls of others alone.
//!
//! Tokens are kept as SHA-256 digests only. Nothing here waits, sends or reads a clock.

mod answer;
mod cache;
mod client;
mod spec;
#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code may panic")]
mod tests;

use std::{rc::Rc, time::Duration};

use hashbrown::HashMap;

use self::cache::{Cache, Digest};
pub use self::{
    answer::{IntrospectionError, TokenRefusal},
    spec::{ClientProof, ClientSecret, IntrospectionMode, IntrospectionSpec},
};
use crate::{
    answer::Reason,
    calls::{Backoff, Call, Client, Counts, FIRST_PAUSE, Outcome, Room},
    crypto::sha256,
    jwt::{Provider, VerifiedToken, VouchedToken},
    time::Timestamp,
};

/// The most calls under way at once, per worker and provider; a third of them for one client alone.
pub const FLIGHTS: Room = Room { places: 128, spare: 2 };
/// The most active tokens that are kept, and their size in bytes.
const ACTIVE: (usize, usize) = (10_000, 8 << 20);
/// The same for refused tokens. Anyone can make those up, so they are kept apart and never push out active ones.
const REFUSED: (usize, usize) = (4096, 1 << 20);
/// What an entry takes beside its claims.
const ENTRY_COST: usize = 512;
/// How much memory names and headers made of claims take, for each byte of the answer.
const COST_PER_BYTE: usize = 2;
/// How much longer than its time-out a call may take; then whoever sent it is taken for dead.
const FLIGHT_MARGIN: Duration = Duration::from_secs(1);

/// What is known of a token. `T` is what the owner makes of an active one.
#[derive(Debug)]
pub enum Verdict<T> {
    /// The issuer says that it is active, and it is for us.
    Active(Rc<T>),
    /// It is refused.
    Refused(TokenRefusal),
    /// Nobody can tell now.
    Unavailable(IntrospectionError),
}

impl<T> Clone for Verdict<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Active(token) => Self::Active(Rc::clone(token)),
            Self::Refused(refusal) => Self::Refused(refusal.clone()),
            Self::Unavailable(error) => Self::Unavailable(*error),
        }
    }
}

impl<T> Verdict<T> {
    /// Why a request with this token is refused; `None`: it is not.
    pub fn reason(&self) -> Option<Reason> {
        match self {
            Self::Active(_) => None,
            Self::Refused(refusal) => Some(refusal.reason()),
            Self::Unavailable(_) => Some(Reason::IntrospectionUnavailable),
        }
    }
}

/// How far a token is known, which says what to do about it.
#[derive(Debug)]
pub enum TokenState<T> {
    /// All is known; there is nothing to do.
    Known(Verdict<T>),
    /// A call is under way: wait for it.
    InFlight(Ticket),
    /// Nothing is known: ask, by [`Introspector::start`].
    Unknown,
}

/// A call that is under way; to wait for, and to hand its outcome back with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    digest: Digest,
    number: u64,
}

/// One provider's tokens, as one worker knows them.
pub struct Introspector<T> {
    spec: IntrospectionSpec,
    issuer: String,
    max_token_size: usize,
    active: Cache<Verdict<T>>,
    refused: Cache<Verdict<T>>,
    flights: HashMap<Digest, Flight>,
    last_number: u64,
    backoff: Backoff,
    counts: Counts,
}

#[derive(Clone, Copy)]
struct Flight {
    number: u64,
    until: Timestamp,
    client: Client,
    /// Whether it was begun while the server counted as down, to find out whether it is up again.
    is_probe: bool,
}

impl<T> Introspector<T> {
    /// For the tokens of `provider`.
    pub fn new(spec: &IntrospectionSpec, provider: &Provider) -> Self {
        Self {
            issuer: provider.issuer().as_str().to_owned(),
            max_token_size: provider.spec().max_token_size,
            spec: spec.clone(),
            active: Cache::new(ACTIVE.0, ACTIVE.1),
            refused: Cache::new(REFUSED.0, REFUSED.1),
            flights: HashMap::new(),
            last_number: 0,
            backoff: Backoff::default(),
            counts: Counts::default(),
        }
    }

    /// What is known of `token` at `now`.
    pub fn lookup(&mut self, token: &str, now: Timestamp) -> TokenState<T> {
        // RFC 6749 appendix A.12, without the space, which no header can carry a token with.
        let fine = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
        if !fine || token.len() > self.max_token_size {
            return TokenState::Known(Verdict::Refused(TokenRefusal::Malformed));
        }
        let digest = sha256(token.as_bytes());
        if let Some(known) = self.active.find(&digest, now).or_else(|| self.refused.find(&digest, now)) {
            return TokenState::Known(known.clone());
        }
        match self.flights.get(&digest) {
            Some(flight) if now < flight.until => {
                TokenState::InFlight(Ticket { digest, number: flight.number })
            }
            _ => TokenState::Unknown,
        }
    }

    /// The call to send for a token that [`Introspector::lookup`] does not know, and that `client` sent. `random` is
    /// new for each call; without it no client assertion can be made.
    ///
    /// # Errors
    /// Why there is none: the request is to be refused.
    pub fn start(
        &mut self,
        token: &str,
        client: Client,
        now: Timestamp,
        random: Option<[u8; 16]>,
    ) -> Result<(Ticket, Call), IntrospectionError> {
        self.may_ask(client, now)?;
        let call = client::request(&self.spec, &self.issuer, token, now, random)
            .ok_or(IntrospectionError::NoProof)?;
        let digest = sha256(token.as_bytes());
        let number = self.last_number.wrapping_add(1);
        self.last_number = number;
        let until = now.saturating_add(self.longest_call());
        self.flights.insert(digest, Flight { number, until, client, is_probe: self.backoff.is_down() });
        self.counts.start();
        Ok((Ticket { digest, number }, call))
    }

    /// Takes the outcome of a call, and gives the verdict for all who wait for `ticket`. `provider` is the one that
    /// this was made of, and `make` makes of an active token what is kept.
    ///
    /// `None`: nobody waits for it any more, since it was given up.
    pub fn on_answer(
        &mut self,
        ticket: Ticket,
        outcome: Outcome<'_>,
        now: Timestamp,
        provider: &Provider,
        make: impl FnOnce(VerifiedToken) -> T,
    ) -> Option<Verdict<T>> {
        let flight = self.end_flight(ticket)?;
        let digest = ticket.digest;
        let size = if let Outcome::Answer { body, .. } = outcome { body.len() } else { 0 };
        let judged = answer::judge(outcome, provider, now);
        self.counts.end(judged.is_ok());
        match judged.as_ref().err() {
            None => self.backoff.succeeded(flight.client),
            Some(error) if error.blames_server() => self.backoff.failed(flight.client, now),
            Some(_) => {}
        }
        let keep_until = |life| now.saturating_add(life);
        let (verdict, until) = match judged {
            Ok(Ok(VouchedToken { token, expires })) => {
                let until = keep_until(self.spec.cache_duration);
                let claims = token.principal().claims.memory();
                let until = expires.map_or(until, |expires| until.min(expires));
                let verdict = Verdict::Active(Rc::new(make(token)));
                self.refused.remove(&digest);
                if now < until {
                    let made = size.saturating_mul(COST_PER_BYTE).saturating_add(ENTRY_COST);
                    let cost = claims.saturating_add(made);
                    self.active.insert(digest, verdict.clone(), cost, now, until);
                }
                return Some(verdict);
            }
            Ok(Err(refusal)) => (Verdict::Refused(refusal), keep_until(self.spec.inactive_cache_duration)),
            // For so long the same token is not asked about again.
            Err(error) => (Verdict::Unavailable(error), keep_until(FIRST_PAUSE)),
        };
        // It may be kept as active, for instance when the clock was set back. The issuer's last word counts.
        self.active.remove(&digest);
        if now < until {
            self.refused.insert(digest, verdict.clone(), ENTRY_COST, now, until);
        }
        Some(verdict)
    }

    /// The calls since the last time. One succeeded that the issuer answered, whatever it said of the token.
    pub fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    /// How long a call may take at most, for whoever waits for it.
    pub fn longest_call(&self) -> Duration {
        self.spec.timeout.saturating_add(FLIGHT_MARGIN)
    }

    /// `None`: it was over already.
    fn end_flight(&mut self, ticket: Ticket) -> Option<Flight> {
        let is_it = self.flights.get(&ticket.digest).is_some_and(|flight| flight.number == ticket.number);
        if is_it { self.flights.remove(&ticket.digest) } else { None }
    }

    fn may_ask(&mut self, client: Client, now: Timestamp) -> Result<(), IntrospectionError> {
        if self.backoff.pauses(client, now) {
            return Err(IntrospectionError::BackingOff);
        }
        let (longest, counts) = (self.longest_call(), &mut self.counts);
        self.flights.retain(|_, flight| {
            let lasts = flight.until.lies_ahead(now, longest);
            if !lasts {
                counts.end(false);
            }
            lasts
        });
        let own = self.flights.values().filter(|flight| flight.client == client).count();
        let is_probed = self.backoff.is_down() && self.flights.values().any(|flight| flight.is_probe);
        if is_probed || (self.backoff.has_failed(client) && own > 0) {
            return Err(IntrospectionError::BackingOff);
        }
        if FLIGHTS.may_take(own, self.flights.len()) { Ok(()) } else { Err(IntrospectionError::Busy) }
    }
}
