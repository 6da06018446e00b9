//! Attestation (WebAuthn sections 6.5 and 8): what an authenticator says of its own make when it makes a credential.
//!
//! No certificates are followed here. `none` says nothing, `packed` without certificates is signed by the new key itself,
//! and everything else is refused or taken as if it said nothing, as the policy has it.

use std::fmt;

use super::{
    cbor::{Cbor, CborFault, CborMap, Key},
    cose_key::{CoseKey, cose_algorithm},
};
use crate::crypto::HostCrypto;

/// The longest identifier of a format (section 8.1).
const MAX_FORMAT_LEN: usize = 32;

/// An attestation object, taken apart.
#[derive(Clone, Debug)]
pub struct AttestationObject<'a> {
    /// `fmt`: 1 to 32 visible ASCII characters.
    pub format: &'a str,
    /// `attStmt`.
    statement: CborMap<'a>,
    /// `authData`, as it was signed.
    pub authenticator_data: &'a [u8],
}

/// What becomes of attestations that are not verified here: those with certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OtherAttestation {
    /// The credential is refused.
    Refused,
    /// The credential is taken as one without attestation (section 7.1 step 24, its note). Clients that were asked for
    /// none send some all the same.
    #[default]
    Ignored,
}

/// What is known of where a credential comes from (section 6.5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttestationType {
    /// Nothing was said.
    None,
    /// Something was said in a format that is not verified here, so it counts as nothing.
    Ignored,
    /// The new key signed for itself, so whoever registered it has it.
    SelfAttestation,
}

/// Why an attestation is not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttestationFault {
    /// Signed with another algorithm than that of the key.
    Algorithm,
    /// Not CBOR.
    Cbor(CborFault),
    /// A format that is refused.
    Format(Box<str>),
    /// A member of the object that is missing or has a wrong form.
    Member(&'static str),
    /// The signature does not verify.
    Signature,
    /// A statement that is not as its format has it.
    Statement,
}

impl<'a> AttestationObject<'a> {
    /// Takes an attestation object apart. Members that are not known are ignored.
    pub fn read(bytes: &'a [u8]) -> Result<Self, AttestationFault> {
        let object = Cbor::read(bytes).map_err(AttestationFault::Cbor)?;
        let mut object = object.into_map().ok_or(AttestationFault::Member("fmt"))?;
        let mut member = |name| object.take(Key::Text(name)).ok_or(AttestationFault::Member(name));
        let format = member("fmt")?.as_text().filter(|format| is_format(format));
        let authenticator_data = member("authData")?.as_bytes();
        let statement = member("attStmt")?.into_map();
        Ok(Self {
            format: format.ok_or(AttestationFault::Member("fmt"))?,
            statement: statement.ok_or(AttestationFault::Member("attStmt"))?,
            authenticator_data: authenticator_data.ok_or(AttestationFault::Member("authData"))?,
        })
    }

    /// Verifies the statement: section 7.1 steps 21 to 24. `key` is the new credential's.
    pub fn verify(
        &self,
        client_data_hash: &[u8; 32],
        key: &CoseKey,
        other: OtherAttestation,
        host: &dyn HostCrypto,
    ) -> Result<AttestationType, AttestationFault> {
        match self.format {
            // Section 8.7: an empty map.
            "none" if self.statement.is_empty() => Ok(AttestationType::None),
            "none" => Err(AttestationFault::Statement),
            // Section 8.2: without certificates, self attestation is in use. Level 1 had a third kind, with `ecdaaKeyId`.
            "packed" if !self.has("x5c") && !self.has("ecdaaKeyId") => {
                self.verify_self_attestation(client_data_hash, key, host)
            }
            _ => match other {
                OtherAttestation::Ignored => Ok(AttestationType::Ignored),
                OtherAttestation::Refused => Err(AttestationFault::Format(self.format.into())),
            },
        }
    }

    fn verify_self_attestation(
        &self,
        client_data_hash: &[u8; 32],
        key: &CoseKey,
        host: &dyn HostCrypto,
    ) -> Result<AttestationType, AttestationFault> {
        let algorithm = self.statement.get(Key::Text("alg")).and_then(Cbor::as_integer);
        let signature = self.statement.get(Key::Text("sig")).and_then(Cbor::as_bytes);
        let (Some(algorithm), Some(signature), 2) = (algorithm, signature, self.statement.len()) else {
            return Err(AttestationFault::Statement);
        };
        if cose_algorithm(key.algorithm()) != Some(algorithm) {
            return Err(AttestationFault::Algorithm);
        }
        let signed = [self.authenticator_data, client_data_hash].concat();
        match key.verify(&signed, signature, host) {
            true => Ok(AttestationType::SelfAttestation),
            false => Err(AttestationFault::Signature),
        }
    }

    fn has(&self, name: &str) -> bool {
        self.statement.get(Key::Text(name)).is_some()
    }
}

/// Section 8.1: visible ASCII without `"` and `\`.
fn is_format(format: &str) -> bool {
    (1..=MAX_FORMAT_LEN).contains(&format.len())
        && format.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte))
}

impl fmt::Display for AttestationFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Algorithm => f.write_str("self attestation by another algorithm than that of the key"),
            Self::Cbor(fault) => fault.fmt(f),
            Self::Format(format) => write!(f, "format `{format}` is not taken"),
            Self::Member(name) => write!(f, "`{name}` is missing or has a wrong form"),
            Self::Signature => f.write_str("the signature does not verify"),
            Self::Statement => f.write_str("`attStmt` is not as its format has it"),
        }
    }
}
