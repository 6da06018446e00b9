//! etcd, as far as it is spoken to: its v3 API by its JSON gateway, which has 64-bit numbers as text, bytes in base64, and
//! leaves out what is zero or empty (ProtoJSON).
//!
//! What is asked and what an answer says are values; what an entry means is the business of whoever keeps it there.

mod client;
mod error;
mod json;
mod login;
mod range;
mod transaction;

use std::time::Duration;

pub use self::{
    client::{Client, NotYet},
    error::{EtcdError, is_about_who_asks},
    login::{Login, Password, Token},
    range::{Item, Range, RangeRequest, end_of},
    transaction::{Operation, Transaction, TransactionAnswer},
};
use crate::url::Url;

/// Where a user logs in.
pub const AUTHENTICATE: &str = "/v3/auth/authenticate";

/// Where a [`RangeRequest`] goes.
pub const RANGE: &str = "/v3/kv/range";

/// Where a [`Transaction`] goes.
pub const TRANSACTION: &str = "/v3/kv/txn";

/// The most operations of one [`Transaction`], with room to spare: etcd takes 128 unless it is told otherwise.
pub const MOST_OPERATIONS: usize = 100;

/// An etcd, and who we are there.
#[derive(Clone, Debug)]
pub struct Server {
    /// The section of the policy that names it, for operators.
    pub section: &'static str,
    /// Where its JSON gateway is, without a path.
    pub endpoint: Url,
    /// The Envoy cluster that reaches it.
    pub cluster: String,
    /// What every key of ours begins with; it ends with `/`.
    pub prefix: String,
    /// Per call.
    pub timeout: Duration,
    /// `None`: it asks nobody who they are.
    pub login: Option<Login>,
}

impl Server {
    /// Whether `other` is the same place: the same prefix of the same etcd, as far as they are written alike.
    pub fn is_where(&self, other: &Self) -> bool {
        (&self.endpoint, &self.prefix) == (&other.endpoint, &other.prefix)
    }
}
