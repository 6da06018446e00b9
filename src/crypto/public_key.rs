//! Public keys, parsed and judged once, and the verification of one signature.

use std::fmt;

use jwt_simple::algorithms::{Edwards25519PublicKey, K256PublicKey, P256PublicKey, P384PublicKey};
use p256::ecdsa::signature::Verifier as _;
use rsa::{BoxedUint, PublicKey as RsaPublicKey, pkcs8::EncodePublicKey as _, traits::PublicKeyParts as _};
use sha2::{Sha256, Sha384, Sha512};

use super::{Algorithm, HostCrypto, KeyType, ecdsa_der, roca};
use crate::text::base64;

/// RFC 7518 section 3.3.
const LEAST_RSA_BITS: usize = 2048;
/// A longer key costs too much time within the module.
const MOST_RSA_BITS: usize = 4096;

/// 65537 in DER, which ends every RSA key that is taken.
const EXPONENT: [u8; 5] = [2, 3, 1, 0, 1];
/// What stands before the modulus of such a key in its SubjectPublicKeyInfo, in bytes: it has 256 bytes at least, so each
/// length takes four.
const RSA_HEAD: usize = 4 + 15 + 5 + 4 + 4;

/// A public key that is fit for verifying, with its DER form for the host.
#[derive(Clone)]
pub struct PublicKey {
    material: Material,
    /// DER SubjectPublicKeyInfo.
    spki: Vec<u8>,
}

#[derive(Clone)]
enum Material {
    Rsa(Box<RsaPublicKey>),
    P256(P256PublicKey),
    P384(P384PublicKey),
    Secp256k1(K256PublicKey),
    Ed25519(Edwards25519PublicKey),
}

/// Why a public key is unusable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// An EC coordinate or an Ed25519 key that has not exactly the length of its field.
    Length {
        /// The length due, in bytes.
        expected: usize,
    },
    /// Not a point of the curve, the point at infinity, or one of small order.
    Point,
    /// An RSA exponent other than 65537.
    RsaExponent,
    /// An RSA modulus from a generator known to be broken (ROCA), or an even one.
    RsaModulus,
    /// An RSA modulus outside 2048 to 4096 bits.
    RsaSize {
        /// Its size.
        bits: usize,
    },
}

impl fmt::Display for KeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { expected } => write!(f, "key material that is not {expected} bytes long"),
            Self::Point => f.write_str("not a usable point of its curve"),
            Self::RsaExponent => f.write_str("an RSA exponent other than 65537"),
            Self::RsaModulus => {
                f.write_str("an RSA modulus that is even or made by a broken generator (ROCA)")
            }
            Self::RsaSize { bits } => {
                write!(f, "an RSA key of {bits} bits, not {LEAST_RSA_BITS} to {MOST_RSA_BITS}")
            }
        }
    }
}

impl PublicKey {
    /// An RSA key from modulus and exponent, both big-endian.
    pub fn rsa(n: &[u8], e: &[u8]) -> Result<Self, KeyFault> {
        let (n, e) = (without_leading_zeros(n), without_leading_zeros(e));
        let bits = bit_len(n);
        if !(LEAST_RSA_BITS..=MOST_RSA_BITS).contains(&bits) {
            return Err(KeyFault::RsaSize { bits });
        }
        // NIST SP 800-56B section 6.2.1 asks for at least 65537, and nobody uses more.
        if e != [1, 0, 1] {
            return Err(KeyFault::RsaExponent);
        }
        if n.last().is_none_or(|last| last & 1 == 0) || roca::is_suspect(n) {
            return Err(KeyFault::RsaModulus);
        }
        let key = RsaPublicKey::new(BoxedUint::from_be_slice_vartime(n), BoxedUint::from_be_slice_vartime(e))
            .map_err(|_| KeyFault::RsaModulus)?;
        let spki = key.to_public_key_der().map_err(|_| KeyFault::RsaModulus)?.into_vec();
        Ok(Self { material: Material::Rsa(Box::new(key)), spki })
    }

    /// A key on the curve of `key_type` from its affine coordinates (RFC 7518 section 6.2.1).
    ///
    /// Key types that are no Weierstrass curve give [`KeyFault::Point`].
    pub fn ec(key_type: KeyType, x: &[u8], y: &[u8]) -> Result<Self, KeyFault> {
        let expected = match key_type {
            KeyType::P256 | KeyType::Secp256k1 => 32,
            KeyType::P384 => 48,
            KeyType::Octets | KeyType::Rsa | KeyType::Ed25519 => return Err(KeyFault::Point),
        };
        if x.len() != expected || y.len() != expected {
            return Err(KeyFault::Length { expected });
        }
        // Uncompressed, SEC 1 section 2.3.3.
        let point = [&[4], x, y].concat();
        let material = match key_type {
            KeyType::P256 => P256PublicKey::from_bytes(&point).ok().map(Material::P256),
            KeyType::P384 => P384PublicKey::from_bytes(&point).ok().map(Material::P384),
            _ => K256PublicKey::from_bytes(&point).ok().map(Material::Secp256k1),
        };
        Ok(Self { material: material.ok_or(KeyFault::Point)?, spki: [spki_head(key_type), &point].concat() })
    }

