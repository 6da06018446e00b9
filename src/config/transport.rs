//! `transport`.

use super::{
    model::{Form, HOUR, Kind, SECOND, Shape, default, optional, required},
    reader::Object,
};
use crate::transport::{HstsSpec, TransportSpec};

pub(super) static TRANSPORT: Shape = Shape::new(&[
    default("requireTls", Kind::Boolean, "true", "Plaintext requests are refused."),
    optional(
        "redirectTo",
        Kind::Text(Form::Authority),
        "absent: plaintext gets 403",
        "Plaintext GET and HEAD get a 308 to this host instead; other methods still get 403. Refused together with \
         `requireTls: false`.",
    ),
    optional(
        "forwardedProto",
        Kind::Object(&FORWARDED_PROTO),
        "absent: only Envoy's own connection counts",
        "Whether proxies in front say which requests came by HTTPS.",
    ),
    optional(
        "hsts",
        Kind::Object(&HSTS),
        "absent: not sent",
        "`Strict-Transport-Security` on HTTPS answers (RFC 6797).",
    ),
]);

static FORWARDED_PROTO: Shape = Shape::new(&[required(
    "trustedHops",
    Kind::Number(1, 16),
    "Number of proxies in front that are trusted to set `x-forwarded-proto`: it must then be there once and be \
     `https`. Envoy keeps what they sent only with `xff_num_trusted_hops` set alike.",
)]);

static HSTS: Shape = Shape::new(&[
    // Two years, in the form that the preload list asks for, and room beyond. `max-age=0` would tell browsers to forget
    // the host (RFC 6797 section 6.1.1).
    required(
        "maxAge",
        Kind::Duration(SECOND, 99_999 * HOUR),
        "`max-age`, sent in whole seconds. Two years are `17520h`.",
    ),
    default("includeSubDomains", Kind::Boolean, "false", "For the hosts below this one, too."),
    default("preload", Kind::Boolean, "false", "Whether browsers may ship it."),
]);

pub(super) fn transport(mut o: Object<'_>) -> TransportSpec {
    let require_tls = o.boolean("requireTls");
    if o.has("redirectTo") && !require_tls {
        o.fault_at::<()>("redirectTo", "has no effect with requireTls: false");
    }
    let redirect_to = o.text("redirectTo");
    let trusted_hops = o.object("forwardedProto").and_then(|mut o| o.number("trustedHops"));
    let hsts = o.object("hsts").and_then(hsts);
    TransportSpec { require_tls, redirect_to, trusted_hops: trusted_hops.unwrap_or(0), hsts }
}

fn hsts(mut o: Object<'_>) -> Option<HstsSpec> {
    let max_age = o.duration("maxAge");
    let include_sub_domains = o.boolean("includeSubDomains");
    let preload = o.boolean("preload");
    Some(HstsSpec { max_age: max_age?, include_sub_domains, preload })
}
