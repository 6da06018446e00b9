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

/// What the transport of a request comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportDecision {
    /// Go on.
    Pass {
        /// The answer travels over TLS, so it may carry HSTS.
        secure: bool,
    },
    /// Answer with a permanent redirect to this authority over `https`.
    Redirect(String),
    /// Refuse.
    Refuse,
}

/// The compiled transport policy.
#[derive(Clone, Debug)]
pub struct Transport {
    require_tls: bool,
    redirect_to: Option<String>,
    trusts_forwarded_proto: bool,
    hsts: Option<String>,
}

impl Transport {
    /// Values are already within their ranges.
    pub fn compile(spec: &TransportSpec) -> Self {
        Self {
            require_tls: spec.require_tls,
            redirect_to: spec.redirect_to.clone(),
            trusts_forwarded_proto: spec.trusted_hops > 0,
            hsts: spec.hsts.as_ref().map(HstsSpec::header_value),
        }
    }

    /// Whether the decision needs to know if the connection carried TLS.
    pub fn needs_connection(&self) -> bool {
        self.require_tls || self.hsts.is_some()
    }

    /// `Strict-Transport-Security` for secure answers; `None`: none is configured.
    pub fn hsts(&self) -> Option<&str> {
        self.hsts.as_deref()
    }

    /// Decides from the connection and, behind a declared trusted hop, from `x-forwarded-proto`.
    ///
    /// `forwarded_proto` is every value of that header: one that is not exactly `https` is not TLS, and so
    /// are several, since two hops that disagree cannot both be believed.
    pub fn decide<'a>(
        &self,
        connection_tls: bool,
        mut forwarded_proto: impl Iterator<Item = &'a [u8]>,
        method: &[u8],
    ) -> TransportDecision {
        let secure = if self.trusts_forwarded_proto {
            let first = forwarded_proto.next();
            first.is_some_and(|value| value.eq_ignore_ascii_case(b"https"))
                && forwarded_proto.next().is_none()
        } else {
            connection_tls
        };
        if secure || !self.require_tls {
            return TransportDecision::Pass { secure };
        }
        match &self.redirect_to {
            // Only safe methods: by the time we answer, the body of any other went over the wire in the clear.
            Some(authority) if matches!(method, b"GET" | b"HEAD") => {
                TransportDecision::Redirect(authority.clone())
            }
            _ => TransportDecision::Refuse,
        }
    }
}

impl HstsSpec {
    fn header_value(&self) -> String {
        let mut value = format!("max-age={}", self.max_age.as_secs());
        if self.include_sub_domains {
            value.push_str("; includeSubDomains");
        }
        if self.preload {
            value.push_str("; preload");
        }
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transport(require_tls: bool, redirect_to: Option<&str>, trusted_hops: u32) -> Transport {
        Transport::compile(&TransportSpec {
            require_tls,
            redirect_to: redirect_to.map(str::to_owned),
            trusted_hops,
            hsts: None,
        })
    }

    #[test]
    fn only_tls_or_a_trusted_hop_passes() {
        use TransportDecision::{Pass, Redirect, Refuse};
        let redirect = || Redirect("api.example.com".to_owned());
        type Row = (bool, Option<&'static str>, u32, bool, &'static [&'static [u8]], &'static [u8]);
        let rows: [(Row, TransportDecision); 14] = [
            ((true, None, 0, true, &[], b"GET"), Pass { secure: true }),
            ((true, None, 0, false, &[], b"GET"), Refuse),
            ((true, None, 0, false, &[b"https"], b"GET"), Refuse),
            ((true, None, 1, false, &[b"https"], b"GET"), Pass { secure: true }),
            ((true, None, 1, false, &[b"HTTPS"], b"GET"), Pass { secure: true }),
            ((true, None, 1, false, &[b"http"], b"GET"), Refuse),
            ((true, None, 1, true, &[b"http"], b"GET"), Refuse),
            ((true, None, 1, true, &[], b"GET"), Refuse),
            ((true, None, 1, false, &[b"https", b"http"], b"GET"), Refuse),
            ((true, None, 1, false, &[b"https,http"], b"GET"), Refuse),
            ((true, Some("api.example.com"), 0, false, &[], b"GET"), redirect()),
            ((true, Some("api.example.com"), 0, false, &[], b"HEAD"), redirect()),
            ((true, Some("api.example.com"), 0, false, &[], b"POST"), Refuse),
            ((false, None, 0, false, &[], b"POST"), Pass { secure: false }),
        ];
        for ((require, to, hops, tls, proto, method), expected) in rows {
            let decision = transport(require, to, hops).decide(tls, proto.iter().copied(), method);
            assert_eq!(decision, expected, "{require} {to:?} {hops} {tls} {proto:?} {method:?}");
        }
    }
}