    /// An Ed25519 key (RFC 8037 section 2).
    pub fn ed25519(x: &[u8]) -> Result<Self, KeyFault> {
        if x.len() != 32 {
            return Err(KeyFault::Length { expected: 32 });
        }
        // It refuses a point of small order, which would verify what nobody signed.
        let key = Edwards25519PublicKey::from_bytes(x).map_err(|_| KeyFault::Point)?;
        Ok(Self { material: Material::Ed25519(key), spki: [spki_head(KeyType::Ed25519), x].concat() })
    }

    /// A key of this type in PEM (RFC 7468 section 13): `None` where it is none, or not in the one form of DER.
    pub fn from_pem(key_type: KeyType, pem: &str) -> Option<Result<Self, KeyFault>> {
        let lines = pem.trim().strip_prefix("-----BEGIN PUBLIC KEY-----")?;
        let lines = lines.strip_suffix("-----END PUBLIC KEY-----")?;
        let text: String = lines.split_ascii_whitespace().collect();
        let der = base64::decode(&text)?;
        let of_curve = der.strip_prefix(spki_head(key_type))?;
        let key = match key_type {
            KeyType::P256 | KeyType::P384 => {
                let point = of_curve.strip_prefix(&[4])?;
                let (x, y) = point.split_at_checked(point.len() / 2)?;
                Self::ec(key_type, x, y)
            }
            KeyType::Ed25519 => Self::ed25519(of_curve),
            KeyType::Rsa => Self::rsa(der.strip_suffix(&EXPONENT)?.get(RSA_HEAD..)?, &[1, 0, 1]),
            KeyType::Octets | KeyType::Secp256k1 => return None,
        };
        match key {
            Ok(key) if key.spki != der => None,
            key => Some(key),
        }
    }

    /// What kind of key it is.
    pub fn key_type(&self) -> KeyType {
        match self.material {
            Material::Rsa(_) => KeyType::Rsa,
            Material::P256(_) => KeyType::P256,
            Material::P384(_) => KeyType::P384,
            Material::Secp256k1(_) => KeyType::Secp256k1,
            Material::Ed25519(_) => KeyType::Ed25519,
        }
    }

    /// The key as DER SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7).
    #[cfg(test)]
    pub(crate) fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Whether `signature`, in its JOSE form, is that of `message`. False too when the key is of another type
    /// than `algorithm` takes.
    pub fn verify(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
        host: &dyn HostCrypto,
    ) -> bool {
        if algorithm.key_type() != self.key_type() {
            return false;
        }
        match self.verify_by_host(algorithm, message, signature, host) {
            Some(verified) => verified,
            None => self.verify_in_module(algorithm, message, signature),
        }
    }

    /// The same of a signature as authenticators make them (WebAuthn section 6.5.5): ECDSA in DER, all others as JOSE has
    /// them.
    pub fn verify_der(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
        host: &dyn HostCrypto,
    ) -> bool {
        let Some(field_len) = field_len(algorithm) else {
            return self.verify(algorithm, message, signature, host);
        };
        ecdsa_der::to_jose(signature, field_len)
            .is_some_and(|signature| self.verify(algorithm, message, &signature, host))
    }

    /// `None`: the host does not know this algorithm.
    pub(super) fn verify_by_host(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: &[u8],
        host: &dyn HostCrypto,
    ) -> Option<bool> {
        let hash = match algorithm {
            Algorithm::Rs256 | Algorithm::Es256 => "sha256",
            Algorithm::Rs384 | Algorithm::Es384 => "sha384",
            Algorithm::Rs512 => "sha512",
            _ => return None,
        };
        match field_len(algorithm) {
            None => host.verify(hash, &self.spki, signature, message),
            Some(field_len) => match ecdsa_der::from_jose(signature, field_len) {
                Some(der) => host.verify(hash, &self.spki, &der, message),
                None => Some(false),
            },
        }
    }

    fn verify_in_module(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        match &self.material {
            Material::Rsa(key) => {
                signature.len() == key.size() && verify_rsa(key, algorithm, message, signature)
            }
            Material::P256(key) => p256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.as_ref().verify(message, &signature).is_ok()),
            Material::P384(key) => p384::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.as_ref().verify(message, &signature).is_ok()),
            // RFC 8812 asks for no low `s`, and signers other than wallets give either; the library takes the low
            // one alone.
            Material::Secp256k1(key) => k256::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.as_ref().verify(message, &signature.normalize_s()).is_ok()),
            Material::Ed25519(key) => ed25519_compact::Signature::from_slice(signature)
                .is_ok_and(|signature| key.as_ref().verify(message, &signature).is_ok()),
        }
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublicKey").field("key_type", &self.key_type()).finish_non_exhaustive()
    }
}

