//! A credential's public key (WebAuthn sections 5.8.5 and 6.5.1, RFC 9053 section 7, RFC 8230 section 4).

use std::fmt;

use super::cbor::{Cbor, CborFault, CborMap, Key};
use crate::crypto::{Algorithm, HostCrypto, KeyFault, KeyType, PublicKey};

/// The algorithms that credentials may use, the best first; what clients are offered unless the policy says otherwise.
/// Windows Hello has none but RS256.
pub const ALGORITHMS: [Algorithm; 3] = [Algorithm::Es256, Algorithm::EdDsa, Algorithm::Rs256];

/// A public key with the one algorithm that it verifies, judged fit.
#[derive(Clone, Debug)]
pub struct CoseKey {
    algorithm: Algorithm,
    key: PublicKey,
}

/// Why a COSE key is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoseKeyFault {
    /// Not CBOR.
    Cbor(CborFault),
    /// The key material itself.
    Key(KeyFault),
    /// Not a map.
    NotAMap,
    /// A parameter that is missing or has a wrong form.
    Parameter {
        /// Its label.
        label: i64,
    },
    /// A parameter that does not belong there, such as that of a private key.
    Surplus,
    /// A key type, algorithm and curve that do not belong together, or are not supported. ES256 is with P-256 alone,
    /// and EdDSA with Ed25519.
    Unsupported,
}

/// COSE's labels of the key's parameters: for all keys, then by type.
const KTY: i64 = 1;
const ALG: i64 = 3;
const CRV: i64 = -1;
const X: i64 = -2;
const Y: i64 = -3;
const RSA_N: i64 = -1;
const RSA_E: i64 = -2;

const KTY_OKP: i64 = 1;
const KTY_EC2: i64 = 2;
const KTY_RSA: i64 = 3;

const CRV_P256: i64 = 1;
const CRV_ED25519: i64 = 6;

/// The number of `algorithm` in the registry of COSE; `None`: credentials do not use it here.
pub fn cose_algorithm(algorithm: Algorithm) -> Option<i64> {
    match algorithm {
        Algorithm::Es256 => Some(-7),
        Algorithm::EdDsa => Some(-8),
        Algorithm::Rs256 => Some(-257),
        _ => None,
    }
}

impl CoseKey {
    /// Reads a key: exactly one CBOR item with exactly the parameters that its type has (section 6.5.1: `alg`, and "no
    /// other optional parameters").
    pub fn read(bytes: &[u8]) -> Result<Self, CoseKeyFault> {
        let map = Cbor::read(bytes).map_err(CoseKeyFault::Cbor)?.into_map().ok_or(CoseKeyFault::NotAMap)?;
        let number = integer(&map, ALG)?;
        let algorithm = ALGORITHMS.into_iter().find(|algorithm| cose_algorithm(*algorithm) == Some(number));
        let (kty, algorithm) = (integer(&map, KTY)?, algorithm.ok_or(CoseKeyFault::Unsupported)?);
        let (labels, key): (&[i64], _) = match (kty, algorithm) {
            (KTY_EC2, Algorithm::Es256) if integer(&map, CRV)? == CRV_P256 => {
                // A boolean `y` would be the compressed form (RFC 9053 section 7.1.1).
                let key = PublicKey::ec(KeyType::P256, octets(&map, X)?, octets(&map, Y)?);
                (&[KTY, ALG, CRV, X, Y], key)
            }
            (KTY_OKP, Algorithm::EdDsa) if integer(&map, CRV)? == CRV_ED25519 => {
                (&[KTY, ALG, CRV, X], PublicKey::ed25519(octets(&map, X)?))
            }
            (KTY_RSA, Algorithm::Rs256) => {
                (&[KTY, ALG, RSA_N, RSA_E], PublicKey::rsa(octets(&map, RSA_N)?, octets(&map, RSA_E)?))
            }
            _ => return Err(CoseKeyFault::Unsupported),
        };
        let belongs = |key| labels.iter().any(|label| Key::Integer(*label) == key);
        if !map.keys().all(belongs) {
            return Err(CoseKeyFault::Surplus);
        }
        Ok(Self { algorithm, key: key.map_err(CoseKeyFault::Key)? })
    }

    /// The one algorithm that it is for.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether `signature`, in the form of section 6.5.5, is that of `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8], host: &dyn HostCrypto) -> bool {
        self.key.verify_der(self.algorithm, message, signature, host)
    }
}

fn integer(map: &CborMap<'_>, label: i64) -> Result<i64, CoseKeyFault> {
    map.get(Key::Integer(label)).and_then(Cbor::as_integer).ok_or(CoseKeyFault::Parameter { label })
}

fn octets<'a>(map: &CborMap<'a>, label: i64) -> Result<&'a [u8], CoseKeyFault> {
    map.get(Key::Integer(label)).and_then(Cbor::as_bytes).ok_or(CoseKeyFault::Parameter { label })
}

impl fmt::Display for CoseKeyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cbor(fault) => fault.fmt(f),
            Self::Key(fault) => fault.fmt(f),
            Self::NotAMap => f.write_str("not a CBOR map"),
            Self::Parameter { label } => write!(f, "parameter {label} is missing or has a wrong form"),
            Self::Surplus => f.write_str("a parameter that does not belong there"),
            Self::Unsupported => {
                f.write_str("an algorithm that is not supported, or does not fit type and curve")
            }
        }
    }
}
