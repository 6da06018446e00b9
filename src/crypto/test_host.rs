//! Hosts for tests: one with a crypto library of its own (ring, of BoringSSL's descent as Envoy's is).

use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};

use super::HostCrypto;

/// Verifies by ring.
pub(crate) struct RingHost;

impl HostCrypto for RingHost {
    fn verify(&self, hash: &str, spki: &[u8], signature: &[u8], message: &[u8]) -> Option<bool> {
        let (key_oid, key) = unwrap_spki(spki);
        let algorithm: &dyn VerificationAlgorithm = match (key_oid.as_slice(), key.len(), hash) {
            (RSA_ENCRYPTION, _, "sha256") => &signature::RSA_PKCS1_2048_8192_SHA256,
            (RSA_ENCRYPTION, _, "sha384") => &signature::RSA_PKCS1_2048_8192_SHA384,
            (RSA_ENCRYPTION, _, "sha512") => &signature::RSA_PKCS1_2048_8192_SHA512,
            (EC_PUBLIC_KEY, 65, "sha256") => &signature::ECDSA_P256_SHA256_ASN1,
            (EC_PUBLIC_KEY, 97, "sha384") => &signature::ECDSA_P384_SHA384_ASN1,
            other => panic!("the host was asked for {other:?}"),
        };
        Some(UnparsedPublicKey::new(algorithm, key).verify(message, signature).is_ok())
    }
}

const RSA_ENCRYPTION: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const EC_PUBLIC_KEY: &[u8] = b"\x2a\x86\x48\xce\x3d\x02\x01";

/// The algorithm's OID and the bits of the key.
fn unwrap_spki(spki: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (content, rest) = element(0x30, spki);
    assert!(rest.is_empty());
    let (algorithm, rest) = element(0x30, content);
    let (bits, rest) = element(0x03, rest);
    assert!(rest.is_empty() && bits[0] == 0);
    (element(0x06, algorithm).0.to_vec(), bits[1..].to_vec())
}

/// The content of the first DER element, which has `tag`, and what follows it.
pub(crate) fn element(tag: u8, der: &[u8]) -> (&[u8], &[u8]) {
    assert_eq!(der[0], tag);
    let (len, start) = match der[1] {
        long @ 0x80.. => {
            let octets = usize::from(long & 0x7f);
            (der[2..2 + octets].iter().fold(0, |len, octet| len * 256 + usize::from(*octet)), 2 + octets)
        }
        short => (usize::from(short), 2),
    };
    (&der[start..start + len], &der[start + len..])
}