/// False too for an algorithm that is not RSA. The salt is as long as the hash (RFC 7518 section 3.5).
fn verify_rsa(key: &RsaPublicKey, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
    let verified = match algorithm {
        Algorithm::Rs256 => key.pkcs1v15_verify::<Sha256>(message, signature),
        Algorithm::Rs384 => key.pkcs1v15_verify::<Sha384>(message, signature),
        Algorithm::Rs512 => key.pkcs1v15_verify::<Sha512>(message, signature),
        Algorithm::Ps256 => key.pss_verify::<Sha256>(message, signature),
        Algorithm::Ps384 => key.pss_verify::<Sha384>(message, signature),
        Algorithm::Ps512 => key.pss_verify::<Sha512>(message, signature),
        _ => return false,
    };
    verified.is_ok()
}

/// The length of the integers in an ECDSA signature; `None` for other algorithms.
fn field_len(algorithm: Algorithm) -> Option<usize> {
    match algorithm {
        Algorithm::Es256 | Algorithm::Es256k => Some(32),
        Algorithm::Es384 => Some(48),
        _ => None,
    }
}

/// What stands before the point of a key in its SubjectPublicKeyInfo: for each curve the same bytes (RFC 5480 section 2,
/// RFC 8410 section 4). Nothing for keys that are no point.
fn spki_head(key_type: KeyType) -> &'static [u8] {
    match key_type {
        KeyType::P256 => {
            b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\0"
        }
        KeyType::P384 => b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\0\x22\x03\x62\0",
        KeyType::Secp256k1 => b"\x30\x56\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\0\x0a\x03\x42\0",
        KeyType::Ed25519 => b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\0",
        KeyType::Octets | KeyType::Rsa => &[],
    }
}

fn without_leading_zeros(bytes: &[u8]) -> &[u8] {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    bytes.get(first..).unwrap_or_default()
}

/// The bit length of a big-endian integer without leading zeros.
fn bit_len(bytes: &[u8]) -> usize {
    let unused = bytes.first().map_or(0, |first| first.leading_zeros());
    bytes.len().saturating_mul(8).saturating_sub(usize::try_from(unused).unwrap_or(0))
}

#[cfg(test)]
#[expect(clippy::arithmetic_side_effects, reason = "test code may panic")]
mod tests {
    use ct_codecs::Encoder;

    use super::*;

    fn modulus(bits: usize) -> Vec<u8> {
        let mut n = vec![0x5b; bits.div_ceil(8)];
        n[0] = if bits.is_multiple_of(8) { 0x80 } else { 1 << (bits % 8 - 1) };
        n
    }

    #[test]
    fn rsa_sizes() {
        for (bits, expected) in [
            (512, Err(KeyFault::RsaSize { bits: 512 })),
            (1024, Err(KeyFault::RsaSize { bits: 1024 })),
            (2047, Err(KeyFault::RsaSize { bits: 2047 })),
            (2048, Ok(())),
            (2049, Ok(())),
            (4096, Ok(())),
            (4097, Err(KeyFault::RsaSize { bits: 4097 })),
            (16384, Err(KeyFault::RsaSize { bits: 16384 })),
        ] {
            assert_eq!(PublicKey::rsa(&modulus(bits), &[1, 0, 1]).map(|_| ()), expected, "{bits}");
        }
        // Leading zeros make no key longer.
        let padded = [vec![0; 128], modulus(1024)].concat();
        assert_eq!(PublicKey::rsa(&padded, &[1, 0, 1]).err(), Some(KeyFault::RsaSize { bits: 1024 }));
        assert_eq!(PublicKey::rsa(&[], &[1, 0, 1]).err(), Some(KeyFault::RsaSize { bits: 0 }));
    }

    #[test]
    fn rsa_exponents_and_moduli() {
        for (e, usable) in [
            (&[1, 0, 1][..], true),
            (&[0, 1, 0, 1], true),
            (&[], false),
            (&[0], false),
            (&[1], false),
            (&[2], false),
            (&[3], false),
            (&[1, 0, 0], false),
            (&[0xff; 512], false),
        ] {
            let expected = if usable { None } else { Some(KeyFault::RsaExponent) };
            assert_eq!(PublicKey::rsa(&modulus(2048), e).err(), expected, "{e:?}");
        }
        let mut even = modulus(2048);
        *even.last_mut().unwrap() = 2;
        assert_eq!(PublicKey::rsa(&even, &[1, 0, 1]).err(), Some(KeyFault::RsaModulus));
    }

