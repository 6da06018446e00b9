//! A registration, verified (WebAuthn section 7.1).
//!
//! Whether the challenge was ours, is fresh and new is for the caller to know, and so is whether anybody has registered the
//! credential before (step 26): it is stored only where it is not there yet.

use std::fmt;

use super::{
    attestation::{AttestationFault, AttestationObject, AttestationType},
    authenticator_data::{AuthenticatorData, AuthenticatorDataFault},
    client_data::Ceremony,
    context::{ContextFault, UserVerification, check_client_data, check_flags, check_rp_id},
    cose_key::{CoseKey, CoseKeyFault},
    relying_party::RelyingParty,
    response::RegistrationResponse,
};
use crate::crypto::{Algorithm, HostCrypto};

/// What was asked for when the ceremony began.
#[derive(Clone, Copy, Debug)]
pub struct ExpectedRegistration<'a> {
    /// The challenge.
    pub challenge: &'a [u8],
    /// Whether the user had to be verified.
    pub user_verification: UserVerification,
    /// The client was asked with conditional mediation, to make a credential by the way, without the user's doing.
    pub is_conditional: bool,
}

/// A credential that may be stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCredential {
    /// Its id, 1 to 1023 bytes.
    pub id: Vec<u8>,
    /// Its public key, as COSE has it: what [`super::StoredCredential`] takes.
    pub public_key: Vec<u8>,
    /// What its signatures are made with.
    pub algorithm: Algorithm,
    /// The signature counter; zero where the authenticator does not count.
    pub counter: u32,
    /// Whether the user was verified (`uvInitialized`, section 4). Otherwise no later verification by this credential
    /// counts before another factor has confirmed it.
    pub user_verified: bool,
    /// Whether it may be copied to other devices. Never changes.
    pub backup_eligible: bool,
    /// Whether there are copies.
    pub backed_up: bool,
    /// How its authenticator can be reached; empty: not known.
    pub transports: Vec<Box<str>>,
    /// Whether it is found without its id being named; `None`: not known.
    pub is_discoverable: Option<bool>,
    /// The authenticator's model, as it says itself; all zeros: it does not.
    pub aaguid: [u8; 16],
    /// The format of its attestation.
    pub attestation_format: Box<str>,
    /// What the attestation came to.
    pub attestation_type: AttestationType,
}

/// Why a registration was refused. None of it is a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistrationFault {
    /// An algorithm that was not offered.
    Algorithm(Algorithm),
    /// The attestation object, or what it states.
    Attestation(AttestationFault),
    /// The authenticator data.
    AuthenticatorData(AuthenticatorDataFault),
    /// Made elsewhere, or otherwise, than asked.
    Context(ContextFault),
    /// The authenticator made a credential of another id than the client says.
    CredentialId,
    /// The credential's public key.
    Key(CoseKeyFault),
    /// The authenticator data hold no credential.
    NoCredential,
}

/// Verifies a registration, in the order of section 7.1.
pub fn verify(
    response: &RegistrationResponse,
    relying_party: &RelyingParty,
    expected: &ExpectedRegistration<'_>,
    host: &dyn HostCrypto,
) -> Result<NewCredential, RegistrationFault> {
    let spec = relying_party.spec();
    let client_data = &response.client_data;
    // Steps 7 to 11. Steps 5 and 6 were done when the response was read, and so was 12.
    check_client_data(client_data, relying_party, Ceremony::Registration, expected.challenge)?;
    // Step 13.
    let object =
        AttestationObject::read(&response.attestation_object).map_err(RegistrationFault::Attestation)?;
    // And step 25.
    let data =
        AuthenticatorData::read(object.authenticator_data).map_err(RegistrationFault::AuthenticatorData)?;
    // Step 14.
    check_rp_id(data.rp_id_hash, relying_party)?;
    // Steps 15 to 17; 18 and 19 are for whoever stores the credential.
    check_flags(data.flags, expected.is_conditional, expected.user_verification)?;
    // Section 6.1: where AT is not set there is none.
    let attested = data.attested_credential.ok_or(RegistrationFault::NoCredential)?;
    // The client's `rawId` is the authenticator's (section 5.1.3 step 22); only the latter is signed.
    if attested.id != response.credential_id {
        return Err(RegistrationFault::CredentialId);
    }
    // Step 20.
    let key = CoseKey::read(attested.public_key).map_err(RegistrationFault::Key)?;
    if !spec.algorithms.contains(&key.algorithm()) {
        return Err(RegistrationFault::Algorithm(key.algorithm()));
    }
    // Steps 21 to 24.
    let attestation_type = object
        .verify(&client_data.hash, &key, spec.other_attestation, host)
        .map_err(RegistrationFault::Attestation)?;
    // Step 27. No extension's output is asked for but `credProps`, and others are ignored (step 28).
    Ok(NewCredential {
        id: attested.id.to_vec(),
        public_key: attested.public_key.to_vec(),
        algorithm: key.algorithm(),
        counter: data.sign_count,
        user_verified: data.flags.user_verified(),
        backup_eligible: data.flags.backup_eligible(),
        backed_up: data.flags.backed_up(),
        transports: response.transports.clone(),
        is_discoverable: response.is_discoverable,
        aaguid: attested.aaguid,
        attestation_format: object.format.into(),
        attestation_type,
    })
}

impl From<ContextFault> for RegistrationFault {
    fn from(fault: ContextFault) -> Self {
        Self::Context(fault)
    }
}

impl fmt::Display for RegistrationFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Algorithm(algorithm) => write!(f, "{algorithm} was not offered"),
            Self::Attestation(fault) => write!(f, "attestation: {fault}"),
            Self::AuthenticatorData(fault) => write!(f, "authenticator data: {fault}"),
            Self::Context(fault) => fault.fmt(f),
            Self::CredentialId => f.write_str("the authenticator's credential is another than the client's"),
            Self::Key(fault) => write!(f, "public key: {fault}"),
            Self::NoCredential => f.write_str("authenticator data without a credential"),
        }
    }
}
