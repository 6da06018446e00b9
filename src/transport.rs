//! Whether the request came over TLS, and what to do if not.

use std::time::Duration;

/// As configured.
#[derive(Clone, Debug)]
pub struct TransportSpec {
    /// Default true.
    pub require_tls: bool,
    /// `host` or `host:port` that plaintext GET and HEAD requests are sent to by a 308; `None`: refused with 403.
    pub redirect_to: Option<String>,
    /// Number of proxies in front that are trusted to set `x-forwarded-proto`. 0 (default): only Envoy's own
    /// connection counts.
    pub trusted_hops: u32,
    /// `Strict-Transport-Security` on HTTPS answers (RFC 6797); `None`: not sent.
    pub hsts: Option<HstsSpec>,
}

/// RFC 6797 section 6.1.
#[derive(Clone, Debug)]
pub struct HstsSpec {
    /// At least 1 s.
    pub max_age: Duration,
    /// Default false.
    pub include_sub_domains: bool,
    /// Default false.
    pub preload: bool,
}
