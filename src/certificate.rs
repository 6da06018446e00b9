//! Certificates of TLS clients: which one a request came with, and whom it speaks of.
//!
//! Envoy has checked the certificate, or a trusted proxy in front has; nothing here knows a certification authority.
//! A listener that lets unverified certificates in (`trust_chain_verification: ACCEPT_UNTRUSTED`) makes every name in
//! them worthless, and no attribute of Envoy tells.

use std::{borrow::Cow, fmt, sync::Arc};

use ct_codecs::{Decoder, Encoder, Hex};

use crate::{
    identity::{Principal, PrincipalKind},
    json::Members,
    request::RequestHead,
};

/// The header in which proxies pass certificates on (XFCC).
pub const FORWARDED_HEADER: &str = "x-forwarded-client-cert";

/// The most elements of that header that are read; one per proxy.
pub const MAX_ELEMENTS: usize = 32;

/// The longest name that is used, in bytes. A SPIFFE id has at most 2048, but none that long is given.
const MAX_NAME_LEN: usize = 512;

/// What is known of a client's certificate. Empty text counts as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerCertificate {
    /// SHA-256 of its DER form; `None` when the proxy did not pass it on.
    pub digest: Option<[u8; 32]>,
    /// The first URI of its subject alternative names, such as a SPIFFE id.
    pub uri: Option<String>,
    /// The first DNS name of them.
    pub dns: Option<String>,
    /// Its subject, as RFC 2253 text.
    pub subject: Option<String>,
}

/// Where certificates come from and whom they stand for, as configured.
#[derive(Clone, Debug, Default)]
pub struct ClientCertificatesSpec {
    /// Number of proxies in front that are trusted to add to `x-forwarded-client-cert`. 0 (default): only the
    /// certificate of Envoy's own connection counts.
    pub trusted_hops: usize,
    /// The first that matches counts, and a certificate that none matches authenticates nobody. `None`: every
    /// certificate is a principal, without roles and scopes.
    pub principals: Option<Vec<CertificatePrincipalSpec>>,
}

/// What the certificates of one name or pattern of names may.
#[derive(Clone, Debug)]
pub struct CertificatePrincipalSpec {
    /// Which.
    pub name: NamePattern,
    /// May be empty.
    pub scopes: Vec<String>,
    /// May be empty.
    pub roles: Vec<String>,
    /// `None`: no tier.
    pub tier: Option<String>,
}

/// A name, or many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamePattern {
    /// This URI, compared exactly.
    Uri(String),
    /// Every URI that begins with this (which ends with `/`) and goes on.
    UriBelow(String),
    /// This DNS name, compared without case.
    Dns(String),
    /// Every DNS name that ends with this (which begins with `.`) and has one label or more before it.
    DnsBelow(String),
    /// This subject, compared exactly.
    Subject(String),
}

/// `x-forwarded-client-cert` has a form that cannot be read in one way only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ForwardedError;

impl fmt::Display for ForwardedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("x-forwarded-client-cert is malformed")
    }
}

impl std::error::Error for ForwardedError {}

impl ClientCertificatesSpec {
    /// Whether the certificate of Envoy's own connection counts.
    pub fn of_connection(&self) -> bool {
        self.trusted_hops == 0
    }

    /// The certificate of the client that sent a request; `None`: it has shown none.
    ///
    /// Each proxy appends what it knows of its own client, so behind `n` trusted proxies the element that counts is
    /// the `n`th from the right: the one that the outermost of them added. What stands further left came from
    /// outside. Fewer elements than that: none.
    pub fn find<'a>(
        &self,
        head: &'a RequestHead<'_>,
    ) -> Result<Option<Cow<'a, PeerCertificate>>, ForwardedError> {
        if self.of_connection() {
            return Ok(head.peer_certificate.as_ref().map(Cow::Borrowed));
        }
        let mut elements = Vec::new();
        for value in head.values(FORWARDED_HEADER) {
            parse_elements(str::from_utf8(value).map_err(|_| ForwardedError)?, &mut elements)?;
        }
        let place = elements.len().checked_sub(self.trusted_hops);
        Ok(place.filter(|place| *place < elements.len()).map(|place| Cow::Owned(elements.swap_remove(place))))
    }

    /// Whom the certificate speaks of; `None`: nobody that the policy knows.
    ///
    /// Its name is the first URI, else the first DNS name, else the subject: what the issuer wrote for machines goes
    /// before what it wrote for people.
    pub fn principal(&self, certificate: &PeerCertificate) -> Option<Principal> {
        let (kind, name) = certificate.name()?;
        let fits = |spec: &&CertificatePrincipalSpec| spec.name.matches(kind, name);
        let granted = match &self.principals {
            None => None,
            Some(principals) => Some(principals.iter().find(fits)?),
        };
        let boxed = |names: &Vec<String>| names.iter().map(|name| name.as_str().into()).collect();
        Some(Principal {
            subject: name.into(),
            kind: PrincipalKind::ClientCertificate,
            authority: Arc::from(kind.as_str()),
            credential_id: certificate
                .digest
                .and_then(|digest| Hex::encode_to_string(digest).ok())
                .unwrap_or_default()
                .into(),
            scopes: granted.map(|spec| boxed(&spec.scopes)).unwrap_or_default(),
            roles: granted.map(|spec| boxed(&spec.roles)).unwrap_or_default(),
            permissions: Vec::new(),
            tier: granted.and_then(|spec| spec.tier.as_deref()).map(Into::into),
            claims: Members::default(),
        })
    }
}

/// Which of a certificate's names it is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NameKind {
    Uri,
    Dns,
    Subject,
}

