//! `clientCertificates`: where certificates come from, and whom they stand for.

use super::{
    names::Definitions,
    reader::{Node, quoted},
    roles,
    scalar::{integer, label, scope, text, unique},
};
use crate::certificate::{CertificatePrincipalSpec, ClientCertificatesSpec, NamePattern};

pub(super) fn client_certificates(node: Node<'_>, defs: &Definitions) -> Option<ClientCertificatesSpec> {
    node.object(|o| {
        let forwarded = o.has("forwardedClientCert");
        let hops =
            o.optional("forwardedClientCert", |n| n.object(|o| o.required("trustedHops", integer(1..=16))));
        let listed = o.has("principals");
        let principals = o.optional("principals", |n| {
            n.filled("no principals; leave the field out to take every certificate", |n| principal(n, defs))
        });
        // Faulty and noted: never another source, or every certificate.
        if forwarded != hops.is_some() || listed != principals.is_some() {
            return None;
        }
        Some(ClientCertificatesSpec { trusted_hops: hops.unwrap_or(0), principals })
    })
}

fn principal(node: Node<'_>, defs: &Definitions) -> Option<CertificatePrincipalSpec> {
    node.object(|o| {
        let given = ["uri", "dns", "subject"].iter().filter(|name| o.has(name)).count();
        let uri = o.optional("uri", uri);
        let dns = o.optional("dns", dns);
        let subject = o.optional("subject", text).map(NamePattern::Subject);
        if given != 1 {
            return o.fault("give one of uri, dns and subject");
        }
        let scopes = o.optional("scopes", |n| unique(n, "no scopes; leave the field out", scope));
        let roles = o.optional("roles", |n| roles::held(n, defs));
        let tier = o.optional("tier", label);
        Some(CertificatePrincipalSpec {
            name: uri.or(dns).or(subject)?,
            scopes: scopes.unwrap_or_default(),
            roles: roles.unwrap_or_default(),
            tier,
        })
    })
}

/// `spiffe://td/ns/a`, or `spiffe://td/ns/*` for all below.
fn uri(node: Node<'_>) -> Option<NamePattern> {
    let (path, faults) = (node.path, node.faults);
    let text = text(node)?;
    let stem = text.strip_suffix('*');
    let plain = !stem.unwrap_or(&text).contains('*');
    // A pattern ends with a whole segment, and names at least an authority: spiffe://td/*.
    let (_, rest) = text.split_once("://").unwrap_or_default();
    let authority = rest.split('/').next().unwrap_or_default();
    let named = !authority.is_empty() && !authority.contains('*');
    match stem {
        Some(stem) if plain && named && stem.ends_with('/') => Some(NamePattern::UriBelow(stem.to_owned())),
        None if plain && named => Some(NamePattern::Uri(text)),
        _ => {
            faults.add(
                &path,
                format!(
                    "{} is not a URI such as spiffe://td/ns/a, or spiffe://td/ns/* for all below",
                    quoted(&text)
                ),
            );
            None
        }
    }
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
