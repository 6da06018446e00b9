//! One certificate for the tests' listeners, clients that trust it, and certificates of clients.

use std::sync::{Arc, LazyLock};

use ::ring::digest::{SHA256, digest};
use rcgen::{BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, SanType};
use tokio_rustls::rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    sign::{CertifiedKey, SingleCertAndKey},
};

use super::signing::base64url;

#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// For `localhost`; its own authority.
pub(crate) static IDENTITY: LazyLock<Identity> = LazyLock::new(|| {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    Identity { certificate: certificate.pem(), key: key.serialize_pem() }
});

/// Signs the certificates of clients.
pub(crate) static CLIENTS: LazyLock<Authority> = LazyLock::new(Authority::generate);
/// An authority that nobody trusts.
pub(crate) static STRANGERS: LazyLock<Authority> = LazyLock::new(Authority::generate);

pub(crate) struct Authority {
    pub(crate) certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn generate() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "clients of the tests");
        let certificate = params.self_signed(&key).unwrap().pem();
        Self { certificate, issuer: Issuer::new(params, key) }
    }

    /// The same, without a common name.
    pub(crate) fn nameless(&self, name: &str) -> Identity {
        self.sign(name, DistinguishedName::new())
    }

    /// Another one each time, with the URI `name` if it looks like one, else the DNS name.
    pub(crate) fn identity(&self, name: &str) -> Identity {
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, "a client");
        self.sign(name, subject)
    }

    fn sign(&self, name: &str, subject: DistinguishedName) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        params.distinguished_name = subject;
        let text = name.try_into().unwrap();
        let name = if name.contains("://") { SanType::URI(text) } else { SanType::DnsName(text) };
        params.subject_alt_names.push(name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Identity {
    /// `x5t#S256` (RFC 8705 section 3.1).
    pub(crate) fn thumbprint(&self) -> String {
        let der = CertificateDer::from_pem_slice(self.certificate.as_bytes()).unwrap();
        base64url(digest(&SHA256, &der).as_ref()).unwrap()
    }
}

/// A client of our servers that shows `identity`, over HTTP/1.1.
pub(crate) fn client_with(identity: &Identity) -> Arc<ClientConfig> {
    shows(identity, client(&IDENTITY.certificate, "http/1.1"))
}

/// The same client, showing `identity`.
pub(crate) fn shows(identity: &Identity, client: Arc<ClientConfig>) -> Arc<ClientConfig> {
    let mut config = Arc::unwrap_or_clone(client);
    let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let key = ring::sign::any_supported_type(&key).unwrap();
    let shown = CertifiedKey::new(vec![certificate], key);
    config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(shown));
    Arc::new(config)
}

/// A client that trusts the authority in `pem` and offers one protocol.
pub(crate) fn client(pem: &str, protocol: &str) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    Arc::new(config)
}
