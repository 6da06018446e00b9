//! Client certificates as credentials: where they are looked for, and whom they stand for.

use std::{borrow::Cow, sync::Arc};

use crate::{
    identity::{Principal, PrincipalKind},
    json::Members,
    request::{
        RequestHead,
        client_certificate::{ForwardedError, PeerCertificate, forwarded},
    },
    text::hex,
};

/// The longest name that is used, in bytes. A SPIFFE id has at most 2048, but none that long is given.
const MAX_NAME_LEN: usize = 512;

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
    /// Every URI that has these segments.
    UriLike {
        /// What stands between the slashes, from the scheme on, compared exactly. `None`: any one segment that is not empty
        /// and leads nowhere else (`.`, `..`).
        segments: Vec<Option<String>>,
        /// Whether more segments follow, at least one.
        below: bool,
    },
    /// This DNS name, compared without case.
    Dns(String),
    /// Every DNS name that ends with this (which begins with `.`) and has one label or more before it.
    DnsBelow(String),
    /// This subject, compared exactly.
    Subject(String),
}

impl ClientCertificatesSpec {
    /// Whether the certificate of Envoy's own connection counts.
    pub fn of_connection(&self) -> bool {
        self.trusted_hops == 0
    }

    /// The certificate of the client that sent a request; `None`: it has shown none.
    pub fn find<'a>(
        &self,
        head: &'a RequestHead<'_>,
    ) -> Result<Option<Cow<'a, PeerCertificate>>, ForwardedError> {
        if self.of_connection() {
            return Ok(head.peer_certificate.as_ref().map(Cow::Borrowed));
        }
        Ok(forwarded(head, self.trusted_hops)?.map(Cow::Owned))
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
            credential_id: certificate.digest.map(|digest| hex::encode(&digest)).unwrap_or_default().into(),
            scopes: granted.map(|spec| boxed(&spec.scopes)).unwrap_or_default(),
            roles: granted.map(|spec| boxed(&spec.roles)).unwrap_or_default(),
            roles_unclear: false,
            permissions: Vec::new(),
            tier: granted.and_then(|spec| spec.tier.as_deref()).map(Into::into),
            own_requests: vec![],
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
            (Self::UriLike { segments, below }, NameKind::Uri) => {
                let mut own = name.split('/');
                let fits = |wanted: &Option<String>| match (wanted, own.next()) {
                    (Some(wanted), Some(segment)) => wanted == segment,
                    (None, Some(segment)) => !matches!(segment, "" | "." | ".."),
                    (_, None) => false,
                };
                segments.iter().all(fits)
                    && if *below {
                        own.next().is_some_and(|rest| !rest.is_empty())
                    } else {
                        own.next().is_none()
                    }
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

#[cfg(test)]
#[path = "certificate_tests.rs"]
mod tests;
