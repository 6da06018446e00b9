//! `clientCertificates`: where certificates come from, and whom they stand for.

use super::{
    faults::quoted,
    model::{Bound, Form, Kind, Shape, optional, required},
    names::Definitions,
    reader::{Node, Object},
    roles::{self, HOLDER_ROLES, HOLDER_SCOPES, HOLDER_TIER},
    scalar::text,
};
use crate::certificate::{CertificatePrincipalSpec, ClientCertificatesSpec, NamePattern};

pub(super) static CLIENT_CERTIFICATES: Shape = Shape::new(&[
    optional(
        "forwardedClientCert",
        Kind::Object(&FORWARDED),
        "absent: the certificate of Envoy's own connection",
        "Whether proxies in front say which certificate they saw.",
    ),
    optional(
        "principals",
        Kind::List(
            "no principals; leave the field out to take every certificate",
            &Kind::Object(&CERTIFICATE_PRINCIPAL),
        ),
        "absent: every certificate is a principal, without roles and scopes",
        "The first entry that matches counts; a certificate that none matches is refused.",
    ),
]);

static FORWARDED: Shape = Shape::new(&[required(
    "trustedHops",
    Kind::Number(1, 16),
    "Number of proxies in front that are trusted to add to `x-forwarded-client-cert`. The element that counts is that \
     many from the right: the one that the outermost of them appended. With fewer elements there is no certificate.",
)]);

const NAMES: [&str; 3] = ["uri", "dns", "subject"];

pub(super) static CERTIFICATE_PRINCIPAL: Shape = Shape::bound(
    &[
        optional(
            "uri",
            Kind::Text(Form::UriPattern),
            "",
            "The certificate's name is this URI: `spiffe://td/ns/a`. `*` stands for one segment, as in \
             `spiffe://td/ns/*/sa/web`, and as the last one for all below: `spiffe://td/*` is a trust domain. The rest \
             is compared exactly.",
        ),
        optional(
            "dns",
            Kind::Text(Form::DnsPattern),
            "",
            "It is this DNS name: `api.example.com`, or `*.example.com` for one or more labels. In any case.",
        ),
        optional(
            "subject",
            Kind::Text(Form::Any),
            "",
            "It is this subject, as RFC 2253 text: `CN=a,O=Acme`. Compared exactly.",
        ),
        HOLDER_SCOPES,
        HOLDER_ROLES,
        HOLDER_TIER,
    ],
    &[Bound::One(&NAMES)],
);

pub(super) fn client_certificates(mut o: Object<'_>, defs: &Definitions) -> Option<ClientCertificatesSpec> {
    let hops = o.object("forwardedClientCert").and_then(|mut o| o.number("trustedHops"));
    let principals = o.objects("principals", |o| principal(o, defs));
    // Faulty and noted: never another source, or every certificate.
    if o.has("forwardedClientCert") != hops.is_some() || o.has("principals") != principals.is_some() {
        return None;
    }
    let trusted_hops = hops.unwrap_or(0).try_into().ok()?;
    Some(ClientCertificatesSpec { trusted_hops, principals })
}

fn principal(mut o: Object<'_>, defs: &Definitions) -> Option<CertificatePrincipalSpec> {
    let given = NAMES.iter().filter(|name| o.has(name)).count();
    let uri = o.take("uri").and_then(uri);
    let dns = o.take("dns").and_then(dns);
    let subject = o.text("subject").map(NamePattern::Subject);
    if given != 1 {
        return o.fault("give one of uri, dns and subject");
    }
    let scopes = o.texts("scopes");
    let roles = roles::held(&mut o, defs);
    let tier = o.text("tier");
    Some(CertificatePrincipalSpec {
        name: uri.or(dns).or(subject)?,
        scopes: scopes.unwrap_or_default(),
        roles: roles.unwrap_or_default(),
        tier,
    })
}

/// `spiffe://td/ns/a`; `*` as the last segment is all below, elsewhere one segment.
fn uri(node: Node<'_>) -> Option<NamePattern> {
    let (path, faults) = (node.path, node.faults);
    let text = text(node)?;
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    let mut segments = rest.split('/');
    let authority = segments.next().unwrap_or_default();
    // A `*` is a whole segment, and stands for no authority: whose names they are is said.
    let is_named = !scheme.contains('*') && !authority.is_empty() && !authority.contains('*');
    if !is_named || !segments.all(|segment| segment == "*" || !segment.contains('*')) {
        let shown = quoted(&text);
        let message = format!(
            "{shown} is not a URI such as spiffe://td/ns/a, nor a pattern such as spiffe://td/ns/*/sa/web or, for all \
             below, spiffe://td/ns/*"
        );
        faults.add(&path, message);
        return None;
    }
    if !rest.contains('*') {
        return Some(NamePattern::Uri(text));
    }
    let stem = text.strip_suffix("/*");
    let segments =
        stem.unwrap_or(&text).split('/').map(|segment| Some(segment.to_owned()).filter(|s| s != "*"));
    Some(NamePattern::UriLike { segments: segments.collect(), below: stem.is_some() })
}

/// `api.example.com`, or `*.example.com` for one or more labels before it.
fn dns(node: Node<'_>) -> Option<NamePattern> {
    let (path, faults) = (node.path, node.faults);
    let text = text(node)?.to_ascii_lowercase();
    let (name, below) = match text.strip_prefix("*.") {
        Some(name) => (name, true),
        None => (text.as_str(), false),
    };
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.split('.').all(|label| !label.is_empty() && label.chars().all(allowed)) {
        return Some(if below { NamePattern::DnsBelow(format!(".{name}")) } else { NamePattern::Dns(text) });
    }
    faults.add(&path, format!("{} is not a DNS name, nor one such as *.example.com", quoted(&text)));
    None
}
