//! Local rate limits: GCRA over a bounded table in the store that all workers share.
//!
//! [`Limiter::compile`] turns the [`LimitSpec`]s of a policy into a [`Limiter`], whose [`Limiter::check`]
//! admits a request under all of its limits or under none. [`quota`] and [`gcra`] hold the arithmetic,
//! [`place`] and [`slots`] the table, [`Terms`] which windows are in force, [`headers`] what clients are told.

use std::time::Duration;

use crate::{identity::ClaimPath, network::Networks};

mod admission;
mod charging;
mod compile;
pub mod gcra;
pub mod headers;
mod key;
mod limiter;
mod limits;
mod own_requests;
pub mod place;
mod prepayments;
pub mod quota;
mod section;
pub mod slots;
mod terms;
mod terms_record;

pub use admission::{Admission, Exceeded, LimitId, Standing};
pub use charging::Ledger;
pub use compile::{MAX_NAME, MAX_TABLES};
pub use key::{KnownPlace, PathVariables, Subject};
pub use limits::Limiter;
pub use place::SlotSecret;
pub use prepayments::Prepayments;
pub use section::MAX_WINDOWS;
pub use terms::Terms;

/// One limit, as configured. Values are in the form that is said here; nobody checks that again.
#[derive(Clone, Debug)]
pub struct LimitSpec {
    /// Unique name that rules refer to: 1 to [`MAX_NAME`] letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// What is counted apart; never empty, each part once. All parts together make the key.
    pub key: Vec<KeyPart>,
    /// All windows must admit the request; never empty.
    pub windows: Vec<WindowSpec>,
    /// Other windows for principals of a tier, each tier once; none before authentication.
    pub tiers: Vec<(String, Vec<WindowSpec>)>,
    /// Only requests with one of these methods (upper case) count; empty: all.
    pub methods: Vec<String>,
    /// Requests from these addresses do not count. Empty: none.
    pub exempt: Networks,
    /// Charged before authentication, for every request. Such a limit is not named in rules.
    pub before_authentication: bool,
    /// Counted and judged as any other, and refuses nothing. Default false.
    pub shadow: bool,
    /// Addresses are counted by this prefix, 1 to 32 bits. Default 32.
    pub ipv4_prefix: u8,
    /// 1 to 128 bits. Default 64: what one subscriber commonly holds.
    pub ipv6_prefix: u8,
}

#[cfg(test)]
impl LimitSpec {
    /// One that counts every request after authentication, for all tiers alike.
    fn of(name: &str, key: Vec<KeyPart>, windows: Vec<WindowSpec>) -> Self {
        Self {
            name: name.into(),
            key,
            windows,
            tiers: vec![],
            methods: vec![],
            exempt: Networks::default(),
            before_authentication: false,
            shadow: false,
            ipv4_prefix: 32,
            ipv6_prefix: 64,
        }
    }
}

/// `requests` per `per`, with up to `burst` at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WindowSpec {
    /// At least 1.
    pub requests: u32,
    /// At least 1 s, whole seconds.
    pub per: Duration,
    /// At least 1; equal to `requests` unless given.
    pub burst: u32,
    /// Whether callers may have numbers of their own in place of `requests`, and of `burst`, which is equal to it then. At
    /// most one window of a list.
    pub own: Option<OwnRequestsSpec>,
}

/// Numbers of requests that belong to callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnRequestsSpec {
    /// Where a token says its number; `None`: only API keys have any.
    pub claim: Option<ClaimPath>,
    /// At least `requests` of the window, and at most 1,000,000,000. Higher numbers of tokens stand for this one.
    pub max: u32,
}

/// One part of a limit's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPart {
    /// The client's address, cut to the limit's prefix length.
    RemoteAddress,
    /// Who is calling; after authentication only.
    Principal,
    /// Who acts for the principal; on rules that take two credentials only.
    Actor,
    /// The id of the API key; requests without one share one key.
    ApiKey,
    /// The name of the matched rule.
    Route,
    /// A header's value (lower case name); requests without it share one key.
    Header(String),
    /// A cookie's value; requests without it share one key.
    Cookie(String),
    /// A query parameter's value, decoded; requests without it share one key.
    Query(String),
    /// A header that providers set: the claim that the provider of the token sets it from, as [`KeyPart::Claim`]. Never what
    /// a client sends.
    ClaimHeader {
        /// Lower case.
        name: String,
        /// The name of each provider that sets it, and the claim; all others share one key.
        claims: Vec<(String, ClaimPath)>,
    },
    /// A claim of the token, by provider; of an API key and a certificate `sub` alone. Callers without it share one key.
    Claim(ClaimPath),
    /// A variable of the path, which every match of the rules has that name the limit.
    PathVariable(String),
    /// The host that is asked for, without port.
    Host,
}
