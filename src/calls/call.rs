//! What is sent, and where to.

use std::{fmt, time::Duration};

use crate::url::Url;

/// A request to send. Its `Debug` shows neither header values nor the body.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// The Envoy cluster.
    pub cluster: String,
    /// `:method`.
    pub method: &'static str,
    /// `:scheme`, `:authority` and `:path`.
    pub endpoint: Url,
    /// Other headers, lower case; may hold secrets. Bodies are read as they come, so every call also asks for
    /// `accept-encoding: identity`: without it a server may choose a coding (RFC 9110 section 12.5.3).
    pub headers: Vec<(&'static str, String)>,
    /// Empty for none; may hold secrets.
    pub body: Vec<u8>,
    /// When to give up; at least 1 ms, since Envoy takes less for no limit.
    pub timeout: Duration,
    /// A longer body is cut off one byte after this, so that it is seen to be too long.
    pub max_answer: usize,
}

impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call")
            .field("cluster", &self.cluster)
            .field("method", &self.method)
            .field("endpoint", &self.endpoint)
            .field("timeout", &self.timeout)
            .field("max_answer", &self.max_answer)
            .finish_non_exhaustive()
    }
}

/// Why a [`Call`] was not even sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// Envoy has no cluster of this name, at least not yet.
    NoCluster,
    /// The cluster has no host to send to, or as many requests as its circuit breaker allows.
    NoHost,
    /// Anything else.
    Refused,
}

impl Unsent {
    /// For operators.
    pub fn of(self, cluster: &str) -> String {
        match self {
            Self::NoCluster => format!("Envoy has no cluster {cluster:?}"),
            Self::NoHost => {
                format!("cluster {cluster:?} has no host to send to, or as many requests as it may")
            }
            Self::Refused => format!("cluster {cluster:?} took no request"),
        }
    }
}