    #[test]
    fn points() {
        let mut y = *b"\x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\x2b\xce\x33\x57\x6b\x31\x5e\xce\xcb\xb6\x40\x68\x37\xbf\x51\xf5";
        let x = *b"\x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96";
        // The base point of P-256 is on P-256 and on no other curve.
        assert!(PublicKey::ec(KeyType::P256, &x, &y).is_ok());
        assert_eq!(PublicKey::ec(KeyType::Secp256k1, &x, &y).err(), Some(KeyFault::Point));
        assert_eq!(PublicKey::ec(KeyType::P384, &x, &y).err(), Some(KeyFault::Length { expected: 48 }));
        assert_eq!(PublicKey::ec(KeyType::Ed25519, &x, &y).err(), Some(KeyFault::Point));
        y[31] ^= 1;
        assert_eq!(PublicKey::ec(KeyType::P256, &x, &y).err(), Some(KeyFault::Point));
        assert_eq!(PublicKey::ec(KeyType::P256, &[0; 32], &[0; 32]).err(), Some(KeyFault::Point));
        assert_eq!(PublicKey::ec(KeyType::P256, &x, &y[1..]).err(), Some(KeyFault::Length { expected: 32 }));
    }

    /// As another library has it.
    #[test]
    fn each_key_has_its_spki() {
        use jwt_simple::algorithms::{
            ECDSAP256KeyPairLike as _, ECDSAP256kKeyPairLike as _, ECDSAP384KeyPairLike as _, ES256KeyPair,
            ES256kKeyPair, ES384KeyPair, Ed25519KeyPair, RS256KeyPair,
        };

        let ec = |key_type, point: &[u8]| {
            let (x, y) = point[1..].split_at(point.len() / 2);
            PublicKey::ec(key_type, x, y).unwrap()
        };
        let p256 = ES256KeyPair::generate().key_pair().public_key();
        let p384 = ES384KeyPair::generate().key_pair().public_key();
        let k256 = ES256kKeyPair::generate().key_pair().public_key();
        let ed25519 = Ed25519KeyPair::generate().public_key();
        let rsa = RS256KeyPair::generate(2048).unwrap().public_key();
        let parts = rsa.to_components();
        for (ours, theirs) in [
            (ec(KeyType::P256, &p256.to_bytes_uncompressed()), p256.to_der().unwrap()),
            (ec(KeyType::P384, &p384.to_bytes_uncompressed()), p384.to_der().unwrap()),
            (ec(KeyType::Secp256k1, &k256.to_bytes_uncompressed()), k256.to_der().unwrap()),
            (PublicKey::ed25519(&ed25519.to_bytes()).unwrap(), ed25519.to_der()),
            (PublicKey::rsa(&parts.n, &parts.e).unwrap(), rsa.to_der().unwrap()),
        ] {
            assert_eq!(ours.spki(), theirs, "{ours:?}");
        }
    }

    /// As another library writes them; what stands in them elsewhere is no other key.
    #[test]
    fn keys_in_pem() {
        use jwt_simple::prelude::{ES256KeyPair, ES384KeyPair, Ed25519KeyPair};
        for (key_type, pem) in [
            (KeyType::P256, ES256KeyPair::generate().public_key().to_pem().unwrap()),
            (KeyType::P384, ES384KeyPair::generate().public_key().to_pem().unwrap()),
            (KeyType::Ed25519, Ed25519KeyPair::generate().public_key().to_pem()),
        ] {
            let key = PublicKey::from_pem(key_type, &pem).unwrap().unwrap();
            assert_eq!(key.key_type(), key_type);
            let lines: Vec<_> = pem.lines().collect();
            let text = lines[1..lines.len() - 1].concat();
            let der = base64::decode(&text).unwrap();
            assert_eq!(key.spki(), der);
            for place in 0..der.len() {
                let mut other = der.clone();
                other[place] ^= 1;
                let other = ct_codecs::Base64::encode_to_string(&other).unwrap();
                let other = format!("-----BEGIN PUBLIC KEY-----\n{other}\n-----END PUBLIC KEY-----");
                let is_same = |own: PublicKey| own.spki() == der;
                assert!(
                    !PublicKey::from_pem(key_type, &other).is_some_and(|key| key.is_ok_and(is_same)),
                    "{place}"
                );
            }
        }
    }

    #[test]
    fn ed25519_points_of_small_order() {
        let mut one = [0; 32];
        one[0] = 1;
        for (x, expected) in [
            (&[0; 32][..], Some(KeyFault::Point)),
            (&one, Some(KeyFault::Point)),
            (&[0; 31], Some(KeyFault::Length { expected: 32 })),
            (&[], Some(KeyFault::Length { expected: 32 })),
        ] {
            assert_eq!(PublicKey::ed25519(x).err(), expected);
        }
    }
}
