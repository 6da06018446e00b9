//! `transport`.

use std::time::Duration;

use super::{
    http_names::authority,
    reader::Node,
    scalar::{boolean, duration, integer},
};
use crate::transport::{HstsSpec, TransportSpec};

/// Without the section: TLS is required, nothing is redirected, no proxy is trusted, HSTS is not sent.
pub(super) const DEFAULT: TransportSpec =
    TransportSpec { require_tls: true, redirect_to: None, trusted_hops: 0, hsts: None };

/// Two years, in the form that the preload list asks for, and room beyond.
const MAX_AGE: Duration = Duration::from_secs(99_999 * 3600);

pub(super) fn transport(node: Node<'_>) -> Option<TransportSpec> {
    node.object(|o| {
        let require_tls = o.optional("requireTls", boolean).unwrap_or(DEFAULT.require_tls);
        if o.has("redirectTo") && !require_tls {
            o.fault_at::<()>("redirectTo", "has no effect with requireTls: false");
        }
        let redirect_to = o.optional("redirectTo", authority);
        let trusted_hops =
            o.optional("forwardedProto", |n| n.object(|o| o.required("trustedHops", integer(1..=16))));
        let hsts = o.optional("hsts", hsts);
        Some(TransportSpec {
            require_tls,
            redirect_to,
            trusted_hops: trusted_hops.unwrap_or(DEFAULT.trusted_hops),
            hsts,
        })
    })
}

fn hsts(node: Node<'_>) -> Option<HstsSpec> {
    node.object(|o| {
        // max-age=0 would tell browsers to forget the host (RFC 6797 section 6.1.1).
        let max_age = o.required("maxAge", duration(Duration::from_secs(1)..=MAX_AGE));
        let include_sub_domains = o.optional("includeSubDomains", boolean).unwrap_or(false);
        let preload = o.optional("preload", boolean).unwrap_or(false);
        Some(HstsSpec { max_age: max_age?, include_sub_domains, preload })
    })
}