impl NameKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Uri => "uri",
            Self::Dns => "dns",
            Self::Subject => "subject",
        }
    }
}

impl PeerCertificate {
    /// Its name, for operators; `None`: it has none that is used.
    pub(crate) fn shown_name(&self) -> Option<&str> {
        self.name().map(|(_, name)| name)
    }

    /// The first name that is there. A name that cannot stand in a log or a header is none, and then the
    /// certificate has no name: the next one is not meant.
    fn name(&self) -> Option<(NameKind, &str)> {
        let names =
            [(NameKind::Uri, &self.uri), (NameKind::Dns, &self.dns), (NameKind::Subject, &self.subject)];
        let given = names.into_iter().filter_map(|(kind, name)| Some((kind, name.as_deref()?)));
        let (kind, name) = given.into_iter().find(|(_, name)| !name.is_empty())?;
        (name.len() <= MAX_NAME_LEN && !name.chars().any(char::is_control)).then_some((kind, name))
    }
}

impl NamePattern {
    fn matches(&self, kind: NameKind, name: &str) -> bool {
        match (self, kind) {
            (Self::Uri(uri), NameKind::Uri) => uri == name,
            (Self::UriBelow(stem), NameKind::Uri) => {
                name.strip_prefix(stem.as_str()).is_some_and(|rest| !rest.is_empty())
            }
            (Self::Dns(dns), NameKind::Dns) => dns.eq_ignore_ascii_case(name),
            (Self::DnsBelow(suffix), NameKind::Dns) => {
                let start = name.len().checked_sub(suffix.len()).filter(|start| *start > 0);
                start.and_then(|start| name.get(start..)).is_some_and(|end| end.eq_ignore_ascii_case(suffix))
            }
            (Self::Subject(subject), NameKind::Subject) => subject == name,
            _ => false,
        }
    }
}

/// The 32 bytes behind 64 hexadecimal digits.
pub fn parse_digest(hex: &str) -> Option<[u8; 32]> {
    Hex::decode_to_vec(hex, None).ok()?.try_into().ok()
}

/// Reads the elements of one XFCC value: pairs joined by `;`, elements by `,`, both of which may stand in quotes.
///
/// Strict, because who stands behind an element decides: after a quoted value there is a separator or the end, so a
/// quote that a client leaves open in its own element cannot swallow what a proxy appends. Envoy does not quote URIs
/// and DNS names; an authority that signs names with `,` or `;` in them cannot be used with this header.
fn parse_elements(mut rest: &str, elements: &mut Vec<PeerCertificate>) -> Result<(), ForwardedError> {
    let mut element = PeerCertificate::default();
    // Of these there is one each in an element.
    let mut seen: Vec<&'static str> = Vec::new();
    loop {
        let (key, after) = rest.split_once('=').ok_or(ForwardedError)?;
        let key = key.trim_start_matches([' ', '\t']);
        if key.is_empty() || !key.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(ForwardedError);
        }
        let (value, after) = parse_value(after)?;
        if let Some(single) =
            ["hash", "subject", "cert", "chain"].into_iter().find(|name| name.eq_ignore_ascii_case(key))
        {
            if seen.contains(&single) {
                return Err(ForwardedError);
            }
            seen.push(single);
        }
        element.set(key, value)?;
        let after = after.trim_start_matches([' ', '\t']);
        rest = match after.split_at_checked(1) {
            Some((";", after)) => after,
            Some((",", after)) => {
                push(elements, std::mem::take(&mut element))?;
                seen.clear();
                after
            }
            Some(_) => return Err(ForwardedError),
            None => return push(elements, element),
        };
    }
}

fn push(elements: &mut Vec<PeerCertificate>, element: PeerCertificate) -> Result<(), ForwardedError> {
    if elements.len() >= MAX_ELEMENTS {
        return Err(ForwardedError);
    }
    elements.push(element);
    Ok(())
}

/// A value and what follows it. In quotes `\"` stands for `"`; without them a quote has no place.
fn parse_value(text: &str) -> Result<(Cow<'_, str>, &str), ForwardedError> {
    let Some(inner) = text.strip_prefix('"') else {
        let end = text.find([',', ';']).unwrap_or(text.len());
        let (value, rest) = text.split_at_checked(end).ok_or(ForwardedError)?;
        if value.contains('"') {
            return Err(ForwardedError);
        }
        return Ok((Cow::Borrowed(value.trim_matches([' ', '\t'])), rest));
    };
    let mut escaped = false;
    let end = inner.bytes().position(|byte| match (escaped, byte) {
        (false, b'"') => true,
        (_, byte) => {
            escaped = !escaped && byte == b'\\';
            false
        }
    });
    let (value, rest) = end.and_then(|end| inner.split_at_checked(end)).ok_or(ForwardedError)?;
    let value =
        if value.contains("\\\"") { Cow::Owned(value.replace("\\\"", "\"")) } else { Cow::Borrowed(value) };
    Ok((value, rest.strip_prefix('"').ok_or(ForwardedError)?))
}

impl PeerCertificate {
    /// Takes one pair; the first URI and the first DNS name count. Keys have no case, and others say nothing here.
    fn set(&mut self, key: &str, value: Cow<'_, str>) -> Result<(), ForwardedError> {
        if value.is_empty() {
            return Ok(());
        }
        match key.to_ascii_lowercase().as_str() {
            "hash" => self.digest = Some(parse_digest(&value).ok_or(ForwardedError)?),
            "uri" => _ = self.uri.get_or_insert_with(|| value.into_owned()),
            "dns" => _ = self.dns.get_or_insert_with(|| value.into_owned()),
            "subject" => self.subject = Some(value.into_owned()),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
